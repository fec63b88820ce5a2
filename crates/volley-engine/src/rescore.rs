//! Scoring some splits of a published job again, to see whether they still come out as they were published.
//!
//! A split is run by the plan that was stored when the job began, over the inputs that were pinned then, and by the
//! writer itself: as an attempt at a job of the same name, whose state, staging and destination lie in a folder of
//! their own that is removed again. So what is compared is what a repair would publish. The job's own state and
//! destination are only read.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;
use volley_commit::{Job, JobId, Location, Pinned, PublishedFile, Receipt, RejectsAt, Root};
use volley_connect::Inputs;
use volley_predict::Pins;

use crate::assembly;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::progress::Progress;
use crate::resume::{self, SPLITS};
use crate::verify::{Difference, published, shown};
use crate::work_folder::no_folder;
use crate::write::WriteJob;

/// Which splits are scored again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// How many, or all if there are fewer.
    pub splits: NonZeroUsize,
    /// The same seed draws the same splits of a job.
    pub seed: u64,
}

/// What scoring splits again gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescored {
    /// The splits that were drawn, in order.
    pub splits: Vec<u32>,
    /// What they were drawn with.
    pub seed: u64,
    /// Files that these splits published.
    pub files: usize,
    /// Rows in them.
    pub rows: u64,
    /// Of the files, those that came out byte for byte. Those with the same rows in another order are none.
    pub files_of_same_bytes: usize,
    /// The files whose rows came out otherwise.
    #[serde(skip)]
    pub differences: Vec<Difference>,
}

impl Draw {
    /// So many splits, by a seed, or else by one of chance, which is short enough to be typed.
    pub fn of(splits: NonZeroUsize, seed: Option<u64>) -> Self {
        Self { splits, seed: seed.unwrap_or_else(|| u64::from(Uuid::now_v7().as_u128() as u32)) }
    }

    /// Splits of a job that has `all`, none twice, in order.
    fn drawn(self, all: u32) -> Vec<u32> {
        let mut left: Vec<u32> = (0..all).collect();
        let mut drawn = vec![];
        let mut state = self.seed;
        while drawn.len() < self.splits.get() && !left.is_empty() {
            let place = (next(&mut state) % left.len() as u64) as usize;
            drawn.push(left.swap_remove(place));
        }
        drawn.sort_unstable();
        drawn
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

impl Engine {
    /// Scores splits of a published job again, and compares them with its receipt. Writes neither to its destination
    /// nor to the state. As many splits at a time as there are cores lie in the temporary folder of the system.
    ///
    /// Errors: `unknown_job`, `job_unpublished`, `not_rescorable` if its splits cannot be computed one by one,
    /// `input_changed`, and those of models that cannot be had any more.
    pub async fn rescore(&self, id: JobId, draw: Draw, progress: &Progress) -> Result<Rescored, EngineError> {
        let receipt = published(&self.shared, id).await?;
        let at = |url: &str| volley_connect::location(url, &self.shared.runtime);
        let mut places = vec![Was { root: Root::Result, at: at(&receipt.destination)?, files: receipt.files }];
        if let Some(rejects) = receipt.rejects {
            places.push(Was { root: Root::Rejects, at: at(&rejects.destination)?, files: rejects.files });
        }
        let past = Past::of(self, id).await?;
        let splits = draw.drawn(past.job.plan().spec.splits);
        let wrote = |split: u32| places.iter().flat_map(move |was| was.of_split(split));
        let mut rescored = Rescored {
            files: splits.iter().map(|split| wrote(*split).count()).sum(),
            rows: splits.iter().flat_map(|split| wrote(*split)).map(|file| file.rows).sum(),
            files_of_same_bytes: 0,
            differences: vec![],
            seed: draw.seed,
            splits,
        };
        for some in rescored.splits.chunks(self.shared.settings.cores.max(1)) {
            for (split, again) in past.score(self, some, progress).await? {
                for was in &places {
                    let compared = Compared::new(was, split, &again.published_by(past.job.plan(), was.root));
                    rescored.files_of_same_bytes += compared.files_of_same_bytes;
                    for (file, how) in compared.differences {
                        rescored.differences.push(Difference { file: shown(&was.at, &file)?, how });
                    }
                }
            }
        }
        Ok(rescored)
    }
}

/// What a job published at one of its places.
struct Was {
    root: Root,
    at: Location,
    files: Vec<PublishedFile>,
}

impl Was {
    /// The files of a split. Those without rows say what the columns are, and stay out where another split has rows.
    fn of_split(&self, split: u32) -> impl Iterator<Item = &PublishedFile> {
        self.files.iter().filter(move |file| file.split() == Some(split) && file.rows > 0)
    }
}

/// A job as it was begun.
struct Past {
    job: Job,
    inputs: Inputs,
    physical: Vec<u8>,
}

impl Past {
    async fn of(engine: &Engine, id: JobId) -> Result<Self, EngineError> {
        let refused = |why| not_rescorable(id, why);
        let job = match resume::recorded(&engine.shared, id).await {
            Err(error) if error.code() == "unknown_job" => return Err(refused("its plan is gone from the state")),
            job => job?,
        };
        let pinned = &job.plan().pinned;
        if pinned.determinism.as_deref() != Some(SPLITS) {
            return Err(refused("its splits depend on each other, on chance, or on rows in memory"));
        }
        if pinned.version.as_deref() != Some(env!("CARGO_PKG_VERSION")) {
            return Err(refused("another version of Volley made its plan"));
        }
        let inputs = serde_json::from_value(pinned.inputs.clone()).map_err(|_| refused("its plan cannot be read"))?;
        let physical = job.physical().await?;
        let physical = physical.ok_or_else(|| refused("it kept no plan: only jobs of `volley run` do"))?;
        Ok(Self { job, inputs, physical })
    }

    /// The receipts of some splits.
    async fn score(
        &self,
        engine: &Engine,
        splits: &[u32],
        progress: &Progress,
    ) -> Result<Vec<(u32, Receipt)>, EngineError> {
        let system = std::env::temp_dir();
        let place = engine.shared.work_folder.as_ref().map_or(system.as_path(), |folder| folder.path());
        let folder = TempDir::with_prefix_in("volley-rescore-", place).map_err(|error| no_folder(place, &error))?;
        let again = self.again(engine, &folder).await?;
        let state = assembly::state_with(&engine.shared, &self.job.plan().pinned.settings)?;
        let (pins, sites) = (Pins::default(), []);
        let write =
            WriteJob { shared: &engine.shared, progress, state: &state, pins: &pins, sites: &sites, step: None };
        let work = write.work(&again, self.inputs.clone(), Some(&self.physical), None, 0)?;
        if !work.repeats() {
            return Err(not_rescorable(self.job.id(), "its rows may be others each time that it runs"));
        }
        write.write(&work, splits.iter().map(|split| *split as usize)).await?;
        let mut receipts = vec![];
        for split in splits {
            receipts.push((*split, again.receipt(*split).await?.expect("a split that was run has a receipt")));
        }
        Ok(receipts)
    }

    /// A job of the same name, since its files carry it, that can do no harm.
    async fn again(&self, engine: &Engine, folder: &TempDir) -> Result<Job, EngineError> {
        let at = |name: &str| -> Result<Location, EngineError> {
            let url = Url::from_directory_path(folder.path().join(name));
            let url = url.map_err(|()| EngineError::new("no_temporary_folder", "its path is not absolute"))?;
            Ok(volley_connect::location(url.as_str(), &engine.shared.runtime)?)
        };
        let plan = self.job.plan();
        let rejects = match &plan.rejects {
            None => None,
            Some(rejects) => Some(RejectsAt {
                destination: at("rejects")?,
                staging: at("rejects-staging")?,
                extension: rejects.extension.clone(),
                max: rejects.max,
            }),
        };
        let (state, out, staging) = (at("state")?, at("out")?, at("staging")?);
        Ok(Job::begin_pinned(&state, &out, &staging, rejects, plan.spec.clone(), Pinned::default()).await?)
    }
}

fn not_rescorable(id: JobId, why: &str) -> EngineError {
    EngineError::new("not_rescorable", format!("job {id} cannot be scored again: {why}"))
}

/// What a split published, beside what it gives now.
struct Compared {
    files_of_same_bytes: usize,
    differences: Vec<(PublishedFile, String)>,
}

impl Compared {
    fn new(was: &Was, split: u32, again: &[PublishedFile]) -> Self {
        let with_rows = again.iter().filter(|file| file.rows > 0);
        let mut again: BTreeMap<_, _> = with_rows.map(|file| (file.path.as_str(), file)).collect();
        let mut compared = Self { files_of_same_bytes: 0, differences: vec![] };
        for was in was.of_split(split) {
            match again.remove(was.path.as_str()) {
                None => compared.differs(was, "it had rows, and none come out".to_owned()),
                Some(is) => compared.compare(was, is),
            }
        }
        for is in again.into_values() {
            compared.differs(is, format!("it was not published, and {} rows come out", is.rows));
        }
        compared
    }

    fn compare(&mut self, was: &PublishedFile, is: &PublishedFile) {
        let has_same_bytes = was.sha256.is_some() && was.sha256 == is.sha256;
        let has_same_rows = match (&was.rows_sum, &is.rows_sum) {
            (Some(was), Some(is)) => was == is,
            _ => has_same_bytes,
        };
        if was.rows != is.rows {
            self.differs(was, format!("it had {} rows, and {} come out", was.rows, is.rows));
        } else if !has_same_rows {
            self.differs(was, "other rows come out".to_owned());
        } else {
            self.files_of_same_bytes += usize::from(has_same_bytes);
        }
    }

    fn differs(&mut self, file: &PublishedFile, how: String) {
        self.differences.push((file.clone(), how));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(splits: usize, seed: u64) -> Draw {
        Draw { splits: NonZeroUsize::new(splits).expect("some"), seed }
    }

    #[test]
    fn a_seed_draws_the_same_splits_and_none_twice() {
        let drawn = draw(10, 7).drawn(100);
        assert_eq!(drawn, draw(10, 7).drawn(100));
        assert_ne!(drawn, draw(10, 8).drawn(100));
        assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn.len() == 10, "{drawn:?}");
        assert_eq!(draw(10, 7).drawn(3), [0, 1, 2]);
        let seen: std::collections::BTreeSet<u32> = (0..200).flat_map(|seed| draw(2, seed).drawn(9)).collect();
        assert_eq!(seen.len(), 9, "every split can be drawn");
    }
}

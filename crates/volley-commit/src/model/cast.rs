//! Who takes part: owners that drive jobs from their beginning to their publication, attempts, repairs,
//! cancellers. They do what an engine does, with the crate's public functions alone.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::time::sleep;

use super::chance::Chance;
use super::store::{Client, DESTINATION};
use super::watch::Rows;
use crate::{
    Attempt, Before, Error, Job, JobId, JobSpec, Location, Mode, Outcome, Owner, Result, StagedFile, Tally, Waits,
};

const SPLITS: u32 = 3;
const ROWS: usize = 2;
const ROUNDS: usize = 60;

/// The protocol's waits, shortened.
pub(super) const WAITS: Waits = Waits {
    pauses: [Duration::from_millis(10), Duration::from_millis(40), Duration::from_millis(160)],
    lease: Duration::from_secs(2),
    request: Duration::from_secs(3),
    drain: Duration::from_secs(1),
};

/// A job to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Play {
    /// What its rows start with.
    pub(super) tag: &'static str,
    pub(super) id: JobId,
    pub(super) mode: Mode,
    pub(super) state: &'static str,
    pub(super) partitioned: bool,
}

impl Play {
    fn spec(&self) -> JobSpec {
        let (job, mode, splits) = (self.id, self.mode, SPLITS);
        JobSpec { job, mode, splits, extension: "txt".to_owned(), provenance: Default::default() }
    }

    /// The folder of each file of a split.
    fn folders(&self, split: u32) -> &'static [&'static str] {
        match (self.partitioned, split, self.tag) {
            (false, ..) => &[""],
            (true, 0, "j0") => &["p=0", "p=2"],
            (true, 0, _) => &["p=0", "p=1"],
            (true, 1, _) => &["p=1"],
            (true, ..) => &["p=0"],
        }
    }

    fn rows_of(&self, split: u32, file: usize) -> Vec<String> {
        (0..ROWS).map(|row| format!("{}/{split}.{file}.{row}", self.tag)).collect()
    }

    pub(super) fn rows(&self) -> Rows {
        let files = (0..SPLITS).flat_map(|split| self.folders(split).iter().enumerate().map(move |file| (split, file)));
        let rows = files.flat_map(|(split, (nth, folder))| {
            self.rows_of(split, nth).into_iter().map(|row| (String::from(*folder), row))
        });
        rows.collect()
    }
}

/// Work that one actor wants others to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Attempt(Play, u32),
    Repair(Play, u32),
}

/// What an actor has to work with.
#[derive(Clone)]
pub(super) struct Hands {
    pub(super) client: Client,
    pub(super) chance: Rc<RefCell<Chance>>,
    pub(super) calls: Rc<RefCell<Vec<Call>>>,
}

fn at(client: &Client, name: &str) -> Location {
    let location = Location::new(Arc::new(client.clone()), Path::from(name), format!("memory:///{name}"));
    Location { waits: WAITS, ..location }
}

impl Hands {
    fn at(&self, name: &str) -> Location {
        at(&self.client, name)
    }

    fn upto(&self, end: u64) -> u64 {
        self.chance.borrow_mut().below(end)
    }

    async fn open(&self, play: &Play) -> Result<Job> {
        let client = self.client.clone();
        let open = move |url: &str| Ok(at(&client, url.trim_start_matches("memory:///")));
        Job::open(&self.at(play.state), play.id, &open).await
    }

    async fn begin(&self, play: &Play) -> Result<Job> {
        match self.open(play).await {
            Err(Error::UnknownJob { .. }) => {
                let (to, staging) = (self.at(DESTINATION), self.at("out/.volley-staging"));
                Job::begin(&self.at(play.state), &to, &staging, play.spec()).await
            }
            opened => opened,
        }
    }

    /// Every attempt writes other bytes: the same rows in another order, beside a comment.
    async fn stage(&self, job: &Job, attempt: &Attempt, play: &Play) -> Result<(Tally, Vec<StagedFile>)> {
        let mut files = vec![];
        for (nth, folder) in play.folders(attempt.split()).iter().enumerate() {
            let mut rows = play.rows_of(attempt.split(), nth);
            let rows_sum = Some(format!("{:x}", sum(rows.concat().as_bytes())));
            rows.rotate_left(self.upto(ROWS as u64) as usize);
            let body = format!("#{}\n{}\n", "-".repeat(self.upto(50) as usize), rows.join("\n"));
            let path = attempt.staged_path();
            let put = job.staging().store.put(&path, body.clone().into()).await;
            put.map_err(|source| Error::Store { path: path.to_string(), source })?;
            let file = StagedFile::object(&path, *folder, ROWS as u64, body.len() as u64);
            let sha256 = Some(format!("{:x}", sum(body.as_bytes())));
            files.push(StagedFile { sha256, rows_sum, ..file });
        }
        let rows = files.iter().map(|file| file.rows).sum();
        Ok((Tally { rows_in: rows, rows_out: rows, ..Tally::default() }, files))
    }
}

/// FNV: enough to tell contents apart.
fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Tries again while the store has a bad moment.
async fn patiently<T>(mut call: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        match call().await {
            Err(error) if error.is_transient() && tries < ROUNDS => tries += 1,
            answer => return answer,
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Without an owner, as an engine that is alone: for what was there before.
pub(super) async fn alone(hands: Hands, play: Play) {
    let job = hands.begin(&play).await.expect("no faults");
    for split in 0..SPLITS {
        attempt(hands.clone(), play, split).await;
    }
    job.commit().await.expect("no faults");
    job.publish().await.expect("no faults");
}

/// Takes a state over and drives its jobs to their end.
pub(super) async fn own(hands: Hands, plays: Vec<Play>, after: Duration) {
    sleep(after).await;
    let state = hands.at(plays[0].state);
    let taken = patiently(async || Owner::take_over(&state, "model", Before::Unknown).await).await;
    let Ok(owner) = taken.map(Arc::new) else { return };
    futures::future::join_all(plays.iter().map(|play| drive(&hands, play, &owner))).await;
}

async fn drive(hands: &Hands, play: &Play, owner: &Arc<Owner>) {
    for round in 0..ROUNDS as u64 {
        // A refusal may be another state's doing, whose publish is under way: its parts have no marker yet.
        let job = patiently(async || hands.begin(play).await).await.map(|job| job.owned_by(owner.clone()));
        let went = match &job {
            Ok(job) => go_on(hands, play, job).await,
            Err(_) => Ok(false),
        };
        match went {
            Ok(true) | Err(Error::OwnerReplaced { .. }) => return,
            // Longer and longer: another state's owner, who has the turn, may have to wait out a takeover.
            Ok(false) | Err(_) => sleep(Duration::from_millis(30 + 10 * round)).await,
        }
    }
}

/// One look at a job and what follows from it; whether it is over.
async fn go_on(hands: &Hands, play: &Play, job: &Job) -> Result<bool> {
    match job.outcome().await? {
        None => score_or_commit(hands, play, job).await.map(|()| false),
        Some(Outcome::Aborted { .. }) => job.abort("again").await.map(|_| true),
        Some(Outcome::Committed { .. }) => match job.publish().await {
            Err(Error::StagedMissing { .. }) => repair_all(hands, play, job).await.map(|()| false),
            published => published.map(|_| true),
        },
    }
}

async fn score_or_commit(hands: &Hands, play: &Play, job: &Job) -> Result<()> {
    let receipts = job.receipts().await?;
    let missing: Vec<u32> = (0u32..).zip(&receipts).filter(|(_, r)| r.is_none()).map(|(split, _)| split).collect();
    if !missing.is_empty() {
        hands.calls.borrow_mut().extend(missing.iter().map(|split| Call::Attempt(*play, *split)));
        sleep(Duration::from_millis(200 + hands.upto(200))).await;
        return Ok(());
    }
    match job.commit().await {
        Err(Error::OwnerReplaced { state, epoch }) => Err(Error::OwnerReplaced { state, epoch }),
        Err(error) if !error.is_transient() => job.abort("refused").await.map(drop),
        decided => decided.map(drop),
    }
}

async fn repair_all(hands: &Hands, play: &Play, job: &Job) -> Result<()> {
    for split in job.lost_splits().await? {
        if hands.upto(3) == 0 {
            hands.calls.borrow_mut().push(Call::Repair(*play, split));
        }
        make_again(hands, play, job, split).await?;
    }
    Ok(())
}

async fn make_again(hands: &Hands, play: &Play, job: &Job, split: u32) -> Result<()> {
    let attempt = job.attempt(split);
    let (tally, files) = hands.stage(job, &attempt, play).await?;
    attempt.repair(tally, files).await.map(drop)
}

/// An attempt at one split, in a process of its own.
pub(super) async fn attempt(hands: Hands, play: Play, split: u32) {
    let _ = try_attempt(&hands, &play, split).await;
}

async fn try_attempt(hands: &Hands, play: &Play, split: u32) -> Result<()> {
    let job = hands.open(play).await?;
    if job.receipt(split).await?.is_some() {
        return Ok(());
    }
    let attempt = job.attempt(split);
    let (tally, files) = match hands.stage(&job, &attempt, play).await {
        Ok(staged) => staged,
        Err(error) => {
            attempt.discard().await?;
            return Err(error);
        }
    };
    attempt.seal(tally, files).await.map(drop)
}

/// A repair in a process of its own, which may come late.
pub(super) async fn repair(hands: Hands, play: Play, split: u32) {
    if let Ok(job) = hands.open(&play).await {
        let _ = make_again(&hands, &play, &job, split).await;
    }
}

/// Takes away what is left in staging of jobs that are over.
pub(super) async fn sweep(hands: Hands, state: &'static str) {
    let staging = hands.at("out/.volley-staging");
    let _ = crate::collect(&hands.at(state), &staging, super::now(), crate::COLLECT_AGE_MIN).await;
}

/// Someone who changes their mind.
pub(super) async fn cancel(hands: Hands, play: Play) {
    sleep(Duration::from_millis(hands.upto(3000))).await;
    if let Ok(job) = patiently(async || hands.open(&play).await).await {
        let _ = patiently(async || job.cancel("cancelled").await).await;
    }
}

//! Whose turn a destination is: the one record that jobs of all states see.
//!
//! Claims lie in a state, so two states know nothing of each other's. The turn lies in staging, beside the
//! destination, is created once, and is removed when its job is over.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::job::{Job, JobId};
use crate::local::LocalFolder;
use crate::mutants::{Mutant, planted};
use crate::place::Place;
use crate::record::{Records, sha256, versions_folder};

/// Who may decide and publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Turn {
    job: JobId,
    /// URL of the state that knows the job.
    state: String,
}

impl Job {
    /// Takes the turn at each of its places, or finds that it has it already. `destination_busy` while another job
    /// has one.
    pub(crate) async fn take_turns(&self) -> Result<()> {
        let mut places: Vec<&Place> = self.places.iter().collect();
        // All jobs take them in one order: of two that want the same two, the one that has the first gets both.
        places.sort_by_key(|place| place.destination.location.folder_url());
        for place in places {
            self.take_turn(place).await?;
        }
        Ok(())
    }

    async fn take_turn(&self, place: &Place) -> Result<()> {
        let state = &self.records.0;
        let mine = Turn { job: self.id(), state: state.folder_url() };
        let (key, owner, turns) = (place.turn_key(), self.owner(), place.turns());
        let stands = match LocalFolder::of(&place.staging) {
            // Nobody could tell whose it is if half a turn were left.
            Some(_) => {
                let draft = place.staged_path(self, "turn.staged")?;
                turns.create_once_by(&key, &mine, Some(&draft), owner).await?
            }
            None => turns.create_once_by(&key, &mine, None, owner).await?,
        };
        if stands.job == mine.job {
            return Ok(());
        }
        let by = match stands.state == mine.state {
            true => format!("job {}", stands.job),
            false => format!(
                "job {} of the state {} (if that state is gone for good, remove {})",
                stands.job,
                stands.state,
                place.staging.shown(&place.staging.path(&key)?)
            ),
        };
        Err(Error::DestinationBusy { destination: place.destination.location.url.clone(), by })
    }

    /// Whether the job has the turn at one of its places, so that no other job can decide there.
    pub async fn has_turn(&self) -> Result<bool> {
        for place in &self.places {
            if self.has_turn_at(place).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn has_turn_at(&self, place: &Place) -> Result<bool> {
        let turn: Option<Turn> = place.turns().read(&place.turn_key()).await?;
        Ok(turn.is_some_and(|turn| turn.job == self.id()))
    }

    /// Lets the next jobs have their turns. Only for a job that is over; does nothing where it has not the turn.
    pub(crate) async fn pass_turns(&self) -> Result<()> {
        for place in &self.places {
            self.pass_turn(place).await?;
        }
        Ok(())
    }

    async fn pass_turn(&self, place: &Place) -> Result<()> {
        if self.has_turn_at(place).await? {
            self.remove_cut_off_claims(place).await;
            if !planted(Mutant::TurnUnfenced) {
                self.check_owner().await?;
            }
            place.turns().remove(&place.turn_key()).await?;
        }
        if let Some(staging) = LocalFolder::of(&place.staging) {
            staging.remove_if_empty().await;
        }
        Ok(())
    }

    /// While it is our turn, nobody else means to claim a version: what is half there was cut off.
    async fn remove_cut_off_claims(&self, place: &Place) {
        if let Some(state) = LocalFolder::of(&self.records.0) {
            state.remove_cut_off(&format!("{}/", versions_folder(&place.destination.location))).await;
        }
    }
}

impl Place {
    fn turns(&self) -> Records {
        Records(self.staging.clone())
    }

    /// On a disk by the last name of the destination alone, so that all ways to its parent folder lead to one
    /// turn; in a bucket, whose destinations share a staging folder, by its whole path.
    fn turn_key(&self) -> String {
        let url = self.destination.location.url.trim_end_matches('/');
        let name = match LocalFolder::of(&self.staging) {
            Some(_) => url.rsplit('/').next().unwrap_or(url),
            None => self.destination.location.prefix.as_ref(),
        };
        format!("{}.turn", &sha256(name.as_bytes())[..16])
    }
}

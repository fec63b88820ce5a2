//! Whose turn a destination is: the one record that jobs of all states see.
//!
//! Claims lie in a state, so two states know nothing of each other's. The turn lies in staging, beside the
//! destination, is created once, and is removed when its job is over.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::job::{Job, JobId};
use crate::local::LocalFolder;
use crate::mutants::{Mutant, planted};
use crate::record::{Records, sha256, versions_folder};

/// Who may decide and publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Turn {
    job: JobId,
    /// URL of the state that knows the job.
    state: String,
}

impl Job {
    /// Takes the turn, or finds that it has it already. `destination_busy` while another job has it.
    pub(crate) async fn take_turn(&self) -> Result<()> {
        let state = &self.records.0;
        let mine = Turn { job: self.id(), state: state.folder_url() };
        let (key, owner) = (self.turn_key(), self.owner());
        let stands = match LocalFolder::of(&self.staging) {
            // Nobody could tell whose it is if half a turn were left.
            Some(_) => {
                let draft = self.staged_path("turn.staged")?;
                self.turns().create_once_by(&key, &mine, Some(&draft), owner).await?
            }
            None => self.turns().create_once_by(&key, &mine, None, owner).await?,
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
                self.staging.shown(&self.staging.path(&self.turn_key())?)
            ),
        };
        Err(Error::DestinationBusy { destination: self.plan.destination.clone(), by })
    }

    /// Whether the job has the turn at its destination, so that no other job can decide there.
    pub async fn has_turn(&self) -> Result<bool> {
        let turn: Option<Turn> = self.turns().read(&self.turn_key()).await?;
        Ok(turn.is_some_and(|turn| turn.job == self.id()))
    }

    /// Lets the next job have its turn. Only for a job that is over; does nothing if it has not the turn.
    pub(crate) async fn pass_turn(&self) -> Result<()> {
        let turns = self.turns();
        let key = self.turn_key();
        if turns.read(&key).await?.is_some_and(|turn: Turn| turn.job == self.id()) {
            self.remove_cut_off_claims().await;
            if !planted(Mutant::TurnUnfenced) {
                self.check_owner().await?;
            }
            turns.remove(&key).await?;
        }
        if let Some(staging) = LocalFolder::of(&self.staging) {
            staging.remove_if_empty().await;
        }
        Ok(())
    }

    /// While it is our turn, nobody else means to claim a version: what is half there was cut off.
    async fn remove_cut_off_claims(&self) {
        if let Some(state) = LocalFolder::of(&self.records.0) {
            state.remove_cut_off(&format!("{}/", versions_folder(&self.destination.location))).await;
        }
    }

    fn turns(&self) -> Records {
        Records(self.staging.clone())
    }

    /// On a disk by the last name of the destination alone, so that all ways to its parent folder lead to one
    /// turn; in a bucket, whose destinations share a staging folder, by its whole path.
    fn turn_key(&self) -> String {
        let url = self.plan.destination.trim_end_matches('/');
        let name = match LocalFolder::of(&self.staging) {
            Some(_) => url.rsplit('/').next().unwrap_or(url),
            None => self.destination.location.prefix.as_ref(),
        };
        format!("{}.turn", &sha256(name.as_bytes())[..16])
    }
}

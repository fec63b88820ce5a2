//! Who may act for the jobs of a state whose store has no lock that dies with its holder.
//!
//! ```text
//! {state}/owners/{epoch:020}.json      who took over; the highest number is the owner
//! {state}/owners/{epoch:020}.released  that owner has ended and sends nothing any more
//! ```
//!
//! An owner looks for a successor before it touches a destination, and trusts what it saw for one
//! [`Waits::lease`], counted from before it looked. A successor records itself, and touches no destination before
//! that lease is over and [`Waits::request`], the longest that a request can be under way: whatever the one before
//! has sent has landed by then, or never will. What is safe under two owners goes on meanwhile: reading receipts,
//! attempts, [`crate::Job::cancel`]. No two clocks are compared, they only have to run equally fast.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::job::Job;
use crate::location::Location;
use crate::mutants::{Mutant, planted};
use crate::record::{self, Records};

/// The waits of the protocol. The defaults fit remote stores whose clients give up after a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Between the tries to create a record. Short: the clients of remote stores retry by themselves.
    pub pauses: [Duration; 3],
    /// How long an owner trusts that it has no successor.
    pub lease: Duration,
    /// The longest that one call of the store can take, all tries of its client together, and still land.
    pub request: Duration,
    /// The same where it is known that the owner before is dead, so that only the network may hold its requests.
    pub drain: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            pauses: [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(1600)],
            lease: Duration::from_secs(15),
            // The retries' budget of 60 s and one last request of 20 s.
            request: Duration::from_secs(80),
            drain: Duration::from_secs(10),
        }
    }
}

/// How often a look for a successor is repeated whose answer came too late.
const LOOKS_MAX: usize = 3;

/// What is known of the owner before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing: it may be alive and merely slow.
    Unknown,
    /// It is dead: its lock, which dies with its process, was taken from it.
    Dead,
}

#[derive(Serialize, Deserialize)]
struct Epoch {
    /// Of this taking over alone.
    token: String,
    /// For people.
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Released {
    epoch: u64,
}

/// The right to touch the destinations of a state's jobs, until someone takes it over.
#[derive(Debug)]
pub struct Owner {
    records: Records,
    epoch: u64,
    /// When the owner before can do nothing any more.
    acts_from: Instant,
    /// Until when nobody else touches a destination.
    trusted: Mutex<Instant>,
}

impl Owner {
    /// Takes a state over. What touches a destination waits, in [`Owner::check`], until the owner before can do
    /// nothing any more.
    pub async fn take_over(state: &Location, name: &str, before: Before) -> Result<Self> {
        let records = Records(state.clone());
        let epoch = Self::next_epoch(&records, name).await?;
        let recorded = Instant::now();
        let acts_from = recorded + Self::wait(&records, epoch, before).await?;
        Ok(Self { records, epoch, acts_from, trusted: Mutex::new(recorded) })
    }

    async fn next_epoch(records: &Records, name: &str) -> Result<u64> {
        let mine = Epoch { token: Uuid::now_v7().to_string(), name: name.to_owned() };
        let names = records.names("owners").await?;
        let newest = names.iter().filter_map(|name| name.split('.').next()?.parse().ok()).max().unwrap_or(0);
        let mut epoch: u64 = newest + 1;
        while records.create_once(&record::owner_key(epoch), &mine).await?.token != mine.token {
            epoch += 1;
        }
        Ok(epoch)
    }

    async fn wait(records: &Records, epoch: u64, before: Before) -> Result<Duration> {
        let waits = records.0.waits;
        let released = epoch == 1 || records.exists(&record::released_key(epoch - 1)).await?;
        Ok(match before {
            _ if released || planted(Mutant::NoTakeoverDelay) => Duration::ZERO,
            Before::Dead => waits.drain,
            Before::Unknown => waits.lease + waits.request,
        })
    }

    /// Which owner of the state this is, counted from 1.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Lets the next owner start without waiting. Only when nothing of this one is under way any more.
    pub async fn release(&self) -> Result<()> {
        let released = Released { epoch: self.epoch };
        self.records.create_once(&record::released_key(self.epoch), &released).await.map(drop)
    }

    /// How long the owner before may still act, so that this one may not.
    pub fn waits_for(&self) -> Duration {
        self.acts_from.saturating_duration_since(Instant::now())
    }

    /// Waits until the owner before can do nothing any more, and says whether this one is still the owner:
    /// `owner_replaced` if not. To be asked right before whatever must not happen under two owners; asks the store
    /// once a lease.
    pub async fn check(&self) -> Result<()> {
        tokio::time::sleep_until(self.acts_from).await;
        let trusted = *self.trusted.lock().expect("nothing panics while it is held");
        if Instant::now() < trusted || planted(Mutant::NoFence) {
            return Ok(());
        }
        self.confirm().await
    }

    /// Asks the store whether this is still the owner: `owner_replaced` if not. Waits for nobody, so it says nothing
    /// of what the owner before may still do.
    pub async fn confirm(&self) -> Result<()> {
        let next = record::owner_key(self.epoch + 1);
        for _ in 0..LOOKS_MAX {
            // From before the question, whose answer may be long under way.
            let until = Instant::now() + self.records.0.waits.lease;
            if self.records.exists(&next).await? {
                return Err(Error::OwnerReplaced { state: self.records.0.url.clone(), epoch: self.epoch });
            }
            if Instant::now() < until {
                *self.trusted.lock().expect("nothing panics while it is held") = until;
                return Ok(());
            }
        }
        let slow = object_store::Error::Generic { store: "owner", source: "answers come later than the lease".into() };
        Err(self.records.0.failed(&self.records.0.path(&next)?, slow))
    }
}

impl Job {
    /// The same job, which from now on touches its destination only while `owner` is the state's owner.
    #[must_use]
    pub fn owned_by(mut self, owner: Arc<Owner>) -> Self {
        self.owner = Some(owner);
        self
    }

    /// The same where there may be no owner, because a lock that dies with its holder is the right.
    #[must_use]
    pub fn guarded_by(self, owner: Option<&Arc<Owner>>) -> Self {
        Self { owner: owner.cloned().or(self.owner), ..self }
    }

    pub(crate) fn owner(&self) -> Option<&Owner> {
        self.owner.as_deref()
    }

    /// To be asked right before each call that would do harm under two owners.
    pub(crate) async fn check_owner(&self) -> Result<()> {
        match self.owner() {
            Some(owner) => owner.check().await,
            None => Ok(()),
        }
    }
}

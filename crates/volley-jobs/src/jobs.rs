//! The runs of a server: accepted durably, begun when there is room, ended once, and told about.

mod follower;
mod recovery;
mod work;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{SecondsFormat, Utc};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::event::{Event, Happened};
use crate::records::{EndRecord, Recorded, Records};
use crate::row::Job;
use crate::state::{Refused, State, Step};

pub use follower::Follower;
pub use recovery::Home;

/// All runs of one state.
#[derive(Clone)]
pub struct Jobs {
    own: Arc<Own>,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Submission {
    /// What people know it by, such as its file.
    pub name: String,
    /// The caller's own name for it: however often it is asked for, it is one run.
    pub key: Option<String>,
    /// The same for the same request.
    pub digest: String,
    /// The request, as the engine reads it.
    pub body: Value,
}

/// What became of a submission.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The run.
    pub job: Job,
    /// Whether it was accepted just now, and not asked for before.
    pub is_new: bool,
}

struct Own {
    engine: Arc<dyn Engine>,
    records: Records,
    home: Home,
    /// One run is changed at a time: what is read before a change is true while it is made.
    changing: tokio::sync::Mutex<()>,
    room: Arc<Semaphore>,
    /// What asks each run to stop that waits or is under way.
    stops: Mutex<HashMap<String, Arc<watch::Sender<bool>>>>,
    /// Counts what happened to any of them.
    changed: watch::Sender<u64>,
    tasks: Mutex<JoinSet<()>>,
    is_stopping: AtomicBool,
}

impl Jobs {
    /// Opens runs by what is on record of them, and goes on with those that have not ended. At most `at_once` are under way at a
    /// time; the others wait, the oldest first.
    ///
    /// Errors: `bad_state`, those of the store.
    pub async fn open(recorded: Recorded, home: Home, engine: Arc<dyn Engine>, at_once: NonZeroUsize) -> Result<Self> {
        recovery::bring_up(&home.index, &recorded).await?;
        let own = Own {
            engine,
            records: recorded.records,
            home,
            changing: tokio::sync::Mutex::default(),
            room: Arc::new(Semaphore::new(at_once.get())),
            stops: Mutex::default(),
            changed: watch::Sender::default(),
            tasks: Mutex::default(),
            is_stopping: AtomicBool::new(false),
        };
        let jobs = Self { own: Arc::new(own) };
        jobs.go_on().await?;
        Ok(jobs)
    }

    /// Accepts a run: once this returns, it survives whatever dies. The same key and request give the same run.
    ///
    /// Errors: `key_reused`, `server_stopping`, `owner_replaced`, `bad_state`, those of the store and of the engine.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted> {
        if self.own.is_stopping.load(Ordering::SeqCst) {
            return Err(Error::Stopping);
        }
        let _changing = self.own.changing.lock().await;
        let Submission { name, key, digest, body } = submission;
        if let Some(key) = &key
            && let Some(job) = self.own.home.index.job_of_key(key)?
        {
            return known(job, key, &digest);
        }
        let id = self.own.engine.name_run(key.as_deref(), &digest, &body).await.map_err(Error::Engine)?;
        let job = Job::accepted(&id, name, key, digest, now(), body);
        self.own.records.accept(&job).await?;
        self.own.home.index.add(&job, &event_of(&job))?;
        self.start(&id);
        self.own.has_changed();
        Ok(Submitted { job, is_new: true })
    }

    /// A run, by its name or by that of a published job of the engine in it. Errors: `unknown_job`.
    pub fn job(&self, id: &str) -> Result<Job> {
        self.own.home.index.job(id)?.ok_or_else(|| Error::UnknownJob { job: id.to_owned() })
    }

    /// The newest runs, in order of age.
    pub fn newest(&self, max: u32) -> Result<Vec<Job>> {
        self.own.home.index.newest(max)
    }

    /// How many runs wait, and how many are under way.
    pub fn waiting_and_running(&self) -> Result<(usize, usize)> {
        let standings = self.own.home.index.standings()?;
        let count = |wanted: &[State]| standings.iter().filter(|row| wanted.contains(&row.state)).count();
        Ok((count(&[State::Accepted]), count(&[State::Running, State::Canceling])))
    }

    /// Asks a run to stop. What is decided by then is published all the same.
    ///
    /// Errors: `unknown_job`, `job_over`.
    pub async fn cancel(&self, id: &str) -> Result<Job> {
        let _changing = self.own.changing.lock().await;
        let mut job = self.job(id)?;
        let next = after(&job, Step::Cancel)?;
        if next == job.state {
            return Ok(job);
        }
        if next == State::Canceling {
            self.own.records.cancel(&job, now()).await?;
        }
        self.own.change(&mut job, next).await?;
        if let Some(stop) = self.own.stops().get(&job.id) {
            stop.send_replace(true);
        }
        Ok(job)
    }

    /// Goes on with a run that failed or was canceled: what it has published stays as it is.
    ///
    /// Errors: `unknown_job`, `job_over`, `job_running`.
    pub async fn resume(&self, id: &str) -> Result<Job> {
        let _changing = self.own.changing.lock().await;
        let mut job = self.job(id)?;
        let next = after(&job, Step::Resume)?;
        job.begin_round(job.round + 1);
        self.own.records.resume(&job, now()).await?;
        self.own.change(&mut job, next).await?;
        self.start(&job.id);
        Ok(job)
    }

    /// Follows a run from after an event on. Errors: `unknown_job`.
    pub fn follow(&self, id: &str, after: u64) -> Result<Follower> {
        let job = self.job(id)?;
        Ok(Follower::new(self.clone(), job.id, after))
    }

    /// How far a run is that is under way.
    pub fn progress(&self, id: &str) -> Option<Value> {
        self.own.engine.progress(id)
    }

    /// Accepts nothing more, asks what is under way to stop, and ends once it has: the next server goes on with it.
    pub async fn stop(&self) {
        self.own.is_stopping.store(true, Ordering::SeqCst);
        for stop in self.own.stops().values() {
            stop.send_replace(true);
        }
        self.own.has_changed();
        let mut tasks = std::mem::take(&mut *self.own.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

impl Own {
    /// Brings a run into a state, facts first. Results, problems and times are the caller's.
    async fn change(&self, job: &mut Job, state: State) -> Result<()> {
        job.state = state;
        if state.is_over() {
            let ended_at = job.ended_at.get_or_insert_with(now).clone();
            let (results, problems) = (job.results.clone(), job.problems.clone());
            let end = EndRecord { state, ended_at, results, problems };
            self.records.end(job, &end).await?;
        }
        self.home.index.update(job, Some(&event_of(job)))?;
        self.has_changed();
        Ok(())
    }

    fn has_changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn stops(&self) -> MutexGuard<'_, HashMap<String, Arc<watch::Sender<bool>>>> {
        self.stops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The run that a key stood for before.
fn known(job: Job, key: &str, digest: &str) -> Result<Submitted> {
    match job.digest == digest {
        true => Ok(Submitted { job, is_new: false }),
        false => Err(Error::KeyReused { key: key.to_owned(), job: job.id }),
    }
}

fn after(job: &Job, step: Step) -> Result<State> {
    job.state.after(step).map_err(|refused| match refused {
        Refused::Over => Error::JobOver { job: job.id.clone(), state: job.state },
        Refused::UnderWay => Error::JobRunning { job: job.id.clone() },
    })
}

fn event_of(job: &Job) -> Event {
    told(Happened::State { state: job.state, problems: job.problems.clone() })
}

fn told(what: Happened) -> Event {
    Event { number: None, at: now(), what }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

//! The work of one run: begun when there is room, and brought to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;

use super::{Jobs, Own, event_of, now, told};
use crate::engine::{Ended, Teller, Work};
use crate::error::{Error, Result};
use crate::event::Happened;
use crate::index::Standing;
use crate::row::{Job, Problem};
use crate::state::{State, Step};

/// How often it is tried to end a run, and how long is waited in between: a store may be away for a while. One that has
/// no end by then is left to the next server.
const ENDINGS_MAX: u32 = 60;
const ENDINGS_PAUSE: Duration = Duration::from_secs(1);

/// Of a run that its servers did not survive.
const DIED_CODE: &str = "server_died";

impl Jobs {
    /// Lets a run that is accepted, or canceling, come to its end.
    pub(super) fn start(&self, id: &str) {
        let (stop, stopped) = watch::channel(false);
        let stop = Arc::new(stop);
        self.own.stops().insert(id.to_owned(), stop.clone());
        let (jobs, id) = (self.clone(), id.to_owned());
        let mut tasks = self.own.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Those that are done would be kept for ever.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            if let Err(error) = jobs.see_to(&id, stopped).await {
                // It stays as the index says, and the next server goes on with it.
                let _ = jobs.own.home.index.tell(&id, &told(Happened::Note { text: error.to_string() }));
            }
            // It may have been resumed meanwhile: then another one has its place.
            let mut stops = jobs.own.stops();
            if stops.get(&id).is_some_and(|known| Arc::ptr_eq(known, &stop)) {
                stops.remove(&id);
            }
            drop(stops);
            jobs.own.has_changed();
        });
    }

    async fn see_to(&self, id: &str, mut stopped: watch::Receiver<bool>) -> Result<()> {
        if self.job(id)?.state == State::Canceling {
            return self.end(id, Ended::Stopped).await;
        }
        let _room = tokio::select! {
            room = self.own.room.clone().acquire_owned() => room.expect("the room is never closed"),
            // Canceled while it waited, or left to the next server.
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        };
        let Some(job) = self.begin(id).await? else { return Ok(()) };
        let teller = Arc::new(JobTeller { own: self.own.clone(), id: id.to_owned() });
        let (engine, work) = (self.own.engine.clone(), Work { stop: stopped, teller });
        let ended = tokio::spawn(async move { engine.run(&job, work).await }).await;
        let ended = ended.unwrap_or_else(|panic| Ended::Failed(vec![Problem::new("panicked", panic.to_string())]));
        self.end(id, ended).await
    }

    /// The run, once its work may begin; none if that is no longer to be.
    async fn begin(&self, id: &str) -> Result<Option<Job>> {
        let _changing = self.own.changing.lock().await;
        let mut job = self.job(id)?;
        let Ok(state) = job.state.after(Step::Begin) else { return Ok(None) };
        if self.own.is_stopping.load(Ordering::SeqCst) {
            return Ok(None);
        }
        job.begun += 1;
        job.began_at = Some(now());
        self.own.change(&mut job, state).await?;
        Ok(Some(job))
    }

    /// Brings a run to its end, once what it left undecided is given up if it was canceled.
    async fn end(&self, id: &str, mut ended: Ended) -> Result<()> {
        let mut is_given_up = false;
        for _ in 0..ENDINGS_MAX {
            let job = self.job(id)?;
            let is_undecided = |state| state == State::Canceling && !matches!(ended, Ended::Done(_));
            if is_undecided(job.state) && !is_given_up {
                match self.own.engine.give_up(&job).await {
                    Ok(Some(results)) => ended = Ended::Done(results),
                    Ok(None) => (ended, is_given_up) = (Ended::Stopped, true),
                    Err(problem) => {
                        let text = format!("it cannot be given up yet: {}", problem.message);
                        self.own.home.index.tell(id, &told(Happened::Note { text }))?;
                        tokio::time::sleep(ENDINGS_PAUSE).await;
                    }
                }
                continue;
            }
            let changing = self.own.changing.lock().await;
            let mut job = self.job(id)?;
            // Canceled a moment ago.
            if is_undecided(job.state) && !is_given_up {
                continue;
            }
            let step = match &ended {
                Ended::Done(results) => {
                    job.results.clone_from(results);
                    Step::Succeed
                }
                Ended::Failed(problems) if job.state == State::Running => {
                    job.problems.clone_from(problems);
                    Step::Fail
                }
                Ended::Failed(_) | Ended::Stopped => Step::Stop,
            };
            let next = job.state.after(step).expect("a run under way ends");
            match self.own.change(&mut job, next).await {
                Err(Error::Facts(error)) if error.is_transient => {
                    self.own.home.index.tell(id, &told(Happened::Note { text: format!("its end waits: {error}") }))?;
                }
                changed => return changed,
            }
            drop(changing);
            tokio::time::sleep(ENDINGS_PAUSE).await;
        }
        Ok(())
    }
}

/// Tells of a run what its engine says.
struct JobTeller {
    own: Arc<Own>,
    id: String,
}

#[async_trait]
impl Teller for JobTeller {
    async fn note(&self, text: String) {
        // Told for information: the run goes on whether it is kept or not.
        let _ = self.own.home.index.tell(&self.id, &told(Happened::Note { text }));
        self.own.has_changed();
    }

    async fn published(&self, result: Value) {
        let _changing = self.own.changing.lock().await;
        let Ok(Some(mut job)) = self.own.home.index.job(&self.id) else { return };
        // A run that goes on finds what it published before.
        if job.results.contains(&result) || job.results.iter().any(|known| is_same(known, &result)) {
            return;
        }
        job.results.push(result.clone());
        // What is not kept here is found again by whoever goes on with the run.
        let _ = self.own.home.index.update(&job, Some(&told(Happened::Published { result })));
        self.own.has_changed();
    }
}

/// Whether both are of one job of the engine.
fn is_same(one: &Value, other: &Value) -> bool {
    one.get("job").is_some_and(|job| Some(job) == other.get("job"))
}

impl Jobs {
    /// Goes on with what was under way or waiting when the process before this one ended.
    pub(super) async fn go_on(&self) -> Result<()> {
        for Standing { id, state, .. } in self.own.home.index.standings()? {
            if state.is_over() {
                continue;
            }
            let mut job = self.job(&id)?;
            let next = state.after(Step::CutOff(job.begun)).expect("a run under way can be cut off");
            if next == State::Failed {
                let message =
                    format!("its server died {} times while it was under way: resume it to try again", job.begun);
                job.problems = vec![Problem::new(DIED_CODE, message)];
            }
            match next == state {
                true => self.own.home.index.tell(&id, &event_of(&job))?,
                false => self.own.change(&mut job, next).await?,
            }
            if !next.is_over() {
                self.start(&id);
            }
        }
        Ok(())
    }
}

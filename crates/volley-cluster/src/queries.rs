//! The queries that are under way: one for each attempt of the server to have a split run.
//!
//! A query is launched once. Where Ballista would launch it again, because it took an executor for dead, nothing
//! happens: whether a split is to run elsewhere is decided by whoever waits for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ballista_scheduler::scheduler_server::JobIdGenerator;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::failure::Failure;
use crate::pulse::Instance;

/// All of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Queries(Mutex<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    waiter: mpsc::Sender<Signal>,
    entered: Instant,
    launched: Option<Launch>,
}

#[derive(Debug)]
struct Launch {
    /// The name by which Ballista knows the executor.
    executor: String,
    at: Instant,
}

/// What is heard of a query, other than from Ballista.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Signal {
    /// It has ended on its executor.
    Ended(Option<Failure>),
    /// Its executor has died.
    Lost,
    /// Its executor lives, and does not run it.
    Missing,
    /// It did not reach an executor.
    NotLaunched,
}

/// A query, until it is dropped.
pub(crate) struct Waiting<'a> {
    queries: &'a Queries,
    id: String,
}

impl Queries {
    /// A new query, and what is heard of it.
    pub(crate) fn enter(&self, id: String) -> (Waiting<'_>, mpsc::Receiver<Signal>) {
        // More than is ever said of one query.
        let (waiter, heard) = mpsc::channel(8);
        self.lock().insert(id.clone(), Entry { waiter, entered: Instant::now(), launched: None });
        (Waiting { queries: self, id }, heard)
    }

    /// Whether a query is to be launched, for the first and only time.
    pub(crate) fn launch(&self, id: &str, executor: &str) -> bool {
        match self.lock().get_mut(id) {
            Some(entry) if entry.launched.is_none() => {
                entry.launched = Some(Launch { executor: executor.to_owned(), at: Instant::now() });
                true
            }
            _ => false,
        }
    }

    pub(crate) fn signal(&self, id: &str, signal: Signal) {
        if let Some(entry) = self.lock().get(id) {
            // Whoever waits has heard enough if there is no room.
            let _ = entry.waiter.try_send(signal);
        }
    }

    /// The queries that were launched on an instance, at least `age` ago.
    pub(crate) fn launched_on(&self, instance: Instance, age: Duration) -> Vec<String> {
        self.launched(|executor| instance.is(executor), age)
    }

    /// The queries that were launched at least `age` ago on an executor that is not known.
    pub(crate) fn launched_elsewhere(&self, is_known: impl Fn(&str) -> bool, age: Duration) -> Vec<String> {
        self.launched(|executor| !is_known(executor), age)
    }

    /// The queries that have waited at least so long to be launched.
    pub(crate) fn unlaunched(&self, age: Duration) -> Vec<String> {
        self.those(|entry| entry.launched.is_none() && entry.entered.elapsed() >= age)
    }

    fn launched(&self, is_it: impl Fn(&str) -> bool, age: Duration) -> Vec<String> {
        let is_launched = |launch: &Launch| launch.at.elapsed() >= age && is_it(&launch.executor);
        self.those(|entry| entry.launched.as_ref().is_some_and(&is_launched))
    }

    fn those(&self, is_one: impl Fn(&Entry) -> bool) -> Vec<String> {
        self.lock().iter().filter(|(_, entry)| is_one(entry)).map(|(id, _)| id.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting<'_> {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queries.lock().remove(&self.id);
    }
}

tokio::task_local! {
    /// The name of the query that the running task submits.
    pub(crate) static NAME: String;
}

/// Names queries as their submitters do: Ballista asks for a name within the call that submits.
#[derive(Debug)]
pub(crate) struct Names;

#[async_trait]
impl JobIdGenerator for Names {
    async fn next_id(&self) -> String {
        NAME.try_with(Clone::clone).unwrap_or_else(|_| Uuid::now_v7().to_string())
    }
}

/// Shared by all who hear of queries.
pub(crate) type SharedQueries = Arc<Queries>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_launched_once_and_only_while_someone_waits_for_it() {
        let queries = Queries::default();
        let (waiting, _heard) = queries.enter("q".to_owned());
        assert!(queries.launch("q", "e1"));
        assert!(!queries.launch("q", "e2"), "not again");
        drop(waiting);
        assert!(!queries.launch("q", "e1"), "nobody waits");
    }

    #[test]
    fn a_query_that_waits_or_went_to_somebody_unknown_is_found() {
        let queries = Queries::default();
        let (_one, _heard) = queries.enter("waits".to_owned());
        let (_other, _heard) = queries.enter("gone".to_owned());
        assert!(queries.launch("gone", "e1"));
        assert_eq!(queries.unlaunched(Duration::ZERO), ["waits"]);
        assert_eq!(queries.launched_elsewhere(|executor| executor == "e2", Duration::ZERO), ["gone"]);
        assert!(queries.launched_elsewhere(|executor| executor == "e1", Duration::ZERO).is_empty());
        let hour = Duration::from_secs(3600);
        assert!(queries.unlaunched(hour).is_empty() && queries.launched_elsewhere(|_| false, hour).is_empty());
    }

    #[test]
    fn what_is_said_of_a_query_reaches_whoever_waits_for_it() {
        let queries = Queries::default();
        let (_waiting, mut heard) = queries.enter("q".to_owned());
        let instance = Instance::new();
        assert!(queries.launch("q", &instance.executor(1)));
        assert_eq!(queries.launched_on(instance, Duration::ZERO), ["q"]);
        assert!(queries.launched_on(instance, Duration::from_secs(60)).is_empty());
        assert!(queries.launched_on(Instance::new(), Duration::ZERO).is_empty());
        queries.signal("q", Signal::Lost);
        assert_eq!(heard.try_recv(), Ok(Signal::Lost));
    }
}

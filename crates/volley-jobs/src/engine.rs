//! What runs are run by, as this crate sees it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;

use crate::row::{Job, Problem};

/// Runs what runs ask for. It may be asked to do the same run again, in this process or in a later one: what is done
/// of it is not done again, and what it published stays as it is.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// A name for a new run; with a key, the name that stands for this key and digest, for ever.
    ///
    /// Error: `key_reused` if another digest came with the key before.
    async fn name_run(&self, key: Option<&str>, digest: &str, body: &Value) -> Result<String, Problem>;

    /// Does the work of a run to its end, or until it is asked to stop.
    async fn run(&self, job: &Job, work: Work) -> Ended;

    /// Gives up what a stopped run left undecided. Says what the run published if all of it was decided before.
    async fn give_up(&self, job: &Job) -> Result<Option<Vec<Value>>, Problem>;

    /// How far a run is that is under way; none if nothing is to be told.
    fn progress(&self, id: &str) -> Option<Value>;
}

/// How the work of a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// All of it is done: what its statements published.
    Done(Vec<Value>),
    /// It failed.
    Failed(Vec<Problem>),
    /// It stopped, as it was asked to.
    Stopped,
}

/// What the engine is given beside the request.
pub struct Work {
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) teller: Arc<dyn Teller>,
}

/// Takes in what is to be told of a run while it is under way.
#[async_trait]
pub trait Teller: Send + Sync {
    /// Something to read, in one line.
    async fn note(&self, text: String);
    /// A statement published its result.
    async fn published(&self, result: Value);
}

impl Work {
    /// Ends when the run is asked to stop.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // Whoever could ask being gone is reason enough.
        let _ = stop.wait_for(|stopping| *stopping).await;
    }

    /// Who is told.
    pub fn teller(&self) -> &Arc<dyn Teller> {
        &self.teller
    }
}

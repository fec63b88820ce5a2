//! The facts about jobs, in the state of the engine.

use async_trait::async_trait;
use serde_json::Value;
use volley_engine::{EngineError, Facts};
use volley_jobs::Unkept;

/// Records in a folder of the state.
pub(super) struct InState(pub(super) Facts);

#[async_trait]
impl volley_jobs::Facts for InState {
    async fn write(&self, key: &str, record: Value) -> Result<(), Unkept> {
        self.0.write(key, &record).await.map(drop).map_err(unkept)
    }

    async fn read(&self, key: &str) -> Result<Option<Value>, Unkept> {
        self.0.read(key).await.map_err(unkept)
    }

    async fn names(&self, folder: &str) -> Result<Vec<String>, Unkept> {
        self.0.names(folder).await.map_err(unkept)
    }

    fn epoch(&self) -> u64 {
        self.0.epoch()
    }
}

fn unkept(error: impl Into<EngineError>) -> Unkept {
    let error: EngineError = error.into();
    // The code goes beside it.
    let message = error.problems.first().map_or_else(String::new, |problem| problem.message.clone());
    Unkept { code: error.code().to_owned(), message, is_transient: error.is_transient() }
}

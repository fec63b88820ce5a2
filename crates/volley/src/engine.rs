//! The engine of this process: opened, told about, and stopped in order when the user stops us.

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use volley_engine::{Engine, EngineSettings};

use crate::report::Failure;

/// How long a stopped command may take to give its job up, or to publish what is committed already.
const FINISH_TIME_MAX: Duration = Duration::from_secs(30);

/// Opens the engine, and says what it finished of jobs that were cut off.
pub async fn open(settings: EngineSettings) -> Result<Engine, Failure> {
    let engine = Engine::open(settings).await?;
    for line in engine.recovered() {
        // Told for information: whether anybody reads it changes nothing.
        let _ = writeln!(io::stderr(), "{line}");
    }
    Ok(engine)
}

/// Opens the engine and works with it, until the work is done or the user stops it.
pub async fn with<T>(
    settings: EngineSettings,
    work: impl AsyncFnOnce(&Engine) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let engine = open(settings).await?;
    until_stopped(&engine, work(&engine), stopped()).await
}

/// Works until it is done, or until `stopped`. Then a job without a decision is given up; one that is committed
/// is published, and the work ends as if nobody had stopped it.
pub async fn until_stopped<T>(
    engine: &Engine,
    work: impl Future<Output = Result<T, Failure>>,
    stopped: impl Future,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return done,
        _ = stopped => {}
    }
    let stopping = engine.stop();
    if !stopping.is_writing() {
        return Err(Failure::interrupted());
    }
    let ended = tokio::time::timeout(FINISH_TIME_MAX, work).await;
    ended.unwrap_or_else(|_| Err(stopping.cut_off().into()))
}

/// Ends when the user, or whatever started us, asks us to stop.
#[cfg(unix)]
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

/// Ends when the user asks us to stop.
#[cfg(not(unix))]
async fn stopped() {
    drop(tokio::signal::ctrl_c().await);
}

//! The engine of this process: opened, told about, and stopped in order when the user stops us.

use std::io::{self, Write};

use volley_engine::{Engine, EngineSettings};

use crate::report::Failure;

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

/// Works until it is done, or until `stopped`: then the running job is given up.
pub async fn until_stopped<T>(
    engine: &Engine,
    work: impl Future<Output = Result<T, Failure>>,
    stopped: impl Future,
) -> Result<T, Failure> {
    let done = tokio::select! {
        done = work => Some(done),
        _ = stopped => None,
    };
    // The work is dropped by now, so nothing of it runs beside giving up its job.
    match done {
        Some(done) => done,
        None => {
            engine.abort_running().await?;
            Err(Failure::interrupted())
        }
    }
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

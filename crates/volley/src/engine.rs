//! The engine of this process: opened, told about, and stopped in order when the user stops us.

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use volley_engine::{Engine, EngineSettings, Intent};

use crate::report::Failure;

/// How long a stopped command may take to give its job up, or to publish what is committed already.
pub const FINISH_TIME_MAX: Duration = Duration::from_secs(30);

/// Opens the engine, and says what it finished of jobs that were cut off.
pub async fn open(settings: EngineSettings) -> Result<Engine, Failure> {
    open_for(settings, &Intent::Anything).await
}

async fn open_for(settings: EngineSettings, intent: &Intent) -> Result<Engine, Failure> {
    if settings.state_folder().is_none() {
        let message = format!(
            "the state '{}' has one server at a time, whose place this command would take: reach that with --cluster, or name a folder with --state",
            settings.state
        );
        return Err(Failure::new("invalid_setting", message));
    }
    let engine = Engine::open_for(settings, intent).await?;
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
    with_for(settings, &Intent::Anything, work).await
}

/// Works with the jobs of a state, and changes none: of one in a bucket too, beside its server.
pub async fn looking<T>(
    settings: EngineSettings,
    work: impl AsyncFnOnce(&Engine) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let engine = Engine::guest(settings).await?;
    until_stopped(&engine, work(&engine), stopped()).await
}

/// The same for a command that may go on with what was cut off.
pub async fn with_for<T>(
    settings: EngineSettings,
    intent: &Intent,
    work: impl AsyncFnOnce(&Engine) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let engine = open_for(settings, intent).await?;
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
    if stopping.is_writing()
        && let Ok(done) = tokio::time::timeout(FINISH_TIME_MAX, work.as_mut()).await
    {
        return done;
    }
    // The work is still there, so it can be told what of it is cut off.
    Err(stopping.cut_off().into())
}

/// Ends when the user, or whatever started us, asks us to stop.
#[cfg(unix)]
pub async fn stopped() {
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
pub async fn stopped() {
    drop(tokio::signal::ctrl_c().await);
}

#[cfg(test)]
mod tests {
    use volley_engine::{EngineError, Params, parse_script};

    use super::*;

    async fn append(engine: &Engine) -> Result<(), Failure> {
        let sql = "COPY (SELECT value FROM generate_series(1, 1000)) TO 'out/' STORED AS CSV OPTIONS (mode 'append')";
        for statement in parse_script(sql)? {
            engine.session().run(&statement, &Params::default()).await?;
        }
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stopped_command_fails_only_if_it_published_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().to_path_buf();
        let settings = EngineSettings { registry_base: base.clone(), base, ..EngineSettings::default() };
        let engine = open(settings).await.unwrap();
        let interrupted = Failure::from(EngineError::new("interrupted", "")).text();
        let (mut moment, mut published, mut given_up) = (Duration::ZERO, 0, 0);
        // Later and later, until the work is done before it is stopped.
        while published < 3 {
            match until_stopped(&engine, append(&engine), tokio::time::sleep(moment)).await {
                Ok(()) => published += 1,
                Err(failure) => {
                    assert!(failure.text().ends_with(&interrupted), "{}", failure.text());
                    given_up += 1;
                }
            }
            let files = std::fs::read_dir(folder.path().join("out")).into_iter().flatten();
            let parts = files.filter(|file| file.as_ref().unwrap().file_name() != "_SUCCESS").count();
            assert_eq!(parts, published, "stopped after {moment:?}");
            moment += Duration::from_millis(1);
        }
        assert!(given_up > 0, "nothing was stopped before its decision");
    }
}

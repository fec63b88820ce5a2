//! Where the records of jobs lie: in a folder of this machine, or in a bucket that one process works on at a time.

use datafusion::execution::runtime_env::RuntimeEnv;
use url::Url;
use volley_commit::{Before, Location, Owner, Waits, preflight};

use crate::error::EngineError;
use crate::locks::JobLocks;
use crate::settings::EngineSettings;

/// What a process does with a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It begins jobs, decides and publishes them. It takes over a state in a bucket.
    Owner,
    /// It runs splits of jobs that the owner has begun.
    Worker,
    /// It looks at jobs, and writes nothing.
    Guest,
}

/// Opens the state of the settings, and makes it if its owner is to be.
///
/// Errors: `bad_state`, `store_unfit`, and those of the store.
pub(crate) async fn open(
    settings: &EngineSettings,
    runtime: &RuntimeEnv,
    role: Role,
) -> Result<(Location, JobLocks), EngineError> {
    let (state, locks) = match (settings.state_folder(), role) {
        (None, Role::Owner) => return taken_over(settings, runtime).await,
        (None, Role::Worker | Role::Guest) => (in_bucket(settings, runtime)?, JobLocks::Elsewhere),
        (Some(folder), Role::Worker | Role::Guest) if !folder.is_dir() => {
            let message =
                format!("the state folder `{}` is not there: it must be that of the server", folder.display());
            return Err(EngineError::new("bad_state", message));
        }
        (Some(_), _) => in_folder(settings, runtime)?,
    };
    if role == Role::Worker {
        preflight(&state).await?;
    }
    Ok((state, locks))
}

fn in_folder(settings: &EngineSettings, runtime: &RuntimeEnv) -> Result<(Location, JobLocks), EngineError> {
    let bad = |error: &dyn std::error::Error| {
        let message = format!("the state folder `{}` cannot be used: {error}", settings.state);
        EngineError::new("bad_state", message)
    };
    let folder = std::path::absolute(settings.base.join(&settings.state)).map_err(|error| bad(&error))?;
    std::fs::create_dir_all(&folder).map_err(|error| bad(&error))?;
    let locks = JobLocks::open(&folder).map_err(|error| bad(&error))?;
    let url = Url::from_directory_path(&folder).map_err(|()| EngineError::new("bad_state", "no absolute path"))?;
    Ok((volley_connect::location(url.as_str(), runtime)?, locks))
}

fn in_bucket(settings: &EngineSettings, runtime: &RuntimeEnv) -> Result<Location, EngineError> {
    let budget = settings.store_budget;
    // What is tried again until the budget is spent may send one more request then.
    let request = budget.retry + budget.timeout;
    let waits = Waits { lease: settings.state_lease, request, ..Waits::default() };
    Ok(Location { waits, ..volley_connect::location(&settings.state, runtime)? })
}

async fn taken_over(settings: &EngineSettings, runtime: &RuntimeEnv) -> Result<(Location, JobLocks), EngineError> {
    let state = in_bucket(settings, runtime)?;
    preflight(&state).await?;
    let owner = Owner::take_over(&state, &format!("process {}", std::process::id()), Before::Unknown).await?;
    Ok((state, JobLocks::of(owner)))
}

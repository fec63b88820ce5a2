//! The library of ONNX Runtime in this process: loaded once, and kept.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;

use crate::ModelError;

/// What was loaded, and from where. The binding has one for the whole process, and so have we.
static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

struct Loaded {
    path: PathBuf,
    environment: Environment,
}

/// ONNX Runtime from the library at `path`. One that could not be loaded may be tried again.
pub(super) fn loaded(path: &Path) -> Result<Environment, ModelError> {
    let path = std::path::absolute(path).map_err(|error| unavailable(path, &error.to_string()))?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    match &*loaded {
        Some(loaded) if loaded.path == path => return Ok(loaded.environment.clone()),
        Some(loaded) => {
            let reason = format!("this process has loaded `{}`, and there is one in a process", loaded.path.display());
            return Err(unavailable(&path, &reason));
        }
        None => {}
    }
    // The binding panics where a library has the right name inside and does not hold what it promises.
    let environment = catch_unwind(AssertUnwindSafe(|| open(&path)))
        .unwrap_or_else(|_| Err(unavailable(&path, "it is not a whole ONNX Runtime")))?;
    *loaded = Some(Loaded { path, environment: environment.clone() });
    Ok(environment)
}

fn open(path: &Path) -> Result<Environment, ModelError> {
    let builder = ort::init_from(path).map_err(|error| unavailable(path, &reason(&error)))?;
    // Its logs hold values of the data; what a user needs comes back as errors.
    let silent = Arc::new(|_: LogLevel, _: &str, _: &str, _: &str, _: &str| {});
    let environment = builder.with_name("volley").with_telemetry(false).with_logger(silent).build();
    let environment = environment.map_err(|error| unavailable(path, error.message()))?;
    environment.set_log_level(LogLevel::Fatal);
    Ok(environment)
}

fn reason(error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::Dlopen { error, .. } => error.to_string(),
        LoadDynamicError::MissingApi { .. } => "it is no library of ONNX Runtime".to_owned(),
        LoadDynamicError::InvalidVersionString => "it does not say its version".to_owned(),
        LoadDynamicError::BadVersion { version_str, .. } => {
            format!("it is version {version_str}, and 1.{} or later is needed", ort::MINOR_VERSION)
        }
    }
}

fn unavailable(path: &Path, reason: &str) -> ModelError {
    ModelError::RuntimeUnavailable(format!(
        "the library of ONNX Runtime `{}` cannot be loaded: {reason}; name another in the setting `onnxruntime`",
        path.display()
    ))
}

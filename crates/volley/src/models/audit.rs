//! `volley models audit`: by which road each model of a registry or of a folder can be scored, and why not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use volley_model::{Artifact, Limits, ModelError, Runtime, Runtimes};
use volley_registry::Registry;

use crate::answer::print;
use crate::models::trial::{self, Terms};
use crate::report::Failure;
use crate::text_table::aligned;

/// How a model can be scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Road {
    /// By our own kernels, straight from columns.
    Native,
    /// By tract, with our operators in it.
    Tract,
    /// By ONNX Runtime.
    Ort,
    /// Once it is converted to ONNX.
    Converts,
    /// Not at all.
    Refused,
}

impl Road {
    const ALL: [Road; 5] = [Road::Native, Road::Tract, Road::Ort, Road::Converts, Road::Refused];

    fn name(self) -> &'static str {
        match self {
            Road::Native => "native",
            Road::Tract => "tract",
            Road::Ort => "ort",
            Road::Converts => "converts",
            Road::Refused => "refused",
        }
    }
}

impl From<Runtime> for Road {
    fn from(runtime: Runtime) -> Self {
        match runtime {
            Runtime::Native => Road::Native,
            Runtime::Tract => Road::Tract,
            Runtime::Ort => Road::Ort,
        }
    }
}

/// One model, with what stands in its way.
#[derive(Debug, Serialize)]
struct Audited {
    model: String,
    road: Road,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// All models, and how many take each road.
#[derive(Debug, Serialize)]
struct Audit {
    models: Vec<Audited>,
    shares: BTreeMap<Road, Share>,
}

#[derive(Debug, Serialize)]
struct Share {
    models: usize,
    /// Of all, from 0 to 1.
    share: f64,
}

/// Inspects every version of the registry, or every model directory and `.onnx` file below a folder. What tract refuses
/// in a folder is tried with ONNX Runtime, if that is there.
pub async fn audit(registry: &Registry, folder: Option<&Path>, runtimes: &Runtimes, json: bool) -> Result<(), Failure> {
    let models = match folder {
        Some(folder) => of_folder(registry, folder, runtimes).await?,
        None => of_registry(registry, runtimes).await?,
    };
    let nothing = || match folder {
        Some(folder) => format!("no models below {}\n", folder.display()),
        None => format!("no models in {}: register one with `volley models register`\n", registry.url()),
    };
    let audit = Audit::of(models);
    print(&audit, || if audit.models.is_empty() { nothing() } else { audit.text() }, json)
}

async fn of_registry(registry: &Registry, runtimes: &Runtimes) -> Result<Vec<Audited>, Failure> {
    let mut models = Vec::new();
    for model in registry.models().await? {
        for version in model.versions {
            let name = format!("{}/{version}", model.name);
            models.push(match registry.files(&model.name, version).await {
                Ok(files) => {
                    audited(name, &files.artifact, files.runtime, |error| files.next_step(error), runtimes).await
                }
                Err(error) => refused(name, error.code(), error.to_string()),
            });
        }
    }
    Ok(models)
}

async fn of_folder(registry: &Registry, folder: &Path, runtimes: &Runtimes) -> Result<Vec<Audited>, Failure> {
    let root = folder.to_path_buf();
    let places = tokio::task::spawn_blocking(move || places(&root)).await;
    let places = places.map_err(|_| volley_registry::Error::Stopped)?;
    let mut models = Vec::new();
    for place in places.map_err(|error| Failure::unreadable(folder, &error))? {
        let name = place.display().to_string();
        models.push(match registry.read(&name).await {
            Ok(artifact) => audited(name, &artifact, None, |_| None, runtimes).await,
            Err(error) => refused(name, error.code(), error.to_string()),
        });
    }
    Ok(models)
}

/// Model directories and `.onnx` files, in order. What lies in a model directory is part of that model.
fn places(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        if folder.join("MLmodel").is_file() {
            found.push(folder);
            continue;
        }
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            // A link could lead in a circle.
            let kind = entry.file_type()?;
            let is_graph = entry.path().extension().is_some_and(|ending| ending.eq_ignore_ascii_case("onnx"));
            match (kind.is_dir(), kind.is_file() && is_graph) {
                (true, _) => open.push(entry.path()),
                (_, true) => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The road of a model's files, for the runtime that they were registered for, if they were. `next_step` knows more of
/// some errors.
async fn audited(
    model: String,
    artifact: &Artifact,
    registered: Option<Runtime>,
    next_step: impl Fn(&ModelError) -> Option<String>,
    runtimes: &Runtimes,
) -> Audited {
    let files = artifact.clone();
    let told = |error: &ModelError| match next_step(error) {
        Some(next) => format!("{error}; {next}"),
        None => error.to_string(),
    };
    match tokio::task::spawn_blocking(move || road(&files, registered)).await {
        Ok(Ok(Road::Ort)) => match runtimes.check_onnxruntime() {
            Ok(()) => Audited { model, road: Road::Ort, code: None, reason: None },
            // The version is what it is: this program cannot score it as it is set up.
            Err(error) => because(model, Road::Ort, error.code(), error.to_string()),
        },
        Ok(Ok(road)) => Audited { model, road, code: None, reason: None },
        Ok(Err(error)) if error.converts() => because(model, Road::Converts, error.code(), told(&error)),
        Ok(Err(error)) if registered.is_none() && is_tract_alone(&error) => {
            with_onnxruntime(model, artifact, &error, runtimes).await
        }
        Ok(Err(error)) => refused(model, error.code(), told(&error)),
        Err(_) => refused(model, "model_panicked", "inspecting the model failed in an unexpected way".to_string()),
    }
}

fn because(model: String, road: Road, code: &'static str, reason: String) -> Audited {
    Audited { model, road, code: Some(code), reason: Some(reason) }
}

fn refused(model: String, code: &'static str, reason: String) -> Audited {
    because(model, Road::Refused, code, reason)
}

fn road(artifact: &Artifact, registered: Option<Runtime>) -> Result<Road, ModelError> {
    Ok(volley_model::inspect_for(artifact, registered, &Limits::default())?.runtime.into())
}

/// Whether another runtime may take what was refused: for its operators, or because tract could not make sense of it.
fn is_tract_alone(error: &ModelError) -> bool {
    matches!(error.code(), "unsupported_operator" | "model_invalid" | "model_panicked")
}

/// The road of a model that tract refuses. ONNX Runtime is asked in a process of its own, which a hostile file may end.
async fn with_onnxruntime(model: String, artifact: &Artifact, error: &ModelError, runtimes: &Runtimes) -> Audited {
    let files = artifact.clone();
    let readable = tokio::task::spawn_blocking(move || road(&files, Some(Runtime::Ort))).await;
    if !matches!(readable, Ok(Ok(_))) {
        return refused(model, error.code(), error.to_string());
    }
    if let Err(unavailable) = runtimes.check_onnxruntime() {
        return refused(model, error.code(), format!("{error}; ONNX Runtime might score it: {unavailable}"));
    }
    match trial::try_out(artifact, Terms::new(&[], Some(Runtime::Ort), runtimes)).await {
        Ok(_) => {
            let reason = format!("tract refuses it: {error}; ONNX Runtime loads it, registered with --runtime ort");
            because(model, Road::Ort, error.code(), reason)
        }
        Err(_) => refused(model, error.code(), format!("{error}; ONNX Runtime refuses it too")),
    }
}

impl Audit {
    fn of(models: Vec<Audited>) -> Self {
        let all = models.len();
        let share = |road: Road| {
            let models = models.iter().filter(|model| model.road == road).count();
            (models > 0).then(|| (road, Share { models, share: models as f64 / all as f64 }))
        };
        let shares = Road::ALL.into_iter().filter_map(share).collect();
        Audit { models, shares }
    }

    fn text(&self) -> String {
        let heading = ["MODEL", "ROAD", "REASON"].map(String::from);
        let row = |model: &Audited| {
            let code = model.code.map(|code| format!(" [{code}]")).unwrap_or_default();
            let reason = model.reason.clone().unwrap_or_default();
            [model.model.clone(), model.road.name().to_string(), format!("{reason}{code}")]
        };
        let table = aligned(&[heading].into_iter().chain(self.models.iter().map(row)).collect::<Vec<_>>());
        let share =
            |(road, share): (&Road, &Share)| format!("{} {} ({:.0} %)", share.models, road.name(), share.share * 100.0);
        let shares: Vec<_> = self.shares.iter().map(share).collect();
        let models = if self.models.len() == 1 { "model" } else { "models" };
        format!("{table}\n{} {models}: {}\n", self.models.len(), shares.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(model: &str, road: Road, reason: Option<&str>) -> Audited {
        let code = reason.map(|_| "unsupported_flavor");
        Audited { model: model.to_string(), road, code, reason: reason.map(str::to_string) }
    }

    #[test]
    fn each_model_has_a_line_and_each_road_its_share() {
        let convert = "flavor sklearn cannot be scored here";
        let models = vec![
            one("a/1", Road::Tract, None),
            one("a/2", Road::Tract, None),
            one("b/1", Road::Converts, Some(convert)),
        ];
        assert_eq!(
            Audit::of(models).text(),
            "MODEL  ROAD      REASON\n\
             a/1    tract\n\
             a/2    tract\n\
             b/1    converts  flavor sklearn cannot be scored here [unsupported_flavor]\n\
             \n\
             3 models: 2 tract (67 %), 1 converts (33 %)\n"
        );
    }

    #[test]
    fn models_are_found_wherever_they_lie_and_their_own_files_are_not_models() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        ["a/MLmodel", "a/model.onnx", "b/c/model.onnx", "b/c/notes.txt", "d/e/MLmodel"].into_iter().for_each(put);
        let found: Vec<_> = places(folder.path()).unwrap();
        let found: Vec<_> = found.iter().map(|place| place.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(found, ["a", "b/c/model.onnx", "d/e"].map(Path::new));
    }
}

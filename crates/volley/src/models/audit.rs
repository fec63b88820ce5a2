//! `volley models audit`: by which road each model of a registry or of a folder can be scored, and why not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use volley_model::{Artifact, Limits, ModelError, Runtime};
use volley_registry::{ModelRef, Registry};

use crate::models::print;
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
    /// Once it is converted to ONNX.
    Converts,
    /// Not at all.
    Refused,
}

impl Road {
    const ALL: [Road; 4] = [Road::Native, Road::Tract, Road::Converts, Road::Refused];

    fn name(self) -> &'static str {
        match self {
            Road::Native => "native",
            Road::Tract => "tract",
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

/// Inspects every version of the registry, or every model directory and `.onnx` file below a folder.
pub async fn audit(registry: &Registry, folder: Option<&Path>, json: bool) -> Result<(), Failure> {
    let models = match folder {
        Some(folder) => of_folder(registry, folder).await?,
        None => of_registry(registry).await?,
    };
    let nothing = || match folder {
        Some(folder) => format!("no models below {}\n", folder.display()),
        None => format!("no models in {}: register one with `volley models register`\n", registry.url()),
    };
    let audit = Audit::of(models);
    print(&audit, || if audit.models.is_empty() { nothing() } else { audit.text() }, json)
}

async fn of_registry(registry: &Registry) -> Result<Vec<Audited>, Failure> {
    let mut models = Vec::new();
    for model in registry.models().await? {
        for version in model.versions {
            let reference = ModelRef::Version { name: model.name.clone(), version };
            let artifact = match registry.resolve(&reference).await {
                Ok(pin) => registry.fetch(&pin).await,
                Err(error) => Err(error),
            };
            models.push(audited(format!("{}/{version}", model.name), artifact).await);
        }
    }
    Ok(models)
}

async fn of_folder(registry: &Registry, folder: &Path) -> Result<Vec<Audited>, Failure> {
    let root = folder.to_path_buf();
    let places = tokio::task::spawn_blocking(move || places(&root)).await;
    let places = places.map_err(|_| volley_registry::Error::Stopped)?;
    let mut models = Vec::new();
    for place in places.map_err(|error| Failure::unreadable(folder, &error))? {
        let artifact = registry.read(&place.display().to_string()).await;
        models.push(audited(place.display().to_string(), artifact).await);
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

async fn audited(model: String, artifact: Result<Artifact, volley_registry::Error>) -> Audited {
    let refused = |code, reason: String| (Road::Refused, Some(code), Some(reason));
    let (road, code, reason) = match artifact {
        Err(error) => refused(error.code(), error.to_string()),
        Ok(artifact) => match tokio::task::spawn_blocking(move || road(&artifact)).await {
            Ok(Ok(road)) => (road, None, None),
            Ok(Err(error)) if error.converts() => (Road::Converts, Some(error.code()), Some(error.to_string())),
            Ok(Err(error)) => refused(error.code(), error.to_string()),
            Err(_) => refused("model_panicked", "inspecting the model failed in an unexpected way".to_string()),
        },
    };
    Audited { model, road, code, reason }
}

fn road(artifact: &Artifact) -> Result<Road, ModelError> {
    Ok(volley_model::inspect(artifact, &Limits::default())?.runtime.into())
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

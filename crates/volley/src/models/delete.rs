//! `volley models delete`.

use serde_json::json;
use volley_registry::{ModelRef, Registry, Which};

use crate::answer::print;
use crate::report::Failure;

/// Deletes one version, or a model with all its versions.
pub async fn delete(registry: &Registry, model: &str, json: bool) -> Result<(), Failure> {
    let (name, versions) = match model.parse()? {
        ModelRef::Registered { name, which: Which::Number(version) } => {
            registry.delete_version(&name, version).await?;
            (name, vec![version])
        }
        // `NAME/latest` means the same when a model is read, and must not delete all of it.
        ModelRef::Registered { name, which: Which::Latest } if name == model => {
            let versions = delete_all(registry, &name).await?;
            (name, versions)
        }
        _ => {
            let message = format!("`{model}` cannot be deleted: name a version, NAME/VERSION, or a whole model, NAME");
            return Err(Failure::new("usage", message));
        }
    };
    let told = || versions.iter().map(|version| format!("deleted {name}/{version}\n")).collect();
    print(&json!({ "name": name, "deleted": versions }), told, json)
}

async fn delete_all(registry: &Registry, name: &str) -> Result<Vec<u64>, Failure> {
    let versions = registry.versions(name).await?;
    registry.delete_model(name).await?;
    Ok(versions.into_iter().map(|version| version.version).collect())
}

//! `volley models list`.

use volley_registry::{Model, Registry};

use crate::answer::print;
use crate::report::Failure;
use crate::text_table::aligned;

/// Prints every model with its versions and aliases.
pub async fn list(registry: &Registry, json: bool) -> Result<(), Failure> {
    let models = registry.models().await?;
    print(&models, || text(&models, registry.url()), json)
}

fn text(models: &[Model], registry: &str) -> String {
    if models.is_empty() {
        return format!("no models in {registry}: register one with `volley models register`\n");
    }
    let heading = ["MODEL", "LATEST", "VERSIONS", "ALIASES"].map(String::from);
    let rows: Vec<_> = [heading].into_iter().chain(models.iter().map(row)).collect();
    aligned(&rows)
}

fn row(model: &Model) -> [String; 4] {
    let aliases: Vec<_> = model.aliases.iter().map(|(alias, version)| format!("{alias} -> {version}")).collect();
    [model.name.clone(), model.latest.to_string(), ranges(&model.versions), aliases.join(", ")]
}

/// `1-3, 5`: a model may have thousands of versions.
fn ranges(versions: &[u64]) -> String {
    let runs: Vec<_> = versions
        .chunk_by(|a, b| a + 1 == *b)
        .map(|run| match run {
            [only] => only.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => String::new(),
        })
        .collect();
    runs.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_a_row_are_a_range() {
        assert_eq!(ranges(&[1, 2, 3, 5, 7, 8]), "1-3, 5, 7-8");
        assert_eq!(ranges(&[1]), "1");
    }

    #[test]
    fn a_model_is_a_row() {
        let aliases = [("champion".to_string(), 2)].into();
        let model = Model { name: "churn".into(), latest: 2, versions: vec![1, 2], aliases };
        let expected = "MODEL  LATEST  VERSIONS  ALIASES\nchurn  2       1-2       champion -> 2\n";
        assert_eq!(text(&[model], "memory:"), expected);
    }

    #[test]
    fn an_empty_registry_says_what_to_do() {
        assert!(text(&[], "file:///r").contains("volley models register"));
    }
}

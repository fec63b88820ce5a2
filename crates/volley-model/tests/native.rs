//! Models of XGBoost and LightGBM in many configurations score as their own libraries do.

use std::path::Path;

#[path = "native/comparison.rs"]
mod comparison;

#[test]
fn every_configuration_scores_as_its_library_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/native");
    let models = comparison::compare(&folder);
    assert!(models.len() >= 24);
    for found in models {
        assert!(found.scores >= 80, "{} has {} scores", found.model, found.scores);
        let (model, operators) = (found.model, found.operators);
        assert!(found.relative_max <= 1e-6, "{model} ({operators}) is off by {:e}", found.relative_max);
    }
}

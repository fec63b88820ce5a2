//! Every model of the zoo gives what ONNX Runtime gives: labels exactly, scores within the model's tolerance. And the
//! guide says which kinds there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "zoo/comparison.rs"]
mod comparison;

use comparison::{Difference, Zoo};

/// Models that cannot be used, and what stands in their way: taken off the list when it is gone.
const REFUSED: [(&str, &str); 21] = [
    ("count_binary_pattern", "TfIdfVectorizer"),
    ("count_words", "TfIdfVectorizer"),
    ("multi_output_classifier", "SequenceConstruct"),
    ("nu_svc", "SVMClassifier"),
    ("nu_svr", "SVMRegressor"),
    ("one_class_svm", "SVMRegressor"),
    ("svc_linear", "SVMClassifier"),
    ("svc_one_against_one", "SVMClassifier"),
    ("svc_poly", "SVMClassifier"),
    ("svc_probability_binary", "SVMClassifier"),
    ("svc_probability_names_zipmap", "SVMClassifier"),
    ("svc_rbf", "SVMClassifier"),
    ("svc_sigmoid", "SVMClassifier"),
    ("svr_linear", "SVMRegressor"),
    ("svr_poly", "SVMRegressor"),
    ("svr_rbf", "SVMRegressor"),
    ("svr_sigmoid", "SVMRegressor"),
    ("tfidf_bigrams", "TfIdfVectorizer"),
    ("tfidf_case_kept", "TfIdfVectorizer"),
    ("tfidf_characters", "TfIdfVectorizer"),
    ("tfidf_words", "TfIdfVectorizer"),
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn zoo() -> Zoo {
    Zoo::open(&repository().join("tests/zoo/data"))
}

/// What a refusal must say, by model.
fn reasons() -> BTreeMap<String, &'static str> {
    REFUSED.into_iter().map(|(name, reason)| (name.to_owned(), reason)).collect()
}

#[test]
fn every_model_scores_as_onnx_runtime_does_but_for_those_that_are_listed() {
    let (zoo, reasons) = (zoo(), reasons());
    let mut faults = Vec::new();
    for entry in &zoo.entries {
        let name = &entry.name;
        match (zoo.compare(entry), reasons.get(name)) {
            (Ok(_), None) => {}
            (Ok(_), Some(_)) => faults.push(format!("{name}: works, so take it off the list")),
            (Err(Difference::Refused(error)), Some(reason)) if error.to_string().contains(reason) => {}
            (Err(Difference::Refused(error)), _) => faults.push(format!("{name}: refused: {error}")),
            (Err(Difference::Wrong(reason)), _) => faults.push(format!("{name}: {reason}")),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_list_of_refused_models_names_models_of_the_zoo() {
    let names: BTreeSet<_> = zoo().entries.into_iter().map(|entry| entry.name).collect();
    assert!(names.len() >= 80, "only {} models", names.len());
    let unknown: Vec<_> = reasons().into_keys().filter(|name| !names.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// A line of the guide's table: kind, models, and how many of them are refused.
fn row(kind: &str, models: usize, refused: usize) -> String {
    let outcome = match refused {
        0 => "as ONNX Runtime".to_owned(),
        all if all == models => "refused".to_owned(),
        some => format!("as ONNX Runtime; {some} refused"),
    };
    format!("| {kind} | {models} | {outcome} |")
}

#[test]
fn the_guide_s_table_of_kinds_is_that_of_the_zoo() {
    let (zoo, reasons) = (zoo(), reasons());
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for entry in &zoo.entries {
        let (models, refused) = kinds.entry(&entry.kind).or_default();
        *models += 1;
        *refused += usize::from(reasons.contains_key(&entry.name));
    }
    let rows = kinds.iter().map(|(kind, (models, refused))| row(kind, *models, *refused));
    let expected = rows.collect::<Vec<_>>().join("\n");
    let guide = fs::read_to_string(repository().join("docs/guide/models.md")).expect("the guide");
    assert!(guide.contains(&expected), "the guide does not hold this table:\n{expected}");
    let total = format!("{} models", zoo.entries.len());
    assert!(guide.contains(&total), "the guide does not say `{total}`");
}

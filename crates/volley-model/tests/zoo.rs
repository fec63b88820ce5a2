//! Every model of the zoo gives what ONNX Runtime gives: labels exactly, scores within the model's tolerance. And the
//! guide says which kinds there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "zoo/comparison.rs"]
mod comparison;
#[path = "zoo/roads.rs"]
mod roads;

use comparison::{Difference, Zoo};

/// Models that cannot be used, and what stands in their way: taken off the list when it is gone.
const REFUSED: [(&str, &str); 0] = [];

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
fn a_model_on_the_direct_road_gives_what_it_gives_on_tensors() {
    let zoo = zoo();
    let (mut faults, mut direct, mut others) = (Vec::new(), 0, Vec::new());
    for entry in zoo.entries.iter().filter(|entry| !reasons().contains_key(&entry.name)) {
        match roads::compared(&zoo, entry) {
            Ok(Some(_)) => direct += 1,
            Ok(None) => others.push(entry.name.as_str()),
            Err(why) => faults.push(format!("{}: {why}", entry.name)),
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    let guide = fs::read_to_string(repository().join("docs/guide/performance.md")).expect("the guide");
    let said = format!("{direct} of the {} models of the zoo", zoo.entries.len());
    assert!(guide.contains(&said), "the guide does not say `{said}`; on tensors: {others:?}");
}

#[test]
fn the_list_of_refused_models_names_models_of_the_zoo() {
    let names: BTreeSet<_> = zoo().entries.into_iter().map(|entry| entry.name).collect();
    assert!(names.len() >= 80, "only {} models", names.len());
    let unknown: Vec<_> = reasons().into_keys().filter(|name| !names.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// A line of the guide's table: a kind, how many models of it are right, and what stands in the way of the others.
fn row(kind: &str, models: &[&str], reasons: &BTreeMap<String, &'static str>) -> String {
    let refused: Vec<_> = models.iter().filter_map(|name| reasons.get(*name)).copied().collect();
    let needed: BTreeSet<_> = refused.iter().copied().collect();
    let needed = match refused.len() {
        0 => String::new(),
        count => format!("{count}: {}", needed.into_iter().collect::<Vec<_>>().join(", ")),
    };
    format!("| {kind} | {} | {needed} |", models.len() - refused.len()).replace("  |", " |")
}

#[test]
fn the_guide_s_table_of_kinds_is_that_of_the_zoo() {
    let (zoo, reasons) = (zoo(), reasons());
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in &zoo.entries {
        kinds.entry(&entry.kind).or_default().push(&entry.name);
    }
    let rows: Vec<_> = kinds.iter().map(|(kind, models)| row(kind, models, &reasons)).collect();
    let guide = fs::read_to_string(repository().join("docs/guide/models.md")).expect("the guide");
    assert!(guide.contains(&rows.join("\n")), "the guide does not hold this table:\n{}", rows.join("\n"));
    let right = zoo.entries.len() - reasons.len();
    let total = format!("{} models, of which {right} are scored", zoo.entries.len());
    assert!(guide.contains(&total), "the guide does not say `{total}`");
}

#[test]
fn each_statement_of_the_guide_on_null_nan_and_overflow_has_the_test_that_it_names() {
    let guide = fs::read_to_string(repository().join("docs/guide/models.md")).expect("the guide");
    let section = guide.split("\n## Null, NaN, unseen category, overflow\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what "));
    let named: Vec<_> = rows.filter_map(|line| line.trim_end_matches([' ', '|', '`']).rsplit('`').next()).collect();
    assert!(named.len() >= 12, "{named:?}");
    let tests = include_str!("edges.rs").to_owned() + include_str!("fixtures.rs");
    let unknown: Vec<_> = named.iter().filter(|name| !tests.contains(&format!("fn {name}()"))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

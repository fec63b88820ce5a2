//! The specification's own tests of `ai.onnx.ml`, and further ones whose answers are ONNX Runtime's.

#[path = "../examples/node_tests/case.rs"]
mod case;

use std::path::Path;

use case::{Outcome, cases};

fn check(folder: &str, number: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(folder);
    let cases = cases(&folder).expect("the folder is in the repository");
    assert_eq!(cases.len(), number, "tests in {}", folder.display());
    let wrong: Vec<(String, Outcome)> =
        cases.iter().map(|case| (case.name(), case.run())).filter(|(_, it)| *it != Outcome::Passed).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_node_tests_of_the_machine_learning_domain_pass() {
    check("ai_onnx_ml", 8);
}

#[test]
fn where_the_specification_is_open_answers_are_those_of_onnx_runtime() {
    check("onnxruntime", 247);
}

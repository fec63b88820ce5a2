//! Models that `volley-convert` has made of those of other frameworks: they give the framework's own answers.

use std::process::Command;

use crate::fixtures::{check_by_position, check_named};
use crate::harness::{House, root};
use crate::mlflow_server::{MlflowServer, python};

/// Those of `tests/data/converted`, and whether their inputs have names.
const FRAMEWORKS: [(&str, bool); 6] = [
    ("catboost", true),
    ("lightgbm", true),
    ("pytorch", false),
    ("sklearn", true),
    ("tensorflow", true),
    ("xgboost", true),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_converted_model_of_each_framework_gives_that_framework_s_answers() {
    let mut house = House::new().await;
    let mut found: Vec<_> = std::fs::read_dir(root().join("tests/data/converted")).unwrap().flatten().collect();
    found.retain(|entry| entry.path().is_dir());
    assert_eq!(found.len(), FRAMEWORKS.len());
    for (framework, has_names) in FRAMEWORKS {
        let folder = root().join("tests/data/converted").join(framework);
        let model = folder.join("model").display().to_string();
        match has_names {
            true => check_named(&mut house, &folder, &model).await,
            false => check_by_position(&mut house, &folder, &model).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_only_python_can_score_is_scored_once_it_is_converted() {
    let server = tokio::task::spawn_blocking(|| {
        let mut server = MlflowServer::start();
        server.publish(&["iris_sklearn"]);
        server
    })
    .await
    .unwrap();
    let mut house = House::with(|settings| server.connect(settings)).await;
    let score = "SELECT predict_label('iris_sklearn', 5.1, 3.5, 1.4, 0.2)";
    assert_eq!(house.codes(score).await, ["unsupported_flavor"]);

    let rows = crate::harness::fixture("iris_sklearn_skops").join("input.parquet");
    let mut convert = Command::new(python());
    convert.args(["-m", "volley_convert", "models:/iris_sklearn/1", "--rows"]).arg(rows);
    convert.env("PYTHONPATH", root().join("deploy/convert")).envs(server.environment());
    let output = convert.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let error = house.try_run(score).await.expect_err("it is what it was");
    assert!(error.to_string().contains("it was converted: score models:/iris_sklearn-onnx/1"), "{error}");
    let same = crate::harness::fixture("iris_onnx_v2");
    check_named(&mut house, &same, "iris_sklearn-onnx").await;
}

//! Models of a real MLflow server, scored and shown as those of our own registry.

use serde_json::{Value, json};
use volley_engine::Environment;

use crate::fixtures::check_named;
use crate::harness::{House, fixture};
use crate::mlflow_server::MlflowServer;
use crate::process::{Ended, command};

/// What is registered, and the fixture whose scores it has to give.
pub const SCORED: [(&str, &str); 10] = [
    ("iris/1", "iris_onnx_v1"),
    ("iris@champion", "iris_onnx_v2"),
    ("models:/iris@challenger", "iris_onnx_v3"),
    ("iris", "iris_onnx_v3"),
    ("models:/linear@champion", "linear_onnx_double"),
    ("cancer_mlp", "cancer_onnx_mlp_external"),
    ("cancer_xgb", "cancer_xgboost_ubj"),
    ("cancer_xgb_json/latest", "cancer_xgboost_json"),
    ("iris_xgb", "iris_xgboost_sklearn"),
    ("cancer_lgb", "cancer_lightgbm_booster"),
];

async fn house() -> House {
    House::with(|settings| MlflowServer::shared().connect(settings)).await
}

/// `volley ARGUMENTS` of somebody who works with the shared server.
fn volley(house: &House, arguments: &[&str]) -> Ended {
    let environment = MlflowServer::shared().environment();
    Ended::from(command(house.folder.path(), arguments).envs(environment).output().unwrap())
}

fn succeed(house: &House, arguments: &[&str]) -> String {
    let ended = volley(house, arguments);
    assert_eq!(ended.status, Some(0), "volley {arguments:?}\n{}{}", ended.said, ended.warned);
    ended.said
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_every_flavor_that_is_scored_give_their_expected_scores() {
    let mut house = house().await;
    for (model, same) in SCORED {
        check_named(&mut house, &fixture(same), model).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_name_a_model_on_mlflow_finds_it() {
    let published = &MlflowServer::shared().published;
    let text = |model: &str, key: &str| published[model][key].as_str().unwrap().to_owned();
    let mut house = house().await;
    let mut names: Vec<String> =
        ["linear/1", "models:/linear/1", "models:/linear@champion", "models:/linear@home/1", "models:/copied/1"]
            .map(str::to_owned)
            .to_vec();
    names.push(format!("models:/{}", text("run_model", "model_id")));
    for model in ["old_style", "run_model"] {
        names.push(format!("runs:/{}/{}", text(model, "run_id"), text(model, "path")));
        names.push(format!("models:/{model}/latest"));
    }
    for name in names {
        let score = format!("SELECT predict('{name}', 1.0, 2.0, 3.0, 4.0)");
        assert_eq!(house.number(&score).await, 4.0, "{name}");
    }
    assert_eq!(house.number("SELECT predict('linear', 1.0, 2.0, 3.0, 4.0)").await, 8.0);
    assert_eq!(house.number("SELECT predict('models:/Modèle 2/1', 1.0, 2.0, 3.0, 4.0)").await, 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_by_what_there_is() {
    let mut house = house().await;
    for (model, code, says) in [
        ("iriss", "unknown_model", "did you mean `iris`?"),
        ("models:/nope/1", "unknown_model", "`nope`"),
        ("models:/nope@champion", "unknown_model", "`nope`"),
        ("iris/9", "unknown_version", "it has 3, 2, 1"),
        ("iris@nope", "unknown_alias", "`challenger`, `champion`"),
        ("models:/iris/Production", "mlflow_missing", "models:/iris@ALIAS"),
        ("models:/m-00000000000000000000000000000000", "mlflow_missing", "not found"),
        ("runs:/abcdef/model", "mlflow_missing", "not found"),
    ] {
        let error = house.try_run(&format!("SELECT predict('{model}', 1.0)")).await.expect_err(model);
        assert_eq!(error.code(), code, "{model}: {error}");
        assert!(error.to_string().contains(says), "{model}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flavor_that_needs_python_says_how_to_convert_it() {
    let mut house = house().await;
    for (model, says) in [
        ("iris_sklearn", "`volley-convert models:/iris_sklearn/1`"),
        ("iris_lgb", "`volley-convert models:/iris_lgb/1`"),
        ("iris_catboost", "`volley-convert models:/iris_catboost/1`"),
        ("echo", "python_function runs only in Python"),
    ] {
        let error = house.try_run(&format!("SELECT predict('{model}', 1.0)")).await.expect_err(model);
        assert_eq!(error.code(), "unsupported_flavor", "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_models_show_those_of_mlflow() {
    let house = house().await;
    let listed = succeed(&house, &["models", "list"]);
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("iris ").ends_with("3       1-3       challenger -> 3, champion -> 2"), "{listed}");

    let shown: Value =
        serde_json::from_str(&succeed(&house, &["models", "show", "iris@challenger", "--json"])).unwrap();
    assert_eq!((&shown["version"], &shown["tags"]), (&json!(3), &json!({ "validated": "true" })));
    assert_eq!(shown["mlflow"]["registry"], json!(MlflowServer::shared().url()));
    assert!(shown["mlflow"]["source"].as_str().unwrap().starts_with("models:/m-"), "{shown}");

    let audited = succeed(&house, &["models", "audit"]);
    for (model, road) in [("iris/3", "tract"), ("cancer_lgb/1", "native"), ("iris_sklearn/1", "converts")] {
        let row = audited.lines().find(|line| line.starts_with(&format!("{model} "))).unwrap_or_default();
        assert_eq!(row.split_whitespace().nth(1), Some(road), "{audited}");
    }
    assert!(audited.contains("echo/1") && audited.contains("refused"), "{audited}");

    assert_eq!(
        succeed(&house, &["models", "alias", "cancer_lgb", "best", "1"]),
        "cancer_lgb@best is now cancer_lgb/1\n"
    );
    assert!(succeed(&house, &["models", "show", "cancer_lgb@best"]).contains("aliases      best"));
    succeed(&house, &["models", "alias", "cancer_lgb", "best", "--delete"]);
    volley(&house, &["models", "show", "cancer_lgb@best"]).is_error(1, &["no alias `best`", "[unknown_alias]"]);

    volley(&house, &["models", "delete", "iris"]).is_error(1, &["[not_on_mlflow]"]);
    let model = crate::harness::model("iris_onnx_v1");
    volley(&house, &["models", "register", &model, "--name", "x"]).is_error(1, &["--registry", "[not_on_mlflow]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_mlflow_is_checked_against_a_table_of_the_user_s_own() {
    let house = house().await;
    let path = |file: &str| fixture("iris_onnx_v1").join(file).display().to_string();
    let (input, expected) = (path("input.parquet"), path("expected.parquet"));
    let tables = ["--input", &input, "--expected", &expected];
    let report = succeed(&house, &[&["models", "check", "iris/1"], &tables[..]].concat());
    assert!(report.contains("rows outside        0"), "{report}");
    let other = volley(&house, &[&["models", "check", "iris/3"], &tables[..]].concat());
    other.has_error(1, "[scores_differ]");
    volley(&house, &["models", "check", "iris/1"]).is_error(1, &["--input", "[no_golden_rows]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn system_models_lists_each_version_with_its_aliases() {
    let mut house = house().await;
    let of_iris = "SELECT version, latest, aliases FROM system.models WHERE name = 'iris' ORDER BY version";
    assert_eq!(
        house.text(of_iris).await,
        "+---------+--------+--------------+\n\
         | version | latest | aliases      |\n\
         +---------+--------+--------------+\n\
         | 1       | false  | []           |\n\
         | 2       | false  | [champion]   |\n\
         | 3       | true   | [challenger] |\n\
         +---------+--------+--------------+"
    );
    let written = "COPY (SELECT name, version FROM system.models WHERE latest) TO 'models/' STORED AS CSV";
    assert!(house.published(written).await.rows > 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_model_is_one_of_our_own_with_its_tags_and_where_it_came_from() {
    let mut house = House::new().await;
    let import = ["models", "import", "models:/iris@challenger", "--as", "flower", "--alias", "prod"];
    let told = succeed(&house, &import);
    assert!(told.starts_with("registered flower/1 sha256:") && told.contains(" as flower@prod\n"), "{told}");
    assert!(told.contains("a copy of models:/iris/3 of http://127.0.0.1:"), "{told}");
    // The same again is the same version; with another null rule it is another one.
    assert!(succeed(&house, &import).starts_with("registered flower/1 "));
    let rules: Vec<&str> = import.into_iter().chain(["--null", "sepal_length=error"]).collect();
    assert!(succeed(&house, &rules).starts_with("registered flower/2 "));

    let shown = succeed(&house, &["--registry", ".volley/registry", "models", "show", "flower/1", "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((&shown["tags"], &shown["mlflow"]["version"]), (&json!({ "validated": "true" }), &json!(3)));
    // The engine of this house knows no MLflow server.
    check_named(&mut house, &fixture("iris_onnx_v3"), "flower/1").await;

    volley(&house, &["models", "import", "iris_sklearn"]).is_error(1, &["volley-convert", "[unsupported_flavor]"]);
    volley(&house, &["models", "import", "./model"]).is_error(2, &["volley models register", "[usage]"]);
    let alone = command(house.folder.path(), &["models", "import", "models:/iris/1"]).output().unwrap();
    Ended::from(alone).is_error(1, &["MLFLOW_TRACKING_URI", "[mlflow_not_configured]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_ours_where_a_registry_is_named_and_mlflow_s_are_found_by_their_scheme() {
    let named = |settings: &mut volley_engine::EngineSettings| {
        MlflowServer::shared().connect(settings);
        settings.registry = Some(".volley/registry".to_string());
    };
    let mut house = House::with(named).await;
    house.register("linear", "linear_onnx_double", None).await;
    assert_eq!(house.number("SELECT predict('linear', 1.0, 2.0, 3.0, 4.0)").await, 4.0);
    assert_eq!(house.number("SELECT predict('models:/linear/2', 1.0, 2.0, 3.0, 4.0)").await, 8.0);
    assert_eq!(house.codes("SELECT predict('iris', 1.0)").await, ["unknown_model"]);

    let url = MlflowServer::shared().url();
    let mut house = House::with(|settings| settings.registry = Some(url)).await;
    assert_eq!(house.number("SELECT predict('linear', 1.0, 2.0, 3.0, 4.0)").await, 8.0);

    // A server that is misspelt is no reason to look elsewhere; what is none of ours is.
    for (uri, code) in [("localhost:5000", "mlflow_settings"), ("sqlite:///mlflow.db", "unknown_model")] {
        let environment = Environment::of([("MLFLOW_TRACKING_URI".to_string(), uri.to_string())]);
        let mut house = House::with(|settings| settings.environment = environment).await;
        assert_eq!(house.codes("SELECT predict('linear', 1.0)").await, [code], "{uri}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_logged_as_a_run_if_it_is_asked_for() {
    let house = house().await;
    let sql = "COPY (SELECT predict('linear@champion', $a, 2.0, 3.0, 4.0) AS score) TO 'out/' STORED AS CSV";
    std::fs::write(house.path("score.sql"), sql).unwrap();
    let run = ["run", "score.sql", "--param", "a=1.5", "--key", "monday", "--log-run", "nightly"];
    let ended = volley(&house, &run);
    assert_eq!(ended.status, Some(0), "{}", ended.warned);
    let id = ended.warned.split("logged as run ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    // The job of the key is done, and so is its run.
    let again = volley(&house, &run);
    assert!(again.warned.contains(&format!("logged as run {id}")), "{}", again.warned);

    let found = MlflowServer::shared().get(&format!("/api/2.0/mlflow/runs/get?run_id={id}")).json();
    let run = &found["run"];
    assert_eq!((&run["info"]["status"], &run["info"]["run_name"]), (&json!("FINISHED"), &json!("score")));
    let value = |part: &str, key: &str| {
        let all = run["data"][part].as_array().unwrap();
        all.iter().find(|entry| entry["key"] == key).map(|entry| entry["value"].clone()).unwrap_or_default()
    };
    assert_eq!((value("metrics", "rows"), value("metrics", "rejected")), (json!(1.0), json!(0.0)));
    assert!(value("metrics", "rows_per_second").as_f64().unwrap() > 0.0);
    assert_eq!(value("params", "a"), json!("1.5"));
    assert!(value("tags", "volley.models").as_str().unwrap().starts_with("linear/1 sha256:"), "{run}");
    assert!(value("tags", "volley.destination").as_str().unwrap().ends_with("/out/"), "{run}");

    let nowhere = command(house.folder.path(), &["run", "score.sql", "--log-run"]).output().unwrap();
    Ended::from(nowhere).is_error(1, &["MLFLOW_TRACKING_URI", "[mlflow_not_configured]"]);
}

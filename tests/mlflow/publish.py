#!/usr/bin/env python3
"""Logs and registers small models with MLflow's own client: what the tests resolve, download and score.

    MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python tests/mlflow/publish.py [--only NAME[,NAME]]

The models are those of tests/data/models, logged anew: `expected.parquet` of a fixture is the answer of its model
here too. Standard output is one JSON object, a key a registered model:

    {"linear": {"version": 2, "model_id": "m-…", "run_id": "…", "source": "models:/m-…", "versions": [{…}, {…}]}}

The first four are those of the newest version; `versions` has the same four of each, the oldest first. `model_id` is
null and `path` is there where a version points at a run instead of a logged model.
"""

import argparse
import contextlib
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
    MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING="false",
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
    # A server that went away is an error at once, not after four minutes.
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
    GIT_PYTHON_REFRESH="quiet",
)

import mlflow
from mlflow.models import Model

DATA = Path(__file__).resolve().parent.parent / "data"
REQUIREMENTS = [f"mlflow=={mlflow.__version__}"]
# What each flavor calls the model it logs.
SUBJECTS = {
    "onnx": "onnx_model",
    "xgboost": "xgb_model",
    "lightgbm": "lgb_model",
    "sklearn": "sk_model",
    "catboost": "cb_model",
    "pyfunc": "python_model",
}


def main():
    names = arguments()
    with contextlib.redirect_stdout(sys.stderr):
        client = mlflow.MlflowClient()
        published = {name: publish(client, name) for name in names}
    print(json.dumps(published, ensure_ascii=False))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME[,NAME]", help=f"of these alone: {', '.join(MODELS)}")
    only = parser.parse_args().only
    names = only.split(",") if only else list(MODELS)
    if unknown := [name for name in names if name not in MODELS]:
        parser.error(f"there is no {', '.join(unknown)}")
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        parser.error("MLFLOW_TRACKING_URI is not set")
    return names


def publish(client, name):
    versions = list(MODELS[name](client, name))
    return {**versions[-1], "versions": versions}


# One version of a model, as each of the functions below gives it.


def logged(name, flavor, model, fixture, **saving):
    """Logs `model` in a run of its own, with the signature of the fixture, and registers it as the next version."""
    with mlflow.start_run(run_name=name) as run:
        info = log(flavor, model, fixture, registered_model_name=name, **saving)
    return row(info.registered_model_version, info.model_id, run, f"models:/{info.model_id}")


def log(flavor, model, fixture, **saving):
    # Requirements that are not given are found by importing the model in another process.
    saving = {"name": "model", "pip_requirements": REQUIREMENTS, SUBJECTS[flavor]: model, **saving}
    if fixture:
        saving["signature"] = signature(fixture)
    return module(flavor).log_model(**saving)


def row(version, model_id, run, source, **more):
    return {"version": int(version), "model_id": model_id, "run_id": run.info.run_id, "source": source, **more}


# Fixtures.


def folder(fixture):
    return DATA / "models" / fixture / "model"


def signature(fixture):
    return Model.load(folder(fixture)).signature


def module(flavor):
    # Importing a flavor imports its framework: only those that are asked for.
    return importlib.import_module(f"mlflow.{flavor}")


def graph(fixture):
    import onnx

    return onnx.load(folder(fixture) / "model.onnx")


def again(flavor, fixture, **saving):
    """A fixture in a framework's own file: loaded by its flavor, and logged."""
    model = lambda: module(flavor).load_model(str(folder(fixture)))
    return lambda client, name: [logged(name, flavor, model(), fixture, **saving)]


def onnx_model(fixture, **saving):
    return lambda client, name: [logged(name, "onnx", graph(fixture), fixture, **saving)]


# The models that take more than that.


def iris(client, name):
    """Three versions, of which the newest is tagged and the two others can be told apart by its answers."""
    for version, strength in [(1, "0.1"), (2, "1"), (3, "10")]:
        fixture = f"iris_onnx_v{version}"
        yield logged(name, "onnx", graph(fixture), fixture, params={"C": strength})
        client.update_model_version(name, str(version), description=f"C={strength}")
    client.set_model_version_tag(name, "3", "validated", "true")
    client.set_registered_model_alias(name, "champion", "2")
    client.set_registered_model_alias(name, "challenger", "3")


def linear(client, name):
    """y = 1 + 0.1 a + 0.2 b + 0.3 c + 0.4 d, and twice that."""
    yield logged(name, "onnx", graph("linear_onnx_double"), "linear_onnx_double")
    yield logged(name, "onnx", doubled(graph("linear_onnx_double")), "linear_onnx_double")
    client.set_registered_model_alias(name, "champion", "1")


def doubled(linear):
    from onnx import numpy_helper

    for constant in linear.graph.initializer:
        constant.CopyFrom(numpy_helper.from_array(2 * numpy_helper.to_array(constant), constant.name))
    return linear


def iris_catboost(client, name):
    import catboost
    from mlflow.models import infer_signature
    from sklearn.datasets import load_iris

    rows, species = load_iris(return_X_y=True, as_frame=True)
    settings = {"iterations": 4, "depth": 2, "random_seed": 0, "thread_count": 1, "allow_writing_files": False}
    model = catboost.CatBoostClassifier(**settings, verbose=False).fit(rows, species)
    yield logged(name, "catboost", model, None, signature=infer_signature(rows, model.predict(rows)))


def echo(client, name):
    yield logged(name, "pyfunc", str(DATA / "echo_model.py"), "all_types_pyfunc")


def old_style(client, name):
    """Files under a run's artifacts, as before MLflow 3, and a version whose source is `runs:/<run>/<path>`."""
    path, fixture = "old_style", "linear_onnx_double"
    with mlflow.start_run(run_name=name) as run, tempfile.TemporaryDirectory() as scratch:
        saved = Path(scratch) / path
        contract = signature(fixture)
        module("onnx").save_model(graph(fixture), saved, signature=contract, pip_requirements=REQUIREMENTS)
        client.log_artifacts(run.info.run_id, str(saved), path)
    yield version_of_run(client, name, run, path, None)


def run_model(client, name):
    """A version whose source is `runs:/<run>/<name>` too, and the files are those of the run's logged model."""
    path, fixture = "inside", "linear_onnx_double"
    with mlflow.start_run(run_name=name) as run:
        info = log("onnx", graph(fixture), fixture, name=path)
    yield version_of_run(client, name, run, path, info.model_id)


def version_of_run(client, name, run, path, model_id):
    client.create_registered_model(name)
    version = client.create_model_version(name, f"runs:/{run.info.run_id}/{path}", run.info.run_id)
    return row(version.version, model_id, run, version.source, path=path)


def copied(client, name):
    """A version whose source is a version of another model: `models:/linear/1`, which has to be there."""
    original = client.get_model_version("linear", "1")
    version = client.copy_model_version("models:/linear/1", name)
    run = client.get_run(original.run_id)
    yield row(version.version, original.source.removeprefix("models:/"), run, version.source)


MODELS = {
    "linear": linear,
    "iris": iris,
    "cancer_mlp": onnx_model("cancer_onnx_mlp_external"),
    "cancer_xgb": again("xgboost", "cancer_xgboost_ubj"),
    "cancer_xgb_json": again("xgboost", "cancer_xgboost_json", model_format="json"),
    "iris_xgb": again("xgboost", "iris_xgboost_sklearn"),
    "cancer_lgb": again("lightgbm", "cancer_lightgbm_booster"),
    "iris_lgb": again("lightgbm", "iris_lightgbm_skops"),
    "iris_sklearn": again("sklearn", "iris_sklearn_skops"),
    "iris_catboost": iris_catboost,
    "echo": echo,
    "old_style": old_style,
    "run_model": run_model,
    "copied": copied,
    "Modèle 2": onnx_model("linear_onnx_double"),
    "linear@home": onnx_model("linear_onnx_double"),
}

if __name__ == "__main__":
    main()

"""Records how a model is published without MLflow's client, and what becomes of versions that are deleted."""

A = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


def publish_by_rest(recorder):
    experiment = recorder.post("publish_experiment", f"{A}/experiments/create", {"name": "by rest"})
    recorder.post("err_publish_experiment", f"{A}/experiments/create", {"name": "by rest"})
    recorder.get("publish_experiment_by_name", f"{A}/experiments/get-by-name?experiment_name=by+rest")
    model = {"experiment_id": experiment["experiment_id"], "name": "by_rest", "tags": [{"key": "a", "value": "b"}]}
    logged = recorder.post("publish_logged_model", f"{A}/logged-models", model)["model"]["info"]
    model_id, place = logged["model_id"], logged["artifact_uri"].removeprefix("mlflow-artifacts:/")
    recorder.send("publish_file", "PUT", f"{FILES}/{place}/MLmodel", content=b"flavors: {}\n")
    ready = {"model_id": model_id, "status": "LOGGED_MODEL_READY"}
    recorder.send("publish_ready", "PATCH", f"{A}/logged-models/{model_id}", ready)
    recorder.post("publish_registered_model", f"{A}/registered-models/create", {"name": "by_rest"})
    recorder.post("err_publish_registered_model", f"{A}/registered-models/create", {"name": "by_rest"})
    for name in ("with/slash", "with:colon"):
        word = name.removeprefix("with").strip("/:")
        recorder.post(f"err_publish_{word}", f"{A}/registered-models/create", {"name": name})
    tags = [{"key": "volley.converted_from", "value": "models:/x/1"}]
    body = {"name": "by_rest", "source": f"models:/{model_id}", "model_id": model_id, "tags": tags}
    recorder.post("publish_version", f"{A}/model-versions/create", body)
    delete_versions(recorder, body)
    recorder.send("overwrite_file", "PUT", f"{FILES}/{place}/MLmodel", content=b"flavors: {python_function: {}}\n")
    recorder.get("overwrite_get", f"{FILES}/{place}/MLmodel")


def delete_versions(recorder, body):
    """A number is not given twice, unless the whole model went."""
    create = f"{A}/model-versions/create"
    version = {"name": "by_rest", "version": "1"}
    alias = {"name": "by_rest", "alias": "champion", "version": "1"}
    recorder.post("delete_alias_set", f"{A}/registered-models/alias", alias)
    recorder.send("delete_version", "DELETE", f"{A}/model-versions/delete", version)
    recorder.get("err_deleted_version", f"{A}/model-versions/get?name=by_rest&version=1")
    recorder.get("err_deleted_version_alias", f"{A}/registered-models/alias?name=by_rest&alias=champion")
    recorder.post("version_after_delete", create, body, note="version 2")
    recorder.send("delete_model", "DELETE", f"{A}/registered-models/delete", {"name": "by_rest"})
    recorder.post("model_after_delete", f"{A}/registered-models/create", {"name": "by_rest"})
    recorder.post("version_after_delete_model", create, body, note="version 1 once more")

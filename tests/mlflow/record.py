#!/usr/bin/env python3
"""Records what real MLflow servers answer into tests/data/mlflow/exchanges.json and exchanges_auth.json.

    python tests/mlflow/record.py --s3 http://127.0.0.1:5555

Starts each server itself; `--s3` is the address of any S3 server that takes any key, such as moto's. An exchange is

    {"name", "request": {"method", "path", "headers", "json"},
     "response": {"status", "headers", "json" or "text" or "base64"}, "note"?, "server"?}

`server` says which of the special ones answered: `no_proxy`, `workspaces` or `s3`. JSON is kept as what it says, not
as it was spaced: the length in the headers is that of the body as it came.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote, urlencode

from record_publish import publish_by_rest
from recorder import Recorder, basic
from servers import ADMIN, HERE, files, publish, server, users

A = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
INFO = "/api/3.0/mlflow/server-info"
BUCKET = "models"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--s3", required=True, metavar="URL")
    s3 = parser.parse_args().s3
    scratch = Path(tempfile.mkdtemp(prefix="mlflow-record-"))
    try:
        plain = [*record_main(scratch), *record_no_proxy(scratch), *record_workspaces(scratch), *record_s3(scratch, s3)]
        write("exchanges.json", plain)
        write("exchanges_auth.json", record_auth(scratch))
    finally:
        shutil.rmtree(scratch)


def write(name, exchanges):
    target = HERE.parent / "data" / "mlflow" / name
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(exchanges, indent=1, ensure_ascii=False) + "\n")
    print(f"{target.name}: {len(exchanges)} exchanges")


def query(endpoint, /, **parameters):
    return f"{endpoint}?{urlencode(parameters)}"


def version(name, number):
    return query(f"{A}/model-versions/get", name=name, version=number)


def download_uri(name, number):
    return query(f"{A}/model-versions/get-download-uri", name=name, version=number)


def folder_of(answer):
    """The path below the proxy of what get-download-uri answered."""
    return answer["artifact_uri"].removeprefix("mlflow-artifacts:/")


def record_main(scratch):
    folder = scratch / "main"
    with server(folder, *files(folder / "artifacts")) as address:
        names = ["iris", "linear", "cancer_mlp", "old_style", "run_model", "copied", "Modèle 2", "linear@home"]
        published = publish(address, *names)
        recorder = Recorder(address, scratch)
        resolve(recorder)
        place = search_and_list(recorder, published["iris"]["model_id"])
        artifacts(recorder, place)
        errors(recorder)
        sources(recorder, published, place)
        runs(recorder, published)
        aliases(recorder)
        stages(recorder)
        publish_by_rest(recorder)
        return recorder.exchanges


def resolve(recorder):
    recorder.get("health", "/health")
    recorder.get("version", "/version")
    recorder.get("server_info", INFO)
    recorder.get("model_get", query(f"{A}/registered-models/get", name="iris"))
    recorder.get("model_get_utf8", query(f"{A}/registered-models/get", name="Modèle 2"))
    recorder.get("model_get_at", query(f"{A}/registered-models/get", name="linear@home"), note="a name may hold @")
    recorder.get("version_get", version("iris", 3))
    alias = lambda word: query(f"{A}/registered-models/alias", name="iris", alias=word)
    recorder.get("alias_get", alias("champion"))
    recorder.get("alias_latest", alias("latest"), note="the reserved alias is the highest version")
    latest = f"{A}/registered-models/get-latest-versions"
    note = "one entry a stage; the client takes the highest version"
    recorder.post("latest_versions_post", latest, {"name": "iris"}, note=note)
    recorder.get("latest_versions_get", query(latest, name="iris"))


def search_and_list(recorder, model_id):
    models = f"{A}/registered-models/search"
    page = recorder.get("search_models_page1", query(models, max_results=2))
    recorder.get("search_models_page2", query(models, max_results=2, page_token=page["next_page_token"]))
    recorder.get("search_models_like", query(models, filter="name LIKE 'lin%'", order_by="name DESC"))
    versions = f"{A}/model-versions/search"
    order = {"filter": "name='iris'", "max_results": 2, "order_by": "version_number DESC"}
    page = recorder.get("search_versions_page1", query(versions, **order))
    recorder.get("search_versions_page2", query(versions, **order, page_token=page["next_page_token"]))
    recorder.get("search_versions_empty", query(versions, filter="name='nope'"), note="nothing is {}, without a list")
    recorder.get("search_versions_tag", query(versions, filter="name='iris' AND tag.validated='true'"))
    recorder.get("logged_model", f"{A}/logged-models/{model_id}")
    recorder.get("logged_model_dir", f"{A}/logged-models/{model_id}/artifacts/directories")
    return folder_of(recorder.get("download_uri", download_uri("iris", 3)))


def artifacts(recorder, place):
    recorder.get("artifacts_list", query(FILES, path=place))
    recorder.get("artifacts_list_missing", query(FILES, path=f"{place}/nope"), note="a folder that is not there: {}")
    recorder.get("artifacts_list_file", query(FILES, path=f"{place}/MLmodel"), note="of a file: {}")
    recorder.get("artifact_mlmodel", f"{FILES}/{place}/MLmodel")
    recorder.get("artifact_onnx", f"{FILES}/{place}/model.onnx")
    note = "where files are local; over S3 the range is ignored"
    recorder.get("artifact_range", f"{FILES}/{place}/model.onnx", headers={"Range": "bytes=0-9"}, note=note)
    recorder.send("artifact_head", "HEAD", f"{FILES}/{place}/model.onnx")
    recorder.get("artifact_404", f"{FILES}/{place}/nope.onnx")
    recorder.get("artifact_is_dir", f"{FILES}/{place}", note="the body has a detail and no error_code")
    recorder.get("artifact_escape", f"{FILES}/{place}/%2e%2e/%2e%2e/%2e%2e/%2e%2e/mlflow.db")
    recorder.get("presigned_unsupported", f"/api/2.0/mlflow-artifacts/presigned/{place}/model.onnx")
    by_version = query("/model-versions/get-artifact", name="iris", version=3, path="MLmodel")
    recorder.get("artifact_by_version", by_version, note="the server fetches it with its own credentials")


def errors(recorder):
    model = query(f"{A}/registered-models/get", name="iris")
    alias = lambda name, word: query(f"{A}/registered-models/alias", name=name, alias=word)
    search = f"{A}/registered-models/search"
    latest = f"{A}/registered-models/get-latest-versions"
    recorder.get("err_model", query(f"{A}/registered-models/get", name="nope"))
    recorder.get("err_version", version("iris", 99))
    recorder.get("err_version_nan", version("iris", "abc"))
    recorder.get("err_version_missing", query(f"{A}/model-versions/get", name="iris"))
    recorder.get("err_alias", alias("iris", "nope"))
    recorder.get("err_alias_model", alias("nope", "champion"))
    recorder.get("err_logged_model", f"{A}/logged-models/m-deadbeef")
    recorder.get("err_run", query(f"{A}/runs/get", run_id="deadbeef"))
    recorder.get("err_endpoint", f"{A}/nope")
    recorder.get("err_page_token", query(search, page_token="garbage"))
    recorder.get("err_max_results", query(search, max_results=100000))
    recorder.get("err_host", model, headers={"Host": "mlflow:5000"}, note="refused unless --allowed-hosts names it")
    recorder.post("err_origin", latest, {"name": "iris"}, headers={"Origin": "http://elsewhere.example"})
    text = {"Content-Type": "text/plain"}
    recorder.send("err_content_type", "POST", latest, headers=text, content=b'{"name": "iris"}')
    note = "a header of workspaces to a server without them: 500, and no use in trying again"
    recorder.get("err_workspace", model, headers={"X-MLFLOW-WORKSPACE": "team-a"}, note=note)


def sources(recorder, published, place):
    """What get-download-uri makes of each form of a version's source."""
    recorder.get("version_get_copied", version("copied", 1), note="its source is a version of another model")
    recorder.get("download_uri_copied", download_uri("copied", 1))
    recorder.get("version_get_runs", version("old_style", 1), note="its source is a path below a run")
    recorder.get("download_uri_runs", download_uri("old_style", 1), note="given back as it is")
    note = "a logged model of that run has the files, by its name; the run itself has none"
    recorder.get("download_uri_run_model", download_uri("run_model", 1), note=note)
    create = f"{A}/model-versions/create"
    recorder.post("registered_model_create", f"{A}/registered-models/create", {"name": "sources"})
    model_id, run_id = published["iris"]["model_id"], published["old_style"]["run_id"]
    accepted = {
        "s3": {"source": "s3://bucket/models/iris"},
        "gs": {"source": "gs://bucket/models/iris"},
        "proxy_model": {"source": f"mlflow-artifacts:/{place}", "model_id": model_id},
        "proxy_run": {"source": f"mlflow-artifacts:/0/{run_id}/artifacts/old_style", "run_id": run_id},
    }
    for form, body in accepted.items():
        created = recorder.post(f"version_create_{form}", create, {"name": "sources", **body})
        recorder.get(f"download_uri_{form}", download_uri("sources", created["model_version"]["version"]))
    refused = {
        "file": "file:///srv/models/iris",
        "path": "/srv/models/iris",
        "abfss": "abfss://files@account.dfs.core.windows.net/models/iris",
        "proxy_no_owner": f"mlflow-artifacts:/{place}",
        "model_no_id": f"models:/{model_id}",
    }
    for form, source in refused.items():
        recorder.post(f"err_version_create_{form}", create, {"name": "sources", "source": source})


def runs(recorder, published):
    old, new = published["old_style"], published["run_model"]
    recorder.get("run_get", query(f"{A}/runs/get", run_id=old["run_id"]))
    run = recorder.get("run_get_logged_model", query(f"{A}/runs/get", run_id=new["run_id"]))
    listing = lambda run_id, **path: query(f"{A}/artifacts/list", run_id=run_id, **path)
    recorder.get("run_artifacts", listing(old["run_id"]))
    recorder.get("run_artifacts_path", listing(old["run_id"], path=old["path"]), note="paths start at the run")
    recorder.get("run_artifacts_logged_model", listing(new["run_id"], path=new["path"]))
    recorder.get("run_artifact_mlmodel", f"{FILES}/{run_place(recorder, old)}/MLmodel")
    search = f"{A}/logged-models/search"
    within = {"experiment_ids": [run["run"]["info"]["experiment_id"]]}
    recorder.post("logged_models_search", search, {**within, "filter": f"name = '{new['path']}'"})
    both = f"name = '{new['path']}' AND source_run_id = '{new['run_id']}'"
    recorder.post("logged_models_search_run", search, {**within, "filter": both})
    recorder.post("logged_models_search_empty", search, {**within, "filter": "name = 'nope'"})
    recorder.post("logged_models_search_page", search, {**within, "max_results": 1})
    recorder.post("err_logged_models_search", search, {"filter": "name = 'inside'"})


def run_place(recorder, row):
    listed = recorder.get("run_artifacts_list", query(FILES, path=f"0/{row['run_id']}/artifacts/{row['path']}"))
    assert listed["files"], "the run keeps its artifacts elsewhere"
    return f"0/{row['run_id']}/artifacts/{row['path']}"


def aliases(recorder):
    path = f"{A}/registered-models/alias"
    body = lambda alias, number="1": {"name": "iris", "alias": alias, "version": number}
    recorder.post("alias_set", path, body("candidate"))
    recorder.get("alias_set_get", query(path, name="iris", alias="candidate"))
    recorder.post("alias_move", path, body("candidate", "2"), note="moving is setting once more")
    recorder.get("alias_move_get", query(path, name="iris", alias="candidate"))
    recorder.get("err_alias_case", query(path, name="iris", alias="Candidate"), note="aliases have a case")
    recorder.send("alias_delete", "DELETE", path, {"name": "iris", "alias": "candidate"})
    recorder.get("err_alias_deleted", query(path, name="iris", alias="candidate"))
    recorder.post("err_alias_set_latest", path, body("latest"))
    recorder.post("err_alias_set_version", path, body("v1"))
    recorder.post("err_alias_set_letters", path, body("a b"))
    recorder.post("err_alias_set_no_version", path, body("candidate", "99"))


def stages(recorder):
    body = {"name": "iris", "version": "1", "stage": "Production", "archive_existing_versions": False}
    recorder.post("stage_transition", f"{A}/model-versions/transition-stage", body)
    latest = f"{A}/registered-models/get-latest-versions"
    of = lambda *stages: {"name": "iris", "stages": list(stages)}
    recorder.post("latest_versions_stage", latest, of("Production"))
    recorder.post("latest_versions_stage_case", latest, of("production"))
    recorder.post("latest_versions_stage_empty", latest, of("Staging"))
    recorder.post("latest_versions_stage_unknown", latest, of("Nowhere"))
    recorder.post("latest_versions_two_stages", latest, {"name": "iris"}, note="the highest is not the first")


def record_no_proxy(scratch):
    folder = scratch / "no_proxy"
    options = ["--no-serve-artifacts", "--default-artifact-root", str(folder / "artifacts")]
    with server(folder, *options) as address:
        publish(address, "linear")
        recorder = Recorder(address, scratch, "no_proxy")
        recorder.get("no_proxy_server_info", INFO)
        note = "a path on the server, without a scheme"
        recorder.get("no_proxy_download_uri", download_uri("linear", 1), note=note)
        recorder.get("no_proxy_list", query(FILES, path="0/models"))
        recorder.get("no_proxy_file", f"{FILES}/0/models/MLmodel")
        by_version = query("/model-versions/get-artifact", name="linear", version=1, path="MLmodel")
        recorder.get("no_proxy_artifact_by_version", by_version, note="works without the proxy")
        return recorder.exchanges


def record_workspaces(scratch):
    folder = scratch / "workspaces"
    team = {"X-MLFLOW-WORKSPACE": "team-a"}
    workspaces = "/api/3.0/mlflow/workspaces"
    with server(folder, *files(folder / "artifacts"), "--enable-workspaces") as address:
        recorder = Recorder(address, scratch, "workspaces")
        recorder.get("workspace_server_info", INFO)
        recorder.post("workspace_create", workspaces, {"name": "team-a", "description": "a team"})
        recorder.get("workspace_list", workspaces)
        # A new workspace has no experiment yet; the client makes the one that it is told of.
        publish(address, "linear", MLFLOW_WORKSPACE="team-a", MLFLOW_EXPERIMENT_NAME="scoring")
        recorder.get("workspace_version", version("linear", 1), headers=team)
        recorder.get("err_workspace_default", version("linear", 1), note="without the header: the workspace `default`")
        recorder.get("err_workspace_unknown", version("linear", 1), headers={"X-MLFLOW-WORKSPACE": "nope"})
        place = folder_of(recorder.get("workspace_download_uri", download_uri("linear", 1), headers=team))
        recorder.get("workspace_artifacts", query(FILES, path=place), headers=team)
        recorder.get("workspace_artifact", f"{FILES}/{quote(place)}/MLmodel", headers=team)
        recorder.get("err_workspace_artifacts", query(FILES, path=place))
        recorder.get("err_workspace_artifact", f"{FILES}/{quote(place)}/MLmodel")
        return recorder.exchanges


def record_s3(scratch, s3):
    import boto3

    keys = {"AWS_ACCESS_KEY_ID": "volley", "AWS_SECRET_ACCESS_KEY": "volley-secret", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(keys)
    boto3.client("s3", endpoint_url=s3).create_bucket(Bucket=BUCKET)
    folder = scratch / "s3"
    with server(folder, *files(f"s3://{BUCKET}/registry"), MLFLOW_S3_ENDPOINT_URL=s3) as address:
        publish(address, "linear")
        recorder = Recorder(address, scratch, "s3")
        recorder.get("s3_server_info", INFO)
        place = folder_of(recorder.get("s3_download_uri", download_uri("linear", 1)))
        recorder.get("s3_artifacts_list", query(FILES, path=place))
        recorder.get("s3_artifacts_list_missing", query(FILES, path=f"{place}/nope"))
        recorder.get("s3_artifact", f"{FILES}/{place}/model.onnx", note="chunked: no length and no etag")
        recorder.get("s3_artifact_range", f"{FILES}/{place}/model.onnx", headers={"Range": "bytes=0-9"})
        recorder.send("s3_artifact_head", "HEAD", f"{FILES}/{place}/model.onnx")
        recorder.get("s3_artifact_missing", f"{FILES}/{place}/nope.onnx", note="500, and no use in trying again")
        recorder.get("s3_artifact_is_dir", f"{FILES}/{place}", note="200 without a byte")
        recorder.get("s3_presigned", f"/api/2.0/mlflow-artifacts/presigned/{place}/model.onnx")
        recorder.get("s3_presigned_missing", f"/api/2.0/mlflow-artifacts/presigned/{place}/nope.onnx")
        return recorder.exchanges


def record_auth(scratch):
    folder = scratch / "auth"
    environment = users(scratch / "users")
    with server(folder, *files(folder / "artifacts"), "--app-name", "basic-auth", **environment) as address:
        secrets = {"MLFLOW_TRACKING_USERNAME": ADMIN[0], "MLFLOW_TRACKING_PASSWORD": ADMIN[1]}
        publish(address, "linear", **secrets)
        recorder = Recorder(address, scratch)
        who_is_asking(recorder)
        what_is_allowed(recorder)
        return recorder.exchanges


def who_is_asking(recorder):
    search = f"{A}/registered-models/search"
    recorder.get("auth_none", search)
    recorder.get("auth_wrong", search, headers=basic(ADMIN[0], "wrong"))
    note = "tokens are for a gateway in front of the server: it knows none"
    recorder.get("auth_bearer", search, headers={"Authorization": "Bearer abcdef"}, note=note)
    recorder.get("auth_ok", search, headers=basic(*ADMIN))
    recorder.get("auth_health", "/health")
    recorder.get("auth_version", "/version")
    recorder.get("auth_server_info", INFO)
    recorder.get("auth_artifact_none", f"{FILES}/1/x/MLmodel")


def what_is_allowed(recorder):
    """Nothing, then the model, then the experiment that has its files."""
    admin, scorer = basic(*ADMIN), basic("scorer", "volley-scorer-1")
    user = {"username": "scorer", "password": "volley-scorer-1"}
    recorder.post("err_user_password", f"{A}/users/create", {**user, "password": "short"}, headers=admin)
    recorder.post("user_create", f"{A}/users/create", user, headers=admin)
    model = query(f"{A}/registered-models/get", name="linear")
    recorder.get("auth_denied", model, headers=scorer)
    recorder.get("auth_denied_search", f"{A}/registered-models/search", headers=scorer, note="left out, not refused")
    allow = "/api/3.0/mlflow/users/permissions/grant"
    read = {"username": "scorer", "permission": "READ"}
    what = {"resource_type": "registered_model", "resource_id": "linear"}
    recorder.post("permission_grant_model", allow, {**read, **what}, headers=admin)
    recorder.get("auth_allowed_version", version("linear", 1), headers=scorer)
    uri = recorder.get("auth_allowed_download_uri", download_uri("linear", 1), headers=scorer)
    place = folder_of(uri)
    note = "who may read the model and not its experiment gets no files"
    recorder.get("auth_denied_artifacts", query(FILES, path=place), headers=scorer, note=note)
    recorder.get("auth_denied_artifact", f"{FILES}/{place}/MLmodel", headers=scorer)
    recorder.get("auth_denied_logged_model", f"{A}/logged-models/{place.split('/')[2]}", headers=scorer)
    by_version = query("/model-versions/get-artifact", name="linear", version=1, path="MLmodel")
    recorder.get("auth_allowed_artifact_by_version", by_version, headers=scorer)
    alias = {"name": "linear", "alias": "mine", "version": "1"}
    recorder.post("auth_denied_alias_set", f"{A}/registered-models/alias", alias, headers=scorer)
    what = {"resource_type": "experiment", "resource_id": place.split("/")[0]}
    recorder.post("permission_grant_experiment", allow, {**read, **what}, headers=admin)
    recorder.get("auth_allowed_artifacts", query(FILES, path=place), headers=scorer)
    recorder.get("auth_allowed_artifact", f"{FILES}/{place}/MLmodel", headers=scorer)


if __name__ == "__main__":
    main()

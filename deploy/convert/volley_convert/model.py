"""The version to convert: what a reference means, its files, its flavor."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.models import Model

from volley_convert.convert import FLAVORS
from volley_convert.errors import ConvertError, of_server

FORMS = "models:/NAME/VERSION, models:/NAME@ALIAS, models:/NAME/latest, models:/m-ID or runs:/RUN/PATH"


@dataclass(frozen=True)
class Reference:
    """What the user wrote: a name with a version or an alias, or a place of a model that has neither."""

    text: str
    name: str | None = None
    version: str | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        if re.fullmatch(r"models:/m-[0-9a-f]{32}|runs:/[^/]+/.+", text):
            return cls(text)
        if found := re.fullmatch(r"models:/([^/:]+)/(\d+|latest)", text, re.IGNORECASE):
            return cls(text, found[1], version=found[2].lower())
        if found := re.fullmatch(r"models:/([^/:]+)@([\w-]+)", text):
            return cls(text, found[1], alias=found[2])
        raise ConvertError("invalid_reference", f"{text!r} names no version of a model; write {FORMS}")


@dataclass(frozen=True)
class Source:
    """A version with its files. `name` and `version` are None where nothing is registered."""

    reference: str
    name: str | None
    version: str | None
    folder: Path
    info: Model
    flavor: str
    experiment: str | None

    @property
    def settings(self) -> dict:
        """What MLmodel says of the flavor."""
        return self.info.flavors[self.flavor]

    def example(self):
        """The input example that was logged with it, if there was."""
        if not self.info.saved_input_example_info:
            return None
        return self.info.load_input_example(str(self.folder))


def download(client, reference: Reference, folder: Path) -> Source:
    """Finds the version and brings its files into the folder."""
    name, version = reference.name, resolve(client, reference)
    exact = f"models:/{name}/{version}" if name else reference.text
    try:
        files = Path(mlflow.artifacts.download_artifacts(exact, dst_path=str(folder)))
    except Exception as error:
        raise of_server(error, f"download {exact}") from error
    if not (files / "MLmodel").is_file():
        raise ConvertError("unknown_model", f"{exact} holds no file MLmodel; name the folder of a model")
    try:
        info = Model.load(str(files))
    except Exception as error:
        message = f"the file MLmodel of {exact} cannot be read; log the model anew"
        raise ConvertError("unknown_model", message) from error
    return Source(exact, name, version, files, info, flavor_of(info, exact), experiment_of(client, info))


def resolve(client, reference: Reference) -> str | None:
    """The number of the version, now: an alias may move while we work."""
    if reference.name is None:
        return None
    try:
        found = version_of(client, reference)
    except Exception as error:
        raise of_server(error, f"find {reference.text}") from error
    if found is None:
        raise ConvertError("unknown_model", f"model {reference.name!r} has no version, or is none; check the server")
    if found.status != "READY":
        message = f"version {found.version} of {reference.name!r} is {found.status}; wait until it is READY"
        raise ConvertError("not_ready", message)
    return str(found.version)


def version_of(client, reference: Reference):
    if reference.alias:
        return client.get_model_version_by_alias(reference.name, reference.alias)
    if reference.version == "latest":
        quoted = reference.name.replace("'", "\\'")
        found = client.search_model_versions(f"name='{quoted}'", max_results=1, order_by=["version_number DESC"])
        return found[0] if found else None
    return client.get_model_version(reference.name, reference.version)


def flavor_of(info: Model, exact: str) -> str:
    if "onnx" in info.flavors:
        raise ConvertError("nothing_to_convert", f"{exact} is an ONNX model already: Volley scores it as it is")
    found = next((flavor for flavor in FLAVORS if flavor in info.flavors), None)
    if found is None:
        has = ", ".join(sorted(set(info.flavors) - {"python_function"})) or "python_function"
        known = ", ".join(FLAVORS)
        message = f"{exact} has the flavor {has}, which cannot be converted; those that can are {known}"
        raise ConvertError("unsupported_flavor", message)
    return found


def experiment_of(client, info: Model) -> str | None:
    """Where the source lies: who may read the source may then read what it was converted to. None where the user has
    chosen another, as MLflow's own variables do."""
    if os.environ.get("MLFLOW_EXPERIMENT_NAME") or os.environ.get("MLFLOW_EXPERIMENT_ID"):
        return None
    try:
        logged = client.get_logged_model(info.model_id) if info.model_id else client.get_run(info.run_id).info
        living = client.get_experiment(logged.experiment_id).lifecycle_stage == "active"
        return logged.experiment_id if living else None
    except Exception:
        # Deleted, or not ours to see: the version itself can be read all the same.
        return None


def connect(uri: str | None):
    """The client of the server that is named, by the command or by the environment."""
    if not (uri or os.environ.get("MLFLOW_TRACKING_URI")):
        message = "no MLflow server is named; give --tracking-uri URL, or set MLFLOW_TRACKING_URI"
        raise ConvertError("no_server", message)
    if uri:
        mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient()

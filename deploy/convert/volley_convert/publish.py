"""Registers what was converted, and writes on both versions where they come from and went."""

import mlflow
import onnx
import onnxruntime

from volley_convert.errors import ConvertError, of_server

# Above it, protobuf refuses a file: the weights go into another one beside it.
INLINE_MAX = 1_500_000_000


def target_name(reference, wanted: str | None) -> str:
    """The model to register under."""
    if wanted or reference.name:
        return wanted or f"{reference.name}-onnx"
    raise ConvertError("name_needed", f"{reference.text} has no name in the registry; give one with --as NAME")


def publish(client, source, converted, name: str, alias: str | None) -> str:
    """Registers the graph; gives `models:/NAME/VERSION`. The alias comes last: it points at what is complete."""
    try:
        version = log(source, converted, name)
    except Exception as error:
        raise of_server(error, f"register the converted model as {name!r}") from error
    made = f"models:/{name}/{version}"
    try:
        for key, value in tags(source, converted).items():
            client.set_model_version_tag(name, version, key, value)
        if source.name:
            client.set_model_version_tag(source.name, source.version, "volley.converted_to", made)
        if alias:
            client.set_registered_model_alias(name, alias, version)
    except Exception as error:
        raise of_server(error, f"write the tags and the alias of {made}, which is registered") from error
    return made


def log(source, converted, name: str) -> str:
    if source.experiment:
        mlflow.set_experiment(experiment_id=source.experiment)
    info = mlflow.onnx.log_model(
        converted.model,
        name=name,
        signature=converted.signature,
        input_example=source.example(),
        registered_model_name=name,
        save_as_external_data=converted.model.ByteSize() > INLINE_MAX,
        onnx_execution_providers=["CPUExecutionProvider"],
        pip_requirements=[f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"],
    )
    return str(info.registered_model_version)


def tags(source, converted) -> dict:
    return {
        "volley.converted_from": source.reference,
        "volley.source_model_id": source.info.model_id or "",
        "volley.source_flavor": source.flavor,
        "volley.parity_rows": str(converted.parity.rows),
        "volley.parity_max_abs": repr(converted.parity.max_abs),
    }

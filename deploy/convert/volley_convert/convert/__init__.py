"""One module for each framework: how a model of it is loaded, predicts, and becomes a graph."""

import importlib
import importlib.util
from dataclasses import dataclass

from volley_convert.errors import ConvertError, brief


@dataclass(frozen=True)
class Framework:
    """A flavor of MLflow: the module that converts it, the packages it needs, the extra that installs them."""

    module: str
    packages: tuple[str, ...]
    extra: str


# In the order in which they are looked for: a model of several flavors is converted from the first.
FLAVORS = {
    "catboost": Framework("catboost", ("catboost",), "catboost"),
    "lightgbm": Framework("lightgbm", ("lightgbm", "onnxmltools", "skl2onnx"), "lightgbm"),
    "xgboost": Framework("xgboost", ("xgboost", "onnxmltools", "skl2onnx"), "xgboost"),
    "sklearn": Framework("sklearn", ("sklearn", "skl2onnx"), "sklearn"),
    "pytorch": Framework("pytorch", ("torch", "onnxscript"), "pytorch"),
    "keras": Framework("keras", ("keras", "tensorflow", "tf2onnx"), "tensorflow"),
    "tensorflow": Framework("keras", ("keras", "tensorflow", "tf2onnx"), "tensorflow"),
}


def load(source, inputs):
    """The original model, which loading may run code for. It has

    * `predict(rows)`: its own answers, by the name of the ONNX output that they are compared with;
    * `graphs(rows)`: functions that make models in ONNX, the likeliest first, each without an output that `predict`
      does not give; an exporter that traces the model does so with the rows;
    * `note`: what the user should know, or None.
    """
    framework = FLAVORS[source.flavor]
    missing = [package for package in framework.packages if importlib.util.find_spec(package) is None]
    if missing:
        advice = f"pip install 'volley-convert[{framework.extra}]'"
        message = f"a model of {source.flavor} needs {', '.join(missing)}; {advice}"
        raise ConvertError("framework_missing", message)
    if source.flavor != "sklearn" and not inputs.numeric:
        message = f"the exporter of {source.flavor} takes numbers, and the signature has strings; use a pipeline"
        raise ConvertError("unsupported_input", message)
    module = importlib.import_module(f"volley_convert.convert.{framework.module}")
    try:
        return module.load(source, inputs)
    except ConvertError:
        raise
    except ModuleNotFoundError as error:
        message = f"the model needs the Python package {error.name!r}; install it beside volley-convert"
        raise ConvertError("framework_missing", message) from error
    except Exception as error:
        raise ConvertError("original_failed", f"the {source.flavor} model cannot be loaded: {brief(error)}") from error

"""CatBoost, by its own exporter."""

import tempfile
from pathlib import Path

import mlflow
import numpy as np
import onnx

from volley_convert.convert import links
from volley_convert.graph import rename, tidy


def load(source, inputs):
    return Original(mlflow.catboost.load_model(str(source.folder)), inputs)


class Original:
    note = None

    def __init__(self, model, inputs):
        self.model = model
        loss = str(model.get_all_params().get("loss_function", ""))
        # The exporter leaves their exponential out.
        self.exponential = loss.startswith(("Poisson", "Tweedie"))
        self.classifies = loss.startswith(("Logloss", "CrossEntropy", "MultiClass"))

    def predict(self, rows) -> dict:
        data = rows.original()
        if not self.classifies:
            # A bare CatBoost gives the logarithm, unless told otherwise: what is meant is the number itself.
            kind = {"prediction_type": "Exponent"} if self.exponential else {}
            return {"predictions": np.asarray(self.model.predict(data, **kind))}
        labels = self.model.predict(data, prediction_type="Class")
        probabilities = self.model.predict(data, prediction_type="Probability")
        return {"label": np.asarray(labels).reshape(-1), "probabilities": probabilities}

    def graphs(self, rows):
        yield self.converted

    def converted(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            self.model.save_model(str(path), format="onnx")
            graph = onnx.load(path)
        if not self.classifies:
            dims = graph.graph.output[0].type.tensor_type.shape.dim
            if len(dims) == 1:
                # What the exporter declares as a vector is a matrix of one column.
                dims.add().dim_value = 1
            return tidy(links.linked(graph, "Exp" if self.exponential else None), ["predictions"])
        without_zipmap(graph.graph)
        return tidy(graph, ["label", "probabilities"])


def without_zipmap(graph: onnx.GraphProto):
    """Gives the matrix that went into the ZipMap, a map for each row, under the name of what came out."""
    zipmap = next((node for node in graph.node if node.op_type == "ZipMap"), None)
    if zipmap is None:
        return
    matrix, width = zipmap.input[0], len(zipmap.attribute[0].ints) or len(zipmap.attribute[0].strings)
    graph.node.remove(zipmap)
    old = next(output for output in graph.output if output.name == zipmap.output[0])
    graph.output.remove(old)
    rename(graph, matrix, "probabilities")
    port = onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["N", width])
    graph.output.append(port)

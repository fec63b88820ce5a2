"""Keras and TensorFlow, by tf2onnx: Keras models of either flavor, and modules of TensorFlow."""

import mlflow
import numpy as np
import tensorflow as tf
import tf2onnx

from volley_convert.errors import ConvertError
from volley_convert.graph import OPSETS, tidy
from volley_convert.inputs import Columns


def load(source, inputs):
    flavor = mlflow.keras if source.flavor == "keras" else mlflow.tensorflow
    model = flavor.load_model(str(source.folder))
    if not callable(model):
        message = "a SavedModel that cannot be called is not converted; log the Keras model or the tf.Module itself"
        raise ConvertError("unsupported_flavor", message)
    return Original(model, inputs)


class Original:
    note = None

    def __init__(self, model, inputs):
        self.model, self.inputs = model, inputs
        # A functional model of Keras knows what its outputs are called; its inputs are in the order of its own.
        self.names = list(getattr(model, "output_names", None) or [])
        self.order = self.input_order()

    def input_order(self) -> list[str]:
        if isinstance(self.inputs, Columns):
            return ["input"]
        own = [tensor.name for tensor in getattr(self.model, "inputs", None) or []]
        return own if set(own) == set(self.inputs.names) else self.inputs.names

    def predict(self, rows) -> dict:
        answers = self.call([tf.constant(array) for array in self.arrays(rows)])
        return {name: answer.numpy() for name, answer in answers.items()}

    def arrays(self, rows) -> list[np.ndarray]:
        """In the model's order, as MLflow gives them to it; columns as floats, side by side."""
        if isinstance(self.inputs, Columns):
            return [rows.matrix()]
        return [rows.arrays[name] for name in self.order]

    def call(self, tensors: list) -> dict:
        """The answers by name, as they are when nothing is learned."""
        given = tensors[0] if len(tensors) == 1 else tensors
        learns = {"training": False} if hasattr(self.model, "fit") else {}
        answers = self.model(given, **learns)
        if isinstance(answers, dict):
            return answers
        answers = answers if isinstance(answers, (list, tuple)) else [answers]
        return dict(zip(self.output_names(len(answers)), answers))

    def output_names(self, count: int) -> list[str]:
        if len(self.names) == count and len(set(self.names)) == count:
            return self.names
        return ["output"] if count == 1 else [f"output_{at}" for at in range(count)]

    def graphs(self, rows):
        yield lambda: self.converted(rows)

    def converted(self, rows):
        names = list(self.predict(rows))
        specs = [
            tf.TensorSpec([None, *array.shape[1:]], array.dtype, name)
            for name, array in zip(self.order, self.arrays(rows))
        ]
        function = tf.function(lambda *tensors: self.call(list(tensors)), input_signature=specs)
        graph, _ = tf2onnx.convert.from_function(function, specs, opset=OPSETS[""])
        return tidy(graph, names)

"""scikit-learn, by skl2onnx: estimators and pipelines, with boosted trees of other libraries inside if those are there."""

import importlib.util

import mlflow
import numpy as np
from mlflow.types import DataType
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common import data_types as kinds
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)

from volley_convert.graph import OPSETS, tidy
from volley_convert.inputs import Columns

# Which method gives what an output of skl2onnx holds, in the order of preference.
METHODS = {
    "label": ("predict",),
    "variable": ("predict", "transform"),
    "probabilities": ("predict_proba",),
    "scores": ("transform", "decision_function"),
}
EXACT = {
    DataType.string: kinds.StringTensorType,
    DataType.boolean: kinds.BooleanTensorType,
    DataType.integer: kinds.Int32TensorType,
    DataType.long: kinds.Int64TensorType,
}


def load(source, inputs):
    register_boosted()
    return Original(mlflow.sklearn.load_model(str(source.folder)), inputs)


class Original:
    note = None

    def __init__(self, model, inputs):
        self.model, self.inputs = model, inputs

    def predict(self, rows) -> dict:
        data, answers = rows.original(), {}
        for output, methods in METHODS.items():
            method = next((getattr(self.model, method) for method in methods if hasattr(self.model, method)), None)
            if method is not None:
                answers[output] = method(data)
        # A list of matrices, one for each target of several, is no tensor.
        return {output: dense(values) for output, values in answers.items() if not isinstance(values, list)}

    def graphs(self, rows):
        for ports in self.layouts():
            yield lambda ports=ports: self.converted(ports)

    def layouts(self):
        """Input ports to try: one wide matrix, or a port for each column, which a ColumnTransformer by names needs."""
        inputs = self.inputs
        if inputs.numeric:
            yield [("input", kinds.FloatTensorType([None, inputs.width]))]
        if isinstance(inputs, Columns):
            floats = lambda kind: kinds.StringTensorType if kind == DataType.string else kinds.FloatTensorType
            exact = lambda kind: EXACT.get(kind, kinds.FloatTensorType)
            # Numbers of one type first: many converters join columns, which they can of one type only.
            for port in (floats, exact):
                yield [(str(name), port(kind)([None, 1])) for name, kind in zip(inputs.names, inputs.types)]
        if inputs.numeric:
            yield [("input", kinds.DoubleTensorType([None, inputs.width]))]

    def converted(self, ports):
        model = getattr(self.model, "best_estimator_", self.model)
        options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
        graph = to_onnx(model, initial_types=ports, options=options, target_opset=OPSETS)
        known = [output.name for output in graph.graph.output if self.gives(output.name)]
        return tidy(graph, known)

    def gives(self, output: str) -> bool:
        return any(hasattr(self.model, method) for method in METHODS.get(output, ()))


def dense(values) -> np.ndarray:
    return values.toarray() if hasattr(values, "toarray") else np.asarray(values)


def register_boosted():
    """Tells skl2onnx of XGBoost and LightGBM, which often are the last step of a pipeline."""
    if importlib.util.find_spec("onnxmltools") is None:
        return
    choices = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    if importlib.util.find_spec("lightgbm"):
        from lightgbm import LGBMClassifier, LGBMRegressor
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

        register(LGBMClassifier, LGBMRegressor, convert_lightgbm, choices, {"split": None})
    if importlib.util.find_spec("xgboost"):
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
        from xgboost import XGBClassifier, XGBRegressor

        register(XGBClassifier, XGBRegressor, convert_xgboost, choices, None)


def register(classifier, regressor, converter, choices, regressor_choices):
    update_registered_converter(
        classifier, classifier.__name__, calculate_linear_classifier_output_shapes, converter, options=choices
    )
    update_registered_converter(
        regressor, regressor.__name__, calculate_linear_regressor_output_shapes, converter, options=regressor_choices
    )

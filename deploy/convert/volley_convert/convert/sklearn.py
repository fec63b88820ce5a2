"""scikit-learn, by skl2onnx: estimators and pipelines, also with boosted trees of other libraries inside."""

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
from sklearn.base import is_classifier
from sklearn.ensemble import HistGradientBoostingRegressor

from volley_convert.convert import links, sklearn_trees
from volley_convert.graph import OPSETS, name_inputs, tidy
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
    sklearn_trees.correct()
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
        given = set(self.predict(rows))
        for ports in self.layouts():
            yield lambda ports=ports: self.converted(ports, given)

    def layouts(self):
        """Input ports to try: one wide matrix, or a port for each column, which a ColumnTransformer by names needs."""
        for kind in (kinds.FloatTensorType, kinds.DoubleTensorType):
            if self.inputs.numeric:
                width = self.inputs.width or getattr(self.model, "n_features_in_", None)
                yield [("input", kind([None, width]))]
            if isinstance(self.inputs, Columns):
                # Numbers of one type first: many converters join columns, which they can of one type only.
                yield self.columns({DataType.string: kinds.StringTensorType}, kind)
                yield self.columns(EXACT, kind)

    def columns(self, types: dict, other):
        pairs = zip(self.inputs.names, self.inputs.types)
        return [(str(name), types.get(declared, other)([None, 1])) for name, declared in pairs]

    def converted(self, ports, given: set[str]):
        model = getattr(self.model, "best_estimator_", self.model)
        last = model.steps[-1][1] if hasattr(model, "steps") else model
        if hasattr(last, "flatten_transform"):
            # Of a voting classifier: it concerns its `transform`, and skl2onnx wants it so.
            last.flatten_transform = False
        graph = self.exported(model, ports, is_classifier(last))
        name_inputs(graph.graph, [name for name, _ in ports])
        if isinstance(last, HistGradientBoostingRegressor) and last.loss in ("poisson", "gamma"):
            # skl2onnx leaves the exponential out.
            graph = links.linked(graph, "Exp")
        if any(isinstance(kind, kinds.DoubleTensorType) for _, kind in ports):
            graph = sklearn_trees.in_single(graph)
        return tidy(graph, [output.name for output in graph.graph.output if output.name in given])

    def exported(self, model, ports, classifies: bool):
        """Probabilities as a matrix, where the estimator knows that option: without it, they are a map for each row."""
        matrix = {id(model): {"zipmap": False}} if classifies else None
        try:
            return to_onnx(model, initial_types=ports, options=matrix, target_opset=OPSETS)
        except NameError:
            return to_onnx(model, initial_types=ports, target_opset=OPSETS)


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

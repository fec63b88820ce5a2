"""XGBoost, by onnxmltools: boosters, and the classes in scikit-learn's manner."""

import json
from contextlib import contextmanager

import mlflow
import numpy as np
import onnxmltools
import xgboost

from volley_convert.convert import boosted, links
from volley_convert.errors import ConvertError
from volley_convert.graph import tidy

# What stands behind the sum of the trees. onnxmltools leaves some of it out, and guesses at rankers.
LINKS = {"reg:logistic": "Sigmoid", "count:poisson": "Exp", "reg:gamma": "Exp", "reg:tweedie": "Exp"}


def load(source, inputs):
    model = Original(mlflow.xgboost.load_model(str(source.folder)), inputs)
    if str(source.settings.get("data", "")).endswith((".json", ".ubj")):
        model.note = "Volley scores XGBoost's own files as they are, without this conversion"
    return model


class Original:
    note = None

    def __init__(self, model, inputs):
        self.model, self.inputs = model, inputs
        self.bare = isinstance(model, xgboost.Booster)
        self.booster = model if self.bare else model.get_booster()
        learner = json.loads(self.booster.save_config())["learner"]
        self.objective, self.kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
        self.classifies = hasattr(model, "predict_proba") or self.objective.startswith(("binary:logistic", "multi:"))

    def predict(self, rows) -> dict:
        # Trained without names, XGBoost takes any; with names, it wants them.
        data = rows.original() if self.booster.feature_names else rows.matrix()
        if self.bare:
            return self.of_booster(xgboost.DMatrix(data))
        if self.classifies:
            return {"label": self.model.predict(data), "probabilities": self.model.predict_proba(data)}
        return {"variable": self.model.predict(data)}

    def of_booster(self, data) -> dict:
        if not self.classifies:
            return {"variable": self.booster.predict(data)}
        answers = self.softened(self.booster).predict(data)
        return boosted.binary(answers) if answers.ndim == 1 else boosted.multiclass(answers)

    def softened(self, booster):
        """`multi:softmax` gives labels only; the same trees under `multi:softprob` give probabilities."""
        if self.objective != "multi:softmax":
            return booster
        soft = booster.copy()
        soft.set_param({"objective": "multi:softprob"})
        return soft

    def graphs(self, rows):
        yield lambda: self.converted(self.softened(self.booster) if self.bare else self.model)
        if not self.classifies:
            yield lambda: links.linked(self.converted(self.sums()), LINKS.get(self.objective))

    def converted(self, model):
        if self.kind != "gbtree":
            message = f"the booster is a {self.kind}, and onnxmltools knows none but gbtree"
            raise ConvertError("conversion_failed", message)
        with nameless(model if isinstance(model, xgboost.Booster) else model.get_booster()):
            ports = boosted.ports(self.inputs.width or self.booster.num_features())
            graph = onnxmltools.convert_xgboost(model, initial_types=ports, target_opset=boosted.OPSET)
        return tidy(graph, ["label", "probabilities"] if self.classifies else ["variable"])

    def sums(self) -> "xgboost.Booster":
        """The same trees as a plain regressor, which gives their sum: the exporter is right about those."""
        model = json.loads(self.booster.save_raw("json"))
        learner = model["learner"]
        base = float(json.loads(learner["learner_model_param"]["base_score"].strip("[]")))
        margin = {"Sigmoid": lambda p: np.log(p / (1 - p)), "Exp": np.log, None: float}[LINKS.get(self.objective)]
        learner["learner_model_param"]["base_score"] = f"[{float(margin(base))!r}]"
        learner["objective"] = {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}}
        plain = xgboost.Booster()
        plain.load_model(bytearray(json.dumps(model).encode()))
        return plain


@contextmanager
def nameless(booster):
    """Without feature names: onnxmltools takes none but f0, f1, and so on."""
    names, types = booster.feature_names, booster.feature_types
    booster.feature_names = booster.feature_types = None
    try:
        yield
    finally:
        booster.feature_names, booster.feature_types = names, types

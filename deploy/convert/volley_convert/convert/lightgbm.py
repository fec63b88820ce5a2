"""LightGBM, by onnxmltools: boosters, and the classes in scikit-learn's manner."""

import re

import lightgbm
import mlflow
import onnxmltools

from volley_convert.convert import boosted, links
from volley_convert.graph import tidy

# Objectives that onnxmltools does not know, and what stands behind the sum of their trees.
LINKS = {"fair": None, "mape": None, "cross_entropy": "Sigmoid"}


def load(source, inputs):
    return Original(mlflow.lightgbm.load_model(str(source.folder)), inputs)


class Original:
    def __init__(self, model, inputs):
        self.model, self.inputs = model, inputs
        self.bare = isinstance(model, lightgbm.Booster)
        self.booster = model if self.bare else model.booster_
        self.objective = self.booster.dump_model(num_iteration=1).get("objective", "").split(" ")[0]
        self.classifies = hasattr(model, "predict_proba") or self.objective.startswith(("binary", "multiclass"))
        self.note = "Volley scores LightGBM's own text as it is, without this conversion" if self.bare else None

    def predict(self, rows) -> dict:
        data = rows.original()
        answers = self.model.predict(data)
        if not self.classifies:
            return {"variable": answers}
        if not self.bare:
            return {"label": answers, "probabilities": self.model.predict_proba(data)}
        return boosted.binary(answers) if answers.ndim == 1 else boosted.multiclass(answers)

    def graphs(self, rows):
        yield lambda: self.converted(self.model)
        if self.objective in LINKS:
            yield lambda: links.linked(self.converted(self.sums()), LINKS[self.objective])

    def sums(self) -> lightgbm.Booster:
        """The same trees as a plain regressor, which gives their sum."""
        text = re.sub(r"(?m)^objective=.*$", "objective=regression", self.booster.model_to_string())
        # Of the parameters that it was trained with, which onnxmltools believes rather than the line above.
        text = re.sub(r"(?m)^\[objective: .*\]$", "[objective: regression]", text)
        return lightgbm.Booster(model_str=text)

    def converted(self, model):
        ports = boosted.ports(self.inputs.width or self.booster.num_feature())
        graph = onnxmltools.convert_lightgbm(
            model, initial_types=ports, target_opset=boosted.OPSET, zipmap=False
        )
        return tidy(graph, ["label", "probabilities"] if self.classifies else ["variable"])

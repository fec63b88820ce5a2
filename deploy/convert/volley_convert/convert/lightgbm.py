"""LightGBM, by onnxmltools: boosters, and the classes in scikit-learn's manner."""

import lightgbm
import mlflow
import onnxmltools

from volley_convert.convert import boosted
from volley_convert.graph import tidy


def load(source, inputs):
    return Original(mlflow.lightgbm.load_model(str(source.folder)), inputs)


class Original:
    def __init__(self, model, inputs):
        self.model, self.inputs = model, inputs
        self.bare = isinstance(model, lightgbm.Booster)
        self.booster = model if self.bare else model.booster_
        objective = self.booster.dump_model(num_iteration=1).get("objective", "")
        self.classifies = hasattr(model, "predict_proba") or objective.startswith(("binary", "multiclass"))
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
        yield self.converted

    def converted(self):
        ports = boosted.ports(self.inputs.width or self.booster.num_feature())
        graph = onnxmltools.convert_lightgbm(
            self.model, initial_types=ports, target_opset=boosted.OPSET, zipmap=False
        )
        return tidy(graph, ["label", "probabilities"] if self.classifies else ["variable"])

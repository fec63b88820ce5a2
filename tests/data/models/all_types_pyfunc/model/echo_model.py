"""A Python model that answers with its threshold; saved as a fixture, never run by Volley."""

import mlflow
import pandas as pd


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        threshold = float((params or {}).get("threshold", 0.5))
        return pd.DataFrame({"score": [threshold] * len(model_input)})


mlflow.models.set_model(Echo())

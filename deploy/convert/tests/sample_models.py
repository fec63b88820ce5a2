"""Small models of each framework, with rows whose numbers are exact in 32 bits, and how each is logged.

A `Sample` has the model, its rows, its own answers, and `log(name)`, which registers it. As a command,

    python sample_models.py FUNCTION NAME ANSWERS.npz

logs one to the server of MLFLOW_TRACKING_URI and keeps its answers: PyTorch and TensorFlow want processes of their own,
since each brings the same compiler library.
"""

import contextlib
import io
import sys
from dataclasses import dataclass
from typing import Callable

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

ROWS = 200
KINDS = {"f": DataType.double, "i": DataType.long, "b": DataType.boolean, "O": DataType.string}


@dataclass(frozen=True)
class Sample:
    """A fitted model. `answers` are its own predictions for `rows`, by the name of the output of the ONNX model."""

    model: object
    rows: object
    answers: Callable[[], dict]
    log: Callable[[str], str]


def sample(flavor, model, rows, answers, signature=None, example=5, **saving) -> Sample:
    """`example` rows are logged as the input example; 0 for none."""

    def log(name: str) -> str:
        given = {"input_example": rows[:example]} if example else {}
        signed = {"signature": signature or columns_of(rows)}
        settings = signed | given | saving
        # MLflow tells on standard error that it has registered the model.
        with contextlib.redirect_stderr(io.StringIO()):
            info = flavor.log_model(
                model, name=name, registered_model_name=name, pip_requirements=["mlflow"], **settings
            )
        return f"models:/{name}/{info.registered_model_version}"

    return Sample(model, rows, answers, log)


def columns_of(frame: pd.DataFrame) -> ModelSignature:
    kind = lambda values: KINDS["O" if values.dtype.kind not in KINDS else values.dtype.kind]
    return ModelSignature(Schema([ColSpec(kind(values), str(name)) for name, values in frame.items()]))


def tensor_of(width: int, name=None, dtype="float32") -> ModelSignature:
    return ModelSignature(Schema([TensorSpec(np.dtype(dtype), (-1, width), name)]))


def quarters(columns: str, seed: int, rows: int = ROWS) -> pd.DataFrame:
    """Multiples of a quarter: no float, and no threshold half way between two of them, is rounded in 32 bits."""
    values = np.round(np.random.default_rng(seed).normal(0, 3, (rows, len(columns))) * 4) / 4
    return pd.DataFrame(values, columns=list(columns))


def customers(seed: int = 1, rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.integers(18, 90, rows),
            "income": np.round(random.normal(50_000, 10_000, rows)),
            "segment": pd.Series(random.choice(["retail", "corporate", "public"], rows).astype(object), dtype=object),
        }
    )


def classes(frame: pd.DataFrame, count: int) -> np.ndarray:
    """Labels that trees and linear models can learn, and not wholly."""
    score = frame["a"] + frame["b"] * frame["c"] / 3
    return np.digitize(score, np.quantile(score, np.arange(1, count) / count))


def classified(model, rows, cast=np.asarray) -> Callable[[], dict]:
    return lambda: {"label": cast(model.predict(rows)), "probabilities": model.predict_proba(rows)}


def scikit() -> Sample:
    """The most ordinary pipeline: scaled numbers and one-hot strings, then a logistic regression."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = customers()
    left = ((rows.income > 50_000) & (rows.segment != "retail")) | (rows.age > 70)
    steps = [
        ("number", StandardScaler(), ["age", "income"]),
        ("text", OneHotEncoder(handle_unknown="ignore"), ["segment"]),
    ]
    model = make_pipeline(ColumnTransformer(steps), LogisticRegression(max_iter=1000))
    model.fit(rows, np.where(left, "left", "stayed"))
    return sample(mlflow.sklearn, model, rows, classified(model, rows), serialization_format="cloudpickle")


def xgboost() -> Sample:
    from xgboost import XGBClassifier

    rows = quarters("abcd", 2)
    settings = {"n_estimators": 10, "max_depth": 3, "random_state": 0, "n_jobs": 1, "tree_method": "exact"}
    model = XGBClassifier(**settings).fit(rows, classes(rows, 3))
    answers = classified(model, rows, lambda labels: labels.astype("i8"))
    return sample(mlflow.xgboost, model, rows, answers)


def lightgbm() -> Sample:
    """Logged as skops, the form that Volley cannot read."""
    from lightgbm import LGBMClassifier

    rows = quarters("abcd", 3)
    settings = {"n_estimators": 10, "num_leaves": 7, "random_state": 0, "n_jobs": 1, "verbose": -1}
    model = LGBMClassifier(**settings, deterministic=True, force_row_wise=True).fit(rows, classes(rows, 2))
    return sample(mlflow.lightgbm, model, rows, classified(model, rows))


def catboost() -> Sample:
    from catboost import CatBoostClassifier

    rows = quarters("abcd", 4)
    settings = {"iterations": 20, "depth": 3, "random_seed": 0, "thread_count": 1, "verbose": False}
    model = CatBoostClassifier(**settings, allow_writing_files=False).fit(rows, classes(rows, 2))
    return sample(mlflow.catboost, model, rows, classified(model, rows))


def pytorch() -> Sample:
    import torch

    torch.manual_seed(5)
    layers = [torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3), torch.nn.Softmax(dim=1)]
    model = torch.nn.Sequential(*layers).eval()
    rows = quarters("abcdef", 5).to_numpy("f4")

    def answers():
        with torch.no_grad():
            return {"output": model(torch.from_numpy(rows)).numpy()}

    return sample(mlflow.pytorch, model, rows, answers, tensor_of(6), serialization_format="pickle")


def keras() -> Sample:
    """Through the flavor `tensorflow`, which Keras models get from TensorFlow's users."""
    import keras as library

    library.utils.set_random_seed(6)
    dense = library.layers.Dense
    layers = [library.Input((5,), name="features"), dense(12, "relu"), dense(2, "softmax")]
    model = library.Sequential(layers)
    rows = quarters("abcde", 6).to_numpy("f4")
    answers = lambda: {"output": model.predict(rows, verbose=0)}
    return sample(mlflow.tensorflow, model, rows, answers, tensor_of(5, "features"))


def main(function: str, name: str, path: str):
    made = globals()[function]()
    print(made.log(name))
    np.savez(path, **made.answers(), rows=made.rows)


if __name__ == "__main__":
    main(*sys.argv[1:])

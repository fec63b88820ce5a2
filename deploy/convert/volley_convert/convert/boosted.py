"""What XGBoost and LightGBM have in common: boosters without classes of their own, and one float matrix to read."""

import numpy as np
from onnxmltools.convert.common.data_types import FloatTensorType

# onnxmltools knows nothing later; what it writes needs nothing later.
OPSET = 15


def ports(width: int):
    return [("input", FloatTensorType([None, width]))]


def binary(positive: np.ndarray) -> dict:
    """The answers of a classifier of two classes, of the probability of the second."""
    positive = np.asarray(positive)
    return {"label": (positive > 0.5).astype("i8"), "probabilities": np.column_stack([1 - positive, positive])}


def multiclass(probabilities: np.ndarray) -> dict:
    return {"label": probabilities.argmax(axis=1), "probabilities": probabilities}

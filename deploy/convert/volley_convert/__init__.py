"""Converts a version of an MLflow model to ONNX, checks it against the original, and registers it."""

__version__ = "0.1.0"

"""PyTorch, by its exporter: modules, scripted ones, and exported programs."""

import tempfile
import warnings
from pathlib import Path

import mlflow
import numpy as np
import onnx
import torch

from volley_convert.graph import OPSETS, tidy
from volley_convert.inputs import Columns


def load(source, inputs):
    model = mlflow.pytorch.load_model(str(source.folder), **located(source))
    return Original(model, inputs)


def located(source) -> dict:
    """Where the weights go: a model that was trained on a graphics card is converted without one."""
    return {} if source.settings.get("serialization_format") == "pt2" else {"map_location": "cpu"}


class Original:
    note = None

    def __init__(self, model, inputs):
        self.model, self.inputs = model, inputs
        if not exported(model):
            model.eval()

    def predict(self, rows) -> dict:
        with torch.no_grad():
            answers = self.model(self.tensor(rows))
        answers = answers if isinstance(answers, (tuple, list)) else [answers]
        return dict(zip(names(len(answers)), (np.asarray(answer.numpy()) for answer in answers)))

    def tensor(self, rows) -> torch.Tensor:
        """As MLflow gives it to the model: columns as floats, side by side; a tensor as it was declared."""
        array = rows.matrix() if isinstance(self.inputs, Columns) else rows.original()
        return torch.from_numpy(np.ascontiguousarray(array))

    def graphs(self, rows):
        # Traced with one row, a graph might be one of a single row.
        few = self.tensor(rows.take(np.arange(3) % len(rows)))
        count = len(self.predict(rows))
        for dynamo in (True, False):
            yield lambda dynamo=dynamo: self.converted(few, count, dynamo)

    def converted(self, tensor, count: int, dynamo: bool):
        rows = {"dynamic_shapes": ({0: torch.export.Dim("N")},)} if dynamo else {"dynamic_axes": self.axes(count)}
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # A trace that leaves a branch out may well agree on all the rows that we have.
            warnings.simplefilter("error", torch.jit.TracerWarning)
            path = Path(folder) / "model.onnx"
            torch.onnx.export(
                self.model,
                (tensor,),
                str(path),
                input_names=["input"],
                output_names=names(count),
                opset_version=OPSETS[""],
                dynamo=dynamo,
                **rows,
            )
            return tidy(onnx.load(path), names(count))

    def axes(self, count: int) -> dict:
        return {name: {0: "N"} for name in ["input", *names(count)]}


def exported(model) -> bool:
    """Whether it comes from an exported program, which knows no other mode than that of its answers."""
    return isinstance(model, torch.fx.GraphModule)


def names(count: int) -> list[str]:
    return ["output"] if count == 1 else [f"output_{at}" for at in range(count)]

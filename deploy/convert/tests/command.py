"""The command as tests run it: against the shared server, in this process, with all that it prints."""

import contextlib
import io
import json
import logging
import os
import sys
import unittest
import warnings
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

# The package need not be installed to be tested.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mlflow
import numpy as np
import onnxruntime
from mlflow_server import shared_server

from volley_convert.cli import main

logging.getLogger("mlflow").setLevel(logging.ERROR)
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@dataclass(frozen=True)
class Said:
    """What a run of the command gave back and printed."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict:
        return json.loads(self.out)

    @property
    def code(self) -> str:
        """The code in brackets at the end of the only line of an error."""
        return self.err.rstrip("\n").rsplit("[", 1)[-1].rstrip("]")


def run(*arguments: str) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), mock.patch.dict(os.environ):
        # MLflow sets it for every experiment that a test chooses, as if the user had.
        os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
        status = main(list(arguments))
    return Said(status, out.getvalue(), err.getvalue())


class CommandTest(unittest.TestCase):
    """Tests with a server, `self.client` of it, and its address in the environment."""

    @classmethod
    def setUpClass(cls):
        # pandas and scikit-learn remark on the samples, which is not what is tested.
        warnings.simplefilter("ignore")
        os.environ["MLFLOW_TRACKING_URI"] = shared_server()
        mlflow.set_tracking_uri(shared_server())
        cls.client = mlflow.MlflowClient()

    def convert(self, *arguments: str) -> Said:
        """A run that works."""
        said = run(*arguments)
        self.assertEqual((said.status, said.err), (0, ""), said)
        return said

    def refused(self, code: str, *arguments: str, status: int = 1) -> str:
        """A run that ends in one line on standard error with this code; gives the line."""
        said = run(*arguments)
        self.assertEqual((said.status, said.code), (status, code), said)
        self.assertEqual((said.out, said.err.count("\n")), ("", 1), said)
        return said.err

    def tags(self, reference: str) -> dict:
        name, version = reference.removeprefix("models:/").split("/")
        return self.client.get_model_version(name, version).tags

    def versions(self, name: str) -> int:
        return len(self.client.search_model_versions(f"name='{name}'"))


def scored(reference: str, rows) -> dict:
    """What the registered graph makes of rows in ONNX Runtime, by output; the file is read anew from the server."""
    model = mlflow.onnx.load_model(reference)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ports, types = session.get_inputs(), {"tensor(string)": object, "tensor(float)": "f4", "tensor(double)": "f8"}
    if len(ports) == 1:
        feeds = {ports[0].name: np.asarray(rows, types[ports[0].type])}
    else:
        feeds = {port.name: rows[[port.name]].to_numpy(types[port.type]) for port in ports}
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, feeds)))


def assert_equal(given: dict, wanted: dict):
    """Labels equal, numbers within 1e-5, nothing more and nothing less."""
    assert list(given) == list(wanted), (list(given), list(wanted))
    for name, values in wanted.items():
        if np.asarray(values).dtype.kind == "f":
            np.testing.assert_allclose(given[name], values, atol=1e-5, rtol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(given[name], values, err_msg=name)

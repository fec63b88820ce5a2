"""What is refused: one line, a code, a status, and nothing registered."""

import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import sample_models
from catboost import CatBoostClassifier
from command import CommandTest, run
from mlflow_server import free_port
from sample_models import classes, customers, quarters, sample
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid

from volley_convert.convert import FLAVORS, Framework

ROWS = quarters("abcd", 9)
PICKLE = {"serialization_format": "cloudpickle"}


def logistic(**saving):
    return sample(mlflow.sklearn, LogisticRegression().fit(ROWS, classes(ROWS, 2)), ROWS, dict, **saving)


def unlike():
    """What onnxmltools makes of this objective has other probabilities."""
    settings = {"objective": "multiclassova", "num_class": 3, "num_threads": 1, "verbose": -1}
    booster = lightgbm.train(settings, lightgbm.Dataset(ROWS, label=classes(ROWS, 3)), 5)
    return sample(mlflow.lightgbm, booster, ROWS, dict)


def texts(name: str, example: int = 0) -> str:
    """The pipeline that takes strings, by default without an example."""
    rows = customers()
    model = sample_models.scikit().model
    return sample(mlflow.sklearn, model, rows, dict, example=example, **PICKLE).log(name)


class Refusals(CommandTest):
    def test_a_model_that_nobody_registered(self):
        logistic().log("known")
        for reference in ["models:/nobody/1", "models:/known/9", "models:/known@nobody", "models:/nobody/latest"]:
            with self.subTest(reference):
                self.refused("unknown_model", reference)
        self.refused("unknown_model", f"models:/m-{'0' * 32}", "--as", "x")

    def test_what_is_no_reference(self):
        for reference in ["known", "models:/known", "models:/known/champion", "models:/a/b/c", "runs:/1"]:
            with self.subTest(reference):
                self.refused("invalid_reference", reference, status=2)

    def test_a_wrong_command(self):
        self.refused("usage", status=2)
        self.refused("usage", "models:/x/1", "--colour", status=2)
        self.refused("usage", "models:/x/1", "--tolerance", "-1", status=2)
        self.refused("usage", "models:/x/1", "--rows", "nowhere.parquet", status=2)

    def test_no_server_is_made_up(self):
        with mock.patch.dict(os.environ):
            del os.environ["MLFLOW_TRACKING_URI"]
            self.refused("no_server", "models:/x/1", status=2)

    def test_a_server_that_does_not_answer(self):
        self.addCleanup(mlflow.set_tracking_uri, os.environ["MLFLOW_TRACKING_URI"])
        with mock.patch.dict(os.environ, {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}):
            self.refused("server_unreachable", "models:/x/1", "--tracking-uri", f"http://127.0.0.1:{free_port()}")

    def test_python_code_is_no_model_of_a_framework(self):
        class Echo(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return model_input

        info = mlflow.pyfunc.log_model(name="code", python_model=Echo(), pip_requirements=["mlflow"])
        line = self.refused("unsupported_flavor", f"models:/{info.model_id}", "--as", "x")
        for flavor in FLAVORS:
            self.assertIn(flavor, line)

    def test_what_is_onnx_already(self):
        made = logistic().log("twice")
        self.refused("nothing_to_convert", self.convert(made, "--json").report["registered"])

    def test_a_model_without_a_signature(self):
        model = LogisticRegression().fit(ROWS, classes(ROWS, 2))
        info = mlflow.sklearn.log_model(model, name="bare", pip_requirements=["mlflow"])
        self.refused("no_signature", f"models:/{info.model_id}", "--as", "x")

    def test_strings_cannot_be_made_up(self):
        made = texts("no_example")
        self.assertIn("--rows", self.refused("no_rows", made))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            customers(seed=2, rows=30).assign(other=1).to_parquet(path)
            report = self.convert(made, "--rows", str(path), "--json").report
            self.assertEqual(report["parity"]["rows"], 30)
            pd.DataFrame({"age": [1]}).to_parquet(path)
            self.assertIn("'income'", self.refused("rows_mismatch", made, "--rows", str(path)))

    def test_answers_unlike_those_of_the_original(self):
        made = unlike().log("unlike")
        line = self.refused("parity", made)
        self.assertIn("'probabilities' differs from the original in", line)
        self.assertEqual((self.versions("unlike-onnx"), self.tags(made)), (0, {}))

    def test_the_tolerance_decides_over_numbers(self):
        made = logistic().log("strict")
        self.refused("parity", made, "--tolerance", "0")
        self.convert(made, "--tolerance", "1e-6")

    def test_what_an_exporter_cannot_do(self):
        centroid = sample(mlflow.sklearn, NearestCentroid().fit(ROWS, classes(ROWS, 2)), ROWS, dict, **PICKLE)
        self.assertIn("NearestCentroid", self.refused("conversion_failed", centroid.log("centroid")))
        settings = {"iterations": 5, "verbose": False, "allow_writing_files": False, "grow_policy": "Lossguide"}
        model = CatBoostClassifier(**settings).fit(ROWS, classes(ROWS, 2))
        self.refused("conversion_failed", sample(mlflow.catboost, model, ROWS, dict).log("lossguide"))

    def test_strings_that_an_exporter_cannot_take(self):
        rows = customers()
        settings = {"iterations": 5, "verbose": False, "allow_writing_files": False, "cat_features": ["segment"]}
        model = CatBoostClassifier(**settings).fit(rows, rows["age"] > 50)
        self.refused("unsupported_input", sample(mlflow.catboost, model, rows, dict).log("categories"))

    def test_a_framework_that_is_not_installed(self):
        made = logistic().log("absent")
        with mock.patch.dict(FLAVORS, {"sklearn": Framework("sklearn", ("no_such_package",), "sklearn")}):
            line = self.refused("framework_missing", made)
        self.assertIn("pip install 'volley-convert[sklearn]'", line)

    def test_rows_that_the_original_cannot_score(self):
        made = logistic().log("holed")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            ROWS.assign(a=np.nan).to_parquet(path)
            self.refused("original_failed", made, "--rows", str(path))

    def test_that_loading_runs_code_is_told(self):
        with self.assertRaises(SystemExit) as end, mock.patch("sys.stdout") as out:
            run_help()
        self.assertEqual(end.exception.code, 0)
        said = " ".join("".join(call.args[0] for call in out.write.call_args_list).split())
        self.assertIn("convert only models that you trust", said)


def run_help():
    from volley_convert.cli import main

    main(["--help"])


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""Makes tests/data/converted: a model of each framework as this tool registers it, with the framework's own answers.

    pip install -r deploy/convert/requirements.txt -r deploy/convert/requirements-large.txt
    python deploy/convert/tests/make_converted.py [FRAMEWORK…]

Without a name all are made anew; with names, those. PyTorch and TensorFlow are needed for their own alone.
"""

import os
import sys

# mlflow writes sets, in the order of their hashes.
if os.environ.get("PYTHONHASHSEED") != "0":
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import logging
import shutil
import subprocess
import tempfile
import uuid
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
sys.path[:0] = [str(HERE), str(HERE.parent), str(REPOSITORY / "tests" / "data")]

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sample_models
from fixture_folder import CREATED, edit, output_table, pin
from mlflow_server import MlflowServer

from volley_convert.cli import main as volley_convert

logging.getLogger("mlflow").setLevel(logging.ERROR)
FOLDER = REPOSITORY / "tests" / "data" / "converted"
SIZE_MAX = 300_000
# The folder of each, the function that trains it, and the column of the rows where they are lists.
FRAMEWORKS = {
    "sklearn": (sample_models.scikit, None),
    "xgboost": (sample_models.xgboost, None),
    "lightgbm": (sample_models.lightgbm, None),
    "catboost": (sample_models.catboost, None),
    "pytorch": (sample_models.pytorch, "input"),
    "tensorflow": (sample_models.keras, "features"),
}


def make(framework: str):
    train, list_column = FRAMEWORKS[framework]
    sample, folder = train(), FOLDER / framework
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    converted(sample.log(framework), f"models:/{framework}-onnx/1", folder / "model")
    settle(folder / "model", framework)
    pq.write_table(input_table(sample.rows, list_column), folder / "input.parquet", compression="zstd")
    pq.write_table(output_table(sample.answers()), folder / "expected.parquet", compression="zstd")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < SIZE_MAX, f"{folder} has {size} bytes"
    print(f"{framework}: {size:,} bytes")


def converted(reference: str, registered: str, folder: Path):
    """Converts as a user does, and downloads what is registered then."""
    status = volley_convert([reference])
    assert status == 0, f"{reference} is not converted"
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(mlflow.artifacts.download_artifacts(registered, dst_path=place), folder)


def settle(model: Path, framework: str):
    """Takes out what differs from run to run: identities, times, the interpreter."""
    pin(model)
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, f"{framework}.converted.volley").hex
    for field, value in {
        "artifact_path": f"mlflow-artifacts:/1/models/m-{identity}/artifacts",
        "model_id": f"m-{identity}",
        "model_uuid": f"m-{identity}",
        "run_id": identity,
        "utc_time_created": f"'{CREATED}'",
    }.items():
        edit(model / "MLmodel", rf"(?m)^{field}: .*$", f"{field}: {value}")


def input_table(rows, list_column) -> pa.Table:
    if list_column:
        return pa.table({list_column: pa.array(list(rows), pa.list_(pa.float32()))})
    return pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False).replace_schema_metadata(None)


def main():
    if sys.argv[1:2] == ["--server"]:
        os.environ["MLFLOW_TRACKING_URI"] = sys.argv[2]
        mlflow.set_tracking_uri(sys.argv[2])
        return make(sys.argv[3])
    with MlflowServer() as uri:
        for framework in sys.argv[1:] or FRAMEWORKS:
            # A process each: PyTorch and TensorFlow bring the same compiler library, and one process takes only one.
            subprocess.run([sys.executable, __file__, "--server", uri, framework], check=True)
    (FOLDER / "README.md").write_text(README)


README = """# Converted models

Written by `deploy/convert/tests/make_converted.py`; do not edit by hand. A small model of each framework was trained
on seeded rows, logged to an MLflow server, converted by `volley-convert`, and downloaded again.

A folder holds `model/`, the registered ONNX version with its identities and times made constant, `input.parquet`, 200
rows as the signature wants them, and `expected.parquet`: what the *framework* answers for them, a column for each
output of the model. Labels are equal, and numbers agree within 1e-5. Rows are exact in 32 bits.

| folder | the original |
|---|---|
| `sklearn` | numbers scaled and strings one-hot in a ColumnTransformer, a logistic regression; labels are strings |
| `xgboost` | `XGBClassifier` of three classes |
| `lightgbm` | `LGBMClassifier` of two classes, logged as skops |
| `catboost` | `CatBoostClassifier` of two classes |
| `pytorch` | a perceptron of two layers over an unnamed float tensor; rows are lists |
| `tensorflow` | a Keras perceptron of two layers over a named float tensor; rows are lists |
"""


if __name__ == "__main__":
    main()

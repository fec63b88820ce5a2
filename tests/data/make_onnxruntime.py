"""Writes onnxruntime/NAME.onnx: models of operators that tract does not have, for the runtime `ort`.

    pip install -r requirements.txt
    python make_onnxruntime.py

`determinants.parquet` holds rows of `determinants.onnx` with the scores of ONNX Runtime.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
from onnx import TensorProto, helper

from graphs import model

FOLDER = Path(__file__).resolve().parent / "onnxruntime"


def main():
    FOLDER.mkdir(exist_ok=True)
    onnx.save(determinants(), FOLDER / "determinants.onnx")
    onnx.save(centred("N"), FOLDER / "centred.onnx")
    onnx.save(centred(3), FOLDER / "centred_by_three.onnx")
    onnx.save(unknown(), FOLDER / "unknown.onnx")
    pq.write_table(scored(), FOLDER / "determinants.parquet")


def determinants():
    """Three sums of the determinants of two matrices a row."""
    constants = {
        "matrices": np.array([-1, 2, 2, 2], "i8"),
        "weights": np.random.default_rng(7).normal(0, 0.5, (2, 3)).astype("f4"),
    }
    nodes = [
        helper.make_node("Reshape", ["x", "matrices"], ["rows"]),
        helper.make_node("Det", ["rows"], ["both"]),
        helper.make_node("MatMul", ["both", "weights"], ["y"]),
    ]
    ports = {"x": (TensorProto.FLOAT, ["N", 8])}, {"y": (TensorProto.FLOAT, ["N", 3])}
    return model("determinants", nodes, *ports, constants)


def centred(rows):
    """The determinant of each row less the mean of all rows: of a row alone it is 0, of rows together it is not."""
    constants = {"square": np.array([-1, 2, 2], "i8")}
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Reshape", ["centred", "square"], ["squares"]),
        helper.make_node("Det", ["squares"], ["y"]),
    ]
    return model("centred", nodes, {"x": (TensorProto.FLOAT, [rows, 4])}, {"y": (TensorProto.FLOAT, [rows])}, constants)


def unknown():
    """An operator that no runtime has."""
    nodes = [helper.make_node("Guess", ["x"], ["y"])]
    ports = {"x": (TensorProto.FLOAT, ["N", 4])}, {"y": (TensorProto.FLOAT, ["N"])}
    return model("unknown", nodes, *ports, checked=False)


def scored():
    session = onnxruntime.InferenceSession(FOLDER / "determinants.onnx", providers=["CPUExecutionProvider"])
    rows = np.random.default_rng(8).normal(0, 1, (20, 8)).astype("f4")
    scores = session.run(["y"], {"x": rows})[0]
    columns = {f"x{column}": rows[:, column] for column in range(8)}
    return pa.table(columns | {f"y{column}": scores[:, column] for column in range(3)})


if __name__ == "__main__":
    main()

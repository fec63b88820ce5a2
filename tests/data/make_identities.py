"""Writes identities/TYPE.onnx: models that give back their one input, for each type of the coercion table.

    pip install -r requirements.txt
    python make_identities.py
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

FOLDER = Path(__file__).resolve().parent / "identities"
TYPES = {
    "float": TensorProto.FLOAT,
    "double": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}


def main():
    FOLDER.mkdir(exist_ok=True)
    for name, element in TYPES.items():
        onnx.save(identity(name, element), FOLDER / f"{name}.onnx")


def identity(name, element):
    given = helper.make_tensor_value_info("x", element, ["N"])
    taken = helper.make_tensor_value_info("y", element, ["N"])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], name, [given], [taken])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="volley")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    main()

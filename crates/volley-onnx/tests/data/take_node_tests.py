"""Writes the node tests of the installed `onnx` package to FOLDER, one folder for each.

    python take_node_tests.py FOLDER            all of them
    python take_node_tests.py FOLDER --ml       those of ai.onnx.ml: how `ai_onnx_ml` beside this file was made

The package makes its node tests from code when it is asked to; they are not files of the wheel.
"""

import argparse
import pathlib
import shutil
import warnings

import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases


def written(value, info):
    """A value of the type that the graph declares, as protobuf."""
    if isinstance(value, TensorProto):
        return value
    kind = info.type.WhichOneof("value")
    make = {
        "map_type": numpy_helper.from_dict,
        "sequence_type": numpy_helper.from_list,
        "optional_type": numpy_helper.from_optional,
        "tensor_type": numpy_helper.from_array,
    }[kind]
    return make(value, info.name)


def write(folder, case):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    (folder / "tolerance").write_text(f"{case.rtol} {case.atol}\n")
    graph = case.model.graph
    for at, (inputs, outputs) in enumerate(case.data_sets):
        data = folder / f"test_data_set_{at}"
        data.mkdir()
        for kind, values, infos in (("input", inputs, graph.input), ("output", outputs, graph.output)):
            for place, (value, info) in enumerate(zip(values, infos)):
                (data / f"{kind}_{place}.pb").write_bytes(written(value, info).SerializeToString())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--ml", action="store_true", help="only the tests of ai.onnx.ml")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    taken = 0
    for case in collect_testcases(None):
        is_ml = any(node.domain == "ai.onnx.ml" for node in case.model.graph.node)
        if is_ml or not arguments.ml:
            write(arguments.folder / case.name, case)
            taken += 1
    print(f"{taken} node tests of onnx {onnx.__version__}")


main()

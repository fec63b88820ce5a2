"""Makes models that were written to do harm, and two that are sound until they meet certain rows.

    python make_hostile.py FOLDER
"""

import random
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
ML = "ai.onnx.ml"


def model(nodes, weights=(), inputs=(("x", FLOAT, [None, 2]),), outputs=(("y", FLOAT, [None, None]),)):
    tensors = [it if isinstance(it, TensorProto) else numpy_helper.from_array(np.asarray(it[1]), it[0]) for it in weights]
    values = [[helper.make_tensor_value_info(*value) for value in side] for side in (inputs, outputs)]
    graph = helper.make_graph(nodes, "hostile", *values, tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString(deterministic=True)


def node(op_type, inputs, outputs=("y",), **attributes):
    return helper.make_node(op_type, inputs, list(outputs), name=op_type, **attributes)


def tree(**changes):
    """One split with two leaves, and what is changed of it."""
    attributes = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "class_treeids": [0, 0],
        "class_nodeids": [1, 2],
        "class_ids": [0, 1],
        "class_weights": [1.0, 1.0],
        "classlabels_int64s": [0, 1],
        "post_transform": "NONE",
    } | changes
    outputs = (("label", INT64, [None]), ("y", FLOAT, [None, 2]))
    return model([node("TreeEnsembleClassifier", ["x"], ["label", "y"], domain=ML, **attributes)], outputs=outputs)


def trees():
    yield "tree_class_out_of_range", tree(class_ids=[0, 1 << 40])
    yield "tree_class_negative", tree(class_ids=[0, -1])
    yield "tree_cycle", tree(nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"], nodes_truenodeids=[1, 0, 0])
    yield "tree_child_out_of_range", tree(nodes_falsenodeids=[77, 0, 0])
    yield "tree_own_child", tree(nodes_truenodeids=[0, 0, 0])
    yield "tree_weight_of_unknown_node", tree(class_nodeids=[1, 99])
    yield "tree_weight_of_unknown_tree", tree(class_treeids=[0, 5])
    yield "tree_arrays_of_other_lengths", tree(nodes_values=[0.5])
    yield "tree_unknown_mode", tree(nodes_modes=["BRANCH_MAYBE", "LEAF", "LEAF"])
    yield "tree_feature_negative", tree(nodes_featureids=[-3, 0, 0])
    yield "tree_node_twice", tree(nodes_nodeids=[0, 1, 1])


def tensors():
    huge = np.array([1 << 20, 1 << 20], np.int64)
    add = node("Add", ["x", "c"])
    yield "fill_huge", model([node("ConstantOfShape", ["s"], ["c"]), add], [("s", huge)])
    yield "fill_two_gigabytes", model([node("ConstantOfShape", ["s"], ["c"]), add], [("s", np.array([1 << 29]))])
    sums = [node("ConstantOfShape", ["s"], ["c"]), node("ReduceSum", ["c", "a"], ["d"]), node("Add", ["x", "d"])]
    yield "fill_one_gigabyte", model(sums, [("s", np.array([1 << 14, 1 << 14])), ("a", np.array([0, 1]))])
    yield "expand_huge", model([node("Expand", ["x", "s"])], [("s", huge)])
    ends = [("a", np.int64(0)), ("b", np.int64(1 << 40)), ("d", np.int64(1))]
    yield "range_huge", model([node("Range", ["a", "b", "d"], ["c"]), add], ends)
    ends[2] = ("d", np.int64(0))
    yield "range_of_step_zero", model([node("Range", ["a", "b", "d"], ["c"]), add], ends)
    yield "tile_huge", model([node("Tile", ["x", "s"])], [("s", np.array([1, 1 << 40]))])
    yield "transpose_twice_the_same", model([node("Transpose", ["x"], perm=[0, 0])])
    yield "transpose_out_of_range", model([node("Transpose", ["x"], perm=[0, 7])])
    yield "resize_of_nothing", model([node("Resize", ["x"])])
    yield "pad_huge", model([node("Pad", ["x", "p"])], [("p", np.array([0, 0, 0, 1 << 40]))])
    yield "reshape_to_nothing", model([node("Reshape", ["x", "s"])], [("s", np.array([0, 0, 0, 0, 0, -7]))])
    yield "squeeze_out_of_range", model([node("Squeeze", ["x", "s"])], [("s", np.array([9]))])
    yield "one_hot_huge", model(
        [node("Cast", ["x"], ["i"], to=INT64), node("OneHot", ["i", "d", "v"])],
        [("d", np.int64(1 << 40)), ("v", np.array([0.0, 1.0], np.float32))],
    )
    image = (("x", FLOAT, [None, 1, 8, 8]),)
    kernel = [("w", np.ones((1, 1, 3, 3), np.float32))]
    yield "convolution_of_stride_zero", model([node("Conv", ["x", "w"], strides=[0, 0])], kernel, image)
    yield "pool_of_nothing", model([node("MaxPool", ["x"], kernel_shape=[0, 0])], (), image)
    text = TensorProto(name="c", dims=[1], data_type=TensorProto.STRING, raw_data=b"abcd")
    yield "text_as_raw_bytes", model([node("Identity", ["c"])], [text])
    lying = TensorProto(name="c", dims=[1 << 40], data_type=FLOAT, raw_data=bytes(8))
    yield "tensor_larger_than_its_bytes", model([add], [lying])
    negative = TensorProto(name="c", dims=[-1], data_type=FLOAT, raw_data=bytes(8))
    yield "tensor_of_negative_size", model([add], [negative])


def graphs():
    yield "output_missing", model([node("Relu", ["x"], ["z"])])
    yield "input_missing", model([node("Relu", ["nobody"])])
    yield "cycle", model([node("Add", ["x", "y"], ["z"]), node("Relu", ["z"])])
    outside = TensorProto(name="c", dims=[2], data_type=FLOAT, data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="../../../etc/hostname")
    yield "path_out_of_the_folder", model([node("Add", ["x", "c"])], [outside])
    nothing = node("ArrayFeatureExtractor", ["x"], domain=ML)
    yield "operator_without_its_inputs", model([nothing])
    sound = tree()
    draw = random.Random(0)
    yield "truncated", sound[: len(sound) // 2]
    yield "noise", bytes(draw.randrange(256) for _ in range(500))
    yield "nested", b"\x3a\xff\xff\xff\xff\x0f" * 80


def sound():
    """Valid, and right for nearly all rows."""
    ids = (("x", INT64, [None, 1]),)
    table = [("table", np.arange(6, dtype=np.float32).reshape(3, 2))]
    looked_up = [node("Gather", ["table", "x"], ["rows"]), node("Flatten", ["rows"])]
    yield "lookup", model(looked_up, table, ids, (("y", FLOAT, [None, 2]),))
    whole = (("y", INT64, [None, 1]),)
    yield "division", model([node("Div", ["hundred", "x"])], [("hundred", np.array([[100]]))], ids, whole)
    words = (("x", TensorProto.STRING, [None, 1]),)
    strict = node("OneHotEncoder", ["x"], domain=ML, cats_strings=["a", "b"], zeros=0)
    yield "one_hot_strict", model([strict], (), words, (("y", FLOAT, [None, 1, 2]),))
    encoder = node("LabelEncoder", ["x"], domain=ML, keys_strings=["a", "b"], values_int64s=[1, 2], default_int64=-9)
    yield "label_encoder", model([encoder], (), words, whole)


def main(folder):
    for part, makers in {"hostile": (trees, tensors, graphs), "sound": (sound,)}.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        for name, content in (case for make in makers for case in make()):
            (folder / part / f"{name}.onnx").write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

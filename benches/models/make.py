"""Makes the models that the benches score with: 30 float inputs, one float output.

    pip install -r benches/models/requirements.txt
    python benches/models/make.py

first_column.onnx  gives its first input back: what is left is the way in and out
linear.onnx        scaler and linear regressor
trees.onnx         200 regression trees of 63 leaves each, grown leaf by leaf on random splits
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

FEATURES = 30
TREES = 200
LEAVES = 63
HERE = Path(__file__).parent


def save(name, nodes, initializers=()):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, FEATURES])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, name, [x], [y], list(initializers))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, producer_name="volley-benches")
    onnx.checker.check_model(model)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))


def first_column():
    index = helper.make_tensor("index", TensorProto.INT64, [1], [0])
    save("first_column", [helper.make_node("Gather", ["x", "index"], ["y"], axis=1)], [index])


def linear(random):
    scaler = helper.make_node(
        "Scaler",
        ["x"],
        ["scaled"],
        domain="ai.onnx.ml",
        offset=random.normal(size=FEATURES).astype(np.float32).tolist(),
        scale=random.uniform(0.5, 2, FEATURES).astype(np.float32).tolist(),
    )
    regressor = helper.make_node(
        "LinearRegressor",
        ["scaled"],
        ["y"],
        domain="ai.onnx.ml",
        coefficients=random.normal(size=FEATURES).astype(np.float32).tolist(),
        intercepts=[0.5],
    )
    save("linear", [scaler, regressor])


def grown(random):
    """One tree as lists of (feature, threshold, left, right); a leaf has feature -1 and its value as threshold."""
    nodes = [(-1, float(np.float32(random.normal())), 0, 0)]
    leaves = [0]
    while len(leaves) < LEAVES:
        leaf = leaves.pop(random.integers(len(leaves)))
        left, right = len(nodes), len(nodes) + 1
        nodes.extend((-1, float(np.float32(random.normal())), 0, 0) for _ in range(2))
        nodes[leaf] = (int(random.integers(FEATURES)), float(np.float32(random.normal())), left, right)
        leaves.extend([left, right])
    return nodes


def trees(random):
    columns = {
        "nodes_treeids": [], "nodes_nodeids": [], "nodes_featureids": [], "nodes_values": [], "nodes_modes": [],
        "nodes_truenodeids": [], "nodes_falsenodeids": [],
        "target_treeids": [], "target_nodeids": [], "target_ids": [], "target_weights": [],
    }
    for tree in range(TREES):
        for node, (feature, value, left, right) in enumerate(grown(random)):
            is_leaf = feature < 0
            columns["nodes_treeids"].append(tree)
            columns["nodes_nodeids"].append(node)
            columns["nodes_featureids"].append(max(feature, 0))
            columns["nodes_values"].append(0.0 if is_leaf else value)
            columns["nodes_modes"].append("LEAF" if is_leaf else "BRANCH_LEQ")
            columns["nodes_truenodeids"].append(left)
            columns["nodes_falsenodeids"].append(right)
            if is_leaf:
                columns["target_treeids"].append(tree)
                columns["target_nodeids"].append(node)
                columns["target_ids"].append(0)
                columns["target_weights"].append(value)
    ensemble = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1, **columns)
    save("trees", [ensemble])


if __name__ == "__main__":
    first_column()
    linear(np.random.default_rng(1))
    trees(np.random.default_rng(2))

"""ONNX graphs written by hand, and the few things that converters' graphs need to be the same on every run."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = helper.make_opsetid("", 17)
ML_OPSET = helper.make_opsetid("ai.onnx.ml", 3)


def model(name, nodes, inputs, outputs, constants=None, opsets=(OPSET,), checked=True):
    """`inputs` and `outputs` map a name to (element type, shape), `constants` a name to an array."""
    ports = lambda side: [helper.make_tensor_value_info(port, *kind) for port, kind in side.items()]
    tensors = [numpy_helper.from_array(array, constant) for constant, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, name, ports(inputs), ports(outputs), tensors)
    made = helper.make_model(graph, opset_imports=list(opsets), ir_version=8, producer_name="volley")
    if checked:
        onnx.checker.check_model(made)
    return made


def linear(batch="N", element=TensorProto.FLOAT):
    """y = 1 + 0.1 a + 0.2 b + 0.3 c + 0.4 d: small enough to check by hand."""
    dtype = helper.tensor_dtype_to_np_dtype(element)
    constants = {"W": np.array([[0.1], [0.2], [0.3], [0.4]], "f4").astype(dtype), "B": np.ones(1, dtype)}
    nodes = [helper.make_node("MatMul", ["x", "W"], ["xW"]), helper.make_node("Add", ["xW", "B"], ["y"])]
    return model("linear", nodes, {"x": (element, [batch, 4])}, {"y": (element, [batch, 1])}, constants)


def perceptron(mean, deviation):
    """Two layers over 30 standardised columns, with seeded weights: an untrained network is as good to compare."""
    random = np.random.default_rng(7)
    constants = {
        "mean": mean.astype("f4"),
        "deviation": deviation.astype("f4"),
        "W1": random.normal(0, 0.05, (30, 64)).astype("f4"),
        "b1": np.zeros(64, "f4"),
        "W2": random.normal(0, 0.2, (64, 2)).astype("f4"),
        "b2": np.zeros(2, "f4"),
    }
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["standard"]),
        helper.make_node("Gemm", ["standard", "W1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "W2", "b2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"], axis=1),
    ]
    float_port = lambda width: (TensorProto.FLOAT, ["N", width])
    return model("perceptron", nodes, {"x": float_port(30)}, {"y": float_port(2)}, constants)


def mixed_churn():
    """One [N,1] input of each of four element types, joined into one matrix inside the graph."""
    encode = {"keys_strings": ["retail", "corp", "sme"], "values_floats": [0.0, 1.0, 2.0], "default_float": -1.0}
    nodes = [
        helper.make_node("Cast", ["age"], ["age_float"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["active"], ["active_float"], to=TensorProto.FLOAT),
        helper.make_node("LabelEncoder", ["segment"], ["segment_float"], domain="ai.onnx.ml", **encode),
        helper.make_node("Concat", ["age_float", "income", "segment_float", "active_float"], ["row"], axis=1),
        helper.make_node("Gemm", ["row", "W", "B"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    column = lambda element: (element, ["N", 1])
    inputs = {
        "age": column(TensorProto.INT64),
        "income": column(TensorProto.FLOAT),
        "segment": column(TensorProto.STRING),
        "active": column(TensorProto.BOOL),
    }
    constants = {"W": np.array([[0.02], [0.00003], [0.5], [-0.3]], "f4"), "B": np.array([-2.5], "f4")}
    return model("churn", nodes, inputs, {"score": column(TensorProto.FLOAT)}, constants, (OPSET, ML_OPSET))


def three_vectors():
    """Three inputs of rank one, [N] and not [N,1]: y = i + bo + dd."""
    nodes = [helper.make_node("Cast", [port], [f"{port}_float"], to=TensorProto.FLOAT) for port in ("i", "bo", "dd")]
    nodes += [helper.make_node("Add", ["i_float", "bo_float"], ["sum"]), helper.make_node("Add", ["sum", "dd_float"], ["y"])]
    vector = lambda element: (element, ["N"])
    inputs = {"i": vector(TensorProto.INT64), "bo": vector(TensorProto.BOOL), "dd": vector(TensorProto.DOUBLE)}
    return model("vectors", nodes, inputs, {"y": vector(TensorProto.FLOAT)})


def five_wide():
    """Wants five columns, whatever its signature says."""
    port = (TensorProto.FLOAT, ["N", 5])
    return model("five", [helper.make_node("Identity", ["x"], ["y"])], {"x": port}, {"y": port})


def circular_tree():
    """A tree whose second node leads back to its root: an evaluator that trusts it never returns."""
    trees = {
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 1, 0],
        "nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF"],
        "nodes_values": [1e9, 1e9, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 2, 0],
        "target_treeids": [0],
        "target_nodeids": [2],
        "target_ids": [0],
        "target_weights": [1.0],
        "n_targets": 1,
    }
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **trees)
    inputs, outputs = {"x": (TensorProto.FLOAT, ["N", 4])}, {"y": (TensorProto.FLOAT, ["N", 1])}
    return model("circular", [node], inputs, outputs, opsets=(OPSET, ML_OPSET))


def settled(converted):
    """A converter's graph with the parts set that it leaves open, wrong or random."""
    converted.ir_version = min(converted.ir_version, 8)
    # onnxmltools names an XGBoost graph by a random uuid and forgets the default domain's opset.
    converted.graph.name = "converted"
    if not any(opset.domain == "" for opset in converted.opset_import):
        converted.opset_import.append(helper.make_opsetid("", 15))
    # onnxmltools declares LightGBM's label as [1]: it has a label a row.
    for port in converted.graph.output:
        dimensions = port.type.tensor_type.shape.dim
        if len(dimensions) == 1 and dimensions[0].dim_value == 1:
            dimensions[0].dim_param = "N"
    onnx.checker.check_model(converted)
    return converted

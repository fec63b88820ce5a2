"""What skl2onnx gets wrong about trees: which way a missing value goes, and what precision they see."""

import functools
import importlib

import onnx
from onnx import TensorProto, helper

TREES = "add_tree_to_attribute_pairs"
HISTOGRAMS = "add_tree_to_attribute_pairs_hist_gradient_boosting"
# Each has taken the function that writes a tree's nodes by its name.
WRITERS = ["decision_tree", "gradient_boosting", "isolation_forest", "random_forest"]
MISSING = "nodes_missing_value_tracks_true"


def correct():
    """Has skl2onnx write it: without, trees of scikit-learn send every NaN to the right, and those of its histograms
    write a boolean where ONNX has an integer, and cannot be converted at all."""
    for name in WRITERS:
        module = importlib.import_module(f"skl2onnx.operator_converters.{name}")
        for function, missing in [(TREES, of_tree), (HISTOGRAMS, of_histogram)]:
            written = getattr(module, function, None)
            if written is not None and not hasattr(written, "__wrapped__"):
                setattr(module, function, with_missing(written, missing))


def with_missing(write, missing):
    @functools.wraps(write)
    def wrapped(attributes, is_classifier, tree, *more, **named):
        before = len(attributes[MISSING])
        write(attributes, is_classifier, tree, *more, **named)
        attributes[MISSING][before:] = [int(left) for left in missing(tree)]

    return wrapped


def of_tree(tree):
    return tree.missing_go_to_left


def of_histogram(tree):
    return tree.nodes["missing_go_to_left"]


def in_single(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph of doubles whose trees see floats, as those of scikit-learn and XGBoost do: what stands before them, such
    as a scaler, is computed in doubles there, and rounded once. Rounded before, a row may pass a threshold."""
    graph, nodes = model.graph, []
    for node in graph.node:
        if node.op_type.startswith("TreeEnsemble"):
            single = f"{node.input[0]}_single_{len(nodes)}"
            nodes.append(helper.make_node("Cast", [node.input[0]], [single], to=TensorProto.FLOAT))
            node.input[0] = single
        nodes.append(node)
    if len(nodes) == len(graph.node):
        return model
    del graph.node[:]
    graph.node.extend(nodes)
    for output in graph.output:
        # Declared as doubles, and never right: trees give floats.
        if output.type.tensor_type.elem_type == TensorProto.DOUBLE:
            output.type.tensor_type.elem_type = TensorProto.FLOAT
    return model

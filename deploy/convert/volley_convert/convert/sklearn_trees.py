"""What skl2onnx leaves out of trees: which way a missing value goes."""

import functools
import importlib

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

"""Makes node tests of operators whose corners the specification leaves open, with the answers of ONNX Runtime.

    python make_onnxruntime_tests.py FOLDER [SEEDS]

`onnxruntime` beside this file was made so, with one seed. More seeds make more models of the same kinds: all of them
should pass. Models that ONNX Runtime refuses, or answers with memory it never wrote, are left out.
"""

import pathlib
import shutil
import sys

import numpy
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
FLOAT, DOUBLE, INT64, STRING, BOOL = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT64,
    TensorProto.STRING,
    TensorProto.BOOL,
)
KERNELS = ["LINEAR", "POLY", "RBF", "SIGMOID"]
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def numbers(dice, *shape, scale=1.0):
    """Random numbers: not rounded, lest sums come near zero or each other and the last digit decides."""
    return (dice.normal(size=shape) * scale).astype(numpy.float32)


def labels(dice, count, ints="classlabels_ints"):
    if dice.integers(2):
        return {"classlabels_strings": [f"class {at}" for at in range(count)]}, STRING
    return {ints: [10 + 3 * at for at in range(count)]}, INT64


def svm_classifier(dice, kernel, classes, shares, transform):
    columns, supports = 5, dice.integers(1, 5, size=classes).tolist()
    pairs = classes * (classes - 1) // 2
    names, kind = labels(dice, classes)
    attributes = dict(
        kernel_type=kernel,
        kernel_params=[0.3, 0.5, float(dice.integers(1, 5))],
        vectors_per_class=supports,
        support_vectors=numbers(dice, sum(supports) * columns),
        coefficients=numbers(dice, (classes - 1) * sum(supports)),
        rho=numbers(dice, pairs),
        post_transform=transform,
        **names,
    )
    if shares:
        attributes |= dict(prob_a=-abs(numbers(dice, pairs)) - 0.5, prob_b=numbers(dice, pairs, scale=0.2))
    return ("SVMClassifier", attributes, numbers(dice, 20, columns), [kind, FLOAT])


def svm_linear_classifier(dice, classes, positive, transform):
    names, kind = labels(dice, classes)
    coefficients = numbers(dice, classes * 4)
    attributes = dict(
        kernel_params=[0.0, 0.0, 0.0],
        coefficients=abs(coefficients) if positive else coefficients,
        rho=numbers(dice, 1),
        post_transform=transform,
        **names,
    )
    return ("SVMClassifier", attributes, numbers(dice, 20, 4), [kind, FLOAT])


def svm_regressor(dice, kernel, one_class, linear):
    supports, columns = (0, 7) if linear else (6, 11)
    attributes = dict(
        kernel_type=kernel,
        kernel_params=[0.2, 1.0, 2.0],
        n_supports=supports,
        coefficients=numbers(dice, supports or columns),
        rho=numbers(dice, 1),
        one_class=int(one_class),
    )
    if supports:
        attributes["support_vectors"] = numbers(dice, supports * columns)
    return ("SVMRegressor", attributes, numbers(dice, 20, columns), [FLOAT])


def forest(dice, trees, depth, columns):
    """Attributes of random trees, and the tree and node of each leaf."""
    lists = {name: [] for name in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")}
    tracks, leaves = [], []

    def grow(tree, depth, start):
        at = len(lists["treeids"])
        leaf = depth == 0 or dice.random() < 0.15
        for name, value in dict(
            treeids=tree,
            nodeids=at - start,
            featureids=int(dice.integers(columns)),
            modes="LEAF" if leaf else MODES[dice.integers(6)],
            values=float(dice.integers(-2, 3)) / 2,
            truenodeids=0,
            falsenodeids=0,
        ).items():
            lists[name].append(value)
        tracks.append(int(dice.integers(2)))
        if leaf:
            leaves.append((tree, at - start))
        else:
            lists["truenodeids"][at] = grow(tree, depth - 1, start)
            lists["falsenodeids"][at] = grow(tree, depth - 1, start)
        return at - start

    for tree in range(trees):
        grow(tree, depth, len(lists["treeids"]))
    attributes = {f"nodes_{name}": values for name, values in lists.items()}
    if dice.integers(2):
        attributes["nodes_missing_value_tracks_true"] = tracks
    return attributes, leaves


def rows(dice, count, columns):
    """Rows that meet thresholds often, with some values missing."""
    values = (dice.integers(-4, 5, size=(count, columns)) / 4).astype(numpy.float32)
    values[dice.random(size=values.shape) < 0.1] = numpy.nan
    return values


def tree_regressor(dice, aggregate, targets, transform, based, double):
    attributes, leaves = forest(dice, 4, 3, 3)
    each = [(tree, node, target) for tree, node in leaves for target in range(targets)]
    if aggregate in ("SUM", "AVERAGE"):
        each = [of for of in each if dice.random() < 0.8 or of[2] == 0]
    attributes |= dict(
        n_targets=targets,
        aggregate_function=aggregate,
        post_transform=transform,
        target_treeids=[tree for tree, _, _ in each],
        target_nodeids=[node for _, node, _ in each],
        target_ids=[target for _, _, target in each],
        target_weights=(abs(numbers(dice, len(each))) * 0.2 if transform == "PROBIT" else numbers(dice, len(each))),
    )
    if based:
        attributes["base_values"] = numbers(dice, targets, scale=0.1)
    data = rows(dice, 30, 3)
    return ("TreeEnsembleRegressor", attributes, data.astype(numpy.float64) if double else data, [FLOAT])


def tree_classifier(dice, classes, spoken, positive, based, transform):
    attributes, leaves = forest(dice, 3, 3, 3)
    each = [(tree, node, of) for tree, node in leaves for of in spoken]
    weights = numbers(dice, len(each), scale=0.5)
    names, kind = labels(dice, classes, "classlabels_int64s")
    attributes |= dict(
        post_transform=transform,
        class_treeids=[tree for tree, _, _ in each],
        class_nodeids=[node for _, node, _ in each],
        class_ids=[of for _, _, of in each],
        class_weights=abs(weights) / 3 if positive else weights,
        **names,
    )
    if based:
        attributes["base_values"] = numbers(dice, based, scale=0.3)
    return ("TreeEnsembleClassifier", attributes, rows(dice, 30, 3), [kind, FLOAT])


TEXTS = ["This is the first document, Apple.", "", "  a b  c a b ", "ÜNÏ ünï ΣΑΣ ßtraße", "the-is x_1 #", "a.b, c;d", "日本 語"]


def tokenizer(dice, **attributes):
    attributes = dict(mark=int(dice.integers(2)), pad_value="#", mincharnum=1) | attributes
    data = numpy.array(TEXTS, dtype=object)
    return ("com.microsoft.Tokenizer", attributes, data if dice.integers(2) else data.reshape(-1, 1), [STRING])


def ngrams(dice, mode, shortest, longest, skips, weighted, text):
    one, two, three = [0, 1, 2, 3], [(0, 1), (1, 1), (2, 3), (3, 0)], [(0, 1, 2), (1, 1, 1), (2, 0, 3)]
    pool = one + [item for gram in two + three for item in gram]
    count = len(one) + len(two) + len(three)
    attributes = dict(
        mode=mode,
        min_gram_length=shortest,
        max_gram_length=longest,
        max_skip_count=skips,
        ngram_counts=[0, 4, 12],
        ngram_indexes=dice.permutation(count).tolist(),
    )
    if weighted:
        attributes["weights"] = numbers(dice, count)
    data = dice.integers(0, 5, size=(8, 9))
    if text:
        attributes["pool_strings"] = [f"w{item}" for item in pool]
        return ("TfIdfVectorizer", attributes, numpy.vectorize(lambda at: f"w{at}", otypes=[object])(data), [FLOAT])
    return ("TfIdfVectorizer", attributes | dict(pool_int64s=pool), data, [FLOAT])


def normalizer(**attributes):
    return ("StringNormalizer", dict(locale="C.UTF-8") | attributes, numpy.array(TEXTS, dtype=object), [STRING])


def label_encoder(dice, key, value):
    keys = dict(strings=["b", "a", "", "ü"], int64s=[5, -1, 1 << 40, 0], floats=[0.5, -1.0, 2.5, 0.0])
    values = dict(strings=["x", "y", "z", ""], int64s=[7, 1 << 41, -3, 0], floats=[0.25, -2.0, 1e9, 0.0])
    default = dict(strings="default_string", int64s="default_int64", floats="default_float")[value]
    attributes = {f"keys_{key}": keys[key], f"values_{value}": values[value], default: values[value][1]}
    kind = dict(strings=object, int64s=numpy.int64, floats=numpy.float32)[key]
    data = numpy.array((keys[key] + [keys[key][0], keys[key][1] * 3]) * 2, dtype=kind).reshape(6, 2)
    return ("LabelEncoder", attributes, data, [dict(strings=STRING, int64s=INT64, floats=FLOAT)[value]])


def made(dice):
    """All tests of one seed, by name."""
    for kernel in KERNELS:
        for classes in (2, 3, 4):
            for shares in (False, True):
                yield f"svm_{kernel}_{classes}_{'shares' if shares else 'scores'}", svm_classifier(
                    dice, kernel, classes, shares, "NONE"
                )
        yield f"svr_{kernel}", svm_regressor(dice, kernel, False, False)
        yield f"svr_{kernel}_one_class", svm_regressor(dice, kernel, True, False)
    yield "svr_linear", svm_regressor(dice, "RBF", False, True)
    for transform in TRANSFORMS:
        if transform != "PROBIT":
            yield f"svm_binary_{transform}", svm_classifier(dice, "RBF", 2, False, transform)
        yield f"svm_multi_{transform}", svm_classifier(dice, "RBF", 3, False, transform)
        yield f"svm_shares_{transform}", svm_classifier(dice, "RBF", 3, True, transform)
        yield f"svm_binary_shares_{transform}", svm_classifier(dice, "RBF", 2, True, transform)
    for classes in (2, 3):
        for positive in (False, True):
            for transform in ("NONE", "LOGISTIC", "SOFTMAX"):
                name = f"svm_linear_{classes}_{'positive' if positive else 'signed'}_{transform}"
                yield name, svm_linear_classifier(dice, classes, positive, transform)
    for aggregate in ("SUM", "AVERAGE", "MIN", "MAX"):
        for targets in (1, 3):
            for transform in TRANSFORMS:
                based, double = bool(dice.integers(2)), bool(dice.integers(2))
                name = f"trees_{aggregate}_{targets}_{transform}"
                yield name, tree_regressor(dice, aggregate, targets, transform, based, double)
    for transform in TRANSFORMS:
        for positive in (False, True):
            sign = "positive" if positive else "signed"
            for based in (0, 1):
                # Where leaves speak of both classes, ONNX Runtime answers with labels that the model does not have.
                for spoken in ([0], [1]):
                    if transform == "PROBIT" and spoken == [0]:
                        # Half of the scores is memory that was never written.
                        continue
                    name = f"classes_2_{''.join(map(str, spoken))}_{sign}_base{based}_{transform}"
                    yield name, tree_classifier(dice, 2, spoken, positive, based, transform)
            for based in (0, 3):
                for spoken in ([0, 1, 2], [2]):
                    name = f"classes_3_{''.join(map(str, spoken))}_{sign}_base{based}_{transform}"
                    yield name, tree_classifier(dice, 3, spoken, positive, based, transform)
    for number, pattern in enumerate(["[a-zA-Z0-9_]+", r"\w+", ".", r"[^\s]+", "a|ab|a b", r"\b[a-z]{2,}\b", "[[:upper:]]"]):
        yield f"tokenizer_{number}", tokenizer(dice, tokenexp=pattern)
        yield f"tokenizer_{number}_min", tokenizer(dice, tokenexp=pattern, mincharnum=2)
    for number, separators in enumerate([[""], [" "], [" ", "[.,;]"], ["a", "b", "ab"], [r"\s+"]]):
        yield f"tokenizer_separators_{number}", tokenizer(dice, separators=separators)
        yield f"tokenizer_separators_{number}_min", tokenizer(dice, separators=separators, mincharnum=3)
    for mode in ("TF", "IDF", "TFIDF"):
        for shortest, longest, skips in ((1, 1, 0), (1, 2, 0), (1, 3, 2), (2, 3, 1), (3, 3, 5)):
            weighted, text = bool(dice.integers(2)), bool(dice.integers(2))
            yield f"ngrams_{mode}_{shortest}_{longest}_{skips}", ngrams(dice, mode, shortest, longest, skips, weighted, text)
    for action in ("NONE", "LOWER", "UPPER"):
        for sensitive in (0, 1):
            yield f"normalizer_{action}_{sensitive}", normalizer(case_change_action=action, is_case_sensitive=sensitive)
            yield f"normalizer_{action}_{sensitive}_stop", normalizer(
                case_change_action=action, is_case_sensitive=sensitive, stopwords=["A.B, C;D", "日本 語", "ünï ünï σας ßTRASSE"]
            )
    for key in ("strings", "int64s", "floats"):
        for value in ("strings", "int64s", "floats"):
            yield f"labels_{key}_{value}", label_encoder(dice, key, value)
    texts = numpy.array(TEXTS, dtype=object)
    for number, attributes in enumerate([{}, {"delimiter": "a"}, {"maxsplit": 1}, {"delimiter": "a", "maxsplit": 1}]):
        yield f"split_{number}", ("StringSplit", attributes, texts, [STRING, INT64])
    for number, pattern in enumerate([r"\w*", ".*", r"(?i)t.*\.", r"[ -~]*", "a|  a b.*"]):
        yield f"full_match_{number}", ("RegexFullMatch", {"pattern": pattern}, texts, [BOOL])


def model(op_type, attributes, data, kinds):
    domain = "com.microsoft" if op_type.startswith("com.microsoft.") else ""
    ml = op_type.startswith(("SVM", "Tree", "LabelEncoder"))
    given = helper.np_dtype_to_tensor_dtype(data.dtype) if data.dtype != object else STRING
    outputs = [f"y{at}" for at in range(len(kinds))]
    node = helper.make_node(op_type.removeprefix("com.microsoft."), ["x"], outputs, domain=ML if ml else domain, **attributes)
    graph = helper.make_graph(
        [node],
        "test",
        [helper.make_tensor_value_info("x", given, data.shape)],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(outputs, kinds)],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(ML, 3), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def answers(proto, data):
    """What ONNX Runtime says; None if it refuses, or does not say the same each time."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        once, again = (session.run(None, {"x": data}) for _ in range(2))
    except Exception:
        return None
    same = all(numpy.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(once, again))
    return once if same else None


def write(folder, proto, data, outputs):
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "test_data_set_0").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    (folder / "tolerance").write_text("1e-5 1e-5\n")
    values = {"input_0": data} | {f"output_{at}": output for at, output in enumerate(outputs)}
    for name, value in values.items():
        tensor = numpy_helper.from_array(numpy.asarray(value), name)
        (folder / "test_data_set_0" / f"{name}.pb").write_bytes(tensor.SerializeToString())


def main():
    folder, seeds = pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    written, refused = 0, []
    for seed in range(seeds):
        for name, (op_type, attributes, data, kinds) in made(numpy.random.default_rng(seed)):
            proto = model(op_type, attributes, data, kinds)
            outputs = answers(proto, data)
            if outputs is None:
                refused.append(name)
                continue
            write(folder / (name if seeds == 1 else f"{name}_{seed}"), proto, data, outputs)
            written += 1
    print(f"{written} tests by ONNX Runtime {onnxruntime.__version__}; it refuses {sorted(set(refused))}")


main()

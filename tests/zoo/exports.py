"""Models whose form is rare but ordinary, each of which once was scored wrongly or refused: what a second zoo taught."""

import numpy as np
import onnx
import onnxmltools
import xgboost
from onnx import TensorProto, helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DictionaryType, FloatTensorType, StringTensorType
from sklearn import multioutput
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

import boosted
import nets
from model import Model
from scikit import BARE, COUNTS, convert
from tables import FEATURES

PIXELS = nets.PIXELS
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def pipelines(data):
    e = "ensemble of models"
    many = multioutput.MultiOutputClassifier(LogisticRegression())
    yield convert("multi_output_names", e, many, data, ["y_name", "y_churn"])
    c = "linear classification"
    sgd = SGDClassifier(loss="huber", random_state=0)
    yield convert("sgd_huber_infinite", c, sgd, data, "y_name", table="extreme", **BARE)
    nearest = KNeighborsClassifier(5)
    yield convert("knn_of_nan", "nearest neighbours", nearest, data, "y_multi", rows=250, table="holes", **BARE)
    nearest = KNeighborsClassifier(4)
    cdist = {"options": {"optim": "cdist"}} | BARE
    yield convert("knn_cdist", "nearest neighbours", nearest, data, "y_multi", rows=150, **cdist)
    yield maps(data)


def maps(data):
    """A dictionary for each row, as scikit-learn's DictVectorizer takes them."""
    rows = data[COUNTS].to_dict("records")
    # Sorted by the vectorizer: p0, p1, and so on.
    pipeline = make_pipeline(DictVectorizer(sparse=False), LogisticRegression(max_iter=300))
    pipeline.fit(rows, data["y_digit"])
    kind = DictionaryType(StringTensorType([1]), FloatTensorType([]))
    onx = convert_sklearn(
        pipeline,
        "dict_vectorizer",
        [("row", kind)],
        target_opset={"": 18, "ai.onnx.ml": 3},
        options={id(pipeline): {"zipmap": False}},
    )
    return Model("dict_vectorizer", "maps", "skl2onnx", onx, "counts", [COUNTS])


def trees(data):
    x = boosted.features(data)
    small = {"n_estimators": 12, "max_depth": 3, "n_jobs": 1, "random_state": 0}
    several = {
        "xgboost_two_targets": (xgboost.XGBRegressor(**small), ["y_reg", "y_second"]),
        "xgboost_multi_label": (xgboost.XGBClassifier(**small), ["y_binary", "y_angry"]),
    }
    for name, (model, targets) in several.items():
        model.fit(x, data[targets].to_numpy())
        onx = onnxmltools.convert_xgboost(model, name, boosted.SHAPE, target_opset=15)
        yield Model(name, "XGBoost", "onnxmltools", onx, "holes", [FEATURES])


class Layer(nets.Net):
    """Eight rows of pixels as steps, with a recurrent layer over them."""

    def recurrent(self, kind, gates, direction="forward", **attributes):
        directions, wide = 1 + (direction == "bidirectional"), 6
        steps = self.op("Transpose", self.input("series", FLOAT, [8, 8]), perm=[1, 0, 2])
        weights = [self.random(directions, gates * wide, columns, scale=0.4) for columns in (8, wide)]
        bias = self.random(directions, 2 * gates * wide, scale=0.2)
        lengths = attributes.pop("lengths", None)
        extra = [self.lengths(steps, lengths)] if lengths else []
        outputs = 3 if kind == "LSTM" else 2
        sizes = {"hidden_size": wide, "direction": direction}
        _, last, *_ = self.op(kind, steps, *weights, bias, *extra, outputs=outputs, **sizes, **attributes)
        flat = self.op("Transpose", last, perm=[1, 0, 2])
        self.output(flat, FLOAT, [directions, wide])
        return self.model("recurrent net", "image", PIXELS)

    def lengths(self, steps, length):
        rows = self.op("Slice", self.op("Shape", steps), self.constant([1], np.int64), self.constant([2], np.int64))
        return self.op("Cast", self.op("Expand", self.constant([length], np.int64), rows), to=TensorProto.INT32)


def recurrent():
    yield Layer("lstm_reverse").recurrent("LSTM", 4, "reverse")
    yield Layer("gru_bidirectional").recurrent("GRU", 3, "bidirectional", linear_before_reset=1)
    keras = {"activations": ["HardSigmoid", "Tanh"], "activation_alpha": [0.2], "activation_beta": [0.5]}
    yield Layer("gru_hard_sigmoid").recurrent("GRU", 3, **keras)
    yield Layer("rnn_relu").recurrent("RNN", 1, activations=["Relu"])
    yield Layer("lstm_of_five_steps").recurrent("LSTM", 4, "bidirectional", lengths=5)


def nodes():
    k = "multilayer perceptron"
    net = nets.Net("one_hot_layer")
    counts = net.op("Cast", net.input("input", FLOAT, [8]), to=INT64)
    hot = net.op("OneHot", counts, net.constant(4, np.int64), net.constant([0.0, 1.0]), axis=-1)
    net.output(net.linear(net.op("Flatten", hot), 32, 2), FLOAT, [2])
    yield net.model(k, "counts", COUNTS)

    net = nets.Net("columns_kept")
    value = net.op("Compress", net.input("input", FLOAT, [8]), net.constant([True, False] * 4, np.bool_), axis=1)
    value = net.op("Clip", value, "", net.constant(1.0))
    net.output(value, FLOAT, [4])
    yield net.model(k, "extreme", FEATURES)

    net = nets.Net("layer_functions")
    value = net.input("input", FLOAT, [8])
    for wide_in, wide_out in [(8, 16), (16, 3)]:
        value = net.op("Swish", net.linear(value, wide_in, wide_out), domain="layers", slope=1.0)
    net.output(value, FLOAT, [3])
    yield Model(net.name, k, "built by hand", with_swish(net.proto_unchecked()), "numeric", [FEATURES])

    net = nets.Net("one_score")
    value = net.op("Relu", net.linear(net.input("input", FLOAT, [8]), 8, 1))
    net.output(net.op("Clip", value, net.constant(0.0), net.constant(0.9)), FLOAT, [1])
    yield net.model(k, "holes", FEATURES)

    net = nets.Net("series_turned")
    steps = net.op("Relu", net.input("series", FLOAT, [8, 8]))
    rows = net.op("Slice", net.op("Shape", steps), net.constant([0], np.int64), net.constant([1], np.int64))
    lengths = net.op("Expand", net.constant([5], np.int64), rows)
    turned = net.op("ReverseSequence", steps, lengths, batch_axis=0, time_axis=1)
    zeros = net.op("ConstantOfShape", net.op("Shape", steps))
    best, _ = net.op("TopK", net.op("Max", turned, zeros), net.constant([3], np.int64), axis=1, outputs=2)
    net.output(net.op("ReduceMean", best, axes=[2], keepdims=0), FLOAT, [3])
    yield net.model("recurrent net", "image", PIXELS)

    net = nets.Net("upsampled")
    value = net.op("Upsample", net.input("image", FLOAT, [1, 8, 8]), net.constant([1, 1, 2, 2]), mode="nearest")
    value = net.op("Conv", value, net.random(2, 1, 3, 3), strides=[3, 3])
    net.output(net.op("GlobalLpPool", value, p=2), FLOAT, [2, 1, 1])
    yield net.model("convolutional net", "image", PIXELS, opset=9)


def with_swish(model):
    """A function of the model's own, which its nodes call."""
    body = [
        helper.make_node("Sigmoid", ["x"], ["gate"]),
        helper.make_node("Mul", ["x", "gate"], ["y"]),
    ]
    sets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("layers", "Swish", ["x"], ["y"], body, sets, ["slope"]))
    model.opset_import.append(helper.make_opsetid("layers", 1))
    onnx.checker.check_model(model)
    return model


def exports(data):
    yield from pipelines(data)
    yield from trees(data)
    yield from recurrent()
    yield from nodes()

"""Neural nets with random weights, in the form that the exporters of PyTorch and Keras write."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from model import Model
from tables import FEATURES

TOKENS = [f"token{i}" for i in range(16)]
PIXELS = [f"pixel{i}" for i in range(64)]
FLOAT, DOUBLE, HALF, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64


class Net:
    """A graph under construction; `dtype` is that of its weights."""

    def __init__(self, name, dtype=np.float32):
        self.name, self.dtype = name, dtype
        # Not hash(): it differs from process to process.
        self.rng = np.random.default_rng(sum(name.encode()))
        self.nodes, self.weights, self.inputs, self.outputs = [], [], [], []

    def input(self, name, kind, shape):
        self.inputs.append(helper.make_tensor_value_info(name, kind, ["batch", *shape]))
        return name

    def output(self, value, kind, shape, name="output"):
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, kind, ["batch", *shape]))

    def constant(self, values, dtype=None):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, dtype or self.dtype), name))
        return name

    def random(self, *shape, scale=None):
        scale = scale or 1 / np.sqrt(np.prod(shape[1:]) or 1)
        return self.constant(self.rng.normal(size=shape) * scale)

    def op(self, kind, *inputs, **attributes):
        outputs = [f"v{len(self.nodes)}_{i}" for i in range(attributes.pop("outputs", 1))]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"/{kind}_{len(self.nodes)}", **attributes))
        return outputs[0] if len(outputs) == 1 else outputs

    def linear(self, value, wide_in, wide_out):
        return self.op("Gemm", value, self.random(wide_out, wide_in), self.random(wide_out, scale=0.1), transB=1)

    def dense(self, value, wide_in, wide_out):
        """As Keras writes it."""
        product = self.op("MatMul", value, self.random(wide_in, wide_out, scale=1 / np.sqrt(wide_in)))
        return self.op("Add", product, self.random(wide_out, scale=0.1))

    def batch_norm(self, value, width):
        scale, spread = self.rng.uniform(0.5, 1.5, width), self.rng.uniform(0.5, 2, width)
        parts = [scale, self.rng.normal(size=width), self.rng.normal(size=width), spread]
        return self.op("BatchNormalization", value, *[self.constant(part) for part in parts], epsilon=1e-3)

    def layer_norm(self, value, width):
        return self.op("LayerNormalization", value, self.random(width, scale=1), self.random(width, scale=0.1), axis=-1)

    def proto(self, opset=17):
        model = self.proto_unchecked(opset)
        onnx.checker.check_model(model)
        return model

    def proto_unchecked(self, opset=17):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)

    def model(self, kind, table, *columns, opset=17, **how):
        return Model(self.name, kind, "built by hand", self.proto(opset), table, list(columns), **how)


def perceptrons():
    k = "multilayer perceptron"
    net = Net("torch_mlp")
    value = net.input("input", FLOAT, [8])
    for wide_in, wide_out in [(8, 64), (64, 64), (64, 32)]:
        value = net.op("Relu", net.linear(value, wide_in, wide_out))
    net.output(net.op("Softmax", net.linear(value, 32, 3), axis=1), FLOAT, [3])
    yield net.model(k, "numeric", FEATURES)

    net = Net("keras_mlp_batch_norm")
    value = net.input("dense_input", FLOAT, [8])
    for wide_in, wide_out in [(8, 32), (32, 16)]:
        value = net.op("Relu", net.batch_norm(net.dense(value, wide_in, wide_out), wide_out))
    net.output(net.op("Sigmoid", net.dense(value, 16, 1)), FLOAT, [1])
    yield net.model(k, "numeric", FEATURES, opset=13)

    for name, dtype, kind, tolerance in [("mlp_double", np.float64, DOUBLE, 1e-5), ("mlp_half", np.float16, HALF, 1e-3)]:
        net = Net(name, dtype)
        value = net.input("input", kind, [8])
        value = net.op("Relu", net.linear(value, 8, 32))
        net.output(net.linear(value, 32, 2), kind, [2])
        # Between 0 and 1, as such nets are fed: ONNX Runtime leaves out the rounding between nodes.
        yield net.model(k, "image", PIXELS[:8], tolerance=tolerance)

    net = Net("mlp_activations")
    value = net.input("input", FLOAT, [8])
    for activation in ["Elu", "LeakyRelu", "Selu", "Softplus", "HardSigmoid", "Tanh", "Erf", "Softsign"]:
        value = net.op(activation, net.linear(value, 8, 8))
    value = net.op("Clip", value, net.constant(-0.9), net.constant(0.9))
    net.output(value, FLOAT, [8])
    yield net.model(k, "numeric", FEATURES)

    net = Net("mlp_gelu_layer_norm")
    value = net.layer_norm(net.linear(net.input("input", FLOAT, [8]), 8, 32), 32)
    net.output(net.linear(net.op("Gelu", value), 32, 1), FLOAT, [1])
    yield net.model(k, "numeric", FEATURES, opset=20)

    net = Net("autoencoder")
    value = net.input("input", FLOAT, [8])
    code = net.op("Tanh", net.linear(value, 8, 3))
    back = net.linear(code, 3, 8)
    error = net.op("ReduceMean", net.op("Pow", net.op("Sub", value, back), net.constant(2.0)), axes=[1], keepdims=0)
    net.output(back, FLOAT, [8], "reconstruction")
    net.output(error, FLOAT, [], "error")
    yield net.model(k, "counts", [f"p{i}" for i in range(8)], opset=17)


def embeddings():
    net = Net("wide_and_deep")
    ids = net.input("ids", INT64, [2])
    dense = net.input("dense", FLOAT, [8])
    parts = [dense]
    for column, size in enumerate([50, 30]):
        one = net.op("Gather", ids, net.constant(column, np.int64), axis=1)
        parts.append(net.op("Gather", net.random(size, 6), one))
    deep = net.op("Relu", net.linear(net.op("Concat", *parts, axis=1), 20, 24))
    net.output(net.op("Sigmoid", net.op("Add", net.linear(deep, 24, 1), net.linear(dense, 8, 1))), FLOAT, [1])
    yield net.model("embeddings", "sequence", ["user", "item"], FEATURES)

    net = Net("two_towers")
    user, item = net.input("user", INT64, [1]), net.input("item", INT64, [1])
    flat = lambda value: net.op("Squeeze", value, net.constant([1], np.int64))
    left = flat(net.op("Gather", net.random(50, 8), user))
    right = flat(net.op("Gather", net.random(30, 8), item))
    product = net.op("Mul", left, right)
    net.output(net.op("ReduceSum", product, net.constant([1], np.int64), keepdims=1), FLOAT, [1])
    yield net.model("embeddings", "sequence", ["user"], ["item"])


def recurrent():
    """Tokens, embedded; time goes first inside, as in PyTorch with batch_first."""
    for kind, gates, directions in [("LSTM", 4, 1), ("LSTM", 4, 2), ("GRU", 3, 1), ("RNN", 1, 1)]:
        name = kind.lower() if directions == 1 else f"{kind.lower()}_bidirectional"
        net = Net(name)
        words = net.op("Gather", net.random(40, 8), net.input("tokens", INT64, [16]))
        steps = net.op("Transpose", words, perm=[1, 0, 2])
        wide, rows = 12, gates * 12
        weights = [net.random(directions, rows, 8, scale=0.3), net.random(directions, rows, wide, scale=0.3)]
        bias = net.random(directions, 2 * rows, scale=0.1)
        attributes = {"hidden_size": wide, "direction": "forward" if directions == 1 else "bidirectional"}
        if kind == "GRU":
            attributes["linear_before_reset"] = 1
        steps, *_ = net.op(kind, steps, *weights, bias, outputs=3 if kind == "LSTM" else 2, **attributes)
        # [time, directions, batch, wide] to the last step's [batch, directions * wide].
        last = net.op("Gather", steps, net.constant(-1, np.int64), axis=0)
        flat = net.op("Reshape", net.op("Transpose", last, perm=[1, 0, 2]), net.constant([-1, directions * wide], np.int64))
        net.output(net.linear(flat, directions * wide, 2), FLOAT, [2])
        yield net.model("recurrent net", "sequence", TOKENS)


def convolutions():
    k = "convolutional net"
    net = Net("cnn_image")
    value = net.input("image", FLOAT, [1, 8, 8])
    value = net.op("Conv", value, net.random(8, 1, 3, 3), net.random(8, scale=0.1), kernel_shape=[3, 3], pads=[1] * 4)
    value = net.op("MaxPool", net.op("Relu", net.batch_norm(value, 8)), kernel_shape=[2, 2], strides=[2, 2])
    value = net.op("Relu", net.op("Conv", value, net.random(16, 8, 3, 3), kernel_shape=[3, 3]))
    value = net.op("Flatten", net.op("GlobalAveragePool", value), axis=1)
    net.output(net.op("Softmax", net.linear(value, 16, 10), axis=-1), FLOAT, [10])
    yield net.model(k, "image", PIXELS)

    net = Net("cnn_sequence")
    value = net.input("series", FLOAT, [4, 16])
    value = net.op("Relu", net.op("Conv", value, net.random(8, 4, 3), net.random(8, scale=0.1), dilations=[2], pads=[2, 2]))
    value = net.op("AveragePool", value, kernel_shape=[4], strides=[4])
    net.output(net.linear(net.op("Flatten", value), 32, 1), FLOAT, [1])
    yield net.model(k, "image", PIXELS)


def transformer():
    net = Net("transformer")
    wide, heads, steps = 16, 2, 16
    value = net.op("Gather", net.random(40, wide, scale=1), net.input("tokens", INT64, [steps]))
    value = net.op("Add", value, net.random(1, steps, wide, scale=0.2))
    apart = net.constant([0, steps, heads, wide // heads], np.int64)
    project = lambda v: net.op("Add", net.op("MatMul", v, net.random(wide, wide, scale=0.25)), net.random(wide, scale=0.1))
    split = lambda v, perm: net.op("Transpose", net.op("Reshape", project(v), apart), perm=perm)
    scores = net.op("MatMul", split(value, [0, 2, 1, 3]), split(value, [0, 2, 3, 1]))
    scores = net.op("Softmax", net.op("Div", scores, net.constant(np.sqrt(wide / heads))), axis=-1)
    mixed = net.op("Transpose", net.op("MatMul", scores, split(value, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    mixed = net.op("Reshape", mixed, net.constant([0, steps, wide], np.int64))
    value = net.layer_norm(net.op("Add", value, project(mixed)), wide)
    inner = net.op("Relu", net.op("MatMul", value, net.random(wide, 32, scale=0.25)))
    value = net.layer_norm(net.op("Add", value, net.op("MatMul", inner, net.random(32, wide, scale=0.2))), wide)
    pooled = net.op("ReduceMean", value, axes=[1], keepdims=0)
    net.output(net.linear(pooled, wide, 2), FLOAT, [2])
    yield net.model("transformer", "sequence", TOKENS)


def quantized(folder):
    net = Net("mlp_int8")
    value = net.input("input", FLOAT, [8])
    for wide_in, wide_out in [(8, 32), (32, 16)]:
        value = net.op("Relu", net.dense(value, wide_in, wide_out))
    net.output(net.dense(value, 16, 2), FLOAT, [2])
    plain, small = folder / "plain.onnx", folder / "int8.onnx"
    onnx.save(net.proto(), plain)
    quantize_dynamic(plain, small, weight_type=QuantType.QInt8)
    note = "a scale is taken from all rows of a batch: each row is scored alone"
    counts = [f"p{i}" for i in range(8)]
    yield Model(net.name, "quantized net", "onnxruntime", onnx.load(small), "counts", [counts], alone=True, note=note)

    net = Net("mlp_int8_static")
    value = net.input("input", FLOAT, [8])
    zero = lambda: net.constant(0, np.int8)
    around = lambda v, scale: net.op("DequantizeLinear", net.op("QuantizeLinear", v, scale, zero()), scale, zero())
    for wide_in, wide_out in [(8, 16), (16, 2)]:
        scale = net.constant(0.05)
        weights = net.constant(net.rng.integers(-100, 100, (wide_in, wide_out)), np.int8)
        weights = net.op("DequantizeLinear", weights, net.constant(0.01), zero())
        value = net.op("Add", net.op("MatMul", around(value, scale), weights), net.random(wide_out, scale=0.1))
    net.output(value, FLOAT, [2])
    note = "ONNX Runtime's optimizer rounds a row in a thousand to another step: compared without it"
    yield net.model("quantized net", "counts", counts, as_written=True, note=note)

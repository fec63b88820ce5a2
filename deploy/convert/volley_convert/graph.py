"""An ONNX graph: tidied after its exporter, run by ONNX Runtime, and its outputs as a signature."""

import numpy as np
import onnx
import onnxruntime
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array
from onnx import helper

from volley_convert.errors import ConvertError, brief

# For exporters that let one choose: the operators that Volley has, and older runtimes too.
OPSETS = {"": 18, "ai.onnx.ml": 3}

COLUMNS = {
    "float": DataType.float,
    "double": DataType.double,
    "int64": DataType.long,
    "int32": DataType.integer,
    "bool": DataType.boolean,
    "string": DataType.string,
}


def tidy(model: onnx.ModelProto, outputs: list[str]) -> onnx.ModelProto:
    """The model with these outputs only, with what exporters forget, and the same bytes on every run."""
    graph = model.graph
    missing = set(outputs) - {output.name for output in graph.output}
    if missing or not outputs:
        has = ", ".join(output.name for output in graph.output)
        message = f"the converted model gives {has}, and none of it can be compared with the original's answers"
        raise ConvertError("conversion_failed", message)
    silence(model)
    # Some exporters name a graph at random.
    graph.name = "model"
    if not any(opset.domain in ("", "ai.onnx") for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 15))
    keep(graph, outputs)
    for output in graph.output:
        dims = output.type.tensor_type.shape.dim
        # onnxmltools declares the labels of LightGBM for a single row.
        if len(dims) == 1 and dims[0].dim_value == 1:
            dims[0].dim_param = "N"
    return model


def silence(model: onnx.ModelProto):
    """Takes out what exporters tell of their work: PyTorch's writes the lines and the paths of the user's sources."""
    graph, functions = model.graph, model.functions
    nodes = [*graph.node, *(node for function in functions for node in function.node)]
    values = [*graph.input, *graph.output, *graph.value_info, *graph.initializer, *functions]
    for each in [model, graph, *nodes, *values]:
        each.doc_string = ""
        del each.metadata_props[:]


def keep(graph: onnx.GraphProto, outputs: list[str]):
    """Cuts every other output, and what was computed for it alone."""
    kept = [output for output in graph.output if output.name in outputs]
    del graph.output[:]
    graph.output.extend(kept)
    wanted, nodes = set(outputs), []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            nodes.append(node)
            wanted |= set(node.input) | free_names(node)
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    constants = [constant for constant in graph.initializer if constant.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def free_names(node: onnx.NodeProto) -> set[str]:
    """What the graphs inside a node, such as those of an If, may take from around it."""
    inside = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
    return {name for graph in inside for each in graph.node for name in set(each.input) | free_names(each)}


def rename(graph: onnx.GraphProto, old: str, new: str):
    """Gives an output of the graph another name, wherever it is read."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for output in graph.output:
        output.name = new if output.name == old else output.name


def name_inputs(graph: onnx.GraphProto, names: list[str]):
    """Gives the inputs of a graph the names of their columns: exporters make words of them, `a_b` of `a b`."""
    given = [port.name for port in graph.input]
    if len(given) != len(names):
        return
    new = dict(zip(given, names))
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
    for port in graph.input:
        port.name = new[port.name]


class Runtime:
    """The model in ONNX Runtime."""

    def __init__(self, model: onnx.ModelProto):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            onnx.checker.check_model(model)
            self.session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            message = f"ONNX Runtime refuses the converted model: {brief(error)}"
            raise ConvertError("conversion_failed", message) from error

    @property
    def outputs(self):
        return self.session.get_outputs()

    def run(self, rows) -> dict:
        """Every output by name, for rows of the signature."""
        try:
            values = self.session.run(None, rows.feeds(self.session.get_inputs()))
        except Exception as error:
            message = f"ONNX Runtime cannot run the converted model: {brief(error)}"
            raise ConvertError("conversion_failed", message) from error
        return {port.name: value for port, value in zip(self.outputs, values)}

    def schema(self, answers: dict, tensors: bool) -> Schema:
        """The outputs as a signature, with the shapes that `answers` have: a graph may leave them open."""
        if tensors:
            return Schema([tensor_of(port, answers[port.name]) for port in self.outputs])
        return Schema([column_of(port, answers[port.name]) for port in self.outputs])


def tensor_of(port, values: np.ndarray) -> TensorSpec:
    dtype = np.dtype("str") if values.dtype == object else values.dtype
    return TensorSpec(dtype, (-1, *values.shape[1:]), port.name)


def column_of(port, values: np.ndarray) -> ColSpec:
    kind = COLUMNS.get(port.type.removeprefix("tensor(").removesuffix(")"))
    if kind is None:
        raise ConvertError("conversion_failed", f"output {port.name!r} of the converted model is a {port.type}")
    for _ in [size for size in values.shape[1:] if values[0].size > 1]:
        kind = Array(kind)
    return ColSpec(kind, port.name)

"""A model of the zoo: its bytes, and how columns of a table feed it."""

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}


@dataclass
class Model:
    name: str
    # What the table of docs/guide/models.md calls it.
    kind: str
    made_with: str
    proto: onnx.ModelProto
    table: str
    # Columns for each input of the graph, in its order; side by side where there are several.
    inputs: list
    tolerance: float = 1e-5
    # For models that mix the rows of a batch: each row is scored alone, as a service that scores single rows does.
    alone: bool = False
    # For models that ONNX Runtime's optimizer makes round elsewhere than the graph says.
    as_written: bool = False
    # Said in the manifest: what is special about it.
    note: str = ""

    def entry(self):
        opsets = {it.domain or "ai.onnx": it.version for it in self.proto.opset_import}
        entry = {
            "name": self.name,
            "kind": self.kind,
            "made_with": self.made_with,
            "table": self.table,
            "inputs": self.inputs,
            "tolerance": self.tolerance,
            "opsets": opsets,
        }
        return entry | ({"note": self.note} if self.note else {})

    def expected(self, table):
        """What ONNX Runtime gives for all rows: a column of scalars or lists for each output."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if self.as_written:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = ort.InferenceSession(self.proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        if session.get_inputs()[0].type.startswith("map("):
            outputs = self.of_maps(session, table)
            return {port.name: rows(output) for port, output in zip(session.get_outputs(), outputs, strict=True)}
        feeds = {
            port.name: feed(table, columns, port) for port, columns in zip(session.get_inputs(), self.inputs, strict=True)
        }
        if self.alone:
            single = [
                session.run(None, {name: values[row : row + 1] for name, values in feeds.items()})
                for row in range(len(table))
            ]
            outputs = [np.concatenate(parts) for parts in zip(*single)]
        else:
            outputs = session.run(None, feeds)
        return {port.name: rows(output) for port, output in zip(session.get_outputs(), outputs, strict=True)}

    def of_maps(self, session, table):
        """ONNX Runtime takes one map at a time; a column that is zero is not in it."""
        [port], [columns] = session.get_inputs(), self.inputs
        maps = [{column: float(row[column]) for column in columns if row[column] != 0} for _, row in table.iterrows()]
        # ONNX Runtime takes no empty map.
        single = [session.run(None, {port.name: it or {columns[0]: 0.0}}) for it in maps]
        return [np.concatenate(parts) for parts in zip(*single)]


def feed(table, columns, port):
    """The tensor of one input: its inner dimensions are taken from the graph."""
    dtype = DTYPES[port.type]
    values = np.column_stack([table[column].to_numpy() for column in columns]).astype(dtype)
    inner = [len(columns) if not isinstance(dim, int) else dim for dim in port.shape[1:]]
    return np.ascontiguousarray(values.reshape([len(table), *inner]))


def rows(output):
    """A tensor as `[N]` or `[N, k]`; a map from class to probability as the probabilities."""
    if isinstance(output, list) and output and isinstance(output[0], dict):
        # ONNX Runtime sorts the keys.
        output = np.array([list(row.values()) for row in output], dtype=np.float32)
    elif isinstance(output, list):
        output = np.concatenate(output, axis=1)
    if output.ndim == 2 and len(output) == 1:
        # skl2onnx declares the labels of a few classifiers as [1, N].
        output = output.T
    flat = output.reshape(len(output), -1)
    return flat[:, 0] if flat.shape[1] == 1 else flat

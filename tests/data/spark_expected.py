"""What Volley declares where Spark fails, such as onnxruntime's scores of a case's rows; values as JSON has them."""

import functools
import math
from pathlib import Path

import numpy as np
import onnxruntime

MODELS = Path(__file__).resolve().parent / "models"
ELEMENTS = {"float": "f4", "double": "f8", "int64": "i8", "bool": "?", "string": "O"}
SQL_TYPES = {"float": "float", "double": "double", "int64": "bigint", "string": "string"}


class Scores:
    """The scores of a fixture over the rows of the table; a row with a null or with a NaN score has none.

    `inputs` are the columns in the order of the model's inputs, `part` one output of several. With `nulls="nan"` a null
    goes in as NaN.
    """

    def __init__(self, *inputs, part=None, nulls="null"):
        self.inputs = inputs
        self.part = part
        self.nulls = nulls

    def settle(self, model, rows, answer):
        given = lambda value: math.nan if value is None and self.nulls == "nan" else value
        scorer = Scorer(model, self.part)
        values = scorer.score([[given(row[name]) for name in self.inputs] for row in rows])
        return {"type": scorer.type(), "values": values}


class Code:
    """A refusal when the statement is planned."""

    def __init__(self, error_code):
        self.error_code = error_code

    def settle(self, model, rows, answer):
        return {"error_code": self.error_code}


class Alone:
    """The values of Spark's answer, each out of a list of its own."""

    def __init__(self, sql_type):
        self.sql_type = sql_type

    def settle(self, model, rows, answer):
        return {"type": self.sql_type, "values": [only for (only,) in answer["values"]]}


class Scorer:
    """One fixture's graph, and which of its outputs are asked for."""

    def __init__(self, model, part):
        self.session = session(model)
        self.ports = self.session.get_inputs()
        self.outputs = [output for output in self.session.get_outputs() if part in (None, output.name)]
        self.names = [output.name for output in self.outputs]

    def type(self):
        kinds = [sql_type(output) for output in self.outputs]
        fields = ",".join(f"{name}:{kind}" for name, kind in zip(self.names, kinds))
        return kinds[0] if len(kinds) == 1 else f"struct<{fields}>"

    def score(self, rows):
        """A value for each row: in one batch, as Spark does, unless the graph takes a batch of one."""
        whole = [row for row in rows if None not in row]
        fixed = isinstance(self.ports[0].shape[0], int)
        batches = [[row] for row in whole] if fixed else [whole]
        scored = iter([value for batch in batches for value in self.batch(batch)])
        return [None if None in row else next(scored) for row in rows]

    def batch(self, rows):
        columns = [plain(output) for output in self.session.run(self.names, self.feeds(rows))]
        for values in zip(*columns):
            unknown = any(has_nan(value) for value in values)
            yield None if unknown else encoded(values[0] if len(values) == 1 else dict(zip(self.names, values)))

    def feeds(self, rows):
        if len(self.ports) == 1:
            matrix = [row[0] if isinstance(row[0], list) else row for row in rows]
            return {self.ports[0].name: np.array(matrix, element(self.ports[0]))}
        columns = zip(self.ports, zip(*rows), strict=True)
        shape = lambda port: (-1, 1) if len(port.shape) == 2 else (-1,)
        return {port.name: np.array(values, element(port)).reshape(shape(port)) for port, values in columns}


@functools.cache
def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    path = MODELS / model / "model" / "model.onnx"
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def element(port):
    return ELEMENTS[kind(port)]


def kind(port):
    return port.type.removeprefix("tensor(").removesuffix(")")


def sql_type(output):
    wide = len(output.shape) == 2 and output.shape[1] != 1
    return f"array<{SQL_TYPES[kind(output)]}>" if wide else SQL_TYPES[kind(output)]


def plain(output):
    """A value for each row, or a list where there are several."""
    return output.reshape(-1).tolist() if output.ndim == 1 or output.shape[1] == 1 else output.tolist()


def has_nan(value):
    values = value if isinstance(value, list) else [value]
    return any(isinstance(value, float) and math.isnan(value) for value in values)


def encoded(value):
    """As JSON can hold it: floats that are no numbers become texts."""
    if isinstance(value, dict):
        return {name: encoded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [encoded(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value

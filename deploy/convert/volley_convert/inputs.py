"""The inputs that a signature declares, and rows for them: as the original model takes them, and as a graph does."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from mlflow.types import ColSpec, DataType, TensorSpec

from volley_convert.errors import ConvertError

NUMBERS = {
    DataType.boolean: np.dtype("bool"),
    DataType.integer: np.dtype("int32"),
    DataType.long: np.dtype("int64"),
    DataType.float: np.dtype("float32"),
    DataType.double: np.dtype("float64"),
}
# Of the types of onnxruntime's ports; what else it may say is no input of a model that we convert.
ELEMENTS = {"float": "f4", "double": "f8", "int64": "i8", "int32": "i4", "bool": "?", "string": "O", "float16": "f2"}


def inputs_of(signature):
    """The inputs of a model's signature, as `Columns` or `Tensors`."""
    if signature is None or signature.inputs is None or not signature.inputs.inputs:
        message = "the version has no signature of its inputs; log it with one, mlflow.models.infer_signature makes it"
        raise ConvertError("no_signature", message)
    specs = signature.inputs.inputs
    return Columns(specs) if all(isinstance(spec, ColSpec) for spec in specs) else Tensors(specs)


class Columns:
    """Inputs that are columns of a table. Without names they go by position, as numbers."""

    def __init__(self, specs: list[ColSpec]):
        unread = next((spec for spec in specs if spec.type not in (*NUMBERS, DataType.string)), None)
        if unread:
            message = f"input {unread.name!r} is declared {unread.type}; only numbers, booleans and strings are read"
            raise ConvertError("unsupported_input", message)
        self.names = [position if spec.name is None else spec.name for position, spec in enumerate(specs)]
        self.types = [spec.type for spec in specs]
        self.required = [spec.required for spec in specs]
        # Whether rows can be made up near an example, and without one.
        self.numeric = self.inventable = all(kind in NUMBERS for kind in self.types)
        self.width = len(specs)
        # Only a float can be missing: a NaN in a column of integers is no row of this signature.
        self.may_miss = np.array([kind in (DataType.float, DataType.double) for kind in self.types])

    def read(self, example) -> "ColumnRows":
        """An input example, or the rows of a file, in the order and the types of the signature."""
        frame = example if isinstance(example, pd.DataFrame) else pd.DataFrame(example)
        nameless = isinstance(self.names[0], int) and not set(self.names) <= set(frame.columns)
        if nameless and frame.shape[1] == self.width:
            frame = frame.set_axis(self.names, axis=1)
        return ColumnRows(self, pd.DataFrame({name: self._column(frame, at) for at, name in enumerate(self.names)}))

    def _column(self, frame: pd.DataFrame, at: int):
        name, kind = self.names[at], self.types[at]
        if name not in frame:
            if self.required[at] or not self.may_miss[at]:
                raise ConvertError("rows_mismatch", f"the rows to check on have no column {name!r}; the signature has")
            return np.full(len(frame), np.nan, NUMBERS[kind])
        if kind == DataType.string:
            return frame[name].astype(object)
        try:
            return frame[name].to_numpy().astype(NUMBERS[kind])
        except (TypeError, ValueError):
            message = f"column {name!r} of the rows to check on cannot be read as {kind}, which the signature declares"
            raise ConvertError("rows_mismatch", message) from None

    def draw(self, around: "ColumnRows | None", count: int, random) -> "ColumnRows":
        """Rows near those of an example, or anywhere. Every number is exact in 32 bits: rounding is not tested."""
        matrix = around.frame.to_numpy("f8") if around else np.zeros((1, self.width))
        drawn = noisy(matrix, count, random)
        columns = {name: self._drawn(drawn[:, at], kind) for at, (name, kind) in enumerate(zip(self.names, self.types))}
        return ColumnRows(self, pd.DataFrame(columns))

    def _drawn(self, values, kind):
        if kind == DataType.boolean:
            return np.arange(len(values)) % 2 == 0 if values.std() == 0 else values > np.median(values)
        if kind in (DataType.integer, DataType.long):
            return np.rint(values).astype(NUMBERS[kind])
        return values.astype("f4").astype(NUMBERS[kind])

    def holed(self, rows: "ColumnRows", random) -> "ColumnRows | None":
        """The same rows with a fifth of their floats missing."""
        if not self.may_miss.any():
            return None
        holes = random.random((len(rows), self.width)) < 0.2
        return ColumnRows(self, rows.frame.mask(pd.DataFrame(holes & self.may_miss, columns=rows.frame.columns)))


@dataclass(frozen=True)
class ColumnRows:
    """Rows of a table, with the signature's names and types."""

    inputs: Columns
    frame: pd.DataFrame

    def __len__(self):
        return len(self.frame)

    def take(self, kept) -> "ColumnRows":
        return ColumnRows(self.inputs, self.frame.iloc[np.arange(len(self))[kept]].reset_index(drop=True))

    def complete(self) -> "ColumnRows":
        """Those without a missing string, which no graph can be given."""
        texts = [name for name, kind in zip(self.inputs.names, self.inputs.types) if kind == DataType.string]
        return self.take(self.frame[texts].notna().all(axis=1).to_numpy())

    def original(self) -> pd.DataFrame:
        """What the framework's own `predict` takes."""
        return self.frame

    def matrix(self, dtype="f4") -> np.ndarray:
        return self.frame.to_numpy(dtype)

    def feeds(self, ports) -> dict:
        """A lone input of the graph takes all columns side by side; of several, each takes the column of its name."""
        if len(ports) == 1:
            values = self.frame.to_numpy(element(ports[0]))
            return {ports[0].name: values if len(ports[0].shape) == 2 else values.reshape(-1)}
        shape = lambda port: (-1, 1) if len(port.shape) == 2 else (-1,)
        return {port.name: self.frame[port.name].to_numpy(element(port)).reshape(shape(port)) for port in ports}


class Tensors:
    """Inputs that are tensors, the first dimension for rows."""

    def __init__(self, specs: list[TensorSpec]):
        unread = next((spec for spec in specs if spec.type.kind not in "fiub"), None)
        if unread:
            message = f"a tensor of {unread.type} is declared; only tensors of numbers are converted"
            raise ConvertError("unsupported_input", message)
        self.names = [spec.name or "input" for spec in specs]
        self.dtypes = [spec.type for spec in specs]
        self.shapes = [tuple(spec.shape[1:]) for spec in specs]
        self.numeric = True
        known = all(size > 0 for shape in self.shapes for size in shape)
        self.inventable = known and all(dtype.kind == "f" for dtype in self.dtypes)
        # Of a lone matrix, where the signature says it.
        wide = len(self.shapes) == 1 and len(self.shapes[0]) == 1 and self.shapes[0][0] > 0
        self.width = self.shapes[0][0] if wide else None

    def read(self, example) -> "TensorRows":
        """An input example, or the rows of a file: a column of lists for each tensor, or one column a number."""
        if isinstance(example, pd.DataFrame):
            example = self._of_table(example)
        arrays = example if isinstance(example, dict) else {self.names[0]: example}
        lacking = sorted(set(self.names) - set(arrays))
        if lacking:
            raise ConvertError("rows_mismatch", f"the rows to check on lack the tensors {', '.join(lacking)}")
        return TensorRows(self, {name: self._array(arrays[name], at) for at, name in enumerate(self.names)})

    def _of_table(self, table: pd.DataFrame):
        if set(self.names) <= set(table.columns):
            return {name: np.array(table[name].tolist()) for name in self.names}
        lists = table.shape[1] == 1 and len(table) and np.ndim(table.iloc[0, 0]) > 0
        return np.array(table.iloc[:, 0].tolist()) if lists else table.to_numpy()

    def _array(self, values, at: int) -> np.ndarray:
        shape = self.shapes[at]
        try:
            array = np.asarray(values).astype(self.dtypes[at])
            known = all(size > 0 for size in shape)
            return array.reshape(-1, *shape) if known else array
        except ValueError:
            message = f"the rows to check on do not have the shape {[-1, *shape]} of the tensor {self.names[at]!r}"
            raise ConvertError("rows_mismatch", message) from None

    def draw(self, around: "TensorRows | None", count: int, random) -> "TensorRows":
        """Rows near those of an example. Integers stay between those that it has: they may be places in a table."""
        if around:
            return TensorRows(self, {name: drawn(array, count, random) for name, array in around.arrays.items()})
        zeros = (np.zeros((1, *shape), dtype) for shape, dtype in zip(self.shapes, self.dtypes))
        return TensorRows(self, {name: drawn(array, count, random) for name, array in zip(self.names, zeros)})

    def holed(self, rows: "TensorRows", random) -> "TensorRows | None":
        """The same rows with a fifth of their floats missing."""
        floats = [name for name, dtype in zip(self.names, self.dtypes) if dtype.kind == "f"]
        if not floats:
            return None
        hole = lambda array: np.where(random.random(array.shape) < 0.2, np.nan, array).astype(array.dtype)
        return TensorRows(self, rows.arrays | {name: hole(rows.arrays[name]) for name in floats})


@dataclass(frozen=True)
class TensorRows:
    """Rows of one tensor or several, by name."""

    inputs: Tensors
    arrays: dict

    def __len__(self):
        return len(next(iter(self.arrays.values())))

    def take(self, kept) -> "TensorRows":
        return TensorRows(self.inputs, {name: array[kept] for name, array in self.arrays.items()})

    def complete(self) -> "TensorRows":
        return self

    def original(self) -> np.ndarray:
        """What the framework's own `predict` takes, where it takes a single matrix."""
        if len(self.arrays) > 1:
            message = "models of this flavor take one tensor, and the signature has several"
            raise ConvertError("unsupported_input", message)
        return next(iter(self.arrays.values()))

    def matrix(self, dtype="f4") -> np.ndarray:
        return self.original().astype(dtype)

    def feeds(self, ports) -> dict:
        if len(ports) == 1:
            return {ports[0].name: self.original().astype(element(ports[0]))}
        return {port.name: self.arrays[port.name].astype(element(port)) for port in ports}


def element(port) -> str:
    return ELEMENTS[port.type.removeprefix("tensor(").removesuffix(")")]


def drawn(array: np.ndarray, count: int, random) -> np.ndarray:
    if array.dtype.kind != "f":
        return random.integers(array.min(), int(array.max()) + 1, (count, *array.shape[1:])).astype(array.dtype)
    flat = noisy(array.reshape(len(array), -1).astype("f8"), count, random)
    return flat.astype("f4").astype(array.dtype).reshape(count, *array.shape[1:])


def noisy(matrix: np.ndarray, count: int, random) -> np.ndarray:
    """Rows of the matrix, moved by about what its columns vary; each eighth by five times as much."""
    known = np.where(np.isfinite(matrix), matrix, 0.0)
    varied = known.std(axis=0)
    spread = np.where(varied > 0, varied, np.maximum(1.0, np.abs(known).max(axis=0) / 2))
    reach = np.where(np.arange(count) % 8 == 0, 5.0, 1.0)[:, None]
    return known[random.integers(0, len(known), count)] + random.normal(size=(count, matrix.shape[1])) * spread * reach

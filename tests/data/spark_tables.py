"""Tables as texts that Spark and DataFusion both read."""

import math

import pyarrow.parquet as pq
from spark_expected import MODELS


def table(columns, *rows):
    """Rows under columns such as `a DOUBLE, b INT`, behind an `id` that counts from 0: every value is cast."""
    kinds = [column.split(" ", 1) for column in columns.split(", ")]
    line = lambda values: ", ".join(cast(value, kind) for value, (_, kind) in zip(values, kinds, strict=True))
    return values_of([name for name, _ in kinds], [line(row) for row in rows])


def wide(fixture, count, suffix=""):
    """The first rows of a fixture's input, whose columns are all doubles."""
    rows = pq.read_table(MODELS / fixture / f"input{suffix}.parquet").slice(0, count)
    columns = rows.to_pydict()
    lines = [", ".join(number(columns[name][at]) for name in columns) for at in range(rows.num_rows)]
    return values_of(list(columns), lines)


def lists(fixture, column, count):
    """The first rows of a fixture whose input is one column of lists, in Spark's words and in DataFusion's."""
    rows = pq.read_table(MODELS / fixture / "input.parquet").slice(0, count)[column].to_pylist()
    items = [", ".join(number(value) for value in row) for row in rows]
    return tuple(values_of([column], [f"{words}({row})" for row in items]) for words in ("array", "make_array"))


def values_of(names, lines):
    rows = ", ".join(f"({at}, {line})" for at, line in enumerate(lines))
    return f"(VALUES {rows}) AS t(id, {', '.join(names)})"


def cast(value, kind):
    return f"CAST({literal(value)} AS {kind})"


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and not math.isfinite(value):
        return "'NaN'" if math.isnan(value) else "'Infinity'" if value > 0 else "'-Infinity'"
    return repr(value)


def number(value):
    """A double: both dialects take a literal with an exponent for one."""
    if value is None or math.isnan(value):
        return "NULL"
    text = repr(value)
    return text if "e" in text else f"{text}E0"

"""Whether the converted model answers as the original does, and on which rows that is seen."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from volley_convert.errors import ConvertError, brief

# An example below this is few: rows are drawn around it.
FEW = 1_000
DRAWN = 240
SEED = 20


@dataclass(frozen=True)
class Parity:
    """The largest difference of a number, over how many rows. Labels were equal."""

    rows: int
    max_abs: float


@dataclass(frozen=True)
class Check:
    """Rows with the original's own answers. Of rows that we made up, those where it is undecided are left out."""

    rows: object
    drawn: bool


def rows_of(inputs, example, given) -> list[Check]:
    """The rows to check on: those of a file, or the example of the version and, where it is small, rows near it."""
    known = example if given is None else given
    rows = None if known is None else inputs.read(known)
    if rows is not None:
        rows = rows.complete()
        if not len(rows):
            message = "the rows to check on are none, or each lacks a text; give others with --rows FILE.parquet"
            raise ConvertError("no_rows", message)
    elif not inputs.inventable:
        message = (
            "the version has no input example, and rows cannot be made up for its inputs; "
            "log one with input_example=, or give rows to check on with --rows FILE.parquet"
        )
        raise ConvertError("no_rows", message)
    checks = [Check(rows, drawn=False)] if rows is not None else []
    if given is None and inputs.numeric and (rows is None or len(rows) < FEW):
        random = np.random.default_rng(SEED)
        drawn = inputs.draw(rows, DRAWN, random)
        checks.append(Check(drawn, drawn=True))
        holed = inputs.holed(drawn, random)
        checks += [Check(holed, drawn=True)] if holed is not None else []
    return checks


def answered(original, checks: list[Check], tolerance: float) -> list[tuple]:
    """Rows with the original's answers, by output. What it cannot answer is no row of its domain, if we made it up."""
    pairs = []
    for check in checks:
        try:
            answers = original.predict(check.rows)
        except ConvertError:
            raise
        except Exception as error:
            if check.drawn:
                continue
            message = f"the original model cannot score the rows to check on: {brief(error)}; give others with --rows"
            raise ConvertError("original_failed", message) from error
        pairs.append(decided(check.rows, answers, tolerance) if check.drawn else (check.rows, answers))
    pairs = [(rows, answers) for rows, answers in pairs if len(rows)]
    if not pairs:
        advice = "log an input example, or give --rows FILE.parquet"
        message = f"the original model scores none of the rows made up for it; {advice}"
        raise ConvertError("no_rows", message)
    return pairs


def decided(rows, answers: dict, tolerance: float) -> tuple:
    """Without rows whose answer is not finite, or whose best two classes are as likely: a tie has no right label."""
    kept = np.ones(len(rows), bool)
    for name, values in answers.items():
        if values.dtype.kind == "f":
            flat = values.reshape(len(rows), -1)
            kept &= np.isfinite(flat).all(axis=1)
            if name == "probabilities" and flat.shape[1] > 1:
                best = np.sort(flat, axis=1)
                kept &= ~(best[:, -1] - best[:, -2] <= 4 * tolerance)
    return rows.take(kept), {name: values[kept] for name, values in answers.items()}


def compared(pairs: list[tuple], runtime, tolerance: float) -> Parity:
    """Fails unless each output of the graph is the original's, for all rows."""
    rows, largest = 0, 0.0
    for wanted_rows, wanted in pairs:
        given = runtime.run(wanted_rows)
        for name, values in given.items():
            largest = max(largest, difference(name, wanted[name], values, tolerance))
        rows += len(wanted_rows)
    return Parity(rows, largest)


def difference(name: str, wanted: np.ndarray, given: np.ndarray, tolerance: float) -> float:
    """The largest difference of one output's numbers; none for labels, which must be equal."""
    if wanted.size != given.size:
        shapes = f"{list(given.shape)} where the original has {list(wanted.shape)}"
        raise ConvertError("parity", f"output {name!r} has the shape {shapes}; nothing is registered")
    wanted = wanted.reshape(given.shape)
    if given.dtype.kind != "f":
        wrong = int((wanted.astype(given.dtype) != given).sum())
        if wrong:
            extent = f"{wrong} of {given.size} values"
            message = f"output {name!r} differs from the original in {extent}; nothing is registered"
            raise ConvertError("parity", message)
        return 0.0
    wanted, given = wanted.astype("f8"), given.astype("f8")
    gap = np.where((wanted == given) | (np.isnan(wanted) & np.isnan(given)), 0.0, np.abs(given - wanted))
    # Next to what is not finite, nothing but itself is near.
    bound = tolerance + tolerance * np.where(np.isfinite(wanted), np.abs(wanted), 0.0)
    wrong = int((~(gap <= bound)).sum())
    if wrong:
        worst = gap[np.isfinite(gap)].max(initial=0.0)
        message = (
            f"output {name!r} differs from the original in {wrong} of {given.size} values, by up to {worst:.3g}, "
            f"and --tolerance is {tolerance:g}; nothing is registered"
        )
        raise ConvertError("parity", message)
    return float(gap.max(initial=0.0))


def rows_file(path) -> pd.DataFrame:
    """The rows of `--rows`."""
    try:
        return pd.read_parquet(path)
    except Exception as error:
        raise ConvertError("usage", f"cannot read {path} as Parquet: {brief(error)}") from error

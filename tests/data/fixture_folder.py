"""Writes fixtures: an MLflow model directory, its input rows and what the framework makes of them, the same bytes every time."""

import hashlib
import re
import shutil
import uuid
import zipfile
from pathlib import Path

import mlflow
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.models import Model

# MLmodel records the interpreter; a patch release of Python must not change a fixture.
PYTHON = "3.11.7"
CREATED = "2026-01-01 00:00:00.000000"
ONNX_REQUIREMENTS = ["onnx==1.23.2", "onnxruntime==1.31.1"]


class FixtureFolder:
    """The folder of all fixtures. Each method writes one; `finish` writes the list and the checksums."""

    def __init__(self, root: Path):
        self.root = root
        self.lines: list[str] = []
        if root.exists():
            shutil.rmtree(root)
        root.mkdir(parents=True)

    def onnx(self, name, purpose, graph, signature, rows=None, nulls=None, list_column=None, **saving):
        """An ONNX model. Expected values are onnxruntime's for `rows`, and for `nulls` with each null as NaN.

        `list_column` writes the rows as one column of lists under that name, the form that a tensor input takes.
        """
        directory = self.root / name
        mlflow.onnx.save_model(
            graph,
            directory / "model",
            signature=signature,
            mlflow_model=identity(name),
            pip_requirements=ONNX_REQUIREMENTS,
            onnx_execution_providers=["CPUExecutionProvider"],
            **{"save_as_external_data": False, **saving},
        )
        pin(directory / "model")
        session = inference(directory / "model" / "model.onnx")
        for suffix, frame in [("", rows), ("_nulls", nulls)]:
            if frame is not None:
                write(directory / f"input{suffix}.parquet", input_table(frame, list_column))
                write(directory / f"expected{suffix}.parquet", output_table(scores(session, frame)))
        self.describe(name, "onnx", f"{purpose} {ports(session)}")

    def framework(self, name, flavor, purpose, save, predict, rows, nulls=None):
        """A model in a framework's own file. `save(path, identity)` writes it, `predict(frame)` gives the expected column."""
        directory = self.root / name
        save(directory / "model", identity(name))
        pin(directory / "model")
        for suffix, frame in [("", rows), ("_nulls", nulls)]:
            if frame is not None:
                write(directory / f"input{suffix}.parquet", input_table(frame))
                write(directory / f"expected{suffix}.parquet", output_table({"prediction": predict(frame)}))
        self.describe(name, flavor, purpose)

    def contract_only(self, name, flavor, purpose, save):
        """A model without rows: only its MLmodel is read."""
        save(self.root / name / "model", identity(name))
        pin(self.root / name / "model")
        self.describe(name, flavor, purpose)

    def broken(self, name, purpose, base, damage):
        """A copy of the model of fixture `base`, after `damage(model_path)`."""
        model = self.root / name / "model"
        shutil.copytree(self.root / base / "model", model)
        damage(model)
        self.describe(name, "onnx", f"Broken: {purpose}")

    def describe(self, name, flavor, purpose):
        self.lines.append(f"| `{name}` | {flavor} | {purpose} |")

    def finish(self):
        text = README.format(lines="\n".join(sorted(self.lines)))
        (self.root / "README.md").write_text(text)
        files = sorted(p for p in self.root.rglob("*") if p.is_file())
        sums = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(self.root)}\n" for p in files]
        (self.root / "SHA256SUMS").write_text("".join(sums))
        return len(files), sum(p.stat().st_size for p in files)


README = """# Model fixtures

Written by `tests/data/make_models.py`; do not edit by hand. Rows come from the data sets inside scikit-learn (iris,
breast cancer, diabetes) and from seeded generators.

A fixture holds `model/` (an MLflow model directory) and, where it can be scored, `input.parquet` and
`expected.parquet`: one column for each output of the model, in the same row order. `input_nulls.parquet` has nulls;
each went into the model as NaN, and a NaN in `expected_nulls.parquet` is the model's own answer, not a null.
Expected values are those of onnxruntime, or of the framework for a model in its own file. Floats agree within
1e-5, labels exactly. In the list, `?` is the free batch dimension.

| fixture | flavor | what it is for |
|---|---|---|
{lines}
"""


def identity(name) -> Model:
    return Model(utc_time_created=CREATED, model_uuid=uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.fixtures.volley").hex)


def pin(model: Path):
    """Takes out of a saved model what differs from run to run: zip times, addresses, the interpreter, sizes of either."""
    for archive in model.glob("*.skops"):
        repack(archive)
    (model / "python_env.yaml").write_text(f"python: {PYTHON}\nbuild_dependencies: []\ndependencies:\n- -r requirements.txt\n")
    edit(model / "conda.yaml", r"python=[\d.]+", f"python={PYTHON}")
    edit(model / "conda.yaml", r"- pip(<=[\d.]+)?\n", "- pip\n")
    edit(model / "MLmodel", r"python_version: .*", f"python_version: {PYTHON}")
    edit(model / "MLmodel", r"model_code_path: .*/", "model_code_path: ")
    own = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"}
    size = sum(p.stat().st_size for p in model.rglob("*") if p.is_file() and p.name not in own)
    edit(model / "MLmodel", r"model_size_bytes: .*", f"model_size_bytes: {size}")


def edit(path: Path, pattern: str, replacement: str):
    path.write_text(re.sub(pattern, replacement, path.read_text()))


def repack(archive: Path):
    """skops names objects by their address in memory: number them in order of appearance instead."""
    with zipfile.ZipFile(archive) as source:
        members = {info.filename: source.read(info) for info in source.infolist()}
    addresses = dict.fromkeys(re.findall(r'"__id__": (\d+)', members["schema.json"].decode()))
    numbers = {address: str(number) for number, address in enumerate(addresses, start=1)}
    numbered = lambda text: re.sub(r"\d{6,}", lambda found: numbers.get(found[0], found[0]), text)
    members["schema.json"] = numbered(members["schema.json"].decode()).encode()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in sorted((numbered(name), content) for name, content in members.items()):
            target.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)


def inference(path: Path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


NUMPY = {"float": "f4", "double": "f8", "int64": "i8", "bool": "?", "string": "O"}


def scores(session, frame: pd.DataFrame) -> dict:
    """Every output of the model for these rows; a graph with a fixed batch gets its rows one batch at a time."""
    batch = session.get_inputs()[0].shape[0]
    if isinstance(batch, int):
        pieces = [scored(session, frame.iloc[at : at + batch]) for at in range(0, len(frame), batch)]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    return scored(session, frame)


def scored(session, frame: pd.DataFrame) -> dict:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds(session.get_inputs(), frame))))


def feeds(inputs, frame: pd.DataFrame) -> dict:
    """One wide input takes all columns side by side; otherwise an input takes the column of its name."""
    element = lambda port: NUMPY[port.type.removeprefix("tensor(").removesuffix(")")]
    if len(inputs) == 1 and len(inputs[0].shape) == 2:
        return {inputs[0].name: frame.to_numpy(element(inputs[0]))}
    shape = lambda port: (-1, 1) if len(port.shape) == 2 else (-1,)
    return {port.name: frame[port.name].to_numpy(element(port)).reshape(shape(port)) for port in inputs}


def ports(session) -> str:
    shape = lambda port: "[" + ", ".join(str(d) if isinstance(d, int) else "?" for d in port.shape) + "]"
    side = lambda side: ", ".join(f"`{p.name}` {p.type.removeprefix('tensor')}{shape(p) if p.shape else ''}" for p in side)
    return f"In {side(session.get_inputs())}; out {side(session.get_outputs())}."


def input_table(frame: pd.DataFrame, list_column=None) -> pa.Table:
    if list_column:
        return pa.table({list_column: float_lists(frame.to_numpy("f4"))})
    return pa.table({name: pa.array(values.to_numpy(), from_pandas=True) for name, values in frame.items()})


def output_table(outputs: dict) -> pa.Table:
    return pa.table({name: output_column(values) for name, values in outputs.items()})


def output_column(values) -> pa.Array:
    if isinstance(values, list):  # ZipMap: a dictionary a row, which Volley gives as a struct of doubles
        return pa.array([{str(label): float(p) for label, p in row.items()} for row in values])
    if values.ndim == 2 and values.shape[1] > 1:
        return float_lists(values)
    return pa.array(values.reshape(-1))  # NaN stays NaN


def float_lists(matrix) -> pa.Array:
    return pa.array(list(matrix), pa.list_(pa.float32()))


def write(path: Path, table: pa.Table):
    pq.write_table(table, path, compression="zstd", version="2.6")

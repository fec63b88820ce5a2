"""Makes the zoo: a hundred models of every ordinary kind, the tables they score, and what ONNX Runtime gives.

    python make_zoo.py FOLDER

Everything is seeded and single-threaded, so that two runs on one machine give the same bytes. Models of text need the
locale en_US.UTF-8, which ONNX Runtime's StringNormalizer asks for; where it is not installed:

    localedef -i en_US -f UTF-8 /tmp/locales/en_US.UTF-8 && LOCPATH=/tmp/locales python make_zoo.py FOLDER
"""

import os
import sys

# Read when Python and the libraries start: exporters write sets in the order of their hashes.
FIXED = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
if any(os.environ.get(name) != value for name, value in FIXED.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | FIXED)

import json
import locale
import tempfile
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import boosted
import exports
import nets
import pipelines
import scikit
import tables

warnings.filterwarnings("ignore")


def models(data, folder):
    for make in (scikit.linear, scikit.kernels, scikit.bayes, scikit.trees, scikit.ensembles):
        yield from make(data)
    for make in (pipelines.preprocessing, pipelines.columns, pipelines.text):
        yield from make(data)
    for make in (boosted.xgboost_models, boosted.lightgbm_models, boosted.catboost_models):
        yield from (model() for model in make(data))
    for make in (nets.perceptrons, nets.embeddings, nets.recurrent, nets.convolutions, nets.transformer):
        yield from make()
    yield from nets.quantized(folder)
    yield from exports.exports(data)


def write_table(columns, path):
    arrays = {name: column(values) for name, values in columns.items()}
    pq.write_table(pa.table(arrays), path, compression="zstd", compression_level=19)


def column(values):
    """A column of scalars, or of lists where a row has several values."""
    if getattr(values, "ndim", 1) == 1:
        return pa.array(values, from_pandas=False)
    flat = pa.array(values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def main(folder):
    locale.setlocale(locale.LC_CTYPE, "en_US.UTF-8")
    for part in ("models", "expected", "tables"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    inputs = tables.inputs()
    for name, table in inputs.items():
        write_table({column: table[column].to_numpy() for column in table}, folder / "tables" / f"{name}.parquet")
    entries = []
    with tempfile.TemporaryDirectory() as scratch:
        for model in models(tables.train(), Path(scratch)):
            (folder / "models" / f"{model.name}.onnx").write_bytes(model.proto.SerializeToString(deterministic=True))
            write_table(model.expected(inputs[model.table]), folder / "expected" / f"{model.name}.parquet")
            entries.append(model.entry())
    entries.sort(key=lambda entry: entry["name"])
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    (folder / "zoo.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

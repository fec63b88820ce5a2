#!/usr/bin/env python3
"""Makes the model fixtures under tests/data/models: the same bytes on every run.

    python3 -m venv /tmp/fixtures && /tmp/fixtures/bin/pip install -r tests/data/requirements.txt
    /tmp/fixtures/bin/python tests/data/make_models.py [FOLDER]
"""

import os
import sys

# mlflow and skops write sets, in the order of their hashes.
if os.environ.get("PYTHONHASHSEED") != "0":
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

import logging
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import graphs
import lightgbm
import mlflow
import numpy as np
import onnx
import onnxmltools
import pandas as pd
import xgboost
from fixture_folder import FixtureFolder
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property
from onnx import TensorProto
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloatTensorType
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

logging.getLogger("mlflow").setLevel(logging.ERROR)
HERE = Path(__file__).resolve().parent
OPSETS = {"": 17, "ai.onnx.ml": 3}
ABCD = list("abcd")


def main():
    folder = FixtureFolder(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE / "models")
    iris_models(folder)
    diabetes_models(folder)
    cancer_models(folder)
    churn_models(folder)
    linear_models(folder)
    boosted_models(folder)
    python_models(folder)
    broken_models(folder)
    files, size = folder.finish()
    print(f"{len(folder.lines)} fixtures, {files} files, {size / 1e6:.2f} MB")


# Rows. Every float is exact in 32 bits, so that a model in floats and its framework in doubles see the same number.


def iris():
    data = load_iris()
    return single_exact(data.data, ["sepal_length", "sepal_width", "petal_length", "petal_width"]), data.target


def cancer():
    data = load_breast_cancer()
    names = [name.replace(" ", "_") for name in data.feature_names]
    return single_exact(data.data, names)[:240], data.target[:240]


def diabetes():
    data = load_diabetes(scaled=False)
    return single_exact(data.data, data.feature_names), data.target


def churn():
    random = np.random.default_rng(1)
    rows = pd.DataFrame(
        {
            "age": random.integers(18, 90, 300),
            "income": random.normal(50_000, 10_000, 300).astype("f4"),
            "segment": pd.Series(random.choice(["retail", "corp", "sme"], 300).astype(object), dtype=object),
            "active": random.integers(0, 2, 300).astype(bool),
        }
    )
    left = ((rows.income > 50_000) & (rows.segment != "retail")) | (rows.age > 60)
    return rows, left.astype(int)


def quarters():
    """Four columns of multiples of a quarter."""
    return pd.DataFrame(np.round(np.random.default_rng(3).normal(0, 5, (40, 4)) * 4) / 4, columns=ABCD)


def single_exact(matrix, names):
    return pd.DataFrame(matrix.astype("f4").astype("f8"), columns=names)


def with_nulls(frame, seed):
    """The same rows with a tenth of each column missing."""
    random, holes = np.random.default_rng(seed), frame.copy()
    for column in range(frame.shape[1]):
        missing = random.choice(len(frame), max(1, len(frame) // 10), replace=False)
        holes.iloc[missing, column] = np.nan
    return holes


# Signatures.


def signature(inputs, outputs=None, params=None):
    schema = lambda specs: specs and Schema(specs)
    return ModelSignature(schema(inputs), schema(outputs), params and ParamSchema(params))


def doubles(names):
    return [ColSpec(DataType.double, name) for name in names]


def classifier(names, label=DataType.long):
    probabilities = ColSpec(Array(DataType.float), "probabilities")
    return signature(doubles(names), [ColSpec(label, "label"), probabilities])


def vector_of(dtype, names):
    return signature(doubles(names), [TensorSpec(np.dtype(dtype), (-1,))])


def matrix(shape, name=None):
    return TensorSpec(np.dtype("float32"), shape, name)


# Conversions.


def convert(estimator, width, port="X", zipmap=False, **options):
    if hasattr(estimator, "predict_proba"):
        options["options"] = {"zipmap": True} if zipmap else {"zipmap": False}
    ports = [(port, FloatTensorType([None, width]))]
    return graphs.settled(to_onnx(estimator, initial_types=ports, target_opset=OPSETS, **options))


def iris_pipeline(strength=1.0):
    rows, species = iris()
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)).fit(rows.to_numpy(), species)


# The fixtures.


def iris_models(folder):
    rows, species = iris()
    contract = classifier(rows.columns)
    for version, strength in [(1, 0.1), (2, 1.0), (3, 10.0)]:
        folder.onnx(
            f"iris_onnx_v{version}",
            f"Version {version} of one model: scaler and logistic regression (C = {strength}), four double columns into one float matrix.",
            convert(iris_pipeline(strength), 4, "float_input"),
            contract,
            rows,
            with_nulls(rows, version),
            input_example=rows.head(2),
        )
    folder.onnx(
        "iris_onnx_noscaler",
        "`iris_onnx_v2` with its scaler as Sub and Div.",
        convert(iris_pipeline(), 4, "float_input", black_op={"Scaler"}),
        contract,
        rows,
        with_nulls(rows, 2),
    )
    names = load_iris().target_names.astype(object)[species]
    folder.onnx(
        "iris_onnx_string_label",
        "Labels are strings.",
        convert(LogisticRegression(max_iter=2000).fit(rows.to_numpy(), names), 4),
        classifier(rows.columns, DataType.string),
        rows,
    )
    folder.onnx(
        "iris_onnx_zipmap",
        "Ends in a ZipMap, as skl2onnx does unless told otherwise: expected probabilities are a struct by class label.",
        convert(iris_pipeline(), 4, zipmap=True),
        signature(doubles(rows.columns)),
        rows,
    )


def diabetes_models(folder):
    rows, progression = diabetes()
    output = lambda kind: signature(doubles(rows.columns), [ColSpec(kind, "variable")])
    trees = GradientBoostingRegressor(n_estimators=20, max_depth=3, random_state=0).fit(rows.to_numpy(), progression)
    ridge = Ridge().fit(rows.to_numpy(), progression)
    folder.onnx("diabetes_onnx_gbr", "Boosted regression trees, one [N,1] output.", convert(trees, 10), output(DataType.double), rows)
    folder.onnx(
        "diabetes_onnx_ridge_nosig",
        "No signature: columns by position, or one list.",
        convert(ridge, 10),
        None,
        rows.head(50),
    )
    folder.onnx(
        "diabetes_onnx_ridge_core",
        "A linear regression in default-domain operators alone.",
        convert(ridge, 10, black_op={"LinearRegressor"}),
        output(DataType.float),
        rows,
    )


def cancer_models(folder):
    rows, benign = cancer()
    forest = RandomForestClassifier(n_estimators=10, max_depth=5, random_state=0).fit(rows.to_numpy(), benign)
    folder.onnx("cancer_onnx_rf", "A random forest of 30 columns.", convert(forest, 30), classifier(rows.columns), rows)

    network = lambda: graphs.perceptron(rows.mean().to_numpy(), rows.std().to_numpy())
    tensors = signature([matrix((-1, 30), "x")], [matrix((-1, 2), "y")])
    folder.onnx(
        "cancer_onnx_mlp_external",
        "A network with its weights in `model.onnx.data`; a named tensor signature, fed by a column of lists.",
        network(),
        tensors,
        rows,
        list_column="x",
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=0,
    )
    folder.onnx(
        "cancer_onnx_mlp_inline",
        "The same network with its weights inside: the same bits as `cancer_onnx_mlp_external`.",
        network(),
        tensors,
        rows,
        list_column="x",
    )


def churn_models(folder):
    rows, left = churn()
    kinds = {"age": DataType.long, "income": DataType.float, "segment": DataType.string, "active": DataType.boolean}
    folder.onnx(
        "churn_onnx_mixed",
        "Four inputs of four types, a column each.",
        graphs.mixed_churn(),
        signature([ColSpec(kind, name) for name, kind in kinds.items()], [ColSpec(DataType.float, "score")]),
        rows,
    )
    features = rows[["age", "income", "segment"]].astype({"age": "f4"})
    columns = ColumnTransformer(
        [("number", StandardScaler(), ["age", "income"]), ("category", OneHotEncoder(handle_unknown="ignore"), ["segment"])]
    )
    fitted = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(features, left)
    ports = [(name, StringTensorType([None, 1]) if name == "segment" else FloatTensorType([None, 1])) for name in features]
    converted = to_onnx(fitted, initial_types=ports, target_opset=OPSETS, options={"zipmap": False})
    kinds["age"] = DataType.float
    outputs = [ColSpec(DataType.long, "label"), ColSpec(Array(DataType.float), "probabilities")]
    folder.onnx(
        "churn_onnx_pipeline",
        "Scaled numbers and one-hot strings in one pipeline, a column an input.",
        graphs.settled(converted),
        signature([ColSpec(kinds[name], name) for name in features], outputs),
        features,
    )


def linear_models(folder):
    rows = quarters()
    contract = signature(doubles(ABCD), [ColSpec(DataType.double, "y")])
    folder.onnx(
        "linear_onnx_double",
        "y = 1 + 0.1 a + 0.2 b + 0.3 c + 0.4 d, to check by hand.",
        graphs.linear(),
        contract,
        rows,
        with_nulls(rows, 9),
    )
    optional = [ColSpec(DataType.double, name, required=name != "d") for name in ABCD]
    folder.onnx(
        "linear_onnx_optional",
        "Column `d` is optional: left out, it is NaN.",
        graphs.linear(),
        signature(optional, [ColSpec(DataType.double, "y")]),
        rows,
    )
    folder.onnx("linear_onnx_f64", "Doubles all the way.", graphs.linear(element=TensorProto.DOUBLE), contract, rows)
    folder.onnx("linear_onnx_fixed_batch1", "The graph takes one row at a time.", graphs.linear(batch=1), contract, rows)
    folder.onnx(
        "linear_onnx_tensor_unnamed",
        "A tensor signature without names: one list column, whatever it is called.",
        graphs.linear(),
        signature([matrix((-1, 4))], [matrix((-1, 1))]),
        rows,
        list_column="v",
    )
    folder.onnx(
        "linear_onnx_unnamed_cols",
        "A column signature without names: by position only.",
        graphs.linear(),
        signature([ColSpec(DataType.double)] * 4, [ColSpec(DataType.double)]),
        rows,
    )
    count = np.arange(20)
    folder.onnx(
        "multi1d_onnx",
        "Three inputs of shape [N].",
        graphs.three_vectors(),
        signature(
            [ColSpec(DataType.long, "i"), ColSpec(DataType.boolean, "bo"), ColSpec(DataType.double, "dd")],
            [ColSpec(DataType.double, "y")],
        ),
        pd.DataFrame({"i": count, "bo": count % 3 == 0, "dd": count / 4}),
    )


def boosted_models(folder):
    rows, benign = cancer()
    holes = with_nulls(rows, 21)
    xgboost_models(folder, rows, holes, benign)
    lightgbm_models(folder, rows, holes, benign)
    xgboost_classifier(folder)
    lightgbm_categories(folder)


def xgboost_models(folder, rows, holes, benign):
    settings = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.3, "seed": 0, "nthread": 1, "tree_method": "exact"}
    booster = xgboost.train(settings, xgboost.DMatrix(holes, label=benign), 20)
    for form in ("json", "ubj"):
        folder.framework(
            f"cancer_xgboost_{form}",
            "xgboost",
            f"A booster trained with missing values, saved as {form}.",
            lambda path, identity: mlflow.xgboost.save_model(
                booster,
                path,
                mlflow_model=identity,
                model_format=form,
                signature=vector_of("float32", rows.columns),
                pip_requirements=["xgboost==3.2.0"],
            ),
            lambda frame: booster.predict(xgboost.DMatrix(frame)),
            rows,
            holes,
        )
    nameless = booster.copy()  # the converter refuses any feature name that is not f0, f1, ...
    nameless.feature_names = nameless.feature_types = None
    ports = [("X", ToolsFloatTensorType([None, 30]))]
    folder.onnx(
        "cancer_onnx_from_xgboost",
        "The booster of `cancer_xgboost_json`, converted: trees that track missing values.",
        graphs.settled(onnxmltools.convert_xgboost(nameless, initial_types=ports, target_opset=15)),
        classifier(rows.columns),
        rows,
        holes,
    )


LIGHTGBM = {"num_leaves": 7, "verbose": -1, "deterministic": True, "force_row_wise": True}


def lightgbm_models(folder, rows, holes, benign):
    settings = {**LIGHTGBM, "objective": "binary", "seed": 0, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(holes, label=benign), 20)
    save_booster(folder, "cancer_lightgbm_booster", "A booster trained with missing values, as text.", booster, rows, holes)
    ports = [("X", ToolsFloatTensorType([None, 30]))]
    converted = onnxmltools.convert_lightgbm(booster, initial_types=ports, target_opset=15, zipmap=False)
    folder.onnx(
        "cancer_onnx_from_lightgbm",
        "The booster of `cancer_lightgbm_booster`, converted: trees that track missing values.",
        graphs.settled(converted),
        classifier(rows.columns),
        rows,
        holes,
    )


def lightgbm_categories(folder):
    random = np.random.default_rng(5)
    category, number = random.integers(0, 6, 400), np.round(random.normal(0, 1, 400), 3)
    rows = single_exact(np.column_stack([category, number]), ["cat", "num"])
    answer = (rows["cat"].isin([1, 4]) ^ (rows["num"] > 0.5)).astype(int)
    sets = {"min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 1}
    settings = {**LIGHTGBM, **sets, "objective": "binary", "seed": 0, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(rows, label=answer, categorical_feature=[0]), 10)
    save_booster(folder, "cats_lightgbm_booster", "A booster that splits by sets of categories.", booster, rows, with_nulls(rows, 2))


def save_booster(folder, name, purpose, booster, rows, holes):
    folder.framework(
        name,
        "lightgbm",
        purpose,
        lambda path, identity: mlflow.lightgbm.save_model(
            booster,
            path,
            mlflow_model=identity,
            signature=vector_of("float64", rows.columns),
            pip_requirements=["lightgbm==4.7.0"],
        ),
        lambda frame: booster.predict(frame, num_threads=1),
        rows,
        holes,
    )


def xgboost_classifier(folder):
    rows, species = iris()
    settings = {"n_estimators": 8, "max_depth": 3, "random_state": 0, "n_jobs": 1, "tree_method": "exact"}
    model = xgboost.XGBClassifier(**settings).fit(rows, species)
    folder.framework(
        "iris_xgboost_sklearn",
        "xgboost",
        "XGBClassifier of three classes: it answers with labels, not with probabilities.",
        lambda path, identity: mlflow.xgboost.save_model(
            model,
            path,
            mlflow_model=identity,
            signature=vector_of("int64", rows.columns),
            pip_requirements=["xgboost==3.2.0"],
        ),
        lambda frame: model.predict(frame).astype("i8"),
        rows,
    )


def python_models(folder):
    rows, species = iris()
    contract = vector_of("int64", rows.columns)
    pipeline = iris_pipeline()
    for form in ("skops", "cloudpickle"):
        folder.framework(
            f"iris_sklearn_{form}",
            "sklearn",
            f"The pipeline of `iris_onnx_v2` as {form}: needs Python, to be refused.",
            lambda path, identity: mlflow.sklearn.save_model(
                pipeline,
                path,
                mlflow_model=identity,
                serialization_format=form,
                signature=contract,
                pip_requirements=["scikit-learn==1.9.1"],
            ),
            lambda frame: pipeline.predict(frame.to_numpy()),
            rows,
        )
    settings = {**LIGHTGBM, "n_estimators": 8, "random_state": 0, "n_jobs": 1}
    model = lightgbm.LGBMClassifier(**settings).fit(rows, species)
    folder.framework(
        "iris_lightgbm_skops",
        "lightgbm",
        "LGBMClassifier as skops, not LightGBM's text: needs Python, to be refused.",
        lambda path, identity: mlflow.lightgbm.save_model(
            model, path, mlflow_model=identity, signature=contract, pip_requirements=["lightgbm==4.7.0"]
        ),
        lambda frame: model.predict(frame).astype("i8"),
        rows,
    )
    folder.contract_only(
        "all_types_pyfunc",
        "pyfunc",
        "Every type of a signature, optional columns, parameters: its contract is read, the model refused.",
        save_every_type,
    )


def save_every_type(path, identity):
    optional = {
        "bin": DataType.binary,
        "ts": DataType.datetime,
        "arr": Array(DataType.double),
        "arr2": Array(Array(DataType.long)),
        "obj": Object([Property("city", DataType.string), Property("zip", DataType.long, required=False)]),
        "m": Map(DataType.double),
        "anyv": AnyType(),
    }
    required = {"b": "boolean", "i": "integer", "l": "long", "f": "float", "d": "double", "s": "string"}
    inputs = [ColSpec(kind, name) for name, kind in required.items()]
    inputs += [ColSpec(kind, name, required=False) for name, kind in optional.items()]
    params = [
        ParamSpec("threshold", DataType.double, 0.5),
        ParamSpec("labels", DataType.string, ["a", "b"], shape=(-1,)),
        ParamSpec("k", DataType.long, 3),
        ParamSpec("opt", DataType.string, None),
    ]
    os.chdir(HERE)  # MLmodel records the path as given
    mlflow.pyfunc.save_model(
        path,
        python_model="echo_model.py",
        mlflow_model=identity,
        signature=signature(inputs, [ColSpec(DataType.double, "score")], params),
        pip_requirements=["mlflow==3.17.2"],
    )


def broken_models(folder):
    def escape(model):
        text = (model / "MLmodel").read_text()
        (model / "MLmodel").write_text(text.replace("data: model.onnx", "data: ../../../../etc/passwd"))

    damages = [
        ("truncated_onnx", "the model file ends after 100 bytes.", lambda model: os.truncate(model / "model.onnx", 100)),
        ("missing_data", "MLmodel names a file that is not there.", lambda model: os.remove(model / "model.onnx")),
        ("mlmodel_yaml", "MLmodel is not YAML.", lambda model: (model / "MLmodel").write_text("flavors: [unclosed\n")),
        ("no_flavor", "MLmodel lists no flavor.", lambda model: (model / "MLmodel").write_text("flavors: {}\nmodel_uuid: 0\n")),
        ("path_escape", "MLmodel names a file outside the model.", escape),
        ("signature_mismatch", "four columns in the signature, five in the graph.", replace_graph(graphs.five_wide())),
        ("hostile_tree", "a tree that leads back to its own root.", replace_graph(graphs.circular_tree())),
    ]
    for name, purpose, damage in damages:
        folder.broken(f"broken_{name}", purpose, "linear_onnx_double", damage)
    folder.broken(
        "broken_missing_external",
        "the file with the weights is gone.",
        "cancer_onnx_mlp_external",
        lambda model: os.remove(model / "model.onnx.data"),
    )


def replace_graph(graph):
    return lambda model: onnx.save(graph, model / "model.onnx")


if __name__ == "__main__":
    main()

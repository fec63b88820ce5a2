"""Makes the models of the scoring bench in models/ beside this file.

    python make_models.py [NAME ...]

Needs scikit-learn, skl2onnx, onnxmltools, xgboost, lightgbm, catboost. Made models are kept.
Where a name ends in TREESxDEPTH, the bench divides by the trees.
"""

import sys
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType

FOLDER = Path(__file__).parent / "models"
FEATURES = 28
rng = np.random.default_rng(7)
X = rng.normal(size=(20000, FEATURES)).astype(np.float32)
signal = X[:, 0] * X[:, 1] + np.sin(X[:, 2]) + X[:, 3] + 0.3 * rng.normal(size=len(X))
y_reg = signal.astype(np.float32)
y = (signal > 0).astype(np.int64)
y3 = np.digitize(signal, [-0.7, 0.7])
NAN = X.copy()
NAN[rng.random(X.shape) < 0.05] = np.nan
CATS = X.copy()
CATS[:, 24:] = rng.integers(0, 20, size=(len(X), 4))
MODELS = {}


def model(function):
    MODELS[function.__name__] = function
    return function


def skl(estimator, data=X, target=None, **options):
    estimator.fit(data, y if target is None else target)
    if hasattr(estimator, "predict_proba"):
        options.setdefault("zipmap", False)
    kinds = {id(estimator): options} if options else None
    return to_onnx(estimator, data[:1], options=kinds, target_opset={"": 18, "ai.onnx.ml": 3})


def xgb(trees, data=X, **more):
    import xgboost
    from onnxmltools.convert import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType as Floats

    estimator = xgboost.XGBClassifier(n_estimators=trees, max_depth=6, n_jobs=1, **more).fit(data, y)
    return convert_xgboost(estimator, initial_types=[("x", Floats([None, FEATURES]))], target_opset=15)


def lgbm(trees, data=X, **more):
    import lightgbm
    from onnxmltools.convert import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType as Floats

    categorical = more.pop("categorical", "auto")
    estimator = lightgbm.LGBMClassifier(n_estimators=trees, n_jobs=1, verbose=-1, **more)
    estimator.fit(data, y, categorical_feature=categorical)
    types = [("x", Floats([None, FEATURES]))]
    return convert_lightgbm(estimator, initial_types=types, target_opset=15, zipmap=False)


def catboost(trees):
    from catboost import CatBoostRegressor
    import onnx

    estimator = CatBoostRegressor(iterations=trees, depth=6, verbose=0, thread_count=1, allow_writing_files=False).fit(X, y_reg)
    path = FOLDER / "catboost.tmp"
    estimator.save_model(str(path), format="onnx")
    try:
        return onnx.load(path)
    finally:
        path.unlink()


@model
def xgb_100x6(): return xgb(100)
@model
def xgb_500x6(): return xgb(500)
@model
def xgb_nan_100x6(): return xgb(100, NAN)


@model
def gb_100x6():
    from sklearn.ensemble import GradientBoostingRegressor
    return skl(GradientBoostingRegressor(n_estimators=100, max_depth=6, subsample=0.3), target=y_reg)


@model
def lgbm_200x63(): return lgbm(200, num_leaves=63)
@model
def lgbm_cat_100x31(): return lgbm(100, CATS, categorical=[24, 25, 26, 27])
@model
def catboost_100x6(): return catboost(100)
@model
def catboost_500x6(): return catboost(500)


@model
def forest_100x10():
    from sklearn.ensemble import RandomForestRegressor
    return skl(RandomForestRegressor(n_estimators=100, max_depth=10, n_jobs=1), target=y_reg)


@model
def forest_cls_100x10():
    from sklearn.ensemble import RandomForestClassifier
    return skl(RandomForestClassifier(n_estimators=100, max_depth=10, n_jobs=1), target=y3)


@model
def forest_10mb_100x30():
    from sklearn.ensemble import RandomForestRegressor
    return skl(RandomForestRegressor(n_estimators=100, max_samples=0.25, n_jobs=1), target=y_reg)


def pipe(*steps):
    from sklearn.pipeline import make_pipeline
    return make_pipeline(*steps)


def logreg():
    from sklearn.linear_model import LogisticRegression
    return LogisticRegression(max_iter=200)


@model
def logreg_bin(): return skl(logreg())
@model
def logreg_3c(): return skl(logreg(), target=y3)
@model
def logreg_3c_str(): return skl(logreg(), target=np.array(["low", "mid", "high"])[y3])


@model
def linreg():
    from sklearn.linear_model import LinearRegression
    return skl(LinearRegression(), target=y_reg)


@model
def scaler_logreg():
    from sklearn.preprocessing import StandardScaler
    return skl(pipe(StandardScaler(), logreg()))


@model
def nan_imputer_logreg():
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import StandardScaler
    return skl(pipe(SimpleImputer(), StandardScaler(), logreg()), NAN)


@model
def minmax_logreg():
    from sklearn.preprocessing import MinMaxScaler
    return skl(pipe(MinMaxScaler(), logreg()))


@model
def pca_logreg():
    from sklearn.decomposition import PCA
    return skl(pipe(PCA(10), logreg()))


@model
def gaussian_nb():
    from sklearn.naive_bayes import GaussianNB
    return skl(GaussianNB())


@model
def kmeans():
    from sklearn.cluster import KMeans
    return skl(KMeans(8, n_init=1))


def columns(last):
    """One-hot strings beside imputed and scaled numbers, each an input of its own."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers, texts = [f"nan{i}" for i in range(8)], [f"s{i}" for i in range(4)]
    frame = pd.DataFrame(NAN[:, :8], columns=numbers)
    for text in texts:
        frame[text] = rng.choice(list("abcdefgh"), size=len(X))
    encoders = [
        ("numbers", pipe(SimpleImputer(), StandardScaler()), numbers),
        ("texts", OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts),
    ]
    estimator = pipe(ColumnTransformer(encoders), last).fit(frame, y)
    types = [(name, FloatTensorType([None, 1])) for name in numbers]
    types += [(name, StringTensorType([None, 1])) for name in texts]
    options = {id(estimator): {"zipmap": False}}
    return to_onnx(estimator, initial_types=types, options=options, target_opset={"": 18, "ai.onnx.ml": 3})


@model
def onehot_imputer_logreg(): return columns(logreg())


@model
def onehot_imputer_gb_100x6():
    from sklearn.ensemble import GradientBoostingClassifier
    return columns(GradientBoostingClassifier(n_estimators=100, max_depth=6, subsample=0.3))


@model
def mlp_128_64():
    from sklearn.neural_network import MLPClassifier
    return skl(MLPClassifier((128, 64), max_iter=3), target=y3)


def dense(sizes, norm):
    """Layers as Keras and PyTorch export them: MatMul, Add, perhaps a normalization, Relu."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, stored, at = [], [], "x"
    def node(kind, values, **attributes):
        nonlocal at
        names = [f"{kind.lower()}{len(nodes)}_{i}" for i in range(len(values))]
        stored.extend(numpy_helper.from_array(value.astype(np.float32), name) for value, name in zip(values, names))
        out = f"out{len(nodes)}"
        nodes.append(helper.make_node(kind, [at, *names], [out], **attributes))
        at = out
    for layer, (wide, narrow) in enumerate(zip(sizes, sizes[1:])):
        node("MatMul", [rng.normal(size=(wide, narrow)) / wide**0.5])
        node("Add", [rng.normal(size=narrow)])
        if layer + 2 < len(sizes):
            if norm:
                node("BatchNormalization", [rng.random(narrow) + 0.5, *rng.normal(size=(2, narrow)), rng.random(narrow) + 0.5])
            node("Relu", [])
    nodes[-1].output[0] = "y"
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, sizes[0]])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, sizes[-1]])]
    graph = helper.make_graph(nodes, "dense", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@model
def mlp_512x4(): return dense([FEATURES, 512, 512, 512, 512, 1], False)
@model
def mlp_bn_256_128(): return dense([FEATURES, 256, 128, 3], True)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or MODELS:
        path = FOLDER / f"{name}.onnx"
        if not path.exists():
            path.write_bytes(MODELS[name]().SerializeToString())
            print(f"{name}: {path.stat().st_size >> 10} KiB", flush=True)

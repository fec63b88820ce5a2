"""Gradient boosting of other libraries: XGBoost and LightGBM through onnxmltools, CatBoost by its own export."""

import tempfile
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import onnx
import onnxmltools
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from model import Model
from tables import FEATURES

SHAPE = [("X", FloatTensorType([None, len(FEATURES)]))]
GROUPS = [50] * 20


def features(data):
    x = data[FEATURES].to_numpy(np.float32).copy()
    x[np.random.default_rng(9).random(x.shape) < 0.1] = np.nan
    return x


def xgboost_models(data):
    k, x = "XGBoost", features(data)
    small = {"n_estimators": 20, "max_depth": 4, "n_jobs": 1, "random_state": 0, "learning_rate": 0.3}

    def made(name, model, y, **fit):
        model.fit(x, y, **fit)
        # The converter knows the boosters of rankers, but not rankers.
        converted = model.get_booster() if isinstance(model, xgboost.XGBRanker) else model
        onx = onnxmltools.convert_xgboost(converted, name, SHAPE, target_opset=15)
        return Model(name, k, "onnxmltools", onx, "holes", [FEATURES])

    regressors = {
        "squarederror": "y_reg",
        "absoluteerror": "y_reg",
        "pseudohubererror": "y_reg",
        "squaredlogerror": "y_positive",
        "gamma": "y_positive",
        "tweedie": "y_positive",
        "logistic": "y_binary",
    }
    for objective, target in regressors.items():
        model = xgboost.XGBRegressor(objective=f"reg:{objective}", **small)
        yield lambda o=objective, m=model, t=target: made(f"xgboost_{o}", m, data[t])
    counts = xgboost.XGBRegressor(objective="count:poisson", **small)
    yield lambda: made("xgboost_poisson", counts, data["y_count"])
    yield lambda: made("xgboost_binary", xgboost.XGBClassifier(**small), data["y_binary"])
    yield lambda: made("xgboost_multi", xgboost.XGBClassifier(**small), data["y_multi"])
    yield lambda: made("xgboost_softmax", xgboost.XGBClassifier(objective="multi:softmax", **small), data["y_multi"])
    ranks = xgboost.XGBRanker(objective="rank:pairwise", **small)
    yield lambda: made("xgboost_rank", ranks, data["y_multi"], group=GROUPS)
    yield lambda: made("xgboost_forest", xgboost.XGBRFRegressor(n_estimators=20, max_depth=4, n_jobs=1, random_state=0), data["y_reg"])


def lightgbm_models(data):
    k, x = "LightGBM", features(data)
    small = {"n_estimators": 20, "num_leaves": 15, "n_jobs": 1, "random_state": 0, "verbose": -1}
    small |= {"deterministic": True, "force_row_wise": True}

    def made(name, model, y, zipmap=False, **fit):
        model.fit(x, y, **fit)
        onx = onnxmltools.convert_lightgbm(model, name, SHAPE, target_opset=15, zipmap=zipmap)
        return Model(name, k, "onnxmltools", onx, "holes", [FEATURES])

    regressors = {
        "regression": "y_reg",
        "regression_l1": "y_reg",
        "huber": "y_reg",
        "quantile": "y_reg",
        "poisson": "y_count",
        "gamma": "y_positive",
        "tweedie": "y_positive",
    }
    for objective, target in regressors.items():
        model = lightgbm.LGBMRegressor(objective=objective, **small)
        yield lambda o=objective, m=model, t=target: made(f"lightgbm_{o}", m, data[t])
    yield lambda: made("lightgbm_binary", lightgbm.LGBMClassifier(**small), data["y_binary"])
    yield lambda: made("lightgbm_binary_zipmap", lightgbm.LGBMClassifier(**small), data["y_binary"], zipmap=True)
    yield lambda: made("lightgbm_multi", lightgbm.LGBMClassifier(**small), data["y_multi"])
    yield lambda: made("lightgbm_multi_ova", lightgbm.LGBMClassifier(objective="multiclassova", **small), data["y_multi"])
    yield lambda: made("lightgbm_rank", lightgbm.LGBMRanker(**small), data["y_multi"], group=GROUPS)
    forest = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}
    yield lambda: made("lightgbm_forest", lightgbm.LGBMRegressor(**forest, **small), data["y_reg"])
    yield lambda: categorical(data, small)


def categorical(data, small):
    """Two columns of categories, as LightGBM knows them: sets of integers at the nodes."""
    x = data[[f"p{i}" for i in range(4)]].to_numpy(np.float32)
    model = lightgbm.LGBMClassifier(min_data_per_group=5, cat_smooth=1, **small)
    model.fit(x, data["y_digit"], categorical_feature=[0, 1])
    shape = [("X", FloatTensorType([None, 4]))]
    onx = onnxmltools.convert_lightgbm(model, "lightgbm_categorical", shape, target_opset=15, zipmap=False)
    columns = [f"p{i}" for i in range(4)]
    return Model("lightgbm_categorical", "LightGBM", "onnxmltools", onx, "counts", [columns])


def catboost_models(data):
    x = features(data)
    small = {"iterations": 20, "depth": 4, "thread_count": 1, "random_seed": 0, "verbose": False}
    small |= {"allow_writing_files": False}

    def made(name, model, y):
        model.fit(x, y)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            model.save_model(str(path), format="onnx", export_parameters={"onnx_graph_name": name})
            onx = onnx.load(path)
        # The moment of training, and the paths of a build.
        onx.producer_version = catboost.__version__
        del onx.metadata_props[:]
        return Model(name, "CatBoost", "catboost", onx, "holes", [FEATURES])

    yield lambda: made("catboost_regressor", catboost.CatBoostRegressor(**small), data["y_reg"])
    yield lambda: made("catboost_binary", catboost.CatBoostClassifier(**small), data["y_binary"])
    yield lambda: made("catboost_multi", catboost.CatBoostClassifier(**small), data["y_multi"])
    yield lambda: made("catboost_names", catboost.CatBoostClassifier(**small), data["y_name"])
    yield lambda: made("catboost_poisson", catboost.CatBoostRegressor(loss_function="Poisson", **small), data["y_count"])
    yield lambda: made("catboost_quantile", catboost.CatBoostRegressor(loss_function="Quantile", **small), data["y_reg"])

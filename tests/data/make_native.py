#!/usr/bin/env python3
"""Trains random configurations of XGBoost and LightGBM and writes their models with their own predictions.

    python3 -m venv /tmp/fixtures && /tmp/fixtures/bin/pip install -r tests/data/requirements.txt
    /tmp/fixtures/bin/python tests/data/make_native.py                          # the slice in tests/data/native
    /tmp/fixtures/bin/python tests/data/make_native.py /tmp/native 100 2000 60  # folder, models of each, rows, rounds
    cargo run -p volley-model --example compare_native -- /tmp/native

A folder holds the models (`xgb_007.ubj`, `lgb_007.txt`), `input.parquet` with a column for each feature that any of
them has, and `expected.parquet` with a column for each model. NULL there is a row that the library itself refuses.
"""

import shutil
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost

WORDS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu"]
NUMBERS = [f"n{i}" for i in range(5)]
XGBOOST = [
    "reg:squarederror", "binary:logistic", "multi:softprob", "count:poisson", "multi:softmax", "reg:gamma",
    "survival:aft", "binary:hinge", "reg:tweedie", "rank:ndcg", "reg:quantileerror", "survival:cox",
    "reg:logistic", "binary:logitraw", "reg:pseudohubererror", "reg:absoluteerror", "reg:squaredlogerror",
    "rank:pairwise", "rank:map",
]
LIGHTGBM = [
    "regression", "binary", "multiclass", "poisson", "multiclassova", "regression_sqrt", "gamma", "cross_entropy",
    "cross_entropy_lambda", "tweedie", "lambdarank", "quantile", "regression_l1", "huber", "fair", "mape",
    "rank_xendcg", "custom",
]


def main():
    arguments = sys.argv[1:] + [None] * 4
    folder = Path(arguments[0] or Path(__file__).resolve().parent / "native")
    count, rows, rounds = (int(given or usual) for given, usual in zip(arguments[1:4], (12, 120, 6)))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scored, expected = table(np.random.default_rng(99), rows, wild=True), {}
    for number in range(count):
        expected[f"xgb_{number:03}"] = xgboost_model(folder, number, rounds, scored)
        expected[f"lgb_{number:03}"] = lightgbm_model(folder, number, rounds, scored)
    plain = scored.astype({"word": object})
    write(folder / "input.parquet", {name: pa.array(plain[name], from_pandas=True) for name in plain})
    write(folder / "expected.parquet", {name: column(values) for name, values in expected.items()})
    print(f"{2 * count} models, {sum(f.stat().st_size for f in folder.iterdir()) / 1e3:.0f} kB in {folder}")


def table(random, rows, wild=False):
    """Numbers with gaps and zeros, small integers, categories as numbers and as words; `wild` ones were not trained with."""
    frame = pd.DataFrame({name: random.normal(0, 10.0**power, rows) for power, name in enumerate(NUMBERS, -2)})
    frame["n4"] = random.integers(-3, 4, rows).astype("f8")
    frame["code"] = random.integers(0, 70, rows).astype("f8")
    words = random.choice(WORDS, rows).astype(object)
    for name in NUMBERS:
        frame.loc[random.random(rows) < 0.1, name] = 0.0
        frame.loc[random.random(rows) < 0.1, name] = np.nan
    frame.loc[random.random(rows) < 0.1, "code"] = np.nan
    if wild:
        frame.loc[random.random(rows) < 0.03, "n1"] = np.inf
        frame.loc[random.random(rows) < 0.03, "n2"] = -np.inf
        for value in [-1.0, -0.5, 2.5, 71.0, 1e6]:
            frame.loc[random.random(rows) < 0.03, "code"] = value
        words[random.random(rows) < 0.05] = "yak"
    known = WORDS + ["yak"] if wild else WORDS
    frame["word"] = pd.Categorical(words, categories=known)
    return frame


def answers(random, frame, kind):
    signal = frame["n1"].fillna(1) + frame["n4"].fillna(-2) / 2 + np.sin(frame["code"].fillna(9))
    signal = (signal + frame["word"].cat.codes / 3 + random.normal(0, 0.3, len(frame))).to_numpy()
    return {
        "real": signal,
        "positive": np.exp(signal / 4) + 0.01,
        "count": np.floor(np.exp(signal / 4)),
        "unit": 1 / (1 + np.exp(-signal)),
        "class2": (signal > 0).astype(int),
        "class4": np.digitize(signal, [-1.0, 0.0, 1.5]),
    }[kind]


def kind_of(objective):
    positive = ("gamma", "tweedie", "squaredlog", "cox", "aft", "sqrt", "mape")
    for key, kind in [("multi", "class4"), ("binary", "class2"), ("rank", "class4"), ("poisson", "count"), ("reg:logistic", "unit"), ("cross", "unit")]:
        if objective.startswith(key) or (key in ("rank", "poisson") and key in objective):
            return kind
    return "positive" if any(key in objective for key in positive) else "real"


def columns(random):
    """The features of one model: numbers, and sometimes categories of either kind."""
    names = list(random.permutation(NUMBERS)[: random.integers(2, 6)])
    return names + [name for name in ("code", "word") if random.random() < 0.4]


def xgboost_model(folder, number, rounds, scored):
    random = np.random.default_rng(1000 + number)
    objective, names = XGBOOST[number % len(XGBOOST)], columns(random)
    frame = table(random, 600)
    label = answers(random, frame, kind_of(objective))
    settings = {
        "objective": objective, "seed": number, "nthread": 1, "eta": random.choice([0.1, 0.3, 0.7]),
        "booster": random.choice(["gbtree", "gbtree", "dart", "gblinear"]), "max_depth": int(random.integers(1, 7)),
        "gamma": random.choice([0.0, 0.0, 0.5]), "subsample": random.choice([0.7, 1.0]),
        "tree_method": random.choice(["hist", "approx", "exact"]), "max_cat_to_onehot": int(random.choice([1, 20])),
    }
    if objective.startswith("multi"):
        settings["num_class"] = 4
    if objective == "reg:quantileerror":
        settings["quantile_alpha"] = [0.2, 0.5, 0.9][: random.integers(1, 4)]
    if random.random() < 0.4 and not objective.startswith(("multi", "survival:cox")):
        settings["base_score"] = float(random.choice([0.3, 0.6]))
    if random.random() < 0.3:
        settings.update(grow_policy="lossguide", max_leaves=int(random.integers(4, 20)), tree_method="hist")
    if objective == "reg:squarederror" and random.random() < 0.6:
        label = np.column_stack([label, -2 * label])
        settings.update(booster="gbtree", tree_method="hist", multi_strategy=random.choice(["one_output_per_tree", "multi_output_tree"]))
    if settings["booster"] == "gblinear" or settings.get("multi_strategy") == "multi_output_tree":
        names = [name for name in names if name in NUMBERS]
    elif "code" in names or "word" in names:
        settings["tree_method"] = "hist"
    if settings["booster"] == "dart":
        settings.update(rate_drop=0.3, skip_drop=0.2)
    if settings["booster"] == "gbtree" and random.random() < 0.25 and settings.get("multi_strategy") != "multi_output_tree":
        settings.update(num_parallel_tree=2, subsample=0.7)
    given = {key: value.item() if isinstance(value, np.generic) else value for key, value in settings.items()}
    if settings["booster"] == "gblinear":
        for key in ("max_depth", "gamma", "subsample", "tree_method", "max_cat_to_onehot", "grow_policy", "max_leaves"):
            given.pop(key, None)
    named = "word" in names or random.random() < 0.7
    if not named:
        # XGBoost then calls them f0, f1 and so on.
        names = NUMBERS[: len(names)]
    data = xgboost_data(frame[names], named, label)
    if objective == "survival:aft":
        data.set_float_info("label_lower_bound", label)
        data.set_float_info("label_upper_bound", label * random.choice([1.0, np.inf]))
    if objective.startswith("rank"):
        data.set_group([20] * 30)
        data.set_label(np.minimum(label, 1) if objective == "rank:map" else label)
    elif random.random() < 0.4:
        data.set_weight(random.random(600) + 0.1)
    booster = xgboost.train(given, data, rounds)
    booster.set_attr(note="")
    name = f"xgb_{number:03}"
    path = folder / f"{name}.{random.choice(['json', 'ubj'])}"
    booster.save_model(path)
    return xgboost_scores(booster, scored[names], named)


def xgboost_data(frame, named, label=None):
    types = ["c" if name in ("code", "word") else "float" for name in frame]
    if "word" in frame:
        frame = frame.assign(word=pd.Categorical(frame["word"].astype(object), categories=WORDS))
        if "code" in frame:
            # Categories must all be categories: those in numbers keep what they stand for.
            frame = frame.assign(code=pd.Categorical(frame["code"].astype("Int64"), categories=range(70)))
        return xgboost.DMatrix(frame, label=label, enable_categorical=True)
    names = list(frame) if named else None
    return xgboost.DMatrix(frame.to_numpy("f4"), label=label, feature_names=names, feature_types=types, enable_categorical=True)


def xgboost_scores(booster, frame, named):
    """XGBoost refuses infinities, and words that it was not trained with."""
    taken = ~np.isinf(frame.select_dtypes("number")).any(axis=1)
    if "word" in frame:
        taken &= frame["word"].astype(object) != "yak"
        if "code" in frame:
            taken &= frame["code"].isna() | frame["code"].isin(np.arange(70.0))
    found = booster.predict(xgboost_data(frame[taken], named))
    scores = np.ma.masked_all((len(frame), *found.shape[1:]), found.dtype)
    scores[taken.to_numpy()] = found
    return scores


def lightgbm_model(folder, number, rounds, scored):
    random = np.random.default_rng(2000 + number)
    objective, names = LIGHTGBM[number % len(LIGHTGBM)], columns(random)
    frame = table(random, 600)
    label = answers(random, frame, kind_of(objective))
    settings = {
        "objective": objective, "verbose": -1, "seed": number, "num_threads": 1, "deterministic": True, "force_row_wise": True,
        "num_leaves": int(random.integers(2, 24)), "learning_rate": float(random.choice([0.1, 0.3, 0.7])), "min_data_in_leaf": 5,
        "boosting": str(random.choice(["gbdt", "gbdt", "dart", "rf"])), "use_missing": bool(random.random() < 0.8),
        "zero_as_missing": bool(random.random() < 0.3), "max_cat_to_onehot": int(random.choice([1, 20])),
        "min_data_per_group": 3, "cat_smooth": 1.0, "sigmoid": float(random.choice([1.0, 0.6])),
    }
    if objective == "regression_sqrt":
        settings.update(objective="regression", reg_sqrt=True)
    if objective == "custom":
        settings.update(objective=lambda scores, data: (scores - data.get_label(), np.ones_like(scores)), boosting="gbdt")
    if objective in ("multiclass", "multiclassova"):
        settings["num_class"] = 4
    if settings["boosting"] == "rf":
        settings.update(bagging_freq=1, bagging_fraction=0.7)
    groups = [20] * 30 if "rank" in objective else None
    weights = random.random(600) + 0.1 if random.random() < 0.4 else None
    rows = frame[names].assign(**{"word": pd.Categorical(frame["word"].astype(object), categories=WORDS)} if "word" in names else {})
    if "word" in names:
        if "code" in names:
            rows["code"] = pd.Categorical(rows["code"], categories=np.arange(70.0))
        categories = "auto"
    else:
        categories = ["code"] if "code" in names else []
    data = lightgbm.Dataset(rows, label, weight=weights, group=groups, categorical_feature=categories, free_raw_data=False)
    booster = lightgbm.train(settings, data, rounds)
    booster.save_model(folder / f"lgb_{number:03}.txt")
    loaded = lightgbm.Booster(model_file=folder / f"lgb_{number:03}.txt")
    wild = scored[names]
    if "word" in names and "code" in names:
        wild = wild.assign(code=pd.Categorical(wild["code"]))
    return np.ma.array(loaded.predict(wild, num_threads=1))


def column(scores):
    """A number a row, or a list; NULL where the library gave nothing."""
    missing = np.ma.getmaskarray(scores)
    if scores.ndim == 1:
        return pa.array(np.ma.getdata(scores), mask=missing)
    rows = [None if gone.any() else row for row, gone in zip(np.ma.getdata(scores), missing)]
    return pa.array(rows, pa.list_(pa.from_numpy_dtype(scores.dtype)))


def write(path, arrays):
    pq.write_table(pa.table(arrays), path, compression="zstd", version="2.6")


if __name__ == "__main__":
    main()

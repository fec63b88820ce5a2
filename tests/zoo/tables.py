"""The tables that the models of the zoo are trained on and score: 1,000 rows each, all made from one seed."""

import numpy as np
import pandas as pd

ROWS = 1000
FEATURES = [f"f{i}" for i in range(8)]
CITIES = ["Oslo", "Łódź", "東京", "São Paulo", "Zürich", "", "naïve \U0001f600"]
PLANS = ["free", "basic", "pro"]
WORDS = (
    "delay gate crew bag late fuel storm seat refund card app login slow fast good bad never always café naïve "
    "Straße ÉCOLE flight 東京 don't re-book 42 3.14 a I"
).split()
IDS = [10**12 + i for i in range(6)] + [-5, 2**53 + 1]


def train():
    """Clean rows to train on, with every kind of target."""
    return labelled(features(np.random.default_rng(1)), np.random.default_rng(2))


def features(rng, rows=ROWS):
    data = pd.DataFrame(rng.normal(size=(rows, len(FEATURES))).astype(np.float32), columns=FEATURES)
    for i in range(8):
        data[f"p{i}"] = rng.poisson(2.0, rows).astype(np.float32)
    data["city"] = rng.choice(CITIES[:5], rows)
    data["plan"] = rng.choice(PLANS, rows, p=[0.5, 0.3, 0.2])
    data["account"] = rng.choice(IDS[:6], rows).astype(np.int64)
    data["age"] = rng.integers(18, 90, rows).astype(np.int64)
    data["active"] = rng.random(rows) < 0.6
    data["text"] = [sentence(rng) for _ in range(rows)]
    data["user"] = rng.integers(0, 50, rows).astype(np.int64)
    data["item"] = rng.integers(0, 30, rows).astype(np.int64)
    for i in range(16):
        data[f"token{i}"] = rng.integers(0, 40, rows).astype(np.int64)
    for i in range(64):
        data[f"pixel{i}"] = rng.random(rows).astype(np.float32)
    return data


def sentence(rng):
    return " ".join(rng.choice(WORDS, rng.integers(1, 9)))


def labelled(data, rng):
    x = data[FEATURES].to_numpy(np.float64)
    score = x @ np.array([1.5, -1.0, 0.7, 0.0, 0.3, -0.2, 0.1, 0.9]) + 0.6 * x[:, 0] * x[:, 1]
    noisy = score + rng.normal(size=len(data))
    spend = np.where(data["plan"] == "pro", 1.0, -0.3) + 0.5 * (data["city"] == "Oslo") + 0.02 * (data["age"] - 50)
    angry = data["text"].str.count("bad|late|never|delay|refund") - data["text"].str.count("good|fast|always")
    data["y_reg"] = noisy * 3 + 10
    data["y_second"] = noisy - x[:, 3] * 2
    data["y_positive"] = np.exp(noisy / 4) + 0.01
    data["y_count"] = rng.poisson(np.exp(noisy / 5))
    data["y_binary"] = (noisy > 0).astype(np.int64)
    data["y_multi"] = np.digitize(noisy, [-1.0, 1.0]).astype(np.int64)
    data["y_name"] = np.array(["low", "mid", "hôch"], dtype=object)[data["y_multi"]]
    data["y_gapped"] = np.array([-3, 7, 10**12])[data["y_multi"]]
    data["y_churn"] = np.where(spend + 0.5 * noisy > 0, "yes", "no")
    data["y_angry"] = (angry > 0).astype(np.int64)
    data["y_digit"] = (data["p0"] > data["p1"]).astype(np.int64) + (data["p2"] > 3).astype(np.int64)
    return data


def inputs():
    """The tables to score: new rows, the last of which hold what no model was trained on."""
    data = features(np.random.default_rng(3))
    hard = data.index[-40:]
    rng = np.random.default_rng(4)
    data.loc[hard[:10], FEATURES] = rng.choice(
        np.array([0.0, -0.0, 1e-40, 1e-30, 1000.0, -1000.0, 16777217.0], np.float32), (10, len(FEATURES))
    )
    data.loc[hard, "city"] = rng.choice(["Atlantis", "", "oslo", "Oslo ", "naïve \U0001f600", "None", "nan"], 40)
    data.loc[hard, "plan"] = rng.choice(["", "enterprise", "FREE", "free"], 40)
    data.loc[hard, "account"] = rng.choice([10**12 + 1, 10**12 + 99, -5, 2**53 + 1, 2**63 - 1, -(2**63)], 40)
    data.loc[hard, "age"] = rng.choice([0, -1, 10**12, 2**31], 40)
    data.loc[hard, "text"] = rng.choice(["", " ", "unseenword", "LATE bad GOOD", "東京 東京", "ß ẞ İ ﬁ", "a\tb\nc"], 40)
    split = {
        "numeric": data[FEATURES],
        "counts": data[[f"p{i}" for i in range(8)]],
        "mixed": data[["f0", "f1", "f2", "age", "account", "city", "plan", "active"]],
        "text": data[["text"]],
        "sequence": data[["user", "item", *FEATURES, *(f"token{i}" for i in range(16))]],
        "image": data[[f"pixel{i}" for i in range(64)]],
    }
    split["extreme"] = with_extremes(split["numeric"], rng)
    split["holes"] = with_holes(split["extreme"], FEATURES, rng)
    split["mixed_holes"] = with_holes(split["mixed"], ["f0", "f1", "f2"], rng)
    return {name: table.reset_index(drop=True) for name, table in split.items()}


def with_extremes(table, rng):
    """Infinities in 30 rows, and in ten more what is nearly as large: there the order of sums decides on infinity or NaN."""
    table = table.copy()
    large = np.array([1e30, -1e30, 3.4e38, 1.0], np.float32)
    table.loc[table.index[930:940], FEATURES] = rng.choice(large, (10, len(FEATURES)))
    infinite = rng.choice(np.array([np.inf, -np.inf, 1.0], np.float32), (30, len(FEATURES)), p=[0.1, 0.1, 0.8])
    table.loc[table.index[900:930], FEATURES] = infinite
    return table


def with_holes(table, columns, rng):
    """NaN in every tenth value, and in all of a row."""
    table = table.copy()
    holes = rng.random((len(table), len(columns))) < 0.1
    holes[5] = True
    table[columns] = table[columns].mask(holes)
    return table

"""Pipelines of scikit-learn: every common preprocessing, columns of many types with holes in them, text."""

from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import BooleanTensorType, FloatTensorType, Int64TensorType, StringTensorType
from sklearn import decomposition, feature_extraction, feature_selection, impute
from sklearn import preprocessing as pre
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.tree import DecisionTreeClassifier

from model import Model
from scikit import BARE, COUNTS, convert

MIXED = {
    "f0": FloatTensorType([None, 1]),
    "f1": FloatTensorType([None, 1]),
    "f2": FloatTensorType([None, 1]),
    "age": Int64TensorType([None, 1]),
    "account": Int64TensorType([None, 1]),
    "city": StringTensorType([None, 1]),
    "plan": StringTensorType([None, 1]),
    "active": BooleanTensorType([None, 1]),
}


def preprocessing(data):
    s = "scaling and transforming"
    logistic = lambda: LogisticRegression(max_iter=300)
    steps = {
        "standard_scaler": pre.StandardScaler(),
        "min_max_scaler": pre.MinMaxScaler(clip=True),
        "robust_scaler": pre.RobustScaler(),
        "max_abs_scaler": pre.MaxAbsScaler(),
        "normalizer_l1": pre.Normalizer("l1"),
        "normalizer_l2": pre.Normalizer("l2"),
        "normalizer_max": pre.Normalizer("max"),
        "binarizer": pre.Binarizer(threshold=0.3),
        "kbins_one_hot": pre.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
        "kbins_ordinal": pre.KBinsDiscretizer(4, encode="ordinal", strategy="uniform"),
        "power_transformer": pre.PowerTransformer(),
        "polynomial": pre.PolynomialFeatures(2),
        "pca": decomposition.PCA(4, random_state=0),
        "truncated_svd": decomposition.TruncatedSVD(4, random_state=0),
        "select_k_best": feature_selection.SelectKBest(k=4),
        "function_transformer": pre.FunctionTransformer(),
    }
    for name, step in steps.items():
        yield convert(name, s, make_pipeline(step, logistic()), data, "y_multi", **BARE)
    quantiles = make_pipeline(pre.QuantileTransformer(n_quantiles=20, random_state=0), Ridge())
    yield convert("quantile_transformer", s, quantiles, data, "y_reg")
    union = FeatureUnion([("scaled", pre.StandardScaler()), ("parts", decomposition.PCA(3, random_state=0))])
    yield convert("feature_union", s, make_pipeline(union, LinearRegression()), data, "y_reg")
    yield convert("scaler_alone", s, pre.StandardScaler(), data, None, table="extreme")
    yield convert("pca_alone_double", s, decomposition.PCA(3, random_state=0), data, None, double=True)
    one_hot = make_pipeline(pre.OneHotEncoder(handle_unknown="ignore", sparse_output=False), logistic())
    yield convert("one_hot_numbers", s, one_hot, data, "y_digit", columns=COUNTS[:3], **BARE, table="counts")

    m = "missing values"
    holes = {"holes": True, "table": "holes"}
    for strategy in ["mean", "median", "most_frequent"]:
        filled = make_pipeline(impute.SimpleImputer(strategy=strategy), pre.StandardScaler(), logistic())
        yield convert(f"imputer_{strategy}", m, filled, data, "y_binary", **BARE, **holes)
    filled = make_pipeline(impute.SimpleImputer(strategy="constant", fill_value=-1.0), Ridge())
    yield convert("imputer_constant", m, filled, data, "y_reg", **holes)


def of_columns(name, kind, estimator, data, target, columns, table, **how):
    """A model over a frame: an input of the graph for each column."""
    estimator.fit(data[columns], data[target])
    options = {id(estimator): {"zipmap": False}} if how.get("zipmap") is False else None
    onx = convert_sklearn(
        estimator,
        name,
        [(column, MIXED[column]) for column in columns],
        target_opset={"": how.get("opset", 18), "ai.onnx.ml": 3},
        options=options,
    )
    return Model(name, kind, "skl2onnx", onx, table, [[column] for column in columns], note=how.get("note", ""))


def columns(data):
    c = "columns of many types"
    numbers, words = ["f0", "f1", "f2"], ["city", "plan"]
    one_hot = lambda **k: pre.OneHotEncoder(handle_unknown="ignore", **k)
    filled = lambda: make_pipeline(impute.SimpleImputer(), pre.StandardScaler())
    encoded = lambda: ColumnTransformer([("n", filled(), numbers), ("w", one_hot(), words)])
    logistic = lambda: LogisticRegression(max_iter=300)
    used = numbers + words
    yield of_columns("churn_logistic", c, make_pipeline(encoded(), logistic()), data, "y_churn", used, "mixed_holes", **BARE)
    forest = RandomForestClassifier(15, max_depth=5, random_state=0)
    yield of_columns("churn_forest_zipmap", c, make_pipeline(encoded(), forest), data, "y_churn", used, "mixed_holes")
    boosting = HistGradientBoostingClassifier(max_iter=15, max_leaf_nodes=8, random_state=0)
    dense = ColumnTransformer([("n", "passthrough", numbers), ("w", one_hot(sparse_output=False), words)])
    yield of_columns("churn_hist_boosting", c, make_pipeline(dense, boosting), data, "y_churn", used, "mixed_holes", **BARE)
    ordinal = pre.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    mixed = ColumnTransformer([("n", filled(), numbers), ("w", ordinal, words)])
    tree = DecisionTreeClassifier(max_depth=5, random_state=0)
    yield of_columns("ordinal_tree", c, make_pipeline(mixed, tree), data, "y_churn", used, "mixed_holes", **BARE)
    ids = ColumnTransformer([("id", one_hot(), ["account"]), ("n", pre.StandardScaler(), ["age"])])
    accounts = ["account", "age"]
    yield of_columns("account_ids", c, make_pipeline(ids, logistic()), data, "y_churn", accounts, "mixed", **BARE)
    dropped = ColumnTransformer([("w", one_hot(drop="first"), words), ("n", pre.StandardScaler(), numbers)])
    yield of_columns("one_hot_drop_first", c, make_pipeline(dropped, logistic()), data, "y_churn", used, "mixed", **BARE)
    passed = ColumnTransformer([("w", one_hot(), ["plan"])], remainder="passthrough")
    remaining = ["plan", "f0", "f1", "age"]
    yield of_columns("passthrough", c, make_pipeline(passed, Ridge()), data, "y_reg", remaining, "mixed", opset=15)


def text(data):
    t = "text"
    f = feature_extraction.text
    vectorizers = {
        "count_words": (f.CountVectorizer(), MultinomialNB()),
        "tfidf_words": (f.TfidfVectorizer(), LogisticRegression()),
        "tfidf_bigrams": (f.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=80), LogisticRegression()),
        "tfidf_case_kept": (f.TfidfVectorizer(lowercase=False, norm="l1"), SGDClassifier(random_state=0)),
        "tfidf_characters": (f.TfidfVectorizer(analyzer="char", ngram_range=(2, 3), max_features=120), LogisticRegression()),
        "count_binary_pattern": (f.CountVectorizer(binary=True, token_pattern="[a-z]+"), LogisticRegression()),
    }
    for name, (vectorizer, classifier) in vectorizers.items():
        pipeline = make_pipeline(vectorizer, classifier)
        pipeline.fit(data["text"], data["y_angry"])
        onx = convert_sklearn(
            pipeline,
            name,
            [("text", StringTensorType([None, 1]))],
            target_opset={"": 18, "ai.onnx.ml": 3},
            options={id(pipeline): {"zipmap": False}},
        )
        yield Model(name, t, "skl2onnx", onx, "text", [["text"]])

"""scikit-learn's models as skl2onnx writes them: linear, neighbours, kernels, Bayes, trees, ensembles, clusters."""

import numpy as np
from skl2onnx import convert_sklearn
from skl2onnx.common import _container
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from sklearn import cluster, discriminant_analysis, ensemble, gaussian_process, linear_model, mixture
from sklearn import multiclass, multioutput, naive_bayes, neighbors, neural_network, svm, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cross_decomposition import PLSRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model import Model
from tables import FEATURES

COUNTS = [f"p{i}" for i in range(8)]
ENOUGH = 250


def integers_for_bools(add_node):
    """skl2onnx gives bools for nodes_missing_value_tracks_true, which newer versions of onnx refuse."""

    def patched(self, op_type, *args, **attributes):
        plain = {
            name: [int(v) for v in value] if name.endswith("missing_value_tracks_true") else value
            for name, value in attributes.items()
        }
        return add_node(self, op_type, *args, **plain)

    return patched


container = _container.ModelComponentContainer
container.add_node = integers_for_bools(container.add_node)


def convert(name, kind, estimator, data, target, **how):
    """Trains and exports. `how`: columns, table, double, opset, zipmap, options, rows, tolerance, note."""
    columns = how.get("columns", FEATURES)
    dtype = np.float64 if how.get("double") else np.float32
    rows = data.iloc[: how.get("rows", len(data))]
    x = rows[columns].to_numpy(dtype).copy()
    if how.get("holes"):
        x[np.random.default_rng(9).random(x.shape) < 0.1] = np.nan
    y = None if target is None else rows[target].to_numpy()
    estimator.fit(x, y) if y is not None else estimator.fit(x)
    tensor = (DoubleTensorType if how.get("double") else FloatTensorType)([None, len(columns)])
    options = dict(how.get("options") or {})
    if "zipmap" in how:
        options["zipmap"] = how["zipmap"]
    onx = convert_sklearn(
        estimator,
        name,
        [("X", tensor)],
        # A few converters of skl2onnx compare it with a number.
        target_opset=how.get("number") or {"": how.get("opset", 18), "ai.onnx.ml": how.get("ml", 3)},
        options={id(estimator): options} if options else None,
    )
    table = how.get("table", "numeric" if columns is FEATURES else "counts")
    return Model(name, kind, "skl2onnx", onx, table, [columns], how.get("tolerance", 1e-5), note=how.get("note", ""))


BARE = {"zipmap": False}


def linear(data):
    lm = linear_model
    logistic = lambda **k: lm.LogisticRegression(max_iter=500, **k)
    r = "linear regression"
    yield convert("linear_regression", r, lm.LinearRegression(), data, "y_reg", table="extreme")
    yield convert("linear_regression_double", r, lm.LinearRegression(), data, "y_reg", double=True)
    yield convert("linear_regression_two_targets", r, lm.LinearRegression(), data, ["y_reg", "y_second"])
    yield convert("ridge_opset12", r, lm.Ridge(), data, "y_reg", opset=12, ml=1)
    yield convert("lasso", r, lm.Lasso(alpha=0.1), data, "y_reg")
    yield convert("elastic_net", r, lm.ElasticNet(alpha=0.1), data, "y_reg", opset=15)
    yield convert("lars", r, lm.Lars(), data, "y_reg")
    yield convert("bayesian_ridge", r, lm.BayesianRidge(), data, "y_reg")
    yield convert("huber", r, lm.HuberRegressor(), data, "y_reg")
    yield convert("quantile_regressor", r, lm.QuantileRegressor(alpha=0.01), data, "y_reg")
    yield convert("ransac", r, lm.RANSACRegressor(random_state=0), data, "y_reg")
    yield convert("sgd_regressor", r, lm.SGDRegressor(random_state=0), data, "y_reg")
    yield convert("linear_svr", r, svm.LinearSVR(random_state=0, max_iter=5000), data, "y_reg")
    yield convert("pls", r, PLSRegression(2), data, "y_reg")
    g = "generalized linear regression"
    yield convert("poisson", g, lm.PoissonRegressor(), data, "y_count")
    yield convert("gamma", g, lm.GammaRegressor(), data, "y_positive")
    yield convert("tweedie", g, lm.TweedieRegressor(power=1.5, link="log"), data, "y_positive", double=True)
    c = "linear classification"
    yield convert("logistic_binary", c, logistic(), data, "y_binary", **BARE, table="extreme")
    yield convert("logistic_binary_zipmap", c, logistic(), data, "y_binary")
    yield convert("logistic_multi", c, logistic(), data, "y_multi", **BARE, opset=21)
    yield convert("logistic_names_zipmap", c, logistic(), data, "y_name")
    yield convert("logistic_gapped_labels", c, logistic(), data, "y_gapped", **BARE)
    yield convert("logistic_double", c, logistic(), data, "y_multi", **BARE, double=True)
    yield convert("logistic_zipmap_columns", c, logistic(), data, "y_multi", zipmap="columns")
    yield convert("logistic_raw_scores", c, logistic(), data, "y_binary", **BARE, options={"raw_scores": True})
    yield convert("sgd_log_loss", c, lm.SGDClassifier(loss="log_loss", random_state=0), data, "y_multi", **BARE)
    yield convert("sgd_hinge", c, lm.SGDClassifier(random_state=0), data, "y_binary", **BARE)
    yield convert("perceptron", c, lm.Perceptron(random_state=0), data, "y_multi", **BARE)
    yield convert("passive_aggressive", c, lm.PassiveAggressiveClassifier(random_state=0), data, "y_binary", **BARE)
    yield convert("ridge_classifier", c, lm.RidgeClassifier(), data, "y_multi", **BARE)
    yield convert("linear_svc_binary", c, svm.LinearSVC(random_state=0), data, "y_binary")
    yield convert("linear_svc_names", c, svm.LinearSVC(random_state=0), data, "y_name")
    yield convert("lda", c, discriminant_analysis.LinearDiscriminantAnalysis(), data, "y_multi", **BARE)
    yield convert("qda", c, discriminant_analysis.QuadraticDiscriminantAnalysis(), data, "y_multi", **BARE)


def kernels(data):
    k = "support vectors"
    few = {"rows": ENOUGH} | BARE
    for kernel in ["linear", "poly", "rbf", "sigmoid"]:
        yield convert(f"svc_{kernel}", k, svm.SVC(kernel=kernel, gamma=0.1), data, "y_multi", **few)
        yield convert(f"svr_{kernel}", k, svm.SVR(kernel=kernel, gamma=0.1), data, "y_reg", rows=ENOUGH)
    platt = svm.SVC(probability=True, random_state=0)
    yield convert("svc_probability_binary", k, platt, data, "y_binary", **few)
    platt = svm.SVC(probability=True, random_state=0)
    yield convert("svc_probability_names_zipmap", k, platt, data, "y_name", rows=ENOUGH)
    yield convert("svc_one_against_one", k, svm.SVC(decision_function_shape="ovo"), data, "y_multi", **few)
    nu = svm.NuSVC(nu=0.3, probability=True, random_state=0)
    yield convert("nu_svc", k, nu, data, "y_binary", **few)
    yield convert("nu_svr", k, svm.NuSVR(), data, "y_reg", rows=ENOUGH)
    yield convert("one_class_svm", k, svm.OneClassSVM(nu=0.1), data, None, rows=ENOUGH)
    gp = gaussian_process
    kernel = gp.kernels.RBF(2.0) + gp.kernels.WhiteKernel(0.5)
    process = gp.GaussianProcessRegressor(kernel, optimizer=None)
    yield convert("gaussian_process", "Gaussian process", process, data, "y_second", rows=100, double=True)


def bayes(data):
    b = "naive Bayes"
    counts = {"columns": COUNTS} | BARE
    yield convert("gaussian_nb", b, naive_bayes.GaussianNB(), data, "y_multi", **BARE)
    yield convert("bernoulli_nb", b, naive_bayes.BernoulliNB(binarize=1.0), data, "y_digit", **counts)
    yield convert("multinomial_nb", b, naive_bayes.MultinomialNB(), data, "y_digit", **counts)
    yield convert("complement_nb", b, naive_bayes.ComplementNB(), data, "y_digit", **counts)
    n = "nearest neighbours"
    yield convert("knn_classifier", n, neighbors.KNeighborsClassifier(5), data, "y_multi", rows=ENOUGH, **BARE)
    weighted = neighbors.KNeighborsRegressor(4, weights="distance")
    yield convert("knn_regressor", n, weighted, data, "y_reg", rows=ENOUGH)
    o = "clusters and outliers"
    yield convert("kmeans", o, cluster.KMeans(4, random_state=0, n_init=2), data, None)
    yield convert("minibatch_kmeans", o, cluster.MiniBatchKMeans(4, random_state=0, n_init=2), data, None)
    yield convert("gaussian_mixture", o, mixture.GaussianMixture(3, random_state=0), data, None, double=True, number=18)
    yield convert("isolation_forest", o, ensemble.IsolationForest(n_estimators=15, max_samples=64, random_state=0), data, None)
    lof = neighbors.LocalOutlierFactor(10, novelty=True)
    yield convert("local_outlier_factor", o, lof, data, None, rows=ENOUGH)
    p = "multilayer perceptron"
    mlp = neural_network.MLPClassifier((24, 12), random_state=0, max_iter=60)
    yield convert("mlp_classifier", p, mlp, data, "y_name", **BARE, table="extreme")
    mlp = neural_network.MLPClassifier((16,), activation="tanh", random_state=0, max_iter=60)
    yield convert("mlp_classifier_binary", p, mlp, data, "y_binary", **BARE)
    mlp = neural_network.MLPRegressor(hidden_layer_sizes=(24, 12), activation="logistic", random_state=0, max_iter=60)
    yield convert("mlp_regressor", p, mlp, data, "y_reg")


def trees(data):
    t, f, b = "decision tree", "forest", "gradient boosting (scikit-learn)"
    e = ensemble
    wide = {"table": "extreme"}
    yield convert("tree_classifier", t, tree.DecisionTreeClassifier(max_depth=6, random_state=0), data, "y_multi", **BARE, **wide)
    yield convert("tree_names_zipmap", t, tree.DecisionTreeClassifier(max_depth=5, random_state=0), data, "y_name")
    yield convert("tree_regressor", t, tree.DecisionTreeRegressor(max_depth=6, random_state=0), data, "y_reg", **wide)
    two = ["y_reg", "y_second"]
    yield convert("tree_two_targets", t, tree.DecisionTreeRegressor(max_depth=5, random_state=0), data, two)
    yield convert("extra_tree", t, tree.ExtraTreeClassifier(max_depth=5, random_state=0), data, "y_binary", **BARE)
    small = {"n_estimators": 20, "max_depth": 5, "random_state": 0}
    yield convert("forest_classifier", f, e.RandomForestClassifier(**small), data, "y_multi", **BARE, **wide)
    yield convert("forest_names_zipmap", f, e.RandomForestClassifier(**small), data, "y_name")
    yield convert("forest_regressor", f, e.RandomForestRegressor(**small), data, "y_reg", **wide)
    yield convert("forest_two_targets", f, e.RandomForestRegressor(**small), data, two)
    yield convert("extra_trees_classifier", f, e.ExtraTreesClassifier(**small), data, "y_binary", **BARE)
    yield convert("extra_trees_regressor", f, e.ExtraTreesRegressor(**small), data, "y_reg")
    boost = {"n_estimators": 20, "max_depth": 3, "random_state": 0}
    yield convert("boosting_binary", b, e.GradientBoostingClassifier(**boost), data, "y_binary", **BARE, **wide)
    yield convert("boosting_multi", b, e.GradientBoostingClassifier(**boost), data, "y_name", **BARE)
    yield convert("boosting_regressor", b, e.GradientBoostingRegressor(**boost), data, "y_reg", **wide)
    hist = {"max_iter": 20, "max_leaf_nodes": 15, "random_state": 0}
    holes = {"holes": True, "table": "holes"}
    yield convert("hist_boosting_binary", b, e.HistGradientBoostingClassifier(**hist), data, "y_binary", **BARE, **holes)
    yield convert("hist_boosting_multi", b, e.HistGradientBoostingClassifier(**hist), data, "y_multi", **BARE, **holes)
    yield convert("hist_boosting_regressor", b, e.HistGradientBoostingRegressor(**hist), data, "y_reg", **holes)
    yield convert("hist_boosting_poisson", b, e.HistGradientBoostingRegressor(loss="poisson", **hist), data, "y_count", **holes)


def ensembles(data):
    m, e = "ensemble of models", ensemble
    logistic = lambda: linear_model.LogisticRegression()
    stump = lambda **k: tree.DecisionTreeClassifier(max_depth=3, random_state=0, **k)
    leaf = lambda: tree.DecisionTreeRegressor(max_depth=3, random_state=0)
    yield convert("ada_boost_classifier", m, e.AdaBoostClassifier(stump(), n_estimators=10, random_state=0), data, "y_multi", **BARE)
    yield convert("ada_boost_regressor", m, e.AdaBoostRegressor(leaf(), n_estimators=10, random_state=0), data, "y_reg")
    yield convert("bagging_classifier", m, e.BaggingClassifier(stump(), 8, max_features=0.7, random_state=0), data, "y_multi", **BARE)
    yield convert("bagging_regressor", m, e.BaggingRegressor(leaf(), 8, random_state=0), data, "y_reg")
    members = lambda: [("a", logistic()), ("b", stump()), ("c", naive_bayes.GaussianNB())]
    yield convert("voting_soft", m, e.VotingClassifier(members(), voting="soft", weights=np.array([1, 2, 1]), flatten_transform=False), data, "y_name", **BARE)
    yield convert("voting_hard", m, e.VotingClassifier(members(), flatten_transform=False), data, "y_multi", **BARE)
    voters = [("a", linear_model.Ridge()), ("b", leaf())]
    yield convert("voting_regressor", m, e.VotingRegressor(voters), data, "y_reg")
    stack = e.StackingClassifier(members(), final_estimator=logistic(), cv=3)
    yield convert("stacking_classifier", m, stack, data, "y_multi", **BARE)
    voters = [("a", linear_model.Ridge()), ("b", leaf())]
    yield convert("stacking_regressor", m, e.StackingRegressor(voters, linear_model.Ridge(), cv=3), data, "y_reg")
    linear_svc = lambda: svm.LinearSVC(random_state=0)
    yield convert("calibrated_sigmoid", m, CalibratedClassifierCV(linear_svc(), cv=2), data, "y_multi", **BARE)
    isotonic = CalibratedClassifierCV(stump(), method="isotonic", cv=2)
    yield convert("calibrated_isotonic", m, isotonic, data, "y_binary", **BARE)
    yield convert("one_vs_rest", m, multiclass.OneVsRestClassifier(logistic()), data, "y_multi", **BARE)
    yield convert("one_vs_one", m, multiclass.OneVsOneClassifier(logistic()), data, "y_multi", **BARE)
    many = multioutput.MultiOutputClassifier(stump())
    yield convert("multi_output_classifier", m, many, data, ["y_binary", "y_multi"], **BARE)
    yield convert("multi_output_regressor", m, multioutput.MultiOutputRegressor(leaf()), data, ["y_reg", "y_second"])
    scaled = make_pipeline(StandardScaler(), e.RandomForestClassifier(10, max_depth=4, random_state=0))
    yield convert("scaler_forest", m, scaled, data, "y_multi", **BARE)

"""Each framework's model, once converted and registered, answers as the framework itself does."""

import importlib.util
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import mlflow
import numpy as np
import sample_models
from catboost import CatBoostRegressor
from command import CommandTest, assert_equal, scored
from lightgbm import Dataset, LGBMRegressor
from lightgbm import train as train_lightgbm
from sample_models import classes, classified, customers, quarters, sample
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from xgboost import DMatrix, XGBClassifier, XGBRegressor
from xgboost import train as train_xgboost

HERE = Path(__file__).resolve().parent
ROWS = quarters("abcd", 7)
COUNTS = np.abs(np.rint(ROWS["a"] * 2 + ROWS["b"])).to_numpy() + 1
XGBOOST = {"max_depth": 3, "nthread": 1}
LIGHTGBM = {"num_leaves": 7, "num_threads": 1, "verbose": -1}


class Frameworks(CommandTest):
    def check(self, name: str, made, rows=None):
        """Converts the sample, and compares all its rows, most of which the command has not seen."""
        report = self.convert(made.log(name), "--json").report
        assert_equal(scored(report["registered"], made.rows if rows is None else rows), made.answers())
        return report

    def regressor(self, name: str, flavor, model, predict, output="variable", **saving):
        return self.check(name, sample(flavor, model, ROWS, lambda: {output: column(predict(ROWS))}, **saving))

    def test_a_pipeline_of_scaled_numbers_and_one_hot_strings(self):
        report = self.check("scikit", sample_models.scikit())
        self.assertEqual(report["outputs"], ["label", "probabilities"])

    def test_columns_whose_names_are_no_words_of_onnx(self):
        rows = customers().rename(columns={"income": "income in €", "segment": "segment-1"})
        steps = [
            ("number", StandardScaler(), ["age", "income in €"]),
            ("text", OneHotEncoder(handle_unknown="ignore"), ["segment-1"]),
        ]
        model = make_pipeline(ColumnTransformer(steps), LogisticRegression(max_iter=1000))
        model.fit(rows, np.where(rows["income in €"] > 50_000, "left", "stayed"))
        answers = classified(model, rows)
        self.check("names", sample(mlflow.sklearn, model, rows, answers, serialization_format="cloudpickle"))

    def test_a_classifier_of_xgboost_and_that_volley_needs_no_conversion(self):
        report = self.check("xgboost", sample_models.xgboost())
        self.assertIn("as they are", report["note"])

    def test_a_classifier_of_lightgbm_that_was_logged_as_skops(self):
        report = self.check("lightgbm", sample_models.lightgbm())
        self.assertIsNone(report["note"])

    def test_a_classifier_of_catboost(self):
        self.check("catboost", sample_models.catboost())

    def test_boosters_whose_sum_has_a_function_behind_it(self):
        for objective in ["reg:squarederror", "reg:logistic", "count:poisson", "rank:pairwise"]:
            labels = COUNTS / COUNTS.max() if objective == "reg:logistic" else COUNTS
            data = DMatrix(ROWS, label=labels % 8 if objective == "rank:pairwise" else labels)
            booster = train_xgboost(XGBOOST | {"objective": objective}, data, 10)
            with self.subTest(objective):
                name = objective.replace(":", "_")
                self.regressor(name, mlflow.xgboost, booster, lambda rows: booster.predict(DMatrix(rows)))
        for objective in ["poisson", "mape", "cross_entropy"]:
            labels = COUNTS / COUNTS.max() if objective == "cross_entropy" else COUNTS
            booster = train_lightgbm(LIGHTGBM | {"objective": objective}, Dataset(ROWS, label=labels), 10)
            with self.subTest(objective):
                report = self.regressor(objective, mlflow.lightgbm, booster, booster.predict)
                self.assertIn("as it is", report["note"])

    def test_labels_and_probabilities_of_boosters_that_have_no_classes(self):
        settings = XGBOOST | {"objective": "multi:softmax", "num_class": 3}
        booster = train_xgboost(settings, DMatrix(ROWS, label=classes(ROWS, 3)), 10)
        made = sample(mlflow.xgboost, booster, ROWS, lambda: {"label": booster.predict(DMatrix(ROWS))})
        registered = self.convert(made.log("softmax"), "--json").report["registered"]
        given = scored(registered, ROWS)
        self.assertEqual(given.pop("probabilities").shape, (len(ROWS), 3))
        assert_equal(given, made.answers())

    def test_regressors_in_the_manner_of_scikit_learn(self):
        few = {"n_estimators": 10, "n_jobs": 1, "random_state": 0}
        xgboost = XGBRegressor(**few, max_depth=3).fit(ROWS, COUNTS)
        lightgbm = LGBMRegressor(**few, num_leaves=7, verbose=-1).fit(ROWS, COUNTS)
        self.regressor("xgb_regressor", mlflow.xgboost, xgboost, xgboost.predict)
        self.regressor("lgbm_regressor", mlflow.lightgbm, lightgbm, lightgbm.predict)

    def test_a_poisson_regressor_of_catboost_gives_numbers_not_their_logarithms(self):
        settings = {"iterations": 10, "depth": 3, "verbose": False, "allow_writing_files": False}
        model = CatBoostRegressor(loss_function="Poisson", **settings).fit(ROWS, COUNTS)
        self.regressor("cat_poisson", mlflow.catboost, model, model.predict, output="predictions")

    def test_gradient_boosting_on_histograms(self):
        model = HistGradientBoostingRegressor(loss="poisson", max_iter=10).fit(ROWS, COUNTS)
        self.regressor("histograms", mlflow.sklearn, model, model.predict, serialization_format="cloudpickle")

    def test_missing_numbers_take_the_way_through_a_forest_that_they_take_in_scikit_learn(self):
        model = RandomForestClassifier(15, max_depth=5, random_state=0).fit(ROWS, classes(ROWS, 2))
        holes = ROWS.mask(np.random.default_rng(1).random(ROWS.shape) < 0.2)
        made = sample(mlflow.sklearn, model, holes, classified(model, holes), serialization_format="cloudpickle")
        self.check("forest", made)

    def test_a_classifier_without_probabilities_gives_its_label_alone(self):
        model = SGDClassifier(random_state=0).fit(ROWS, classes(ROWS, 3))
        answers = lambda: {"label": model.predict(ROWS)}
        self.check("line", sample(mlflow.sklearn, model, ROWS, answers, serialization_format="cloudpickle"))

    def test_a_vote_of_classifiers(self):
        voters = [("line", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=3))]
        model = VotingClassifier(voters, voting="soft").fit(ROWS, classes(ROWS, 2))
        made = sample(mlflow.sklearn, model, ROWS, classified(model, ROWS), serialization_format="cloudpickle")
        self.check("vote", made)

    def test_boosted_trees_of_another_library_at_the_end_of_a_pipeline(self):
        rows = customers()
        columns = ColumnTransformer([("text", OneHotEncoder(), ["segment"])], remainder="passthrough")
        trees = LGBMRegressor(n_estimators=10, num_leaves=5, n_jobs=1, verbose=-1)
        model = make_pipeline(columns, trees).fit(rows, rows["age"] * (rows["segment"] == "retail"))
        answers = lambda: {"variable": column(model.predict(rows))}
        self.check("mixed", sample(mlflow.sklearn, model, rows, answers, serialization_format="cloudpickle"))

    def test_a_scaler_before_trees_does_not_round_rows_to_the_other_side_of_a_threshold(self):
        trees = XGBClassifier(n_estimators=10, n_jobs=1, random_state=0)
        model = make_pipeline(StandardScaler(), trees).fit(ROWS, classes(ROWS, 3))
        made = sample(mlflow.sklearn, model, ROWS, classified(model, ROWS), serialization_format="cloudpickle")
        self.check("scaled", made)


class LargeFrameworks(CommandTest):
    """Those that are too large to be installed for every test. Each in processes of its own."""

    def check(self, packages: tuple, function: str, tensor: str):
        absent = [package for package in packages if importlib.util.find_spec(package) is None]
        if absent:
            self.skipTest(f"{', '.join(absent)} is not installed: see requirements-large.txt")
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "answers.npz")
            reference = process(str(HERE / "sample_models.py"), function, function, path).split()[-1]
            process("-m", "volley_convert", reference)
            answers = dict(np.load(path))
        registered = self.tags(reference)["volley.converted_to"]
        rows = answers.pop("rows")
        assert_equal(scored(registered, rows), answers)
        inputs = mlflow.models.get_model_info(registered).signature.inputs
        self.assertEqual([spec.name for spec in inputs.inputs], [tensor])

    def test_a_perceptron_of_pytorch_over_a_tensor_without_a_name(self):
        self.check(("torch", "onnxscript"), "pytorch", None)

    def test_a_perceptron_of_keras_over_a_tensor_with_a_name(self):
        self.check(("tensorflow", "tf2onnx"), "keras", "features")


def process(*arguments: str) -> str:
    paths = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def column(values) -> np.ndarray:
    return np.asarray(values).reshape(-1, 1)


if __name__ == "__main__":
    unittest.main()

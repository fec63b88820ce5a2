"""What is registered: the signature, the tags on both versions, the example, the names."""

import json
import unittest

import mlflow
import numpy as np
import pandas as pd
import sample_models
from command import CommandTest, run
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sample_models import classes, quarters, sample
from sklearn.linear_model import LogisticRegression

ROWS = quarters("abcd", 8)


def logistic(**saving):
    model = LogisticRegression().fit(ROWS, classes(ROWS, 3))
    return sample(mlflow.sklearn, model, ROWS, dict, **saving)


class Registration(CommandTest):
    def test_the_inputs_stay_and_the_outputs_are_those_of_the_graph(self):
        made = sample_models.scikit().log("signed")
        before = mlflow.models.get_model_info(made).signature
        after = mlflow.models.get_model_info(self.converted(made)).signature
        self.assertEqual(after.inputs, before.inputs)
        outputs = [(output["name"], output["type"], output.get("items")) for output in after.outputs.to_dict()]
        self.assertEqual(outputs, [("label", "string", None), ("probabilities", "array", {"type": "float"})])

    def test_a_tensor_stays_a_tensor(self):
        signature = sample_models.tensor_of(4, dtype="float64")
        model = LogisticRegression().fit(ROWS.to_numpy(), classes(ROWS, 3))
        made = sample(mlflow.sklearn, model, ROWS.to_numpy(), dict, signature).log("tensor")
        after = mlflow.models.get_model_info(self.converted(made)).signature
        self.assertEqual(after.inputs, signature.inputs)
        outputs = [(output.name, output.shape) for output in after.outputs]
        self.assertEqual(outputs, [("label", (-1,)), ("probabilities", (-1, 3))])

    def test_the_versions_tell_of_each_other(self):
        made = logistic().log("told")
        registered = self.converted(made)
        tags = self.tags(registered)
        identity = mlflow.models.get_model_info(made).model_id
        wanted = {"converted_from": made, "source_model_id": identity, "source_flavor": "sklearn", "parity_rows": "245"}
        self.assertEqual(tags, tags | {f"volley.{key}": value for key, value in wanted.items()})
        self.assertLess(float(tags["volley.parity_max_abs"]), 1e-6)
        self.assertEqual(self.tags(made)["volley.converted_to"], registered)

    def test_the_input_example_is_kept(self):
        registered = self.converted(logistic().log("example"))
        info = mlflow.models.Model.load(registered)
        pd.testing.assert_frame_equal(info.load_input_example(registered), ROWS[:5])

    def test_it_lies_in_the_experiment_of_its_source(self):
        mlflow.set_experiment("of the source")
        try:
            made = logistic().log("placed")
        finally:
            mlflow.set_experiment("Default")
        home = lambda uri: self.client.get_logged_model(mlflow.models.get_model_info(uri).model_id).experiment_id
        self.assertEqual(home(self.converted(made)), home(made))

    def test_an_alias_points_to_what_was_converted(self):
        made = logistic().log("aliased")
        registered = self.converted(made, "--alias", "champion")
        found = self.client.get_model_version_by_alias("aliased-onnx", "champion")
        self.assertEqual(f"models:/aliased-onnx/{found.version}", registered)

    def test_the_same_name_gets_a_further_version(self):
        self.assertEqual(self.converted(logistic().log("same"), "--as", "same"), "models:/same/2")

    def test_a_dry_run_registers_nothing(self):
        made = logistic().log("dry")
        report = self.convert(made, "--dry-run", "--json").report
        self.assertEqual((report["registered"], report["name"], report["parity"]["rows"]), (None, "dry-onnx", 245))
        self.assertEqual((self.versions("dry-onnx"), self.tags(made)), (0, {}))

    def test_every_form_of_a_reference_is_pinned_to_a_version(self):
        made = [logistic().log("forms"), logistic().log("forms")]
        self.client.set_registered_model_alias("forms", "first", 1)
        forms = {"models:/forms@first": made[0], "models:/forms/latest": made[1], made[0]: made[0]}
        for form, version in forms.items():
            with self.subTest(form):
                self.assertEqual(self.convert(form, "--dry-run", "--json").report["source"], version)

    def test_a_model_without_a_version_is_converted_under_a_name_of_ones_choice(self):
        place = f"models:/{mlflow.models.get_model_info(logistic().log('loose')).model_id}"
        self.refused("name_needed", place, status=2)
        registered = self.converted(place, "--as", "found")
        self.assertEqual(self.tags(registered)["volley.converted_from"], place)

    def test_what_is_told_fits_on_a_few_lines(self):
        said = self.convert(sample_models.xgboost().log("lines"))
        lines = said.out.splitlines()
        self.assertEqual(lines[0], "models:/lines/1 (xgboost) -> models:/lines-onnx/1")
        self.assertEqual(lines[1], "outputs: label, probabilities")
        self.assertRegex(lines[2], r"^checked on 485 rows: numbers within \d")
        self.assertRegex(lines[3], "^note: Volley scores")

    def test_an_error_is_an_object_too_where_json_is_wanted(self):
        said = run("models:/nobody/1", "--json")
        self.assertEqual(json.loads(said.out)["error"]["code"], "unknown_model")
        self.assertEqual((said.status, said.code), (1, "unknown_model"))

    def test_an_optional_column_stays_optional(self):
        specs = [ColSpec(DataType.double, name, required=name != "d") for name in "abcd"]
        signature = ModelSignature(Schema(specs))
        made = logistic(signature=signature, example=0).log("optional")
        self.assertEqual(mlflow.models.get_model_info(self.converted(made)).signature.inputs, signature.inputs)

    def test_columns_of_integers_and_booleans_go_into_one_matrix(self):
        rows = pd.DataFrame({"n": np.arange(40), "yes": np.arange(40) % 3 == 0, "x": np.arange(40) / 4})
        model = LogisticRegression().fit(rows, np.arange(40) % 2)
        made = sample(mlflow.sklearn, model, rows, dict).log("kinds")
        graph = mlflow.onnx.load_model(self.converted(made)).graph
        self.assertEqual([port.name for port in graph.input], ["input"])

    def converted(self, *arguments: str) -> str:
        return self.convert(*arguments, "--json").report["registered"]


if __name__ == "__main__":
    unittest.main()

"""Which rows are made up, and when two answers are the same."""

import unittest

import numpy as np
import pandas as pd
import command  # noqa: F401, which makes the package importable
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sample_models import tensor_of

from volley_convert import parity
from volley_convert.errors import ConvertError
from volley_convert.inputs import inputs_of


def columns(**kinds):
    return inputs_of(ModelSignature(Schema([ColSpec(kind, name) for name, kind in kinds.items()])))


class Rows(unittest.TestCase):
    def test_rows_are_made_up_near_the_example_and_exact_in_32_bits(self):
        inputs = columns(x=DataType.double, n=DataType.long, yes=DataType.boolean)
        example = pd.DataFrame({"x": [1000.1, 1001.7], "n": [5, 9], "yes": [True, False]})
        given, drawn, holed = (check.rows.frame for check in parity.rows_of(inputs, example, None))
        self.assertEqual(given["x"].tolist(), [1000.1, 1001.7])
        self.assertTrue(drawn["x"].between(980, 1020).all() and drawn["x"].nunique() > 200)
        np.testing.assert_array_equal(drawn["x"], drawn["x"].astype("f4").astype("f8"))
        self.assertEqual([str(kind) for kind in drawn.dtypes], ["float64", "int64", "bool"])
        self.assertTrue(holed["x"].isna().any() and not holed[["n", "yes"]].isna().any(axis=None))

    def test_the_same_rows_are_made_up_every_time(self):
        inputs = columns(x=DataType.double)
        first, second = (parity.rows_of(inputs, None, None)[0].rows.frame for _ in range(2))
        pd.testing.assert_frame_equal(first, second)

    def test_a_large_example_and_rows_of_a_file_stand_alone(self):
        inputs = columns(x=DataType.double)
        many = pd.DataFrame({"x": np.arange(1000.0)})
        self.assertEqual([len(check.rows) for check in parity.rows_of(inputs, many, None)], [1000])
        self.assertEqual([len(check.rows) for check in parity.rows_of(inputs, None, many[:3])], [3])

    def test_integers_of_a_tensor_stay_within_the_example(self):
        inputs = inputs_of(tensor_of(3, dtype="int64"))
        drawn = parity.rows_of(inputs, np.array([[2, 3, 7]]), None)[1].rows.original()
        self.assertEqual((drawn.min(), drawn.max(), drawn.shape), (2, 7, (parity.DRAWN, 3)))

    def test_rows_of_a_file_are_lists_for_a_tensor(self):
        inputs = inputs_of(tensor_of(2))
        rows = inputs.read(pd.DataFrame({"v": [[1.0, 2.0], [3.0, 4.0]]})).original()
        np.testing.assert_array_equal(rows, np.array([[1, 2], [3, 4]], "f4"))

    def test_texts_that_are_missing_are_not_checked(self):
        inputs = columns(word=DataType.string)
        (check,) = parity.rows_of(inputs, pd.DataFrame({"word": ["a", None]}), None)
        self.assertEqual(check.rows.frame["word"].tolist(), ["a"])


class Answers(unittest.TestCase):
    def differ(self, wanted, given):
        with self.assertRaises(ConvertError) as refused:
            parity.difference("y", np.array(wanted), np.array(given), 1e-5)
        self.assertEqual(refused.exception.code, "parity")

    def test_numbers_are_compared_absolutely_and_relatively(self):
        largest = parity.difference("y", np.array([1000.0, 0.0]), np.array([1000.009, 0.000009]), 1e-5)
        self.assertAlmostEqual(largest, 0.009)
        self.differ([1000.0], [1000.02])
        self.differ([0.0], [0.00002])

    def test_nothing_stands_for_a_number_that_is_none(self):
        self.assertEqual(parity.difference("y", np.array([np.nan, np.inf]), np.array([np.nan, np.inf]), 1e-5), 0.0)
        self.differ([np.nan], [1.0])
        self.differ([1.0], [np.nan])
        self.differ([np.inf], [3e38])

    def test_labels_are_equal_or_not(self):
        names = np.array(["a", "b"], object)
        self.assertEqual(parity.difference("label", names, names.copy(), 1e-5), 0.0)
        self.differ(names, np.array(["a", "c"], object))
        self.differ([0, 1], [0, 2])
        self.differ([0, 1, 2], [0, 1])

    def test_of_rows_made_up_those_where_two_classes_are_as_likely_are_left_out(self):
        rows = columns(x=DataType.double).read(pd.DataFrame({"x": [1.0, 2.0, 3.0]}))
        probabilities = np.array([[0.5, 0.5], [0.4, 0.6], [np.nan, np.nan]])
        answers = {"label": np.array([0, 1, 0]), "probabilities": probabilities}
        kept, wanted = parity.decided(rows, answers, 1e-5)
        self.assertEqual((kept.frame["x"].tolist(), wanted["label"].tolist()), ([2.0], [1]))


if __name__ == "__main__":
    unittest.main()

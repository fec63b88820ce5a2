"""The cases that `make_spark.py` puts to Spark: a table, a call in Spark, the same in Volley, and what is expected.

`equal` is what works in Spark: Volley must give the same scores. `better` is what fails in Spark, or silently gives
something worse: there `expect` is what Volley declares.
"""

import pyarrow.parquet as pq
from spark_expected import MODELS, Alone, Code, Scores
from spark_tables import lists, table, wide

CASES = []
ABCD = list("abcd")
DOUBLES = "a DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE"
QUARTERS = table(DOUBLES, (1.0, 2.0, 3.0, 4.0), (-0.5, 0.25, 10.0, 2.0), (0.0, 0.0, 0.0, 0.0))
VECTORS = "i BIGINT, bo BOOLEAN, dd DOUBLE"
CHURN = "age BIGINT, income FLOAT, segment STRING, active BOOLEAN"
IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
DIABETES = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
CANCER = pq.read_schema(MODELS / "cancer_xgboost_json" / "input.parquet").names
SCORES = Scores(*ABCD)


def case(name, model, rows, spark, volley, expect=None, result_type=None, api=None):
    """`rows` is one table, or one for each of the two dialects; `api` a call that the DataFrame API makes."""
    tables = {"table": rows} if isinstance(rows, str) else dict(zip(("table_spark", "table_volley"), rows))
    call = {"spark_api": api} if api else {"spark": spark}
    typed = {"spark_result_type": result_type} if result_type else {}
    outcome = {"meaning": "better", "expect": expect} if expect else {"meaning": "equal"}
    CASES.append({"name": name, "model": model, **tables, **call, **typed, "volley": volley, **outcome})


def by_name(names):
    return f"f(struct({', '.join(names)}))", f"predict('$model', {fields(names)})"


def by_position(names):
    listed = ", ".join(names)
    return f"f({listed})", f"predict('$model', {listed})"


def fields(names):
    return "{" + ", ".join(f"'{name}': {name}" for name in names) + "}"


def linear(name, rows, calls, **more):
    case(name, "linear_onnx_double", rows, *calls, **more)


# Which column feeds which input.

EXTRA = table(f"{DOUBLES}, e DOUBLE", (1.0, 2.0, 3.0, 4.0, 5.0), (0.5, 0.5, 0.5, 0.5, 100.0))

linear("struct_by_name", QUARTERS, by_name(ABCD))
linear("struct_in_another_order", QUARTERS, by_name(["d", "b", "a", "c"]))
NAMED_STRUCT = "named_struct('a', a, 'b', b, 'c', c, 'd', d)"
linear("named_struct", QUARTERS, (f"f({NAMED_STRUCT})", f"predict('$model', {NAMED_STRUCT})"))
linear(
    "struct_of_expressions",
    QUARTERS,
    (
        "f(struct(a + 1 AS a, b * 2 AS b, c - d AS c, coalesce(d, 0) AS d))",
        "predict('$model', {'a': a + 1, 'b': b * 2, 'c': c - d, 'd': coalesce(d, 0)})",
    ),
)
linear("struct_with_an_extra_field", EXTRA, by_name([*ABCD, "e"]))
linear("struct_without_a_required_field", QUARTERS, by_name(["a", "b", "d"]), expect=Code("missing_input"))
linear(
    "struct_fields_in_another_case",
    QUARTERS,
    ("f(struct(a AS A, b AS B, c AS C, d AS D))", "predict('$model', {'A': a, 'B': b, 'C': c, 'D': d})"),
    expect=SCORES,
)
case(
    "struct_with_two_fields_that_differ_only_in_case",
    "multi1d_onnx",
    table(VECTORS, (1, True, 0.5), (2, False, 0.25)),
    "f(named_struct('i', i, 'Bo', bo, 'BO', NOT bo, 'dd', dd))",
    "predict('$model', {'i': i, 'Bo': bo, 'BO': NOT bo, 'dd': dd})",
    expect=Code("ambiguous_column"),
)
linear("positional", QUARTERS, by_position(ABCD))
linear("positional_goes_by_order_and_not_by_name", QUARTERS, by_position(["d", "c", "b", "a"]))
linear("positional_with_too_few", QUARTERS, by_position(["a", "b", "c"]), expect=Code("missing_input"))
linear("positional_with_one_too_many", EXTRA, by_position([*ABCD, "e"]), expect=Code("extra_argument"))
linear("positional_with_a_literal", QUARTERS, by_position(["a", "b", "c", "2.5"]))
linear("positional_with_an_integer_literal", QUARTERS, by_position(["a", "b", "c", "7"]))
linear("no_inputs", QUARTERS, (None, "predict('$model')"), api="f()")
linear("no_inputs_beside_columns_that_no_input_needs", EXTRA, (None, "predict('$model')"), api="f()")
UPPER = table("A DOUBLE, B DOUBLE, C DOUBLE, D DOUBLE", (1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0))
QUOTED = UPPER.replace("(id, A, B, C, D)", '(id, "A", "B", "C", "D")')
linear("no_inputs_from_columns_in_another_case", (UPPER, QUOTED), (None, "predict('$model')"), api="f()")
TWICE = table("a DOUBLE, A DOUBLE, b DOUBLE, c DOUBLE, d DOUBLE", (1.0, 50.0, 2.0, 3.0, 4.0))
linear(
    "no_inputs_from_columns_that_differ_only_in_case",
    (TWICE, TWICE.replace("a, A,", 'a, "A",')),
    (None, "predict('$model')"),
    api="f()",
    expect=SCORES,
)
linear("no_inputs_in_sql", QUARTERS, ("f()", "predict('$model')"), expect=SCORES)
linear(
    "no_inputs_and_a_column_is_missing",
    table("a DOUBLE, b DOUBLE, c DOUBLE", (1.0, 2.0, 3.0)),
    (None, "predict('$model')"),
    api="f()",
    expect=Code("missing_input"),
)

case("optional_given_in_the_struct", "linear_onnx_optional", QUARTERS, *by_name(ABCD))
case(
    "optional_left_out_of_the_struct",
    "linear_onnx_optional",
    QUARTERS,
    *by_name(["a", "b", "c"]),
    expect=Code("missing_input"),
)
case(
    "optional_left_out_by_position",
    "linear_onnx_optional",
    QUARTERS,
    *by_position(["a", "b", "c"]),
    expect=Code("missing_input"),
)
case("optional_and_no_inputs", "linear_onnx_optional", QUARTERS, None, "predict('$model')", api="f()", expect=SCORES)
case(
    "optional_that_is_null",
    "linear_onnx_optional",
    table(DOUBLES, (1.0, 2.0, 3.0, None), (1.0, 2.0, 3.0, 4.0)),
    *by_name(ABCD),
)

PATIENTS = wide("diabetes_onnx_gbr", 3)
NOSIG = "diabetes_onnx_ridge_nosig"
LIST_OF_TEN = "[" + ", ".join(DIABETES) + "]"
case("no_signature_by_position", NOSIG, PATIENTS, *by_position(DIABETES))
case("no_signature_by_struct", NOSIG, PATIENTS, *by_name(DIABETES))
case(
    "no_signature_from_a_list",
    NOSIG,
    PATIENTS,
    f"f(array({', '.join(DIABETES)}))",
    f"predict('$model', {LIST_OF_TEN})",
    expect=Scores(*DIABETES),
)
case(
    "no_signature_and_no_inputs",
    NOSIG,
    PATIENTS,
    None,
    "predict('$model')",
    api="f()",
    expect=Code("missing_input"),
)
UNNAMED = "linear_onnx_unnamed_cols"
case("unnamed_columns_by_position", UNNAMED, QUARTERS, *by_position(ABCD))
case("unnamed_columns_by_struct", UNNAMED, QUARTERS, *by_name(ABCD))
case(
    "unnamed_columns_and_no_inputs",
    UNNAMED,
    QUARTERS,
    None,
    "predict('$model')",
    api="f()",
    expect=Code("unnamed_inputs"),
)

# Which types of columns an input takes.


def first_column(name, sql_type, *values, model="linear_onnx_double", expect=None):
    """A column of another type for the first of four doubles."""
    rows = [(value, 2.0, 3.0, 4.0) for value in values]
    case(name, model, table(DOUBLES.replace("a DOUBLE", f"a {sql_type}"), *rows), *by_name(ABCD), expect=expect)


def vector(name, columns, *rows, expect=None):
    case(name, "multi1d_onnx", table(columns, *rows), *by_name(["i", "bo", "dd"]), expect=expect)


def churned(name, columns, *rows, expect=None):
    calls = by_name(["age", "income", "segment", "active"])
    case(name, "churn_onnx_mixed", table(columns, *rows), *calls, expect=expect)


first_column("float_for_double", "FLOAT", 0.1, 1.5, -3.25)
first_column("int_for_double", "INT", 5, -7, 2147483647)
first_column("smallint_for_double", "SMALLINT", 5, -7)
first_column("tinyint_for_double", "TINYINT", 5, -7)
first_column("decimal_for_double", "DECIMAL(10,2)", 1.25, -0.1, 99999999.99)
first_column("bigint_for_double_of_zeros_and_ones", "BIGINT", 0, 1, 1)
first_column("bigint_for_double", "BIGINT", 5, -7, 0, expect=SCORES)
first_column(
    "bigint_for_double_beyond_what_a_double_holds",
    "BIGINT",
    9007199254740993,
    3,
    model="linear_onnx_f64",
    expect=SCORES,
)
first_column("boolean_for_double", "BOOLEAN", True, False, expect=Code("type_mismatch"))
first_column("string_for_double", "STRING", "1.5", "2", expect=Code("type_mismatch"))
first_column("date_for_double", "DATE", "2026-01-01", "1970-01-02", expect=Code("type_mismatch"))
first_column("timestamp_for_double", "TIMESTAMP", "2026-01-01 12:00:00", expect=Code("type_mismatch"))
case(
    "list_for_double",
    "linear_onnx_double",
    QUARTERS,
    "f(struct(array(a) AS a, b, c, d))",
    "predict('$model', {'a': [a], 'b': b, 'c': c, 'd': d})",
    expect=Code("type_mismatch"),
)

vector("bigint_for_long", VECTORS, (1, True, 0.5), (-4, False, 0.25), (16777217, True, 0.0))
vector("int_for_long", "i INT, bo BOOLEAN, dd DOUBLE", (1, True, 0.5), (-4, False, 0.25))
vector("smallint_for_long", "i SMALLINT, bo BOOLEAN, dd DOUBLE", (1, True, 0.5), (-4, False, 0.25))
vector("double_for_long", "i DOUBLE, bo BOOLEAN, dd DOUBLE", (1.0, True, 0.5), expect=Code("lossy_coercion"))
vector("float_for_long", "i FLOAT, bo BOOLEAN, dd DOUBLE", (1.0, True, 0.5), expect=Code("lossy_coercion"))
vector("decimal_for_long", "i DECIMAL(10,0), bo BOOLEAN, dd DOUBLE", (1, True, 0.5), expect=Code("lossy_coercion"))
vector("boolean_for_long", "i BOOLEAN, bo BOOLEAN, dd DOUBLE", (True, True, 0.5), expect=Code("type_mismatch"))
vector("string_for_long", "i STRING, bo BOOLEAN, dd DOUBLE", ("1", True, 0.5), expect=Code("type_mismatch"))
vector("int_for_boolean", "i BIGINT, bo INT, dd DOUBLE", (1, 1, 0.5), (1, 0, 0.5), expect=Code("type_mismatch"))
vector("double_for_boolean", "i BIGINT, bo DOUBLE, dd DOUBLE", (1, 1.0, 0.5), expect=Code("type_mismatch"))
vector("string_for_boolean", "i BIGINT, bo STRING, dd DOUBLE", (1, "true", 0.5), expect=Code("type_mismatch"))

FEATURES = Scores("age", "income", "segment", "active")
churned("double_for_float", CHURN.replace("FLOAT", "DOUBLE"), (40, 50000.1, "sme", True), expect=FEATURES)
churned("int_for_float", CHURN.replace("FLOAT", "INT"), (40, 50000, "corp", False), expect=FEATURES)
churned("int_for_string", CHURN.replace("STRING", "INT"), (40, 50000.0, 3, True), expect=Code("type_mismatch"))

# Nulls, and numbers at the edges.

INFINITY = float("inf")
NAN = float("nan")
linear("null_in_a_double", table(DOUBLES, (None, 2.0, 3.0, 4.0), (1.0, 2.0, 3.0, 4.0)), by_name(ABCD))
linear("null_in_every_row", table(DOUBLES, (1.0, None, 3.0, 4.0), (2.0, None, 3.0, 4.0)), by_name(ABCD))
linear("nan_in_a_double", table(DOUBLES, (NAN, 2.0, 3.0, 4.0), (1.0, 2.0, 3.0, 4.0)), by_name(ABCD))
linear(
    "infinities",
    table(DOUBLES, (INFINITY, 2.0, 3.0, 4.0), (1.0, -INFINITY, 3.0, 4.0), (1.0, 2.0, 3.0, 4.0)),
    by_position(ABCD),
)
linear("infinity_less_infinity", table(DOUBLES, (INFINITY, -INFINITY, 3.0, 4.0)), by_name(ABCD))
HUGE = table(DOUBLES, (1e300, 2.0, 3.0, 4.0), (-1e39, 0.0, 0.0, 0.0))
linear("a_double_beyond_what_a_float_holds", HUGE, by_name(ABCD))
linear("a_double_too_small_for_a_float", table(DOUBLES, (1e-50, 0.0, 0.0, 0.0)), by_name(ABCD))
linear("a_double_with_more_digits_than_a_float", table(DOUBLES, (16777217.0, 0.1, 0.0, 0.0)), by_name(ABCD))
linear("null_as_a_literal", QUARTERS, by_position(["a", "b", "c", "NULL"]))
first_column("null_in_a_float_for_double", "FLOAT", None, 1.5)
first_column("null_in_a_decimal_for_double", "DECIMAL(10,2)", None, 1.25)
first_column("null_in_an_int_for_double", "INT", None, 5)
first_column("null_in_a_bigint_for_double", "BIGINT", None, 5)
vector("null_in_the_double_of_several_inputs", VECTORS, (1, True, None), (2, False, 0.25))
PARTS = Scores("i", "bo", "dd")
vector("null_in_a_long", VECTORS, (None, True, 0.5), (2, False, 0.25), expect=PARTS)
vector("null_in_an_int_for_long", "i INT, bo BOOLEAN, dd DOUBLE", (None, True, 0.5), (2, False, 0.25), expect=PARTS)
vector("null_in_a_boolean", VECTORS, (1, None, 0.5), (2, False, 0.25), expect=PARTS)
churned("null_in_a_string", CHURN, (40, 50000.0, None, True), (61, 30000.0, "sme", False), expect=FEATURES)
NO_ROWS = f"(SELECT id, a, b, c, d FROM {QUARTERS} WHERE id < 0) AS t"
linear("no_rows", NO_ROWS, by_name(ABCD))

# What comes out.

case("boosted_regression_trees", "diabetes_onnx_gbr", PATIENTS, *by_name(DIABETES))
case("ridge_regression_whose_signature_says_float", "diabetes_onnx_ridge_core", PATIENTS, *by_name(DIABETES))
PRECISE = table(DOUBLES, (0.1, 1e300, 3.0, 4.0), (0.1, 0.2, 0.3, 0.4))
case("doubles_all_the_way", "linear_onnx_f64", PRECISE, *by_name(ABCD))
linear("a_result_type_that_is_not_the_signature_s", QUARTERS, by_name(ABCD), result_type="float")
BATCH_OF_ONE = "linear_onnx_fixed_batch1"
case("fixed_batch_of_one_with_one_row", BATCH_OF_ONE, table(DOUBLES, (1.0, 2.0, 3.0, 4.0)), *by_name(ABCD))
case("fixed_batch_of_one_with_several_rows", BATCH_OF_ONE, QUARTERS, *by_name(ABCD), expect=SCORES)

FLOWERS = table(
    ", ".join(f"{name} DOUBLE" for name in IRIS),
    (5.1, 3.5, 1.4, 0.2),
    (7.0, 3.2, 4.7, 1.4),
    (6.3, 3.3, 6.0, 2.5),
)
LABELLED = by_name(IRIS)
LABEL = LABELLED[0], f"predict_label('$model', {fields(IRIS)})"
PROBABILITIES = LABELLED[0], f"predict('$model', {fields(IRIS)})['probabilities']"


def flowers(name, model, calls, **more):
    case(name, model, FLOWERS, *calls, **more)


flowers("label_and_probabilities", "iris_onnx_v1", LABELLED, expect=Scores(*IRIS))
flowers("the_label_alone", "iris_onnx_v2", LABEL, result_type="long", expect=Scores(*IRIS, part="label"))
flowers(
    "the_probabilities_alone",
    "iris_onnx_v3",
    PROBABILITIES,
    result_type="array<float>",
    expect=Scores(*IRIS, part="probabilities"),
)
flowers("label_and_probabilities_without_a_scaler", "iris_onnx_noscaler", LABELLED, expect=Scores(*IRIS))
flowers("labels_that_are_strings", "iris_onnx_string_label", LABELLED, expect=Scores(*IRIS))
flowers(
    "the_label_alone_as_a_string",
    "iris_onnx_string_label",
    LABEL,
    result_type="string",
    expect=Scores(*IRIS, part="label"),
)
flowers("the_label_beside_a_zipmap", "iris_onnx_zipmap", LABEL)
flowers(
    "the_label_beside_a_zipmap_as_a_long",
    "iris_onnx_zipmap",
    LABEL,
    result_type="long",
    expect=Scores(*IRIS, part="output_label"),
)

CELLS = wide("cancer_onnx_rf", 4)
CELLS_WITH_NULLS = wide("cancer_xgboost_json", 4, "_nulls")
HOLES = Scores(*CANCER, nulls="nan")
case("random_forest", "cancer_onnx_rf", CELLS, *by_name(CANCER), expect=Scores(*CANCER))
for maker in ("xgboost", "lightgbm"):
    fixture = f"cancer_onnx_from_{maker}"
    case(f"converted_from_{maker}_with_nulls", fixture, CELLS_WITH_NULLS, *by_name(CANCER), expect=HOLES)

churned("inputs_of_four_types", CHURN, (40, 50000.0, "retail", True), (61, 30000.0, "none", False), expect=FEATURES)
case(
    "pipeline_with_a_string",
    "churn_onnx_pipeline",
    table("age FLOAT, income FLOAT, segment STRING", (40.0, 50000.0, "retail"), (61.0, 30000.0, "unseen")),
    *by_name(["age", "income", "segment"]),
    expect=Scores("age", "income", "segment"),
)
case(
    "tensor_without_a_name_from_a_list",
    "linear_onnx_tensor_unnamed",
    lists("linear_onnx_tensor_unnamed", "v", 3),
    *by_position(["v"]),
    expect=Scores("v"),
)
case(
    "tensor_without_a_name_from_a_list_with_a_result_type",
    "linear_onnx_tensor_unnamed",
    lists("linear_onnx_tensor_unnamed", "v", 3),
    *by_position(["v"]),
    result_type="float",
    expect=Scores("v"),
)
for kept in ("inline", "external"):
    fixture = f"cancer_onnx_mlp_{kept}"
    case(f"tensor_with_{kept}_weights", fixture, lists(fixture, "x", 3), *by_position(["x"]), expect=Scores("x"))

# Trees in the files of their libraries.

XGBOOST = "cancer_xgboost_json"
NO_INPUTS = "f(struct(" + ", ".join(CANCER) + "))", "predict('$model')"
GAPS = wide("cancer_xgboost_json", 6, "_nulls")
case("xgboost_json", XGBOOST, CELLS, *by_name(CANCER), result_type="float")
case("xgboost_json_with_nulls", XGBOOST, GAPS, *NO_INPUTS, result_type="float")
case("xgboost_json_by_position", XGBOOST, CELLS, *by_position(CANCER), result_type="double")
case("xgboost_json_without_a_result_type", XGBOOST, CELLS, *NO_INPUTS, expect=Alone("float"))
case("xgboost_ubj", "cancer_xgboost_ubj", CELLS, *NO_INPUTS, result_type="float")
case("xgboost_ubj_with_nulls", "cancer_xgboost_ubj", GAPS, *NO_INPUTS, result_type="float")
flowers("xgboost_classifier_gives_labels", "iris_xgboost_sklearn", LABELLED, result_type="long")
flowers("xgboost_classifier_without_a_result_type", "iris_xgboost_sklearn", LABELLED, expect=Alone("bigint"))
case(
    "xgboost_from_floats",
    "iris_xgboost_sklearn",
    FLOWERS.replace("AS DOUBLE", "AS FLOAT"),
    *LABELLED,
    result_type="long",
)
LIGHTGBM = "cancer_lightgbm_booster"
case("lightgbm_booster", LIGHTGBM, CELLS, *NO_INPUTS, result_type="double")
case("lightgbm_booster_with_nulls", LIGHTGBM, GAPS, *NO_INPUTS, result_type="double")
case("lightgbm_booster_without_a_result_type", LIGHTGBM, CELLS, *NO_INPUTS, expect=Alone("double"))
CATEGORIES = table(
    "cat DOUBLE, num DOUBLE",
    (1.0, 0.25),
    (4.0, 0.75),
    (2.0, 0.25),
    (5.0, None),
    (None, 0.75),
    (99.0, 0.25),
    (-1.0, 0.25),
    (1.5, 0.25),
    (NAN, NAN),
)
case("lightgbm_categories", "cats_lightgbm_booster", CATEGORIES, *by_name(["cat", "num"]), result_type="double")

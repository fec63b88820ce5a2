//! Calls in the words of a user, and what binding says to them.

use std::sync::Arc;

use arrow::datatypes::Field;
use serde_json::json;

use super::*;
use crate::testing::{bare, columns, list, matrix};
use crate::{GraphInput, Param};

fn argument(name: &str, data_type: DataType) -> Argument {
    Argument { name: Some(name.to_owned()), data_type, nullable: true }
}

fn named(names: &[(&str, DataType)]) -> Arguments {
    Arguments::Named(names.iter().map(|(name, data_type)| argument(name, data_type.clone())).collect())
}

fn doubles(names: &[&str]) -> Arguments {
    Arguments::Named(names.iter().map(|name| argument(name, DataType::Float64)).collect())
}

fn positional(data_types: &[DataType]) -> Arguments {
    let argument = |data_type: &DataType| Argument { name: None, data_type: data_type.clone(), nullable: true };
    Arguments::Positional(data_types.iter().map(argument).collect())
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// What EXPLAIN shows of the binding, a line an input.
fn shown(contract: &Contract, arguments: &Arguments) -> Vec<String> {
    let binding = bind(contract, "churn", arguments, &BindOptions::default()).expect("a binding");
    binding.inputs.iter().map(BoundInput::to_string).collect()
}

/// All problems, as a user sees them.
fn problems(contract: &Contract, arguments: &Arguments, options: &BindOptions) -> Vec<String> {
    let problems = bind(contract, "churn", arguments, options).expect_err("refused");
    problems.iter().map(BindProblem::to_string).collect()
}

fn refused(contract: &Contract, arguments: &Arguments) -> Vec<String> {
    problems(contract, arguments, &BindOptions::default())
}

fn strict() -> BindOptions {
    BindOptions { coercion: CoercionMode::Strict, ..BindOptions::default() }
}

#[test]
fn names_bind_in_the_signature_s_order_whatever_order_the_call_has() {
    let arguments = named(&[("b", DataType::Int64), ("a", DataType::Float32)]);
    assert_eq!(
        shown(&matrix(&["a", "b"], Element::F32), &arguments),
        ["a <- arg 2: Float32 -> double -> float, null", "b <- arg 1: Int64 -> double -> float (rounds), null"]
    );
}

#[test]
fn names_match_without_regard_to_case_when_none_matches_exactly() {
    let contract = matrix(&["Mean Radius", "a", "A"], Element::F64);
    assert_eq!(
        shown(&contract, &doubles(&["A", "a", "mean radius"])),
        [
            "Mean Radius <- arg 3: Float64 -> double, null",
            "a <- arg 2: Float64 -> double, null",
            "A <- arg 1: Float64 -> double, null"
        ]
    );
}

#[test]
fn two_candidates_are_ambiguous() {
    let contract = matrix(&["income"], Element::F64);
    assert_eq!(
        refused(&contract, &doubles(&["Income", "INCOME"])),
        ["input `income` of model `churn` could be any of Income, INCOME: leave one of them [ambiguous_column]"]
    );
    assert!(refused(&contract, &doubles(&["income", "income"]))[0].ends_with("[ambiguous_column]"));
}

#[test]
fn a_missing_input_comes_with_what_there_is_and_the_nearest_name() {
    assert_eq!(
        refused(&matrix(&["age", "income"], Element::F32), &doubles(&["age", "tenure", "Income_EUR"])),
        [
            "model `churn` needs column `income`: the query gives age, tenure, Income_EUR; did you mean \"Income_EUR\"? [missing_input]",
            "model `churn` has no input `tenure`: it takes age, income [extra_argument]",
        ]
    );
}

#[test]
fn all_problems_of_a_call_are_reported_at_once() {
    let contract = columns(&[
        ("age", InputType::Int64, Element::I64),
        ("income", InputType::Float64, Element::F32),
        ("segment", InputType::String, Element::String),
    ]);
    let arguments = named(&[("age", DataType::Float64), ("income", DataType::Utf8), ("zip", DataType::Int64)]);
    assert_eq!(
        refused(&contract, &arguments),
        [
            "model `churn` needs column `segment`: the query gives age, income, zip [missing_input]",
            "model `churn` has no input `zip`: it takes age, income, segment [extra_argument]",
            "model `churn` takes `age` as int64: the query gives Float64; write CAST(age AS BIGINT) [lossy_coercion]",
            "model `churn` takes `income` as double: the query gives Utf8; write CAST(income AS DOUBLE) [type_mismatch]",
        ]
    );
}

#[test]
fn the_cast_to_paste_quotes_a_name_that_sql_would_fold() {
    let contract = matrix(&["Mean Radius"], Element::F64);
    let arguments = named(&[("Mean Radius", DataType::Utf8)]);
    assert!(refused(&contract, &arguments)[0].contains("CAST(\"Mean Radius\" AS DOUBLE)"));
}

#[test]
fn strict_mode_refuses_what_rounds_with_the_cast_that_rounds_openly() {
    let contract = matrix(&["income"], Element::F32);
    let arguments = named(&[("income", DataType::Float64)]);
    assert_eq!(
        problems(&contract, &arguments, &strict()),
        [
            "model `churn` takes `income` as double, which its graph reads as float: the query gives Float64, which would be rounded (volley.coercion is 'strict'); write CAST(income AS FLOAT) [lossy_coercion]"
        ]
    );
    assert!(bind(&contract, "churn", &named(&[("income", DataType::Float32)]), &strict()).is_ok());
}

#[test]
fn positions_bind_in_order_and_the_count_must_match() {
    let contract = matrix(&["a", "b"], Element::F64);
    let of = |count: usize| positional(&vec![DataType::Float64; count]);
    assert_eq!(shown(&contract, &of(2))[1], "b <- arg 2: Float64 -> double, null");
    assert_eq!(refused(&contract, &of(1)), ["model `churn` takes 2 inputs (a, b): the query gives 1 [missing_input]"]);
    assert_eq!(refused(&contract, &of(3)), ["model `churn` takes 2 inputs (a, b): the query gives 3 [extra_argument]"]);
    assert_eq!(refused(&contract, &of(0)), ["model `churn` takes 2 inputs (a, b): the query gives 0 [missing_input]"]);
}

#[test]
fn one_list_feeds_all_columns_of_a_matrix() {
    let contract = matrix(&["a", "b"], Element::F32);
    assert_eq!(
        shown(&contract, &positional(&[list_of(DataType::Float32)])),
        [
            "a <- arg 1[1]: List(Float32) -> double -> float, null",
            "b <- arg 1[2]: List(Float32) -> double -> float, null"
        ]
    );
    let problems = refused(&contract, &positional(&[list_of(DataType::Utf8)]));
    assert!(problems[0].ends_with("write CAST(… AS DOUBLE[]) for argument 1 [type_mismatch]"), "{problems:?}");
}

#[test]
fn a_list_input_takes_a_list_or_its_numbers() {
    let contract = bare(Some(3), Element::F32);
    assert_eq!(
        shown(&contract, &positional(&[list_of(DataType::Float64)])),
        ["X <- arg 1: List(Float64) -> list<float>[3] (rounds), null"]
    );
    assert_eq!(
        shown(&contract, &positional(&[DataType::Int8, DataType::Int8, DataType::Float32])),
        ["X <- arg 1 to arg 3: Int8, Float32 -> list<float>[3], null"]
    );
    assert_eq!(
        refused(&contract, &positional(&[DataType::Float32, DataType::Float32])),
        ["model `churn` takes one list of 3 or 3 numbers: the query gives 2 [missing_input]"]
    );
    let text = refused(&contract, &positional(&[DataType::Utf8, DataType::Int8, DataType::Int8]));
    assert!(text[0].ends_with("write CAST(… AS FLOAT) for argument 1 [type_mismatch]"), "{text:?}");
}

#[test]
fn where_no_cast_helps_a_list_input_says_what_it_takes() {
    let contract = columns(&[("v", list(InputType::Float32, Some(3)), Element::F32)]);
    let fix = |data_type: DataType| {
        let problem = refused(&contract, &named(&[("v", data_type)])).remove(0);
        problem.split_once("; ").expect("a fix").1.to_owned()
    };
    let item = |data_type| Arc::new(Field::new_list_field(data_type, true));
    assert_eq!(fix(DataType::Float64), "give it a column of list<float>[3] [type_mismatch]");
    assert_eq!(fix(DataType::FixedSizeList(item(DataType::Float32), 2)), "give it lists of 3 values [type_mismatch]");
    assert_eq!(fix(list_of(DataType::Utf8)), "write CAST(v AS FLOAT[]) [type_mismatch]");
}

#[test]
fn a_model_without_signature_binds_by_the_graph_s_names_and_says_so() {
    let contract = bare(Some(2), Element::F32);
    assert_eq!(shown(&contract, &named(&[("x", list_of(DataType::Float32))])).len(), 1);
    // As many fields as it takes numbers are its row, in their order.
    assert_eq!(
        shown(&contract, &doubles(&["a", "b"])),
        shown(&contract, &positional(&[DataType::Float64, DataType::Float64]))
    );
    let problems = refused(&contract, &doubles(&["a", "b", "c"]));
    assert_eq!(
        problems[0],
        "model `churn` needs column `X`: the query gives a, b, c; the model has no signature: pass its inputs by position [missing_input]"
    );
}

#[test]
fn inputs_without_names_bind_by_position_alone() {
    let mut contract = matrix(&["a", "b"], Element::F64);
    contract.inputs.iter_mut().for_each(|input| input.name = None);
    let by_position = shown(&contract, &positional(&[DataType::Float64, DataType::Float64]));
    assert_eq!(by_position.len(), 2);
    // The fields of a struct have an order too; columns in scope have none.
    assert_eq!(shown(&contract, &doubles(&["x", "y"])), by_position);
    assert_eq!(
        refused(&contract, &doubles(&[])),
        ["the signature of model `churn` gives its inputs no names: pass 2 inputs by position [unnamed_inputs]"]
    );
}

#[test]
fn fields_that_no_input_takes_are_passed_over_unless_an_input_is_left_out() {
    let mut contract = matrix(&["a", "b"], Element::F64);
    assert_eq!(shown(&contract, &doubles(&["b", "zip", "a"])).len(), 2);
    contract.inputs[1].required = false;
    contract.inputs[1].null_rule = NullRule::Nan;
    assert_eq!(shown(&contract, &doubles(&["a"])).len(), 2);
    assert_eq!(
        refused(&contract, &doubles(&["a", "bb"])),
        ["model `churn` has no input `bb`: it takes a, b; did you mean `b`? [extra_argument]"]
    );
}

#[test]
fn an_optional_input_may_be_left_out_if_its_rule_gives_a_value() {
    let mut contract = matrix(&["a", "b"], Element::F64);
    contract.inputs[1].required = false;
    contract.inputs[1].null_rule = NullRule::Nan;
    assert_eq!(shown(&contract, &doubles(&["a"]))[1], "b <- left out, nan");
    assert_eq!(shown(&contract, &positional(&[DataType::Float64]))[1], "b <- left out, nan");
    contract.inputs[1].null_rule = NullRule::Fill(FillValue::new("0"));
    assert_eq!(shown(&contract, &doubles(&["a"]))[1], "b <- left out, fill:0");
    for rule in [NullRule::Null, NullRule::Error] {
        contract.inputs[1].null_rule = rule.clone();
        let problem = format!(
            "model `churn` needs column `b`: it is optional, but under its null rule `{rule}` no row would have a \
             score; give the column, or register the model with --null b=fill:VALUE [missing_input]"
        );
        assert_eq!(refused(&contract, &doubles(&["a"])), [problem]);
    }
}

#[test]
fn mlflow_s_null_rules_follow_the_declared_types() {
    let contract = columns(&[
        ("d", InputType::Float64, Element::F32),
        ("l", InputType::Int64, Element::I64),
        ("b", InputType::Boolean, Element::Bool),
        ("s", InputType::String, Element::String),
    ]);
    let arguments =
        named(&[("d", DataType::Float64), ("l", DataType::Int64), ("b", DataType::Boolean), ("s", DataType::Utf8)]);
    let options = BindOptions { null_rules: NullRules::Mlflow, ..BindOptions::default() };
    let binding = bind(&contract, "churn", &arguments, &options).expect("a binding");
    let rules: Vec<_> = binding.inputs.iter().map(|input| input.null_rule.to_string()).collect();
    assert_eq!(rules, ["nan", "error", "error", "fill:None"]);
}

/// A model with a parameter `threshold` that its graph reads and a parameter `verbose` that it does not.
fn with_params() -> Contract {
    let mut contract = matrix(&["a"], Element::F64);
    contract.graph_inputs.push(GraphInput { name: "threshold".to_owned(), element: Element::F32, row: vec![Some(1)] });
    let param = |name: &str, declared, default, graph_input| Param {
        name: name.to_owned(),
        declared: Some(declared),
        default,
        graph_input,
    };
    contract.params = vec![
        param("threshold", InputType::Float64, json!(0.5), Some(1)),
        param("verbose", InputType::Boolean, json!(false), None),
    ];
    contract
}

fn bind_params(contract: &Contract, params: serde_json::Value) -> Result<Binding, Vec<BindProblem>> {
    let serde_json::Value::Object(params) = params else { panic!("params are an object") };
    bind(contract, "churn", &doubles(&["a"]), &BindOptions { params, ..BindOptions::default() })
}

#[test]
fn a_parameter_of_the_graph_takes_its_default_or_the_call_s_value() {
    let contract = with_params();
    let value = |params| bind_params(&contract, params).expect("a binding").params[0].value.clone();
    assert_eq!(value(json!({})), json!(0.5));
    assert_eq!(value(json!({"threshold": 1})), json!(1));
}

#[test]
fn wrong_parameters_each_have_their_code() {
    let mut contract = with_params();
    let problem = |contract: &Contract, params| {
        let problems = bind_params(contract, params).expect_err("refused");
        problems.iter().map(BindProblem::to_string).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(
        problem(&contract, json!({"treshold": 1})),
        "model `churn` has no parameter `treshold`; did you mean `threshold`? [unknown_parameter]"
    );
    assert_eq!(
        problem(&contract, json!({"verbose": true})),
        "parameter `verbose` would have no effect: the graph of model `churn` has no input of that name; leave it out [unused_parameter]"
    );
    assert_eq!(
        problem(&contract, json!({"threshold": "high"})),
        "parameter `threshold` of model `churn` is double: the call gives a text [type_mismatch]"
    );
    assert_eq!(
        problem(&contract, json!({"threshold": 1e60})),
        "parameter `threshold` of model `churn` is double: the call gives more than the graph holds [type_mismatch]"
    );
    contract.params[0].default = json!(null);
    assert!(problem(&contract, json!({})).ends_with("[missing_input]"));
}

#[test]
fn a_binding_reads_back_what_it_writes() {
    let contract = with_params();
    let binding = bind_params(&contract, json!({"threshold": 0.25})).expect("a binding");
    let text = serde_json::to_string(&binding).expect("JSON");
    assert_eq!(serde_json::from_str::<Binding>(&text).expect("a binding"), binding);
    let text = serde_json::to_string(&contract).expect("JSON");
    assert_eq!(serde_json::from_str::<Contract>(&text).expect("a contract"), contract);
}

#[test]
fn a_bare_list_of_open_length_takes_any_count() {
    let contract = bare(None, Element::F32);
    assert_eq!(contract.inputs[0].declared, list(InputType::Float32, None));
    assert_eq!(
        shown(&contract, &positional(&[DataType::Float32, DataType::Float32])),
        ["X <- arg 1 to arg 2: Float32 -> list<float>, null"]
    );
}

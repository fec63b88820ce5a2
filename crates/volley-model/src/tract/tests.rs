//! Columns through binding into tensors, and tensors into scores: every allowed cell of the coercion table with values.

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::*;
use volley_onnx::{Tensor, tensor_from, tensor_values};

mod reading;

use super::*;
use crate::testing::{bare, columns, list, matrix, output};
use crate::{
    Argument, Arguments, BindOptions, ClassLabels, Element, Function, InputType, NullRule, NullRules, Output,
    OutputShape, bind,
};

/// A tensor's shape and values as text, rows apart.
fn shown(tensor: &Tensor) -> String {
    fn text<T: std::fmt::Debug>(values: &[T]) -> Vec<String> {
        values.iter().map(|value| format!("{value:?}")).collect()
    }
    let values = tensor_values::<f32>(tensor)
        .map(text)
        .or_else(|| tensor_values::<f64>(tensor).map(text))
        .or_else(|| tensor_values::<i64>(tensor).map(text))
        .or_else(|| tensor_values::<i32>(tensor).map(text))
        .or_else(|| tensor_values::<bool>(tensor).map(text))
        .or_else(|| tensor_values::<half::f16>(tensor).map(text))
        .or_else(|| tensor_values::<String>(tensor).map(text))
        .expect("a type of the tests");
    format!("{:?} {}", tensor.shape(), values.join(" "))
}

fn binding(contract: &Contract, columns: &[ArrayRef]) -> Binding {
    let argument = |column: &ArrayRef| Argument { name: None, data_type: column.data_type().clone(), nullable: true };
    let arguments = Arguments::Positional(columns.iter().map(argument).collect());
    bind(contract, "m", &arguments, &BindOptions::default()).expect("a binding")
}

/// The tensors that a plan would get, or the error.
fn tensors(contract: &Contract, columns: &[ArrayRef]) -> Result<Vec<String>, ModelError> {
    let binding = binding(contract, columns);
    let rows = columns.first().map_or(0, |column| column.len());
    let feeds = feeds(contract, &binding, columns, rows)?;
    let kept = feed::kept_rows(&feeds, rows)?;
    let rows = kept.as_ref().map_or(rows, |kept| kept.count_set_bits());
    let feeds: Vec<_> = match kept {
        Some(kept) => feeds.into_iter().map(|feed| feed.only(&kept)).collect::<Result<_, _>>()?,
        None => feeds,
    };
    let tensors = tensor::tensors(contract, &binding, &feeds, rows)?;
    reading::check(contract, &binding, &feeds, rows, &tensors);
    Ok(tensors.iter().map(shown).collect())
}

/// What comes out of a graph that gives these tensors.
fn arrays(outputs: &[Output], tensors: &[Tensor], rows: usize) -> Result<Vec<ArrayRef>, ModelError> {
    output::arrays(outputs, tensors.iter().map(output::Column::of_tensor).collect(), rows)
}

/// One column into one input of an element: the tensor's values.
fn check(column: ArrayRef, element: Element, values: &str) {
    let contract = columns(&[("x", element.input_type(), element)]);
    let label = format!("{} into {element}", column.data_type());
    let rows = column.len();
    assert_eq!(tensors(&contract, &[column]).expect(&label), [format!("[{rows}] {values}")], "{label}");
}

fn array<T: Array + 'static>(array: T) -> ArrayRef {
    Arc::new(array)
}

#[test]
fn every_integer_goes_into_floats_and_wider_integers() {
    let small = array(Int8Array::from(vec![-128, 0, 127]));
    for from in [DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64] {
        let column = cast(&small, &from).expect("widening");
        check(column.clone(), Element::F32, "-128.0 0.0 127.0");
        check(column.clone(), Element::F64, "-128.0 0.0 127.0");
        check(column.clone(), Element::I64, "-128 0 127");
        if from != DataType::Int64 {
            check(column, Element::I32, "-128 0 127");
        }
    }
    let small = array(UInt8Array::from(vec![0, 255]));
    for from in [DataType::UInt8, DataType::UInt16, DataType::UInt32] {
        let column = cast(&small, &from).expect("widening");
        check(column.clone(), Element::F32, "0.0 255.0");
        check(column, Element::I64, "0 255");
    }
    check(array(UInt64Array::from(vec![u64::MAX])), Element::F64, "1.8446744073709552e19");
    check(array(UInt16Array::from(vec![u16::MAX])), Element::I32, "65535");
}

#[test]
fn a_large_integer_is_rounded_once() {
    // By way of a double it would first lose its last digit and then go to the even neighbour.
    let value = (1_i64 << 60) + (1 << 36) + 1;
    assert_ne!(value as f64 as f32, value as f32);
    check(array(Int64Array::from(vec![value])), Element::F32, &format!("{:?}", value as f32));
    let contract = matrix(&["a"], Element::F32);
    let column = array(Int64Array::from(vec![value]));
    assert_eq!(tensors(&contract, &[column]).expect("a tensor"), [format!("[1, 1] {:?}", value as f32)]);
}

#[test]
fn every_fraction_goes_into_floats() {
    let doubles = array(Float64Array::from(vec![0.1, -2.5, 1e300]));
    check(doubles.clone(), Element::F64, "0.1 -2.5 1e300");
    check(doubles, Element::F32, "0.1 -2.5 inf");
    let floats = array(Float32Array::from(vec![0.1, -2.5]));
    check(floats.clone(), Element::F32, "0.1 -2.5");
    check(floats, Element::F64, "0.10000000149011612 -2.5");
    let halves = array(Float16Array::from(vec![half::f16::from_f32(1.5)]));
    check(halves.clone(), Element::F32, "1.5");
    check(halves, Element::F64, "1.5");
    let decimals = array(Decimal128Array::from(vec![12345, -1]).with_precision_and_scale(10, 2).expect("a decimal"));
    let widths = [
        DataType::Decimal32(9, 2),
        DataType::Decimal64(15, 2),
        DataType::Decimal128(10, 2),
        DataType::Decimal256(40, 2),
    ];
    for width in widths {
        let column = cast(&decimals, &width).expect("a decimal");
        check(column.clone(), Element::F64, "123.45 -0.01");
        check(column, Element::F32, "123.45 -0.01");
    }
}

#[test]
fn booleans_and_strings_of_every_layout_go_into_their_own_kind() {
    check(array(BooleanArray::from(vec![true, false])), Element::Bool, "true false");
    let text = array(StringArray::from(vec!["a", "", "naïve"]));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
    for layout in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary] {
        check(cast(&text, &layout).expect("text"), Element::String, r#""a" "" "naïve""#);
    }
}

#[test]
fn half_floats_of_a_graph_are_fed_too() {
    check(array(Float64Array::from(vec![0.1, 1.5])), Element::F16, "0.099975586 1.5");
    check(array(Int32Array::from(vec![3])), Element::F16, "3.0");
}

#[test]
fn times_go_in_as_nanoseconds_where_the_signature_says_datetime() {
    let contract = columns(&[("t", InputType::Datetime, Element::I64)]);
    let of = |column| tensors(&contract, &[column]).expect("a tensor").remove(0);
    assert_eq!(of(array(Date32Array::from(vec![1]))), "[1] 86400000000000");
    assert_eq!(of(array(Date64Array::from(vec![86_400_000]))), "[1] 86400000000000");
    assert_eq!(of(array(TimestampMicrosecondArray::from(vec![-1]))), "[1] -1000");
    assert_eq!(of(array(TimestampSecondArray::from(vec![2]).with_timezone("+02:00"))), "[1] 2000000000");
    let far = array(TimestampSecondArray::from(vec![i64::MAX / 1_000_000]));
    assert_eq!(tensors(&contract, &[far]).expect_err("too far").code(), "score_failed");
}

#[test]
fn a_declared_boolean_goes_into_a_float_matrix_as_0_and_1() {
    let mut contract = matrix(&["a", "b"], Element::F32);
    contract.inputs[1].declared = InputType::Boolean;
    let given = [array(Float64Array::from(vec![7.0, 8.0])), array(BooleanArray::from(vec![true, false]))];
    assert_eq!(tensors(&contract, &given).expect("a tensor"), ["[2, 2] 7.0 1.0 8.0 0.0"]);
}

#[test]
fn columns_lie_side_by_side_in_a_matrix_over_many_blocks() {
    let rows = 100_000;
    let contract = matrix(&["a", "b", "c"], Element::F32);
    let column = |base: usize| array(Float64Array::from_iter_values((0..rows).map(|row| (row * 3 + base) as f64)));
    let given = [column(0), column(1), column(2)];
    let binding = binding(&contract, &given);
    let feeds = feeds(&contract, &binding, &given, rows).expect("feeds");
    let tensors = tensor::tensors(&contract, &binding, &feeds, rows).expect("tensors");
    assert_eq!(tensors[0].shape(), [rows, 3]);
    let values = tensor_values::<f32>(&tensors[0]).expect("floats");
    assert!(values.iter().enumerate().all(|(index, value)| *value == index as f32));
}

#[test]
fn a_sliced_column_gives_its_own_rows() {
    let column = array(Float64Array::from(vec![Some(1.0), None, Some(3.0), Some(4.0)])).slice(2, 2);
    check(column, Element::F64, "3.0 4.0");
}

/// The tensor of a column of doubles with a NULL in the middle, under a rule.
fn under(rule: &str, element: Element) -> Result<Vec<String>, ModelError> {
    let mut contract = columns(&[("x", element.input_type(), element)]);
    contract.set_null_rule("x", rule.parse().expect("a rule")).expect("a rule of the input");
    let column = array(Float64Array::from(vec![Some(1.0), None, Some(3.0)]));
    tensors(&contract, &[column])
}

#[test]
fn each_null_rule_does_what_it_says() {
    assert_eq!(under("nan", Element::F32).expect("a tensor"), ["[3] 1.0 NaN 3.0"]);
    assert_eq!(under("fill:-1.5", Element::F64).expect("a tensor"), ["[3] 1.0 -1.5 3.0"]);
    assert_eq!(under("null", Element::F64).expect("a tensor"), ["[2] 1.0 3.0"]);
    let error = under("error", Element::F64).expect_err("refused");
    assert_eq!(error.code(), "null_input");
    assert_eq!(error.to_string(), "input `x` is NULL in row 1 of the batch, and its null rule is `error`");
}

#[test]
fn fills_reach_integers_booleans_and_strings() {
    let filled = |declared: InputType, element, rule: &str, column: ArrayRef| {
        let mut contract = columns(&[("x", declared, element)]);
        contract.set_null_rule("x", rule.parse().expect("a rule")).expect("a rule of the input");
        tensors(&contract, &[column]).expect("a tensor").remove(0)
    };
    let integers = array(Int64Array::from(vec![None, Some(2)]));
    assert_eq!(filled(InputType::Int64, Element::I64, "fill:-7", integers.clone()), "[2] -7 2");
    assert_eq!(filled(InputType::Int64, Element::F32, "nan", integers), "[2] NaN 2.0");
    let booleans = array(BooleanArray::from(vec![None, Some(false)]));
    assert_eq!(filled(InputType::Boolean, Element::Bool, "fill:true", booleans), "[2] true false");
    let text = array(StringArray::from(vec![None, Some("b")]));
    assert_eq!(filled(InputType::String, Element::String, "fill:none", text), r#"[2] "none" "b""#);
}

#[test]
fn a_null_inside_a_dictionary_or_a_null_column_is_a_null() {
    let values = StringArray::from(vec![Some("a"), None]);
    let dictionary = DictionaryArray::new(Int8Array::from(vec![0, 1, 0]), Arc::new(values));
    check_kept(array(dictionary), r#"[2] "a" "a""#);
    let none = columns(&[("x", InputType::Float64, Element::F64)]);
    assert_eq!(tensors(&none, &[array(NullArray::new(2))]).expect("a tensor"), ["[0] "]);
}

fn check_kept(column: ArrayRef, tensor: &str) {
    let contract = columns(&[("x", InputType::String, Element::String)]);
    assert_eq!(tensors(&contract, &[column]).expect("a tensor"), [tensor]);
}

#[test]
fn a_row_that_one_input_excludes_is_gone_from_all_tensors() {
    let contract = columns(&[("n", InputType::Int64, Element::I64), ("s", InputType::String, Element::String)]);
    let given = [
        array(Int64Array::from(vec![Some(1), None, Some(3)])),
        array(StringArray::from(vec![None, Some("b"), Some("c")])),
    ];
    assert_eq!(tensors(&contract, &given).expect("tensors"), ["[1] 3", r#"[1] "c""#]);
}

fn lists(rows: &[Option<&[Option<f32>]>]) -> ArrayRef {
    let rows = rows.iter().map(|row| row.map(<[Option<f32>]>::to_vec));
    array(ListArray::from_iter_primitive::<Float32Type, _, _>(rows))
}

#[test]
fn lists_of_every_layout_fill_a_matrix() {
    let contract = bare(Some(2), Element::F32);
    let rows = lists(&[Some(&[Some(1.0), Some(2.0)]), Some(&[Some(3.0), Some(4.0)])]);
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let double = Arc::new(Field::new_list_field(DataType::Float64, true));
    let layouts = [
        DataType::List(item.clone()),
        DataType::LargeList(item.clone()),
        DataType::FixedSizeList(item, 2),
        DataType::List(double),
    ];
    for layout in layouts {
        let column = cast(&rows, &layout).expect("a list");
        assert_eq!(tensors(&contract, &[column]).expect("a tensor"), ["[2, 2] 1.0 2.0 3.0 4.0"], "{layout}");
    }
    assert_eq!(tensors(&contract, &[rows.slice(1, 1)]).expect("a tensor"), ["[1, 2] 3.0 4.0"]);
    let open = bare(None, Element::F32);
    assert_eq!(tensors(&open, &[rows]).expect("a tensor"), ["[2, 2] 1.0 2.0 3.0 4.0"]);
}

#[test]
fn nulls_of_lists_and_in_lists_follow_the_rule() {
    let rows = || lists(&[Some(&[Some(1.0), Some(2.0)]), None, Some(&[None, Some(4.0)])]);
    let mut contract = bare(Some(2), Element::F32);
    assert_eq!(tensors(&contract, &[rows()]).expect("a tensor"), ["[1, 2] 1.0 2.0"]);
    contract.inputs[0].null_rule = NullRule::Nan;
    assert_eq!(tensors(&contract, &[rows()]).expect("a tensor"), ["[3, 2] 1.0 2.0 NaN NaN NaN 4.0"]);
    contract.inputs[0].null_rule = NullRule::Error;
    assert_eq!(
        tensors(&contract, &[rows()]).expect_err("refused").to_string(),
        "input `X` is NULL in row 1 of the batch, and its null rule is `error`"
    );
}

#[test]
fn a_list_of_another_length_is_refused_with_its_row() {
    let contract = bare(Some(2), Element::F32);
    let rows = lists(&[Some(&[Some(1.0), Some(2.0)]), Some(&[Some(3.0)])]);
    let error = tensors(&contract, &[rows]).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "row 1 of the batch: the model's input does not fit: input `X` takes lists of 2, and gets one of 1"
    );
    assert_eq!(error.code(), "score_failed");
}

#[test]
fn lists_without_values_are_refused_and_not_taken_for_nulls() {
    let contract = bare(None, Element::F32);
    let error = tensors(&contract, &[lists(&[Some(&[]), None])]).expect_err("refused");
    assert_eq!(error.to_string(), "input `X` takes lists of values, and those of the batch are empty");
    assert_eq!(tensors(&contract, &[lists(&[None, None])]).expect("no rows"), ["[0, 1] "]);
}

#[test]
fn a_declared_float_is_rounded_on_its_way_into_a_double_graph() {
    let contract = columns(&[("x", InputType::Float32, Element::F64)]);
    let single = format!("[1] {:?}", f64::from(0.1_f32));
    let of = |column| tensors(&contract, &[column]).expect("a tensor").remove(0);
    assert_eq!(of(array(Float64Array::from(vec![0.1]))), single);
    assert_eq!(of(array(Float32Array::from(vec![0.1]))), single);
    let decimal = Decimal128Array::from(vec![1]).with_precision_and_scale(3, 1).expect("a decimal");
    assert_eq!(of(array(decimal)), single);
    let large = (1_i64 << 60) + (1 << 36) + 1;
    assert_eq!(of(array(Int64Array::from(vec![large]))), format!("[1] {:?}", f64::from(large as f32)));
    let given = [array(Float64Array::from(vec![0.1]))];
    assert!(binding(&contract, &given).inputs[0].rounds);
}

#[test]
fn one_list_spreads_over_the_columns_of_a_matrix_with_their_own_rules() {
    let mut contract = matrix(&["a", "b"], Element::F32);
    contract.inputs[0].null_rule = NullRule::Nan;
    let rows = lists(&[Some(&[None, Some(2.0)]), Some(&[Some(3.0), None]), Some(&[Some(5.0), Some(6.0)])]);
    assert_eq!(tensors(&contract, &[rows]).expect("a tensor"), ["[2, 2] NaN 2.0 5.0 6.0"]);
}

#[test]
fn numbers_gather_into_a_list_input() {
    let contract = bare(Some(2), Element::F32);
    let given = [array(Int32Array::from(vec![1, 2])), array(Float64Array::from(vec![0.5, 0.25]))];
    assert_eq!(tensors(&contract, &given).expect("a tensor"), ["[2, 2] 1.0 0.5 2.0 0.25"]);
}

#[test]
fn an_input_left_out_is_null_in_every_row() {
    let mut contract = matrix(&["a", "b"], Element::F32);
    contract.inputs[1].required = false;
    contract.inputs[1].null_rule = NullRule::Nan;
    let given = [array(Float64Array::from(vec![1.0, 2.0]))];
    assert_eq!(tensors(&contract, &given).expect("a tensor"), ["[2, 2] 1.0 NaN 2.0 NaN"]);
}

#[test]
fn columns_of_other_types_than_bound_are_an_error_and_not_a_guess() {
    let contract = columns(&[("x", InputType::Float64, Element::F64)]);
    let bound = binding(&contract, &[array(Float64Array::from(vec![1.0]))]);
    let other = [array(StringArray::from(vec!["1"]))];
    let feeds = feeds(&contract, &bound, &other, 1).expect("feeds");
    let error = tensor::tensors(&contract, &bound, &feeds, 1).expect_err("refused");
    assert_eq!(error.to_string(), "input `x` cannot be read from a column of Utf8");
}

/// Label and probabilities of two rows, the second with a NaN.
fn classifier() -> (Contract, Vec<ArrayRef>) {
    let mut contract = matrix(&["a"], Element::F32);
    contract.outputs = vec![
        output("label", Element::I64, OutputShape::Scalar),
        output("probabilities", Element::F32, OutputShape::List(Some(2))),
    ];
    contract.outputs.iter_mut().for_each(|output| output.class_labels = Some(ClassLabels::Ints(vec![0, 1])));
    let tensors = [tensor_from(&[2], vec![1_i64, 0]), tensor_from(&[2, 2], vec![0.25_f32, 0.75, f32::NAN, 0.5])];
    let arrays = arrays(&contract.outputs, &tensors, 2).expect("columns");
    (contract, arrays)
}

#[test]
fn a_nan_score_makes_all_outputs_of_its_row_null() {
    let (contract, arrays) = classifier();
    let arrays = output::nan_to_null(arrays, NullRules::Contract).expect("columns");
    let kept = BooleanArray::from(vec![false, true, true]);
    let scores = output::scores(arrays, Some(kept.values())).expect("scores");
    assert_eq!(scores.null_scores, 2);
    let label = scores.result(&contract, Function::PredictLabel).expect("labels");
    assert_eq!(label.as_primitive::<Int64Type>(), &Int64Array::from(vec![None, Some(1), None]));
    let both = scores.result(&contract, Function::Predict).expect("a struct");
    assert_eq!(both.data_type(), &contract.result_type(Function::Predict).expect("a type"));
    assert_eq!(both.nulls().map(NullBuffer::null_count), Some(2));
    let probabilities = scores.result(&contract, Function::PredictProba).expect("a struct");
    assert_eq!(probabilities.data_type(), &contract.result_type(Function::PredictProba).expect("a type"));
    let yes = probabilities.as_struct().column_by_name("1").expect("class 1");
    assert_eq!(yes.as_primitive::<Float64Type>(), &Float64Array::from(vec![None, Some(0.75), None]));
}

#[test]
fn under_mlflow_s_rules_a_nan_is_null_where_it_stands() {
    let (_, arrays) = classifier();
    let arrays = output::nan_to_null(arrays, NullRules::Mlflow).expect("columns");
    assert_eq!(arrays[0].null_count(), 0);
    let expected = lists(&[Some(&[Some(0.25), Some(0.75)]), Some(&[None, Some(0.5)])]);
    assert_eq!(arrays[1].as_list::<i32>().values(), expected.as_list::<i32>().values());
    assert_eq!(output::scores(arrays, None).expect("scores").null_scores, 0);
}

#[test]
fn an_output_of_another_size_than_declared_is_an_error() {
    let outputs = [output("y", Element::F32, OutputShape::Scalar)];
    let of = |tensor: Tensor| arrays(&outputs, &[tensor], 2).map(|_| ()).expect_err("refused").code();
    assert_eq!(of(tensor_from(&[2, 2], vec![0_f32; 4])), "score_failed");
    assert_eq!(of(tensor_from(&[1], vec![0_f32])), "score_failed");
    assert_eq!(of(tensor_from(&[2], vec![0_i64; 2])), "score_failed");
}

#[test]
fn every_element_comes_out_as_its_arrow_type() {
    let of = |element, tensor: Tensor| {
        arrays(&[output("y", element, OutputShape::Scalar)], &[tensor], 1).expect("a column").remove(0)
    };
    assert_eq!(of(Element::Bool, tensor_from(&[1], vec![true])).as_boolean(), &BooleanArray::from(vec![true]));
    assert_eq!(
        of(Element::String, tensor_from(&[1], vec!["a".to_owned()])).as_string::<i32>(),
        &StringArray::from(vec!["a"])
    );
    let half = of(Element::F16, tensor_from(&[1], vec![half::f16::from_f32(0.5)]));
    assert_eq!(half.as_primitive::<Float32Type>(), &Float32Array::from(vec![0.5]));
    assert_eq!(of(Element::U8, tensor_from(&[1], vec![7_u8])).data_type(), &DataType::UInt8);
}

#[test]
fn lists_come_out_with_a_nullable_field_called_item() {
    let outputs = [output("y", Element::F64, OutputShape::List(None))];
    let column = arrays(&outputs, &[tensor_from(&[2, 3], vec![0_f64; 6])], 2).expect("a column").remove(0);
    assert_eq!(column.data_type(), &DataType::List(Arc::new(Field::new("item", DataType::Float64, true))));
    assert_eq!(column.as_list::<i32>().offsets(), &OffsetBuffer::from_lengths([3, 3]));
    assert_eq!(list(InputType::Float64, None).to_string(), "list<double>");
}

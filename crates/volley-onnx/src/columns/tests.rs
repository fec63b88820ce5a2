//! Parts of graphs that are run by column give what they give node by node.

use crate::testing::{ModelBuilder, assert_close, int, ints, ints_in, tensor};
use crate::{Element, Tensor, tensor_values};

/// Row counts on either side of a vector, a block and a batch.
const ROWS: [usize; 6] = [1, 31, 33, 200, 600, 1500];

/// Rows of `width` numbers that differ from row to row; their sums are exact.
fn numbers(rows: usize, width: usize) -> Vec<f32> {
    (0..rows * width).map(|at| ((at * 7919) % 41) as f32 / 4.0 - 5.0).collect()
}

fn over(width: i64) -> ModelBuilder {
    ModelBuilder::default()
        .input("x", Element::F32, &[-1, width])
        .output("y", Element::F32)
        .constant("axis", &ints_in(&[1], &[1]))
}

fn check(model: &ModelBuilder, width: usize, of_row: impl Fn(&[f32]) -> Vec<f32>) {
    for rows in ROWS {
        let values = numbers(rows, width);
        let expected: Vec<f32> = values.chunks_exact(width).flat_map(&of_row).collect();
        let got = model.run(rows, vec![tensor(&[rows, width], &values)]).expect("a sound model");
        assert_close(&got[0], &tensor(&[rows, expected.len() / rows], &expected));
    }
}

#[test]
fn sums_of_any_number_of_targets_are_right() {
    let width = 5;
    for targets in 1..=27 {
        let weight = |column: usize, target: usize| ((3 * column + target) % 7) as f32 - 3.0;
        let weights: Vec<f32> =
            (0..width).flat_map(|column| (0..targets).map(move |target| weight(column, target))).collect();
        let bias: Vec<f32> = (0..targets).map(|target| target as f32).collect();
        let model = over(width as i64)
            .constant("weights", &tensor(&[width, targets], &weights))
            .constant("bias", &tensor(&[targets], &bias))
            .node("", "MatMul", &["x", "weights"], &["sums"], vec![])
            .node("", "Add", &["sums", "bias"], &["y"], vec![]);
        check(&model, width, |row| {
            let sum = |target: usize| row.iter().enumerate().map(|(column, v)| v * weight(column, target)).sum::<f32>();
            (0..targets).map(|target| sum(target) + target as f32).collect()
        });
    }
}

#[test]
fn a_product_that_is_read_twice_has_its_bias_added_once() {
    let model = over(2)
        .constant("weights", &tensor(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]))
        .constant("bias", &tensor(&[2], &[10.0f32, 20.0]))
        .node("", "MatMul", &["x", "weights"], &["sums"], vec![])
        .node("", "Add", &["sums", "bias"], &["moved"], vec![])
        .node("", "Concat", &["sums", "moved"], &["y"], vec![int("axis", 1)]);
    check(&model, 2, |row| {
        let sums = [row[0] + 3.0 * row[1], 2.0 * row[0] + 4.0 * row[1]];
        vec![sums[0], sums[1], sums[0] + 10.0, sums[1] + 20.0]
    });
}

#[test]
fn doubles_are_summed_as_doubles() {
    let model = ModelBuilder::default()
        .input("x", Element::F64, &[-1, 2])
        .output("y", Element::F64)
        .constant("weights", &tensor(&[2, 3], &[1.0f64, 1e-12, 0.5, 1.0, 1.0, 0.25]))
        .node("", "MatMul", &["x", "weights"], &["sums"], vec![])
        .node("", "Tanh", &["sums"], &["y"], vec![]);
    for rows in ROWS {
        let values = [1.0f64, 1e-9].repeat(rows);
        let got = model.run(rows, vec![tensor(&[rows, 2], &values)]).expect("a sound model");
        let row = [1.0 + 1e-9, 1e-12 + 1e-9, 0.5 + 0.25e-9].map(f64::tanh);
        let got = tensor_values::<f64>(&got[0]).expect("doubles");
        assert!(got.iter().zip(row.iter().cycle()).all(|(a, b)| (a - b).abs() < 1e-15), "{got:?}");
    }
}

/// What is in the columns of a softmax, exported step by step.
#[test]
fn steps_of_arithmetic_follow_each_other() {
    let model = over(3)
        .node("", "ReduceMax", &["x", "axis"], &["most"], vec![int("keepdims", 1)])
        .node("", "Sub", &["x", "most"], &["below"], vec![])
        .node("", "Exp", &["below"], &["powers"], vec![])
        .node("", "ReduceSum", &["powers", "axis"], &["sum"], vec![int("keepdims", 1)])
        .node("", "Div", &["powers", "sum"], &["y"], vec![]);
    let softmax = |row: &[f32]| {
        let most = row.iter().copied().fold(f32::MIN, f32::max);
        let powers: Vec<f32> = row.iter().map(|v| (v - most).exp()).collect();
        let sum: f32 = powers.iter().sum();
        powers.iter().map(|v| v / sum).collect()
    };
    check(&model, 3, softmax);
    check(&over(3).node("", "Softmax", &["x"], &["y"], vec![int("axis", 1)]), 3, softmax);
}

fn position(operator: &str, row: [f32; 3]) -> i64 {
    let model = ModelBuilder::default()
        .input("x", Element::F32, &[-1, 3])
        .output("y", Element::I64)
        .node("", "Abs", &["x"], &["size"], vec![])
        .node("", operator, &["size"], &["y"], vec![int("axis", 1), int("keepdims", 0)]);
    let got = model.run(40, vec![tensor(&[40, 3], &row.repeat(40))]).expect("a sound model");
    let positions = tensor_values::<i64>(&got[0]).expect("positions");
    assert!(positions.iter().all(|at| *at == positions[0]), "{positions:?}");
    positions[0]
}

#[test]
fn the_first_of_equal_extremes_is_found() {
    assert_eq!(position("ArgMax", [1.0, -3.0, 3.0]), 1);
    assert_eq!(position("ArgMin", [2.0, 1.0, -1.0]), 1);
    assert_eq!(position("ArgMax", [f32::NAN, 1.0, 2.0]), 0);
    assert_eq!(position("ArgMin", [2.0, f32::NAN, 1.0]), 2);
    assert_eq!(position("ArgMin", [f32::INFINITY, f32::INFINITY, 2.0]), 2);
}

#[test]
fn the_nearest_come_first_and_of_equal_ones_the_first() {
    let model = over(5)
        .output("at", Element::I64)
        .constant("two", &ints_in(&[1], &[2]))
        .node("", "Abs", &["x"], &["size"], vec![])
        .node("", "TopK", &["size", "two"], &["y", "at"], vec![int("largest", 0)]);
    let row = [3.0f32, -1.0, 0.5, 1.0, -0.5];
    for rows in ROWS {
        let got = model.run(rows, vec![tensor(&[rows, 5], &row.repeat(rows))]).expect("a sound model");
        assert_close(&got[0], &tensor(&[rows, 2], &[0.5f32, 0.5].repeat(rows)));
        assert_eq!(tensor_values::<i64>(&got[1]), Some(&*[2, 4].repeat(rows)));
    }
}

#[test]
fn what_is_only_moved_arrives_where_it_belongs() {
    let model = over(4)
        .constant("pairs", &ints_in(&[3], &[-1, 2, 2]))
        .constant("flat", &ints_in(&[2], &[-1, 4]))
        .constant("from", &ints_in(&[1], &[1]))
        .constant("to", &ints_in(&[1], &[3]))
        .node("", "Reshape", &["x", "pairs"], &["square"], vec![])
        .node("", "Transpose", &["square"], &["turned"], vec![ints("perm", &[0, 2, 1])])
        .node("", "Reshape", &["turned", "flat"], &["again"], vec![])
        .node("", "Softmax", &["again"], &["shares"], vec![int("axis", 1)])
        .node("", "Slice", &["shares", "from", "to", "axis"], &["middle"], vec![])
        .node("", "Concat", &["again", "middle"], &["y"], vec![int("axis", 1)]);
    check(&model, 4, |row| {
        let again = [row[0], row[2], row[1], row[3]];
        let most = again.iter().copied().fold(f32::MIN, f32::max);
        let powers = again.map(|v| (v - most).exp());
        let sum: f32 = powers.iter().sum();
        [again.as_slice(), &[powers[1] / sum, powers[2] / sum]].concat()
    });
}

/// Between two parts lies a node that is of none: a label encoder.
#[test]
fn a_part_before_and_one_behind_another_operator() {
    let keys =
        vec![crate::testing::floats("keys_floats", &[0.0, 1.0]), crate::testing::floats("values_floats", &[5.0, -5.0])];
    let model = over(2)
        .node("", "Softmax", &["x"], &["shares"], vec![int("axis", 1)])
        .node("", "Round", &["shares"], &["whole"], vec![])
        .node("ai.onnx.ml", "LabelEncoder", &["whole"], &["coded"], keys)
        .node("", "Add", &["coded", "shares"], &["both"], vec![])
        .node("", "Softmax", &["both"], &["y"], vec![int("axis", 1)]);
    check(&model, 2, |row| {
        let softmax = |a: f32, b: f32| [1.0 / (1.0 + (b - a).exp()), 1.0 / (1.0 + (a - b).exp())];
        let shares = softmax(row[0], row[1]);
        let both = shares.map(|share| share + if share.round_ties_even() == 0.0 { 5.0 } else { -5.0 });
        softmax(both[0], both[1]).to_vec()
    });
}

#[test]
fn an_index_outside_of_a_list_is_refused() {
    let model = ModelBuilder::default()
        .input("x", Element::F32, &[-1, 3])
        .output("y", Element::F32)
        .constant("list", &tensor(&[2], &[1.0f32, 2.0]))
        .node("", "Abs", &["x"], &["size"], vec![])
        .node("", "ArgMax", &["size"], &["at"], vec![int("axis", 1), int("keepdims", 0)])
        .node("", "Gather", &["list", "at"], &["y"], vec![]);
    let run = |row: [f32; 3]| -> Result<Vec<Tensor>, crate::Error> {
        model.run(200, vec![tensor(&[200, 3], &row.repeat(200))])
    };
    let got = run([1.0, 2.0, 0.0]).expect("an index inside");
    assert_eq!(tensor_values::<f32>(&got[0]), Some(&[2.0f32; 200][..]));
    run([1.0, 2.0, 3.0]).expect_err("an index outside");
}

/// As bins are exported: the first bound that a number is below, or the last bin.
#[test]
fn a_constant_column_takes_part_in_a_search() {
    let model = over(1)
        .constant("bounds", &tensor(&[2], &[-1.0f32, 1.0]))
        .constant("zero", &tensor(&[1], &[0.0f32]))
        .constant("one", &tensor(&[1], &[1.0f32]))
        .node("", "Less", &["x", "bounds"], &["below"], vec![])
        .node("", "Cast", &["below"], &["as_number"], vec![int("to", 1)])
        .node("", "Mul", &["x", "zero"], &["nothing"], vec![])
        .node("", "Add", &["nothing", "one"], &["last"], vec![])
        .node("", "Concat", &["as_number", "last"], &["all"], vec![int("axis", 1)])
        .node("", "ArgMax", &["all"], &["bin"], vec![int("axis", 1), int("keepdims", 1)])
        .node("", "Cast", &["bin"], &["y"], vec![int("to", 1)]);
    check(&model, 1, |row| {
        vec![if row[0] < -1.0 {
            0.0
        } else if row[0] < 1.0 {
            1.0
        } else {
            2.0
        }]
    });
}

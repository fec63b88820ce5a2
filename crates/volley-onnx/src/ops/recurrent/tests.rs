//! Recurrent layers over a few steps, small enough to be computed by hand.

use crate::testing::{ModelBuilder, assert_close, floats, int, string, strings, tensor};
use crate::{Element, Tensor};
use tract_onnx::pb::AttributeProto;

/// A layer of one input value and one hidden value over three steps: `h = f(x + h / 2)`.
fn rnn(attributes: Vec<AttributeProto>, output: &str) -> ModelBuilder {
    let outputs = if output == "all" { ["all", ""] } else { ["", "last"] };
    let attributes = [attributes, vec![int("hidden_size", 1)]].concat();
    ModelBuilder::default()
        .input("x", Element::F32, &[-1, 3, 1])
        .output("y", Element::F32)
        .constant("W", &tensor(&[1, 1, 1], &[1.0f32]))
        .constant("R", &tensor(&[1, 1, 1], &[0.5f32]))
        .node("", "Transpose", &["x"], &["steps"], vec![crate::testing::ints("perm", &[1, 0, 2])])
        .node("", "RNN", &["steps", "W", "R"], &outputs, attributes)
        .node(
            "",
            "Transpose",
            &[output],
            &["y"],
            vec![crate::testing::ints(
                "perm",
                match output {
                    "all" => &[2, 0, 1, 3],
                    _ => &[1, 0, 2],
                },
            )],
        )
}

fn check(model: ModelBuilder, expected: Tensor) {
    let rows = tensor(&[2, 3, 1], &[1.0f32, -2.0, 4.0, 0.0, 0.0, 8.0]);
    let got = model.run(2, vec![rows]).expect("a sound model");
    assert_close(&got[0], &expected);
}

fn relu() -> Vec<AttributeProto> {
    vec![strings("activations", &["Relu"])]
}

#[test]
fn other_activations_than_the_usual_ones_are_taken() {
    check(rnn(relu(), "all"), tensor(&[2, 3, 1, 1], &[1.0f32, 0.0, 4.0, 0.0, 0.0, 8.0]));
    let leaky = vec![strings("activations", &["LeakyRelu"]), floats("activation_alpha", &[0.5])];
    check(rnn(leaky, "all"), tensor(&[2, 3, 1, 1], &[1.0f32, -0.75, 3.625, 0.0, 0.0, 8.0]));
}

#[test]
fn in_reverse_the_last_step_is_the_first() {
    let reverse = || [relu(), vec![string("direction", "reverse")]].concat();
    check(rnn(reverse(), "all"), tensor(&[2, 3, 1, 1], &[1.0f32, 0.0, 4.0, 2.0, 4.0, 8.0]));
    check(rnn(reverse(), "last"), tensor(&[2, 1, 1], &[1.0f32, 2.0]));
}

#[test]
fn sums_are_bounded_where_there_is_a_bound() {
    let bounded = [relu(), vec![crate::testing::float("clip", 3.0)]].concat();
    check(rnn(bounded, "all"), tensor(&[2, 3, 1, 1], &[1.0f32, 0.0, 3.0, 0.0, 0.0, 3.0]));
}

#[test]
fn a_row_ends_where_its_length_says() {
    for (direction, lengths, expected) in [("forward", [2, 3], [0.0f32, 12.0]), ("reverse", [2, 1], [1.0, 0.0])] {
        let mut model = rnn([relu(), vec![string("direction", direction)]].concat(), "last");
        model = model.input("lengths", Element::I32, &[-1]);
        model.graph.node[1].input = ["steps", "W", "R", "", "lengths"].map(String::from).to_vec();
        let rows = tensor(&[2, 3, 1], &[1.0f32, -2.0, 4.0, 0.0, 8.0, 8.0]);
        let got = model.run(2, vec![rows, tensor::<i32>(&[2], &lengths)]).expect("a sound model");
        assert_close(&got[0], &tensor(&[2, 1, 1], &expected));
    }
}

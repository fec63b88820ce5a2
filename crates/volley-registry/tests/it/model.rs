//! A model small enough to be written here byte by byte: `y = x * factor`.

use std::collections::BTreeMap;

use bytes::Bytes;
use volley_model::{Artifact, Limits, inspect};
use volley_registry::Registration;

/// An `.onnx` file with one float input `x` and one float output `y`, both `[N,1]`.
pub fn onnx(factor: f32) -> Bytes {
    let node = [text(1, "x"), text(1, "factor"), text(2, "y"), text(4, "Mul")].concat();
    let factor = [number(1, 1), number(2, FLOAT), text(8, "factor"), field(9, &factor.to_le_bytes())].concat();
    let graph =
        [field(1, &node), text(2, "times"), field(5, &factor), field(11, &port("x")), field(12, &port("y"))].concat();
    let opset = [text(1, ""), number(2, 17)].concat();
    [number(1, 8), field(7, &graph), field(8, &opset)].concat().into()
}

pub fn artifact(factor: f32) -> Artifact {
    Artifact::new(BTreeMap::from([("model.onnx".to_owned(), onnx(factor))]))
}

pub fn registration(factor: f32) -> Registration {
    let artifact = artifact(factor);
    let contract = inspect(&artifact, &Limits::default()).expect("a good model");
    Registration::new(artifact, contract)
}

const FLOAT: u8 = 1;

fn port(name: &str) -> Vec<u8> {
    let shape = [field(1, &text(2, "N")), field(1, &number(1, 1))].concat();
    let tensor = [number(1, FLOAT), field(2, &shape)].concat();
    [text(1, name), field(2, &field(1, &tensor))].concat()
}

fn number(tag: u8, value: u8) -> Vec<u8> {
    assert!(value < 128, "one byte of a varint");
    vec![tag << 3, value]
}

fn text(tag: u8, value: &str) -> Vec<u8> {
    field(tag, value.as_bytes())
}

fn field(tag: u8, value: &[u8]) -> Vec<u8> {
    assert!(value.len() < 16_384, "two bytes of a varint");
    let size = [value.len() as u8 & 0x7f | 0x80, (value.len() >> 7) as u8];
    [&[tag << 3 | 2], &size[..], value].concat()
}

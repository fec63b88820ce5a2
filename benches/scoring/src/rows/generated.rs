//! Rows of normal numbers and of a few words.

use volley_onnx::{Dim, Element, Port};

use super::{Dice, Input, ROWS, Rows, Values};

const WORDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "other"];

impl Rows {
    /// Rows for `model`, whose name says whether there are missing values or categories.
    pub fn generated(ports: &[Port], model: &str) -> Rows {
        let mut dice = Dice::new();
        Rows::new(ports.iter().map(|port| Input::generated(port, model, &mut dice)).collect())
    }
}

impl Input {
    fn generated(port: &Port, model: &str, dice: &mut Dice) -> Input {
        let dim = |dim: &Dim| if let Dim::Fixed(len) = dim { *len } else { 28 };
        let shape: Vec<usize> = port.shape.iter().flatten().skip(1).map(dim).collect();
        let width: usize = shape.iter().product();
        let missing = model.contains("nan") || port.name.contains("nan");
        let value = |at: usize| match at % width {
            column if model.contains("cat_") && column >= 24 => dice.below(20) as f32,
            _ if missing && dice.below(20) == 0 => f32::NAN,
            _ => dice.normal(),
        };
        let values = match port.element {
            Element::String => Values::Texts((0..ROWS * width).map(|_| WORDS[dice.below(8)].to_owned()).collect()),
            _ => Values::Floats((0..ROWS * width).map(value).collect()),
        };
        Input { name: port.name.clone(), shape, values }
    }
}

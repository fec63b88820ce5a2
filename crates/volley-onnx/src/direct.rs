//! The direct road: a graph of encoders, scalers, linear models and trees, run column by column in blocks of rows.
//!
//! The graph is read once, for a single row, in which every element of a tensor is a number of its own: [`recognise`]
//! makes a column of each, and steps that compute columns from columns. Operators that only move elements cost nothing
//! then. A plan takes a block of [`BLOCK_ROWS`] rows through all steps before the next, so that everything in between
//! stays in the near caches, and no tensor of all rows is made. A graph of which a part is not understood takes the
//! other road as a whole.

mod answers;
mod arithmetic;
mod block;
mod builder;
mod lookup;
mod map;
mod number;
mod over_row;
mod recognise;
mod reductions;
mod rows;
mod shapes;
mod sums;
mod transpose;
mod value;
mod words;

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::tract_hir::internal::TypedModel;

use crate::error::Error;
use answers::Answer;
use block::{Arena, BLOCK_ROWS, Column, Layout, Lent};
use builder::Placed;

pub use answers::Values;
pub(crate) use arithmetic::cast;
pub(crate) use block::{AnyColumn, Block, Cell, Column as RowColumn, Step};
pub(crate) use builder::Builder;
pub(crate) use rows::TensorRows;
pub use rows::{Place, Rows};
pub(crate) use shapes::looked_up;
pub(crate) use value::{Cells, Given, Text, longs};
pub(crate) use words::Numbers;
pub use words::Words;

/// A graph that is run on the direct road.
pub(crate) struct Direct {
    loads: Vec<Loads>,
    texts: Vec<Texts>,
    steps: Vec<Placed>,
    answers: Vec<Answer>,
    layout: Layout,
    idle: Mutex<Vec<Arena>>,
}

/// The columns of an input that are needed, with their places in ascending order. All are of one type.
#[derive(Default)]
struct Loads {
    input: usize,
    places: Vec<usize>,
    singles: Vec<Column<f32>>,
    doubles: Vec<Column<f64>>,
    longs: Vec<Column<i64>>,
}

/// The codes of an input of texts.
struct Texts {
    place: Place,
    words: Arc<Words>,
    column: Column<u32>,
}

impl Direct {
    /// The plan for `model`, a decluttered graph for one row; `None` if a part of it is not understood.
    pub(crate) fn of(model: &TypedModel) -> Option<Direct> {
        recognise::recognise(model)
    }

    /// Whether `model`, typed for `rows` rows, may be understood when it is typed for one: nets never are.
    pub(crate) fn is_possible(model: &TypedModel, rows: usize) -> bool {
        !model.nodes().iter().any(|node| recognise::is_of_net(node, rows))
    }

    fn new(loads: Vec<Loads>, texts: Vec<Texts>, steps: Vec<Placed>, answers: Vec<Answer>, layout: Layout) -> Direct {
        Direct { loads, texts, steps, answers, layout, idle: Mutex::default() }
    }

    /// Scores all rows.
    pub(crate) fn score(&self, rows: &dyn Rows) -> Result<Vec<Values>, Error> {
        let arena = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut arena = arena.unwrap_or_else(|| Arena::new(&self.layout));
        // The message of a panic may hold values of the data.
        let values = catch_unwind(AssertUnwindSafe(|| self.score_in(&mut arena, rows)))
            .map_err(|_| Error::Panicked("on the direct road".into()))??;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
        Ok(values)
    }

    fn score_in(&self, arena: &mut Arena, rows: &dyn Rows) -> Result<Vec<Values>, Error> {
        let count = rows.count();
        let codes: Vec<Vec<u32>> = self.texts.iter().map(|it| rows.codes(it.place, &it.words)).collect();
        let mut values: Vec<Values> = self.answers.iter().map(|answer| answer.values(count)).collect();
        let mut lent = Lent::new(&self.layout);
        for first in (0..count).step_by(BLOCK_ROWS) {
            let range = first..count.min(first + BLOCK_ROWS);
            let mut block = Block::new(&self.layout, arena, &mut lent, range.len());
            for (texts, codes) in self.texts.iter().zip(&codes) {
                block.load(texts.column, |_| Some(&codes[range.clone()]));
            }
            self.loads.iter().for_each(|loads| loads.load(&mut block, rows, &range));
            for placed in &self.steps {
                placed.step.run(&mut block).map_err(|why| Error::Failed(format!("{}: {why}", placed.node)))?;
            }
            self.answers.iter().zip(&mut values).for_each(|(answer, values)| answer.write(&block, first, values));
        }
        Ok(values)
    }
}

impl Loads {
    fn add(&mut self, place: usize, column: AnyColumn) {
        self.places.push(place);
        self.singles.extend(column.of::<f32>());
        self.doubles.extend(column.of::<f64>());
        self.longs.extend(column.of::<i64>());
    }

    fn load<'r>(&self, block: &mut Block<'_, 'r>, rows: &'r dyn Rows, range: &Range<usize>) {
        if let (false, Some(matrix)) = (self.singles.is_empty(), rows.matrix(self.input)) {
            let width = matrix.len() / rows.count();
            let matrix = &matrix[range.start * width..range.end * width];
            block.fill_all(&self.singles, |_, cells| transpose::columns(matrix, width, &self.places, cells));
            return;
        }
        let place = |at: usize| Place { input: self.input, at };
        for (&at, &column) in self.places.iter().zip(&self.singles) {
            block.load(column, |cells| rows.singles(place(at), range.clone(), cells));
        }
        for (&at, &column) in self.places.iter().zip(&self.doubles) {
            block.load(column, |cells| rows.doubles(place(at), range.clone(), cells));
        }
        for (&at, &column) in self.places.iter().zip(&self.longs) {
            block.load(column, |cells| rows.longs(place(at), range.clone(), cells));
        }
    }
}

impl fmt::Debug for Direct {
    // Trees of a hundred megabytes are not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Direct({} steps)", self.steps.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ModelBuilder, floats, int, ints_in, string, strings, strings_in, tensor};
    use crate::{Element, Road, Tensor, tensor_values};

    /// Numbers imputed and scaled beside one-hot texts, and a logistic regression over all.
    fn pipeline(zeros: i64) -> ModelBuilder {
        let imputed =
            vec![floats("imputed_value_floats", &[1.0, 2.0]), crate::testing::float("replaced_value_float", f32::NAN)];
        let weights = [0.5, -1.0, 2.0, 0.25, -0.5, 1.0, -2.0, -0.25];
        let classifier = vec![
            floats("coefficients", &weights),
            floats("intercepts", &[0.0, 0.0]),
            strings("classlabels_strings", &["no", "yes"]),
            string("post_transform", "SOFTMAX"),
        ];
        ModelBuilder::default()
            .input("numbers", Element::F32, &[-1, 2])
            .input("text", Element::String, &[-1, 1])
            .output("label", Element::String)
            .output("scores", Element::F32)
            .constant("flat", &ints_in(&[2], &[-1, 2]))
            .node("ai.onnx.ml", "Imputer", &["numbers"], &["full"], imputed)
            .node(
                "ai.onnx.ml",
                "Scaler",
                &["full"],
                &["scaled"],
                vec![floats("offset", &[0.5]), floats("scale", &[2.0])],
            )
            .node(
                "ai.onnx.ml",
                "OneHotEncoder",
                &["text"],
                &["hot"],
                vec![strings("cats_strings", &["a", "b"]), int("zeros", zeros)],
            )
            .node("", "Reshape", &["hot", "flat"], &["encoded"], vec![])
            .node("", "Concat", &["scaled", "encoded"], &["all"], vec![int("axis", 1)])
            .node("ai.onnx.ml", "LinearClassifier", &["all"], &["label", "scores"], classifier)
    }

    /// So many rows, of which some have missing values.
    fn rows(count: usize) -> Vec<Tensor> {
        let number = |at: usize| if at % 7 == 3 { f32::NAN } else { (at % 11) as f32 - 5.0 };
        let numbers: Vec<f32> = (0..2 * count).map(number).collect();
        let texts: Vec<&str> = (0..count).map(|row| ["a", "b"][row / 3 % 2]).collect();
        vec![tensor(&[count, 2], &numbers), strings_in(&[count, 1], &texts)]
    }

    #[test]
    fn encoders_before_a_linear_model_take_the_direct_road_to_the_same_scores() {
        let graph = pipeline(1).parse().expect("a sound model");
        let (direct, tensors) = (graph.plan().expect("a plan"), graph.plan_on_tensors().expect("a plan"));
        assert_eq!((direct.road(), tensors.road()), (Road::Direct, Road::Tensors));
        for count in [0, 1, 255, 256, 257, 2000] {
            let (a, b) = (direct.run(count, rows(count)), tensors.run(count, rows(count)));
            assert_eq!(a.expect("scores"), b.expect("scores"), "{count} rows");
        }
    }

    #[test]
    fn a_strict_encoder_refuses_a_row_of_any_block_and_the_plan_lives_on() {
        let plan = pipeline(0).parse().and_then(|graph| graph.plan()).expect("a sound model");
        assert_eq!(plan.road(), Road::Direct);
        let mut inputs = rows(600);
        let mut texts = tensor_values::<String>(&inputs[1]).expect("texts").to_vec();
        texts[500] = "c".into();
        inputs[1] = crate::tensor_from(&[600, 1], texts);
        let error = plan.run(600, inputs).expect_err("an unknown text");
        assert!(error.to_string().contains("(OneHotEncoder): a category is not among those"), "{error}");
        plan.run(600, rows(600)).expect("the plan is unharmed");
    }

    fn check_road(sums: usize, road: Road) {
        let model = ModelBuilder::default()
            .input("x", Element::F32, &[-1, 2])
            .output("y", Element::F32)
            .constant("weights", &tensor(&[2, sums], &vec![1.0f32; 2 * sums]))
            .node("", "MatMul", &["x", "weights"], &["y"], vec![]);
        let plan = model.parse().and_then(|graph| graph.plan()).expect("a sound model");
        assert_eq!(plan.road(), road, "{sums} sums");
    }

    #[test]
    fn wide_products_are_left_to_the_road_through_tensors() {
        check_road(16, Road::Direct);
        check_road(17, Road::Tensors);
    }
}

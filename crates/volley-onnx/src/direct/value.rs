//! What a tensor is on the direct road: the columns of its elements, for a graph of one row.

use std::sync::Arc;

use tract_onnx::tract_hir::internal::*;

use super::block::Column;
use super::builder::Builder;
use super::number::Float;
use super::rows::Place;
use super::words::Words;
use crate::tensor::tensor_values;

/// A tensor that depends on the row.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) cells: Cells,
    /// Its shape for one row.
    pub(crate) dims: TVec<usize>,
    /// If known, what all its integers are below, and none is negative.
    pub(crate) below: Option<usize>,
}

/// The columns of a tensor's elements in row-major order.
#[derive(Debug, Clone)]
pub(crate) enum Cells {
    Singles(Vec<Column<f32>>),
    Doubles(Vec<Column<f64>>),
    /// Integers of any width, and booleans as 0 and 1.
    Longs(Vec<Column<i64>>),
    Texts(Vec<Text>),
}

/// A text of each row.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    /// That of an input.
    Given(Place),
    /// One of a list.
    Picked(Column<u32>, Arc<[String]>),
}

/// What goes into an operator.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    Value(Value),
    /// The same for all rows.
    Constant(Arc<Tensor>),
}

impl Given {
    /// What depends on the row.
    pub(crate) fn value(&self) -> Option<&Value> {
        match self {
            Given::Value(value) => Some(value),
            Given::Constant(_) => None,
        }
    }

    pub(crate) fn dims(&self) -> &[usize] {
        match self {
            Given::Value(value) => &value.dims,
            Given::Constant(tensor) => tensor.shape(),
        }
    }
}

impl Text {
    /// What `words` says of it.
    pub(crate) fn codes(&self, words: &Arc<Words>, build: &mut Builder) -> Column<u32> {
        match self {
            Text::Given(place) => build.codes(*place, words.clone()),
            Text::Picked(codes, list) => build.pick(*codes, &list.iter().map(|text| words.code(text)).collect()),
        }
    }
}

impl Cells {
    pub(crate) fn len(&self) -> usize {
        match self {
            Cells::Singles(columns) => columns.len(),
            Cells::Doubles(columns) => columns.len(),
            Cells::Longs(columns) => columns.len(),
            Cells::Texts(texts) => texts.len(),
        }
    }

    /// Those at some places, in their order.
    pub(crate) fn at(&self, places: &[usize]) -> Cells {
        fn each<T: Clone>(list: &[T], places: &[usize]) -> Vec<T> {
            places.iter().map(|&place| list[place].clone()).collect()
        }
        match self {
            Cells::Singles(columns) => Cells::Singles(each(columns, places)),
            Cells::Doubles(columns) => Cells::Doubles(each(columns, places)),
            Cells::Longs(columns) => Cells::Longs(each(columns, places)),
            Cells::Texts(texts) => Cells::Texts(each(texts, places)),
        }
    }

    /// Numbers as singles; texts are none.
    pub(crate) fn singles(&self, build: &mut Builder) -> Option<Vec<Column<f32>>> {
        Some(match self {
            Cells::Singles(columns) => columns.clone(),
            Cells::Doubles(columns) => columns.iter().map(|&it| build.map(it, |v| v as f32)).collect(),
            Cells::Longs(columns) => columns.iter().map(|&it| build.map(it, |v| v as f32)).collect(),
            Cells::Texts(_) => return None,
        })
    }
}

impl Value {
    /// The length of its rows, if it is a matrix of them.
    pub(crate) fn matrix_columns(&self) -> Option<usize> {
        match *self.dims {
            [1, columns] => Some(columns),
            _ => None,
        }
    }
}

/// An element that may be the same for all rows.
#[derive(Clone, Copy)]
pub(crate) enum Term<T> {
    Column(Column<T>),
    Number(T),
}

impl<T: super::block::Cell> Term<T> {
    pub(crate) fn column(self, build: &mut Builder) -> Column<T> {
        match self {
            Term::Column(column) => column,
            Term::Number(number) => build.constant(number),
        }
    }

    /// What `function` makes of it and another.
    pub(crate) fn with<U: super::block::Cell, V: super::block::Cell>(
        self,
        other: Term<U>,
        build: &mut Builder,
        function: impl Fn(T, U) -> V + Send + Sync + 'static,
    ) -> Column<V> {
        match (self, other) {
            (Term::Column(a), Term::Column(b)) => build.pair(a, b, function),
            (Term::Column(a), Term::Number(b)) => build.map(a, move |a| function(a, b)),
            (Term::Number(a), Term::Column(b)) => build.map(b, move |b| function(a, b)),
            (Term::Number(a), Term::Number(b)) => build.constant(function(a, b)),
        }
    }
}

impl Given {
    /// The elements as they are broadcast to `dims`, if they are of this precision.
    pub(crate) fn floats<T: Float + Datum>(&self, dims: &[usize]) -> Option<Vec<Term<T>>> {
        let places = broadcast(self.dims(), dims)?;
        match self {
            Given::Constant(tensor) => {
                let numbers = tensor_values::<T>(tensor)?;
                Some(places.into_iter().map(|place| Term::Number(numbers[place])).collect())
            }
            Given::Value(value) => {
                let columns = T::columns(&value.cells)?;
                Some(places.into_iter().map(|place| Term::Column(columns[place])).collect())
            }
        }
    }

    /// The same for integers and booleans.
    pub(crate) fn longs(&self, dims: &[usize]) -> Option<Vec<Term<i64>>> {
        let places = broadcast(self.dims(), dims)?;
        match self {
            Given::Constant(tensor) => {
                let numbers = longs(tensor)?;
                Some(places.into_iter().map(|place| Term::Number(numbers[place])).collect())
            }
            Given::Value(Value { cells: Cells::Longs(columns), .. }) => {
                Some(places.into_iter().map(|place| Term::Column(columns[place])).collect())
            }
            Given::Value(_) => None,
        }
    }
}

/// The elements of a constant of integers or booleans.
pub(crate) fn longs(tensor: &Tensor) -> Option<Vec<i64>> {
    if tensor.datum_type() == DatumType::Bool {
        return Some(tensor_values::<bool>(tensor)?.iter().map(|&v| i64::from(v)).collect());
    }
    if !tensor.datum_type().is_integer() && tensor.datum_type() != DatumType::TDim {
        return None;
    }
    Some(tensor_values::<i64>(&*tensor.cast_to::<i64>().ok()?)?.to_vec())
}

/// For each element of a tensor of shape `to`, the place of the element of one of shape `from` that is broadcast to it.
pub(crate) fn broadcast(from: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    let leading = to.len().checked_sub(from.len())?;
    let fits = from.iter().zip(&to[leading..]).all(|(&from, &to)| from == to || from == 1);
    fits.then(|| {
        places(to, |index| {
            let index = index[leading..].iter().zip(from);
            index.fold(0, |place, (&at, &len)| place * len + if len == 1 { 0 } else { at })
        })
    })
}

/// What `place` says of the index of each element of a tensor of shape `dims`, in row-major order.
pub(crate) fn places(dims: &[usize], mut place: impl FnMut(&[usize]) -> usize) -> Vec<usize> {
    let mut index = vec![0; dims.len()];
    let mut found = Vec::with_capacity(dims.iter().product());
    for _ in 0..dims.iter().product() {
        found.push(place(&index));
        for (at, &len) in index.iter_mut().zip(dims).rev() {
            *at += 1;
            if *at < len {
                break;
            }
            *at = 0;
        }
    }
    found
}

/// The place of the element at `index` in a tensor of shape `dims`.
pub(crate) fn flat(index: &[usize], dims: &[usize]) -> usize {
    index.iter().zip(dims).fold(0, |place, (&at, &len)| place * len + at)
}

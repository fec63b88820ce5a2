//! What one row of a graph's input looks like.

use volley_onnx::{Dim, Port};

use crate::{GraphInput, ModelError};

/// The dimensions of an input after the first; `None` where the graph declares no shape at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row(Option<Vec<Option<usize>>>);

impl Row {
    pub(super) fn of(port: &Port) -> Result<Self, ModelError> {
        match port.shape.as_deref() {
            None => Ok(Self(None)),
            Some([]) => Err(unsupported(port, "is a single value and has no rows")),
            // Ambiguous: one row of n features without a batch dimension, or n rows of one feature.
            Some([Dim::Fixed(n)]) if *n > 1 => {
                Err(unsupported(port, "has one fixed dimension and no free one for rows; export it as [N, features]"))
            }
            Some([_, row @ ..]) => Ok(Self(Some(row.iter().map(fixed).collect()))),
        }
    }

    /// As declared by a signature, for a graph that declares nothing.
    pub(super) fn declared(row: &[Option<usize>]) -> Self {
        Self(Some(row.to_vec()))
    }

    /// Values of one row; `None` where a dimension is open.
    pub(super) fn width(&self) -> Option<usize> {
        self.0.as_ref()?.iter().copied().product()
    }

    /// Sets the open dimension so that a row has `width` values; whether that works.
    pub(super) fn set_width(&mut self, width: usize) -> bool {
        if let Some(fixed) = self.width() {
            return fixed == width;
        }
        let row = self.0.get_or_insert_with(|| vec![None]);
        let known: usize = row.iter().flatten().product();
        let mut open = row.iter_mut().filter(|dim| dim.is_none());
        match (open.next(), open.next()) {
            (Some(dim), None) if known > 0 && width.is_multiple_of(known) => {
                *dim = Some(width / known);
                true
            }
            _ => false,
        }
    }

    /// Takes what another declaration fixes; whether the two agree. `[N]` and `[N,1]` do.
    pub(super) fn merge(&mut self, other: &[Option<usize>]) -> bool {
        let Some(row) = &mut self.0 else {
            *self = Self::declared(other);
            return true;
        };
        if row.len() != other.len() {
            return other.iter().copied().product::<Option<usize>>().is_some_and(|width| Some(width) == self.width());
        }
        let agree = row.iter().zip(other).all(|(a, b)| a.is_none() || b.is_none() || a == b);
        row.iter_mut().zip(other).for_each(|(dim, other)| *dim = dim.or(*other));
        agree
    }

    pub(super) fn graph_input(self, port: &Port) -> Result<GraphInput, ModelError> {
        let row = self.0.ok_or_else(|| unsupported(port, "declares no shape; log the model with a signature"))?;
        if row.iter().filter(|dim| dim.is_none()).count() > 1 {
            return Err(unsupported(
                port,
                "leaves more than one dimension open; log the model with a tensor signature",
            ));
        }
        Ok(GraphInput { name: port.name.clone(), element: port.element.into(), row })
    }
}

fn fixed(dim: &Dim) -> Option<usize> {
    match dim {
        Dim::Fixed(len) => Some(*len),
        Dim::Free => None,
    }
}

fn unsupported(port: &Port, what: &str) -> ModelError {
    ModelError::UnsupportedInput(format!("the graph's input `{}` {what}", port.name))
}

#[cfg(test)]
mod tests {
    use volley_onnx::Element;

    use super::*;

    fn row(shape: &[Dim]) -> Result<Row, ModelError> {
        Row::of(&Port { name: "x".to_owned(), element: Element::F32, shape: Some(shape.to_vec()) })
    }

    #[test]
    fn a_row_is_what_follows_the_first_dimension() {
        assert_eq!(row(&[Dim::Free]).expect("rows of one value").width(), Some(1));
        assert_eq!(row(&[Dim::Free, Dim::Fixed(4)]).expect("rows").width(), Some(4));
        assert_eq!(row(&[Dim::Fixed(1), Dim::Fixed(2), Dim::Fixed(3)]).expect("rows").width(), Some(6));
        assert_eq!(row(&[Dim::Free, Dim::Free]).expect("open rows").width(), None);
        assert_eq!(row(&[]).expect_err("no rows").code(), "unsupported_input");
        assert_eq!(row(&[Dim::Fixed(4)]).expect_err("no rows").code(), "unsupported_input");
    }

    #[test]
    fn an_open_dimension_takes_the_width_of_the_signature() {
        let mut open = row(&[Dim::Free, Dim::Free]).expect("open rows");
        assert!(open.set_width(3));
        assert_eq!(open.width(), Some(3));
        assert!(!open.set_width(4));
    }

    #[test]
    fn two_declarations_agree_where_both_speak() {
        let agree = |shape: &[Dim], other: &[Option<usize>]| row(shape).expect("rows").merge(other);
        assert!(agree(&[Dim::Free, Dim::Free], &[Some(4)]));
        assert!(agree(&[Dim::Free, Dim::Fixed(4)], &[None]));
        assert!(agree(&[Dim::Free], &[Some(1)]));
        assert!(agree(&[Dim::Free, Dim::Fixed(1)], &[]));
        assert!(!agree(&[Dim::Free, Dim::Fixed(4)], &[Some(5)]));
        assert!(!agree(&[Dim::Free, Dim::Fixed(4)], &[]));
    }
}

//! What a tensor is to a program: a cell for each place of a row, and where the rows lie among its axes.

use tract_onnx::tract_hir::internal::*;

use super::memory::Bank;

/// What the numbers of a tensor mean, apart from how they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    Double,
    /// Integers of this type, stored with 64 bits.
    Whole(DatumType),
    /// Stored as single 0 or 1.
    Truth,
}

impl Kind {
    pub(super) fn of(element: DatumType) -> Option<Kind> {
        Some(match element {
            DatumType::F32 => Kind::Single,
            DatumType::F64 => Kind::Double,
            DatumType::I64 | DatumType::I32 => Kind::Whole(element),
            DatumType::Bool => Kind::Truth,
            _ => return None,
        })
    }

    pub(super) fn bank(self) -> Bank {
        match self {
            Kind::Single | Kind::Truth => Bank::Singles,
            Kind::Double => Bank::Doubles,
            Kind::Whole(_) => Bank::Longs,
        }
    }
}

/// One number of each row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    /// A column.
    Slot(u32),
    /// The same for all rows.
    Real(f64),
    /// The same for all rows.
    Whole(i64),
}

/// A tensor.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub(super) kind: Kind,
    /// Its axes; that of the rows counts as one long.
    pub(super) dims: Vec<usize>,
    /// Which axis is that of the rows, if any.
    pub(super) rows_at: Option<usize>,
    /// In row-major order of `dims`.
    pub(super) cells: Vec<Cell>,
}

/// More constant numbers than this are not for a program.
const CONSTANTS_MAX: usize = 1 << 14;

impl Value {
    pub(super) fn constant(tensor: &Tensor) -> Option<Value> {
        let kind = Kind::of(tensor.datum_type())?;
        if tensor.len() > CONSTANTS_MAX {
            return None;
        }
        let cells = match kind {
            Kind::Whole(_) => {
                let numbers = tensor.cast_to::<i64>().ok()?;
                crate::tensor_values::<i64>(&numbers)?.iter().map(|&v| Cell::Whole(v)).collect()
            }
            Kind::Truth => {
                crate::tensor_values::<bool>(tensor)?.iter().map(|&v| Cell::Real(f64::from(u8::from(v)))).collect()
            }
            _ => {
                let numbers = tensor.cast_to::<f64>().ok()?;
                crate::tensor_values::<f64>(&numbers)?.iter().map(|&v| Cell::Real(v)).collect()
            }
        };
        Some(Value { kind, dims: tensor.shape().to_vec(), rows_at: None, cells })
    }

    /// Its cells as if it had the axes `dims`, of which some are longer than its own of length one.
    pub(super) fn broadcast(&self, dims: &[usize]) -> Option<Vec<Cell>> {
        if self.dims.len() != dims.len() {
            return None;
        }
        if self.dims == dims {
            return Some(self.cells.clone());
        }
        let fits = self.dims.iter().zip(dims).all(|(own, wide)| own == wide || *own == 1);
        fits.then(|| places(dims).map(|place| self.cells[self.index(&place)]).collect())
    }

    fn index(&self, place: &[usize]) -> usize {
        let own = self.dims.iter().zip(place);
        own.fold(0, |index, (&dim, &at)| index * dim + if dim == 1 { 0 } else { at })
    }

    /// With the axis at `from` moved to `to`.
    pub(super) fn moved(&self, from: usize, to: usize) -> Value {
        let mut order: Vec<usize> = (0..self.dims.len()).collect();
        let axis = order.remove(from);
        order.insert(to, axis);
        let dims: Vec<usize> = order.iter().map(|&axis| self.dims[axis]).collect();
        let cell = |place: Vec<usize>| {
            let mut own = vec![0; place.len()];
            order.iter().zip(place).for_each(|(&axis, at)| own[axis] = at);
            self.cells[self.index(&own)]
        };
        let cells = places(&dims).map(cell).collect();
        let rows_at = self.rows_at.and_then(|rows| order.iter().position(|&axis| axis == rows));
        Value { kind: self.kind, dims, rows_at, cells }
    }

    /// The places `at` of an axis, in that order.
    pub(super) fn picked(&self, axis: usize, at: &[usize]) -> Option<Value> {
        let len = *self.dims.get(axis)?;
        if self.rows_at == Some(axis) || at.iter().any(|&at| at >= len) {
            return None;
        }
        let mut dims = self.dims.clone();
        dims[axis] = at.len();
        let cell = |mut place: Vec<usize>| {
            place[axis] = at[place[axis]];
            self.cells[self.index(&place)]
        };
        let cells = places(&dims).map(cell).collect();
        Some(Value { dims, cells, ..self.clone() })
    }

    /// Cells that differ in `axes` alone, in their order, and the axes of what is left: those at one.
    pub(super) fn groups(&self, axes: &[usize]) -> Option<(Vec<usize>, Vec<Vec<Cell>>)> {
        // A file may name any axes.
        if axes.iter().any(|&axis| axis >= self.dims.len() || self.rows_at == Some(axis)) {
            return None;
        }
        let mut dims = self.dims.clone();
        axes.iter().for_each(|&axis| dims[axis] = 1);
        let mut groups = vec![Vec::new(); dims.iter().product()];
        let left = Value { dims: dims.clone(), ..self.clone() };
        for place in places(&self.dims) {
            groups[left.index(&place)].push(self.cells[self.index(&place)]);
        }
        Some((dims, groups))
    }
}

/// The axes of what two tensors make together; `None` if their rows do not lie alike.
pub(super) fn together(values: &[&Value]) -> Option<(Vec<usize>, Option<usize>)> {
    let rank = values.first()?.dims.len();
    let mut rows_at = values.iter().filter_map(|value| value.rows_at);
    let first = rows_at.next();
    if rows_at.any(|at| Some(at) != first) || values.iter().any(|value| value.dims.len() != rank) {
        return None;
    }
    let dims: Vec<usize> = (0..rank).map(|axis| values.iter().map(|it| it.dims[axis]).max().unwrap_or(1)).collect();
    // A constant with a number for each row is not the same for all rows.
    first.is_none_or(|at| dims[at] == 1).then_some((dims, first))
}

/// All places of a tensor with axes `dims`, in row-major order.
fn places(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let count: usize = dims.iter().product();
    (0..count).map(move |mut index| {
        let mut place = vec![0; dims.len()];
        for (axis, dim) in dims.iter().enumerate().rev() {
            place[axis] = index % dim;
            index /= dim;
        }
        place
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_that_a_tensor_has_not_is_refused() {
        let cells = (0..6).map(Cell::Whole).collect();
        let value = Value { kind: Kind::Single, dims: vec![1, 6], rows_at: Some(0), cells };
        assert_eq!(value.groups(&[1]).map(|(dims, groups)| (dims, groups.len())), Some((vec![1, 1], 1)));
        assert!(value.groups(&[44]).is_none() && value.groups(&[0]).is_none());
        assert!(value.picked(2, &[0]).is_none() && value.picked(1, &[6]).is_none());
    }
}

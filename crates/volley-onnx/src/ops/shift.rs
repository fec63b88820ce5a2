//! `BitShift`, with nothing left of what is shifted out: tract, like the processor, counts places in a circle, so that
//! a byte shifted by eight places stays as it is.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::binary::BinMiniOp;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::binary::BinIntoHir;

use super::Built;
use super::exact::{in_place, into};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shift {
    Left,
    Right,
}

pub(super) fn build(_: &ParsingContext, node: &NodeProto) -> Built {
    match node.get_attr::<&str>("direction")? {
        "LEFT" => Ok((Shift::Left.into_hir(), vec![])),
        "RIGHT" => Ok((Shift::Right.into_hir(), vec![])),
        _ => node.bail_attr("direction", "is neither LEFT nor RIGHT"),
    }
}

/// Integers that are shifted.
trait Bits: Datum + Copy {
    /// By fewer places than none nothing is left either.
    fn shifted(self, shift: Shift, places: Self) -> Self;
}

macro_rules! bits {
    ($($type:ty)*) => {$(
        impl Bits for $type {
            fn shifted(self, shift: Shift, places: Self) -> Self {
                let places = i128::from(places);
                match (shift, (0..i128::from(<$type>::BITS)).contains(&places)) {
                    (Shift::Left, true) => self << places,
                    (Shift::Left, false) => 0,
                    (Shift::Right, true) => self >> places,
                    // In two steps, as a single one cannot be so long; a negative number leaves its sign.
                    (Shift::Right, false) => self >> (<$type>::BITS - 1) >> 1,
                }
            }
        }
    )*};
}

bits!(i8 i16 i32 i64 u8 u16 u32 u64);

macro_rules! with_type_of {
    ($tensor:expr, $work:ident($($argument:expr),*)) => {
        match $tensor.datum_type() {
            DatumType::I8 => $work::<i8>($($argument),*),
            DatumType::I16 => $work::<i16>($($argument),*),
            DatumType::I32 => $work::<i32>($($argument),*),
            DatumType::I64 => $work::<i64>($($argument),*),
            DatumType::U8 => $work::<u8>($($argument),*),
            DatumType::U16 => $work::<u16>($($argument),*),
            DatumType::U32 => $work::<u32>($($argument),*),
            DatumType::U64 => $work::<u64>($($argument),*),
            other => bail!("integers are needed, not {other:?}"),
        }
    };
}

impl BinMiniOp for Shift {
    fn name(&self) -> &'static str {
        "BitShift"
    }

    fn is_commutative(&self) -> bool {
        false
    }

    fn result_datum_type(&self, a: DatumType, b: DatumType) -> TractResult<DatumType> {
        ensure!(a == b && a.is_integer(), "integers of one type are needed, not {a:?} and {b:?}");
        Ok(a)
    }

    fn eval_in_a(&self, a: &mut Tensor, b: &Tensor) -> TractResult<()> {
        fn each<T: Bits>(shift: Shift, a: &mut Tensor, b: &Tensor) -> TractResult<()> {
            in_place(a, b, |a: T, places: T| a.shifted(shift, places))
        }
        with_type_of!(a, each(*self, a, b))
    }

    fn eval_out_of_place(&self, c: &mut Tensor, a: &Tensor, b: &Tensor) -> TractResult<()> {
        fn each<T: Bits>(shift: Shift, c: &mut Tensor, a: &Tensor, b: &Tensor) -> TractResult<()> {
            into(c, a, b, |a: T, places: T| a.shifted(shift, places))
        }
        with_type_of!(a, each(*self, c, a, b))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ints_in, standard, string, tensor};

    #[test]
    fn nothing_is_left_of_what_is_shifted_out() {
        let [left, right] = ["LEFT", "RIGHT"].map(|direction| {
            move |places| standard("BitShift", vec![string("direction", direction)]).with(tensor(&[1], &[places]))
        });
        let row = || tensor(&[1, 3], &[-8i32, 5, 1]);
        left(1).gives(row(), tensor(&[1, 3], &[-16i32, 10, 2]));
        left(32).gives(row(), tensor(&[1, 3], &[0i32; 3]));
        left(-1).gives(row(), tensor(&[1, 3], &[0i32; 3]));
        right(1).gives(row(), tensor(&[1, 3], &[-4i32, 2, 0]));
        for places in [40, -1] {
            right(places).gives(row(), tensor(&[1, 3], &[-1i32, 0, 0]));
        }
    }

    #[test]
    fn wide_integers_are_shifted_too() {
        let shift = standard("BitShift", vec![string("direction", "RIGHT")]).with(ints_in(&[1], &[64]));
        shift.gives(ints_in(&[1, 2], &[i64::MAX, i64::MIN]), ints_in(&[1, 2], &[0, -1]));
    }
}

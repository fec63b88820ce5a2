//! Which column types an input accepts: decided by types alone, never by values.

use arrow::datatypes::DataType;

use crate::fill::fill_value;
use crate::{Element, Input, InputType, NullRule};

/// How a column fits an input that accepts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Every value arrives as it is.
    Exact,
    /// Some values of the type are rounded, once.
    Rounds,
}

/// Why an input refuses a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another kind of thing.
    Mismatch,
    /// A number that would lose more than its last digits.
    Lossy,
}

impl Refusal {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Refusal::Mismatch => "type_mismatch",
            Refusal::Lossy => "lossy_coercion",
        }
    }
}

/// The table: whether a column of `from` may feed an input declared as `declared` over a graph that reads `element`.
/// The declared type decides what is accepted, both together whether it is exact.
pub(crate) fn coerce(from: &DataType, declared: &InputType, element: Element) -> Result<Fit, Refusal> {
    match (declared, list_element(from)) {
        (_, None) if *from == DataType::Null => Ok(Fit::Exact),
        (InputType::List { element: item, len }, Some((from_item, from_len))) => {
            if matches!((len, from_len), (Some(len), Some(from_len)) if *len != from_len) {
                return Err(Refusal::Mismatch);
            }
            coerce(from_item, item, element)
        }
        (InputType::List { .. }, None) | (_, Some(_)) => Err(Refusal::Mismatch),
        (scalar, None) => coerce_scalar(&Kind::of(from), scalar, element),
    }
}

fn coerce_scalar(from: &Kind, declared: &InputType, element: Element) -> Result<Fit, Refusal> {
    match (from, declared) {
        (Kind::Null, _) | (Kind::Boolean, InputType::Boolean) | (Kind::Text, InputType::String) => Ok(Fit::Exact),
        (Kind::Instant, InputType::Datetime) => Ok(if element.is_float() { Fit::Rounds } else { Fit::Exact }),
        (Kind::Integer(range), to) if mantissa(to).is_some() => Ok(range.fit(float_digits(to, element))),
        (Kind::Integer(range), to) if IntRange::of_input(to).is_some() => range.into_integer(to, element),
        (Kind::Fraction(digits), to) if mantissa(to).is_some() => Ok(fits(*digits, float_digits(to, element))),
        (Kind::Fraction(_), to) if IntRange::of_input(to).is_some() => Err(Refusal::Lossy),
        _ => Err(Refusal::Mismatch),
    }
}

fn fits(digits: u32, room: u32) -> Fit {
    if digits <= room { Fit::Exact } else { Fit::Rounds }
}

/// What a column is, as far as the table cares.
enum Kind {
    Null,
    Boolean,
    Integer(IntRange),
    /// Decimals and floats, by the binary digits that hold each value exactly.
    Fraction(u32),
    Text,
    /// Dates and timestamps.
    Instant,
    Other,
}

impl Kind {
    fn of(from: &DataType) -> Kind {
        match from {
            DataType::Null => Kind::Null,
            DataType::Boolean => Kind::Boolean,
            DataType::Float16 => Kind::Fraction(11),
            DataType::Float32 => Kind::Fraction(24),
            DataType::Float64 => Kind::Fraction(53),
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale)
            | DataType::Decimal256(precision, scale) => Kind::Fraction(decimal_digits(*precision, *scale)),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(_, _) => Kind::Instant,
            DataType::Dictionary(_, values) => Kind::of(values),
            other => IntRange::of_column(other).map_or(Kind::Other, Kind::Integer),
        }
    }
}

/// Binary digits that hold every decimal of this type; without end where there are digits behind the point.
fn decimal_digits(precision: u8, scale: i8) -> u32 {
    if scale > 0 {
        return u32::MAX;
    }
    let decimal_digits = f64::from(precision) - f64::from(scale);
    (decimal_digits * std::f64::consts::LOG2_10).ceil() as u32
}

/// The integers a type holds.
#[derive(Clone, Copy, Debug)]
struct IntRange {
    min: i128,
    max: i128,
}

impl IntRange {
    fn signed(bits: u32) -> Self {
        Self { min: -(1 << (bits - 1)), max: (1 << (bits - 1)) - 1 }
    }

    fn unsigned(bits: u32) -> Self {
        Self { min: 0, max: (1 << bits) - 1 }
    }

    fn of_column(from: &DataType) -> Option<Self> {
        Some(match from {
            DataType::Int8 => Self::signed(8),
            DataType::Int16 => Self::signed(16),
            DataType::Int32 => Self::signed(32),
            DataType::Int64 => Self::signed(64),
            DataType::UInt8 => Self::unsigned(8),
            DataType::UInt16 => Self::unsigned(16),
            DataType::UInt32 => Self::unsigned(32),
            DataType::UInt64 => Self::unsigned(64),
            _ => return None,
        })
    }

    fn of_input(to: &InputType) -> Option<Self> {
        Some(match to {
            InputType::Int8 => Self::signed(8),
            InputType::Int16 => Self::signed(16),
            InputType::Int32 => Self::signed(32),
            InputType::Int64 => Self::signed(64),
            InputType::UInt8 => Self::unsigned(8),
            InputType::UInt16 => Self::unsigned(16),
            InputType::UInt32 => Self::unsigned(32),
            InputType::UInt64 => Self::unsigned(64),
            _ => return None,
        })
    }

    fn holds(self, other: Self) -> bool {
        self.min <= other.min && other.max <= self.max
    }

    /// Whether a float of this many binary digits holds every value.
    fn fit(self, digits: u32) -> Fit {
        let exact = 1_i128 << digits;
        fits(u32::from(self.min < -exact || self.max > exact), 0)
    }

    fn into_integer(self, to: &InputType, element: Element) -> Result<Fit, Refusal> {
        let held = |by: Option<Self>| by.is_none_or(|by| by.holds(self));
        if !held(Self::of_input(to)) || !held(Self::of_input(&element.input_type())) {
            return Err(Refusal::Lossy);
        }
        Ok(mantissa(&element.input_type()).map_or(Fit::Exact, |digits| self.fit(digits)))
    }
}

/// Whether the declared type and the graph's hold an integer.
pub(crate) fn integer_arrives(value: i128, declared: &InputType, element: Element) -> bool {
    IntRange { min: value, max: value }.into_integer(declared, element).is_ok()
}

/// Binary digits of a float type.
fn mantissa(of: &InputType) -> Option<u32> {
    match of {
        InputType::Float16 => Some(11),
        InputType::Float32 => Some(24),
        InputType::Float64 => Some(53),
        _ => None,
    }
}

/// Binary digits that survive the way through the declared type into the graph.
fn float_digits(declared: &InputType, element: Element) -> u32 {
    [mantissa(declared), mantissa(&element.input_type())].into_iter().flatten().min().unwrap_or(u32::MAX)
}

/// The element type of a list column, and its length where the type fixes it.
pub(crate) fn list_element(from: &DataType) -> Option<(&DataType, Option<usize>)> {
    match from {
        DataType::List(field) | DataType::LargeList(field) => Some((field.data_type(), None)),
        DataType::FixedSizeList(field, len) => Some((field.data_type(), usize::try_from(*len).ok())),
        _ => None,
    }
}

/// Whether a signature may declare this type over a graph that reads `element`.
pub(crate) fn composes(declared: &InputType, element: Element) -> bool {
    let number = !matches!(element, Element::Bool | Element::String);
    match declared.scalar() {
        // Trained on a frame with a bool column, exported over one float tensor: it goes in as 0 and 1.
        InputType::Boolean => element == Element::Bool || number,
        InputType::String => element == Element::String,
        InputType::Datetime => element == Element::I64 || element.is_float(),
        InputType::Binary | InputType::List { .. } => false,
        float if mantissa(float).is_some() => element.is_float(),
        _ => number,
    }
}

/// The narrowest type on the way into the graph: a column of it arrives exactly.
pub(crate) fn exact_target(declared: &InputType, element: Element) -> InputType {
    let declared = declared.scalar();
    let graph = element.input_type();
    let narrower = match (mantissa(declared), mantissa(&graph)) {
        (Some(declared), Some(graph)) => graph < declared,
        (None, None) => matches!(
            (IntRange::of_input(declared), IntRange::of_input(&graph)),
            (Some(declared), Some(graph)) if declared.holds(graph)
        ),
        (None, Some(_)) => IntRange::of_input(declared).is_some(),
        (Some(_), None) => false,
    };
    if narrower { graph } else { declared.clone() }
}

/// The expression to paste that makes a column of `from` one of `to`; `None` where SQL has no such cast.
pub(crate) fn cast_to_paste(column: &str, from: &DataType, to: &InputType) -> Option<String> {
    if let InputType::List { element, .. } = to {
        let (from_item, _) = list_element(from)?;
        cast_to_paste(column, from_item, element)?;
        return Some(format!("CAST({column} AS {}[])", sql_type(element)?));
    }
    let to_number = mantissa(to).is_some() || IntRange::of_input(to).is_some();
    match (Kind::of(from), to) {
        (Kind::Other, _) | (Kind::Instant, InputType::Boolean) => None,
        (Kind::Instant, _) if to_number => Some(format!("CAST(date_part('epoch', {column}) AS {})", sql_type(to)?)),
        _ => Some(format!("CAST({column} AS {})", sql_type(to)?)),
    }
}

/// As `CAST` names it.
pub(crate) fn sql_type(to: &InputType) -> Option<&'static str> {
    Some(match to {
        InputType::Boolean => "BOOLEAN",
        InputType::Int8 => "TINYINT",
        InputType::Int16 => "SMALLINT",
        InputType::Int32 => "INT",
        InputType::Int64 => "BIGINT",
        InputType::UInt8 => "TINYINT UNSIGNED",
        InputType::UInt16 => "SMALLINT UNSIGNED",
        InputType::UInt32 => "INT UNSIGNED",
        InputType::UInt64 => "BIGINT UNSIGNED",
        InputType::Float16 | InputType::Float32 => "FLOAT",
        InputType::Float64 => "DOUBLE",
        InputType::String => "VARCHAR",
        InputType::Datetime => "TIMESTAMP",
        InputType::Binary | InputType::List { .. } => return None,
    })
}

/// Whether an input can follow a rule; the reason where it cannot.
pub(crate) fn check_null_rule(input: &Input, rule: &NullRule) -> Result<(), String> {
    match rule {
        NullRule::Nan if !input.element.is_float() => {
            Err(format!("{} has no NaN; choose null, error or fill:VALUE", input.element))
        }
        NullRule::Fill(value) if fill_value(&input.declared, input.element, value).is_none() => {
            let number = mantissa(input.declared.scalar()).is_some() && value.as_str().parse::<f64>().is_ok();
            if number {
                return Err(format!("`{}` is more than the graph's {} holds", value.as_str(), input.element));
            }
            Err(format!("`{}` is no {}", value.as_str(), input.declared.scalar()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{Field, TimeUnit};

    use super::*;
    use crate::testing::list;

    /// One cell of the table: `exact`, `rounds`, or the code of the refusal.
    fn cell(from: &DataType, declared: InputType, element: Element) -> &'static str {
        match coerce(from, &declared, element) {
            Ok(Fit::Exact) => "exact",
            Ok(Fit::Rounds) => "rounds",
            Err(refusal) => refusal.code(),
        }
    }

    /// A row of the table against the six targets, each read by a graph of the same type:
    /// float, double, int64, int32, bool, string.
    fn check_row(from: &DataType, cells: [&str; 6]) {
        let targets = [Element::F32, Element::F64, Element::I64, Element::I32, Element::Bool, Element::String];
        let row = targets.map(|element| cell(from, element.input_type(), element));
        assert_eq!(row, cells, "{from}");
    }

    const LOSSY: &str = "lossy_coercion";
    const MISMATCH: &str = "type_mismatch";

    #[test]
    fn integers_go_into_floats_and_into_wider_integers() {
        check_row(&DataType::Int8, ["exact", "exact", "exact", "exact", MISMATCH, MISMATCH]);
        check_row(&DataType::Int16, ["exact", "exact", "exact", "exact", MISMATCH, MISMATCH]);
        check_row(&DataType::Int32, ["rounds", "exact", "exact", "exact", MISMATCH, MISMATCH]);
        check_row(&DataType::Int64, ["rounds", "rounds", "exact", LOSSY, MISMATCH, MISMATCH]);
        check_row(&DataType::UInt8, ["exact", "exact", "exact", "exact", MISMATCH, MISMATCH]);
        check_row(&DataType::UInt16, ["exact", "exact", "exact", "exact", MISMATCH, MISMATCH]);
        check_row(&DataType::UInt32, ["rounds", "exact", "exact", LOSSY, MISMATCH, MISMATCH]);
        check_row(&DataType::UInt64, ["rounds", "rounds", LOSSY, LOSSY, MISMATCH, MISMATCH]);
    }

    #[test]
    fn fractions_go_into_floats_alone() {
        check_row(&DataType::Float16, ["exact", "exact", LOSSY, LOSSY, MISMATCH, MISMATCH]);
        check_row(&DataType::Float32, ["exact", "exact", LOSSY, LOSSY, MISMATCH, MISMATCH]);
        check_row(&DataType::Float64, ["rounds", "exact", LOSSY, LOSSY, MISMATCH, MISMATCH]);
        check_row(&DataType::Decimal128(10, 2), ["rounds", "rounds", LOSSY, LOSSY, MISMATCH, MISMATCH]);
        check_row(&DataType::Decimal128(7, 0), ["exact", "exact", LOSSY, LOSSY, MISMATCH, MISMATCH]);
        check_row(&DataType::Decimal64(15, 0), ["rounds", "exact", LOSSY, LOSSY, MISMATCH, MISMATCH]);
        check_row(&DataType::Decimal32(5, -4), ["rounds", "exact", LOSSY, LOSSY, MISMATCH, MISMATCH]);
        check_row(&DataType::Decimal256(50, 0), ["rounds", "rounds", LOSSY, LOSSY, MISMATCH, MISMATCH]);
    }

    #[test]
    fn booleans_strings_and_times_go_into_their_own_kind_alone() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
        let only = |at: usize| {
            let mut cells = [MISMATCH; 6];
            cells[at] = "exact";
            cells
        };
        check_row(&DataType::Boolean, only(4));
        for text in [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View, dictionary] {
            check_row(&text, only(5));
        }
        for time in [DataType::Date32, DataType::Date64, DataType::Timestamp(TimeUnit::Microsecond, None)] {
            check_row(&time, [MISMATCH; 6]);
        }
        for other in [DataType::Binary, DataType::Time64(TimeUnit::Nanosecond), DataType::Duration(TimeUnit::Second)] {
            check_row(&other, [MISMATCH; 6]);
        }
    }

    #[test]
    fn a_null_literal_goes_into_everything() {
        check_row(&DataType::Null, ["exact"; 6]);
        assert_eq!(cell(&DataType::Null, list(InputType::Float32, Some(4)), Element::F32), "exact");
    }

    #[test]
    fn times_go_where_the_signature_says_datetime_and_nothing_else_does() {
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        assert_eq!(cell(&time, InputType::Datetime, Element::I64), "exact");
        assert_eq!(cell(&DataType::Date32, InputType::Datetime, Element::F64), "rounds");
        for other in [DataType::Int64, DataType::Utf8, DataType::Float64, DataType::Boolean] {
            assert_eq!(cell(&other, InputType::Datetime, Element::I64), MISMATCH, "{other}");
        }
    }

    #[test]
    fn the_declared_type_decides_and_the_graph_rounds() {
        assert_eq!(cell(&DataType::Float64, InputType::Float64, Element::F32), "rounds");
        assert_eq!(cell(&DataType::Float32, InputType::Float64, Element::F32), "exact");
        assert_eq!(cell(&DataType::Float64, InputType::Int64, Element::F32), LOSSY);
        assert_eq!(cell(&DataType::Int32, InputType::Int64, Element::F32), "rounds");
        assert_eq!(cell(&DataType::Int16, InputType::Int64, Element::F32), "exact");
        assert_eq!(cell(&DataType::Int64, InputType::Int64, Element::I32), LOSSY);
        assert_eq!(cell(&DataType::Int32, InputType::Int64, Element::I32), "exact");
        assert_eq!(cell(&DataType::Boolean, InputType::Boolean, Element::F32), "exact");
        assert_eq!(cell(&DataType::Int8, InputType::Boolean, Element::F32), MISMATCH);
    }

    #[test]
    fn lists_go_into_lists_by_the_types_of_their_items() {
        let item = |data_type| Arc::new(Field::new_list_field(data_type, true));
        let of_doubles = DataType::List(item(DataType::Float64));
        let four = DataType::FixedSizeList(item(DataType::Float32), 4);
        let large = DataType::LargeList(item(DataType::Utf8));
        let target = || list(InputType::Float32, Some(4));
        assert_eq!(cell(&of_doubles, target(), Element::F32), "rounds");
        assert_eq!(cell(&four, target(), Element::F32), "exact");
        assert_eq!(cell(&four, list(InputType::Float32, Some(5)), Element::F32), MISMATCH);
        assert_eq!(cell(&four, list(InputType::Int64, Some(4)), Element::I64), LOSSY);
        assert_eq!(cell(&large, target(), Element::F32), MISMATCH);
        assert_eq!(cell(&DataType::Float32, target(), Element::F32), MISMATCH);
        assert_eq!(cell(&of_doubles, InputType::Float64, Element::F64), MISMATCH);
    }

    #[test]
    fn a_signature_may_declare_what_the_graph_can_read() {
        assert!(composes(&InputType::Float64, Element::F32));
        assert!(composes(&InputType::Int64, Element::F32));
        assert!(composes(&InputType::Boolean, Element::F32));
        assert!(composes(&InputType::Datetime, Element::I64));
        assert!(!composes(&InputType::Float64, Element::I64));
        assert!(!composes(&InputType::String, Element::F32));
        assert!(!composes(&InputType::Int64, Element::String));
        assert!(!composes(&InputType::Datetime, Element::I32));
    }

    #[test]
    fn the_cast_to_paste_is_one_that_sql_has() {
        let cast = |from: DataType, to: InputType| cast_to_paste("x", &from, &to).unwrap_or_default();
        assert_eq!(cast(DataType::Utf8, InputType::Float64), "CAST(x AS DOUBLE)");
        assert_eq!(cast(DataType::Float64, InputType::Int64), "CAST(x AS BIGINT)");
        assert_eq!(cast(DataType::Boolean, InputType::Float32), "CAST(x AS FLOAT)");
        assert_eq!(cast(DataType::Int64, InputType::Boolean), "CAST(x AS BOOLEAN)");
        assert_eq!(cast(DataType::Int64, InputType::String), "CAST(x AS VARCHAR)");
        assert_eq!(cast(DataType::Utf8, InputType::Datetime), "CAST(x AS TIMESTAMP)");
        assert_eq!(cast(DataType::Date32, InputType::Float64), "CAST(date_part('epoch', x) AS DOUBLE)");
        let item = Arc::new(Field::new_list_field(DataType::Utf8, true));
        assert_eq!(cast(DataType::List(item), list(InputType::Float32, None)), "CAST(x AS FLOAT[])");
        assert_eq!(cast(DataType::Binary, InputType::Float64), "");
        assert_eq!(cast(DataType::Date32, InputType::Boolean), "");
    }
}

//! Values that stand in for NULL or come as parameters, on their way into a graph.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;

use crate::coercion::integer_arrives;
use crate::tract::half;
use crate::{Element, FillValue, InputType};

/// The value of a `fill:` rule, read as the input's type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fill {
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
}

/// Reads a `fill:` value as a value of the input; `None` where it is none.
pub(crate) fn fill_value(declared: &InputType, element: Element, value: &FillValue) -> Option<Fill> {
    let text = value.as_str();
    match declared.scalar() {
        InputType::Boolean => text.parse().ok().map(Fill::Boolean),
        InputType::String => Some(Fill::Text(text.to_owned())),
        InputType::Datetime => string_to_timestamp_nanos(text).ok().map(|nanos| Fill::Integer(nanos.into())),
        InputType::Binary | InputType::List { .. } => None,
        float @ (InputType::Float16 | InputType::Float32 | InputType::Float64) => {
            float_fill(float, element, number(text)?)
        }
        integer => integer_fill(integer, element, text.parse().ok()?),
    }
}

/// A number as text; `None` where it is more than any float holds. Infinity itself is spelled out.
fn number(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let overflowed = value.is_infinite() && text.contains(|c: char| c.is_ascii_digit());
    (!overflowed).then_some(value)
}

/// A float on its way through the declared type into the graph's; `None` if one of them cannot hold it.
pub(crate) fn float_fill(declared: &InputType, element: Element, value: f64) -> Option<Fill> {
    let through = |of: &InputType, value: f64| match of {
        InputType::Float16 => half(value).to_f64(),
        InputType::Float32 => f64::from(value as f32),
        _ => value,
    };
    let declared = through(declared, value);
    let arrived = through(&element.input_type(), declared);
    (arrived.is_infinite() == value.is_infinite()).then_some(Fill::Float(declared))
}

/// An integer on its way into the graph; `None` if it does not fit.
pub(crate) fn integer_fill(declared: &InputType, element: Element, value: i128) -> Option<Fill> {
    let overflows = element == Element::F16 && half(value as f64).is_infinite();
    (!overflows && integer_arrives(value, declared, element)).then_some(Fill::Integer(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_value_must_be_one_of_the_input() {
        let fill = |declared: InputType, element, text: &str| fill_value(&declared, element, &FillValue::new(text));
        assert_eq!(fill(InputType::Int64, Element::I64, "-7"), Some(Fill::Integer(-7)));
        assert_eq!(fill(InputType::Int64, Element::I32, "3000000000"), None);
        assert_eq!(fill(InputType::Int64, Element::I64, "1.5"), None);
        assert_eq!(fill(InputType::Float64, Element::F32, "1.5"), Some(Fill::Float(1.5)));
        assert_eq!(fill(InputType::Float64, Element::F32, "1e60"), None);
        assert_eq!(fill(InputType::Float64, Element::F16, "70000"), None);
        assert_eq!(fill(InputType::Int64, Element::F16, "70000"), None);
        assert_eq!(fill(InputType::Float64, Element::F64, "1e400"), None);
        assert_eq!(fill(InputType::Float64, Element::F32, "-inf"), Some(Fill::Float(f64::NEG_INFINITY)));
        assert_eq!(fill(InputType::Float32, Element::F64, "0.1"), Some(Fill::Float(f64::from(0.1f32))));
        assert_eq!(fill(InputType::Boolean, Element::Bool, "true"), Some(Fill::Boolean(true)));
        assert_eq!(fill(InputType::String, Element::String, ""), Some(Fill::Text(String::new())));
        assert_eq!(fill(InputType::Datetime, Element::I64, "1970-01-01T00:00:01"), Some(Fill::Integer(1_000_000_000)));
        assert_eq!(fill(InputType::Datetime, Element::I64, "soon"), None);
    }
}

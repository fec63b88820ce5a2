//! The signature of a model as MLflow writes it: JSON lists of column or tensor specifications.

use serde_json::Value;

use crate::{Element, InputType, ModelError};

/// What the author of a model declared of its inputs, outputs and parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Signature {
    pub inputs: Specs,
    /// Only its names are used: MLflow never checks this part, so types and shapes are the graph's.
    pub outputs: Vec<Option<String>>,
    pub params: Vec<ParamSpec>,
}

/// Either all columns or all tensors.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Specs {
    Columns(Vec<Column>),
    Tensors(Vec<TensorSpec>),
}

/// One column. Missing `required` means required.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub name: Option<String>,
    pub data_type: ColumnType,
    pub required: bool,
}

/// The type of a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ColumnType {
    Scalar(InputType),
    Array(Box<ColumnType>),
    /// `object`, `map`, `any`, `sparkml_vector`, under its own name: no graph can read it.
    Other(String),
}

/// One tensor; `None` is a free dimension.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TensorSpec {
    pub name: Option<String>,
    pub element: Result<Element, String>,
    pub shape: Vec<Option<usize>>,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ParamSpec {
    pub name: String,
    /// `None` for an object.
    pub data_type: Option<InputType>,
    pub default: Value,
}

impl Signature {
    /// Reads the three lists, each of which may be `null`. Without inputs there is no signature to bind by.
    pub(crate) fn parse(inputs: &Value, outputs: &Value, params: &Value) -> Result<Option<Self>, ModelError> {
        let inputs = items("inputs", inputs)?;
        if inputs.is_empty() {
            return Ok(None);
        }
        let params = items("params", params)?.iter().map(ParamSpec::parse).collect::<Result<_, _>>()?;
        let outputs = items("outputs", outputs)?.iter().map(name).collect();
        Ok(Some(Self { inputs: Specs::parse(inputs)?, outputs, params }))
    }
}

impl Specs {
    fn parse(items: &[Value]) -> Result<Self, ModelError> {
        let tensors = items.iter().filter(|item| type_name(item) == Some("tensor")).count();
        let specs = match tensors {
            0 => Specs::Columns(items.iter().map(Column::parse).collect::<Result<_, _>>()?),
            n if n == items.len() => Specs::Tensors(items.iter().map(TensorSpec::parse).collect::<Result<_, _>>()?),
            _ => return Err(invalid("its inputs mix columns and tensors")),
        };
        specs.check()?;
        Ok(specs)
    }

    pub(crate) fn names(&self) -> Vec<Option<&str>> {
        match self {
            Specs::Columns(columns) => columns.iter().map(|column| column.name.as_deref()).collect(),
            Specs::Tensors(tensors) => tensors.iter().map(|tensor| tensor.name.as_deref()).collect(),
        }
    }

    fn check(&self) -> Result<(), ModelError> {
        let mut names: Vec<_> = self.names().into_iter().flatten().collect();
        let all = self.names().len();
        if !names.is_empty() && names.len() < all {
            return Err(invalid("some of its inputs have names and some have none"));
        }
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(invalid(&format!("it has two inputs called `{}`", pair[0]))),
            None => Ok(()),
        }
    }
}

impl Column {
    fn parse(item: &Value) -> Result<Self, ModelError> {
        Ok(Self { name: name(item), data_type: ColumnType::parse(item)?, required: required(item) })
    }
}

/// MLflow 3 writes `required`, MLflow 2 wrote `optional` at first, MLflow 1 neither.
fn required(item: &Value) -> bool {
    let flag = |key| item.get(key).and_then(Value::as_bool);
    flag("required").or(flag("optional").map(|optional| !optional)).unwrap_or(true)
}

impl ColumnType {
    fn parse(item: &Value) -> Result<Self, ModelError> {
        match type_name(item) {
            Some("array") => {
                let items = item.get("items").ok_or_else(|| invalid("an array column has no items"))?;
                Ok(ColumnType::Array(Box::new(ColumnType::parse(items)?)))
            }
            Some(other @ ("object" | "map" | "any" | "sparkml_vector")) => Ok(ColumnType::Other(other.to_owned())),
            Some(scalar) => scalar_type(scalar).map(ColumnType::Scalar),
            None => Err(invalid("an input has no type")),
        }
    }
}

impl TensorSpec {
    fn parse(item: &Value) -> Result<Self, ModelError> {
        let spec = item.get("tensor-spec").ok_or_else(|| invalid("a tensor has no tensor-spec"))?;
        let dtype = spec.get("dtype").and_then(Value::as_str).ok_or_else(|| invalid("a tensor has no dtype"))?;
        let shape = spec.get("shape").and_then(Value::as_array).ok_or_else(|| invalid("a tensor has no shape"))?;
        let shape = shape.iter().map(dimension).collect::<Result<_, _>>()?;
        Ok(Self { name: name(item), element: numpy_element(dtype).ok_or_else(|| dtype.to_owned()), shape })
    }
}

fn dimension(value: &Value) -> Result<Option<usize>, ModelError> {
    match value.as_i64() {
        Some(-1) => Ok(None),
        Some(len) if len >= 0 => Ok(usize::try_from(len).ok()),
        _ => Err(invalid("a tensor's shape has a dimension that is no number")),
    }
}

impl ParamSpec {
    fn parse(item: &Value) -> Result<Self, ModelError> {
        let name = name(item).ok_or_else(|| invalid("a parameter has no name"))?;
        let of = |key| item.get(key).and_then(Value::as_str);
        let declared = match of("type").or(of("dtype")) {
            Some("object") => None,
            Some(scalar) => Some(scalar_type(scalar)?),
            None => return Err(invalid(&format!("parameter `{name}` has no type"))),
        };
        let is_list = item.get("shape").is_some_and(|shape| !shape.is_null());
        let data_type = match (declared, is_list) {
            (Some(element), true) => Some(InputType::List { element: Box::new(element), len: None }),
            (declared, _) => declared,
        };
        Ok(Self { name, data_type, default: item.get("default").cloned().unwrap_or_default() })
    }
}

fn items<'a>(part: &str, value: &'a Value) -> Result<&'a [Value], ModelError> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        _ => Err(invalid(&format!("its {part} are no list"))),
    }
}

fn type_name(item: &Value) -> Option<&str> {
    item.get("type").and_then(Value::as_str)
}

/// Names of MLflow 1 may be numbers: columns of a frame without names.
fn name(item: &Value) -> Option<String> {
    match item.get("name") {
        Some(Value::String(name)) => Some(name.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

fn scalar_type(name: &str) -> Result<InputType, ModelError> {
    Ok(match name {
        "boolean" => InputType::Boolean,
        "integer" => InputType::Int32,
        "long" => InputType::Int64,
        "float" => InputType::Float32,
        "double" => InputType::Float64,
        "string" => InputType::String,
        "binary" => InputType::Binary,
        "datetime" => InputType::Datetime,
        other => return Err(invalid(&format!("`{other}` is no type of a signature"))),
    })
}

/// The element of a NumPy dtype, by any of its spellings; `None` where no ONNX tensor holds it.
fn numpy_element(dtype: &str) -> Option<Element> {
    Some(match dtype.trim_start_matches(['<', '=', '|']) {
        "bool" | "?" | "b1" => Element::Bool,
        "int8" | "i1" => Element::I8,
        "int16" | "i2" => Element::I16,
        "int32" | "i4" => Element::I32,
        "int64" | "i8" => Element::I64,
        "uint8" | "u1" => Element::U8,
        "uint16" | "u2" => Element::U16,
        "uint32" | "u4" => Element::U32,
        "uint64" | "u8" => Element::U64,
        "float16" | "f2" => Element::F16,
        "float32" | "f4" => Element::F32,
        "float64" | "f8" => Element::F64,
        "object" | "O" | "str" | "U" => Element::String,
        text if text.starts_with('U') => Element::String,
        _ => return None,
    })
}

fn invalid(reason: &str) -> ModelError {
    ModelError::Invalid(format!("the model's signature is not what MLflow writes: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(inputs: &str) -> Result<Signature, ModelError> {
        let inputs = serde_json::from_str(inputs).expect("the test's JSON");
        Signature::parse(&inputs, &Value::Null, &Value::Null).map(|signature| signature.expect("inputs"))
    }

    fn columns(inputs: &str) -> Vec<Column> {
        match parse(inputs).expect("a signature").inputs {
            Specs::Columns(columns) => columns,
            Specs::Tensors(_) => panic!("expected columns"),
        }
    }

    #[test]
    fn every_scalar_type_of_mlflow_has_its_input_type() {
        use InputType::*;
        let types = [
            ("boolean", Boolean),
            ("integer", Int32),
            ("long", Int64),
            ("float", Float32),
            ("double", Float64),
            ("string", String),
            ("binary", Binary),
            ("datetime", Datetime),
        ];
        for (name, input_type) in types {
            let column = columns(&format!(r#"[{{"type": "{name}", "name": "a"}}]"#)).remove(0);
            assert_eq!(column.data_type, ColumnType::Scalar(input_type), "{name}");
        }
    }

    #[test]
    fn nested_and_unreadable_types_are_kept_for_the_message() {
        let nested = r#"[{"type": "array", "items": {"type": "array", "items": {"type": "long"}}, "name": "a"},
            {"type": "object", "properties": {"city": {"type": "string"}}, "name": "b"},
            {"type": "map", "values": {"type": "double"}, "name": "c"},
            {"type": "any", "name": "d"}, {"type": "sparkml_vector", "name": "e"}]"#;
        let columns = columns(nested);
        let long = ColumnType::Scalar(InputType::Int64);
        assert_eq!(columns[0].data_type, ColumnType::Array(Box::new(ColumnType::Array(Box::new(long)))));
        assert_eq!(columns[3].data_type, ColumnType::Other("any".to_owned()));
    }

    #[test]
    fn a_column_is_required_unless_either_spelling_says_otherwise() {
        let of = |flag: &str| columns(&format!(r#"[{{"type": "long", "name": "a"{flag}}}]"#)).remove(0).required;
        assert!(of(""));
        assert!(of(r#", "required": true"#));
        assert!(!of(r#", "required": false"#));
        assert!(!of(r#", "optional": true"#));
    }

    #[test]
    fn tensors_have_free_and_fixed_dimensions_and_numpy_types() {
        let text = r#"[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]"#;
        let Specs::Tensors(tensors) = parse(text).expect("a signature").inputs else { panic!("tensors") };
        assert_eq!(tensors[0].shape, [None, Some(4)]);
        assert_eq!(tensors[0].element, Ok(Element::F32));
        assert_eq!(numpy_element("object"), Some(Element::String));
        assert_eq!(numpy_element("<U12"), Some(Element::String));
        assert_eq!(numpy_element("datetime64[ns]"), None);
    }

    #[test]
    fn parameters_are_read_with_the_old_key_too() {
        let params = serde_json::json!([
            {"name": "k", "type": "long", "default": 3, "shape": null},
            {"name": "l", "dtype": "string", "default": ["a"], "shape": [-1]},
            {"name": "o", "type": "object", "properties": {}, "default": null},
        ]);
        let inputs = serde_json::json!([{"type": "long", "name": "a"}]);
        let params = Signature::parse(&inputs, &Value::Null, &params).expect("valid").expect("inputs").params;
        assert_eq!(params[0].data_type, Some(InputType::Int64));
        assert_eq!(params[0].default, 3);
        assert!(matches!(params[1].data_type, Some(InputType::List { .. })));
        assert_eq!(params[2].data_type, None);
    }

    #[test]
    fn a_signature_that_mlflow_would_not_write_is_refused() {
        let refused = [
            r#"[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1]}}, {"type": "long"}]"#,
            r#"[{"type": "long", "name": "a"}, {"type": "long"}]"#,
            r#"[{"type": "long", "name": "a"}, {"type": "long", "name": "a"}]"#,
            r#"[{"type": "number", "name": "a"}]"#,
            r#"[{"name": "a"}]"#,
            r#"[{"type": "array", "name": "a"}]"#,
            r#"{"type": "long"}"#,
        ];
        for inputs in refused {
            assert_eq!(parse(inputs).expect_err(inputs).code(), "mlmodel_invalid", "{inputs}");
        }
    }
}

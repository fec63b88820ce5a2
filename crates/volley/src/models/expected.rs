//! Where a table of expected scores has those of each output.

use arrow::datatypes::{DataType, Schema};
use volley_model::{Output, OutputShape};

use crate::models::scoring::{identifier, literal};
use crate::report::Failure;

/// What MLflow's and our own results call a score that has no other name.
const PREDICTION: &str = "prediction";

/// An output, and the SQL for its expected scores.
#[derive(Debug, PartialEq)]
pub struct Match {
    /// Index of the output.
    pub output: usize,
    /// SQL over the expected table.
    pub sql: String,
}

/// Finds the expected scores of as many outputs as the table has: in the column of the output's name, or in
/// a field of that name of a struct. A table with one score need not name it.
pub fn matches(outputs: &[Output], table: &Schema, key: Option<&str>) -> Result<Vec<Match>, Failure> {
    let columns = Column::all(table, key);
    let found: Vec<_> = outputs
        .iter()
        .enumerate()
        .filter_map(|(output, Output { name, .. })| Some(Match { output, sql: named(&columns, name)?.sql.clone() }))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let only = only_score(&columns).and_then(|column| {
        let output = output_of_type(outputs, &column.data_type)?;
        Some(Match { output, sql: column.sql.clone() })
    });
    only.map(|only| vec![only]).ok_or_else(|| no_match(outputs, table))
}

/// A column, or a field of a struct.
struct Column {
    name: String,
    sql: String,
    data_type: DataType,
    is_field: bool,
}

impl Column {
    /// Columns before fields.
    fn all(table: &Schema, key: Option<&str>) -> Vec<Self> {
        let columns = table.fields().iter().filter(|field| Some(field.name().as_str()) != key).map(|field| Self {
            name: field.name().clone(),
            sql: identifier(field.name()),
            data_type: field.data_type().clone(),
            is_field: false,
        });
        let mut columns: Vec<_> = columns.collect();
        let fields: Vec<_> = columns.iter().flat_map(Self::fields).collect();
        columns.extend(fields);
        columns
    }

    fn fields(&self) -> Vec<Self> {
        let DataType::Struct(fields) = &self.data_type else { return vec![] };
        let field = |field: &arrow::datatypes::FieldRef| Self {
            name: field.name().clone(),
            sql: format!("{}[{}]", self.sql, literal(field.name())),
            data_type: field.data_type().clone(),
            is_field: true,
        };
        fields.iter().map(field).collect()
    }
}

fn named<'a>(columns: &'a [Column], name: &str) -> Option<&'a Column> {
    let exactly = columns.iter().find(|column| column.name == name);
    exactly.or_else(|| columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)))
}

fn only_score(columns: &[Column]) -> Option<&Column> {
    let mut whole = columns.iter().filter(|column| !column.is_field);
    match (whole.next(), whole.next()) {
        (Some(only), None) => Some(only),
        _ => named(columns, PREDICTION),
    }
}

/// The one output that such a column can hold: labels are no floats, and all else is.
fn output_of_type(outputs: &[Output], data_type: &DataType) -> Option<usize> {
    if outputs.len() == 1 {
        return Some(0);
    }
    let is_label = |output: &Output| output.shape == OutputShape::Scalar && !output.element.is_float();
    let column_is_label = !data_type.is_floating() && !data_type.is_nested();
    let mut fitting = outputs.iter().enumerate().filter(|(_, output)| is_label(output) == column_is_label);
    match (fitting.next(), fitting.next()) {
        (Some((only, _)), None) => Some(only),
        _ => None,
    }
}

fn no_match(outputs: &[Output], table: &Schema) -> Failure {
    let names: Vec<_> = outputs.iter().map(|output| output.name.as_str()).collect();
    let columns: Vec<_> = table.fields().iter().map(|field| field.name().as_str()).collect();
    let message = format!(
        "the expected table has no column named like an output of the model: it needs one of {}, and has {}",
        names.join(", "),
        columns.join(", ")
    );
    Failure::failed("no_expected_scores", message)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;
    use volley_model::Element;

    use super::*;

    fn outputs(names: &[&str]) -> Vec<Output> {
        let label = |name: &str| name == "label";
        let output = |name: &&str| Output {
            name: name.to_string(),
            element: if label(name) { Element::I64 } else { Element::F32 },
            shape: if label(name) { OutputShape::Scalar } else { OutputShape::List(Some(2)) },
            class_labels: None,
            zipmap: false,
        };
        names.iter().map(output).collect()
    }

    fn check(outputs_of_model: &[&str], columns: &[(&str, DataType)], expected: &[(usize, &str)]) {
        let fields: Vec<_> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
        let found = matches(&outputs(outputs_of_model), &Schema::new(fields), Some("id")).unwrap_or_default();
        let found: Vec<_> = found.iter().map(|found| (found.output, found.sql.as_str())).collect();
        assert_eq!(found, expected, "{columns:?}");
    }

    #[test]
    fn columns_are_found_by_the_names_of_outputs() {
        let list = DataType::new_list(DataType::Float32, true);
        let columns = [("id", DataType::Int64), ("Label", DataType::Int64), ("probabilities", list)];
        check(&["label", "probabilities"], &columns, &[(0, "\"Label\""), (1, "\"probabilities\"")]);
        check(&["label", "probabilities"], &columns[..2], &[(0, "\"Label\"")]);
    }

    #[test]
    fn fields_of_a_struct_are_found_too() {
        let fields = vec![Field::new("label", DataType::Int64, true), Field::new("p'", DataType::Float32, true)];
        let columns = [("id", DataType::Int64), ("prediction", DataType::Struct(fields.into()))];
        check(&["label", "p'"], &columns, &[(0, "\"prediction\"['label']"), (1, "\"prediction\"['p''']")]);
    }

    #[test]
    fn one_score_needs_no_name() {
        check(&["variable"], &[("id", DataType::Int64), ("score", DataType::Float64)], &[(0, "\"score\"")]);
        let spark = [("id", DataType::Int64), ("age", DataType::Int64), ("prediction", DataType::Int64)];
        check(&["label", "probabilities"], &spark, &[(0, "\"prediction\"")]);
        check(&["label", "probabilities"], &[("score", DataType::Float64)], &[(1, "\"score\"")]);
    }

    #[test]
    fn a_table_without_scores_is_refused() {
        let columns = [("id", DataType::Int64), ("age", DataType::Int64), ("income", DataType::Float64)];
        check(&["label", "probabilities"], &columns, &[]);
    }
}

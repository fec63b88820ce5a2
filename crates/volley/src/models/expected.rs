//! Where a table of expected scores has those of each output.

use arrow::datatypes::{DataType, Schema};
use volley_model::{Output, OutputShape};

use crate::models::comparison::Coverage;
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

/// The outputs whose expected scores a table has.
#[derive(Debug, Default)]
pub struct Matches {
    /// At least one.
    pub found: Vec<Match>,
    /// The same by name, with the other outputs.
    pub coverage: Coverage,
}

/// Finds the expected scores of outputs, of all or of the `wanted` ones: in the column of the output's name,
/// or in a field of that name of a struct. A table with one score need not name it.
pub fn matches(outputs: &[Output], table: &Schema, key: Option<&str>, wanted: &[String]) -> Result<Matches, Failure> {
    check_wanted(outputs, wanted)?;
    let is_wanted = |output: &Output| wanted.is_empty() || wanted.contains(&output.name);
    let candidates: Vec<_> = outputs.iter().enumerate().filter(|(_, output)| is_wanted(output)).collect();
    let found = find(&candidates, table, key)?;
    let names = |which: &dyn Fn(usize, &Output) -> bool| {
        let names = outputs.iter().enumerate().filter(|(index, output)| which(*index, output));
        names.map(|(_, output)| output.name.clone()).collect()
    };
    let is_found = |index: usize| found.iter().any(|found| found.output == index);
    let coverage = Coverage {
        compared: names(&|index, _| is_found(index)),
        uncompared: names(&|index, output| is_wanted(output) && !is_found(index)),
        left_out: names(&|_, output| !is_wanted(output)),
    };
    Ok(Matches { found, coverage })
}

fn check_wanted(outputs: &[Output], wanted: &[String]) -> Result<(), Failure> {
    match wanted.iter().find(|name| !outputs.iter().any(|output| output.name == **name)) {
        None => Ok(()),
        Some(name) => {
            let message = format!("the model has no output `{name}`: it has {}", names_of(outputs.iter()));
            Err(Failure::new("unknown_output", message))
        }
    }
}

fn find(candidates: &[(usize, &Output)], table: &Schema, key: Option<&str>) -> Result<Vec<Match>, Failure> {
    let columns = Column::all(table, key);
    let mut found = vec![];
    for (index, output) in candidates {
        if let Some(column) = named(&columns, &output.name) {
            if !fits(output, &column.data_type) {
                return Err(misfit(output, column));
            }
            found.push(Match { output: *index, sql: column.sql.clone() });
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let only = only_score(&columns).and_then(|column| {
        let output = output_of_type(candidates, &column.data_type)?;
        Some(Match { output, sql: column.sql.clone() })
    });
    only.map(|only| vec![only]).ok_or_else(|| no_match(candidates, table))
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
fn output_of_type(candidates: &[(usize, &Output)], data_type: &DataType) -> Option<usize> {
    let is_label = |output: &Output| output.shape == OutputShape::Scalar && !output.element.is_float();
    let column_is_label = !data_type.is_floating() && !data_type.is_nested();
    let is_only = candidates.len() == 1;
    let can_hold = |output: &Output| fits(output, data_type) && (is_only || is_label(output) == column_is_label);
    let mut fitting = candidates.iter().filter(|(_, output)| can_hold(output));
    match (fitting.next(), fitting.next()) {
        (Some((only, _)), None) => Some(*only),
        _ => None,
    }
}

/// A column with one value a row holds no list.
fn fits(output: &Output, data_type: &DataType) -> bool {
    output.shape == OutputShape::Scalar || data_type.is_nested()
}

fn misfit(output: &Output, column: &Column) -> Failure {
    let message = format!(
        "the expected scores of `{}` cannot be compared: column `{}` has one value a row, the model gives a list",
        output.name, column.name
    );
    Failure::new("no_expected_scores", message)
}

fn names_of<'a>(outputs: impl Iterator<Item = &'a Output>) -> String {
    outputs.map(|output| output.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn no_match(candidates: &[(usize, &Output)], table: &Schema) -> Failure {
    let columns: Vec<_> = table.fields().iter().map(|field| field.name().as_str()).collect();
    let message = format!(
        "the expected table has no column named like an output of the model: it needs one of {}, and has {}",
        names_of(candidates.iter().map(|(_, output)| *output)),
        columns.join(", ")
    );
    Failure::new("no_expected_scores", message)
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
            shape: if *name == "probabilities" { OutputShape::List(Some(2)) } else { OutputShape::Scalar },
            class_labels: None,
            zipmap: false,
        };
        names.iter().map(output).collect()
    }

    fn check(outputs_of_model: &[&str], columns: &[(&str, DataType)], expected: &[(usize, &str)]) {
        let fields: Vec<_> = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true)).collect();
        let found = matches(&outputs(outputs_of_model), &Schema::new(fields), Some("id"), &[]).unwrap_or_default();
        let found: Vec<_> = found.found.iter().map(|found| (found.output, found.sql.as_str())).collect();
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
        let list = DataType::new_list(DataType::Float32, true);
        check(&["label", "probabilities"], &[("score", list)], &[(1, "\"score\"")]);
    }

    #[test]
    fn a_value_a_row_is_never_a_list() {
        check(&["label", "probabilities"], &[("score", DataType::Float64)], &[]);
        check(&["probabilities"], &[("probabilities", DataType::Float64)], &[]);
        check(&["probabilities"], &[("score", DataType::Float64)], &[]);
    }

    #[test]
    fn outputs_without_expected_scores_are_told_apart_from_those_left_out() {
        let table = Schema::new(vec![Field::new("label", DataType::Int64, true)]);
        let outputs = outputs(&["label", "probabilities"]);
        let coverage = |wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|name| name.to_string()).collect();
            matches(&outputs, &table, None, &wanted).map(|matches| matches.coverage)
        };
        let all = coverage(&[]).unwrap();
        assert_eq!((all.compared, all.uncompared), (vec!["label".to_string()], vec!["probabilities".to_string()]));
        let label = coverage(&["label"]).unwrap();
        assert_eq!((label.uncompared, label.left_out), (vec![], vec!["probabilities".to_string()]));
        let told = coverage(&["labels"]).unwrap_err().text();
        assert!(told.contains("label, probabilities") && told.ends_with("[unknown_output]\n"), "{told}");
    }

    #[test]
    fn a_table_without_scores_is_refused() {
        let columns = [("id", DataType::Int64), ("age", DataType::Int64), ("income", DataType::Float64)];
        check(&["label", "probabilities"], &columns, &[]);
    }
}

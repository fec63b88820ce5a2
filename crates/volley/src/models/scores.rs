//! Scores in memory, in a form in which those of two sources can be compared.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, ListArray, StringArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// The scores of one output, row by row.
#[derive(Debug, Clone, PartialEq)]
pub enum Scores {
    /// Numbers that may differ a little.
    Numbers(Numbers),
    /// Labels, which are equal or not.
    Labels(Vec<Option<String>>),
}

/// Any count of numbers a row. A row without is one without a score.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers {
    ends: Vec<usize>,
    values: Vec<f64>,
}

impl Scores {
    /// No scores yet of an output of this type. Floats, and lists and structs of them, are numbers; all else
    /// is labels.
    pub fn of_type(data_type: &DataType) -> Self {
        match is_numeric(data_type) {
            true => Self::Numbers(Numbers::default()),
            false => Self::Labels(vec![]),
        }
    }

    /// Adds the rows of a column. Fails if it cannot be read as such scores.
    pub fn extend(&mut self, column: &ArrayRef) -> Result<(), ArrowError> {
        match self {
            Self::Numbers(numbers) => numbers.extend(column),
            Self::Labels(labels) => {
                labels.extend(texts(column)?);
                Ok(())
            }
        }
    }

    /// Whether a row has no score: NULL and NaN both say so.
    pub fn is_missing(&self, row: usize) -> bool {
        match self {
            Self::Numbers(numbers) => {
                let values = numbers.row(row);
                values.is_empty() || values.iter().any(|value| value.is_nan())
            }
            Self::Labels(labels) => labels[row].is_none(),
        }
    }
}

impl Numbers {
    /// The numbers of a row.
    pub fn row(&self, row: usize) -> &[f64] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.values[start..self.ends[row]]
    }

    fn extend(&mut self, column: &ArrayRef) -> Result<(), ArrowError> {
        match column.data_type() {
            DataType::Struct(_) => self.extend_from_struct(column.as_struct()),
            list if list.is_list() => {
                let item = Field::new_list_field(DataType::Float64, true);
                let lists = cast(column, &DataType::List(item.into()))?;
                self.extend_from_lists(lists.as_list());
                Ok(())
            }
            _ => {
                let numbers = cast(column, &DataType::Float64)?;
                let numbers = numbers.as_primitive::<Float64Type>();
                (0..numbers.len()).for_each(|row| self.push(numbers.is_valid(row).then(|| numbers.value(row))));
                Ok(())
            }
        }
    }

    fn extend_from_struct(&mut self, column: &StructArray) -> Result<(), ArrowError> {
        let fields: Vec<_> =
            column.columns().iter().map(|field| cast(field, &DataType::Float64)).collect::<Result<_, _>>()?;
        let fields: Vec<&Float64Array> = fields.iter().map(|field| field.as_primitive()).collect();
        for row in 0..column.len() {
            let fields = fields.iter().filter(|_| column.is_valid(row));
            self.push(fields.map(|field| if field.is_valid(row) { field.value(row) } else { f64::NAN }));
        }
        Ok(())
    }

    fn extend_from_lists(&mut self, lists: &ListArray) {
        for row in 0..lists.len() {
            let item = lists.is_valid(row).then(|| lists.value(row));
            let numbers = item.as_ref().map(|item| item.as_primitive::<Float64Type>());
            self.push(numbers.into_iter().flatten().map(|number| number.unwrap_or(f64::NAN)));
        }
    }

    fn push(&mut self, row: impl IntoIterator<Item = f64>) {
        self.values.extend(row);
        self.ends.push(self.values.len());
    }
}

fn is_numeric(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(|field| field.data_type().is_floating()),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_floating()
        }
        other => other.is_floating(),
    }
}

/// Whole numbers read the same whatever their type: pandas writes labels as floats where one is missing.
fn texts(column: &ArrayRef) -> Result<Vec<Option<String>>, ArrowError> {
    if column.data_type().is_floating() {
        let numbers = cast(column, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>().iter();
        return Ok(numbers.map(|number| number.filter(|n| !n.is_nan()).map(|n| n.to_string())).collect());
    }
    if column.data_type().is_nested() {
        let formatter = ArrayFormatter::try_new(column.as_ref(), &FormatOptions::default())?;
        let text = |row| column.is_valid(row).then(|| formatter.value(row).to_string());
        return Ok((0..column.len()).map(text).collect());
    }
    let texts: StringArray = cast(column, &DataType::Utf8)?.as_string().clone();
    Ok(texts.iter().map(|text| text.map(str::to_string)).collect())
}

/// What pairs a row with its counterpart, as text: `7` of one integer type is `7` of another.
pub fn keys(column: &ArrayRef) -> Result<Vec<String>, ArrowError> {
    Ok(texts(column)?.into_iter().map(|key| key.unwrap_or_else(|| "NULL".to_string())).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float32Array, Int64Array};
    use arrow::datatypes::Float32Type;

    use super::*;

    fn scores(column: impl Array + 'static) -> Scores {
        let column: ArrayRef = Arc::new(column);
        let mut scores = Scores::of_type(column.data_type());
        scores.extend(&column).unwrap();
        scores
    }

    fn labels(column: impl Array + 'static) -> Vec<Option<String>> {
        let mut scores = Scores::Labels(vec![]);
        scores.extend(&(Arc::new(column) as ArrayRef)).unwrap();
        let Scores::Labels(labels) = scores else { unreachable!("labels stay labels") };
        labels
    }

    fn numbers(scores: &Scores, row: usize) -> &[f64] {
        let Scores::Numbers(numbers) = scores else { panic!("{scores:?}") };
        numbers.row(row)
    }

    #[test]
    fn a_row_without_a_score_is_missing_whether_null_or_nan() {
        let scores = scores(Float32Array::from(vec![Some(0.5), None, Some(f32::NAN)]));
        assert_eq!(numbers(&scores, 0), [0.5]);
        assert_eq!((0..3).map(|row| scores.is_missing(row)).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn a_list_and_a_struct_of_the_same_numbers_are_the_same_scores() {
        let lists = ListArray::from_iter_primitive::<Float32Type, _, _>([Some([Some(0.25), Some(0.75)]), None]);
        let field = |name, values: [f64; 2]| {
            (
                Arc::new(Field::new(name, DataType::Float64, true)),
                Arc::new(Float64Array::from_iter_values(values)) as ArrayRef,
            )
        };
        let (fields, columns): (Vec<_>, Vec<_>) =
            [field("no", [0.25, 0.0]), field("yes", [0.75, 0.0])].into_iter().unzip();
        let structs = StructArray::try_new(fields.into(), columns, Some(vec![true, false].into())).unwrap();
        assert_eq!(scores(lists), scores(structs));
    }

    #[test]
    fn a_label_reads_the_same_in_every_type() {
        let expected = [Some("1".to_string()), None];
        assert_eq!(labels(Int64Array::from(vec![Some(1), None])), expected);
        assert_eq!(labels(Float64Array::from(vec![Some(1.0), Some(f64::NAN)])), expected);
        assert_eq!(labels(StringArray::from(vec![Some("1"), None])), expected);
        assert_eq!(labels(BooleanArray::from(vec![true])), [Some("true".to_string())]);
    }
}

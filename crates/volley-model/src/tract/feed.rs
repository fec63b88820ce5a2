//! Arguments on their way into tensors: one feed for each column or list that fills a place of a tensor.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, NullArray, UInt64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{cast, filter, take};
use arrow::datatypes::DataType;

use crate::fill::{Fill, fill_value};
use crate::{Binding, BoundInput, Contract, Input, InputType, ModelError, NullRule, Source};

/// Values for one place of a tensor: a column of it, or all of it.
#[derive(Clone, Debug)]
pub(super) struct Feed<'c> {
    /// Index into `Contract::graph_inputs`.
    pub tensor: usize,
    /// Of the first value within a row of the tensor.
    pub offset: usize,
    /// Values a row.
    pub width: usize,
    /// `width` values for each row, row by row. A column of single values may be a dictionary.
    pub values: ArrayRef,
    /// What to put where `values` is NULL, after excluded rows are gone.
    pub if_null: Option<Fill>,
    input: &'c Input,
    /// Of the input in the contract.
    index: usize,
    rule: &'c NullRule,
}

/// The feeds of a batch, in no particular order.
pub(super) fn feeds<'c>(
    contract: &'c Contract,
    binding: &'c Binding,
    columns: &[ArrayRef],
    rows: usize,
) -> Result<Vec<Feed<'c>>, ModelError> {
    if binding.inputs.len() != contract.inputs.len() || columns.iter().any(|column| column.len() != rows) {
        return Err(ModelError::Score("the columns are not those that the call was bound with".to_owned()));
    }
    let mut arguments = BoundArguments { columns, rows, lists: HashMap::new() };
    let mut feeds = Vec::new();
    for (index, (input, bound)) in contract.inputs.iter().zip(&binding.inputs).enumerate() {
        for (nth, (values, width)) in arguments.values(input, index, bound)?.into_iter().enumerate() {
            let if_null = if_null(input, index, &bound.null_rule)?;
            let (tensor, offset) = (input.slot.tensor, input.slot.offset + nth);
            feeds.push(Feed { tensor, offset, width, values, if_null, input, index, rule: &bound.null_rule });
        }
    }
    Ok(feeds)
}

fn if_null(input: &Input, index: usize, rule: &NullRule) -> Result<Option<Fill>, ModelError> {
    match rule {
        NullRule::Nan => Ok(Some(Fill::Float(f64::NAN))),
        NullRule::Fill(value) => match fill_value(&input.declared, input.element, value) {
            Some(fill) => Ok(Some(fill)),
            None => {
                Err(ModelError::Score(format!("the fill value of input {} is not of its type", input.label(index))))
            }
        },
        NullRule::Null | NullRule::Error => Ok(None),
    }
}

impl Feed<'_> {
    /// The declared type of each value, through which it goes into the graph's.
    pub(super) fn declared(&self) -> &InputType {
        self.input.declared.scalar()
    }

    /// For messages.
    pub(super) fn label(&self) -> String {
        self.input.label(self.index)
    }

    /// The values, none of them in a dictionary.
    pub(super) fn unpacked(&self) -> Result<ArrayRef, ModelError> {
        without_dictionary(&self.values).map_err(|from| unreadable(&self.label(), from))
    }

    /// The same for the rows that are kept.
    pub(super) fn only(mut self, kept: &BooleanBuffer) -> Result<Self, ModelError> {
        let values = match self.width {
            1 => BooleanArray::new(kept.clone(), None),
            width => {
                let each = BooleanBuffer::collect_bool(kept.len() * width, |value| kept.value(value / width));
                BooleanArray::new(each, None)
            }
        };
        self.values = filter(&self.values, &values).map_err(|_| unreadable(&self.label(), self.values.data_type()))?;
        Ok(self)
    }

    /// Which rows have all their values; `None` if all do.
    fn full_rows(&self, rows: usize) -> Option<BooleanBuffer> {
        let nulls = self.values.logical_nulls().filter(|nulls| nulls.null_count() > 0)?;
        let full = |row: usize| (0..self.width).all(|value| nulls.is_valid(row * self.width + value));
        match self.width {
            1 => Some(nulls.inner().clone()),
            _ => Some(BooleanBuffer::collect_bool(rows, full)),
        }
    }
}

/// The rows that no null rule excludes; `None` if that is all of them. Fails on the first NULL under the rule `error`.
pub(super) fn kept_rows(feeds: &[Feed], rows: usize) -> Result<Option<BooleanBuffer>, ModelError> {
    let mut kept: Option<BooleanBuffer> = None;
    for feed in feeds {
        if !matches!(feed.rule, NullRule::Null | NullRule::Error) {
            continue;
        }
        let Some(full) = feed.full_rows(rows) else {
            continue;
        };
        if *feed.rule == NullRule::Error {
            let row = (0..rows).find(|&row| !full.value(row)).expect("some row has a NULL");
            return Err(ModelError::NullInput { input: feed.label(), row });
        }
        kept = Some(kept.map_or_else(|| full.clone(), |kept| &kept & &full));
    }
    Ok(kept)
}

/// The arguments of a batch; lists are flattened once.
struct BoundArguments<'a> {
    columns: &'a [ArrayRef],
    rows: usize,
    lists: HashMap<usize, (ArrayRef, usize)>,
}

impl BoundArguments<'_> {
    /// The columns that feed an input, side by side, each with its values a row.
    fn values(
        &mut self,
        input: &Input,
        index: usize,
        bound: &BoundInput,
    ) -> Result<Vec<(ArrayRef, usize)>, ModelError> {
        let label = || input.label(index);
        match &bound.source {
            Source::Argument(argument) if is_list(input) => Ok(vec![self.flat(*argument, input.width(), &label)?]),
            Source::Argument(argument) => Ok(vec![(self.plain(*argument, &label)?, 1)]),
            Source::Element { argument, index, len } => {
                let (flat, _) = self.flat(*argument, Some(*len), &label)?;
                Ok(vec![(every(&flat, *index, *len, self.rows, &label)?, 1)])
            }
            Source::Arguments(arguments) => {
                arguments.iter().map(|&argument| Ok((self.plain(argument, &label)?, 1))).collect()
            }
            Source::Missing => {
                let width = input.width().unwrap_or(1);
                Ok(vec![(Arc::new(NullArray::new(self.rows * width)), width)])
            }
        }
    }

    fn plain(&self, argument: usize, label: &dyn Fn() -> String) -> Result<ArrayRef, ModelError> {
        let column = self.columns.get(argument).cloned();
        column.ok_or_else(|| ModelError::Score(format!("no column for input {}", label())))
    }

    fn flat(
        &mut self,
        argument: usize,
        len: Option<usize>,
        label: &dyn Fn() -> String,
    ) -> Result<(ArrayRef, usize), ModelError> {
        if let Some(flat) = self.lists.get(&argument) {
            return Ok(flat.clone());
        }
        let column = self.plain(argument, label)?;
        let flat = flattened(&column, len, &label())?;
        self.lists.insert(argument, flat.clone());
        Ok(flat)
    }
}

fn is_list(input: &Input) -> bool {
    matches!(input.declared, InputType::List { .. })
}

/// The column with each value in its place; its type, if it is a dictionary that cannot be read.
fn without_dictionary(column: &ArrayRef) -> Result<ArrayRef, &DataType> {
    match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values).map_err(|_| column.data_type()),
        _ => Ok(column.clone()),
    }
}

/// Every `len`-th value from `index` on: one element of each list.
fn every(
    flat: &ArrayRef,
    index: usize,
    len: usize,
    rows: usize,
    label: &dyn Fn() -> String,
) -> Result<ArrayRef, ModelError> {
    let indices: UInt64Array = (0..rows).map(|row| Some((row * len + index) as u64)).collect();
    take(flat, &indices, None).map_err(|_| unreadable(&label(), flat.data_type()))
}

/// The values of all lists, row by row, and how many a row has. A NULL list is that many NULLs.
fn flattened(column: &ArrayRef, len: Option<usize>, label: &str) -> Result<(ArrayRef, usize), ModelError> {
    let column = &without_dictionary(column).map_err(|from| unreadable(label, from))?;
    let lists = Lists::of(column).ok_or_else(|| unreadable(label, column.data_type()))?;
    let is_fixed = len.is_some();
    let len = len.or_else(|| lists.first_len()).unwrap_or(1);
    if let Some((row, other)) = lists.first_other_len(len) {
        return Err(other_len(label, len, (row, other), is_fixed));
    }
    // A row of no values could not be told from a NULL.
    if len == 0 {
        return Err(ModelError::Score(format!(
            "input {label} takes lists of values, and those of the batch are empty"
        )));
    }
    let values = lists.flat(len).map_err(|_| unreadable(label, column.data_type()))?;
    let values = without_dictionary(&values).map_err(|from| unreadable(label, from))?;
    Ok((values, len))
}

/// A list of a length that the model does not take is its row's fault; one that differs from its neighbours is not.
fn other_len(label: &str, len: usize, (row, other): (usize, usize), is_fixed: bool) -> ModelError {
    if is_fixed {
        let reason = format!("input {label} takes lists of {len}, and gets one of {other}");
        return ModelError::Row { row, source: volley_onnx::Error::Input(reason) };
    }
    ModelError::Score(format!("input {label} takes lists of one length, and gets some of {len} and some of {other}"))
}

/// The three Arrow layouts of lists as one.
struct Lists {
    values: ArrayRef,
    /// Start and end of each row in `values`.
    ranges: Vec<(usize, usize)>,
    nulls: Option<NullBuffer>,
}

impl Lists {
    fn of(column: &ArrayRef) -> Option<Self> {
        let nulls = column.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let (values, ranges) = match column.data_type() {
            DataType::List(_) => {
                let lists = column.as_list::<i32>();
                let range = |pair: &[i32]| (pair[0] as usize, pair[1] as usize);
                (lists.values().clone(), lists.value_offsets().windows(2).map(range).collect())
            }
            DataType::LargeList(_) => {
                let lists = column.as_list::<i64>();
                let range = |pair: &[i64]| (pair[0] as usize, pair[1] as usize);
                (lists.values().clone(), lists.value_offsets().windows(2).map(range).collect())
            }
            DataType::FixedSizeList(_, len) => {
                let len = usize::try_from(*len).ok()?;
                let lists = column.as_fixed_size_list();
                (lists.values().clone(), (0..lists.len()).map(|row| (row * len, (row + 1) * len)).collect())
            }
            DataType::Null => (column.slice(0, 0), vec![(0, 0); column.len()]),
            _ => return None,
        };
        Some(Self { values, ranges, nulls })
    }

    fn lengths(&self) -> impl Iterator<Item = (usize, usize)> {
        let valid = |row: &usize| self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
        (0..self.ranges.len()).filter(valid).map(|row| (row, self.ranges[row].1 - self.ranges[row].0))
    }

    fn first_len(&self) -> Option<usize> {
        self.lengths().next().map(|(_, len)| len)
    }

    fn first_other_len(&self, len: usize) -> Option<(usize, usize)> {
        self.lengths().find(|(_, other)| *other != len)
    }

    /// A slice where no list is NULL: then the values of all rows already lie side by side.
    fn flat(&self, len: usize) -> Result<ArrayRef, arrow::error::ArrowError> {
        let Some(nulls) = &self.nulls else {
            let start = self.ranges.first().map_or(0, |range| range.0);
            return Ok(self.values.slice(start, self.ranges.len() * len));
        };
        if nulls.null_count() == self.ranges.len() {
            return Ok(Arc::new(NullArray::new(self.ranges.len() * len)));
        }
        let index = |row: usize, value: usize| nulls.is_valid(row).then(|| (self.ranges[row].0 + value) as u64);
        let indices: UInt64Array = (0..self.ranges.len())
            .flat_map(|row| (0..len).map(move |value| (row, value)))
            .map(|(row, value)| index(row, value))
            .collect();
        take(&self.values, &indices, None)
    }
}

/// A column of a type that binding would have refused: the plan was changed after it.
pub(super) fn unreadable(label: &str, from: &DataType) -> ModelError {
    ModelError::Score(format!("input {label} cannot be read from a column of {from}"))
}

//! The logical write: which rows go where, and how.

mod options;
mod planner;
mod rejects;
mod rule;
mod statement;

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use serde::{Deserialize, Serialize};
use volley_commit::Mode;

use crate::format::Format;

pub(crate) use options::{csv_writer, parquet_properties, table_options};
pub use planner::WritePlanner;
pub use rejects::RejectsTarget;
pub use rule::WriteRule;
pub use statement::settle_statement;

/// Where a result goes and in what shape. Travels in plans.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WriteTarget {
    /// The destination folder as an absolute URL that ends in a slash.
    pub destination: String,
    /// The format of its files.
    pub format: Format,
    /// What happens to data that is already there.
    pub mode: Mode,
    /// Columns that become `name=value/` folders, outermost first; they are not in the files.
    pub partition_by: Vec<String>,
    /// Options of the format, checked: `compression`, `delimiter`, ….
    pub options: BTreeMap<String, String>,
    /// Where rejected rows go; without it no row may be.
    #[serde(default)]
    pub rejects: Option<RejectsTarget>,
}

impl WriteTarget {
    /// How the rejects are written, if any may be: always as Parquet, since their columns never change and a NULL must
    /// stay one. They have no partitions, so where some of the result's are replaced, all of the rejects are.
    pub fn of_rejects(&self) -> Option<WriteTarget> {
        let rejects = self.rejects.as_ref()?;
        Some(WriteTarget {
            destination: rejects.destination.clone(),
            format: Format::Parquet,
            mode: if self.mode == Mode::OverwritePartitions { Mode::Overwrite } else { self.mode },
            partition_by: vec![],
            options: BTreeMap::new(),
            rejects: None,
        })
    }
}

impl fmt::Display for WriteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to={}, format={}, mode={}", self.destination, self.format, self.mode)?;
        if !self.partition_by.is_empty() {
            write!(f, ", partition_by=[{}]", self.partition_by.join(", "))?;
        }
        for (option, value) in &self.options {
            write!(f, ", {option}={value}")?;
        }
        if let Some(rejects) = &self.rejects {
            write!(f, ", rejects={}, max_rejects={}", rejects.destination, rejects.max)?;
        }
        Ok(())
    }
}

/// What a write gives: one row a split.
pub(crate) fn output_schema() -> Schema {
    Schema::new(vec![
        Field::new("split", DataType::UInt32, false),
        Field::new("rows", DataType::UInt64, false),
        Field::new("files", DataType::UInt64, false),
        Field::new("bytes", DataType::UInt64, false),
    ])
}

/// Writes every row of its input to a destination. Planning it, or showing its plan, begins nothing.
///
/// Its output has one row a split: `split`, `rows`, `files`, `bytes`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    input: LogicalPlan,
    target: WriteTarget,
    schema: DFSchemaRef,
}

impl Write {
    /// A write of `input`. The target must have been checked against the input's columns, as
    /// [`WriteRule`] does.
    pub fn new(input: LogicalPlan, target: WriteTarget) -> Self {
        let schema = DFSchema::try_from(output_schema()).expect("the output's columns have different names");
        Self { input, target, schema: Arc::new(schema) }
    }

    /// The rows.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// Where they go.
    pub fn target(&self) -> &WriteTarget {
        &self.target
    }
}

impl PartialOrd for Write {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.target.destination.cmp(&other.target.destination) {
            Ordering::Equal => self.input.partial_cmp(&other.input),
            different => Some(different),
        }
        .filter(|ordering| *ordering != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for Write {
    fn name(&self) -> &str {
        "Write"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema.field_names().into_iter().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Write: {}", self.target)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Self { input: inputs.swap_remove(0), ..self.clone() })
    }

    // Every column is written, whatever is read of the node's own output.
    fn necessary_children_exprs(&self, _: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.input.schema().fields().len()).collect()])
    }
}

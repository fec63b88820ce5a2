//! The logical node that scores: its input's columns, and one more for each call.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::{DFSchema, DFSchemaRef, Result, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::call::BoundCall;

/// One call of a node: what to score, from which arguments, for which rows, into which column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeCall {
    /// The pinned and bound call.
    pub call: Arc<BoundCall>,
    /// The argument columns, in the order of the binding.
    pub arguments: Vec<Expr>,
    /// Who reaches the call. Empty: every row. Else a row is scored when, in one of these lists, every
    /// condition is true; the conditions of a list are evaluated one after another, each on the rows that
    /// the ones before it left.
    pub guards: Vec<Vec<Expr>>,
    /// Name of the result's column; rows that do not reach the call have NULL there.
    pub column: String,
}

impl NodeCall {
    fn expressions(&self) -> impl Iterator<Item = &Expr> {
        self.arguments.iter().chain(self.guards.iter().flatten())
    }

    fn with_expressions(&self, expressions: &mut impl Iterator<Item = Expr>) -> Self {
        let arguments = expressions.by_ref().take(self.arguments.len()).collect();
        let guards = self.guards.iter().map(|list| expressions.by_ref().take(list.len()).collect()).collect();
        Self { call: self.call.clone(), arguments, guards, column: self.column.clone() }
    }
}

/// Scores each row of its input with every call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictNode {
    input: LogicalPlan,
    calls: Vec<NodeCall>,
    schema: DFSchemaRef,
}

impl PredictNode {
    /// A node over `input`. The arguments and guards of the calls refer to the input's columns only.
    pub fn new(input: LogicalPlan, calls: Vec<NodeCall>) -> Result<Self> {
        let input_schema = input.schema();
        let mut fields: Vec<(Option<TableReference>, Arc<Field>)> =
            input_schema.iter().map(|(relation, field)| (relation.cloned(), field.clone())).collect();
        for call in &calls {
            fields.push((None, Arc::new(Field::new(&call.column, call.call.data_type().clone(), true))));
        }
        let schema = DFSchema::new_with_metadata(fields, input_schema.metadata().clone())?;
        let schema = schema.with_functional_dependencies(input_schema.functional_dependencies().clone())?;
        Ok(Self { input, calls, schema: Arc::new(schema) })
    }

    /// What is scored.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// The calls, in the order of their columns.
    pub fn calls(&self) -> &[NodeCall] {
        &self.calls
    }
}

impl Hash for PredictNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.calls.hash(state);
    }
}

impl PartialOrd for PredictNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        if self == other {
            return Some(Ordering::Equal);
        }
        self.input.partial_cmp(&other.input).filter(|ordering| *ordering != Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for PredictNode {
    fn name(&self) -> &str {
        "Predict"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.calls.iter().flat_map(NodeCall::expressions).cloned().collect()
    }

    /// Conditions on the scores stay above the node; all others go below it, so that fewer rows are scored.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.calls.iter().map(|call| call.column.clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Predict: ")?;
        for (index, call) in self.calls.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{} := {}[{}]", call.column, call.call, list(&call.arguments))?;
            for (index, guard) in call.guards.iter().enumerate() {
                write!(f, "{}{}", if index == 0 { " where " } else { " or " }, list(guard))?;
            }
        }
        Ok(())
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter();
        let calls = self.calls.iter().map(|call| call.with_expressions(&mut exprs)).collect();
        Self::new(inputs.swap_remove(0), calls)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        let mut needed: Vec<usize> = output_columns.iter().copied().filter(|index| *index < width).collect();
        let used = self.calls.iter().flat_map(NodeCall::expressions).flat_map(|expr| expr.column_refs());
        needed.extend(used.filter_map(|column| self.input.schema().maybe_index_of_column(column)));
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }
}

fn list(exprs: &[Expr]) -> String {
    exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

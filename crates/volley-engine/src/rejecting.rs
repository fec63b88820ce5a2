//! Rows that a model cannot score, between the nodes that score and the write that accounts for them.
//!
//! What scores below a write tells of such rows by the task that it runs in, and each split gives its own task to all
//! that it computes. So a plan is accounted for where every node that scores works for one split alone.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use volley_commit::{Job, RejectsAt};
use volley_connect::{Format, RejectsTarget, SplitTask, SplitTasks, WriteExec, carrying};
use volley_predict::{PredictExec, RejectBudget, ScoringSplit, scores};

use crate::engine::Shared;
use crate::error::EngineError;
use crate::write::write_of;

/// What is told when a plan has to become one split.
pub(crate) const ONE_SPLIT: &str = "note: this job scores for several splits at once: with rejects it has one";

/// A plan of a write whose rejects can be accounted for split by split. Where something scores for several splits, as
/// below a shuffle or in the collected side of a join, all partitions become one split; a plan whose job may reject
/// nothing stays as it is.
///
/// Errors: `rejects_unsupported` where a call scores in a place that no row can leave.
pub(crate) fn accounted(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>, EngineError> {
    let Some(write) = write_of(plan.as_ref()).filter(|write| write.target().rejects.is_some()) else { return Ok(plan) };
    let below = nodes_that_score(write.input());
    if holds_function(&plan) || nodes_that_score(&plan) > below {
        let message = "`rejects` needs rows to leave out, and this statement scores in the condition of a join or in an inner query: score in a query of FROM first, or take `rejects` away";
        return Err(EngineError::new("rejects_unsupported", message));
    }
    // What has one partition today may be cut into several splits.
    if nodes_of_one_split(write.input()) == below {
        return Ok(plan);
    }
    let one_split = |node: Arc<dyn ExecutionPlan>| {
        if !node.is::<WriteExec>() {
            return Ok(Transformed::no(node));
        }
        let input: Arc<dyn ExecutionPlan> = Arc::new(CoalescePartitionsExec::new(node.children()[0].clone()));
        Ok(Transformed::new(replace_children_if_necessary(node, vec![input])?, true, TreeNodeRecursion::Jump))
    };
    let plan = plan.transform_down(one_split).map_err(|error| EngineError::from_datafusion(&error, &[]))?;
    Ok(plan.data)
}

/// Whether each node below a write of splits scores for the split that asks it.
fn works_by_splits(input: &Arc<dyn ExecutionPlan>) -> bool {
    input.output_partitioning().partition_count() == 1 || nodes_of_one_split(input) == nodes_that_score(input)
}

fn nodes_that_score(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let below: usize = plan.children().into_iter().map(nodes_that_score).sum();
    below + usize::from(plan.is::<PredictExec>())
}

/// The same without those that work for whichever split asks first.
fn nodes_of_one_split(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let children = plan.children();
    let below: usize = carrying(plan.as_ref()).into_iter().map(|child| nodes_of_one_split(children[child])).sum();
    below + usize::from(plan.is::<PredictExec>())
}

fn holds_function(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut found = false;
    let looked = plan.apply(|node| {
        node.apply_expressions(&mut |expr| {
            found |= scores(expr);
            Ok(TreeNodeRecursion::Continue)
        })
    });
    // An expression that cannot be looked at may be anything.
    looked.is_err() || found
}

/// Where the rejects of a job go.
pub(crate) fn place(rejects: &RejectsTarget, shared: &Shared) -> Result<RejectsAt, EngineError> {
    let destination = volley_connect::location(&rejects.destination, &shared.runtime)?;
    let staging = volley_connect::staging(&destination, &shared.stores, &shared.runtime)?;
    Ok(RejectsAt { destination, staging, extension: Format::Parquet.extension().to_owned(), max: rejects.max })
}

/// The task that runs the plan of a job, of whose rows `rejected` were rejected before. Each split gets one of its own.
pub(crate) fn task(
    task: &Arc<TaskContext>,
    job: &Job,
    plan: &Arc<dyn ExecutionPlan>,
    rejected: u64,
) -> Arc<TaskContext> {
    let Some(write) = write_of(plan.as_ref()).filter(|write| works_by_splits(write.input())) else {
        // The split that asks first has nothing to do with the rows.
        return task.clone();
    };
    let target = write.target().rejects.clone();
    let budget = target.as_ref().map(|target| Arc::new(RejectBudget::new(target.max, rejected)));
    let job = job.id().to_string();
    let make = move |split, task: &TaskContext| match target.as_ref().zip(budget.as_ref()) {
        None => SplitTask { task: scoring(task, Arc::new(ScoringSplit::failing(split))), rejected: None },
        Some((target, budget)) => {
            let split = ScoringSplit::rejecting(split, job.clone(), budget.clone(), target.values);
            let split = Arc::new(split);
            SplitTask { task: scoring(task, split.clone()), rejected: Some(Box::new(move || split.rejected())) }
        }
    };
    with_extension(task, Arc::new(SplitTasks::new(make)))
}

fn scoring(task: &TaskContext, split: Arc<ScoringSplit>) -> Arc<TaskContext> {
    with_extension(task, split)
}

fn with_extension<T: Send + Sync + 'static>(task: &TaskContext, extension: Arc<T>) -> Arc<TaskContext> {
    let session = task.session_config().clone().with_extension(extension);
    let same = TaskContext::new(
        task.task_id(),
        task.session_id(),
        session,
        task.scalar_functions().clone(),
        task.higher_order_functions().clone(),
        task.aggregate_functions().clone(),
        task.window_functions().clone(),
        task.runtime_env(),
    );
    Arc::new(same)
}

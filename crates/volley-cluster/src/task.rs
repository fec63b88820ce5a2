//! The node that names a split, and the codec that carries it.

use std::fmt;
use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};
use volley_engine::JobId;

/// One split of a job. A leaf with one partition and no rows: what it stands for lies in the state.
#[derive(Debug, Clone)]
pub(crate) struct SplitExec {
    name: SplitName,
    properties: Arc<PlanProperties>,
}

/// Which split it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SplitName {
    pub(crate) job: JobId,
    pub(crate) split: u32,
}

impl SplitExec {
    pub(crate) fn new(name: SplitName) -> Self {
        let equivalences = EquivalenceProperties::new(Arc::new(Schema::empty()));
        let partitioning = Partitioning::UnknownPartitioning(1);
        let properties = PlanProperties::new(equivalences, partitioning, EmissionType::Final, Boundedness::Bounded);
        Self { name, properties: Arc::new(properties) }
    }

    pub(crate) fn name(&self) -> SplitName {
        self.name
    }
}

impl DisplayAs for SplitExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "SplitExec: split {} of job {}", self.name.split, self.name.job)
    }
}

impl ExecutionPlan for SplitExec {
    fn name(&self) -> &str {
        "SplitExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        internal_err!("a split is run by the worker of an executor, and not by its name")
    }
}

/// Leads the payload of a [`SplitExec`]; no protobuf message begins so.
const SPLIT: u8 = 0xFE;

/// Ballista's codec, which also carries names of splits.
#[derive(Debug, Default)]
pub(crate) struct TaskCodec {
    ballista: BallistaPhysicalExtensionCodec,
}

impl PhysicalExtensionCodec for TaskCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match buf {
            [SPLIT, name @ ..] => {
                let name = serde_json::from_slice(name).map_err(|error| DataFusionError::External(Box::new(error)))?;
                Ok(Arc::new(SplitExec::new(name)))
            }
            _ => self.ballista.try_decode(buf, inputs, ctx, converter),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        match node.downcast_ref::<SplitExec>() {
            Some(split) => {
                buf.push(SPLIT);
                buf.extend(serde_json::to_vec(&split.name).expect("a name is plain data"));
                Ok(())
            }
            None => self.ballista.try_encode(node, buf, converter),
        }
    }
}

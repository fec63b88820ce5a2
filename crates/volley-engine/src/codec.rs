//! The codec that carries plans with our nodes: the first bytes of a payload tell whose it is.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, TableReference, internal_err, not_impl_err};
use datafusion::datasource::file_format::FileFormatFactory;
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::source_as_provider;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan, ScalarUDF, TableScan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion_proto::bytes::{
    logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::logical_plan::{DefaultLogicalExtensionCodec, LogicalExtensionCodec};
use datafusion_proto::physical_plan::{
    AsExecutionPlan, DefaultPhysicalExtensionCodec, PhysicalExtensionCodec, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::PhysicalPlanNode;
use prost::Message;
use volley_predict::{ModelHost, PredictExec, PredictNode, codec as predict};

/// Leads a payload of predict. No protobuf message begins so, nor does a payload of connect, which has a tag of
/// its own.
const PREDICT: u8 = 0xFF;

/// Encodes and decodes plans whose models are scored by one host.
#[derive(Debug, Clone)]
pub struct PlanCodec {
    host: Arc<ModelHost>,
}

impl PlanCodec {
    /// A codec whose decoded nodes score with `host`.
    pub fn new(host: Arc<ModelHost>) -> Self {
        Self { host }
    }

    /// The logical plan as another process would see it: encoded and decoded again. `None` for what DataFusion
    /// cannot encode: tables that are no files, and the columns of a relation without rows.
    pub fn round_trip_logical(&self, plan: &LogicalPlan, context: &TaskContext) -> Result<Option<LogicalPlan>> {
        let mut travels = true;
        plan.apply_with_subqueries(|node| {
            travels &= match node {
                LogicalPlan::TableScan(scan) => is_of_files(scan),
                LogicalPlan::EmptyRelation(empty) => empty.schema.fields().is_empty(),
                _ => true,
            };
            Ok(TreeNodeRecursion::Continue)
        })?;
        if !travels {
            return Ok(None);
        }
        let bytes = logical_plan_to_bytes_with_extension_codec(plan, self)?;
        logical_plan_from_bytes_with_extension_codec(&bytes, context, self).map(Some)
    }

    /// The plan as another process would see it: encoded and decoded again.
    pub fn round_trip(&self, plan: Arc<dyn ExecutionPlan>, context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
        self.decode(&self.encode(plan)?, context)
    }

    /// The plan as bytes. Refuses what DataFusion's own codec would bring back as something else.
    pub fn encode(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Vec<u8>> {
        plan.apply(|node| match is_series_without_its_column(node.as_ref()) {
            true => not_impl_err!("a series of which no column is read cannot travel"),
            false => Ok(TreeNodeRecursion::Continue),
        })?;
        Ok(PhysicalPlanNode::try_from_physical_plan(plan, self)?.encode_to_vec())
    }

    /// The plan of [`PlanCodec::encode`], which reads through the stores of `context`.
    pub fn decode(&self, bytes: &[u8], context: &TaskContext) -> Result<Arc<dyn ExecutionPlan>> {
        let node = PhysicalPlanNode::decode(bytes)
            .map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))?;
        node.try_into_physical_plan(context, self)
    }

    fn encode_function(node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        if let Some(bytes) = predict::encode_function(node)? {
            buf.push(PREDICT);
            buf.extend(bytes);
        }
        Ok(())
    }

    fn decode_function(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        match buf {
            [PREDICT, bytes @ ..] => Ok(Arc::new(predict::decode_function(bytes, &self.host)?)),
            _ => not_impl_err!("function {name} is not known here"),
        }
    }
}

/// The codec knows of no projection, and brings such a series back with its column.
fn is_series_without_its_column(node: &dyn ExecutionPlan) -> bool {
    node.is::<LazyMemoryExec>() && node.schema().fields().is_empty()
}

fn is_of_files(scan: &TableScan) -> bool {
    source_as_provider(&scan.source).is_ok_and(|table| table.is::<ListingTable>())
}

impl LogicalExtensionCodec for PlanCodec {
    fn try_decode(&self, buf: &[u8], inputs: &[LogicalPlan], ctx: &TaskContext) -> Result<Extension> {
        if let ([PREDICT, bytes @ ..], [input]) = (buf, inputs) {
            let node = predict::decode_node(bytes, input.clone(), ctx, self)?;
            return Ok(Extension { node: Arc::new(node) });
        }
        let foreign = || internal_err!("a plan holds a node that is not ours");
        volley_connect::decode_logical(buf, inputs).unwrap_or_else(foreign)
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        if let Some(predict_node) = node.node.as_any().downcast_ref::<PredictNode>() {
            buf.push(PREDICT);
            buf.extend(predict::encode_node(predict_node, self)?);
            return Ok(());
        }
        match volley_connect::encode_logical(node) {
            Some(bytes) => {
                buf.extend(bytes);
                Ok(())
            }
            None => not_impl_err!("node {} cannot travel", node.node.name()),
        }
    }

    fn try_decode_table_provider(
        &self,
        buf: &[u8],
        table_ref: &TableReference,
        schema: SchemaRef,
        ctx: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        DefaultLogicalExtensionCodec {}.try_decode_table_provider(buf, table_ref, schema, ctx)
    }

    fn try_encode_table_provider(
        &self,
        table_ref: &TableReference,
        node: Arc<dyn TableProvider>,
        buf: &mut Vec<u8>,
    ) -> Result<()> {
        DefaultLogicalExtensionCodec {}.try_encode_table_provider(table_ref, node, buf)
    }

    fn try_decode_file_format(&self, buf: &[u8], ctx: &TaskContext) -> Result<Arc<dyn FileFormatFactory>> {
        DefaultLogicalExtensionCodec {}.try_decode_file_format(buf, ctx)
    }

    fn try_encode_file_format(&self, buf: &mut Vec<u8>, node: Arc<dyn FileFormatFactory>) -> Result<()> {
        DefaultLogicalExtensionCodec {}.try_encode_file_format(buf, node)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        Self::encode_function(node, buf)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.decode_function(name, buf)
    }
}

impl PhysicalExtensionCodec for PlanCodec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let ([PREDICT, bytes @ ..], [input]) = (buf, inputs) {
            let exec = predict::decode_exec(bytes, input.clone(), &self.host, ctx, self, converter)?;
            return Ok(Arc::new(exec));
        }
        let foreign = || DefaultPhysicalExtensionCodec {}.try_decode(buf, inputs, ctx, converter);
        volley_connect::decode_physical(buf, inputs).unwrap_or_else(foreign)
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if let Some(exec) = node.downcast_ref::<PredictExec>() {
            buf.push(PREDICT);
            buf.extend(predict::encode_exec(exec, self, converter)?);
            return Ok(());
        }
        match volley_connect::encode_physical(&node) {
            Some(bytes) => {
                buf.extend(bytes);
                Ok(())
            }
            None => DefaultPhysicalExtensionCodec {}.try_encode(node, buf, converter),
        }
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buf: &mut Vec<u8>) -> Result<()> {
        Self::encode_function(node, buf)
    }

    fn try_decode_udf(&self, name: &str, buf: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.decode_function(name, buf)
    }
}

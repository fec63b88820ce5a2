//! The write nodes as bytes.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, TableReference, not_impl_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::{ExecutionPlan, collect_partitioned, displayable};
use datafusion_proto::bytes::{
    logical_plan_from_bytes_with_extension_codec, logical_plan_to_bytes_with_extension_codec,
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use volley_connect::{decode_logical, decode_physical, encode_logical, encode_physical};

use crate::harness::{Begun, House};

/// The codec of this crate's nodes alone.
#[derive(Debug)]
pub struct Codec;

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        decode_physical(buf, inputs).unwrap_or_else(|| not_impl_err!("a foreign node"))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buf: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        buf.extend(encode_physical(&node).expect("a write"));
        Ok(())
    }
}

impl LogicalExtensionCodec for Codec {
    fn try_decode(&self, buf: &[u8], inputs: &[LogicalPlan], _: &TaskContext) -> Result<Extension> {
        decode_logical(buf, inputs).unwrap_or_else(|| not_impl_err!("a foreign node"))
    }

    fn try_encode(&self, node: &Extension, buf: &mut Vec<u8>) -> Result<()> {
        buf.extend(encode_logical(node).expect("a write"));
        Ok(())
    }

    fn try_decode_table_provider(
        &self,
        _: &[u8],
        _: &TableReference,
        _: SchemaRef,
        _: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        not_impl_err!("a foreign table")
    }

    fn try_encode_table_provider(&self, _: &TableReference, _: Arc<dyn TableProvider>, _: &mut Vec<u8>) -> Result<()> {
        not_impl_err!("a foreign table")
    }
}

#[tokio::test]
async fn a_decoded_plan_writes_the_same_result_for_the_same_job() {
    let house = House { split_rows: 100, ..House::new() };
    house.write_parquet("in/k=1/a.parquet", 0, 300, 100);
    let sql = "COPY (SELECT id, name, k FROM 'in/' WHERE id >= 10) TO 'out' STORED AS CSV PARTITIONED BY (k) OPTIONS (delimiter '|')";
    let Begun { job, plan, .. } = house.begin(sql).await.expect("begun");
    let task = house.context.task_ctx();
    let bytes = physical_plan_to_bytes_with_extension_codec(plan.clone(), &Codec).expect("encoded");
    let decoded = physical_plan_from_bytes_with_extension_codec(&bytes, &task, &Codec).expect("decoded");
    let shown = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(false).to_string();
    assert_eq!(shown(&decoded), shown(&plan));
    collect_partitioned(decoded, task).await.expect("written");
    job.commit().await.expect("committed");
    job.publish().await.expect("published");
    assert_eq!(house.files("out").len(), 3);
    house.run("CREATE EXTERNAL TABLE out STORED AS CSV LOCATION 'out/' OPTIONS (delimiter '|')").await;
    assert_eq!(house.number("SELECT sum(id) FROM out WHERE k = 1").await, 299 * 150 - 45);
}

#[tokio::test]
async fn a_logical_write_survives_the_journey() {
    let house = House::new();
    house.write_parquet("in/a.parquet", 0, 3, 3);
    let frame = house.context.sql("COPY (SELECT id FROM 'in/') TO 'out' STORED AS ARROW OPTIONS (mode 'append')").await;
    let plan = frame.expect("planned").into_optimized_plan().expect("optimized");
    let bytes = logical_plan_to_bytes_with_extension_codec(&plan, &Codec).expect("encoded");
    let decoded =
        logical_plan_from_bytes_with_extension_codec(&bytes, &house.context.task_ctx(), &Codec).expect("decoded");
    assert_eq!(decoded.display_indent().to_string(), plan.display_indent().to_string());
}

#[tokio::test]
async fn foreign_nodes_and_bytes_are_left_to_others() {
    let house = House::new();
    let plan = house.plan("SELECT 1 AS n").await.expect("a plan");
    assert!(encode_physical(&plan).is_none());
    assert!(decode_physical(b"something else", &[]).is_none());
    assert!(decode_logical(b"something else", &[]).is_none());
    assert!(decode_physical(b"volley.WriteExec.3:{}", &[]).expect("ours").is_err());
}

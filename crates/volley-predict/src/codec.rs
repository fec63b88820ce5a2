//! Predict nodes and bound functions as bytes, for the plan codec that carries them between processes.
//!
//! A payload holds the whole binding: an executor never resolves a name. Expressions are encoded with the
//! caller's codec, so that a bound function inside an argument keeps its binding too.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{Expr, LogicalPlan, ScalarUDF};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use datafusion_proto::logical_plan::LogicalExtensionCodec;
use datafusion_proto::logical_plan::from_proto::parse_expr;
use datafusion_proto::logical_plan::to_proto::serialize_expr;
use datafusion_proto::physical_plan::from_proto::parse_physical_expr_with_converter;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::{LogicalExprNode, PhysicalExprNode};
use prost::Message;

use crate::call::BoundCall;
use crate::exec::{ExecCall, PredictExec};
use crate::function::BoundPredict;
use crate::host::ModelHost;
use crate::node::{NodeCall, PredictNode};

#[derive(Clone, PartialEq, Message)]
struct CallsPayload {
    #[prost(message, repeated, tag = "1")]
    calls: Vec<CallPayload>,
}

#[derive(Clone, PartialEq, Message)]
struct CallPayload {
    /// The bound call as JSON.
    #[prost(bytes, tag = "1")]
    call: Vec<u8>,
    #[prost(string, tag = "2")]
    column: String,
    #[prost(bytes, repeated, tag = "3")]
    arguments: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    guards: Vec<GuardPayload>,
}

#[derive(Clone, PartialEq, Message)]
struct GuardPayload {
    #[prost(bytes, repeated, tag = "1")]
    conditions: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct FunctionPayload {
    #[prost(bytes, tag = "1")]
    call: Vec<u8>,
    #[prost(bool, tag = "2")]
    constant: bool,
}

/// A logical node as bytes.
pub fn encode_node(node: &PredictNode, codec: &dyn LogicalExtensionCodec) -> Result<Vec<u8>> {
    let encode = |expr: &Expr| -> Result<Vec<u8>> { Ok(serialize_expr(expr, codec)?.encode_to_vec()) };
    let calls = node.calls().iter().map(|call| {
        Ok(CallPayload {
            call: encode_call(&call.call)?,
            column: call.column.clone(),
            arguments: call.arguments.iter().map(encode).collect::<Result<_>>()?,
            guards: encode_guards(&call.guards, encode)?,
        })
    });
    Ok(CallsPayload { calls: calls.collect::<Result<_>>()? }.encode_to_vec())
}

/// The logical node that [`encode_node`] wrote, over `input`.
pub fn decode_node(
    bytes: &[u8],
    input: LogicalPlan,
    context: &TaskContext,
    codec: &dyn LogicalExtensionCodec,
) -> Result<PredictNode> {
    let decode = |bytes: &Vec<u8>| -> Result<Expr> {
        let proto = LogicalExprNode::decode(bytes.as_slice()).map_err(broken)?;
        Ok(parse_expr(&proto, context, codec)?)
    };
    let calls = CallsPayload::decode(bytes).map_err(broken)?.calls.into_iter().map(|call| {
        Ok(NodeCall {
            call: decode_call(&call.call)?,
            arguments: call.arguments.iter().map(decode).collect::<Result<_>>()?,
            guards: decode_guards(&call.guards, decode)?,
            column: call.column,
        })
    });
    PredictNode::new(input, calls.collect::<Result<_>>()?)
}

/// A physical node as bytes.
pub fn encode_exec(
    exec: &PredictExec,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Vec<u8>> {
    let encode = |expr: &Arc<dyn PhysicalExpr>| -> Result<Vec<u8>> {
        Ok(converter.physical_expr_to_proto(expr, codec)?.encode_to_vec())
    };
    let calls = exec.calls().iter().map(|call| {
        Ok(CallPayload {
            call: encode_call(&call.call)?,
            column: call.column.clone(),
            arguments: call.arguments.iter().map(encode).collect::<Result<_>>()?,
            guards: encode_guards(&call.guards, encode)?,
        })
    });
    Ok(CallsPayload { calls: calls.collect::<Result<_>>()? }.encode_to_vec())
}

/// The physical node that [`encode_exec`] wrote, over `input`, scoring with `host`.
pub fn decode_exec(
    bytes: &[u8],
    input: Arc<dyn ExecutionPlan>,
    host: &Arc<ModelHost>,
    context: &TaskContext,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<PredictExec> {
    let schema = input.schema();
    let plan_context = PhysicalPlanDecodeContext::new(context, codec);
    let decode = |bytes: &Vec<u8>| -> Result<Arc<dyn PhysicalExpr>> {
        let proto = PhysicalExprNode::decode(bytes.as_slice()).map_err(broken)?;
        parse_physical_expr_with_converter(&proto, &schema, &plan_context, converter)
    };
    let calls = CallsPayload::decode(bytes).map_err(broken)?.calls.into_iter().map(|call| {
        Ok(ExecCall {
            call: decode_call(&call.call)?,
            arguments: call.arguments.iter().map(decode).collect::<Result<_>>()?,
            guards: decode_guards(&call.guards, decode)?,
            column: call.column,
        })
    });
    let calls = calls.collect::<Result<_>>()?;
    PredictExec::try_new(input, calls, host.clone())
}

/// A bound function as bytes; none for a function that is not ours.
pub fn encode_function(function: &ScalarUDF) -> Result<Option<Vec<u8>>> {
    let Some(bound) = function.inner().downcast_ref::<BoundPredict>() else { return Ok(None) };
    let payload = FunctionPayload { call: encode_call(bound.call())?, constant: bound.is_constant() };
    Ok(Some(payload.encode_to_vec()))
}

/// The bound function that [`encode_function`] wrote, scoring with `host`.
pub fn decode_function(bytes: &[u8], host: &Arc<ModelHost>) -> Result<ScalarUDF> {
    let payload = FunctionPayload::decode(bytes).map_err(broken)?;
    Ok(ScalarUDF::from(BoundPredict::new(decode_call(&payload.call)?, host.clone(), payload.constant)))
}

fn encode_call(call: &BoundCall) -> Result<Vec<u8>> {
    serde_json::to_vec(call).map_err(broken)
}

fn decode_call(bytes: &[u8]) -> Result<Arc<BoundCall>> {
    serde_json::from_slice(bytes).map(Arc::new).map_err(broken)
}

fn encode_guards<E>(guards: &[Vec<E>], encode: impl Fn(&E) -> Result<Vec<u8>>) -> Result<Vec<GuardPayload>> {
    let list = |list: &Vec<E>| Ok(GuardPayload { conditions: list.iter().map(&encode).collect::<Result<_>>()? });
    guards.iter().map(list).collect()
}

fn decode_guards<E>(guards: &[GuardPayload], decode: impl Fn(&Vec<u8>) -> Result<E>) -> Result<Vec<Vec<E>>> {
    guards.iter().map(|list| list.conditions.iter().map(&decode).collect()).collect()
}

fn broken(error: impl std::fmt::Display) -> DataFusionError {
    internal_datafusion_err!("a predict node of a plan cannot be read or written: {error}")
}

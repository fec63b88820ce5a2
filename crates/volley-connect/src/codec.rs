//! The write nodes as bytes, for a codec that carries whole plans.
//!
//! Every payload starts with a tag, so that one codec can ask several crates in turn: what is not
//! ours gives `None`.

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, internal_datafusion_err};
use datafusion::logical_expr::{Extension, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exec::{WriteContext, WriteExec};
use crate::write::{Write, WriteTarget};

// The number changes with the shape of the payload: both ends of a cluster must be of one version.
const LOGICAL: &[u8] = b"volley.Write.2:";
const PHYSICAL: &[u8] = b"volley.WriteExec.3:";

#[derive(Serialize, Deserialize)]
struct PhysicalWrite {
    target: WriteTarget,
    context: Option<WriteContext>,
}

/// A [`Write`] node as bytes, without its input.
pub fn encode_logical(node: &Extension) -> Option<Vec<u8>> {
    let write = node.node.as_any().downcast_ref::<Write>()?;
    Some(encode(LOGICAL, write.target()))
}

/// The node of [`encode_logical`] over its decoded inputs.
pub fn decode_logical(bytes: &[u8], inputs: &[LogicalPlan]) -> Option<Result<Extension>> {
    let target = decode::<WriteTarget>(LOGICAL, bytes)?;
    Some(target.and_then(|target| {
        let node = Arc::new(Write::new(one(inputs)?, target));
        Ok(Extension { node })
    }))
}

/// A [`WriteExec`] as bytes, without its input but with its job.
pub fn encode_physical(plan: &Arc<dyn ExecutionPlan>) -> Option<Vec<u8>> {
    let write = plan.downcast_ref::<WriteExec>()?;
    let context = write.context().map(|context| context.as_ref().clone());
    Some(encode(PHYSICAL, &PhysicalWrite { target: write.target().clone(), context }))
}

/// The node of [`encode_physical`] over its decoded inputs.
pub fn decode_physical(bytes: &[u8], inputs: &[Arc<dyn ExecutionPlan>]) -> Option<Result<Arc<dyn ExecutionPlan>>> {
    let write = decode::<PhysicalWrite>(PHYSICAL, bytes)?;
    Some(write.and_then(|write| {
        let exec = WriteExec::new(one(inputs)?, write.target)?;
        let exec = match write.context {
            Some(context) => exec.with_context(Arc::new(context)),
            None => exec,
        };
        Ok(Arc::new(exec) as Arc<dyn ExecutionPlan>)
    }))
}

fn encode(tag: &[u8], payload: &impl Serialize) -> Vec<u8> {
    let body = serde_json::to_vec(payload).expect("plain structs with text keys are JSON");
    [tag, &body].concat()
}

fn decode<T: DeserializeOwned>(tag: &[u8], bytes: &[u8]) -> Option<Result<T>> {
    let body = bytes.strip_prefix(tag)?;
    Some(serde_json::from_slice(body).map_err(|error| DataFusionError::External(Box::new(error))))
}

fn one<T: Clone>(inputs: &[T]) -> Result<T> {
    match inputs {
        [input] => Ok(input.clone()),
        _ => Err(internal_datafusion_err!("a write has one input, not {}", inputs.len())),
    }
}

//! What bends the sums of a recurrent layer.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::{Kind, floats};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Activation {
    Affine(f32, f32),
    Elu(f32),
    HardSigmoid(f32, f32),
    LeakyRelu(f32),
    Relu,
    ScaledTanh(f32, f32),
    Sigmoid,
    Softplus,
    Softsign,
    Tanh,
    ThresholdedRelu(f32),
}

impl Activation {
    /// Those of a layer that names none.
    pub(super) fn usual(kind: Kind, directions: usize) -> Vec<Activation> {
        let each: &[Activation] = match kind {
            Kind::Lstm => &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
            Kind::Gru => &[Activation::Sigmoid, Activation::Tanh],
            Kind::Rnn => &[Activation::Tanh],
        };
        each.repeat(directions)
    }

    pub(super) fn of(self, x: f32) -> f32 {
        match self {
            Activation::Affine(alpha, beta) => alpha * x + beta,
            Activation::Elu(alpha) if x < 0.0 => alpha * x.exp_m1(),
            Activation::HardSigmoid(alpha, beta) => (alpha * x + beta).clamp(0.0, 1.0),
            Activation::LeakyRelu(alpha) if x < 0.0 => alpha * x,
            Activation::Relu if x < 0.0 => 0.0,
            Activation::ThresholdedRelu(alpha) if x <= alpha => 0.0,
            Activation::Elu(_) | Activation::LeakyRelu(_) | Activation::Relu | Activation::ThresholdedRelu(_) => x,
            Activation::ScaledTanh(alpha, beta) => alpha * (beta * x).tanh(),
            Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Activation::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Activation::Softsign => x / (1.0 + x.abs()),
            Activation::Tanh => x.tanh(),
        }
    }
}

/// The activations with these names. Each takes as many of the factors in the lists as it has, in order; what the lists
/// no longer hold is as ONNX Runtime sets it.
pub(super) fn read(node: &NodeProto, names: &[String]) -> TractResult<Vec<Activation>> {
    let mut alphas = floats(node, "activation_alpha")?.into_iter();
    let mut betas = floats(node, "activation_beta")?.into_iter();
    let mut alpha = |usual: f32| alphas.next().unwrap_or(usual);
    let mut beta = |usual: f32| betas.next().unwrap_or(usual);
    let mut read = |name: &String| -> TractResult<Activation> {
        Ok(match name.to_ascii_lowercase().as_str() {
            "affine" => Activation::Affine(alpha(1.0), beta(0.0)),
            "elu" => Activation::Elu(alpha(1.0)),
            "hardsigmoid" => Activation::HardSigmoid(alpha(0.2), beta(0.5)),
            "leakyrelu" => Activation::LeakyRelu(alpha(0.01)),
            "relu" => Activation::Relu,
            "scaledtanh" => Activation::ScaledTanh(alpha(1.0), beta(1.0)),
            "sigmoid" => Activation::Sigmoid,
            "softplus" => Activation::Softplus,
            "softsign" => Activation::Softsign,
            "tanh" => Activation::Tanh,
            "thresholdedrelu" => Activation::ThresholdedRelu(alpha(1.0)),
            other => return node.bail(&format!("{other} is not an activation of a recurrent layer")),
        })
    };
    names.iter().map(&mut read).collect()
}

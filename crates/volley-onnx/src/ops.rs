//! The operators that volley brings to tract, and the register in which tract finds them.
//!
//! An operator is a [`Kernel`]: it says what comes out for what goes in, and computes it. One file
//! holds one family. [`kernel`] makes of it what tract wants to see.

mod activation;
mod array_feature_extractor;
mod binarizer;
mod by_column;
mod cast;
mod cast_map;
mod cdist;
mod constant_of_shape;
mod distances;
mod double;
mod dynamic_quantize;
mod exact;
mod extreme;
mod feature_vectorizer;
mod gemm;
mod global_lp_pool;
mod hardmax;
mod imputer;
mod is_inf;
mod label_encoder;
mod larger;
mod layer_normalization;
mod linear;
mod log_of_exp;
mod node;
mod normalizer;
mod of_tract;
mod one_hot;
mod one_hot_encoder;
mod post_transform;
mod products;
mod quantize;
mod recurrent;
mod reverse_sequence;
mod root;
mod scaler;
mod searched;
mod shift;
mod squares;
mod steps;
mod svm;
mod text;
mod top;
mod tree_ensemble;
mod upsample;
mod whole_sum;
mod wide;

use std::fmt;
use std::sync::Arc;

use tract_onnx::Onnx;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

pub(crate) use by_column::{Arithmetic, ByColumn};
pub(crate) use cast::{int, long};
pub(crate) use distances::{LANES, Squarable, squared};
pub(crate) use dynamic_quantize::DynamicQuantize;
pub(crate) use larger::{Chosen, NanOf, WithoutTail};
pub(crate) use linear::product;
pub(crate) use node::{Refusal, refuse};
pub(crate) use one_hot::Places;
pub(crate) use post_transform::{PostTransform, logistic};
pub(crate) use searched::{Answer, Searched};
pub(crate) use squares::{ByRootOfMean, MeanOfSquares};
pub(crate) use top::Top;
pub(crate) use whole_sum::WholeSum;
pub(crate) use wide::{Work, widely};

use crate::direct::{self, Cells, Given};

/// What a builder gives to tract: the operator, and the names it closes over.
type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;
type Builder = fn(&ParsingContext, &NodeProto) -> Built;

/// The whole of `ai.onnx.ml` that can be run. tract's own versions of these are not used: several
/// score wrongly without a word.
const ML: [(&str, Builder); 18] = [
    ("ArrayFeatureExtractor", array_feature_extractor::build),
    ("Binarizer", binarizer::build),
    ("CastMap", cast_map::build),
    ("CategoryMapper", label_encoder::build_category_mapper),
    ("DictVectorizer", cast_map::build_dict_vectorizer),
    ("FeatureVectorizer", feature_vectorizer::build),
    ("Imputer", imputer::build),
    ("LabelEncoder", label_encoder::build),
    ("LinearClassifier", linear::build_classifier),
    ("LinearRegressor", linear::build_regressor),
    ("Normalizer", normalizer::build),
    ("OneHotEncoder", one_hot_encoder::build),
    ("Scaler", scaler::build),
    ("SVMClassifier", svm::build_classifier),
    ("SVMRegressor", svm::build_regressor),
    ("TreeEnsemble", tree_ensemble::build_version_five),
    ("TreeEnsembleClassifier", tree_ensemble::build_classifier),
    ("TreeEnsembleRegressor", tree_ensemble::build_regressor),
];

/// Standard operators that tract does not have, or wrong or not for all types.
const STANDARD: [(&str, Builder); 27] = [
    ("Acosh", activation::build_acosh),
    ("Asinh", activation::build_asinh),
    ("Cast", cast::build),
    ("Celu", activation::build_celu),
    ("ConstantOfShape", constant_of_shape::build),
    ("GRU", recurrent::build),
    ("Gemm", gemm::build),
    ("GlobalLpPool", global_lp_pool::build),
    ("IsInf", is_inf::build),
    ("IsNaN", double::build_is_nan),
    ("LSTM", recurrent::build),
    ("LeakyRelu", double::build_leaky_relu),
    ("LogSoftmax", log_of_exp::build_log_softmax),
    ("QuantizeLinear", quantize::build),
    ("RNN", recurrent::build),
    ("ReduceLogSumExp", log_of_exp::build_reduce),
    ("RegexFullMatch", text::build_full_match),
    ("ReverseSequence", reverse_sequence::build),
    ("Round", double::build_round),
    ("Sigmoid", double::build_sigmoid),
    ("Softplus", log_of_exp::build_softplus),
    ("StringConcat", text::build_concat),
    ("StringNormalizer", text::build_normalizer),
    ("StringSplit", text::build_split),
    ("Swish", activation::build_swish),
    ("TfIdfVectorizer", text::build_tf_idf_vectorizer),
    ("Upsample", upsample::build),
];

/// Standard operators that are tract's, but for some types or values.
const COMPLETED: [(&str, Builder); 6] = [
    ("BitShift", shift::build),
    ("Equal", exact::build_equal),
    ("Hardmax", hardmax::build),
    ("LayerNormalization", layer_normalization::build),
    ("Pow", exact::build_pow),
    ("Slice", steps::build),
];

/// Operators that only a rewrite of the graph uses.
const OWN: [(&str, Builder); 6] = [
    (crate::graph::distances::OPERATOR, distances::build),
    (crate::graph::exact::PRODUCT, exact::build_product),
    (crate::graph::exact::QUOTIENT, exact::build_quotient),
    (crate::graph::exact::ROOT, root::build),
    (crate::graph::extremes::OPERATOR, extreme::build),
    (crate::graph::products::OPERATOR, products::build),
];

/// Operators of the `com.microsoft` domain that tract does not have.
const OWN_CONTRIB: [(&str, Builder); 2] = [("CDist", cdist::build), ("Tokenizer", text::build_tokenizer)];

/// Operators of the `com.microsoft` domain that are run.
const CONTRIB: [&str; 12] = [
    "BiasGelu",
    "CDist",
    "FastGelu",
    "GatherBlockQuantized",
    "Gelu",
    "MatMulNBits",
    "QuickGelu",
    "RotaryEmbedding",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "Tokenizer",
];

/// Operators that are only of the `com.microsoft` domain, though tract does not look.
const CONTRIB_ONLY: [&str; 10] = [
    "BiasGelu",
    "CDist",
    "FastGelu",
    "GatherBlockQuantized",
    "MatMulNBits",
    "QuickGelu",
    "SimplifiedLayerNormalization",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "Tokenizer",
];

/// tract's ONNX front end with our operators in it.
pub(crate) fn framework() -> Onnx {
    let mut onnx = tract_onnx::onnx()
        .with_ignore_output_shapes(true)
        .with_ignore_output_types(true)
        // A symbol named in value_info would contradict the batch size of a plan.
        .with_ignore_value_info(true);
    for (name, builder) in ML.into_iter().chain(STANDARD).chain(COMPLETED).chain(OWN_CONTRIB).chain(OWN) {
        onnx.op_register.insert(name, builder);
    }
    onnx
}

/// Whether `onnx`, the [`framework`], runs the operator. tract itself looks at the name alone.
pub(crate) fn is_known(onnx: &Onnx, domain: &str, op_type: &str) -> bool {
    let ml = ML.iter().any(|(name, _)| *name == op_type);
    if OWN.iter().any(|(name, _)| *name == op_type) {
        return false;
    }
    match domain {
        // A ZipMap is cut out before tract sees the graph.
        "ai.onnx.ml" => ml || op_type == "ZipMap",
        "" | "ai.onnx" => onnx.op_register.0.contains_key(op_type) && !ml && !CONTRIB_ONLY.contains(&op_type),
        "com.microsoft" => CONTRIB.contains(&op_type) && onnx.op_register.0.contains_key(op_type),
        _ => false,
    }
}

/// Whether our kernel computes the operator, which is named with its domain.
pub(crate) fn is_ours(qualified: &str) -> bool {
    let listed = |list: &[(&str, Builder)], name: &str| list.iter().any(|(known, _)| *known == name);
    match qualified.rsplit_once('.') {
        Some(("ai.onnx.ml", name)) => listed(&ML, name),
        Some((_, name)) => listed(&OWN_CONTRIB, name),
        None => listed(&STANDARD, qualified),
    }
}

/// For one of our own operators that leaves rows on their axis, whether it takes them apart in an input of so many
/// dimensions.
pub(crate) fn is_kernel_over_rows(op: &dyn TypedOp) -> Option<impl Fn(usize) -> bool> {
    let operator = op.downcast_ref::<Operator>().filter(|operator| operator.kernel.row_axes().is_none())?;
    // To these a vector is one row.
    let whole_vector = matches!(operator.kernel.name(), "Normalizer" | "TfIdfVectorizer");
    Some(move |rank: usize| rank > 1 || !whole_vector)
}

/// For one of our own operators, what it does, and which of its outputs are used.
pub(crate) fn kernel_of(op: &dyn TypedOp) -> Option<(Arc<dyn Kernel>, &[usize])> {
    let operator = op.downcast_ref::<Operator>()?;
    Some((operator.kernel.clone(), &operator.kept))
}

/// The element type and shape of one tensor, as far as is known before there are rows.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) element: DatumType,
    pub(crate) shape: TVec<TDim>,
}

impl Signature {
    pub(crate) fn new(element: DatumType, shape: impl IntoIterator<Item = TDim>) -> Signature {
        Signature { element, shape: shape.into_iter().collect() }
    }

    /// The same with a length of one along some axes.
    pub(crate) fn ones_along(&self, axes: &[usize]) -> Signature {
        let mut kept = self.clone();
        axes.iter().for_each(|&axis| kept.shape[axis] = 1.to_dim());
        kept
    }

    /// `[N]` for a matrix or a vector of `N` rows.
    pub(crate) fn rows(&self) -> TDim {
        self.shape.first().cloned().unwrap_or_else(|| 1.to_dim())
    }
}

/// The axes of rows, by the number of the input or output, where it has any.
pub(crate) struct RowAxes {
    pub(crate) inputs: TVec<Option<usize>>,
    pub(crate) outputs: TVec<Option<usize>>,
}

/// An operator without state whose outputs follow from its inputs alone.
pub(crate) trait Kernel: fmt::Debug + Send + Sync + 'static {
    /// The name of the operator, without its domain.
    fn name(&self) -> &'static str;

    /// What comes out; an error if the inputs cannot be worked on.
    fn outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>>;

    /// Computes all outputs. The inputs are those that [`Kernel::outputs`] accepted.
    fn eval(&self, inputs: &[&Tensor]) -> TractResult<Vec<Tensor>>;

    /// Where rows lie, for an operator that moves them to another axis; all other axes meet.
    fn row_axes(&self) -> Option<RowAxes> {
        None
    }

    /// Computes all outputs by columns: adds the steps that do it to `build`. `None` if it cannot.
    fn by_columns(self: Arc<Self>, inputs: &[Given], build: &mut direct::Builder) -> Option<Vec<Cells>> {
        let _ = (inputs, build);
        None
    }
}

/// Wraps `kernel` for tract, if `node` has between `inputs.start()` and `inputs.end()` inputs.
pub(crate) fn kernel(node: &NodeProto, inputs: std::ops::RangeInclusive<usize>, kernel: impl Kernel) -> Built {
    let given = node.input.len();
    if !inputs.contains(&given) || node.input.iter().any(String::is_empty) {
        return node.bail(&format!("{given} inputs are not what the operator takes"));
    }
    kernel_of_given(node, kernel)
}

/// Wraps `kernel`, which knows which inputs of `node` are given, for tract.
fn kernel_of_given(node: &NodeProto, kernel: impl Kernel) -> Built {
    let inputs = node.input.iter().filter(|name| !name.is_empty()).count();
    let kept = (0..node.output.len()).filter(|&at| !node.output[at].is_empty()).collect();
    Ok((expand(Operator { kernel: Arc::new(kernel), inputs, kept }), vec![]))
}

/// `kernel`, which has one output, as a node of a model whose types are known.
pub(crate) fn typed(kernel: impl Kernel) -> Box<dyn TypedOp> {
    typed_of_several(kernel, 1, 1)
}

/// `kernel` as a node of a model whose types are known.
pub(crate) fn typed_of_several(kernel: impl Kernel, inputs: usize, outputs: usize) -> Box<dyn TypedOp> {
    Box::new(Operator { kernel: Arc::new(kernel), inputs, kept: (0..outputs).collect() })
}

/// The name of one of our own operators.
pub(crate) fn kernel_name(op: &dyn TypedOp) -> Option<&'static str> {
    op.downcast_ref::<Operator>().map(|operator| operator.kernel.name())
}

/// The rules of an operator with one input and one output, except for the type of its elements.
fn one_of_the_same_shape<'r, 'p: 'r>(
    s: &mut Solver<'r>,
    inputs: &'p [TensorProxy],
    outputs: &'p [TensorProxy],
) -> InferenceResult {
    check_input_arity(inputs, 1)?;
    check_output_arity(outputs, 1)?;
    s.equals(&outputs[0].shape, &inputs[0].shape)
}

/// A kernel in tract's clothes.
#[derive(Clone)]
struct Operator {
    kernel: Arc<dyn Kernel>,
    inputs: usize,
    /// The outputs that the node names: trailing and inner ones may be left out.
    kept: TVec<usize>,
}

impl Operator {
    fn kept_outputs(&self, inputs: &[Signature]) -> TractResult<Vec<Signature>> {
        let all = self.kernel.outputs(inputs)?;
        self.kept
            .iter()
            .map(|&at| {
                let output = all.get(at).cloned();
                output.with_context(|| format!("{} has no output {at}", self.kernel.name()))
            })
            .collect()
    }
}

impl fmt::Debug for Operator {
    // Trees of a hundred megabytes are not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kernel.name())
    }
}

impl PartialEq for Operator {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kernel, &other.kernel) && self.kept == other.kept
    }
}

impl Eq for Operator {}

impl Expansion for Operator {
    fn name(&self) -> StaticName {
        self.kernel.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.kept.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.inputs)?;
        check_output_arity(outputs, self.kept.len())?;
        s.given_all(inputs.iter().map(|input| &input.datum_type), move |s, elements| {
            s.given_all(inputs.iter().map(|input| &input.shape), move |s, shapes| {
                let pairs = elements.iter().zip(shapes);
                let known: Vec<Signature> = pairs.map(|(element, shape)| Signature::new(*element, shape)).collect();
                for (output, expected) in outputs.iter().zip(self.kept_outputs(&known)?) {
                    s.equals(&output.datum_type, expected.element)?;
                    s.equals(&output.shape, expected.shape)?;
                }
                Ok(())
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }
}

impl Op for Operator {
    fn name(&self) -> StaticName {
        self.kernel.name().into()
    }

    op_as_typed_op!();
}

impl EvalOp for Operator {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let inputs: TVec<&Tensor> = inputs.iter().map(|value| &**value).collect();
        let mut all: Vec<Option<Tensor>> = self.kernel.eval(&inputs)?.into_iter().map(Some).collect();
        let mut take = |at: usize| all.get_mut(at).and_then(Option::take);
        self.kept.iter().map(|&at| Ok(take(at).context("an operator gives all its outputs")?.into_tvalue())).collect()
    }
}

impl TypedOp for Operator {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let known: Vec<Signature> =
            inputs.iter().map(|fact| Signature::new(fact.datum_type, fact.shape.iter().cloned())).collect();
        let outputs = self.kept_outputs(&known)?;
        Ok(outputs.into_iter().map(|it| it.element.fact(&*it.shape)).collect())
    }

    fn axes_mapping(&self, inputs: &[&TypedFact], outputs: &[&TypedFact]) -> TractResult<AxesMapping> {
        let Some(rows) = self.kernel.row_axes() else { return AxesMapping::disconnected(inputs, outputs) };
        let of_output = |slot: usize| rows.outputs[self.kept[slot]];
        let mut names = ('a'..='z').chain('A'..='Z');
        let mut axis = || -> TractResult<Axis> {
            let name = names.next().context("fewer axes than letters")?;
            Ok(Axis::new(name, inputs.len(), outputs.len()))
        };
        let mut of_rows = axis()?;
        let mut axes = Vec::new();
        for (slot, fact) in inputs.iter().enumerate() {
            for at in 0..fact.rank() {
                match rows.inputs[slot] == Some(at) {
                    true => of_rows = of_rows.input(slot, at),
                    false => axes.push(axis()?.input(slot, at)),
                }
            }
        }
        for (slot, fact) in outputs.iter().enumerate() {
            for at in 0..fact.rank() {
                match of_output(slot) == Some(at) {
                    true => of_rows = of_rows.output(slot, at),
                    false => axes.push(axis()?.output(slot, at)),
                }
            }
        }
        axes.push(of_rows);
        AxesMapping::new(inputs.len(), outputs.len(), axes)
    }
}

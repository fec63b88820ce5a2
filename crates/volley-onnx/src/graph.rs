//! A model that was read and checked, and what can be said of it before a row is scored.

mod bounds;
mod clip;
mod compress;
mod constants;
mod containers;
pub(crate) mod distances;
mod evaluation;
pub(crate) mod exact;
mod external;
pub(crate) mod extremes;
mod foreign;
mod functions;
mod labels;
mod lookups;
mod maps;
mod missing;
mod names;
mod older;
mod operators;
mod preparation;
pub(crate) mod products;
mod recurrent;
mod sequences;
mod shape_only;
mod stacked;
mod walk;
mod zipmap;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto};

use crate::deadline::Deadline;
use crate::error::Error;
use crate::limits::Limits;
use crate::native::{FeatureNames, Native, Predictor};
use crate::plan::{Blueprint, Draft, Plan};
use crate::port::{ClassLabels, Dim, Port};
use labels::Found;
use preparation::{Rewritten, Unfolded};

/// A model, parsed, validated and prepared, but not yet planned.
#[derive(Debug)]
pub struct Graph {
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    classes: BTreeMap<String, Found>,
    zipmaps: BTreeSet<String>,
    keys: BTreeMap<String, Vec<String>>,
    tracked: BTreeSet<String>,
    operators: Vec<String>,
    fixed_batch: Option<usize>,
    /// Outputs that the library's own `predict` leaves out.
    asides: BTreeSet<String>,
    preparation: Vec<String>,
    road: Road,
    limits: Limits,
}

/// What a graph is run by.
#[derive(Debug)]
enum Road {
    Tract {
        blueprint: Arc<Blueprint>,
        draft: Box<Draft>,
    },
    Native(Arc<Native>),
    /// Another runtime, which takes this model.
    Foreign(Vec<u8>),
}

impl Graph {
    /// Reads an ONNX model and checks it within `limits`, without running anything of it.
    ///
    /// `external` gives the bytes of a file beside the model by its relative path, for tensor data
    /// that is stored outside; no disk is touched. Every `ZipMap` is cut: its output becomes the
    /// `[N, C]` float tensor it was made from, under the same name.
    pub fn parse<'a>(
        model: &[u8],
        external: &dyn Fn(&str) -> Option<&'a [u8]>,
        limits: &Limits,
    ) -> Result<Graph, Error> {
        let deadline = Deadline::after(limits.load_time_max);
        let mut read = read(model, external, limits)?;
        let operators = operators::check(read.proto.graph.get_or_insert_default(), &read.proto.opset_import)?;
        // So far each byte was looked at once; from here on a hostile graph may ask for more.
        let limits = *limits;
        deadline.within(move || Graph::prepare(read, operators, limits))
    }

    fn prepare(read: Read, operators: Vec<String>, limits: Limits) -> Result<Graph, Error> {
        let Read { mut proto, unfolded, keys } = read;
        let graph = proto.graph.get_or_insert_default();
        check(graph, &limits)?;
        let (zipmaps, rewritten) = rewrite(graph)?;
        let preparation = preparation::told(&unfolded, &zipmaps, &rewritten, &operators);
        let mut found = labels::of_outputs(graph, &zipmaps);
        let inputs = inputs(graph)?;
        let outputs: Vec<Port> = graph.output.iter().map(Port::declared).collect::<Result<_, _>>()?;
        let tracked = missing::tracked(graph);
        let fixed_batch = fixed_batch(&inputs)?;
        let axes = shape_only::take_declarations(graph, &inputs);

        let bytes_max = limits.constant_bytes_max;
        let blueprint = Blueprint::new(&proto, inputs.clone(), outputs.clone(), axes, fixed_batch, bytes_max)?;
        let draft = blueprint.draft()?;
        let outputs = draft.ports(outputs);
        let mut fitting = |port: &Port| found.remove(&port.name).filter(|found| fits(port, found.classes.len()));
        let classes = outputs.iter().filter_map(|port| Some((port.name.clone(), fitting(port)?))).collect();
        Ok(Graph {
            inputs,
            outputs,
            classes,
            zipmaps: zipmaps.into_keys().collect(),
            keys,
            tracked,
            operators,
            fixed_batch,
            asides: BTreeSet::new(),
            preparation,
            road: Road::Tract { blueprint: Arc::new(blueprint), draft: Box::new(draft) },
            limits,
        })
    }

    /// Reads an XGBoost model, JSON or UBJSON, and checks it within `limits`.
    ///
    /// The first output, `prediction`, is what `predict` of the `predictor` gives; a label or probabilities beside it,
    /// where the model has classes, are asides. NaN is a missing value.
    pub fn from_xgboost(file: &[u8], predictor: Predictor, limits: &Limits) -> Result<Graph, Error> {
        Native::xgboost(file, predictor, limits).map(|native| Graph::of_native(native, limits))
    }

    /// Reads a LightGBM model in text, and checks it within `limits`. Its outputs are those of
    /// [`Graph::from_xgboost`], its numbers doubles.
    pub fn from_lightgbm(file: &[u8], predictor: Predictor, limits: &Limits) -> Result<Graph, Error> {
        Native::lightgbm(file, predictor, limits).map(|native| Graph::of_native(native, limits))
    }

    fn of_native(native: Native, limits: &Limits) -> Graph {
        let of_outputs = native.outputs.iter().map(|output| (output.port.name.clone(), output));
        let labelled = of_outputs.clone().filter_map(|(name, output)| Some((name, output.classes.clone()?)));
        Graph {
            inputs: native.inputs.clone(),
            outputs: native.outputs.iter().map(|output| output.port.clone()).collect(),
            classes: labelled.map(|(name, classes)| (name, Found { classes, derived: false })).collect(),
            zipmaps: BTreeSet::new(),
            keys: BTreeMap::new(),
            tracked: native.inputs.iter().map(|port| port.name.clone()).collect(),
            operators: native.operators.clone(),
            fixed_batch: None,
            asides: of_outputs.filter(|(_, output)| output.aside).map(|(name, _)| name).collect(),
            preparation: Vec::new(),
            road: Road::Native(Arc::new(native)),
            limits: *limits,
        }
    }

    /// What must be given, in order. Inputs with a stored value are constants and not listed.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What is computed, in order, with shapes as inferred rather than as declared.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The classes that `output` holds labels or probabilities of, in the order of the
    /// probabilities.
    pub fn class_labels(&self, output: &str) -> Option<&ClassLabels> {
        self.classes.get(output).map(|found| &found.classes)
    }

    /// Whether `output` has the classes of a classifier, but arithmetic lies between the two: its
    /// numbers may be costs or scores rather than probabilities.
    pub fn is_derived(&self, output: &str) -> bool {
        self.classes.get(output).is_some_and(|found| found.derived)
    }

    /// Whether `output` was a map per row from class to probability before its `ZipMap` was cut.
    pub fn is_zipmap(&self, output: &str) -> bool {
        self.zipmaps.contains(output)
    }

    /// Whether NaN in `input` is dealt with on every way through the graph: by an `Imputer`, by a
    /// test for it, or by trees that say where missing values go.
    pub fn tracks_missing(&self, input: &str) -> bool {
        self.tracked.contains(input)
    }

    /// Whether `output` is one that the library's own `predict` leaves out, and is there for labels and probabilities.
    pub fn is_aside(&self, output: &str) -> bool {
        self.asides.contains(output)
    }

    /// The features of a model in its library's own file, in its order: the columns of its one input, or, if there are
    /// several, an input each. `None` for ONNX.
    pub fn features(&self) -> Option<&FeatureNames> {
        match &self.road {
            Road::Native(native) => Some(&native.features),
            Road::Tract { .. } | Road::Foreign(_) => None,
        }
    }

    /// The operators used, with their domain unless it is the default one, sorted.
    pub fn operators(&self) -> Vec<String> {
        self.operators.clone()
    }

    /// The keys of `input`, if the graph takes a map there: it is a matrix here, with a column for each of them. A key
    /// that a row does not have is zero, or an empty text.
    pub fn keys(&self, input: &str) -> Option<&[String]> {
        self.keys.get(input).map(Vec::as_slice)
    }

    /// The number of rows that the graph insists on; other numbers are looped over.
    pub fn fixed_batch(&self) -> Option<usize> {
        self.fixed_batch
    }

    /// How many rows the plan runs at a time, at most: one where it is not known that rows do not meet. `None` where
    /// that was not looked at, as in [`Graph::foreign`], or does not matter.
    pub fn rows_max(&self) -> Option<usize> {
        match &self.road {
            Road::Tract { draft, .. } => Some(draft.rows_max()),
            Road::Native(_) | Road::Foreign(_) => None,
        }
    }

    /// What was done to the model before it is planned, in plain sentences.
    pub fn preparation(&self) -> &[String] {
        &self.preparation
    }

    /// Optimises the graph and makes it ready to run. One for another runtime is refused.
    pub fn plan(&self) -> Result<Plan, Error> {
        match &self.road {
            Road::Tract { blueprint, draft } => Plan::new(blueprint, draft, &self.limits),
            Road::Native(native) => Ok(Plan::of_native(native.clone())),
            Road::Foreign(_) => Err(Error::Invalid("it was prepared for another runtime".into())),
        }
    }

    /// The same on the road through whole tensors, which every graph can take: what the direct road is held to.
    pub fn plan_on_tensors(&self) -> Result<Plan, Error> {
        match &self.road {
            Road::Tract { blueprint, draft } => {
                Plan::on_tensors(blueprint, draft, Deadline::after(self.limits.load_time_max))
            }
            Road::Native(_) | Road::Foreign(_) => self.plan(),
        }
    }
}

/// A file's model with its tensor data in it, without functions, maps and sequences.
struct Read {
    proto: ModelProto,
    unfolded: Unfolded,
    /// Of each input that was a map.
    keys: BTreeMap<String, Vec<String>>,
}

/// The model, each byte of it looked at once.
fn read<'a>(model: &[u8], external: &dyn Fn(&str) -> Option<&'a [u8]>, limits: &Limits) -> Result<Read, Error> {
    bounds::check_file(model.len(), limits)?;
    let mut proto = ModelProto::decode(model).map_err(|_| Error::Invalid("the file is not an ONNX model".into()))?;
    let calls = functions::inline(&mut proto, model, limits)?;
    let version = proto.opset_import.iter().find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"));
    let version = version.map_or(1, |set| set.version);
    let graph = proto.graph.get_or_insert_default();
    bounds::check_nodes(graph, limits)?;
    let declared = containers::declared(model);
    let keys = maps::spread(graph, &declared)?;
    sequences::unpack(graph, &declared, version);
    let data = external::inline(graph, external, limits.file_bytes_max - model.len())?;
    Ok(Read { proto, unfolded: Unfolded { data, calls, maps: keys.keys().cloned().collect() }, keys })
}

fn check(graph: &mut GraphProto, limits: &Limits) -> Result<(), Error> {
    names::check(graph)?;
    bounds::check_attributes(graph)?;
    constants::check(graph, limits.constant_bytes_max)
}

/// Makes of `graph` what tract runs rightly. The classes of each `ZipMap` that was cut, by its output, and what else
/// was done.
fn rewrite(graph: &mut GraphProto) -> Result<(BTreeMap<String, ClassLabels>, Rewritten), Error> {
    older::renew(graph);
    let products = products::merge(graph);
    let distances = distances::merge(graph);
    stacked::put_side_by_side(graph);
    lookups::turn(graph);
    let states = recurrent::name_states(graph);
    clip::bound_both_sides(graph);
    compress::choose(graph);
    exact::keep(graph);
    let rewritten = Rewritten { products, distances, states, extremes: extremes::unbind(graph) };
    Ok((zipmap::cut(graph)?, rewritten))
}

fn inputs(graph: &GraphProto) -> Result<Vec<Port>, Error> {
    let stored: BTreeSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    let ports: Vec<Port> = graph
        .input
        .iter()
        .filter(|input| !stored.contains(input.name.as_str()))
        .map(Port::declared)
        .collect::<Result<_, _>>()?;
    if ports.is_empty() {
        return Err(Error::Invalid("the graph has no inputs".into()));
    }
    match ports.iter().find(|port| port.shape.as_ref().is_some_and(Vec::is_empty)) {
        Some(port) => Err(Error::Invalid(format!(
            "the input `{}` is a single value; only inputs with a row dimension can be scored",
            port.name
        ))),
        None => Ok(ports),
    }
}

fn fixed_batch(inputs: &[Port]) -> Result<Option<usize>, Error> {
    let fixed: BTreeSet<usize> = inputs
        .iter()
        .filter_map(|port| match port.shape.as_ref()?.first()? {
            Dim::Fixed(rows) => Some(*rows),
            Dim::Free => None,
        })
        .collect();
    match fixed.len() {
        0 => Ok(None),
        1 if !fixed.contains(&0) => Ok(fixed.first().copied()),
        1 => Err(Error::Invalid("the graph takes batches of no rows".into())),
        _ => Err(Error::Invalid("the inputs disagree on the number of rows".into())),
    }
}

/// A matrix of probabilities has a column for each class; labels have one or none.
fn fits(port: &Port, classes: usize) -> bool {
    match port.shape.as_deref() {
        Some([_, Dim::Fixed(columns)]) => *columns == classes || *columns == 1,
        Some([_] | [_, Dim::Free]) | None => true,
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests;

//! Graphs that are read as they should be, and graphs that are refused.

use std::time::{Duration, Instant};

use prost::Message;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{ModelProto, StringStringEntryProto, TensorProto};

use super::*;
use crate::Element;
use crate::testing::{ModelBuilder, float, floats, int, ints, ints_in, string, strings, strings_in, subgraph, tensor};

const ML: &str = "ai.onnx.ml";

fn floats_in() -> ModelBuilder {
    ModelBuilder::default().input("x", Element::F32, &[-1, 2]).output("y", Element::F32)
}

fn check_refused(model: &ModelBuilder, code: &str, reason: &str) {
    let error = model.parse().expect_err(reason);
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn all_unknown_operators_are_named_with_their_domain() {
    let model = floats_in()
        .node("", "Loop", &["x"], &["a"], vec![])
        .node("my.domain", "Relu", &["a"], &["b"], vec![])
        .node(ML, "Gadget", &["b"], &["c"], vec![])
        .node("", "Scaler", &["c"], &["y"], vec![]);
    let operators = ["Loop", "Scaler", "ai.onnx.ml.Gadget", "my.domain.Relu"];
    let expected = Error::UnsupportedOperator { operators: operators.map(String::from).to_vec() };
    assert_eq!(model.parse().map(|_| ()), Err(expected));
}

#[test]
fn operators_are_listed_once_with_their_domain() {
    let graph = floats_in()
        .node(ML, "Scaler", &["x"], &["a"], vec![])
        .node("", "Relu", &["a"], &["b"], vec![])
        .node("", "Relu", &["b"], &["y"], vec![])
        .parse();
    assert_eq!(graph.map(|it| it.operators()), Ok(vec!["Relu".into(), "ai.onnx.ml.Scaler".into()]));
}

#[test]
fn a_domain_without_a_version_is_refused() {
    let bytes = floats_in().node("", "Relu", &["x"], &["y"], vec![]).bytes();
    let mut model = ModelProto::decode(&*bytes).expect("just encoded");
    model.opset_import.retain(|it| it.domain == ML);
    let error = Graph::parse(&model.encode_to_vec(), &|_| None, &Limits::default());
    let error = error.expect_err("no version of the default domain");
    assert!(error.to_string().contains("no version of `ai.onnx`"), "{error}");
}

#[test]
fn a_name_that_nothing_makes_is_refused() {
    let missing_input = floats_in().node("", "Relu", &["z"], &["y"], vec![]);
    check_refused(&missing_input, "model_invalid", "`z`");
    let missing_output = floats_in().node("", "Relu", &["x"], &["z"], vec![]);
    check_refused(&missing_output, "model_invalid", "`y`");
    let twice = floats_in().node("", "Relu", &["x"], &["y"], vec![]).node("", "Neg", &["x"], &["y"], vec![]);
    check_refused(&twice, "model_invalid", "made twice");
    let cycle = floats_in().node("", "Add", &["x", "b"], &["a"], vec![]).node("", "Relu", &["a"], &["b"], vec![]).node(
        "",
        "Relu",
        &["b"],
        &["y"],
        vec![],
    );
    check_refused(&cycle, "model_invalid", "`b`");
}

#[test]
fn what_is_not_a_model_is_refused() {
    let parse = |bytes: &[u8]| Graph::parse(bytes, &|_| None, &Limits::default()).map(|_| ());
    assert_eq!(parse(b"not a model").map_err(|it| it.code()), Err("model_invalid"));
    assert_eq!(parse(b"").map_err(|it| it.code()), Err("model_invalid"));
    let message = parse(b"not a model").expect_err("no protobuf").to_string();
    assert_eq!(message, "the model is not valid: the file is not an ONNX model");
    let whole = floats_in().node("", "Relu", &["x"], &["y"], vec![]).bytes();
    assert_eq!(parse(&whole[..whole.len() / 2]).map_err(|it| it.code()), Err("model_invalid"));
}

fn check_too_large(model: &ModelBuilder, limits: Limits) {
    let error = Graph::parse(&model.bytes(), &|_| None, &limits).expect_err("over a limit");
    assert_eq!(error.code(), "model_too_large", "{error}");
}

#[test]
fn each_bound_holds() {
    let column = tensor(&[1000, 1], &[1.0f32; 1000]);
    let row = tensor(&[1, 1000], &[1.0f32; 1000]);
    let product = ModelBuilder::default()
        .input("x", Element::F32, &[-1, 1000])
        .output("y", Element::F32)
        .constant("column", &column)
        .constant("row", &row)
        .node("", "MatMul", &["column", "row"], &["square"], vec![])
        .node("", "MatMul", &["x", "square"], &["y"], vec![]);
    check_too_large(&product, Limits { constant_bytes_max: 3_000_000, ..Limits::default() });
    product.parse().expect("four megabytes");

    let relu = floats_in().node("", "Relu", &["x"], &["y"], vec![]);
    check_too_large(&relu, Limits { file_bytes_max: 10, ..Limits::default() });
    check_too_large(&relu, Limits { nodes_max: 0, ..Limits::default() });
    let stored = floats_in().constant("c", &tensor(&[2], &[1.0f32, 2.0])).node("", "Add", &["x", "c"], &["y"], vec![]);
    check_too_large(&stored, Limits { constant_bytes_max: 7, ..Limits::default() });
}

#[test]
fn constants_that_would_be_huge_are_refused_before_they_are_made() {
    let huge = ints_in(&[2], &[1 << 20, 1 << 20]);
    let filled = floats_in().constant("shape", &huge).node("", "ConstantOfShape", &["shape"], &["c"], vec![]).node(
        "",
        "Add",
        &["x", "c"],
        &["y"],
        vec![],
    );
    check_refused(&filled, "model_too_large", "constants");
    let expanded = floats_in().constant("shape", &huge).node("", "Expand", &["x", "shape"], &["y"], vec![]);
    check_refused(&expanded, "model_too_large", "constants");
    let range = floats_in()
        .constant("from", &ints_in(&[], &[0]))
        .constant("to", &ints_in(&[], &[1 << 40]))
        .constant("by", &ints_in(&[], &[1]))
        .node("", "Range", &["from", "to", "by"], &["c"], vec![])
        .node("", "Add", &["x", "c"], &["y"], vec![]);
    check_refused(&range, "model_too_large", "constants");
}

#[test]
fn a_tensor_that_contradicts_its_shape_is_refused() {
    let mut model = floats_in().node("", "Add", &["x", "c"], &["y"], vec![]);
    model.graph.initializer.push(TensorProto {
        name: "c".into(),
        dims: vec![1 << 40],
        data_type: DataType::Float as i32,
        raw_data: vec![0; 8],
        ..TensorProto::default()
    });
    check_refused(&model, "model_invalid", "tensor `c`");
}

#[test]
fn an_impossible_transpose_is_refused() {
    let model = floats_in().node("", "Transpose", &["x"], &["y"], vec![ints("perm", &[0, 0])]);
    check_refused(&model, "model_invalid", "Transpose");
}

#[test]
fn a_load_that_takes_too_long_is_given_up() {
    let model = floats_in().node("", "Relu", &["x"], &["y"], vec![]);
    let limits = Limits { load_time_max: Duration::ZERO, ..Limits::default() };
    let error = Graph::parse(&model.bytes(), &|_| None, &limits).expect_err("no time at all");
    assert_eq!(error.code(), "model_load_timeout");
}

/// `y = x + c`, with `c` in a file.
fn with_external(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut model = floats_in().node("", "Add", &["x", "c"], &["y"], vec![]);
    let entry = |&(key, value): &(&str, &str)| StringStringEntryProto { key: key.into(), value: value.into() };
    model.graph.initializer.push(TensorProto {
        name: "c".into(),
        dims: vec![2],
        data_type: DataType::Float as i32,
        data_location: Some(DataLocation::External as i32),
        external_data: entries.iter().map(entry).collect(),
        ..TensorProto::default()
    });
    model.bytes()
}

fn check_external(entries: &[(&str, &str)], expected: Result<[f32; 2], &str>) {
    let file: Vec<u8> = [9.0f32, 1.0, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let lookup = |path: &str| (path == "weights/a.bin").then_some(&file[..]);
    let scored = Graph::parse(&with_external(entries), &lookup, &Limits::default())
        .and_then(|graph| graph.plan()?.run(1, vec![tensor(&[1, 2], &[0.0f32, 0.0])]))
        .map(|outputs| crate::tensor_values::<f32>(&outputs[0]).map(<[f32]>::to_vec));
    match expected {
        Ok(values) => assert_eq!(scored, Ok(Some(values.to_vec()))),
        Err(code) => assert_eq!(scored.map_err(|error| error.code()), Err(code)),
    }
}

#[test]
fn external_data_comes_from_the_given_files_only() {
    let at = |location, offset, length| [("location", location), ("offset", offset), ("length", length)];
    check_external(&at("./weights/a.bin", "4", "8"), Ok([1.0, 2.0]));
    check_external(&at("weights/a.bin", "8", "8"), Err("model_invalid"));
    check_external(&at("weights/a.bin", "18446744073709551615", "8"), Err("model_invalid"));
    check_external(&at("weights/b.bin", "0", "8"), Err("external_data_missing"));
    check_external(&at("../weights/a.bin", "0", "8"), Err("model_path_escape"));
    check_external(&at("/etc/hostname", "0", "8"), Err("model_path_escape"));
    check_external(&[], Err("model_invalid"));
}

/// A linear classifier of two classes behind a normalizer, with a map on top if asked for.
fn classifier(zipmap: bool) -> ModelBuilder {
    let classifier = vec![
        floats("coefficients", &[1.0, 0.0, 0.0, 1.0]),
        floats("intercepts", &[0.0, 0.0]),
        strings("classlabels_strings", &["a", "b"]),
    ];
    let last = if zipmap { "q" } else { "p" };
    let mut model = ModelBuilder::default()
        .input("x", Element::F32, &[-1, 2])
        .output("label", Element::String)
        .output("p", Element::F32)
        .node(ML, "LinearClassifier", &["x"], &["label", "scores"], classifier)
        .node(ML, "Normalizer", &["scores"], &[last], vec![string("norm", "L1")]);
    if zipmap {
        let keys = vec![strings("classlabels_strings", &["a", "b"])];
        model = model.node(ML, "ZipMap", &["q"], &["p"], keys);
        // Exporters declare a sequence of maps, which is no tensor type.
        model.graph.output[1].r#type = None;
    }
    model
}

fn check_classifier(zipmap: bool) {
    let graph = classifier(zipmap).parse().expect("a sound model");
    let expected = ClassLabels::Strings(vec!["a".into(), "b".into()]);
    assert_eq!(graph.class_labels("p"), Some(&expected));
    assert_eq!(graph.class_labels("label"), Some(&expected));
    assert_eq!((graph.is_zipmap("p"), graph.is_zipmap("label")), (zipmap, false));
    let shapes: Vec<_> = graph.outputs().iter().map(|port| port.shape.clone()).collect();
    assert_eq!(shapes, [Some(vec![Dim::Free]), Some(vec![Dim::Free, Dim::Fixed(2)])]);
    let outputs = graph.plan().and_then(|plan| plan.run(1, vec![tensor(&[1, 2], &[1.0f32, 3.0])]));
    let outputs = outputs.expect("a sound model");
    crate::testing::assert_close(&outputs[0], &strings_in(&[1], &["b"]));
    crate::testing::assert_close(&outputs[1], &tensor(&[1, 2], &[0.25f32, 0.75]));
}

#[test]
fn labels_and_probabilities_know_their_classes_with_and_without_a_map() {
    check_classifier(false);
    check_classifier(true);
}

#[test]
fn classes_are_found_where_a_label_is_looked_up() {
    let graph = ModelBuilder::default()
        .input("x", Element::F32, &[-1, 3])
        .output("label", Element::I64)
        .output("p", Element::F32)
        .constant("classes", &ints_in(&[3], &[10, 20, 30]))
        .constant("flat", &ints_in(&[1], &[-1]))
        .node("", "Softmax", &["x"], &["p"], vec![])
        .node("", "ArgMax", &["p"], &["best"], vec![int("axis", 1)])
        .node(ML, "ArrayFeatureExtractor", &["classes", "best"], &["picked"], vec![])
        .node("", "Reshape", &["picked", "flat"], &["label"], vec![])
        .parse()
        .expect("a sound model");
    let expected = ClassLabels::Ints(vec![10, 20, 30]);
    assert_eq!(graph.class_labels("label"), Some(&expected));
    assert_eq!(graph.class_labels("p"), Some(&expected));
    let outputs = graph.plan().and_then(|plan| plan.run(1, vec![tensor(&[1, 3], &[0.0f32, 5.0, 1.0])]));
    crate::testing::assert_close(&outputs.expect("a sound model")[0], &ints_in(&[1], &[20]));
}

#[test]
fn the_names_of_classes_win_over_their_numbers() {
    let numbered = vec![
        floats("coefficients", &[1.0, 0.0, 0.0, 1.0]),
        floats("intercepts", &[0.0, 0.0]),
        ints("classlabels_ints", &[0, 1]),
    ];
    let graph = ModelBuilder::default()
        .input("x", Element::F32, &[-1, 2])
        .output("label", Element::String)
        .output("p", Element::F32)
        .constant("names", &strings_in(&[2], &["no", "yes"]))
        .constant("flat", &ints_in(&[1], &[-1]))
        .node(ML, "LinearClassifier", &["x"], &["number", "scores"], numbered)
        .node(ML, "Normalizer", &["scores"], &["p"], vec![string("norm", "L1")])
        .node("", "ArgMax", &["p"], &["best"], vec![int("axis", 1)])
        .node(ML, "ArrayFeatureExtractor", &["names", "best"], &["picked"], vec![])
        .node("", "Reshape", &["picked", "flat"], &["label"], vec![])
        .parse()
        .expect("a sound model");
    let expected = ClassLabels::Strings(vec!["no".into(), "yes".into()]);
    assert_eq!(graph.class_labels("p"), Some(&expected));
    assert_eq!(graph.class_labels("label"), Some(&expected));
}

#[test]
fn what_arithmetic_makes_of_probabilities_is_derived() {
    let mut model = classifier(false);
    model = model.output("cost", Element::F32).output("copy", Element::F32);
    let graph = model
        .constant("prices", &tensor(&[1, 2], &[100.0f32, 5.0]))
        .node("", "Mul", &["p", "prices"], &["cost"], vec![])
        .node("", "Identity", &["p"], &["copy"], vec![])
        .parse()
        .expect("a sound model");
    assert_eq!(["label", "p", "cost", "copy"].map(|name| graph.is_derived(name)), [false, false, true, false]);
    assert_eq!(graph.class_labels("cost"), graph.class_labels("p"));
}

fn check_tracked(model: ModelBuilder, expected: bool) {
    assert_eq!(model.parse().expect("a sound model").tracks_missing("x"), expected);
}

#[test]
fn missing_values_are_tracked_if_every_way_meets_an_imputer() {
    let impute = |value| vec![floats("imputed_value_floats", &[0.0]), float("replaced_value_float", value)];
    let imputed = |value| {
        floats_in().node(ML, "Scaler", &["x"], &["a"], vec![]).node(ML, "Imputer", &["a"], &["b"], impute(value))
    };
    let relu = |model: ModelBuilder| model.node("", "Relu", &["b"], &["y"], vec![]);
    check_tracked(relu(imputed(f32::NAN)), true);
    check_tracked(relu(imputed(-1.0)), false);
    check_tracked(imputed(f32::NAN).node("", "Add", &["a", "b"], &["y"], vec![]), false);
    check_tracked(floats_in().node("", "Relu", &["x"], &["y"], vec![]), false);
}

#[test]
fn missing_values_are_lost_in_a_cast_to_anything_but_a_float() {
    let impute = || vec![floats("imputed_value_floats", &[0.0]), float("replaced_value_float", f32::NAN)];
    let there_and_back = |to: i64| {
        floats_in()
            .node("", "Cast", &["x"], &["a"], vec![int("to", to)])
            .node("", "Cast", &["a"], &["b"], vec![int("to", DataType::Float as i64)])
            .node(ML, "Imputer", &["b"], &["c"], impute())
            .node("", "Relu", &["c"], &["y"], vec![])
    };
    check_tracked(there_and_back(DataType::Double as i64), true);
    check_tracked(there_and_back(DataType::Int64 as i64), false);
    check_tracked(there_and_back(DataType::String as i64), false);
}

#[test]
fn a_branch_that_reads_an_input_does_not_deal_with_its_missing_values() {
    let impute = vec![floats("imputed_value_floats", &[0.0]), float("replaced_value_float", f32::NAN)];
    let branch = || ModelBuilder::default().output("z", Element::F32).node("", "Neg", &["x"], &["z"], vec![]);
    let branches = vec![subgraph("then_branch", branch()), subgraph("else_branch", branch())];
    let mut model = floats_in().node(ML, "Imputer", &["x"], &["a"], impute).node("", "If", &["c"], &["b"], branches);
    model = model.node("", "Add", &["a", "b"], &["y"], vec![]);
    assert!(missing::tracked(&model.graph).is_empty());
}

/// `y = x + 1 + 1 …`
fn additions(count: usize) -> ModelBuilder {
    let one = || floats_in().constant("one", &tensor(&[1, 1], &[1.0f32]));
    (0..count).fold(one(), |model, at| {
        let name = |at: usize| {
            if at == 0 {
                "x".into()
            } else if at == count {
                "y".into()
            } else {
                format!("v{at}")
            }
        };
        model.node("", "Add", &[&name(at), "one"], &[&name(at + 1)], vec![])
    })
}

#[test]
fn a_long_chain_is_walked_once() {
    let mut graph = additions(20_000).graph;
    let started = Instant::now();
    names::check(&graph).expect("sound names");
    constants::check(&mut graph, usize::MAX).expect("one constant");
    assert!(labels::of_outputs(&graph, &BTreeMap::new()).is_empty());
    assert!(missing::tracked(&graph).is_empty());
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[test]
fn the_time_limit_holds_for_all_that_a_graph_can_make_dear() {
    let limits = Limits { load_time_max: Duration::from_millis(50), ..Limits::default() };
    let (bytes, started) = (additions(20_000).bytes(), Instant::now());
    let error = Graph::parse(&bytes, &|_| None, &limits).expect_err("not that fast");
    assert_eq!(error.code(), "model_load_timeout");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_product_of_constants_is_bounded_before_it_is_made() {
    let ones = |shape: &[usize]| tensor(shape, &vec![1.0f32; 100_000]);
    for op_type in ["MatMul", "Add"] {
        let model = floats_in()
            .constant("column", &ones(&[100_000, 1]))
            .constant("row", &ones(&[1, 100_000]))
            .node("", op_type, &["column", "row"], &["square"], vec![])
            .node("", "MatMul", &["x", "square"], &["y"], vec![]);
        check_refused(&model, "model_too_large", "constants");
    }
}

#[test]
fn a_scale_that_is_computed_from_the_data_is_not_supported() {
    let model = floats_in().node("", "DynamicQuantizeLinear", &["x"], &["q", "scale", "zero"], vec![]).node(
        "",
        "DequantizeLinear",
        &["q", "scale", "zero"],
        &["y"],
        vec![],
    );
    check_refused(&model, "unsupported_operator", "DequantizeLinear with a computed scale");
}

#[test]
fn a_diagonal_of_einsum_and_a_pad_that_takes_away_are_refused() {
    let diagonal = ModelBuilder::default().input("x", Element::F32, &[-1, 2, 2]).output("y", Element::F32);
    let diagonal = diagonal.node("", "Einsum", &["x"], &["y"], vec![string("equation", "bii->bi")]);
    check_refused(&diagonal, "unsupported_operator", "Einsum with an index twice");
    let pads = ints_in(&[4], &[0, -1, 0, 1]);
    let pad = floats_in().constant("pads", &pads).node("", "Pad", &["x", "pads"], &["y"], vec![]);
    check_refused(&pad, "unsupported_operator", "Pad with fewer elements than none");
}

#[test]
fn a_model_that_draws_lots_is_refused() {
    let attributes = vec![ints("shape", &[1, 2])];
    let model =
        floats_in().node("", "RandomNormal", &[], &["r"], attributes).node("", "Add", &["x", "r"], &["y"], vec![]);
    check_refused(&model, "unsupported_operator", "RandomNormal");
}

#[test]
fn inputs_that_cannot_be_rows_are_refused() {
    let scalar = ModelBuilder::default().input("x", Element::F32, &[]).output("y", Element::F32).node(
        "",
        "Relu",
        &["x"],
        &["y"],
        vec![],
    );
    check_refused(&scalar, "model_invalid", "`x`");
    let uneven = floats_in().input("z", Element::F32, &[3, 2]).input("w", Element::F32, &[4, 2]).node(
        "",
        "Add",
        &["z", "w"],
        &["y"],
        vec![],
    );
    check_refused(&uneven, "model_invalid", "disagree");
}

#[test]
fn an_input_with_a_stored_value_is_a_constant() {
    let graph = floats_in()
        .input("c", Element::F32, &[2])
        .constant("c", &tensor(&[2], &[1.0f32, 2.0]))
        .node("", "Add", &["x", "c"], &["y"], vec![])
        .parse()
        .expect("a sound model");
    let names: Vec<&str> = graph.inputs().iter().map(|port| port.name.as_str()).collect();
    assert_eq!(names, ["x"]);
}

#[test]
fn no_byte_of_a_model_may_be_flipped_into_a_crash() {
    let whole = classifier(true).bytes();
    assert!(ModelProto::decode(&*whole).is_ok());
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0x55;
        // Whatever comes of it: an error or a graph, but no panic.
        drop(Graph::parse(&broken, &|_| None, &Limits::default()));
    }
}

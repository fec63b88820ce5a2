//! `volley models show`: the contract of a version, for people and for programs.

use volley_model::{Contract, Input, Output, OutputShape, Param, Trial};
use volley_registry::{ModelRef, Origin, Pin, Registry, Version};

use crate::answer::print;
use crate::report::Failure;
use crate::text_table::aligned;

/// Prints a version, or a model that is not registered.
pub async fn show(registry: &Registry, model: &ModelRef, json: bool) -> Result<(), Failure> {
    let pin = registry.resolve(model).await?;
    match registry.version_of(&pin).await? {
        Some(version) => print(&version, || version_text(&version), json),
        None => print(&pin, || location_text(&pin), json),
    }
}

fn version_text(version: &Version) -> String {
    let tags: Vec<_> = version.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let bytes: u64 = version.files.iter().map(|file| file.size).sum();
    let golden = version.golden.as_ref().map(|golden| match &golden.key {
        Some(key) => format!("yes, paired by `{key}`"),
        None => "yes, paired by position".to_string(),
    });
    let head = [
        ["model".to_string(), format!("{}/{}", version.name, version.version)],
        ["sha256".to_string(), version.sha256.to_string()],
        ["created".to_string(), version.created.to_string()],
        ["aliases".to_string(), or_none(version.aliases.join(", "))],
        ["tags".to_string(), or_none(tags.join(", "))],
        ["files".to_string(), format!("{}, {bytes} bytes", version.files.len())],
        ["golden rows".to_string(), golden.unwrap_or_else(|| "none".to_string())],
    ];
    let costs = version.trial.as_ref().map(|trial| ["costs".to_string(), costs(trial)]);
    let mlflow = version.mlflow.as_ref().map(|found| ["mlflow".to_string(), origin(found)]);
    let head = head.into_iter().chain(mlflow).chain(costs).chain(version.trial.iter().flat_map(prepared));
    text(&head.collect::<Vec<_>>(), &version.contract)
}

/// Which version of which server.
fn origin(origin: &Origin) -> String {
    let workspace = origin.workspace.as_ref().map(|workspace| format!(", workspace {workspace}")).unwrap_or_default();
    format!("{} of {}{workspace}, made of {}", origin.reference(), origin.registry, origin.source)
}

/// What was done to make a model ready: a line each, the first with its heading.
fn prepared(trial: &Trial) -> Vec<[String; 2]> {
    let heading = |line: usize| if line == 0 { "prepared" } else { "" };
    trial.preparation.iter().enumerate().map(|(line, told)| [heading(line).to_string(), told.clone()]).collect()
}

/// What a model cost when it was registered, on that machine.
pub fn costs(trial: &Trial) -> String {
    let mut told = vec![format!("loaded in {:.0} ms", trial.load_seconds * 1e3)];
    told.extend(trial.memory_bytes.map(|bytes| format!("{:.1} MiB of memory", bytes as f64 / (1 << 20) as f64)));
    told.extend(trial.nanoseconds_per_row.map(|nanoseconds| format!("about {} a row", short_time(nanoseconds))));
    told.join(", ")
}

/// Two digits or more, in a unit that keeps them before or near the point.
fn short_time(nanoseconds: f64) -> String {
    match nanoseconds {
        ..10.0 => format!("{nanoseconds:.1} ns"),
        10.0..1e3 => format!("{nanoseconds:.0} ns"),
        1e3..1e4 => format!("{:.1} µs", nanoseconds / 1e3),
        1e4..1e6 => format!("{:.0} µs", nanoseconds / 1e3),
        _ => format!("{:.1} ms", nanoseconds / 1e6),
    }
}

fn location_text(pin: &Pin) -> String {
    let head = [["model".to_string(), pin.label()], ["sha256".to_string(), pin.sha256.to_string()]];
    text(&head, &pin.contract)
}

fn text(head: &[[String; 2]], contract: &Contract) -> String {
    let mut head = head.to_vec();
    head.push(["runtime".to_string(), contract.runtime.to_string()]);
    head.push(["operators".to_string(), or_none(contract.operators.join(", "))]);
    if let Some(rows) = contract.fixed_batch {
        head.push(["fixed batch".to_string(), format!("{rows} rows a run")]);
    }
    if let Some(rows) = contract.rows_max {
        head.push(["rows a run".to_string(), format!("at most {rows}")]);
    }
    let mut sections = vec![aligned(&head), inputs(&contract.inputs), outputs(&contract.outputs)];
    if !contract.params.is_empty() {
        sections.push(params(&contract.params));
    }
    sections.join("\n")
}

fn inputs(inputs: &[Input]) -> String {
    let heading = ["INPUT", "TYPE", "IN THE GRAPH", "REQUIRED", "NULL"].map(String::from);
    let row = |(index, input): (usize, &Input)| {
        let name = input.name.clone().unwrap_or_else(|| format!("number {}", index + 1));
        let required = if input.required { "yes" } else { "no" };
        let declared = input.declared.to_string();
        [name, declared, input.element.to_string(), required.to_string(), input.null_rule.to_string()]
    };
    table(heading, inputs.iter().enumerate().map(row))
}

fn outputs(outputs: &[Output]) -> String {
    let heading = ["OUTPUT", "TYPE", "CLASSES"].map(String::from);
    let row = |output: &Output| {
        let classes = output.class_labels.as_ref().map(|labels| labels.names().join(", ")).unwrap_or_default();
        [output.name.clone(), output_type(output), classes]
    };
    table(heading, outputs.iter().map(row))
}

fn output_type(output: &Output) -> String {
    match output.shape {
        _ if output.zipmap => "struct of a double for each class".to_string(),
        OutputShape::Scalar => output.element.to_string(),
        OutputShape::List(Some(width)) => format!("list<{}>[{width}]", output.element),
        OutputShape::List(None) => format!("list<{}>", output.element),
    }
}

fn params(params: &[Param]) -> String {
    let heading = ["PARAMETER", "TYPE", "DEFAULT", "EFFECT"].map(String::from);
    let row = |param: &Param| {
        let declared = param.declared.as_ref().map_or("object".to_string(), ToString::to_string);
        let effect =
            if param.graph_input.is_some() { "an input of the graph" } else { "none: the graph does not read it" };
        [param.name.clone(), declared, param.default.to_string(), effect.to_string()]
    };
    table(heading, params.iter().map(row))
}

fn table<const N: usize>(heading: [String; N], rows: impl Iterator<Item = [String; N]>) -> String {
    aligned(&[heading].into_iter().chain(rows).collect::<Vec<_>>())
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_row_is_told_in_a_unit_that_shows_it() {
        let told = [4.26, 87.3, 640.0, 1_234.0, 56_700.0, 7_890_000.0].map(short_time);
        assert_eq!(told, ["4.3 ns", "87 ns", "640 ns", "1.2 µs", "57 µs", "7.9 ms"]);
    }
}

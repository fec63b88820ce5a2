//! `volley models check`.

use serde::Serialize;
use volley_engine::Engine;
use volley_registry::{Pin, Registry};

use crate::answer::print;
use crate::args::CheckArgs;
use crate::models::comparison::{Comparison, Differing, Fault};
use crate::models::sample::Sample;
use crate::models::scoring;
use crate::report::{Error, Failure};
use crate::text_table::aligned;

/// Scores rows whose scores are known, and fails if they come out otherwise.
pub async fn check(args: &CheckArgs, engine: &Engine, json: bool) -> Result<(), Failure> {
    let registry = engine.registry();
    let pin = registry.resolve(&args.model).await?;
    let sample = match (&args.input, &args.expected) {
        (Some(input), Some(expected)) => Sample::of_tables(input, expected, args.key.as_deref()),
        _ => golden(registry, &pin).await?,
    };
    let comparison = scoring::compare(engine, &pin, &sample, &args.outputs, args.tolerance).await?;
    let failure = comparison.fault().map(|fault| {
        let message = format!("model {}: {}", pin.label(), comparison.verdict());
        match fault {
            Fault::NotCompared => Failure::new("output_not_compared", message),
            Fault::Differs => Failure::new("scores_differ", message),
        }
    });
    let report = Report::new(&pin, &comparison, failure.as_ref());
    print(&report, || report.text(), json)?;
    match failure {
        None => Ok(()),
        // The report has said it.
        Some(failure) if json => Err(failure.already_told()),
        Some(failure) => Err(failure),
    }
}

async fn golden(registry: &Registry, pin: &Pin) -> Result<Sample, Failure> {
    let golden = match (pin.version, &pin.mlflow) {
        (Some(version), None) => registry.golden(&pin.name, version).await?,
        _ => None,
    };
    let golden = golden.ok_or_else(|| {
        let message = format!("model {} has no golden rows: give tables with --input and --expected", pin.label());
        Failure::new("no_golden_rows", message)
    })?;
    Sample::of_golden(&golden)
}

#[derive(Serialize)]
struct Report<'a> {
    model: String,
    sha256: &'a str,
    accepted: bool,
    #[serde(flatten)]
    comparison: &'a Comparison,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error<'a>>,
}

impl<'a> Report<'a> {
    fn new(pin: &'a Pin, comparison: &'a Comparison, failure: Option<&'a Failure>) -> Self {
        Self {
            model: pin.label(),
            sha256: pin.sha256.as_str(),
            accepted: failure.is_none(),
            comparison,
            error: failure.and_then(Failure::error),
        }
    }

    fn text(&self) -> String {
        let Comparison { atol, rtol, coverage, .. } = self.comparison;
        let counts = [
            ("model", format!("{} sha256:{}", self.model, &self.sha256[..12])),
            ("compared", listed(&coverage.compared)),
            ("not compared", listed(&[coverage.uncompared.as_slice(), &coverage.left_out].concat())),
            ("rows compared", self.comparison.rows.to_string()),
            ("largest difference", format!("{:.1e}", self.comparison.largest_difference)),
            ("label flips", self.comparison.label_flips.to_string()),
            ("null mismatches", self.comparison.null_mismatches.to_string()),
            ("only scored", self.comparison.only_scored.to_string()),
            ("only expected", self.comparison.only_expected.to_string()),
            ("rows outside", format!("{} (atol {atol:e}, rtol {rtol:e})", self.comparison.rows_outside)),
        ];
        let counts = aligned(&counts.map(|(name, value)| [name.to_string(), value]));
        match self.accepted || self.comparison.worst.is_empty() {
            true => counts,
            false => format!("{counts}\n{}", worst(&self.comparison.worst)),
        }
    }
}

fn listed(outputs: &[String]) -> String {
    if outputs.is_empty() { "none".to_string() } else { outputs.join(", ") }
}

fn worst(rows: &[Differing]) -> String {
    let heading = ["WORST ROWS", "DIFFERENCE", "LABEL", "NULL"].map(String::from);
    let mark = |differs: bool| if differs { "differs" } else { "equal" }.to_string();
    let row = |row: &Differing| {
        [row.key.clone(), format!("{:.1e}", row.difference), mark(row.label_flip), mark(row.null_mismatch)]
    };
    aligned(&[heading].into_iter().chain(rows.iter().map(row)).collect::<Vec<_>>())
}

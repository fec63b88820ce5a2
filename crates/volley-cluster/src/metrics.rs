//! Metrics as Prometheus reads them.

/// The type of such a text.
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4";

/// Metrics of one kind, `counter` or `gauge`: the name of each, what it is, and its value.
pub fn metric_lines<'a>(kind: &str, metrics: impl IntoIterator<Item = (&'a str, &'a str, u64)>) -> String {
    let line = |(name, help, value)| format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    metrics.into_iter().map(line).collect()
}

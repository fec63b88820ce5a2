//! Scores a sample by SQL, on the same road as a job, and compares.

use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use futures::TryStreamExt;
use volley_engine::{Answer, Engine, EngineError, Params, Rows, Session, parse_script};
use volley_model::{Contract, SignatureKind};
use volley_registry::Pin;

use crate::args::ToleranceArgs;
use crate::models::comparison::{Comparison, Side};
use crate::models::expected::{self, Match, Matches};
use crate::models::sample::{Sample, Table};
use crate::models::scores::{Scores, keys};
use crate::report::Failure;

/// Scores the sample with the model, and compares with what the sample expects.
pub async fn compare(
    engine: &Engine,
    pin: &Pin,
    sample: &Sample,
    wanted: &[String],
    tolerance: ToleranceArgs,
) -> Result<Comparison, Failure> {
    let mut tables = Tables { session: engine.session() };
    if sample.key.is_none() {
        // Rows are paired by position: several partitions would mix them.
        tables.answer("SET datafusion.execution.target_partitions = 1").await?;
    }
    let key = sample.key.as_deref();
    let input = tables.schema(&sample.input).await?;
    let expected = tables.schema(&sample.expected).await?;
    let Matches { found, coverage } = expected::matches(&pin.contract.outputs, &expected, key, wanted)?;
    let scores = scores_query(&sample.input, key, &call(pin, &input, key), &outputs(&pin.contract, &found));
    let scored = tables.side(&sample.input, &scores, key.is_some(), None).await?;
    let expected: Vec<_> = found.into_iter().map(|found| found.sql).collect();
    let expected = query(&literal(&sample.expected.path), key, &expected);
    let expected = tables.side(&sample.expected, &expected, key.is_some(), Some(&scored.types)).await?;
    Comparison::of(&scored.side, &expected.side, coverage, tolerance)
}

/// The predict call for a table. Where the model's inputs have names, they are taken from scope; else the
/// table's columns are given in their order.
fn call(pin: &Pin, table: &Schema, key: Option<&str>) -> String {
    let model = literal(&pin.label());
    if by_name(&pin.contract, table) {
        return format!("predict({model})");
    }
    let columns = table.fields().iter().map(|field| field.name().as_str()).filter(|name| Some(*name) != key);
    let arguments: String = columns.map(|name| format!(", {}", identifier(name))).collect();
    format!("predict({model}{arguments})")
}

/// A model without a signature calls its inputs as its graph does, and a table may not.
fn by_name(contract: &Contract, table: &Schema) -> bool {
    let has = |name: &str| table.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name));
    match contract.signature {
        SignatureKind::None => contract.inputs.iter().all(|input| input.name.as_deref().is_some_and(has)),
        SignatureKind::Columns | SignatureKind::Tensors => contract.inputs.iter().all(|input| input.name.is_some()),
    }
}

/// SQL for each of the outputs, over the result of a call.
fn outputs(contract: &Contract, matches: &[Match]) -> Vec<String> {
    let output = |found: &Match| match contract.outputs.as_slice() {
        [_] => "scores".to_string(),
        outputs => format!("scores[{}]", literal(&outputs[found.output].name)),
    };
    matches.iter().map(output).collect()
}

/// The query of a model's scores. It has one call, so that what is wrong with the call is told once.
fn scores_query(table: &Table, key: Option<&str>, call: &str, outputs: &[String]) -> String {
    let kept = key.map(|key| format!("{} AS row_key, ", identifier(key))).unwrap_or_default();
    let scored = format!("(SELECT {kept}{call} AS scores FROM {})", literal(&table.path));
    query(&scored, key.map(|_| "row_key"), outputs)
}

struct Tables {
    session: Session,
}

/// A side with the types of its scores.
struct TypedSide {
    side: Side,
    types: Vec<DataType>,
}

impl Tables {
    async fn schema(&mut self, table: &Table) -> Result<SchemaRef, Failure> {
        let rows = self.rows(&format!("SELECT * FROM {} LIMIT 0", literal(&table.path))).await;
        Ok(rows.map_err(|failure| table.named(failure))?.schema)
    }

    /// Reads the scores of a table, after its keys if it has some. They are read as `types` if given, else as
    /// what they are.
    async fn side(
        &mut self,
        table: &Table,
        query: &str,
        has_keys: bool,
        types: Option<&[DataType]>,
    ) -> Result<TypedSide, Failure> {
        let Rows { schema, mut stream } = self.rows(query).await.map_err(|failure| table.named(failure))?;
        let first = usize::from(has_keys);
        let own: Vec<_> = schema.fields()[first..].iter().map(|field| field.data_type().clone()).collect();
        let types = types.map_or(own, <[DataType]>::to_vec);
        let mut side =
            Side { rows: 0, keys: has_keys.then(Vec::new), scores: types.iter().map(Scores::of_type).collect() };
        let unread = |error| table.named(Failure::from(EngineError::from(error)));
        while let Some(batch) = stream.try_next().await.map_err(unread)? {
            side.rows += batch.num_rows();
            if let Some(all) = &mut side.keys {
                all.extend(keys(batch.column(0)).map_err(|error| unreadable(&table.label, &error))?);
            }
            for (scores, column) in side.scores.iter_mut().zip(&batch.columns()[first..]) {
                scores.extend(column).map_err(|error| unreadable(&table.label, &error))?;
            }
        }
        Ok(TypedSide { side, types })
    }

    async fn rows(&mut self, sql: &str) -> Result<Rows, Failure> {
        match self.answer(sql).await? {
            Answer::Rows(rows) => Ok(rows),
            Answer::Published(_) | Answer::Done => unreachable!("a SELECT gives rows"),
        }
    }

    /// The statement is ours, so its places mean nothing to the user.
    async fn answer(&mut self, sql: &str) -> Result<Answer, Failure> {
        let placeless = |error: EngineError| Failure::from(error).with_places(|_| None);
        let statements = parse_script(sql).map_err(placeless)?;
        self.session.run(&statements[0], &Params::default()).await.map_err(placeless)
    }
}

/// `from` is SQL for what holds the key and what `scores` are written over.
fn query(from: &str, key: Option<&str>, scores: &[String]) -> String {
    let scores = scores.iter().enumerate().map(|(index, sql)| format!("{sql} AS score_{index}"));
    let columns: Vec<_> = key.map(|key| format!("{} AS row_key", identifier(key))).into_iter().chain(scores).collect();
    format!("SELECT {} FROM {from}", columns.join(", "))
}

fn unreadable(label: &str, error: &ArrowError) -> Failure {
    // Arrow's messages may quote values, and those are a customer's.
    let reason = match error {
        ArrowError::CastError(_) => "a column has values of another kind than the model's output",
        _ => "a column has a type that cannot be compared",
    };
    Failure::new("no_expected_scores", format!("the scores cannot be compared: {reason}")).in_file(label)
}

/// A string of SQL.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name of SQL.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_are_read_by_the_same_query() {
        let table = Table::of_user("it's.parquet");
        let outputs = ["scores['label']".to_string(), "scores['p']".to_string()];
        assert_eq!(
            scores_query(&table, Some("row \"id\""), "predict('m/1')", &outputs),
            "SELECT \"row_key\" AS row_key, scores['label'] AS score_0, scores['p'] AS score_1 FROM \
             (SELECT \"row \"\"id\"\"\" AS row_key, predict('m/1') AS scores FROM 'it''s.parquet')"
        );
        assert_eq!(query("'a'", None, &["\"y\"".to_string()]), "SELECT \"y\" AS score_0 FROM 'a'");
    }
}

//! `volley sql --cluster`: a statement is sent there, and its rows are shown here as they come.

use std::collections::VecDeque;

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::record_batch::RecordBatch;
use futures::stream;
use reqwest::Response;
use volley_engine::Script;
use volley_server::StatementRequest;

use super::client::Client;
use super::follow::summary;
use crate::engine::stopped;
use crate::outcome;
use crate::report::Failure;
use crate::rows::print_batches;
use crate::runner::Show;

/// Runs a script on a server and shows what its last statement gives.
pub async fn sql(client: &Client, text: &str, show: Show) -> Result<(), Failure> {
    let script = Script { text: text.to_owned(), ..Script::default() };
    answer(client, &script, show).await.map(drop)
}

/// The same; says how many rows there were. Who stops this cancels the statement.
pub async fn answer(client: &Client, script: &Script, show: Show) -> Result<u64, Failure> {
    tokio::select! {
        answered = answered(client, script, show) => answered,
        () = stopped() => Err(Failure::new("interrupted", "stopped: the server cancels the statement")),
    }
}

async fn answered(client: &Client, script: &Script, show: Show) -> Result<u64, Failure> {
    let request = serde_json::to_value(StatementRequest::of(script)).expect("a plain struct has JSON");
    let response = client.answer("v1/sql", &request).await?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    if header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
        let published: serde_json::Value = response.json().await.map_err(|error| client.unreachable(&error))?;
        if !published["published"].is_null() {
            outcome::print(&summary(&published["published"]), show.json);
        }
        return Ok(0);
    }
    let id = header("volley-statement").unwrap_or_default();
    let mut rows = ArrowRows { client, id, response, decoder: StreamDecoder::new(), batches: VecDeque::new() };
    let schema = rows.schema().await?;
    let batches = stream::try_unfold(rows, |mut rows| async move { Ok(rows.next().await?.map(|batch| (batch, rows))) });
    print_batches(schema, batches, show.format).await
}

/// Rows as they come.
struct ArrowRows<'a> {
    client: &'a Client,
    /// Of the statement.
    id: String,
    response: Response,
    decoder: StreamDecoder,
    batches: VecDeque<RecordBatch>,
}

impl ArrowRows<'_> {
    async fn schema(&mut self) -> Result<SchemaRef, Failure> {
        loop {
            if let Some(schema) = self.decoder.schema() {
                return Ok(schema);
            }
            if !self.more().await? {
                return Err(unreadable("it ends before its columns are known"));
            }
        }
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, Failure> {
        loop {
            if let Some(batch) = self.batches.pop_front() {
                return Ok(Some(batch));
            }
            if !self.more().await? {
                // A stream without the mark of its end is not whole.
                self.decoder.finish().map_err(|error| unreadable(&error.to_string()))?;
                return Ok(None);
            }
        }
    }

    /// Takes in what comes next, if anything does.
    async fn more(&mut self) -> Result<bool, Failure> {
        let bytes = match self.response.chunk().await {
            Ok(bytes) => bytes,
            Err(error) => return Err(self.why(&error).await),
        };
        let Some(bytes) = bytes else { return Ok(false) };
        let mut buffer = Buffer::from(bytes);
        while !buffer.is_empty() {
            let batch = self.decoder.decode(&mut buffer).map_err(|error: ArrowError| unreadable(&error.to_string()))?;
            self.batches.extend(batch);
        }
        Ok(true)
    }

    /// Why the answer broke off: the server knows, unless it is gone.
    async fn why(&self, error: &reqwest::Error) -> Failure {
        let told = self.client.get(&format!("v1/sql/{}", self.id)).await.ok();
        let problems = told.and_then(|told| serde_json::from_value(told["problems"].clone()).ok());
        problems.map_or_else(|| self.client.unreachable(error), Failure::of_server)
    }
}

fn unreadable(reason: &str) -> Failure {
    Failure::new("server_unreachable", format!("the answer of the server is not whole: {reason}"))
}

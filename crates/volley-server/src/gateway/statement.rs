//! A statement that is answered at once, for as long as whoever asked waits for it.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use volley_engine::{
    Answer, Engine, EngineError, Kind, Params, ScriptStatement, Session, Stopper, Summary, parse_script,
};

use super::counts::Answering;
use crate::error::ServerError;
use crate::job_request::StatementRequest;

/// What a statement gives.
pub enum Reply {
    /// Rows of a query.
    Rows(StatementRows),
    /// A result that was published.
    Published(Box<Summary>),
    /// Nothing but that it is done.
    Done,
}

/// The rows of a query, as they come. Dropping them ends the query.
pub struct StatementRows {
    /// Their columns.
    pub schema: SchemaRef,
    /// Batches of them.
    pub batches: BoxStream<'static, Result<RecordBatch, ServerError>>,
}

/// Answers the last statement of a script; those before it may only change the session, which is nobody else's.
pub(super) async fn answer(
    engine: &Engine,
    request: &StatementRequest,
    answering: Answering,
) -> Result<Reply, ServerError> {
    let script = request.script()?;
    let filled = script.filled()?;
    let statements = parse_script(&filled.text)?;
    let (last, others) =
        statements.split_last().ok_or_else(|| ServerError::new("no_statement", "there is no statement to run"))?;
    if let Some(at) = others.iter().position(|statement| statement.kind() != Kind::Command) {
        let message = format!(
            "only the last statement is answered: statement {} gives something too, send it in a request of its own",
            at + 1
        );
        return Err(ServerError::new("one_answer", message));
    }
    let mut session = engine.session();
    for command in others {
        session.run(command, &script.params).await?;
    }
    let answer = match last.kind() {
        Kind::Write => return write(session, last.clone(), script.params, answering).await,
        Kind::Rows | Kind::Command => session.run(last, &script.params).await?,
    };
    Ok(reply(answer, answering))
}

/// What was answered; rows count as being answered until they are dropped.
fn reply(answer: Answer, answering: Answering) -> Reply {
    match answer {
        Answer::Rows(rows) => Reply::Rows(StatementRows {
            schema: rows.schema,
            batches: rows
                .stream
                .map_err(move |error| {
                    let _until_dropped = &answering;
                    ServerError::from(EngineError::from(error))
                })
                .boxed(),
        }),
        Answer::Published(summary) => Reply::Published(Box::new(summary)),
        Answer::Done => Reply::Done,
    }
}

/// Writes in a task of its own: whoever stops waiting must not leave a job lying half way, but have it given up.
async fn write(
    mut session: Session,
    statement: ScriptStatement,
    params: Params,
    answering: Answering,
) -> Result<Reply, ServerError> {
    let _while_waited_for = StopOnDrop(session.stopper());
    let written = tokio::spawn(async move {
        let answer = session.run(&statement, &params).await?;
        Ok::<_, EngineError>(reply(answer, answering))
    });
    let written = written.await.unwrap_or_else(|panic| Err(EngineError::new("panicked", panic.to_string())));
    Ok(written?)
}

struct StopOnDrop(Stopper);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

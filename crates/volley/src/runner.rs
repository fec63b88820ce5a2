//! Runs statements and shows their answers.

use std::io::{self, Write};
use std::num::NonZeroU32;

use volley_engine::{Answer, EngineError, Output, Params, Patience, ScriptStatement, Session, Summary, parse_script};

use crate::report::Failure;
use crate::rows::{self, Format};
use crate::{outcome, progress};

/// A session whose answers go to standard output.
pub struct Runner {
    /// What the statements run in.
    pub session: Session,
    params: Params,
    show: Show,
    attempts: NonZeroU32,
    published: Vec<Summary>,
}

/// How answers are shown.
#[derive(Debug, Clone, Copy)]
pub struct Show {
    /// For rows.
    pub format: Format,
    /// For what is published: an object, not a line.
    pub json: bool,
}

impl Show {
    /// Rows as a table and lines for people, or all as JSON.
    pub fn new(json: bool) -> Self {
        Self { format: if json { Format::Json } else { Format::Table }, json }
    }
}

/// What was shown of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// That many rows.
    Rows(u64),
    /// What was published.
    Published,
    /// There was nothing to show.
    Nothing,
}

impl Runner {
    /// `params` are the values of the statements' parameters.
    pub fn new(session: Session, params: Params, show: Show) -> Self {
        Self { session, params, show, attempts: NonZeroU32::MIN, published: vec![] }
    }

    /// The same, which tries a statement so often in all that failed for a reason that may pass.
    pub fn with_attempts(self, attempts: NonZeroU32) -> Self {
        Self { attempts, ..self }
    }

    /// Runs all statements of a text; the rows of the last one go to `output`, if there is one. Says what
    /// was shown last.
    pub async fn run(&mut self, text: &str, output: Option<&Output>) -> Result<Shown, Failure> {
        let statements = parse_script(text)?;
        let (last, others) = statements.split_last().ok_or_else(no_statement)?;
        for statement in others {
            self.statement(statement, None).await?;
        }
        self.statement(last, output).await
    }

    /// Runs one statement and shows its answer.
    pub async fn statement(&mut self, statement: &ScriptStatement, output: Option<&Output>) -> Result<Shown, Failure> {
        let answer = self.patiently(statement, output).await?;
        match answer {
            Answer::Rows(rows) => rows::print(rows, self.show.format).await.map(Shown::Rows),
            Answer::Published(summary) => {
                outcome::print(&summary, self.show.json);
                self.published.push(summary);
                Ok(Shown::Published)
            }
            Answer::Done => Ok(Shown::Nothing),
        }
    }

    /// What was published, in its order.
    pub fn published(&self) -> &[Summary] {
        &self.published
    }

    async fn patiently(&mut self, statement: &ScriptStatement, output: Option<&Output>) -> Result<Answer, EngineError> {
        let mut patience = Patience::new(self.attempts);
        loop {
            let answered = self.answer(statement, output).await;
            let Some(next) = answered.as_ref().err().and_then(|error| patience.after(error)) else { return answered };
            // Told for information: whether anybody reads it changes nothing.
            let _ = writeln!(io::stderr(), "{}", next.told);
            tokio::time::sleep(next.pause).await;
        }
    }

    async fn answer(&mut self, statement: &ScriptStatement, output: Option<&Output>) -> Result<Answer, EngineError> {
        let progress = self.session.progress();
        match output {
            None => progress::watched(&progress, self.session.run(statement, &self.params)).await,
            Some(output) => progress::watched(&progress, self.session.run_into(statement, &self.params, output)).await,
        }
    }
}

fn no_statement() -> EngineError {
    EngineError::new("no_statement", "there is no statement to run")
}

//! The prompt: statements over several lines, history, completion.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use indicatif::HumanCount;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter};
use volley_engine::{Answer, Engine, EngineSettings, Params, is_complete, parse_script};

use super::completion::Names;
use crate::engine;
use crate::report::Failure;
use crate::runner::{Runner, Show, Shown};

const HISTORY_LINES_MAX: usize = 10_000;
const GREETING: &str = "Statements end with `;`. Tab completes, `quit` or Ctrl-D leaves.";

/// Reads and runs statements until the user leaves.
pub async fn run(settings: EngineSettings, show: Show) -> Result<(), Failure> {
    let history = settings.base.join(&settings.state).join("history");
    let engine = engine::open(settings).await?;
    let mut prompt = Prompt {
        editor: editor(history)?,
        runner: Runner::new(engine.session(), Params::default(), show),
        engine: &engine,
        show,
    };
    // Standard output belongs to answers alone.
    let _ = writeln!(io::stderr(), "{GREETING}");
    while let Some(text) = prompt.read().await? {
        if let Err(failure) = prompt.run(&text).await {
            failure.print(show.json);
        }
    }
    Ok(())
}

struct Prompt<'a> {
    editor: Editor<SqlHelper, DefaultHistory>,
    runner: Runner,
    engine: &'a Engine,
    show: Show,
}

impl Prompt<'_> {
    /// What the user typed next; none if that was to leave.
    async fn read(&mut self) -> Result<Option<String>, Failure> {
        self.learn_names().await;
        loop {
            match tokio::task::block_in_place(|| self.editor.readline("volley> ")) {
                Ok(text) if is_farewell(&text) => return Ok(None),
                Ok(text) if text.trim().is_empty() => {}
                Ok(text) => {
                    self.remember(&text);
                    return Ok(Some(text));
                }
                // Ctrl-C gives up what was typed, not the session.
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => {
                    return Err(Failure::new("no_terminal", format!("the terminal cannot be read: {error}")));
                }
            }
        }
    }

    /// Runs what was typed. Each time an alias means what it means now.
    async fn run(&mut self, text: &str) -> Result<(), Failure> {
        self.runner.session.forget_pins();
        for statement in parse_script(text)? {
            let start = Instant::now();
            let work = self.runner.statement(&statement, None);
            let shown = engine::until_stopped(self.engine, work, tokio::signal::ctrl_c()).await?;
            if let (Shown::Rows(rows), false) = (shown, self.show.json) {
                let seconds = start.elapsed().as_secs_f64();
                let noun = if rows == 1 { "row" } else { "rows" };
                writeln!(io::stdout(), "{} {noun} in {seconds:.1} s", HumanCount(rows))?;
            }
        }
        Ok(())
    }

    fn remember(&mut self, text: &str) {
        let history = self.editor.helper().map(|helper| helper.history.clone()).unwrap_or_default();
        // A history that cannot be kept is no reason to stop.
        let _ = self.editor.add_history_entry(text);
        let _ = self.editor.append_history(&history);
    }

    /// Keeps completion up to date; what cannot be learned is not completed.
    async fn learn_names(&mut self) {
        let models = self.engine.registry().names().await.unwrap_or_default();
        let known = self.editor.helper_mut().map(|helper| std::mem::take(&mut helper.names)).unwrap_or_default();
        let mut names = Names { models, ..Names::default() };
        for table in self.runner.session.table_names() {
            let columns = match known.tables.get(&table) {
                Some(columns) => columns.clone(),
                None => self.columns(&table).await,
            };
            names.tables.insert(table, columns);
        }
        if let Some(helper) = self.editor.helper_mut() {
            helper.names = names;
        }
    }

    /// The columns of a table, from a plan that reads no row.
    async fn columns(&mut self, table: &str) -> Vec<String> {
        let query = format!("SELECT * FROM \"{}\" LIMIT 0", table.replace('"', "\"\""));
        let Ok(statements) = parse_script(&query) else { return vec![] };
        match self.runner.session.run(&statements[0], &Params::default()).await {
            Ok(Answer::Rows(rows)) => rows.schema.fields().iter().map(|field| field.name().clone()).collect(),
            _ => vec![],
        }
    }
}

fn editor(history: PathBuf) -> Result<Editor<SqlHelper, DefaultHistory>, Failure> {
    let no_terminal = |error| Failure::new("no_terminal", format!("the terminal cannot be used: {error}"));
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)
        .and_then(|config| config.history_ignore_dups(true))
        .map_err(no_terminal)?
        .completion_type(CompletionType::List)
        .build();
    let mut editor = Editor::with_config(config).map_err(no_terminal)?;
    if let Some(folder) = history.parent() {
        // Without it there is no history, and nothing else is lost.
        let _ = fs::create_dir_all(folder);
    }
    let _ = editor.load_history(&history);
    editor.set_helper(Some(SqlHelper { names: Names::default(), history }));
    Ok(editor)
}

fn is_farewell(text: &str) -> bool {
    let word = text.trim().trim_end_matches(';').trim_end();
    ["quit", "exit", "\\q"].iter().any(|farewell| word.eq_ignore_ascii_case(farewell))
}

#[derive(Helper, Highlighter, Hinter)]
struct SqlHelper {
    names: Names,
    history: PathBuf,
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.names.complete(line, pos))
    }
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let is_done = text.trim().is_empty() || is_farewell(text) || is_complete(text);
        Ok(if is_done { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leaves_by_a_word() {
        for text in ["quit", " EXIT; ", "\\q"] {
            assert!(is_farewell(text), "{text}");
        }
        assert!(!is_farewell("SELECT quit FROM t;"));
    }
}

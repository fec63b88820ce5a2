//! Trying a model out in a process of its own, before it is registered: a hostile or broken one may ask for all of
//! the memory, run for ever or abort, and none of that may end us.
//!
//! The process is this program again, under limits. The model's files go to it through its standard input, so that
//! what is tried is what is registered, byte by byte; what it found comes back as one JSON object.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use volley_model::{Artifact, Contract, Limits, ModelError, NullRule, OnnxRuntime, Runtime, Runtimes, Trial};

use crate::args::InputRule;
use crate::report::Failure;

/// The hidden command that the process is started with.
pub const COMMAND: &str = "try-model";

/// Beyond what [`Limits`] allow a model: for the program itself, and for rows.
const MEMORY_MAX: u64 = 8 << 30;
/// Reading, checking and planning have a limit each; scoring made-up rows is short.
const TIME_MAX: Duration = Duration::from_secs(150);

/// Exit statuses of the process.
const TIME_UP: i32 = 75;
const NOBODY_WAITS: i32 = 76;

/// A model that was loaded and run, in a process that is gone.
#[derive(Debug, Serialize, Deserialize)]
pub struct Tried {
    /// With the null rules that were asked for.
    pub contract: Contract,
    /// What it cost.
    pub trial: Trial,
}

/// With what a model is to be loaded and run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    null_rules: Vec<(String, NullRule)>,
    runtime: Option<Runtime>,
    /// The library of ONNX Runtime.
    onnxruntime: Option<PathBuf>,
}

impl Terms {
    /// These null rules, and the runtime that is asked for, of those that there are.
    pub fn new(rules: &[InputRule], runtime: Option<Runtime>, runtimes: &Runtimes) -> Self {
        let null_rules = rules.iter().map(|InputRule { input, rule }| (input.clone(), rule.clone())).collect();
        let onnxruntime = runtimes.onnxruntime.as_ref().map(|onnxruntime| onnxruntime.library.clone());
        Self { null_rules, runtime, onnxruntime }
    }

    fn runtimes(&self) -> Runtimes {
        let alone = |library| OnnxRuntime { library, sessions_max: NonZeroUsize::MIN };
        Runtimes { onnxruntime: self.onnxruntime.clone().map(alone) }
    }
}

/// What is asked of the process; the bytes of the files follow, in this order.
#[derive(Serialize, Deserialize)]
struct Question {
    terms: Terms,
    files: Vec<(String, u64)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Tried(Box<Tried>),
    Refused { code: String, message: String },
}

/// Loads and runs the model on these terms, elsewhere. Errors: those of the model, `model_load_timeout`, and
/// `model_crashed` where it took the process with it.
pub async fn try_out(artifact: &Artifact, terms: Terms) -> Result<Tried, Failure> {
    let artifact = artifact.clone();
    match tokio::task::spawn_blocking(move || asked(&artifact, terms)).await {
        Ok(tried) => tried,
        Err(_) => Err(volley_registry::Error::Stopped.into()),
    }
}

fn asked(artifact: &Artifact, terms: Terms) -> Result<Tried, Failure> {
    let cannot = |error: io::Error| Failure::new("io_failed", format!("a model cannot be tried out: {error}"));
    let program = std::env::current_exe().map_err(cannot)?;
    let mut child = Command::new(program)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(cannot)?;
    let mut stdin = child.stdin.take().expect("it was asked for");
    // A process that has ended reads no further; how it ended says why.
    let _ = ask(&mut stdin, artifact, terms);
    let mut answer = Vec::new();
    child.stdout.take().expect("it was asked for").read_to_end(&mut answer).map_err(cannot)?;
    // Open until here: its end tells the process that nobody waits any more.
    drop(stdin);
    let status = child.wait().map_err(cannot)?;
    read_answer(&answer).unwrap_or_else(|| Err(ended(status)))
}

fn ask(to: &mut impl Write, artifact: &Artifact, terms: Terms) -> io::Result<()> {
    let files = artifact.files().iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect();
    let question = serde_json::to_vec(&Question { terms, files }).expect("names and numbers have JSON");
    to.write_all(&(question.len() as u64).to_le_bytes())?;
    to.write_all(&question)?;
    artifact.files().values().try_for_each(|bytes| to.write_all(bytes))
}

/// `None` if the process ended before it had an answer.
fn read_answer(text: &[u8]) -> Option<Result<Tried, Failure>> {
    match serde_json::from_slice(text).ok()? {
        Answer::Tried(tried) => Some(Ok(*tried)),
        // Codes are static; this one is the last word of a command, and comes once.
        Answer::Refused { code, message } => Some(Err(Failure::new(code.leak(), message))),
    }
}

/// Why there is no answer.
fn ended(status: ExitStatus) -> Failure {
    if status.code() == Some(TIME_UP) {
        let message = format!("the model was not loaded and run within {} s", TIME_MAX.as_secs());
        return Failure::new("model_load_timeout", message);
    }
    let message = format!(
        "loading the model ended the process that tried it ({status}): it asks for more than {} GiB of memory, or it \
         is broken; nothing is registered",
        MEMORY_MAX >> 30
    );
    Failure::new("model_crashed", message)
}

/// The whole of the process: reads the question, and prints the answer.
pub fn answer() -> Result<(), Failure> {
    limit_memory();
    std::thread::spawn(|| {
        std::thread::sleep(TIME_MAX);
        std::process::exit(TIME_UP);
    });
    let cannot = |error: io::Error| Failure::new("io_failed", format!("no model to try was given: {error}"));
    let (terms, artifact) = read_question(&mut io::stdin().lock()).map_err(cannot)?;
    std::thread::spawn(|| {
        // Nothing follows the question: this waits for the end of who asked.
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(NOBODY_WAITS);
    });
    let answer = match tried(&artifact, &terms) {
        Ok(tried) => Answer::Tried(Box::new(tried)),
        Err(error) => Answer::Refused { code: error.code().to_owned(), message: error.to_string() },
    };
    Ok(serde_json::to_writer(io::stdout().lock(), &answer).map_err(io::Error::from)?)
}

fn read_question(from: &mut impl Read) -> io::Result<(Terms, Artifact)> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let mut question = Vec::new();
    from.by_ref().take(u64::from_le_bytes(length)).read_to_end(&mut question)?;
    let Question { terms, files } = serde_json::from_slice(&question)?;
    let mut contents = BTreeMap::new();
    for (path, size) in files {
        let mut bytes = Vec::new();
        from.by_ref().take(size).read_to_end(&mut bytes)?;
        contents.insert(path, bytes.into());
    }
    Ok((terms, Artifact::new(contents)))
}

fn tried(artifact: &Artifact, terms: &Terms) -> Result<Tried, ModelError> {
    let limits = Limits::default();
    let mut contract = volley_model::inspect_for(artifact, terms.runtime, &limits)?;
    for (input, rule) in &terms.null_rules {
        contract.set_null_rule(input, rule.clone())?;
    }
    let trial = volley_model::try_out(artifact, &contract, &terms.runtimes(), &limits)?;
    Ok(Tried { contract, trial })
}

/// Asking for more fails from here on. A system that knows no such limit leaves it to the time.
#[cfg(unix)]
fn limit_memory() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let hard = getrlimit(Resource::RLIMIT_AS).map_or(MEMORY_MAX, |(_, hard)| hard);
    // Without it, the time is still limited.
    let _ = setrlimit(Resource::RLIMIT_AS, MEMORY_MAX.min(hard), hard);
}

#[cfg(not(unix))]
fn limit_memory() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_arrive_as_they_were_sent() {
        let files = [("MLmodel", "a: b"), ("data/model.onnx", ""), ("é", "\0\u{1}")];
        let files = files.map(|(path, text)| (path.to_string(), text.to_string().into_bytes().into()));
        let artifact = Artifact::new(files.into());
        let rules = [InputRule { input: "x=y".to_string(), rule: "fill:0".parse().unwrap() }];
        let library = OnnxRuntime { library: "lib.so".into(), sessions_max: NonZeroUsize::MIN };
        let terms = Terms::new(&rules, Some(Runtime::Ort), &Runtimes { onnxruntime: Some(library) });
        let mut sent = Vec::new();
        ask(&mut sent, &artifact, terms.clone()).unwrap();
        let (read, arrived) = read_question(&mut sent.as_slice()).unwrap();
        assert_eq!(arrived, artifact);
        assert_eq!(read, terms);
    }

    #[cfg(unix)]
    #[test]
    fn a_process_that_dies_without_an_answer_is_told_by_how_it_died() {
        let died = |script: &str| ended(Command::new("sh").args(["-c", script]).status().unwrap()).text();
        assert!(died("kill -ABRT $$").ends_with("nothing is registered [model_crashed]\n"));
        assert!(died(&format!("exit {TIME_UP}")).ends_with("within 150 s [model_load_timeout]\n"));
        assert!(read_answer(b"{\"tried\": {\"contr").is_none());
    }
}

//! A model in ONNX Runtime: sessions of one thread each, lent to whoever scores.

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::SessionBuilder;
use ort::session::{Session, SessionInputValue};
use volley_onnx::{Error, Graph, Limits, Tensor};

use super::{batches, values};
use crate::tract::TensorModel;
use crate::{Contract, ModelError};

/// The sessions of one model. A run needs one for itself alone, and each holds the model's weights.
pub(super) struct Sessions {
    environment: Environment,
    /// The prepared file, from which sessions are made as they are needed.
    model: Vec<u8>,
    inputs: Vec<String>,
    rows: batches::Rows,
    sessions_max: NonZeroUsize,
    limits: Limits,
    pool: Mutex<Pool>,
    returned: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Session>,
    /// Those that are lent, too.
    made: usize,
}

impl Sessions {
    /// Opens the first session, and says in plain sentences how the model is run.
    pub(super) fn open(
        environment: Environment,
        graph: Graph,
        contract: &Contract,
        sessions_max: NonZeroUsize,
        limits: &Limits,
    ) -> Result<(Self, Vec<String>), ModelError> {
        let rows = batches::Rows::of(contract);
        let sessions = Sessions {
            environment,
            inputs: graph.inputs().iter().map(|port| port.name.clone()).collect(),
            model: graph.into_model().expect("a graph for another runtime has its file"),
            rows,
            sessions_max,
            limits: *limits,
            pool: Mutex::default(),
            returned: Condvar::new(),
        };
        let first = sessions.session()?;
        *sessions.pool.lock().unwrap_or_else(PoisonError::into_inner) = Pool { idle: vec![first], made: 1 };
        Ok((sessions, rows.told()))
    }

    /// An idle session, a new one, or the next that somebody gives back.
    fn lend(&self) -> Result<Lent<'_>, Error> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(session) = pool.idle.pop() {
                return Ok(Lent { sessions: self, session: Some(session) });
            }
            if pool.made < self.sessions_max.get() {
                pool.made += 1;
                drop(pool);
                // From here on it gives its place back, whatever becomes of it.
                let mut lent = Lent { sessions: self, session: None };
                // The first one was made of the same bytes.
                let another =
                    self.session().map_err(|_| Error::Failed("ONNX Runtime makes no other session".into()))?;
                lent.session = Some(another);
                return Ok(lent);
            }
            // Every session that is lent comes back when its run ends.
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Another session of the model.
    fn session(&self) -> Result<Session, ModelError> {
        let start = Instant::now();
        let made = catch_unwind(AssertUnwindSafe(|| {
            let builder = Session::builder(&self.environment)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_log_level(LogLevel::Fatal)?
                // Or products of 8-bit numbers overflow on processors without VNNI, and the score depends on those.
                .with_precise_qmm()?;
            self.committed(builder)
        }));
        match made {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(_)) if start.elapsed() > self.limits.load_time_max => {
                Err(Error::LoadTimeout(self.limits.load_time_max).into())
            }
            Ok(Err(error)) => Err(refused(error.message())),
            Err(_) => Err(Error::Panicked("while loading".to_owned()).into()),
        }
    }

    /// Loads the model, and asks for an end when that takes too long.
    fn committed(&self, mut builder: SessionBuilder) -> ort::Result<Session> {
        let canceler = builder.canceler();
        let (loaded, watched) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                if watched.recv_timeout(self.limits.load_time_max) == Err(RecvTimeoutError::Timeout) {
                    // Without it the caller waits for as long as loading takes.
                    drop(canceler.cancel());
                }
            });
            let session = builder.commit_from_memory(&self.model);
            drop(loaded);
            session
        })
    }

    /// Scores as many rows as the graph takes at once.
    fn score(&self, rows: usize, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let mut lent = self.lend()?;
        let outcome = catch_unwind(AssertUnwindSafe(|| lent.run(rows, inputs)));
        outcome.unwrap_or_else(|_| {
            // Nobody knows what a run that was cut off leaves behind.
            lent.session = None;
            Err(Error::Panicked("in ONNX Runtime".to_owned()))
        })
    }
}

impl TensorModel for Sessions {
    fn run(&self, rows: usize, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, Error> {
        self.rows.in_batches(rows, &inputs, |rows, inputs| self.score(rows, inputs))
    }
}

impl fmt::Debug for Sessions {
    // A model of a hundred megabytes is not printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({} bytes, {:?})", self.model.len(), self.rows)
    }
}

/// A session for one run; it goes back to the others by itself.
struct Lent<'a> {
    sessions: &'a Sessions,
    session: Option<Session>,
}

impl Lent<'_> {
    fn run(&mut self, rows: usize, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let named = self.sessions.inputs.iter().zip(inputs);
        let given: Vec<(&str, SessionInputValue<'_>)> =
            named.map(|(name, tensor)| Ok((name.as_str(), values::given(tensor)?))).collect::<Result<_, Error>>()?;
        let session = self.session.as_mut().expect("a lent session is there until it goes back");
        let bytes_max = self.sessions.limits.constant_bytes_max;
        let outputs = session.run(given).map_err(|error| failed(error.message(), bytes_max))?;
        let outputs = outputs.values().map(|value| values::taken(&value)).collect::<Result<Vec<_>, _>>()?;
        match outputs.iter().find(|output| output.shape().first() != Some(&rows)) {
            Some(output) => {
                let shape = output.shape();
                Err(Error::Failed(format!("{rows} rows went in, an output came out with shape {shape:?}")))
            }
            None => Ok(outputs),
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.sessions.pool.lock().unwrap_or_else(PoisonError::into_inner);
        match self.session.take() {
            Some(session) => pool.idle.push(session),
            None => pool.made -= 1,
        }
        self.sessions.returned.notify_one();
    }
}

/// Why ONNX Runtime does not load a model, in one line: the message speaks of the file, not of data.
fn refused(message: &str) -> ModelError {
    const LEN_MAX: usize = 300;
    const LOCALE: &str = "en_US.UTF-8";
    if message.contains("locale") && message.contains(LOCALE) {
        return ModelError::RuntimeUnavailable(format!(
            "ONNX Runtime needs the locale {LOCALE} of the system for this model's texts: install it, or leave the model \
             to tract, which needs none"
        ));
    }
    let line: String = message.lines().next().unwrap_or_default().chars().take(LEN_MAX).collect();
    Error::Invalid(format!("ONNX Runtime does not load it: {line}")).into()
}

/// Why a run failed. No tensor of a batch may be larger than `bytes_max`.
fn failed(message: &str, bytes_max: usize) -> Error {
    const REQUEST: &str = "Failed to allocate memory for requested buffer of size ";
    let asked = message.split_once(REQUEST).map(|(_, rest)| rest.chars().take_while(char::is_ascii_digit));
    // More digits than there are numbers is more than any bound.
    let asked = asked.map(|digits| digits.collect::<String>().parse().unwrap_or(usize::MAX));
    match asked {
        Some(size) if size > bytes_max => {
            Error::TooLarge { what: "memory for one tensor in bytes", size, max: bytes_max }
        }
        Some(_) => Error::Failed(format!("{}: there is not enough memory", place(message))),
        None => Error::Failed(place(message)),
    }
}

/// Where a run failed. The rest of the message holds values of the data.
fn place(message: &str) -> String {
    let between = |start: &str, end: &str| {
        let rest = message.split_once(start)?.1;
        rest.split_once(end).map(|(between, _)| between)
    };
    match (between(" running ", " node."), between(" Name:'", "'")) {
        (Some(op_type), Some(name)) => format!("at node `{name}` ({op_type}) in ONNX Runtime"),
        _ => "in ONNX Runtime".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_refused_in_one_line_and_a_system_without_the_locale_is_told_apart() {
        let long = format!("Fatal error: Guess(-1) is not a registered function\nstack: {}", "x".repeat(1000));
        let invalid = refused(&long);
        assert_eq!(invalid.code(), "model_invalid");
        assert!(invalid.to_string().ends_with("Guess(-1) is not a registered function"), "{invalid}");
        let locale = refused("Failed to construct locale with name:en_US.UTF-8:locale name not valid");
        assert_eq!(locale.code(), "runtime_unavailable");
    }

    #[test]
    fn a_failure_names_its_node_and_none_of_the_data() {
        let message = "Non-zero status code returned while running Gather node. Name:'lookup' Status Message: indices \
                       element out of data bounds, idx=99 must be within the inclusive range [-3,2]";
        assert_eq!(place(message), "at node `lookup` (Gather) in ONNX Runtime");
        assert_eq!(place("idx=99"), "in ONNX Runtime");
    }

    #[test]
    fn a_tensor_beyond_the_bound_is_told_by_its_size() {
        let asked = |size: &str| {
            let message = format!("Failed to allocate memory for requested buffer of size {size}");
            failed(&format!("while running Pad node. Name:'p' Status Message: {message}"), 1000)
        };
        let what = "memory for one tensor in bytes";
        assert_eq!(asked("4096"), Error::TooLarge { what, size: 4096, max: 1000 });
        assert_eq!(asked("99999999999999999999999"), Error::TooLarge { what, size: usize::MAX, max: 1000 });
        let short = "at node `p` (Pad) in ONNX Runtime: there is not enough memory";
        assert_eq!(asked("10"), Error::Failed(short.to_owned()));
    }
}

//! Work that is given up when it takes too long, and whose panic is an error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// Deep graphs are walked recursively in places; the default of two megabytes is soon used up.
const STACK_BYTES: usize = 64 << 20;

/// The time that some steps have together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Deadline {
        Deadline { started: Instant::now(), limit }
    }

    /// Runs `work` in a thread of its own and waits for it, at most as long as there is time left.
    ///
    /// A thread cannot be stopped from outside: past the limit it runs on, unobserved, until it ends.
    pub(crate) fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (sender, receiver) = sync_channel(1);
        let body = move || {
            let outcome = contained("while loading", work);
            // Nobody listens any more once the limit has passed.
            drop(sender.send(outcome));
        };
        thread::Builder::new()
            .name("model-load".into())
            .stack_size(STACK_BYTES)
            .spawn(body)
            .map_err(|error| Error::Failed(format!("no thread to load the model in: {error}")))?;
        match receiver.recv_timeout(self.limit.saturating_sub(self.started.elapsed())) {
            // A machine under load may let us look only after the limit.
            Ok(_) if self.started.elapsed() > self.limit => Err(Error::LoadTimeout(self.limit)),
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => Err(Error::LoadTimeout(self.limit)),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Panicked("while loading".into())),
        }
    }
}

/// Runs `work`; a panic in it is an error that says `when` it happened.
pub(crate) fn contained<T>(when: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(Error::Panicked(format!("{when}{}", reason(&*payload)))))
}

/// The first line of a panic message.
fn reason(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    match text.and_then(|text| text.lines().next()) {
        Some(line) => format!(": {line}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_never_ends_is_given_up() {
        let limit = Duration::from_millis(20);
        let (release, hold) = sync_channel::<()>(0);
        let outcome = Deadline::after(limit).within(move || {
            // Held until the end of the test.
            let held = hold.recv();
            held.map_err(|error| Error::Failed(error.to_string()))
        });
        drop(release);
        assert_eq!(outcome, Err(Error::LoadTimeout(limit)));
    }

    #[test]
    fn a_panic_is_an_error_with_its_first_line() {
        let deadline = Deadline::after(Duration::from_secs(60));
        let outcome: Result<(), Error> = deadline.within(|| panic!("no such tensor\nand more"));
        assert_eq!(outcome, Err(Error::Panicked("while loading: no such tensor".into())));
    }
}

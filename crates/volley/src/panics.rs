//! A panic of ours, told like any other error.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use crate::report::Failure;

/// Where the last panic was.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// Does the work; a panic is a failure of it. Nothing is dumped on the terminal, as panics under a model are
/// contained and told by those who contain them; who sets `RUST_BACKTRACE` sees it all.
pub fn contained<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(|location| format!("{}:{}", location.file(), location.line()));
            *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
        }));
    }
    // Nothing is looked at again that the panic may have left half done.
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(fault()))
}

fn fault() -> Failure {
    let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner).take();
    let at = place.map(|place| format!(" at {place}")).unwrap_or_default();
    Failure::new("internal", format!("a case that was thought impossible{at}: please report it with the command"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_its_code() {
        let failure = contained::<()>(|| panic!("a stated fact that is none")).unwrap_err();
        assert!(failure.text().ends_with("[internal]\n"), "{}", failure.text());
        assert!(!failure.text().contains("stated fact"), "{}", failure.text());
    }
}

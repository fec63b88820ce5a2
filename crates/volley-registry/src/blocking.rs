//! Work that would stop others, on a thread of its own.

use crate::Error;

/// Runs what reads disks or parses graphs where it stops nobody else. A runtime that shuts down cancels what
/// has not started.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Error::Stopped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_that_is_read_while_the_process_stops_is_no_panic() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let handle = runtime.handle().clone();
        // What still runs then asks for a thread of a runtime that has none left to give.
        runtime.shutdown_background();
        let _inside = handle.enter();
        let read = futures::executor::block_on(blocking(|| ()));
        assert_eq!(read.expect_err("nothing was read").code(), "interrupted");
    }
}

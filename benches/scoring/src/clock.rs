//! The time that a thread has spent.

/// Nanoseconds of this thread, which other programs do not lengthen.
pub fn thread_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

//! Trying again what failed for a reason that may pass: how often, and after how long.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::error::EngineError;

/// Between attempts: twice as long each time.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The attempts at one statement. A job of a run goes on where it was: what has a receipt is not scored again.
#[derive(Debug, Clone)]
pub struct Patience {
    attempts: NonZeroU32,
    failed: u32,
    pause: Duration,
}

/// Another attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// How long to wait for it.
    pub pause: Duration,
    /// What failed, in one line for whoever waits.
    pub told: String,
}

impl Patience {
    /// So many attempts in all.
    pub fn new(attempts: NonZeroU32) -> Self {
        Self { attempts, failed: 0, pause: PAUSE_MIN }
    }

    /// What follows the failure of an attempt; none if it will not pass, or that was the last one.
    pub fn after(&mut self, error: &EngineError) -> Option<Attempt> {
        self.failed += 1;
        if !error.is_transient() || self.failed >= self.attempts.get() {
            return None;
        }
        let (pause, attempts) = (self.pause, self.attempts);
        self.pause = (pause * 2).min(PAUSE_MAX);
        let (number, seconds) = (self.failed, pause.as_secs());
        let told = format!("attempt {number} of {attempts} failed: {error}: the next one begins in {seconds} s");
        Some(Attempt { pause, told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_after_longer_and_longer_pauses() {
        let mut patience = Patience::new(NonZeroU32::new(9).unwrap());
        let away = EngineError::new("store_unavailable", "away");
        let pauses: Vec<_> = std::iter::from_fn(|| patience.after(&away)).map(|next| next.pause.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let mut patience = Patience::new(NonZeroU32::new(3).unwrap());
        assert_eq!(patience.after(&EngineError::new("score_failed", "")), None);
        let told = patience.after(&EngineError::new("store_unavailable", "away")).unwrap().told;
        assert_eq!(told, "attempt 2 of 3 failed: away [store_unavailable]: the next one begins in 1 s");
    }
}

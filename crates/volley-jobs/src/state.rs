//! The states of a run and what leads from one to another: decided here, carried out elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How often a run is begun by itself after the process that ran it died: one that kills its server each time would
/// keep it from ever serving anybody.
pub(crate) const BEGUN_MAX: u32 = 5;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It will be run: that is durable.
    Accepted,
    /// Its statements are under way.
    Running,
    /// Somebody has canceled it, and it has not stopped yet. It may still succeed, if it was decided before.
    Canceling,
    /// All its statements are done, and what they write is published.
    Succeeded,
    /// A statement failed. What was published before it stays.
    Failed,
    /// It was stopped. What was published before stays.
    Canceled,
}

/// What happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Its work begins.
    Begin,
    /// Its work is done.
    Succeed,
    /// Its work failed.
    Fail,
    /// Its work stopped because it was asked to, before it was done.
    Stop,
    /// The process that did its work is gone; it was begun so often.
    CutOff(u32),
    /// Somebody wants it to stop.
    Cancel,
    /// Somebody wants it to go on.
    Resume,
}

/// Why a step is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It has ended.
    Over,
    /// It has not.
    UnderWay,
}

impl State {
    /// The state that a step leads to.
    pub fn after(self, step: Step) -> Result<Self, Refused> {
        use State::{Accepted, Canceled, Canceling, Failed, Running, Succeeded};
        match (self, step) {
            (Accepted, Step::Begin) => Ok(Running),
            (Accepted, Step::Cancel) => Ok(Canceled),
            (Accepted, Step::CutOff(_)) => Ok(Accepted),
            (Running, Step::Cancel) => Ok(Canceling),
            (Running, Step::Fail) => Ok(Failed),
            // Its server stops in order: the next one goes on.
            (Running, Step::Stop) => Ok(Accepted),
            (Running, Step::CutOff(begun)) => Ok(if begun < BEGUN_MAX { Accepted } else { Failed }),
            // What is decided is published, whoever wants it to stop.
            (Running | Canceling, Step::Succeed) => Ok(Succeeded),
            (Canceling, Step::Cancel | Step::CutOff(_)) => Ok(Canceling),
            (Canceling, Step::Stop | Step::Fail) => Ok(Canceled),
            (Canceled, Step::Cancel) => Ok(Canceled),
            (Failed | Canceled, Step::Resume) => Ok(Accepted),
            (Accepted | Running | Canceling, _) => Err(Refused::UnderWay),
            (Succeeded | Failed | Canceled, _) => Err(Refused::Over),
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }

    const ALL: [Self; 6] =
        [Self::Accepted, Self::Running, Self::Canceling, Self::Succeeded, Self::Failed, Self::Canceled];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Canceling => "canceling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        })
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.to_string() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::State::{Accepted, Canceled, Canceling, Failed, Running, Succeeded};
    use super::Step::{Begin, Cancel, CutOff, Fail, Resume, Stop, Succeed};
    use super::*;

    fn after(steps: &[Step]) -> Result<State, Refused> {
        steps.iter().try_fold(Accepted, |state, step| state.after(*step))
    }

    #[test]
    fn a_run_ends_once() {
        for (steps, end) in [
            (&[Begin, Succeed][..], Succeeded),
            (&[Begin, Fail], Failed),
            (&[Cancel], Canceled),
            (&[Begin, Cancel, Stop], Canceled),
            (&[Begin, Cancel, Fail], Canceled),
        ] {
            assert_eq!(after(steps), Ok(end), "{steps:?}");
            for more in [Begin, Succeed, Fail, Stop, CutOff(1)] {
                assert_eq!(end.after(more), Err(Refused::Over), "{end}, {more:?}");
            }
        }
    }

    #[test]
    fn what_was_decided_before_a_cancel_came_succeeds() {
        assert_eq!(after(&[Begin, Cancel, Succeed]), Ok(Succeeded));
        assert_eq!(after(&[Begin, Cancel, Cancel, CutOff(1), Succeed]), Ok(Succeeded));
        assert_eq!(Succeeded.after(Cancel), Err(Refused::Over));
    }

    #[test]
    fn a_run_whose_server_is_gone_is_begun_again_by_the_next_one_but_not_for_ever() {
        assert_eq!(after(&[CutOff(0), Begin, CutOff(1), Begin, Stop, Begin]), Ok(Running));
        assert_eq!(Running.after(CutOff(BEGUN_MAX)), Ok(Failed));
        assert_eq!(Failed.after(Resume), Ok(Accepted));
    }

    #[test]
    fn only_what_ended_without_success_is_resumed() {
        for state in State::ALL {
            let resumed = state.after(Resume).is_ok();
            assert_eq!(resumed, matches!(state, Failed | Canceled), "{state}");
        }
    }

    #[test]
    fn a_state_is_read_back_from_its_name() {
        for state in State::ALL {
            assert_eq!(state.to_string().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
        }
        assert!("gone".parse::<State>().is_err());
        assert!(!Canceling.is_over());
    }
}

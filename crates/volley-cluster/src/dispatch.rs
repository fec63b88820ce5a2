//! Which split of a job runs next, and what becomes of one that came back without a receipt. Decides, and does nothing.
//!
//! A split whose executor died is suspect: it may be what killed it. Suspects run one at a time in the whole cluster,
//! so that the second death is blamed on the right one, and until one of a job's suspects has survived, no other split
//! of that job begins: a model that kills whatever loads it costs two executors, however many splits there are.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use volley_engine::EngineError;

use crate::failure::Failure;

/// How many executors a split may cost.
const LOSSES_MAX: u32 = 2;
/// How often a split may end in a way that nobody understands.
const RIDDLES_MAX: u32 = 5;
/// Waits before what failed is tried again.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The splits of a job that are not done and do not run.
#[derive(Debug)]
pub(crate) struct Dispatch {
    waiting: VecDeque<u32>,
    suspects: VecDeque<u32>,
    is_one_tried: bool,
    /// Whether a suspect has survived since the last loss.
    is_cleared: bool,
    losses: BTreeMap<u32, u32>,
    riddles: BTreeMap<u32, u32>,
    /// Since when splits fail while none is done, and how often they did.
    failing: Option<(Instant, u32)>,
    retry: Duration,
}

/// A split that is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) split: u32,
    /// Whether no other suspect may run meanwhile.
    pub(crate) alone: bool,
    /// How long to wait before.
    pub(crate) pause: Duration,
}

/// How running a split ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    /// It has its receipt.
    Done,
    /// Its executor died.
    Lost,
    /// It was not run, for no fault of its own.
    NotRun,
    /// It was run, and failed.
    Failed(Failure),
    /// Ballista gave it up, and nobody knows why.
    Riddle(String),
    /// Whether it is done cannot be asked.
    Unasked(EngineError),
}

impl Dispatch {
    pub(crate) fn new(splits: &[u32], retry: Duration) -> Self {
        Self {
            waiting: splits.iter().copied().collect(),
            suspects: VecDeque::new(),
            is_one_tried: false,
            is_cleared: true,
            losses: BTreeMap::new(),
            riddles: BTreeMap::new(),
            failing: None,
            retry,
        }
    }

    /// Whether nothing is left to be run but what runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.suspects.is_empty()
    }

    /// The split that is to run next while `running` others do, of which there may be `limit`.
    pub(crate) fn next(&mut self, running: usize, limit: usize) -> Option<Next> {
        let pause = self.failing.map_or(Duration::ZERO, |(_, times)| pause(times));
        if running >= limit {
            return None;
        }
        if !self.is_one_tried
            && let Some(split) = self.suspects.pop_front()
        {
            self.is_one_tried = true;
            return Some(Next { split, alone: true, pause });
        }
        let split = self.is_cleared.then(|| self.waiting.pop_front())??;
        Some(Next { split, alone: false, pause })
    }

    /// Takes how a split ended. An error is that of the job.
    pub(crate) fn on(&mut self, next: Next, ended: Ended, now: Instant) -> Result<(), Halt> {
        let Next { split, alone, .. } = next;
        self.is_one_tried &= !alone;
        match ended {
            Ended::Done => {
                self.failing = None;
                self.is_cleared |= alone;
                Ok(())
            }
            Ended::Lost => {
                let losses = self.losses.entry(split).or_default();
                *losses += 1;
                if *losses >= LOSSES_MAX {
                    return Err(Halt::Losses(split));
                }
                self.is_cleared = false;
                self.suspects.push_back(split);
                Ok(())
            }
            Ended::NotRun => {
                self.put_back(split);
                Ok(())
            }
            Ended::Failed(failure) => self.failed(split, failure.error(), now),
            Ended::Unasked(error) => self.failed(split, error, now),
            Ended::Riddle(told) => {
                let riddles = self.riddles.entry(split).or_default();
                *riddles += 1;
                if *riddles >= RIDDLES_MAX {
                    return Err(Halt::Riddle(split, told));
                }
                self.put_back(split);
                Ok(())
            }
        }
    }

    fn failed(&mut self, split: u32, error: EngineError, now: Instant) -> Result<(), Halt> {
        let (since, times) = self.failing.unwrap_or((now, 0));
        if !error.is_transient() || now.duration_since(since) >= self.retry {
            return Err(Halt::Failed(error));
        }
        self.failing = Some((since, times + 1));
        self.put_back(split);
        Ok(())
    }

    /// To its like, in front: it had its turn already.
    fn put_back(&mut self, split: u32) {
        match self.losses.contains_key(&split) {
            true => self.suspects.push_front(split),
            false => self.waiting.push_front(split),
        }
    }
}

fn pause(times: u32) -> Duration {
    PAUSE_MIN.saturating_mul(1 << times.saturating_sub(1).min(10)).min(PAUSE_MAX)
}

/// Why a job can have no receipt for one of its splits.
#[derive(Debug, Clone)]
pub(crate) enum Halt {
    /// A split has cost as many executors as it may.
    Losses(u32),
    /// A split failed.
    Failed(EngineError),
    /// Ballista gives a split up again and again.
    Riddle(u32, String),
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn dispatch(splits: u32) -> Dispatch {
        Dispatch::new(&(0..splits).collect::<Vec<_>>(), HOUR)
    }

    fn next(dispatch: &mut Dispatch, running: usize) -> Option<(u32, bool)> {
        dispatch.next(running, 4).map(|next| (next.split, next.alone))
    }

    fn end(dispatch: &mut Dispatch, split: u32, alone: bool, ended: Ended) -> Result<(), Halt> {
        dispatch.on(Next { split, alone, pause: Duration::ZERO }, ended, Instant::now())
    }

    fn failure(code: &'static str) -> Ended {
        Ended::Failed(Failure::of(&EngineError::new(code, "told")))
    }

    #[test]
    fn splits_run_in_their_order_as_many_as_may() {
        let mut dispatch = dispatch(6);
        let begun: Vec<_> = (0..6).map(|running| next(&mut dispatch, running)).collect();
        assert_eq!(begun, [Some((0, false)), Some((1, false)), Some((2, false)), Some((3, false)), None, None]);
    }

    #[test]
    fn after_a_death_one_suspect_runs_alone_and_others_wait_until_one_has_survived() {
        let mut dispatch = dispatch(8);
        for running in 0..4 {
            next(&mut dispatch, running);
        }
        for split in [0, 1] {
            end(&mut dispatch, split, false, Ended::Lost).expect("a first loss");
        }
        assert_eq!(next(&mut dispatch, 2), Some((0, true)));
        assert_eq!(next(&mut dispatch, 3), None, "nothing runs beside it that has not begun");
        end(&mut dispatch, 0, true, Ended::Done).expect("it survived");
        assert_eq!(next(&mut dispatch, 2), Some((1, true)));
        assert_eq!(next(&mut dispatch, 3), Some((4, false)), "the model is not to blame");
    }

    #[test]
    fn the_second_executor_that_a_split_costs_ends_the_job() {
        let mut dispatch = dispatch(9);
        next(&mut dispatch, 0);
        end(&mut dispatch, 0, false, Ended::Lost).expect("a first loss");
        assert_eq!(next(&mut dispatch, 0), Some((0, true)));
        assert!(matches!(end(&mut dispatch, 0, true, Ended::Lost), Err(Halt::Losses(0))));
    }

    #[test]
    fn what_was_not_run_is_no_suspect_and_has_its_turn_again() {
        let mut dispatch = dispatch(3);
        next(&mut dispatch, 0);
        end(&mut dispatch, 0, false, Ended::NotRun).expect("no fault of its own");
        assert_eq!(next(&mut dispatch, 0), Some((0, false)));
    }

    #[test]
    fn a_failure_that_passes_is_tried_again_for_a_while_and_another_ends_the_job() {
        let mut dispatch = Dispatch::new(&[0], HOUR);
        let begin = Instant::now();
        let run = dispatch.next(0, 1).expect("the split");
        assert_eq!(run.pause, Duration::ZERO);
        dispatch.on(run, failure("store_unavailable"), begin).expect("it may pass");
        let run = dispatch.next(0, 1).expect("again");
        assert_eq!(run.pause, PAUSE_MIN);
        dispatch.on(run, failure("store_unavailable"), begin + HOUR / 2).expect("it may pass");
        let run = dispatch.next(0, 1).expect("again");
        assert!(run.pause > PAUSE_MIN);
        let told = dispatch.on(run, failure("store_unavailable"), begin + HOUR).expect_err("long enough");
        assert!(matches!(told, Halt::Failed(error) if error.code() == "store_unavailable"));
        let mut dispatch = Dispatch::new(&[0], HOUR);
        let run = dispatch.next(0, 1).expect("the split");
        let told = dispatch.on(run, failure("score_failed"), begin).expect_err("it will not pass");
        assert!(matches!(told, Halt::Failed(error) if error.code() == "score_failed"));
    }

    #[test]
    fn a_riddle_is_tried_some_times() {
        let mut dispatch = dispatch(1);
        for _ in 1..RIDDLES_MAX {
            assert_eq!(next(&mut dispatch, 0), Some((0, false)));
            end(&mut dispatch, 0, false, Ended::Riddle("what".to_owned())).expect("once more");
        }
        next(&mut dispatch, 0);
        assert!(matches!(end(&mut dispatch, 0, false, Ended::Riddle("what".to_owned())), Err(Halt::Riddle(0, _))));
    }

    #[test]
    fn pauses_grow_to_their_end() {
        assert_eq!([1, 2, 3].map(pause), [PAUSE_MIN, PAUSE_MIN * 2, PAUSE_MIN * 4]);
        assert_eq!(pause(99), PAUSE_MAX);
    }
}

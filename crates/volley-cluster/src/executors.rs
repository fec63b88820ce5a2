//! The executors that there are, as they tell it themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::watch;
use volley_engine::{AtWork, JobId, Proof, Witness};

use crate::error::ClusterError;
use crate::pulse::{Answer, Instance, Phase, Pulse, RunningSplit};
use crate::queries::{SharedQueries, Signal};
use crate::settings::Timers;

/// All executors that are not known to be dead.
pub(crate) struct Executors {
    queries: SharedQueries,
    timers: Timers,
    known: Mutex<BTreeMap<Instance, Known>>,
    /// What those that are not known are to write into the server's state.
    asked: Mutex<BTreeMap<Instance, Proof>>,
    /// Of the state of the engine whose splits they run, once there is one.
    witness: OnceLock<Witness>,
    /// How many splits they can run at a time.
    capacity: watch::Sender<usize>,
}

struct Known {
    pulse: Pulse,
    address: IpAddr,
    heard: Instant,
    /// Whether it is asked to leave.
    drain: bool,
}

impl Known {
    fn takes_splits(&self) -> bool {
        self.pulse.phase == Phase::Working && !self.drain
    }

    fn status(&self) -> ExecutorStatus {
        let running =
            |running: &RunningSplit| RunningOn { job: running.name.job, split: running.name.split, rows: running.rows };
        ExecutorStatus {
            id: self.pulse.instance.to_string(),
            address: self.address,
            state: match self.pulse.phase {
                Phase::Working if !self.drain => "working",
                _ => "draining",
            },
            vcores: self.pulse.vcores,
            running: self.pulse.running.iter().map(running).collect(),
        }
    }
}

/// Why what an executor says is not taken.
#[derive(Debug)]
pub(crate) enum Unmet {
    /// It cannot be told yet who it is.
    Later,
    /// It has another state.
    Refused(ClusterError),
}

/// An executor, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExecutorStatus {
    /// Its id: another one each time it is started.
    pub id: String,
    /// Where it comes from.
    pub address: IpAddr,
    /// `working` or `draining`.
    pub state: &'static str,
    /// How many splits it runs at a time.
    pub vcores: usize,
    /// The splits that it runs now.
    pub running: Vec<RunningOn>,
}

/// A split that an executor runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningOn {
    /// The job.
    pub job: JobId,
    /// The number of the split in it.
    pub split: u32,
    /// Rows written so far.
    pub rows: u64,
}

impl Executors {
    pub(crate) fn new(queries: SharedQueries, timers: Timers) -> Self {
        let (known, asked, witness) = Default::default();
        Self { queries, timers, known, asked, witness, capacity: watch::Sender::new(0) }
    }

    /// Lets executors in from now on that work on the state that `witness` sees.
    pub(crate) fn trust(&self, witness: Witness) {
        // A cluster runs the splits of one engine, for as long as both live.
        let _ = self.witness.set(witness);
    }

    /// Takes what an executor says. One that is not known is asked first to show that it works on the right state.
    pub(crate) async fn meet(&self, pulse: Pulse, address: IpAddr) -> Result<Answer, Unmet> {
        let instance = pulse.instance;
        if pulse.phase == Phase::Gone || self.lock().contains_key(&instance) {
            return Ok(self.hear(pulse, address));
        }
        let Some(witness) = self.witness.get() else { return Err(Unmet::Later) };
        let asked = self.asked().get(&instance).copied();
        let Some(proof) = asked.filter(|asked| pulse.proof == Some(*asked)) else {
            let prove = Some(*self.asked().entry(instance).or_insert_with(Proof::new));
            return Ok(Answer { drain: false, prove });
        };
        let is_ours = witness.sees(proof).await.map_err(|_| Unmet::Later)?;
        self.asked().remove(&instance);
        match is_ours {
            true => Ok(self.hear(pulse, address)),
            false => Err(Unmet::Refused(ClusterError::of_other_state(witness.place()))),
        }
    }

    fn hear(&self, pulse: Pulse, address: IpAddr) -> Answer {
        for split in &pulse.ended {
            let failure = split.failure.as_ref();
            let failure = failure.map(|failure| failure.told_by(format_args!("{} at {address}", pulse.instance)));
            self.queries.signal(&split.query, Signal::Ended(failure));
        }
        // A query on its way to the executor is not there yet.
        let age = match pulse.phase {
            Phase::Gone => Duration::ZERO,
            Phase::Working | Phase::Draining => self.timers.missing_after,
        };
        for query in self.queries.launched_on(pulse.instance, age) {
            if !pulse.running.iter().any(|running| running.query == query) {
                self.queries.signal(&query, Signal::Missing);
            }
        }
        let mut known = self.lock();
        let drain = known.get(&pulse.instance).is_some_and(|known| known.drain);
        match pulse.phase {
            Phase::Gone => drop(known.remove(&pulse.instance)),
            Phase::Working | Phase::Draining => {
                drop(known.insert(pulse.instance, Known { pulse, address, heard: Instant::now(), drain }));
            }
        }
        self.count(&known);
        Answer { drain, prove: None }
    }

    /// Gives up executors that have said nothing for too long, and tells whoever waits for what they ran.
    pub(crate) fn bury(&self) {
        let mut known = self.lock();
        let is_dead = |known: &Known| known.heard.elapsed() >= self.timers.dead_after;
        let dead: Vec<_> = known.iter().filter(|(_, known)| is_dead(known)).map(|(id, _)| *id).collect();
        for instance in dead {
            known.remove(&instance);
            for query in self.queries.launched_on(instance, Duration::ZERO) {
                self.queries.signal(&query, Signal::Lost);
            }
        }
        self.find_forgotten(&known);
        self.count(&known);
    }

    /// Has queries run anew of which nobody else would ever speak. Ballista goes on for a while to give tasks to an
    /// executor that is dead here already; and a task that it has bound to one when it removes it is bound for ever.
    fn find_forgotten(&self, known: &BTreeMap<Instance, Known>) {
        let is_known = |executor: &str| known.keys().any(|instance| instance.is(executor));
        for query in self.queries.launched_elsewhere(is_known, self.timers.dead_after) {
            self.queries.signal(&query, Signal::Missing);
        }
        let is_idle = |known: &Known| known.takes_splits() && known.pulse.running.len() < known.pulse.vcores;
        if known.values().any(is_idle) {
            for query in self.queries.unlaunched(self.timers.dead_after) {
                self.queries.signal(&query, Signal::NotLaunched);
            }
        }
    }

    fn count(&self, known: &BTreeMap<Instance, Known>) {
        let capacity = known.values().filter(|known| known.takes_splits()).map(|known| known.pulse.vcores).sum();
        self.capacity.send_if_modified(|before| std::mem::replace(before, capacity) != capacity);
    }

    /// How many splits can run at a time, and when that changes.
    pub(crate) fn capacity(&self) -> watch::Receiver<usize> {
        self.capacity.subscribe()
    }

    /// Which executors run splits of a job.
    pub(crate) fn at_work(&self, job: JobId) -> Vec<AtWork> {
        let at_work = |(id, known): (&Instance, &Known)| {
            let of_job = known.pulse.running.iter().filter(|running| running.name.job == job);
            let (splits, rows) = of_job.fold((0, 0), |(splits, rows), running| (splits + 1, rows + running.rows));
            (splits > 0).then(|| AtWork { executor: id.to_string(), splits, rows })
        };
        self.lock().iter().filter_map(at_work).collect()
    }

    /// Whether an executor says that it runs a split of a job.
    pub(crate) fn run(&self, job: JobId) -> bool {
        self.lock().values().any(|known| known.pulse.running.iter().any(|running| running.name.job == job))
    }

    pub(crate) fn list(&self) -> Vec<ExecutorStatus> {
        self.lock().values().map(Known::status).collect()
    }

    /// Asks an executor to leave, with its next pulse. None if there is no such executor.
    pub(crate) fn drain(&self, id: Instance) -> Option<ExecutorStatus> {
        let mut known = self.lock();
        let asked = known.get_mut(&id).map(|known| {
            known.drain = true;
            known.status()
        });
        self.count(&known);
        asked
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<Instance, Proof>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Instance, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Executors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use super::*;
    use crate::pulse::EndedSplit;
    use crate::queries::Queries;
    use crate::task::SplitName;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn executors(dead_after: Duration) -> (Arc<Queries>, Executors) {
        let queries = Arc::new(Queries::default());
        let timers = Timers { dead_after, missing_after: Duration::ZERO, ..Timers::default() };
        (queries.clone(), Executors::new(queries, timers))
    }

    fn pulse(instance: Instance, phase: Phase) -> Pulse {
        Pulse { instance, vcores: 2, phase, running: vec![], ended: vec![], proof: None }
    }

    fn running(query: &str, rows: u64) -> RunningSplit {
        RunningSplit { query: query.to_owned(), name: SplitName { job: JobId::new(), split: 0 }, rows }
    }

    #[test]
    fn only_those_that_take_splits_count() {
        let (_queries, executors) = executors(Duration::from_secs(60));
        let (one, two) = (Instance::new(), Instance::new());
        executors.hear(pulse(one, Phase::Working), HERE);
        executors.hear(pulse(two, Phase::Working), HERE);
        assert_eq!(*executors.capacity().borrow(), 4);
        assert_eq!(executors.drain(one).map(|asked| asked.state), Some("draining"));
        assert_eq!(executors.drain(Instance::new()), None);
        assert_eq!(*executors.capacity().borrow(), 2, "at once");
        assert!(executors.hear(pulse(one, Phase::Working), HERE).drain, "it is told");
        executors.hear(pulse(two, Phase::Draining), HERE);
        assert_eq!(*executors.capacity().borrow(), 0);
        executors.hear(pulse(one, Phase::Gone), HERE);
        assert_eq!(executors.list().len(), 1);
    }

    #[test]
    fn what_a_dead_executor_ran_is_lost_and_what_a_living_one_does_not_run_is_missing() {
        let (queries, executors) = executors(Duration::ZERO);
        let instance = Instance::new();
        let (_waiting, mut heard) = queries.enter("q".to_owned());
        queries.launch("q", &instance.executor(0));
        executors.hear(Pulse { running: vec![running("q", 5)], ..pulse(instance, Phase::Working) }, HERE);
        assert!(heard.try_recv().is_err(), "it is running");
        executors.hear(pulse(instance, Phase::Working), HERE);
        assert_eq!(heard.try_recv(), Ok(Signal::Missing));
        executors.bury();
        assert_eq!(heard.try_recv(), Ok(Signal::Lost));
        assert!(executors.list().is_empty());
    }

    #[test]
    fn a_query_that_waits_beside_an_idle_executor_or_went_to_a_dead_one_is_run_anew() {
        let (queries, executors) = executors(Duration::from_millis(20));
        let (_one, mut of_waiting) = queries.enter("waits".to_owned());
        let (_other, mut of_gone) = queries.enter("gone".to_owned());
        queries.launch("gone", &Instance::new().executor(0));
        executors.bury();
        assert!(of_waiting.try_recv().is_err() && of_gone.try_recv().is_err(), "it is too early");
        std::thread::sleep(Duration::from_millis(25));
        executors.bury();
        assert_eq!(of_gone.try_recv(), Ok(Signal::Missing));
        assert!(of_waiting.try_recv().is_err(), "there is nobody to run it");
        executors.hear(pulse(Instance::new(), Phase::Working), HERE);
        executors.bury();
        assert_eq!(of_waiting.try_recv(), Ok(Signal::NotLaunched));
    }

    #[test]
    fn how_a_split_ended_is_heard() {
        let (queries, executors) = executors(Duration::from_secs(60));
        let (_waiting, mut heard) = queries.enter("q".to_owned());
        let ended = vec![EndedSplit { query: "q".to_owned(), failure: None }];
        executors.hear(Pulse { ended, ..pulse(Instance::new(), Phase::Working) }, HERE);
        assert_eq!(heard.try_recv(), Ok(Signal::Ended(None)));
    }

    #[test]
    fn rows_of_a_job_are_those_of_its_splits_at_work() {
        let (_queries, executors) = executors(Duration::from_secs(60));
        let (a, b) = (running("a", 5), running("b", 7));
        let job = a.name.job;
        executors.hear(Pulse { running: vec![a, b], ..pulse(Instance::new(), Phase::Working) }, HERE);
        let at_work: Vec<_> = executors.at_work(job).iter().map(|one| (one.splits, one.rows)).collect();
        assert_eq!(at_work, [(1, 5)]);
        assert!(executors.run(job) && !executors.run(JobId::new()));
    }
}

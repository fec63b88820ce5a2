//! An executor: joins a server's cluster, runs the splits that it is given, and leaves in order.

mod engine;
mod membership;
mod pulses;
mod table;
mod watched;

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use volley_engine::Worker;

use crate::error::ClusterError;
use crate::pulse::Phase;
use crate::settings::ExecutorSettings;
use engine::{SplitEngine, Threads};
use membership::Membership;
use pulses::Pulses;
use table::Table;
use watched::Watched;

/// Between two tries to join.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);
/// How long nothing must have run before an executor leaves: a task may be on its way, and its report.
const QUIET: Duration = Duration::from_millis(500);
const QUIET_LOOK: Duration = Duration::from_millis(50);

/// An executor of this process. There is one at most: Ballista keeps whether it leaves in one place for all.
#[derive(Debug)]
pub struct Executor;

impl Executor {
    /// Joins the cluster of a server, again if need be, until `stopped` or until the server asks it to leave; then
    /// ends the splits that it has, and leaves. A server that is not there is waited for. `tell` is given a line for
    /// whoever watches.
    ///
    /// Errors: `token_required`, `server_invalid`, `token_refused`, `version_mismatch`, `state_mismatch`,
    /// `address_unusable`, `cluster_failed`.
    pub async fn run(
        settings: ExecutorSettings,
        worker: Worker,
        tell: impl Fn(&str),
        stopped: impl Future<Output = ()>,
    ) -> Result<(), ClusterError> {
        settings.check()?;
        let (worker, table) = (Arc::new(worker), Arc::new(Table::default()));
        let threads = Threads::new(settings.vcores.get()).map_err(|error| ClusterError::Ballista(error.to_string()))?;
        let engine = SplitEngine { worker: worker.clone(), table: table.clone(), threads: Arc::new(threads) };
        let pulses = Pulses::new(&settings, worker.clone(), table.clone())?;
        let joined = watch::Sender::new(false);
        let mut watching = JoinSet::new();
        if let Some(address) = settings.http_listen {
            let watched = Watched {
                vcores: settings.vcores.get(),
                worker,
                table: table.clone(),
                phase: pulses.phase.subscribe(),
                joined: joined.subscribe(),
            };
            let (address, serving) = watched.serve(address).await?;
            tell(&format!("health and metrics are at http://{address}"));
            // It ends with this set.
            watching.spawn(serving);
        }
        let member = Member { pulses, joined, settings, table, engine: Arc::new(engine) };
        let mut stopped = pin!(stopped);
        tokio::select! {
            done = member.work(&tell, &mut stopped) => done,
            // The first pulse is that of `work`.
            refused = member.pulses.beat_on() => Err(refused),
        }
    }
}

struct Member {
    settings: ExecutorSettings,
    table: Arc<Table>,
    engine: Arc<SplitEngine>,
    pulses: Pulses,
    /// Whether a server has taken this executor.
    joined: watch::Sender<bool>,
}

impl Member {
    async fn work(
        &self,
        tell: &impl Fn(&str),
        stopped: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<(), ClusterError> {
        let server = &self.settings.server;
        for times in 0_u64.. {
            let joined = tokio::select! {
                joined = self.join(times, tell) => joined,
                () = &mut *stopped => return Ok(()),
            };
            let mut membership = match joined? {
                Some(membership) => membership,
                None => continue,
            };
            self.joined.send_replace(true);
            tell(&format!("executor {} works for {server}", self.pulses.instance));
            tokio::select! {
                () = membership.broken() => {
                    self.joined.send_replace(false);
                    membership.end();
                    tell(&format!("{server} does not know this executor any more: joining again"));
                }
                () = &mut *stopped => return self.leave(membership, tell).await,
                () = self.pulses.is_to_leave() => return self.leave(membership, tell).await,
            }
        }
        unreachable!("it joins as often as it takes")
    }

    /// Joins once the server is there. None if that did not work out this time.
    async fn join(&self, times: u64, tell: &impl Fn(&str)) -> Result<Option<Membership>, ClusterError> {
        if times > 0 {
            tokio::time::sleep(REJOIN_PAUSE).await;
        }
        let server = &self.settings.server;
        self.pulses.first(tell).await?;
        let id = self.pulses.instance.executor(times);
        match Membership::begin(&self.settings, id, self.engine.clone()).await {
            Ok(membership) => Ok(Some(membership)),
            Err(error) => {
                tell(&format!("{server} did not take this executor: {error}"));
                Ok(None)
            }
        }
    }

    /// Ends what runs, as far as there is time, and leaves.
    async fn leave(&self, mut membership: Membership, tell: &impl Fn(&str)) -> Result<(), ClusterError> {
        self.pulses.phase.send_replace(Phase::Draining);
        membership.close().await;
        let end = Instant::now() + self.settings.drain;
        let mut quiet_since = Instant::now();
        while quiet_since.elapsed() < QUIET && Instant::now() < end {
            tokio::time::sleep(QUIET_LOOK).await;
            if membership.is_busy() || !self.table.is_empty() {
                quiet_since = Instant::now();
            }
        }
        if !self.table.is_empty() {
            tell("there was no time to wait for all splits: they run elsewhere");
        }
        membership.leave().await;
        self.pulses.last().await;
        Ok(())
    }
}

//! Tells the server what this executor does, and hears what it is to do.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Url};
use tokio::sync::{Mutex, watch};
use volley_engine::{EngineError, Worker};

use super::table::Table;
use crate::error::ClusterError;
use crate::gate::{PULSE, Refusal, client_name};
use crate::pulse::{Answer, Instance, Phase, Pulse, RunningSplit};
use crate::settings::ExecutorSettings;

/// The way to the server.
pub(super) struct Pulses {
    client: Client,
    server: String,
    url: Url,
    pub(super) instance: Instance,
    vcores: usize,
    worker: Arc<Worker>,
    table: Arc<Table>,
    every: Duration,
    /// Pulses go out one after another: an earlier one must not come in last.
    turn: Mutex<()>,
    pub(super) phase: watch::Sender<Phase>,
    /// Whether the server wants this executor to leave.
    drain: watch::Sender<bool>,
}

/// Why a pulse was not answered.
enum Unheard {
    /// The server does not answer now.
    Silence,
    /// The state, which the server wants to see written, does not answer now.
    Unproven(EngineError),
    Refused(ClusterError),
}

impl Pulses {
    pub(super) fn new(
        settings: &ExecutorSettings,
        worker: Arc<Worker>,
        table: Arc<Table>,
    ) -> Result<Self, ClusterError> {
        let invalid = || ClusterError::ServerInvalid(settings.server.clone());
        let url = Url::parse(&format!("http://{}{PULSE}", settings.server)).map_err(|_| invalid())?;
        if url.host().is_none() || url.port().is_none() || url.path() != PULSE {
            return Err(invalid());
        }
        let client = Client::builder()
            .user_agent(client_name(settings.token.as_ref()))
            .timeout(settings.timers.dead_after)
            // What is said inside a cluster goes through no proxy.
            .no_proxy()
            .build()
            .map_err(|error| ClusterError::Ballista(error.to_string()))?;
        Ok(Self {
            client,
            server: settings.server.clone(),
            url,
            instance: Instance::new(),
            vcores: settings.vcores.get(),
            worker,
            table,
            every: settings.timers.pulse,
            turn: Mutex::new(()),
            phase: watch::Sender::new(Phase::Working),
            drain: watch::Sender::new(false),
        })
    }

    /// Waits for the server, and shows it who comes. Tells what it waits for, once.
    pub(super) async fn first(&self, tell: impl Fn(&str)) -> Result<(), ClusterError> {
        let mut told = None;
        loop {
            let waits_for = match self.beat().await {
                Ok(()) => return Ok(()),
                Err(Unheard::Refused(refused)) => return Err(refused),
                Err(Unheard::Silence) => format!("a server at {}", self.server),
                Err(Unheard::Unproven(error)) => format!("the state: {error}"),
            };
            if told.as_ref() != Some(&waits_for) {
                tell(&format!("waiting for {waits_for}"));
                told = Some(waits_for);
            }
            tokio::time::sleep(self.every).await;
        }
    }

    /// Goes on for as long as it is wanted. Ends with what the server refuses this executor for.
    pub(super) async fn beat_on(&self) -> ClusterError {
        let mut phase = self.phase.subscribe();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                () = self.table.ended.notified() => {}
                Ok(()) = phase.changed() => {}
            }
            if let Err(Unheard::Refused(refused)) = self.beat().await {
                return refused;
            }
        }
    }

    /// Ends when the server wants this executor to leave.
    pub(super) async fn is_to_leave(&self) {
        // What comes out holds a lock of the sender, which lives in `self`.
        drop(self.drain.subscribe().wait_for(|drain| *drain).await);
    }

    /// The last pulse: nothing runs here any more.
    pub(super) async fn last(&self) {
        self.phase.send_replace(Phase::Gone);
        // It is missed soon where this is not heard.
        let _ = self.beat().await;
    }

    async fn beat(&self) -> Result<(), Unheard> {
        let _in_turn = self.turn.lock().await;
        let running = self.table.running().into_iter().map(|(query, name)| {
            let rows = self.worker.rows_written(name.job, name.split);
            RunningSplit { query, name, rows }
        });
        let running = running.collect();
        let (phase, ended) = (*self.phase.borrow(), self.table.ended());
        let mut pulse = Pulse { instance: self.instance, vcores: self.vcores, phase, running, ended, proof: None };
        let mut answer = self.send(&pulse).await?;
        if let Some(proof) = answer.prove {
            self.worker.prove(proof).await.map_err(Unheard::Unproven)?;
            pulse.proof = Some(proof);
            answer = self.send(&pulse).await?;
        }
        // Asked once more: it was another server that has seen the first proof.
        if answer.prove.is_some() {
            return Err(Unheard::Silence);
        }
        self.table.acknowledged(&pulse.ended);
        if answer.drain {
            self.drain.send_replace(true);
        }
        Ok(())
    }

    async fn send(&self, pulse: &Pulse) -> Result<Answer, Unheard> {
        let answer = self.client.post(self.url.clone()).json(pulse).send().await.map_err(|_| Unheard::Silence)?;
        if answer.status().is_client_error() {
            let refusal: Refusal = answer.json().await.map_err(|_| Unheard::Silence)?;
            return Err(Unheard::Refused(refusal.error()));
        }
        answer.json().await.map_err(|_| Unheard::Silence)
    }
}

//! What a cluster and an executor are told by whoever starts them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::error::ClusterError;
use crate::gate::Token;

/// Settings of the server's side.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// Where executors come to. Beyond this machine only with a token.
    pub bind: SocketAddr,
    /// What executors show.
    pub token: Option<Token>,
    /// How many splits of one job run at a time at most.
    pub job_splits_max: Option<NonZeroUsize>,
    /// When what is waited for no longer.
    pub timers: Timers,
}

/// How long what is waited for. Both sides of a cluster should be told the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// How often an executor tells Ballista that it lives; whole seconds.
    pub heartbeat: Duration,
    /// How often it tells what it runs.
    pub pulse: Duration,
    /// After how long without a word it counts as dead; whole seconds, some heartbeats.
    pub dead_after: Duration,
    /// After how long a split that nobody says to run is run anew.
    pub missing_after: Duration,
    /// For how long splits that fail for a reason that may pass are tried again, while none is done.
    pub retry: Duration,
}

/// Settings of an executor.
#[derive(Debug, Clone)]
pub struct ExecutorSettings {
    /// The server: a host and a port.
    pub server: String,
    /// Where the server reaches this executor: its tasks come in there.
    pub bind: IpAddr,
    /// The port of that; any that is free if it is 0.
    pub port: u16,
    /// The name or address by which the server reaches it; without one, the address that it comes from.
    pub advertise: Option<String>,
    /// Where it shows whoever watches it how it is.
    pub http_listen: Option<SocketAddr>,
    /// How many splits it runs at a time.
    pub vcores: NonZeroUsize,
    /// What it shows the server.
    pub token: Option<Token>,
    /// How long the running splits may take to end when the executor is asked to leave.
    pub drain: Duration,
    /// When what is waited for no longer.
    pub timers: Timers,
}

/// Refuses ports that other machines reach where no token is known. Error: `token_required`.
pub(crate) fn check_ports(
    token: Option<&Token>,
    ports: impl IntoIterator<Item = SocketAddr>,
) -> Result<(), ClusterError> {
    match ports.into_iter().find(|port| token.is_none() && !port.ip().is_loopback()) {
        Some(port) => Err(ClusterError::TokenRequired(port)),
        None => Ok(()),
    }
}

impl Default for ClusterSettings {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            job_splits_max: None,
            timers: Timers::default(),
        }
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            // Also the delay of what a progress bar shows.
            pulse: Duration::from_secs(1),
            // A split that was lost is to run elsewhere within 30 seconds.
            dead_after: Duration::from_secs(20),
            missing_after: Duration::from_secs(10),
            // A store that is away for longer than its own budget is away for a while.
            retry: Duration::from_secs(600),
        }
    }
}

impl ExecutorSettings {
    /// Refuses to be reached by other machines in a cluster that knows no token. Error: `token_required`.
    pub(crate) fn check(&self) -> Result<(), ClusterError> {
        let ports = [Some(SocketAddr::new(self.bind, self.port)), self.http_listen];
        check_ports(self.token.as_ref(), ports.into_iter().flatten())
    }

    /// An executor of this machine for a server.
    pub fn of(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            bind: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            advertise: None,
            http_listen: None,
            vcores: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            token: None,
            // Splits should take seconds: longer than that is patience for slow stores.
            drain: Duration::from_secs(300),
            timers: Timers::default(),
        }
    }
}

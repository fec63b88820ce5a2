//! `volley executor`: runs splits of the jobs of a server, until it is asked to leave.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use volley_cluster::{ClusterError, Executor, ExecutorSettings, Timers, Token};
use volley_engine::Worker;

use crate::engine::stopped;
use crate::report::Failure;
use crate::settings::{Settings, above_zero};

/// The variable that holds the token of the cluster.
const TOKEN: &str = "VOLLEY_CLUSTER_TOKEN";

/// `volley executor`.
#[derive(Debug, Args)]
pub struct ExecutorArgs {
    /// The server to work for
    #[arg(long, value_name = "HOST:PORT")]
    pub server: String,
    /// The settings file, instead of `volley.toml` in the working folder
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address at which the server reaches this executor
    #[arg(long, value_name = "ADDRESS", default_value_t = Ipv4Addr::LOCALHOST.into())]
    pub bind: IpAddr,
    /// The port of that; any that is free if it is 0
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// The name or address that the server knows that by [default: where it sees this executor come from]
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,
    /// Where `/healthz`, `/readyz` and `/metrics` are answered, as 127.0.0.1:9100 [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http_listen: Option<SocketAddr>,
    /// A file with the token of the cluster [default: what the variable VOLLEY_CLUSTER_TOKEN holds]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How long running splits may take to end when the executor is to leave
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub drain_seconds: u64,
    /// Leave when standard input ends: as whoever started this one does, however it ends
    #[arg(long, hide = true)]
    pub until_input_ends: bool,
    /// How often it says that it lives, to a server that is told the same
    #[arg(long, value_name = "SECONDS", hide_short_help = true, value_parser = above_zero::<NonZeroU64>)]
    pub heartbeat_seconds: Option<NonZeroU64>,
    /// How often it says what it runs
    #[arg(long, value_name = "MILLISECONDS", hide_short_help = true, value_parser = above_zero::<NonZeroU64>)]
    pub pulse_milliseconds: Option<NonZeroU64>,
}

/// Works until the user, or whatever started us, or the server wants this executor to leave.
pub async fn executor(args: ExecutorArgs, settings: Settings) -> Result<(), Failure> {
    let engine = match &args.config {
        Some(file) => settings.settle_file(file)?.engine,
        None => settings.settle(None)?,
    };
    let vcores = NonZeroUsize::new(engine.cores).unwrap_or(NonZeroUsize::MIN);
    let until_input_ends = args.until_input_ends;
    let settings = args.settings(vcores)?;
    let worker = Worker::open(engine).await?;
    let tell = |line: &str| {
        // Told for information: whether anybody reads it changes nothing.
        let _ = writeln!(io::stderr(), "{line}");
    };
    let until = async {
        match until_input_ends {
            true => tokio::select! {
                () = stopped() => {}
                () = input_ended() => {}
            },
            false => stopped().await,
        }
    };
    Ok(Executor::run(settings, worker, tell, until).await?)
}

/// Ends when nobody can write to standard input any more.
async fn input_ended() {
    let (ended, seen) = tokio::sync::oneshot::channel();
    // A thread of its own: a read that nothing ends would keep a runtime from ending.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        ended.send(())
    });
    let _ = seen.await;
}

impl ExecutorArgs {
    fn settings(self, vcores: NonZeroUsize) -> Result<ExecutorSettings, Failure> {
        let default = Timers::default();
        let timers = Timers {
            heartbeat: self.heartbeat_seconds.map_or(default.heartbeat, |time| Duration::from_secs(time.get())),
            pulse: self.pulse_milliseconds.map_or(default.pulse, |time| Duration::from_millis(time.get())),
            ..default
        };
        Ok(ExecutorSettings {
            bind: self.bind,
            port: self.port,
            vcores,
            token: token(self.token_file)?,
            advertise: self.advertise,
            http_listen: self.http_listen,
            drain: Duration::from_secs(self.drain_seconds),
            timers,
            ..ExecutorSettings::of(self.server)
        })
    }
}

/// The token of the cluster: that of a file, else that of the environment.
pub fn token(file: Option<PathBuf>) -> Result<Option<Token>, Failure> {
    let text = match file {
        Some(file) => Some(std::fs::read_to_string(&file).map_err(|error| Failure::unreadable(&file, &error))?),
        None => std::env::var(TOKEN).ok().filter(|text| !text.is_empty()),
    };
    Ok(text.map(|text| Token::new(text.trim())).transpose()?)
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

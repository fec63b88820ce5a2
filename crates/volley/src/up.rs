//! `volley up`: a server, and executors beside it on this machine.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use clap::Args;

use crate::report::Failure;
use crate::server::{ServerArgs, serve};
use crate::settings::{Settings, above_zero};

/// `volley up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// How many executors; each has its share of the cores
    #[arg(long, value_name = "NUMBER", default_value = "2", value_parser = above_zero::<NonZeroUsize>)]
    pub executors: NonZeroUsize,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// The settings file, instead of `volley.toml` in the working folder
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Serves until it is stopped, and the executors end with it.
pub async fn up(args: UpArgs, settings: Settings) -> Result<(), Failure> {
    let server = ServerArgs {
        listen: args.listen,
        // Any port that is free: nobody else is to find it.
        cluster_listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
        config: args.config.clone(),
        insecure: false,
    };
    let said = settings.variables();
    serve(&server, settings, |address, cores| {
        let share = (cores / args.executors).max(1);
        let start = |_| Executor::start(address, share, args.config.as_deref(), &said);
        (0..args.executors.get()).map(start).collect::<Result<Vec<_>, _>>()
    })
    .await
}

/// An executor of our own. It is killed when it is dropped: what it has not sealed then is run again.
struct Executor(Child);

impl Executor {
    fn start(
        server: SocketAddr,
        cores: usize,
        config: Option<&Path>,
        said: &[(&str, String)],
    ) -> Result<Self, Failure> {
        let failed = |error| Failure::new("no_executor", format!("an executor cannot be started: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["executor", "--until-input-ends", "--server", &server.to_string()]);
        command.args(["--cores", &cores.to_string()]);
        // Kept open as long as this process lives.
        command.stdin(Stdio::piped());
        if let Some(file) = config {
            command.arg("--config").arg(file);
        }
        command.envs(said.iter().map(|(name, value)| (name, value))).spawn().map(Self).map_err(failed)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // One that has ended already needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

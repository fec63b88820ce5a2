//! `volley server`: the front door of a cluster.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use volley_engine::{Connection, EngineSettings, Places, Reach, SecretRef};
use volley_registry::is_url;
use volley_server::{Door, DoorSettings, Gateway, GatewaySettings, ServerError, Tls, Token};

use clap::Args;
use volley_cluster::{Cluster, ClusterSettings};

use crate::engine::{FINISH_TIME_MAX, stopped};
use crate::executor;
use crate::report::Failure;
use crate::settings::{ServerTable, Settings};

/// Only this machine reaches it.
const LISTEN: &str = "127.0.0.1:8080";

/// Enough that a small job does not wait for a large one, and few enough that each gets on.
const JOBS_AT_ONCE: NonZeroUsize = NonZeroUsize::new(4).expect("four is not zero");

/// In the working folder.
const INDEX: &str = ".volley/server";

/// `volley server`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
    /// Where executors come to, as 127.0.0.1:50050 [default: the server runs splits itself]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub cluster_listen: Option<SocketAddr>,
    /// The settings file, instead of `volley.toml` in the working folder
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen beyond this machine without a token or a certificate
    #[arg(long)]
    pub insecure: bool,
}

/// Serves until it is stopped.
pub async fn server(args: &ServerArgs, settings: Settings) -> Result<(), Failure> {
    serve(args, settings, |_, _| Ok(())).await
}

/// The same, with what `joined` starts once executors can come, and which ends with the server. It is told where they
/// come to, and how many splits are to run at a time.
pub async fn serve<T>(
    args: &ServerArgs,
    settings: Settings,
    joined: impl FnOnce(SocketAddr, usize) -> Result<T, Failure>,
) -> Result<(), Failure> {
    let settled = match &args.config {
        Some(file) => settings.settle_file(file)?,
        None => settings.settle_with(None)?,
    };
    let (mut engine, table) = (settled.engine, settled.server);
    let cores = engine.cores;
    let door = door(args, &table, &engine)?;
    engine.reach = Reach::Only(places(&door, &table, &engine));
    if let Some(lease) = table.lease_seconds {
        engine.state_lease = Duration::from_secs(lease.get());
    }
    let jobs_at_once = table.jobs_at_once.unwrap_or(JOBS_AT_ONCE);
    let index = table.index.clone().unwrap_or_else(|| PathBuf::from(INDEX));
    // Before anything is opened that others may have: a second server ends here.
    let door = Door::open(door).await?;
    let cluster = match args.cluster_listen.or(table.cluster_listen) {
        Some(bind) => {
            let token = match &table.cluster_token {
                Some(token) => Some(volley_cluster::Token::new(secret("cluster_token", token, &engine)?)?),
                None => executor::token(None)?,
            };
            let settings =
                ClusterSettings { bind, token, job_splits_max: table.job_splits_max, ..ClusterSettings::default() };
            Some(Arc::new(Cluster::start(settings).await?))
        }
        None => None,
    };
    let gateway = Gateway::open(GatewaySettings { engine, jobs_at_once, index, cluster: cluster.clone() }).await?;
    for line in gateway.recovered() {
        tell(line);
    }
    let _joined = match &cluster {
        Some(cluster) => {
            tell(&format!("executors come to {}", cluster.address()));
            Some(joined(cluster.address(), cores)?)
        }
        None => None,
    };
    tell(&format!("volley listens on {}", door.url()));
    let (stopping, late) = (gateway.clone(), gateway.clone());
    tokio::spawn(async move { late.recovered_later().await.iter().for_each(|line| tell(line)) });
    let mut replaced = None;
    let until = async {
        tokio::select! {
            () = stopped() => tell("stopping: what is under way goes on when the server is there again"),
            by = stopping.replaced() => {
                tell("stopping: another server has taken over the state");
                replaced = Some(by);
            }
        }
        // What cannot stop in time is gone on with by the next server all the same.
        let _ = tokio::time::timeout(FINISH_TIME_MAX, stopping.stop()).await;
    };
    door.serve(gateway, until).await?;
    match replaced {
        Some(by) => Err(by.into()),
        None => Ok(()),
    }
}

fn tell(line: &str) {
    // A log that cannot be written is no reason not to serve.
    let _ = writeln!(io::stderr(), "{line}");
}

fn door(args: &ServerArgs, table: &ServerTable, engine: &EngineSettings) -> Result<DoorSettings, Failure> {
    let default = || LISTEN.parse().expect("the constant is an address");
    let listen: SocketAddr = args.listen.or(table.listen).unwrap_or_else(default);
    let token = match &table.token {
        Some(token) => Some(read_token(token, engine)?),
        None => None,
    };
    let tls = match (&table.tls_certificate, &table.tls_key) {
        (Some(certificate), Some(key)) => Some(Tls { certificate: certificate.clone(), key: key.clone() }),
        (None, None) => None,
        _ => {
            return Err(Failure::new("invalid_setting", "`tls_certificate` and `tls_key` of [server] go together"));
        }
    };
    Ok(DoorSettings { listen, token, tls, insecure: args.insecure })
}

fn read_token(token: &SecretRef, engine: &EngineSettings) -> Result<Token, Failure> {
    let empty = || Failure::new("invalid_setting", "`token` of [server] cannot be used: it is empty");
    Token::new(&secret("token", token, engine)?).ok_or_else(empty)
}

/// The text of a secret that a setting names.
fn secret(setting: &str, secret: &SecretRef, engine: &EngineSettings) -> Result<String, Failure> {
    secret
        .text(&engine.environment)
        .map_err(|reason| Failure::new("invalid_setting", format!("`{setting}` of [server] cannot be used: {reason}")))
}

/// What statements reach: what the connections lead to; and the working folder, where only this machine asks and
/// nobody has to prove who they are.
fn places(door: &DoorSettings, table: &ServerTable, engine: &EngineSettings) -> Places {
    let is_open = door.token.is_none() && door.is_local();
    let file = |secret: &SecretRef| match secret {
        SecretRef::File(file) => Some(file.clone()),
        SecretRef::Env(_) => None,
    };
    let registry = engine.registry.as_deref().unwrap_or(EngineSettings::REGISTRY);
    let of_models = Some(PathBuf::from(registry)).filter(|_| !is_url(registry));
    let fetched = Some(engine.model_folder.clone());
    let of_users = table.token.as_ref().and_then(file);
    let of_cluster = table.cluster_token.as_ref().and_then(file);
    let own = [engine.state_folder(), of_models, fetched, table.tls_key.clone(), of_users, of_cluster];
    let urls = [engine.state.as_str(), registry].into_iter().filter(|place| is_url(place));
    let of_connections = engine.connections.values().flat_map(Connection::secrets).filter_map(file);
    Places {
        folders: if is_open { vec![engine.base.clone()] } else { vec![] },
        closed: own.into_iter().flatten().chain(of_connections).map(|path| engine.base.join(path)).collect(),
        connections: engine.connections.values().map(|connection| connection.url.clone()).collect(),
        closed_urls: urls.map(str::to_owned).collect(),
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        Self::of_server(error.problems)
    }
}

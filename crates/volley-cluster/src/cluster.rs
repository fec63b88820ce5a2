//! The server's side of a cluster: Ballista's scheduler behind our gate, and what is known of executors.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router, middleware};
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::metrics::default_metrics_collector;
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tonic::service::RoutesBuilder;
use volley_engine::Driver;

use crate::driver::{ClusterDriver, Scheduler};
use crate::error::ClusterError;
use crate::executors::{ExecutorStatus, Executors, Unmet};
use crate::gate::{self, PULSE, Refusal, Token};
use crate::launcher::Launcher;
use crate::pulse::{Answer, Pulse};
use crate::queries::{Names, Queries};
use crate::settings::{ClusterSettings, Timers, check_ports};
use crate::task::TaskCodec;

/// Executors and what they run. Ends when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    address: SocketAddr,
    executors: Arc<Executors>,
    driver: Arc<ClusterDriver>,
    /// The port, and the one that buries executors.
    _tasks: JoinSet<()>,
}

impl Cluster {
    /// Listens for executors. Errors: `address_unusable`, `token_required`, `cluster_failed`.
    pub async fn start(settings: ClusterSettings) -> Result<Self, ClusterError> {
        let ClusterSettings { bind, token, job_splits_max, timers } = settings;
        check_ports(token.as_ref(), [bind])?;
        let unusable = |source| ClusterError::Listen { address: bind, source };
        let listener = listen(bind).map_err(unusable)?;
        let address = listener.local_addr().map_err(unusable)?;
        let queries = Arc::new(Queries::default());
        let executors = Arc::new(Executors::new(queries.clone(), timers));
        let launcher = Launcher::new(queries.clone(), address.to_string());
        let scheduler = scheduler(address, timers, launcher).await?;
        let mut tasks = JoinSet::new();
        let router = router(scheduler.clone(), executors.clone(), token);
        tasks.spawn(async move {
            let router = router.into_make_service_with_connect_info::<SocketAddr>();
            // It serves until it is dropped.
            let _ = axum::serve(listener, router).await;
        });
        let buried = executors.clone();
        tasks.spawn(async move {
            let mut look = tokio::time::interval(timers.pulse);
            loop {
                look.tick().await;
                buried.bury();
            }
        });
        let driver = Arc::new(ClusterDriver {
            scheduler,
            session: Arc::new(SessionContext::new_with_config(SessionConfig::new_with_ballista())),
            queries,
            executors: executors.clone(),
            timers,
            job_splits_max: job_splits_max.map_or(usize::MAX, NonZeroUsize::get),
            lane: Mutex::new(()),
            jobs: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
        });
        Ok(Self { address, executors, driver, _tasks: tasks })
    }

    /// Runs the splits of an engine's jobs here.
    pub fn driver(&self) -> Arc<dyn Driver> {
        self.driver.clone()
    }

    /// Where executors come to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The executors that there are.
    pub fn executors(&self) -> Vec<ExecutorStatus> {
        self.executors.list()
    }

    /// How often a split was given to executors, since this cluster was started.
    pub fn splits_begun(&self) -> u64 {
        self.driver.begun.load(Ordering::Relaxed)
    }

    /// How many splits run at a time when there is work.
    pub fn capacity(&self) -> usize {
        *self.executors.capacity().borrow()
    }

    /// Ends when so many splits can run at a time.
    pub async fn has_capacity(&self, splits: usize) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self.executors.capacity().wait_for(|capacity| *capacity >= splits).await;
    }

    /// Asks an executor to end its splits and leave. Errors: `unknown_executor`.
    pub fn drain(&self, executor: &str) -> Result<ExecutorStatus, ClusterError> {
        let unknown = || ClusterError::UnknownExecutor(executor.to_owned());
        let id = executor.parse().map_err(|_| unknown())?;
        self.executors.drain(id).ok_or_else(unknown)
    }
}

/// A listener whose connections send small messages at once.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // Inherited by what is accepted.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    socket.listen(1024)
}

async fn scheduler(address: SocketAddr, timers: Timers, launcher: Launcher) -> Result<Scheduler, ClusterError> {
    let config = SchedulerConfig {
        external_host: address.ip().to_string(),
        bind_host: address.ip().to_string(),
        bind_port: address.port(),
        scheduling_policy: TaskSchedulingPolicy::PushStaged,
        executor_timeout_seconds: seconds(timers.dead_after),
        // One that leaves goes on to send heartbeats until it has left.
        executor_termination_grace_period: seconds(timers.dead_after),
        expire_dead_executor_interval_seconds: seconds(timers.dead_after / 6),
        // Jobs wait for executors, however long.
        no_executors_grace_period_seconds: 10 * 365 * 24 * 3600,
        // A query leaves no data, and whoever waited for it has heard its end.
        finished_job_data_clean_up_interval_seconds: 0,
        finished_job_state_clean_up_interval_seconds: 30,
        // What is tried again, and when, is not left to Ballista.
        task_max_failures: 1,
        job_id_generator: Some(Arc::new(Names)),
        ..SchedulerConfig::default()
    };
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let codec = BallistaCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), Arc::new(TaskCodec::default()));
    let metrics = default_metrics_collector()?;
    let (endpoint, config) = (address.to_string(), Arc::new(config));
    let launcher = Arc::new(launcher);
    let mut scheduler = SchedulerServer::new_with_task_launcher(endpoint, cluster, codec, config, metrics, launcher);
    scheduler.init().await?;
    Ok(scheduler)
}

/// Ballista counts in whole seconds.
fn seconds(time: std::time::Duration) -> u64 {
    time.as_secs().max(1)
}

fn router(scheduler: Scheduler, executors: Arc<Executors>, token: Option<Token>) -> Router {
    let mut services = RoutesBuilder::default();
    services.add_service(SchedulerGrpcServer::new(scheduler));
    let ballista = services.routes().into_axum_router();
    let gate = middleware::from_fn_with_state(Arc::new(token), gate::check);
    ballista.route(PULSE, post(hear).with_state(executors)).layer(gate)
}

async fn hear(
    State(executors): State<Arc<Executors>>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Json(pulse): Json<Pulse>,
) -> Result<Json<Answer>, Response> {
    match executors.meet(pulse, from.ip()).await {
        Ok(answer) => Ok(Json(answer)),
        Err(Unmet::Refused(refused)) => Err((StatusCode::CONFLICT, Json(Refusal::of(&refused))).into_response()),
        Err(Unmet::Later) => Err(StatusCode::SERVICE_UNAVAILABLE.into_response()),
    }
}

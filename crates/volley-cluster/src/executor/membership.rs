//! An executor as Ballista knows it: registered, with a port for tasks, until one of the two gives up.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ballista_core::error::BallistaError;
use ballista_core::extension::SessionConfigExt;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::protobuf::executor_status::Status;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{ExecutorStatus, ExecutorStoppedParams, HeartBeatParams};
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec};
use ballista_executor::execution_engine::ExecutionEngine;
use ballista_executor::executor::Executor as BallistaExecutor;
use ballista_executor::executor_process::{ExecutorProcessConfig, structure_executor_metadata};
use ballista_executor::executor_server::{TERMINATING, startup};
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::LoggingMetricsCollector;
use ballista_executor::shutdown::ShutdownNotifier;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionConfig;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};

use crate::gate::client_name;
use crate::settings::ExecutorSettings;
use crate::task::TaskCodec;

/// How long a call of the server may take.
const CALL_MAX: Duration = Duration::from_secs(20);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A registration with the scheduler.
pub(super) struct Membership {
    executor: Arc<BallistaExecutor>,
    scheduler: SchedulerGrpcClient<Channel>,
    port: JoinHandle<Result<(), BallistaError>>,
    /// The scheduler tells us to end: it took us for dead.
    told_to_end: mpsc::Receiver<bool>,
    shutdown: ShutdownNotifier,
}

impl Membership {
    /// Registers under `id`.
    pub(super) async fn begin(
        settings: &ExecutorSettings,
        id: String,
        engine: Arc<dyn ExecutionEngine>,
    ) -> Result<Self, Error> {
        TERMINATING.store(false, Ordering::Release);
        let (server, name) = (settings.server.clone(), client_name(settings.token.as_ref()));
        let channel = endpoint(&server, &name)?.connect().await?;
        let scheduler = SchedulerGrpcClient::new(channel);
        let options = Arc::new(ExecutorProcessConfig {
            executor_id: id,
            bind_host: match settings.bind {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            },
            external_host: settings.advertise.clone(),
            port: 0,
            grpc_port: port(settings)?,
            vcores: settings.vcores.get(),
            executor_heartbeat_interval_seconds: settings.timers.heartbeat.as_secs().max(1),
            // Whatever address the scheduler gives: the server is where we were told.
            override_create_grpc_client_endpoint: Some(Arc::new(move |_: Endpoint| endpoint(&server, &name))),
            ..ExecutorProcessConfig::default()
        });
        let runtime = Arc::new(RuntimeEnv::default());
        let metadata = structure_executor_metadata(&options, settings.vcores.get() as u32);
        let folder = std::env::temp_dir().display().to_string();
        let executor = Arc::new(BallistaExecutor::new(
            metadata,
            &folder,
            Arc::new(move |_: &SessionConfig| Ok(runtime.clone())),
            Arc::new(SessionConfig::new_with_ballista),
            Arc::new(BallistaFunctionRegistry::default()),
            Arc::new(LoggingMetricsCollector::default()),
            settings.vcores.get(),
            engine,
        ));
        let codec = BallistaCodec::<LogicalPlanNode, PhysicalPlanNode>::new(
            Arc::new(BallistaLogicalExtensionCodec::default()),
            Arc::new(TaskCodec::default()),
        );
        let (tell_to_end, told_to_end) = mpsc::channel(10);
        let shutdown = ShutdownNotifier::new();
        let health = ExecutorHealth::new();
        let port = startup(scheduler.clone(), options, executor.clone(), codec, tell_to_end, &shutdown, health).await?;
        Ok(Self { executor, scheduler, port, told_to_end, shutdown })
    }

    /// Ends when the scheduler cannot be reached any more, or has given us up.
    pub(super) async fn broken(&mut self) {
        tokio::select! {
            _ = &mut self.port => {}
            _ = self.told_to_end.recv() => {}
        }
    }

    /// Says that no more splits are taken.
    pub(super) async fn close(&mut self) {
        TERMINATING.store(true, Ordering::Release);
        let status = ExecutorStatus { status: Some(Status::Terminating(String::new())) };
        let heartbeat = HeartBeatParams {
            executor_id: self.executor.metadata.id.clone(),
            metrics: vec![],
            status: Some(status),
            metadata: Some(self.executor.metadata.clone()),
        };
        // One that is not heard is followed by others, which say the same.
        let _ = self.scheduler.heart_beat_from_executor(heartbeat).await;
    }

    /// Whether Ballista has a task here.
    pub(super) fn is_busy(&self) -> bool {
        self.executor.active_task_count() > 0
    }

    /// Takes leave of the scheduler.
    pub(super) async fn leave(mut self) {
        let executor_id = self.executor.metadata.id.clone();
        let stopped = ExecutorStoppedParams { executor_id, reason: "it was asked to leave".to_owned() };
        // It is missed soon where this is not heard.
        let _ = self.scheduler.executor_stopped(stopped).await;
        self.end();
    }

    /// Ends everything that works for this registration. What still runs is stopped.
    pub(super) fn end(self) {
        let _ = self.shutdown.notify_shutdown.send(());
        self.port.abort();
    }
}

fn endpoint(server: &str, name: &str) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::from_shared(format!("http://{server}"))?;
    let endpoint = endpoint.user_agent(name.to_owned())?.connect_timeout(CALL_MAX).timeout(CALL_MAX).tcp_nodelay(true);
    Ok(endpoint.http2_keep_alive_interval(CALL_MAX).keep_alive_timeout(CALL_MAX).keep_alive_while_idle(true))
}

/// The port for tasks. Ballista has to be told it before it listens: one that somebody else takes first is found out
/// then, and another is tried.
fn port(settings: &ExecutorSettings) -> std::io::Result<u16> {
    match settings.port {
        0 => Ok(std::net::TcpListener::bind(SocketAddr::new(settings.bind, 0))?.local_addr()?.port()),
        port => Ok(port),
    }
}

//! The HTTP door of a gateway: where it listens, with what certificate, and when it refuses to.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};

use crate::error::ServerError;
use crate::gateway::Gateway;
use crate::http::{Access, routes};
use crate::token::Token;

/// How long answers that are under way may take once the server stops.
const ANSWERS_MAX: Duration = Duration::from_secs(5);

/// What a door is told by whoever opens it.
#[derive(Debug, Clone)]
pub struct DoorSettings {
    /// Where it listens; port 0 is any that is free.
    pub listen: SocketAddr,
    /// What users prove themselves with.
    pub token: Option<Token>,
    /// What the door proves itself with.
    pub tls: Option<Tls>,
    /// Listens beyond this machine without one of both.
    pub insecure: bool,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    /// The certificate, and those that lead to a known one.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A door that listens, and answers once it is served.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<RustlsConfig>,
    access: Access,
}

impl DoorSettings {
    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        self.listen.ip().is_loopback()
    }
}

impl Door {
    /// Listens. Errors: `insecure_listen`, `invalid_setting`, `address_unavailable`.
    pub async fn open(settings: DoorSettings) -> Result<Self, ServerError> {
        refuse_insecure(&settings)?;
        let tls = match &settings.tls {
            Some(tls) => Some(tls.config().await?),
            None => None,
        };
        let unavailable = |error: std::io::Error| {
            let message = format!("{} cannot be listened on: {error}", settings.listen);
            ServerError::new("address_unavailable", message)
        };
        let listener = TcpListener::bind(settings.listen).map_err(unavailable)?;
        listener.set_nonblocking(true).map_err(unavailable)?;
        let address = listener.local_addr().map_err(unavailable)?;
        let only_local_names = settings.token.is_none() && settings.is_local();
        Ok(Self { listener, address, tls, access: Access { token: settings.token, only_local_names } })
    }

    /// Where it is reached: `https://127.0.0.1:8080`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Answers until `stopped`, and what is under way then for a moment more.
    ///
    /// Error: `address_unavailable`.
    pub async fn serve(self, gateway: Gateway, stopped: impl Future<Output = ()>) -> Result<(), ServerError> {
        let lost = |error: std::io::Error| {
            ServerError::new("address_unavailable", format!("{} is lost: {error}", self.address))
        };
        let service = routes(gateway, self.access).into_make_service();
        let handle = axum_server::Handle::new();
        let server = axum_server::from_tcp(self.listener).map_err(lost)?.handle(handle.clone());
        let served = async {
            match self.tls {
                Some(tls) => {
                    let acceptor = RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor::new());
                    server.acceptor(acceptor).serve(service).await
                }
                None => server.acceptor(NoDelayAcceptor::new()).serve(service).await,
            }
        };
        let mut served = std::pin::pin!(served);
        tokio::select! {
            ended = &mut served => return ended.map_err(lost),
            () = stopped => handle.graceful_shutdown(Some(ANSWERS_MAX)),
        }
        served.await.map_err(lost)
    }
}

impl Tls {
    async fn config(&self) -> Result<RustlsConfig, ServerError> {
        let Self { certificate, key } = self;
        RustlsConfig::from_pem_file(certificate, key).await.map_err(|error| {
            let (certificate, key) = (certificate.display(), key.display());
            let message = format!("certificate '{certificate}' and key '{key}' cannot be used: {error}");
            ServerError::new("invalid_setting", message)
        })
    }
}

fn refuse_insecure(settings: &DoorSettings) -> Result<(), ServerError> {
    let missing = match (&settings.token, &settings.tls) {
        (Some(_), Some(_)) => return Ok(()),
        (None, Some(_)) => "a token",
        (Some(_), None) => "a certificate",
        (None, None) => "a token and a certificate",
    };
    if settings.is_local() || settings.insecure {
        return Ok(());
    }
    let message = format!(
        "{} is reached from other machines, and {missing} is missing: set `token`, `tls_certificate` and `tls_key` in [server] of volley.toml, or say --insecure",
        settings.listen
    );
    Err(ServerError::new("insecure_listen", message))
}

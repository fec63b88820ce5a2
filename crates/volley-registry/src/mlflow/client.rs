//! Calls of an MLflow server: who asks, how often, and how much of an answer is taken.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Identity, Method, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::answers;
use super::fault::{Asked, MlflowFault, Refusal};
use super::settings::{Credentials, MlflowSettings};
use crate::reference::is_here;

/// A server that does not answer a connection by then is not there.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The pause before the first repetition; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// What a server may ask for at most.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A page of 1,000 versions with their tags.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// Of an error, what is read.
const ERROR_BYTES_MAX: u64 = 64 << 10;

/// The API of the REST calls, below the server's URL.
const API: &str = "api/2.0/mlflow/";
/// The proxy of artifacts.
const FILES: &str = "api/2.0/mlflow-artifacts/artifacts";

/// Which of the two servers of the settings is asked; mostly they are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Registered models.
    Registry,
    /// Runs, logged models, artifacts.
    Tracking,
}

/// Asks an MLflow server.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    settings: MlflowSettings,
    headers: HeaderMap,
}

/// A call, as it is made again if it must be.
#[derive(Debug)]
struct Call<'a> {
    method: Method,
    url: Url,
    body: Option<&'a Value>,
    what: &'a str,
    /// How long the whole of it may take. Without, how long nothing may come.
    timeout: Option<Duration>,
    /// Whether it may be made again although it may have been carried out.
    repeatable: bool,
}

/// A call that was not answered as it should be.
#[derive(Debug)]
struct Failed {
    fault: MlflowFault,
    /// What the server asks for before the next.
    wait: Option<Duration>,
    again: Again,
}

/// Whether a call is made again.
#[derive(Debug, Clone, Copy)]
enum Again {
    Always,
    WhereRepeatable,
    Never,
}

impl Client {
    /// Reads the certificates that the settings name. Error: `mlflow_settings`.
    pub(super) fn new(settings: MlflowSettings) -> Result<Self, MlflowFault> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .read_timeout(settings.timeout)
            .tcp_nodelay(true)
            // Credentials go to the server that was named, and to no other.
            .redirect(reqwest::redirect::Policy::none());
        if is_here(&settings.tracking) && is_here(&settings.registry) {
            builder = builder.no_proxy();
        }
        let read = |file: &Path, name: &str| {
            std::fs::read(file).map_err(|error| refused(format!("the file of {name} cannot be read ({error})")))
        };
        if let Some(file) = &settings.server_certificates {
            let name = "MLFLOW_TRACKING_SERVER_CERT_PATH";
            let pem = read(file, name)?;
            let found = Certificate::from_pem_bundle(&pem).ok().filter(|found| !found.is_empty());
            let found =
                found.ok_or_else(|| refused(format!("the file of {name} holds no certificates in PEM form")))?;
            builder = found.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        if let Some(file) = &settings.client_certificate {
            let name = "MLFLOW_TRACKING_CLIENT_CERT_PATH";
            let pem = read(file, name)?;
            let wrong = |_| refused(format!("the file of {name} holds no certificate with its key in PEM form"));
            builder = builder.identity(Identity::from_pem(&pem).map_err(wrong)?);
        }
        if settings.insecure_tls {
            builder = builder.danger_accept_invalid_certs(true);
        }
        let headers = headers(&settings)?;
        let http = builder.build().map_err(|error| refused(format!("no client can be made: {error}")))?;
        Ok(Client { http, settings, headers })
    }

    /// The URL of one of the servers, as people write it.
    pub(super) fn url(&self, side: Side) -> &str {
        self.base(side).as_str().trim_end_matches('/')
    }

    /// Where runs, logged models and artifacts are asked for.
    pub(super) fn tracking(&self) -> &Url {
        self.base(Side::Tracking)
    }

    pub(super) fn workspace(&self) -> Option<&str> {
        self.settings.workspace.as_deref()
    }

    /// Calls `GET api/2.0/mlflow/PATH`. `what` is what is asked for, in the user's words.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        side: Side,
        path: &str,
        query: &[(&str, &str)],
        what: &str,
    ) -> Result<T, MlflowFault> {
        let mut url = joined(self.base(side), &format!("{API}{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.json(self.call(Method::GET, url, None, what)).await
    }

    /// Calls another method, which does no more when it is done twice.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        side: Side,
        method: Method,
        path: &str,
        body: &Value,
        what: &str,
    ) -> Result<T, MlflowFault> {
        let url = joined(self.base(side), &format!("{API}{path}"));
        self.json(self.call(method, url, Some(body), what)).await
    }

    /// The same for what makes another thing each time: it is made again only if it was surely not carried out.
    pub(super) async fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
        what: &str,
    ) -> Result<T, MlflowFault> {
        let url = joined(self.base(Side::Tracking), &format!("{API}{path}"));
        let call = self.call(Method::POST, url, Some(body), what);
        self.json(Call { repeatable: false, ..call }).await
    }

    /// What the proxy of artifacts lists directly below a folder.
    pub(super) async fn list<T: DeserializeOwned>(&self, folder: &str, what: &str) -> Result<T, MlflowFault> {
        let mut url = joined(self.base(Side::Tracking), FILES);
        url.query_pairs_mut().append_pair("path", folder);
        self.json(self.call(Method::GET, url, None, what)).await
    }

    /// A file of the proxy of artifacts, of at most `bytes_max` bytes; one byte more if it has more.
    pub(super) async fn file(&self, path: &str, bytes_max: u64, what: &str) -> Result<Bytes, MlflowFault> {
        let mut url = joined(self.base(Side::Tracking), FILES);
        // Encoded part by part: a `/` in a name would be another path.
        url.path_segments_mut().expect("a server's URL has a path").extend(path.split('/'));
        let call = Call { timeout: None, ..self.call(Method::GET, url, None, what) };
        self.answered(&call, bytes_max.saturating_add(1)).await
    }

    /// A call as it was recorded.
    #[cfg(test)]
    pub(super) async fn replayed(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Bytes, MlflowFault> {
        let method = method.parse().expect("a method of HTTP");
        let url = joined(self.base(Side::Tracking), path.trim_start_matches('/'));
        self.answered(&self.call(method, url, body, "what was recorded"), ANSWER_BYTES_MAX).await
    }

    async fn json<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, MlflowFault> {
        let text = self.answered(&call, ANSWER_BYTES_MAX).await?;
        answers::read(&text).ok_or_else(|| MlflowFault::NotMlflow {
            url: call.url.to_string(),
            reason: "its answer is not the JSON of MLflow".to_owned(),
        })
    }

    /// The body of a success, cut off after `bytes_max`. What may be answered a moment later is asked again.
    async fn answered(&self, call: &Call<'_>, bytes_max: u64) -> Result<Bytes, MlflowFault> {
        let mut attempt = 0;
        loop {
            let failed = match self.attempt(call, bytes_max).await {
                Ok(body) => return Ok(body),
                Err(failed) => failed,
            };
            let may_repeat = match failed.again {
                Again::Always => true,
                Again::WhereRepeatable => call.repeatable && failed.fault.is_transient(),
                Again::Never => false,
            };
            if !may_repeat || attempt == self.settings.retries_max {
                return Err(failed.fault);
            }
            let pause = failed.wait.unwrap_or(FIRST_PAUSE * 2u32.pow(attempt)).min(PAUSE_MAX);
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, call: &Call<'_>, bytes_max: u64) -> Result<Bytes, Failed> {
        let request = self.http.request(call.method.clone(), call.url.clone()).headers(self.headers.clone());
        let mut request = match &self.settings.credentials {
            Credentials::None => request,
            Credentials::Basic { user, password } => request.basic_auth(user, Some(password)),
            Credentials::Bearer(token) => request.bearer_auth(token),
        };
        if let Some(timeout) = call.timeout {
            request = request.timeout(timeout);
        }
        if let Some(body) = call.body {
            request = request.json(body);
        }
        let server = self.server_of(&call.url);
        let lost = |error: reqwest::Error| Failed {
            fault: MlflowFault::Unavailable { server: server.to_owned(), reason: told(&error) },
            wait: None,
            again: match &error {
                // Nothing was carried out.
                error if error.is_connect() => Again::Always,
                // As long again, for the same: a server that hangs is told after one time.
                error if error.is_timeout() => Again::Never,
                _ => Again::WhereRepeatable,
            },
        };
        let response = request.send().await.map_err(lost)?;
        if response.status() == StatusCode::OK || response.status() == StatusCode::CREATED {
            return body(response, bytes_max).await.map_err(lost);
        }
        let wait = retry_after(&response);
        let status = response.status().as_u16();
        let elsewhere = response.headers().get(LOCATION).and_then(|url| url.to_str().ok());
        let elsewhere = elsewhere.map(|url| format!("it leads to {url}"));
        let text = body(response, ERROR_BYTES_MAX).await.unwrap_or_default();
        let text = elsewhere.unwrap_or_else(|| String::from_utf8_lossy(&text).into_owned());
        let refusal = Refusal::new(status, &text);
        let host = &call.url[url::Position::BeforeHost..url::Position::AfterPort];
        let asked = Asked {
            server,
            host,
            url: &call.url[..url::Position::AfterPath],
            what: call.what,
            sent: self.settings.credentials.kind(),
            workspace: self.workspace(),
        };
        Err(Failed { fault: refusal.fault(&asked), wait, again: Again::WhereRepeatable })
    }

    fn call<'a>(&self, method: Method, url: Url, body: Option<&'a Value>, what: &'a str) -> Call<'a> {
        Call { method, url, body, what, timeout: Some(self.settings.timeout), repeatable: true }
    }

    fn base(&self, side: Side) -> &Url {
        match side {
            Side::Registry => &self.settings.registry,
            Side::Tracking => &self.settings.tracking,
        }
    }

    fn server_of(&self, url: &Url) -> &str {
        let of_registry = url.as_str().starts_with(self.settings.registry.as_str());
        self.url(if of_registry { Side::Registry } else { Side::Tracking })
    }
}

/// Below whatever path the server has.
fn joined(base: &Url, path: &str) -> Url {
    base.join(path).expect("a path of ours joins any server's URL")
}

/// The workspace, on every call, those for artifacts too. Whether a header can hold the token is seen here, and not taken
/// for a server that does not answer.
fn headers(settings: &MlflowSettings) -> Result<HeaderMap, MlflowFault> {
    let mut headers = HeaderMap::new();
    if let Some(workspace) = &settings.workspace {
        let value = HeaderValue::from_str(workspace);
        let value = value.map_err(|_| refused("MLFLOW_WORKSPACE holds what no HTTP header may".to_owned()))?;
        headers.insert("x-mlflow-workspace", value);
    }
    if let Credentials::Bearer(token) = &settings.credentials {
        let value = HeaderValue::from_bytes(token.as_bytes());
        value.map_err(|_| refused("MLFLOW_TRACKING_TOKEN holds what no HTTP header may".to_owned()))?;
    }
    Ok(headers)
}

/// At most `bytes_max` bytes of an answer.
async fn body(mut response: Response, bytes_max: u64) -> Result<Bytes, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        let room = usize::try_from(bytes_max).unwrap_or(usize::MAX) - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() as u64 == bytes_max {
            break;
        }
    }
    Ok(body.freeze())
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The innermost cause, which says what happened; the outer ones repeat the URL.
fn told(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let cause = crate::error::one_line(&cause.to_string());
    match error {
        _ if error.is_connect() => format!("no connection ({cause})"),
        _ if error.is_timeout() => "it takes longer than MLFLOW_HTTP_REQUEST_TIMEOUT".to_owned(),
        _ => cause,
    }
}

fn refused(reason: String) -> MlflowFault {
    MlflowFault::Settings { reason }
}

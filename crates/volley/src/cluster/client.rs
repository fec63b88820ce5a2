//! A server, as its clients reach it.

use std::time::Duration;

use reqwest::{Method, Response};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use volley_registry::is_here;
use volley_server::Problem;

use crate::report::Failure;
use crate::settings::Settled;

/// A server that does not answer a connection by then is not there.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// A server and what it asks for.
pub struct Client {
    http: reqwest::Client,
    url: Url,
    token: Option<String>,
}

/// What a server says of an error.
#[derive(Debug, Deserialize)]
struct Details {
    problems: Vec<Problem>,
}

impl Client {
    /// The server at a URL. Errors: `usage`, `invalid_setting`.
    pub fn new(url: &str, settled: &Settled) -> Result<Self, Failure> {
        let wrong = || {
            Failure::new(
                "usage",
                format!("--cluster is the URL of a server, such as http://127.0.0.1:8080, not `{url}`"),
            )
        };
        let url = Url::parse(&format!("{}/", url.trim_end_matches('/'))).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !url.username().is_empty() {
            return Err(wrong());
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            // A token goes to the server that was named, and to no other.
            .redirect(reqwest::redirect::Policy::none());
        if is_here(&url) {
            builder = builder.no_proxy();
        }
        if let Some(file) = &settled.cluster.ca {
            let pem = std::fs::read(file).map_err(|error| Failure::unreadable(file, &error))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| no_certificates(file))?;
            if certificates.is_empty() {
                return Err(no_certificates(file));
            }
            builder = certificates.into_iter().fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        let token = settled.cluster.token.as_ref().map(|token| token.text(&settled.engine.environment)).transpose();
        let token =
            token.map_err(|reason| Failure::new("invalid_setting", format!("`token` of [cluster]: {reason}")))?;
        let http = builder.build();
        let http = http.map_err(|error| Failure::new("invalid_setting", format!("no client can be made: {error}")))?;
        Ok(Self { http, url, token })
    }

    /// The URL, as it is written on a command line.
    pub fn url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// What lies at a path.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(self.send(Method::GET, path, None, None).await?).await
    }

    /// Asks for something to be done.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(self.answer(path, body).await?).await
    }

    /// The same, where the answer is more than an object.
    pub async fn answer(&self, path: &str, body: &Value) -> Result<Response, Failure> {
        self.send(Method::POST, path, Some(body), None).await
    }

    /// The events at a path, from after one on.
    pub async fn events(&self, path: &str, after: Option<&str>) -> Result<Response, Failure> {
        self.send(Method::GET, path, None, after).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        after: Option<&str>,
    ) -> Result<Response, Failure> {
        let url = self.url.join(path).map_err(|_| Failure::new("usage", format!("`{path}` is no path of a server")))?;
        let mut request = self.http.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        match response.status().is_success() {
            true => Ok(response),
            false => Err(self.refused(response).await),
        }
    }

    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        match response.json::<Details>().await {
            Ok(Details { problems }) if !problems.is_empty() => Failure::of_server(problems),
            _ => Failure::new(
                "server_unreachable",
                format!("{} is no server of Volley: it answers {status}", self.url()),
            ),
        }
    }

    async fn json(&self, response: Response) -> Result<Value, Failure> {
        response.json().await.map_err(|error| self.unreachable(&error))
    }

    /// What is told of a server that does not answer. Its URL is told once.
    pub fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut reason: &dyn std::error::Error = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        Failure::new("server_unreachable", format!("the server at {} does not answer: {reason}", self.url()))
    }
}

fn no_certificates(file: &std::path::Path) -> Failure {
    Failure::new("invalid_setting", format!("`{}` holds no certificates (PEM)", file.display()))
}

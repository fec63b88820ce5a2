//! What MLflow's own variables say of a server: its clients in Python read the same ones.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::fault::MlflowFault;

/// What is called when neither a user and password nor a token are set in the environment.
const CREDENTIALS_FILE: &str = ".mlflow/credentials";
/// MLflow's own default.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Enough for a server that is replaced; seven, as MLflow does it with doubled pauses, is four minutes.
const RETRIES: u32 = 3;
const RETRIES_MAX: u32 = 10;

/// How an MLflow server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MlflowSettings {
    /// Runs, logged models and artifacts are asked for here.
    pub tracking: Url,
    /// Registered models are asked for here.
    pub registry: Url,
    /// Who asks.
    pub credentials: Credentials,
    /// The workspace, on a server that has them.
    pub workspace: Option<String>,
    /// Certificates in PEM form that the server's may be signed by.
    pub server_certificates: Option<PathBuf>,
    /// A certificate with its key in PEM form, which the server asks for.
    pub client_certificate: Option<PathBuf>,
    /// Whether a certificate that nobody signed will do.
    pub insecure_tls: bool,
    /// How long a call may take; for a download, how long nothing may come.
    pub timeout: Duration,
    /// How often a call is tried again.
    pub retries_max: u32,
}

/// Who asks a server. A user with a password counts before a token, as in MLflow.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody.
    None,
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// `Authorization: Bearer`.
    Bearer(String),
}

impl Credentials {
    /// For messages: what was sent, without what it held.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Credentials::None => "none",
            Credentials::Basic { .. } => "a user and a password",
            Credentials::Bearer(_) => "a token",
        }
    }
}

/// Without the credentials.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.kind())
    }
}

impl MlflowSettings {
    /// What the variables say; None if they name no server. `registry` is a URL of the settings, which goes before
    /// that of the variables.
    ///
    /// Error: `mlflow_settings`.
    pub fn of_variables<'a>(
        variable: impl Fn(&str) -> Option<&'a str>,
        registry: Option<&str>,
    ) -> Result<Option<Self>, MlflowFault> {
        let set = |name: &str| variable(name).map(str::trim).filter(|value| !value.is_empty());
        let named = registry.map(|url| ("the setting `registry`", url));
        let of_models = set("MLFLOW_REGISTRY_URI").map(|url| ("MLFLOW_REGISTRY_URI", url));
        let tracking = set("MLFLOW_TRACKING_URI").map(|url| ("MLFLOW_TRACKING_URI", url)).or(named).or(of_models);
        let Some(tracking) = tracking else { return Ok(None) };
        let registry = named.or(of_models).unwrap_or(tracking);
        for name in ["MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_AWS_SIGV4"] {
            if set(name).is_some_and(|value| !value.eq_ignore_ascii_case("false")) {
                return Err(refused(name, "is a way to authenticate that is not built: set a user and a password"));
            }
        }
        let certificates = set("MLFLOW_TRACKING_SERVER_CERT_PATH").map(PathBuf::from);
        let insecure_tls = is_true(set("MLFLOW_TRACKING_INSECURE_TLS"));
        if insecure_tls && certificates.is_some() {
            let said = "and MLFLOW_TRACKING_INSECURE_TLS contradict each other: unset one of them";
            return Err(refused("MLFLOW_TRACKING_SERVER_CERT_PATH", said));
        }
        let (tracking, registry) = (url(tracking)?, url(registry)?);
        Ok(Some(MlflowSettings {
            credentials: credentials(&set)?,
            workspace: set("MLFLOW_WORKSPACE").map(str::to_owned),
            server_certificates: certificates,
            client_certificate: set("MLFLOW_TRACKING_CLIENT_CERT_PATH").map(PathBuf::from),
            insecure_tls,
            timeout: number("MLFLOW_HTTP_REQUEST_TIMEOUT", &set)?.map_or(TIMEOUT, Duration::from_secs),
            retries_max: number("MLFLOW_HTTP_REQUEST_MAX_RETRIES", &set)?.unwrap_or(RETRIES).min(RETRIES_MAX),
            tracking,
            registry,
        }))
    }
}

/// Whether a tracking URI means what only MLflow itself reads: a database, a folder, Databricks. Anything else is meant
/// to be a server, however it is misspelt.
pub fn is_of_mlflow_alone(uri: &str) -> bool {
    const SCHEMES: [&str; 8] = ["file", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc"];
    let uri = uri.trim();
    let scheme = uri.split([':', '+']).next().unwrap_or_default().to_ascii_lowercase();
    uri.is_empty() || uri.starts_with(['.', '/']) || uri == "mlruns" || SCHEMES.contains(&scheme.as_str())
}

/// A server of MLflow, and not one of the other places that MLflow itself takes (files, databases, Databricks).
///
/// Error: `mlflow_settings`.
fn url((name, text): (&str, &str)) -> Result<Url, MlflowFault> {
    let hint = "is no server of MLflow: it is written http://HOST:PORT or https://HOST";
    // Joined with paths later, below whatever path it has.
    let url = Url::parse(&format!("{}/", text.trim_end_matches('/'))).map_err(|_| refused(name, hint))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(refused(name, hint));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        let hint = "holds a user, a password or a query: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD";
        return Err(refused(name, hint));
    }
    Ok(url)
}

fn credentials<'a>(set: &impl Fn(&str) -> Option<&'a str>) -> Result<Credentials, MlflowFault> {
    let file = set("HOME").map_or_else(FileCredentials::default, |home| {
        let text = std::fs::read_to_string(Path::new(home).join(CREDENTIALS_FILE));
        FileCredentials::parse(&text.unwrap_or_default())
    });
    let user = set("MLFLOW_TRACKING_USERNAME").map(str::to_owned).or(file.user);
    let password = set("MLFLOW_TRACKING_PASSWORD").map(str::to_owned).or(file.password);
    Ok(match (user, password, set("MLFLOW_TRACKING_TOKEN")) {
        (Some(user), Some(password), _) => Credentials::Basic { user, password },
        (_, _, Some(token)) => Credentials::Bearer(token.to_owned()),
        (Some(_), None, None) => {
            return Err(refused("MLFLOW_TRACKING_USERNAME", "comes without MLFLOW_TRACKING_PASSWORD: set both"));
        }
        (None, Some(_), None) => {
            return Err(refused("MLFLOW_TRACKING_PASSWORD", "comes without MLFLOW_TRACKING_USERNAME: set both"));
        }
        (None, None, None) => Credentials::None,
    })
}

/// `~/.mlflow/credentials`.
#[derive(Debug, Default, PartialEq)]
struct FileCredentials {
    user: Option<String>,
    password: Option<String>,
}

impl FileCredentials {
    /// The keys of the section `mlflow`, written `key = value` or `key: value`.
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let mut is_ours = false;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                is_ours = section.trim() == "mlflow";
            }
            let Some((key, value)) = line.split_once(['=', ':']).filter(|_| is_ours) else { continue };
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match key.trim().to_ascii_lowercase().as_str() {
                "mlflow_tracking_username" => found.user = value,
                "mlflow_tracking_password" => found.password = value,
                _ => {}
            }
        }
        found
    }
}

fn is_true(value: Option<&str>) -> bool {
    value.is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

fn number<'a, N: std::str::FromStr>(
    name: &'static str,
    set: &impl Fn(&str) -> Option<&'a str>,
) -> Result<Option<N>, MlflowFault> {
    let parse = |text: &str| text.parse().map_err(|_| refused(name, "is no whole number"));
    set(name).map(parse).transpose()
}

fn refused(name: &str, reason: &str) -> MlflowFault {
    MlflowFault::Settings { reason: format!("{name} {reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Option<MlflowSettings>, MlflowFault> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        MlflowSettings::of_variables(find, None)
    }

    fn of_server(variables: &[(&str, &str)]) -> MlflowSettings {
        let server = [("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000/prefix/")];
        settings(&[&server, variables].concat()).expect("good settings").expect("a server")
    }

    #[track_caller]
    fn refused(variables: &[(&str, &str)], says: &str) {
        let fault = settings(variables).expect_err(says);
        assert!(fault.to_string().contains(says), "{fault}");
        assert_eq!(fault.code(), "mlflow_settings");
    }

    #[test]
    fn without_a_tracking_uri_there_is_no_server() {
        assert_eq!(settings(&[]).expect("fine"), None);
        assert_eq!(settings(&[("MLFLOW_TRACKING_URI", " ")]).expect("fine"), None);
        assert_eq!(of_server(&[]).tracking.as_str(), "http://127.0.0.1:5000/prefix/");
    }

    #[test]
    fn registered_models_may_be_asked_for_elsewhere() {
        assert_eq!(of_server(&[]).registry, of_server(&[]).tracking);
        let apart = of_server(&[("MLFLOW_REGISTRY_URI", "https://models.example.org")]);
        assert_eq!(apart.registry.as_str(), "https://models.example.org/");
        let find = |name: &str| (name == "MLFLOW_TRACKING_URI").then_some("http://one");
        let said = MlflowSettings::of_variables(find, Some("http://two")).expect("fine").expect("a server");
        assert_eq!((said.tracking.as_str(), said.registry.as_str()), ("http://one/", "http://two/"));
    }

    #[test]
    fn what_only_mlflow_reads_is_told_from_a_server_that_is_misspelt() {
        for uri in ["", "./mlruns", "/srv/mlruns", "mlruns", "file:///x", "sqlite:///mlflow.db", "databricks"] {
            assert!(is_of_mlflow_alone(uri), "{uri}");
        }
        for uri in ["postgresql+psycopg2://u@h/db", "databricks://profile", "mysql://h/db"] {
            assert!(is_of_mlflow_alone(uri), "{uri}");
        }
        for uri in ["http://h", "localhost:5000", "127.0.0.1:5000", "mlflow", "'http://h'", "htp://h"] {
            assert!(!is_of_mlflow_alone(uri), "{uri}");
        }
        let of_registry = settings(&[("MLFLOW_REGISTRY_URI", "http://models")]).expect("fine").expect("a server");
        assert_eq!(of_registry.tracking.as_str(), "http://models/");
    }

    #[test]
    fn a_user_with_a_password_counts_before_a_token() {
        let user = ("MLFLOW_TRACKING_USERNAME", "ann");
        let password = ("MLFLOW_TRACKING_PASSWORD", "secret");
        let token = ("MLFLOW_TRACKING_TOKEN", "t0ken");
        assert_eq!(of_server(&[]).credentials, Credentials::None);
        assert_eq!(of_server(&[token]).credentials, Credentials::Bearer("t0ken".to_owned()));
        let basic = Credentials::Basic { user: "ann".to_owned(), password: "secret".to_owned() };
        assert_eq!(of_server(&[user, password, token]).credentials, basic);
        assert_eq!(of_server(&[user, token]).credentials, Credentials::Bearer("t0ken".to_owned()));
        assert!(!format!("{basic:?}").contains("secret"));
    }

    #[test]
    fn the_file_of_credentials_counts_where_the_environment_is_silent() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join(".mlflow");
        std::fs::create_dir(&folder).expect("made");
        let text = "[other]\nmlflow_tracking_username = x\n[mlflow]\n# ours\nmlflow_tracking_username = ann\n\
                    MLFLOW_TRACKING_PASSWORD: se=cret\n";
        std::fs::write(folder.join("credentials"), text).expect("written");
        let home = home.path().display().to_string();
        let of_file = |more: &[(&str, &str)]| of_server(&[&[("HOME", home.as_str())], more].concat()).credentials;
        let basic = |user: &str, password: &str| Credentials::Basic { user: user.into(), password: password.into() };
        assert_eq!(of_file(&[]), basic("ann", "se=cret"));
        assert_eq!(of_file(&[("MLFLOW_TRACKING_PASSWORD", "p")]), basic("ann", "p"));
        assert_eq!(of_file(&[("MLFLOW_TRACKING_TOKEN", "t")]), basic("ann", "se=cret"));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_its_variable() {
        let server = ("MLFLOW_TRACKING_URI", "http://h");
        for uri in ["databricks", "sqlite:///mlflow.db", "file:///mlruns", "./mlruns"] {
            refused(&[("MLFLOW_TRACKING_URI", uri)], "MLFLOW_TRACKING_URI is no server of MLflow");
        }
        refused(&[("MLFLOW_TRACKING_URI", "http://u:p@h")], "MLFLOW_TRACKING_USERNAME");
        refused(&[server, ("MLFLOW_TRACKING_USERNAME", "ann")], "MLFLOW_TRACKING_PASSWORD");
        refused(&[server, ("MLFLOW_TRACKING_AWS_SIGV4", "true")], "MLFLOW_TRACKING_AWS_SIGV4");
        refused(&[server, ("MLFLOW_HTTP_REQUEST_TIMEOUT", "soon")], "MLFLOW_HTTP_REQUEST_TIMEOUT");
        let both = [("MLFLOW_TRACKING_INSECURE_TLS", "true"), ("MLFLOW_TRACKING_SERVER_CERT_PATH", "/ca.pem")];
        refused(&[&[server], &both[..]].concat(), "contradict");
    }
}

//! Where the files of a model lie, as MLflow says it, checked before anything is asked for.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

use super::fault::MlflowFault;

/// Where files lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the server's own proxy of artifacts, at a path of it.
    Proxy(String),
    /// In a bucket or a folder, at a URL with a slash at its end.
    Store(Url),
    /// Below the artifacts of a run, which are asked for first.
    Run { run: String, path: String },
    /// Of a logged model, which is asked for first.
    Logged(String),
}

impl Place {
    /// Reads an artifact URI of a version, a run or a logged model of the server at `tracking`.
    ///
    /// Error: `mlflow_source` for what leads elsewhere, or nowhere.
    pub(super) fn parse(uri: &str, tracking: &Url, model: &str) -> Result<Self, MlflowFault> {
        let refused = |reason: &str| MlflowFault::Source {
            model: model.to_owned(),
            source_uri: without_secrets(uri),
            reason: reason.to_owned(),
        };
        let Some((scheme, rest)) = uri.split_once(':') else {
            // A server that hands out no artifacts says where they lie on its own disk.
            return match uri.starts_with('/') {
                true => Self::store(&format!("file://{uri}")).ok_or_else(|| refused("which is no path")),
                false => Err(refused("which is neither a URL nor an absolute path")),
            };
        };
        match scheme.to_ascii_lowercase().as_str() {
            "mlflow-artifacts" => {
                // Not by a URL's parser, which takes `..` away without a word.
                let (host, path) = match rest.strip_prefix("//") {
                    Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
                    None => ("", rest),
                };
                if !host.is_empty() && !is_same_server(host, tracking) {
                    return Err(refused(
                        "a server that is not that of MLFLOW_TRACKING_URI: credentials are sent to that one alone",
                    ));
                }
                let path = inner_path(path).ok_or_else(|| refused("which leads out of its folder"))?;
                Ok(Place::Proxy(path))
            }
            "runs" => match rest.trim_start_matches('/').split_once('/') {
                Some((run, path)) => {
                    let path = inner_path(path).ok_or_else(|| refused("which leads out of its run"))?;
                    Ok(Place::Run { run: run.to_owned(), path })
                }
                None => Err(refused("which names no path of a run")),
            },
            "models" => {
                let id = rest.trim_start_matches('/');
                let is_id = id.starts_with("m-") && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                match is_id {
                    true => Ok(Place::Logged(id.to_owned())),
                    false => Err(refused("which the server should have resolved")),
                }
            }
            "s3" | "s3a" | "gs" | "az" | "abfs" | "abfss" | "file" => {
                Self::store(uri).ok_or_else(|| refused("which is no URL of a folder, or leads out of it"))
            }
            _ => Err(refused("and only MLflow's own proxy, s3, gs, az, abfss and file are read")),
        }
    }

    fn store(uri: &str) -> Option<Self> {
        // As above.
        inner_path(uri.split_once(':')?.1)?;
        let mut url = Url::parse(uri).ok()?;
        if url.query().is_some() || url.fragment().is_some() || url.password().is_some() || url.cannot_be_a_base() {
            return None;
        }
        if url.scheme() == "s3a" {
            url.set_scheme("s3").ok()?;
        }
        let is_container = matches!(url.scheme(), "abfs" | "abfss");
        if !url.username().is_empty() && !is_container {
            return None;
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Some(Place::Store(url))
    }

    /// What [`Place::parse`] reads again.
    pub(super) fn uri(&self) -> String {
        match self {
            Place::Proxy(path) => format!("mlflow-artifacts:/{}", encoded(path)),
            Place::Store(url) => url.to_string(),
            Place::Run { run, path } => format!("runs:/{run}/{}", encoded(path)),
            Place::Logged(id) => format!("models:/{id}"),
        }
    }

    /// Below this place, at a path that is not encoded.
    pub(super) fn join(self, path: &str) -> Self {
        match self {
            Place::Proxy(folder) => Place::Proxy(format!("{folder}/{path}")),
            Place::Store(mut url) => {
                // Not as a reference to a URL: `a#2` would be `a`, and `s3:/x` another bucket.
                let mut parts = url.path_segments_mut().expect("the URL of a folder has a path");
                parts.pop_if_empty().extend(path.split('/')).push("");
                drop(parts);
                Place::Store(url)
            }
            place => place,
        }
    }
}

/// `HOST` or `HOST:PORT`.
fn is_same_server(host: &str, tracking: &Url) -> bool {
    let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_same_port = port.is_none_or(|port| port.parse().ok() == tracking.port_or_known_default());
    Some(name) == tracking.host_str() && is_same_port
}

/// A path that stays below where it begins, decoded: no part of it is `.` or `..`, however often it is encoded, and
/// none holds a backslash or a control character.
pub(super) fn inner_path(path: &str) -> Option<String> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).map(inner_part).collect::<Option<_>>()?;
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// One part of such a path.
pub(super) fn inner_part(part: &str) -> Option<String> {
    let mut decoded = decoded(part)?;
    let once = decoded.clone();
    loop {
        let is_outer = matches!(decoded.as_str(), "" | "." | "..") || decoded.contains(['/', '\\']);
        if is_outer || decoded.chars().any(char::is_control) {
            return None;
        }
        let again = self::decoded(&decoded)?;
        if again == decoded {
            return Some(once);
        }
        decoded = again;
    }
}

/// Names may hold what means something in a URL.
fn encoded(path: &str) -> String {
    let parts = path.split('/').map(|part| utf8_percent_encode(part, PART).to_string());
    parts.collect::<Vec<_>>().join("/")
}

const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

/// Where a URI holds a user or a query, all but those.
fn without_secrets(uri: &str) -> String {
    match Url::parse(uri) {
        Ok(url) if url.has_host() => {
            let container =
                if matches!(url.scheme(), "abfs" | "abfss") { format!("{}@", url.username()) } else { String::new() };
            let host = &url[url::Position::BeforeHost..url::Position::AfterPath];
            format!("{}://{container}{host}", url.scheme())
        }
        _ => uri.chars().take(300).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str) -> Result<Place, MlflowFault> {
        let tracking = Url::parse("http://mlflow.example.org:5000/prefix/").expect("a URL");
        Place::parse(uri, &tracking, "iris/3")
    }

    #[track_caller]
    fn refused(uri: &str, says: &str) {
        let fault = parse(uri).expect_err(uri);
        assert!(fault.to_string().contains(says), "{uri}: {fault}");
        assert_eq!(fault.code(), "mlflow_source");
    }

    fn store(url: &str) -> Place {
        Place::Store(Url::parse(url).expect("a URL"))
    }

    #[test]
    fn each_form_of_a_source_has_its_place() {
        let proxy = Place::Proxy("1/models/m-1/artifacts".to_owned());
        assert_eq!(parse("mlflow-artifacts:/1/models/m-1/artifacts"), Ok(proxy.clone()));
        assert_eq!(parse("mlflow-artifacts://mlflow.example.org:5000/1/models/m-1/artifacts"), Ok(proxy.clone()));
        assert_eq!(parse("models:/m-12ab"), Ok(Place::Logged("m-12ab".to_owned())));
        let run = Place::Run { run: "abc".to_owned(), path: "old style".to_owned() };
        assert_eq!(parse("runs:/abc/old%20style"), Ok(run));
        for place in [proxy.clone(), Place::Proxy("1/a b/100%/ü#?".to_owned()), store("s3://bucket/a%20b/")] {
            assert_eq!(parse(&place.uri()), Ok(place));
        }
        assert_eq!(parse("s3://bucket/key"), Ok(store("s3://bucket/key/")));
        assert_eq!(parse("s3a://bucket/key/"), Ok(store("s3://bucket/key/")));
        assert_eq!(parse("/srv/artifacts/1"), Ok(store("file:///srv/artifacts/1/")));
        assert_eq!(parse("file:///srv/artifacts/1"), Ok(store("file:///srv/artifacts/1/")));
        let azure = "abfss://box@account.dfs.core.windows.net/a/";
        assert_eq!(parse(azure), Ok(store(azure)));
        assert_eq!(store("s3://b/a/").join("model"), store("s3://b/a/model/"));
        for (path, below) in [("m#2", "m%232"), ("m?2", "m%3F2"), ("s3:/x", "s3:/x"), ("%2e%2e", "%252e%252e")] {
            assert_eq!(store("s3://b/a/").join(path), store(&format!("s3://b/a/{below}/")), "{path}");
        }
    }

    #[test]
    fn what_leads_out_of_its_folder_is_refused_however_it_is_encoded() {
        for path in ["..", "a/../b", "%2e%2e/x", "%252e%252e/x", "a%2f..%2fb", "a\\b", "a%5cb", "a%0ab"] {
            for head in ["mlflow-artifacts:/1", "s3://bucket", "runs:/abc", "file:///srv", "/srv"] {
                assert!(parse(&format!("{head}/{path}")).is_err(), "{head}/{path}");
            }
        }
        assert_eq!(inner_part("a%20b"), Some("a b".to_owned()));
        assert_eq!(inner_part("100%"), Some("100%".to_owned()));
    }

    #[test]
    fn credentials_go_to_no_other_server() {
        refused("mlflow-artifacts://evil.example.org/1/x", "MLFLOW_TRACKING_URI");
        refused("mlflow-artifacts://mlflow.example.org:6000/1/x", "MLFLOW_TRACKING_URI");
        refused("mlflow-artifacts://127.0.0.1:5000/1/x", "MLFLOW_TRACKING_URI");
    }

    #[test]
    fn what_is_not_read_says_what_is() {
        for uri in
            ["hdfs://h/x", "dbfs:/x", "ftp://u:CANARY@h/x", "https://h/x", "models:/iris/3", "relative/path", "s3:x"]
        {
            let fault = parse(uri).expect_err(uri).to_string();
            assert!(fault.contains("iris/3") && !fault.contains("CANARY"), "{fault}");
        }
        refused("s3://key:CANARY@bucket/x", "s3://bucket/x");
        refused("s3://bucket/x?token=CANARY", "s3://bucket/x,");
    }
}

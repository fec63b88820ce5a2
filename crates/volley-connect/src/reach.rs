//! How far statements reach: everywhere, or to named folders and connections alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::path::{Component, Path as FilePath, PathBuf};

use object_store::path::Path;
use url::{Host, Url};

use crate::error::{ConnectError, Result};
use crate::location::{absolute_url, store_url};
use crate::stores::STAGING;

/// Which places a statement may name.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Reach {
    /// All that the process itself can reach: whoever runs a statement runs the process.
    #[default]
    Everywhere,
    /// Some places only: whoever sends a statement is somebody else.
    Only(Places),
}

/// Places that statements of others may name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Places {
    /// Folders of this machine. Names in them that begin with a dot stay closed: keys and settings are kept so.
    pub folders: Vec<PathBuf>,
    /// Files and folders of this machine that stay closed wherever they lie.
    pub closed: Vec<PathBuf>,
    /// The URLs of the connections.
    pub connections: Vec<String>,
    /// URLs that stay closed with all that lies below them, also below a connection.
    pub closed_urls: Vec<String>,
}

/// Where the relative paths of statements begin, and how far statements reach.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Base {
    folder: PathBuf,
    reach: Reach,
}

impl From<&FilePath> for Base {
    fn from(folder: &FilePath) -> Self {
        Self::new(folder, Reach::Everywhere)
    }
}

impl Base {
    /// Paths without a scheme are relative to `folder`.
    pub fn new(folder: impl Into<PathBuf>, reach: Reach) -> Self {
        Self { folder: folder.into(), reach }
    }

    /// How far statements reach.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    pub(crate) fn folder(&self) -> &FilePath {
        &self.folder
    }

    /// The absolute URL of a path or URL of a statement, if statements may name it. Nothing is read there.
    ///
    /// Errors: those of [`absolute_url`], `local_path`, `location_not_allowed`.
    pub fn url(&self, text: &str) -> Result<Url> {
        let url = absolute_url(&self.folder, text)?;
        self.check(text, &url)?;
        Ok(url)
    }

    /// Refuses a place that statements may not name; `text` is how the statement does.
    ///
    /// Errors: `local_path`, `location_not_allowed`.
    pub fn check(&self, text: &str, url: &Url) -> Result<()> {
        let Reach::Only(places) = &self.reach else { return Ok(()) };
        match url.scheme() {
            "file" if places.has_file(url) => Ok(()),
            "file" => Err(ConnectError::LocalPath { path: text.to_owned(), hint: places.hint() }),
            _ if is_of_the_machine(url) => Err(not_allowed(text, "addresses of the machine's own network are closed")),
            _ if places.has_connection(url) => Ok(()),
            _ => Err(not_allowed(text, "it lies below none of the connections of the settings")),
        }
    }

    /// Whether a file that was found on the way is one that stays closed.
    pub(crate) fn is_closed(&self, store: &Url, file: &Path) -> bool {
        let Reach::Only(places) = &self.reach else { return false };
        match store.scheme() {
            "file" => places.is_closed(&real(&FilePath::new("/").join(file.as_ref()))),
            _ => places.has_closed(store, file),
        }
    }

    /// The same as [`Base::check`] for what a host's name leads to now. To be asked before the host is.
    ///
    /// Error: `location_not_allowed`.
    pub(crate) async fn check_host(&self, text: &str, url: &Url) -> Result<()> {
        let (Reach::Only(_), "http" | "https") = (&self.reach, url.scheme()) else { return Ok(()) };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else { return Ok(()) };
        let asked = (host.trim_matches(['[', ']']).to_owned(), port);
        let found = tokio::task::spawn_blocking(move || asked.to_socket_addrs().map(Iterator::collect::<Vec<_>>));
        match found.await {
            Ok(Ok(addresses)) if addresses.iter().any(|address| is_metadata(address.ip())) => {
                Err(not_allowed(text, "its host leads to an address of the machine's own network"))
            }
            // A host that is not found is told by whoever asks it.
            _ => Ok(()),
        }
    }
}

fn not_allowed(text: &str, reason: &str) -> ConnectError {
    ConnectError::LocationNotAllowed {
        location: crate::redact::without_secrets(text),
        reason: format!("{reason}: whoever runs the server can add a connection"),
    }
}

impl Places {
    fn has_file(&self, url: &Url) -> bool {
        let Some(path) = url.to_file_path().ok().map(|path| real(&path)) else { return false };
        let of_connections = self.connections.iter().filter_map(|url| Url::parse(url).ok()?.to_file_path().ok());
        let is_open = self.folders.iter().cloned().chain(of_connections).any(|folder| is_open(&path, &real(&folder)));
        is_open && !self.is_closed(&path)
    }

    fn is_closed(&self, path: &FilePath) -> bool {
        self.closed.iter().any(|closed| path.starts_with(real(closed)))
    }

    fn has_connection(&self, url: &Url) -> bool {
        let Ok(path) = Path::from_url_path(url.path()) else { return false };
        // Results wait in a folder of the bucket that belongs to all of its jobs.
        let is_staged = path.parts().any(|part| part.as_ref() == STAGING);
        let is_connected = self.connections.iter().any(|connection| lies_below(url, &path, connection));
        is_connected && !is_staged && !self.has_closed(url, &path)
    }

    /// Whether a path of the store of `url` stays closed.
    fn has_closed(&self, url: &Url, path: &Path) -> bool {
        self.closed_urls.iter().any(|closed| lies_below(url, path, closed))
    }

    fn hint(&self) -> String {
        let folders = self.folders.iter().map(|folder| format!("'{}'", folder.display()));
        let names: Vec<_> = folders.chain(self.connections.iter().map(|url| format!("'{url}'"))).collect();
        match names.is_empty() {
            true => "it has no connections: whoever runs it can add one".to_owned(),
            false => format!("statements reach {}", names.join(", ")),
        }
    }
}

/// Whether a path of the store of `url` lies below a folder of it.
fn lies_below(url: &Url, path: &Path, folder: &str) -> bool {
    let Ok(folder) = store_url(&format!("{}/", folder.trim_end_matches('/'))) else { return false };
    let prefix = Path::from_url_path(folder.path()).unwrap_or_default();
    (folder.scheme(), folder.authority()) == (url.scheme(), url.authority()) && path.prefix_matches(&prefix)
}

/// Whether a path lies in a folder, with no name on the way that begins with a dot. Neither has links.
fn is_open(path: &FilePath, folder: &FilePath) -> bool {
    let is_hidden = |part: Component<'_>| part.as_os_str().to_string_lossy().starts_with('.');
    path.strip_prefix(folder).is_ok_and(|below| !below.components().any(is_hidden))
}

/// A path without links, as far as it exists: what does not exist cannot be a link.
fn real(path: &FilePath) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), path.strip_prefix(above)) {
            // Joining nothing would add a slash.
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path
}

/// Whether a URL names an address under which a cloud tells a machine its credentials, or one like it.
fn is_of_the_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_metadata(address.into()),
        Some(Host::Ipv6(address)) => is_metadata(address.into()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            // Schemes that are not the web's keep an address as a name.
            let address = name.parse().is_ok_and(|address: IpAddr| is_metadata(address));
            address || name == "metadata" || name == "metadata.google.internal" || name == "instance-data"
        }
        None => false,
    }
}

/// Link-local addresses, those without a host, and those of clouds that chose others for their metadata.
fn is_metadata(address: IpAddr) -> bool {
    const OTHERS: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
    const AWS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_unspecified() || OTHERS.contains(&address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_metadata(mapped.into()),
            None => address.is_unicast_link_local() || address.is_unspecified() || address == AWS,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A base folder with a file, a link that leads out, and a closed folder, beside a secret.
    fn base(folder: &FilePath) -> Base {
        for name in ["in/data", "in/closed", "in/.hidden", "out"] {
            std::fs::create_dir_all(folder.join(name)).expect("a folder");
        }
        std::fs::write(folder.join("out/secret.csv"), "x").expect("a file");
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.join("out"), folder.join("in/link")).expect("a link");
        let places = Places {
            folders: vec![folder.join("in")],
            closed: vec![folder.join("in/closed")],
            connections: vec!["s3://lake/team/".to_owned(), "https://data.example.org/open".to_owned()],
            closed_urls: vec!["s3://lake/team/state/".to_owned()],
        };
        Base::new(folder.join("in"), Reach::Only(places))
    }

    fn code(base: &Base, text: &str) -> &'static str {
        base.url(text).map_or_else(|error| error.code(), |_| "open")
    }

    #[test]
    fn a_path_is_open_if_it_leads_into_a_named_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = base(folder.path());
        for text in ["data/x.parquet", "new/folder/", "./data/../data/x", "closed_too.csv", "."] {
            assert_eq!(code(&base, text), "open", "{text}");
        }
        for text in [
            "../out/secret.csv",
            "/etc/passwd",
            "file:///etc/passwd",
            "closed/x",
            "closed/",
            ".hidden/x",
            "link/x",
            "..",
        ] {
            assert_eq!(code(&base, text), "local_path", "{text}");
        }
        assert_eq!(code(&Base::from(folder.path()), "/etc/passwd"), "open");
    }

    #[test]
    fn a_url_is_open_if_it_lies_below_a_connection() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = base(folder.path());
        for text in
            ["s3://lake/team/x/", "s3a://lake/team/", "s3://lake/team/states/", "https://data.example.org/open/x.csv"]
        {
            assert_eq!(code(&base, text), "open", "{text}");
        }
        for text in [
            "s3://lake/teams/x",
            "s3://lake/team/../other/x",
            "s3://lake/team/%2e%2e/other/x",
            "s3://lake/team/..%2fother/x",
            "s3://lake/team/.volley-staging/x",
            "s3://lake/team/state/",
            "s3a://lake/team/state",
            "s3://lake/team/./st%61te/jobs/x.json",
            "s3://other/team/x",
            "http://data.example.org/open/x.csv",
            "https://data.example.org:444/open/x.csv",
            "gs://lake/team/x",
            "hdfs://lake/team/x",
        ] {
            assert_eq!(code(&base, text), "location_not_allowed", "{text}");
        }
    }

    #[test]
    fn a_closed_file_is_known_wherever_a_listing_finds_it() {
        let base = base(tempfile::tempdir().expect("a folder").path());
        let store = Url::parse("s3://lake/").expect("a URL");
        assert!(base.is_closed(&store, &Path::from("team/state/jobs/x/plan.json")));
        assert!(!base.is_closed(&store, &Path::from("team/in/x.json")));
        assert!(!base.is_closed(&Url::parse("s3://other/").expect("a URL"), &Path::from("team/state/x.json")));
    }

    #[test]
    fn an_address_of_the_machines_network_is_closed_whatever_the_connections_say() {
        let hosts = ["169.254.169.254", "0xa9fea9fe", "2852039166", "[::ffff:169.254.169.254]", "[fe80::1]", "0"];
        for host in hosts.into_iter().chain(["metadata.google.internal", "[fd00:ec2::254]", "100.100.100.200"]) {
            let url = format!("http://{host}/latest/");
            let connections = vec![url.clone()];
            let base = Base::new("/", Reach::Only(Places { connections, ..Places::default() }));
            assert_eq!(code(&base, &url), "location_not_allowed", "{url}");
        }
    }
}

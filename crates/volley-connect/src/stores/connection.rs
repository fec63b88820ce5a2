//! A named connection of the settings: which URLs it is for, and how their store is reached.

use std::path::Path as FilePath;

use object_store::path::Path;
use serde::Deserialize;
use url::{Host, Url};

use super::secret::SecretRef;
use super::{STAGING, StoreFault, key};

/// One connection, as `[connections.NAME]` of the settings says it. Which keys it may have depends on the
/// scheme of its URL.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    /// What the URLs of its tables and results begin with: `s3://lake/` or `s3://lake/team/`.
    pub url: String,
    /// Where the store answers, if not where its provider's do.
    pub endpoint: Option<String>,
    /// The region of an S3 bucket.
    pub region: Option<String>,
    /// Whether the bucket is a part of the path of requests, and not of the host. Default: yes.
    pub path_style: Option<bool>,
    /// Allows an endpoint without encryption that is not on this machine.
    pub allow_http: bool,
    /// Requests are not signed: for public buckets.
    pub anonymous: bool,
    /// The identity that the cloud gives to this machine is used.
    pub machine_identity: bool,
    /// The folder, in the bucket, in which results wait until they are published.
    pub staging: Option<String>,
    /// S3: the id of the key.
    pub access_key_id: Option<SecretRef>,
    /// S3: the key.
    pub secret_access_key: Option<SecretRef>,
    /// S3: the token that comes with keys for a while.
    pub session_token: Option<SecretRef>,
    /// Google: the JSON of a service account.
    pub service_account: Option<SecretRef>,
    /// Azure: the storage account.
    pub account: Option<String>,
    /// Azure: a key of the account.
    pub access_key: Option<SecretRef>,
    /// Azure: a shared access signature.
    pub sas_token: Option<SecretRef>,
    /// Azure: the tenant of an application.
    pub tenant_id: Option<String>,
    /// Azure: the id of an application.
    pub client_id: Option<String>,
    /// Azure: the secret of an application.
    pub client_secret: Option<SecretRef>,
    /// HTTP: what is sent as `Authorization: Bearer`.
    pub bearer_token: Option<SecretRef>,
}

impl Connection {
    /// The same, with relative paths of credentials below `folder`.
    pub fn in_folder(self, folder: &FilePath) -> Self {
        let below = |secret: &Option<SecretRef>| secret.as_ref().map(|secret| secret.in_folder(folder));
        Self {
            access_key_id: below(&self.access_key_id),
            secret_access_key: below(&self.secret_access_key),
            session_token: below(&self.session_token),
            service_account: below(&self.service_account),
            access_key: below(&self.access_key),
            sas_token: below(&self.sas_token),
            client_secret: below(&self.client_secret),
            bearer_token: below(&self.bearer_token),
            ..self
        }
    }

    /// Whether it names a credential.
    pub(super) fn has_credentials(&self) -> bool {
        self.secrets().next().is_some()
    }

    /// The credentials that it names.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let secrets = [
            &self.access_key_id,
            &self.secret_access_key,
            &self.session_token,
            &self.service_account,
            &self.access_key,
            &self.sas_token,
            &self.client_secret,
            &self.bearer_token,
        ];
        secrets.into_iter().flatten()
    }

    /// The keys that are set and mean something to some schemes only.
    fn special_keys(&self) -> impl Iterator<Item = (&'static str, &'static [Scheme])> {
        use Scheme::{Az, Gs, Http, S3};
        let keys: [(bool, &'static str, &'static [Scheme]); 16] = [
            (self.endpoint.is_some(), "endpoint", &[S3, Gs, Az]),
            (self.region.is_some(), "region", &[S3]),
            (self.path_style.is_some(), "path_style", &[S3]),
            (self.anonymous, "anonymous", &[S3, Gs, Az]),
            (self.machine_identity, "machine_identity", &[S3, Gs, Az]),
            (self.staging.is_some(), "staging", &[S3, Gs, Az]),
            (self.access_key_id.is_some(), "access_key_id", &[S3]),
            (self.secret_access_key.is_some(), "secret_access_key", &[S3]),
            (self.session_token.is_some(), "session_token", &[S3]),
            (self.service_account.is_some(), "service_account", &[Gs]),
            (self.account.is_some(), "account", &[Az]),
            (self.access_key.is_some(), "access_key", &[Az]),
            (self.sas_token.is_some(), "sas_token", &[Az]),
            (self.tenant_id.is_some() || self.client_id.is_some(), "client_id", &[Az]),
            (self.client_secret.is_some(), "client_secret", &[Az]),
            (self.bearer_token.is_some(), "bearer_token", &[Http]),
        ];
        keys.into_iter().filter(|(is_set, ..)| *is_set).map(|(_, name, schemes)| (name, schemes))
    }
}

/// The kinds of stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    File,
    S3,
    Gs,
    Az,
    /// Read only.
    Http,
}

impl Scheme {
    /// Error: `unknown_scheme`.
    pub(crate) fn of(url: &Url) -> Result<Self, StoreFault> {
        match url.scheme() {
            "file" => Ok(Self::File),
            "s3" => Ok(Self::S3),
            "gs" => Ok(Self::Gs),
            "az" | "abfs" | "abfss" => Ok(Self::Az),
            "http" | "https" => Ok(Self::Http),
            scheme => Err(StoreFault::UnknownScheme { scheme: scheme.to_owned() }),
        }
    }
}

/// A connection with its name, checked.
pub(super) struct Named {
    name: String,
    url: Url,
    prefix: Path,
    pub(super) scheme: Scheme,
    pub(super) connection: Connection,
}

impl Named {
    /// Error: `invalid_setting`, which names the connection and what is wrong with it.
    pub(super) fn new(name: &str, connection: &Connection) -> Result<Self, StoreFault> {
        let invalid = |reason: String| StoreFault::InvalidConnection { connection: name.to_owned(), reason };
        let url = crate::location::store_url(&format!("{}/", connection.url.trim_end_matches('/')));
        let url = url.map_err(|_| invalid("its `url` is no URL of a store, such as 's3://bucket/'".to_owned()))?;
        let scheme = Scheme::of(&url).map_err(|fault| invalid(fault.to_string()))?;
        let prefix = Path::from_url_path(url.path());
        let prefix = prefix.map_err(|_| invalid("the path of its `url` is no folder".to_owned()))?;
        let named = Self { name: name.to_owned(), url, prefix, scheme, connection: connection.clone() };
        named.check().map_err(invalid)?;
        Ok(named)
    }

    fn check(&self) -> Result<(), String> {
        let Self { connection, scheme, .. } = self;
        if let Some((key, _)) = connection.special_keys().find(|(_, schemes)| !schemes.contains(scheme)) {
            return Err(format!("`{key}` means nothing to a store at {}://", self.url.scheme()));
        }
        let both = |one: bool, other: bool| one != other;
        if both(connection.access_key_id.is_some(), connection.secret_access_key.is_some()) {
            return Err("`access_key_id` and `secret_access_key` go together".to_owned());
        }
        if connection.session_token.is_some() && connection.access_key_id.is_none() {
            return Err("`session_token` goes with `access_key_id` and `secret_access_key`".to_owned());
        }
        let application = [&connection.tenant_id, &connection.client_id].map(Option::is_some);
        if application.iter().any(|is_set| *is_set != connection.client_secret.is_some()) {
            return Err("`tenant_id`, `client_id` and `client_secret` go together".to_owned());
        }
        let ways = [connection.anonymous, connection.machine_identity, connection.has_credentials()];
        if ways.iter().filter(|way| **way).count() > 1 {
            return Err("only one of `anonymous`, `machine_identity` and credentials can be".to_owned());
        }
        if let Some(staging) = &connection.staging
            && (Path::parse(staging.trim_matches('/')).is_err() || staging.trim_matches('/').is_empty())
        {
            return Err("`staging` is no folder of the bucket".to_owned());
        }
        self.check_endpoint()
    }

    fn check_endpoint(&self) -> Result<(), String> {
        let Some(endpoint) = &self.connection.endpoint else { return Ok(()) };
        let url = Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url.filter(|url| url.username().is_empty() && url.password().is_none()) else {
            return Err("`endpoint` is no URL such as 'https://store.example.org'".to_owned());
        };
        let is_here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match url.scheme() == "https" || is_here || self.connection.allow_http {
            true => Ok(()),
            false => Err("`endpoint` is not encrypted: write https://, or set `allow_http = true`".to_owned()),
        }
    }

    /// The connection that a URL belongs to.
    pub(super) fn of<'a>(all: &'a [Self], url: &Url) -> Option<&'a Self> {
        let path = Path::from_url_path(url.path()).ok()?;
        let fits = |named: &&Self| named.authority() == key(url) && path.prefix_matches(&named.prefix);
        all.iter().filter(fits).max_by_key(|named| named.prefix.as_ref().len())
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Scheme, host and port of its URLs.
    pub(super) fn authority(&self) -> String {
        key(&self.url)
    }

    /// The folder that its URLs lie in.
    pub(super) fn prefix(&self) -> &Path {
        &self.prefix
    }

    /// The URL of the folder in which results wait.
    pub(super) fn staging(&self) -> String {
        match &self.connection.staging {
            Some(folder) => format!("{}/{}/", self.authority(), folder.trim_matches('/')),
            None => format!("{}{STAGING}/", self.url),
        }
    }

    /// Whether its endpoint may be asked without encryption.
    pub(super) fn allows_http(&self) -> bool {
        let is_http = |endpoint: &String| endpoint.starts_with("http://");
        self.scheme == Scheme::Http || self.connection.endpoint.as_ref().is_some_and(is_http)
    }
}

/// Refuses two connections for one URL: which of them is meant could not be told.
pub(super) fn check_together(all: &[Named]) -> Result<(), StoreFault> {
    for (at, one) in all.iter().enumerate() {
        if let Some(other) = all[..at].iter().find(|other| other.url == one.url) {
            let reason = format!("connection `{}` has the same `url`", other.name);
            return Err(StoreFault::InvalidConnection { connection: one.name.clone(), reason });
        }
    }
    Ok(())
}

#[cfg(test)]
impl Connection {
    /// From lines `key = 'text'`, `key = { env = 'NAME' }` and `key = true`.
    pub(super) fn in_memory(text: &str) -> Self {
        let fields = text.lines().map(|line| {
            let (key, value) = line.split_once(" = ").expect("key = value");
            let value = value.replace('\'', "\"").replace("env =", "\"env\":").replace("file =", "\"file\":");
            format!("\"{key}\": {value}")
        });
        let json = format!("{{{}}}", fields.collect::<Vec<_>>().join(", "));
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}\n{json}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, text: &str) -> Result<Named, StoreFault> {
        Named::new(name, &Connection::in_memory(text))
    }

    #[test]
    fn the_longest_url_wins() {
        let all = [("lake", "s3://lake"), ("team", "s3://lake/team/"), ("other", "s3://other/")];
        let all = all.map(|(name, url)| named(name, &format!("url = '{url}'")).expect(name));
        let check = |url: &str, expected: Option<&str>| {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(Named::of(&all, &url).map(Named::name), expected, "{url}");
        };
        check("s3://lake/in/x.parquet", Some("lake"));
        check("s3://lake/team/x.parquet", Some("team"));
        check("s3://lake/teams/x.parquet", Some("lake"));
        check("s3://other/", Some("other"));
        check("gs://other/", None);
    }

    #[test]
    fn a_connection_that_contradicts_itself_is_refused_by_name() {
        for (text, part) in [
            ("url = 'lake'", "its `url` is no URL"),
            ("url = 'hdfs://lake/'", "hdfs"),
            ("url = 'file:///lake/'\nregion = 'r'", "`region` means nothing"),
            ("url = 's3://lake/?x=1'", "its `url` is no URL"),
            ("url = 'https://example.org/'\nregion = 'r'", "`region` means nothing"),
            ("url = 's3://lake/'\nsession_token = { env = 'T' }", "`session_token` goes with"),
            ("url = 's3://lake/'\nanonymous = true\nmachine_identity = true", "only one of"),
            ("url = 's3://lake/'\nendpoint = 'lake:9000'", "`endpoint` is no URL"),
            ("url = 's3://lake/'\nstaging = '../x'", "`staging` is no folder"),
            ("url = 'az://lake/'\nclient_id = 'c'", "go together"),
        ] {
            let told = named("lake", text).err().map(|fault| fault.to_string()).unwrap_or_default();
            assert!(told.contains("connection `lake`") && told.contains(part), "{text}\n{told}");
        }
        let twice = [named("a", "url = 's3://lake/'"), named("b", "url = 's3://lake'")].map(|one| one.expect("fine"));
        assert!(check_together(&twice).expect_err("one URL").to_string().contains("`a`"));
    }
}

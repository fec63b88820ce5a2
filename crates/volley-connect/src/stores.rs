//! The stores that URLs name: one registry for all of them, and a client for each that is made once.

mod bucket;
mod client;
mod connection;
mod fault;
mod patience;
mod secret;
mod upload;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::ObjectStoreRegistry;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

use crate::error::ConnectError;
use bucket::{Bucket, Route};
pub use connection::Connection;
use connection::Named;
pub(crate) use connection::Scheme;
pub use fault::StoreFault;
pub use secret::{Environment, SecretRef};

/// The folder in which results wait until they are published.
pub(crate) const STAGING: &str = ".volley-staging";

/// How long a store is asked before it counts as unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// For how long a call is tried again that a store did not answer, or refused for a moment.
    pub retry: Duration,
    /// How long one try of a call may take.
    pub timeout: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        // Longer than the minute that an outage is allowed to last, and than a server takes to be replaced.
        Self { retry: Duration::from_secs(180), timeout: Duration::from_secs(30) }
    }
}

/// The stores of a process: this machine's files, and those of the clouds and the web, by connection.
///
/// A URL belongs to the connection whose own URL is the longest that it starts with. Where a bucket has no
/// connection at all, what the environment says applies to it.
pub struct Stores {
    connections: Vec<Named>,
    environment: Environment,
    budget: Budget,
    /// By scheme, host and port: what DataFusion knows of a file's store.
    opened: Mutex<HashMap<String, Arc<dyn ObjectStore>>>,
}

impl Stores {
    /// Stores with these connections, by name. Opens none of them, and reads no secret.
    ///
    /// Errors: `invalid_setting` for a connection that contradicts itself.
    pub fn new(
        connections: &BTreeMap<String, Connection>,
        environment: Environment,
        budget: Budget,
    ) -> Result<Self, StoreFault> {
        let mut named = vec![];
        for (name, connection) in connections {
            named.push(Named::new(name, connection)?);
        }
        connection::check_together(&named)?;
        Ok(Self { connections: named, environment, budget, opened: Mutex::default() })
    }

    /// Whether a URL lies below one of the connections.
    pub fn is_connected(&self, url: &Url) -> bool {
        Named::of(&self.connections, url).is_some()
    }

    /// Where results for a destination wait: for a bucket, a folder at its root or that of its connection.
    pub(crate) fn staging(&self, destination: &Url) -> String {
        match Named::of(&self.connections, destination) {
            Some(connection) => connection.staging(),
            None => format!("{}/{STAGING}/", key(destination)),
        }
    }

    fn store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, StoreFault> {
        let key = key(url);
        let mut opened = self.opened();
        if let Some(store) = opened.get(&key) {
            return Ok(store.clone());
        }
        let store = self.open(url)?;
        opened.insert(key, store.clone());
        Ok(store)
    }

    fn open(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, StoreFault> {
        let scheme = Scheme::of(url)?;
        if scheme == Scheme::File {
            return Ok(Arc::new(LocalFileSystem::new().with_automatic_cleanup(true)));
        }
        let key = key(url);
        let mut routes = vec![];
        for connection in self.connections.iter().filter(|connection| connection.authority() == key) {
            let store = client::open(url, Some(connection), &self.environment, self.budget)?;
            routes.push(Route::new(connection.prefix().clone(), Some(connection.name().to_owned()), store));
        }
        if routes.is_empty() {
            let store = client::open(url, None, &self.environment, self.budget)?;
            routes.push(Route::new(object_store::path::Path::default(), None, store));
        }
        Ok(Arc::new(Bucket::new(key, routes)))
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<String, Arc<dyn ObjectStore>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.connections.iter().map(Named::name).collect();
        f.debug_struct("Stores").field("connections", &names).field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl ObjectStoreRegistry for Stores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.opened().insert(key(url), store)
    }

    fn get_store(&self, url: &Url) -> DataFusionResult<Arc<dyn ObjectStore>> {
        self.store(url).map_err(|fault| DataFusionError::from(ConnectError::from(fault)))
    }
}

/// Scheme, container of an Azure account, host and port.
fn key(url: &Url) -> String {
    format!("{}://{}", url.scheme(), url.authority())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stores(connections: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Stores, StoreFault> {
        let parsed = connections.iter().map(|(name, text)| ((*name).to_owned(), Connection::in_memory(text))).collect();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Stores::new(&parsed, Environment::of(variables), Budget::default())
    }

    fn code(connections: &[(&str, &str)], variables: &[(&str, &str)], url: &str) -> &'static str {
        let url = Url::parse(url).expect("a URL");
        match stores(connections, variables).and_then(|stores| stores.store(&url)) {
            Ok(_) => "opened",
            Err(fault) => fault.code(),
        }
    }

    const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];

    #[test]
    fn a_bucket_without_a_connection_takes_what_the_environment_says() {
        assert_eq!(code(&[], &[], "s3://lake/x"), "missing_credentials");
        assert_eq!(code(&[], &KEYS[..1], "s3://lake/x"), "missing_credentials");
        assert_eq!(code(&[], &KEYS, "s3://lake/x"), "opened");
        assert_eq!(code(&[], &[], "az://lake/x"), "missing_credentials");
        let azure = [("AZURE_STORAGE_ACCOUNT_NAME", "a"), ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")];
        assert_eq!(code(&[], &azure, "az://lake/x"), "opened");
        assert_eq!(code(&[], &[], "https://example.org/x"), "opened");
        assert_eq!(code(&[], &[], "hdfs://lake/x"), "unknown_scheme");
    }

    #[test]
    fn a_connection_brings_its_own_credentials_or_none() {
        let check = |keys: &str, variables: &[(&str, &str)], expected: &str| {
            let text = format!("url = 's3://lake/'\n{keys}");
            assert_eq!(code(&[("lake", &text)], variables, "s3://lake/x"), expected, "{keys}");
        };
        let own = "access_key_id = { env = 'K' }\nsecret_access_key = { env = 'S' }";
        check(own, &[("K", "k"), ("S", "s")], "opened");
        check(own, &[("K", "k"), ("S", "")], "missing_credentials");
        check("access_key_id = { env = 'K' }", &[("K", "k")], "invalid_setting");
        check("anonymous = true", &[], "opened");
        check("machine_identity = true", &[], "opened");
        check("region = 'eu-west-1'", &[], "missing_credentials");
        check("region = 'eu-west-1'", &KEYS, "opened");
        check("account = 'a'", &KEYS, "invalid_setting");
        check("endpoint = 'http://127.0.0.1:9000'", &KEYS, "opened");
        check("endpoint = 'http://store.example.org'", &KEYS, "invalid_setting");
        check("endpoint = 'http://store.example.org'\nallow_http = true", &KEYS, "opened");
    }

    #[test]
    fn a_credential_that_is_malformed_is_not_told() {
        for (url, text) in [
            ("gs://lake/x", "url = 'gs://lake/'\nservice_account = { env = 'S' }"),
            ("az://lake/x", "url = 'az://lake/'\naccount = 'a'\naccess_key = { env = 'S' }"),
        ] {
            let stores = stores(&[("lake", text)], &[("S", "{\"CANARY: 1")]).expect("fine so far");
            let fault = stores.store(&Url::parse(url).expect("a URL")).expect_err("malformed");
            assert!(!fault.to_string().contains("CANARY") && !format!("{fault:?}").contains("CANARY"), "{fault:?}");
            assert_eq!(fault.code(), "invalid_setting");
        }
    }

    #[test]
    fn results_wait_at_the_root_of_the_bucket_or_of_its_connection() {
        let stores = stores(
            &[
                ("team", "url = 's3://lake/team'\nanonymous = true"),
                ("own", "url = 's3://own/'\nanonymous = true\nstaging = 'tmp/volley'"),
            ],
            &[],
        );
        let stores = stores.expect("fine");
        for (destination, staging) in [
            ("s3://lake/team/out/", "s3://lake/team/.volley-staging/"),
            ("s3://own/out/", "s3://own/tmp/volley/"),
            ("s3://other/out/", "s3://other/.volley-staging/"),
        ] {
            assert_eq!(stores.staging(&Url::parse(destination).expect("a URL")), staging);
        }
    }
}

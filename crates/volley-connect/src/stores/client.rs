//! The clients of the stores, with the credentials of a connection or of the environment.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::{BackoffConfig, ClientOptions, HeaderMap, HeaderValue, ObjectStore, RetryConfig};
use url::{Position, Url};

use super::connection::{Connection, Named, Scheme};
use super::patience::{Patient, Reconnecting};
use super::secret::{Environment, Secret, SecretRef};
use super::{Budget, StoreFault, key};

/// The client of a URL's bucket or host. Sends nothing yet.
///
/// Errors: `missing_credentials`, `invalid_setting`, `unknown_scheme`.
pub(super) fn open(
    url: &Url,
    connection: Option<&Named>,
    environment: &Environment,
    budget: Budget,
) -> Result<Arc<dyn ObjectStore>, StoreFault> {
    let client = Client { url, connection, environment, budget };
    let store = match Scheme::of(url)? {
        Scheme::S3 => client.s3(),
        Scheme::Gs => client.google(),
        Scheme::Az => client.azure(),
        Scheme::Http => client.http(),
        Scheme::File => unreachable!("files of this machine have no client"),
    };
    Ok(Arc::new(Patient::new(store?, budget.retry)))
}

struct Client<'a> {
    url: &'a Url,
    connection: Option<&'a Named>,
    environment: &'a Environment,
    budget: Budget,
}

type Opened = Result<Arc<dyn ObjectStore>, StoreFault>;

impl Client<'_> {
    fn s3(&self) -> Opened {
        let bucket = self.url.host_str().unwrap_or_default();
        let mut builder = AmazonS3Builder::new()
            .with_client_options(self.options())
            .with_retry(self.retries())
            .with_http_connector(Reconnecting)
            .with_bucket_name(bucket);
        if let Some(region) = self.environment.get("AWS_REGION").or(self.environment.get("AWS_DEFAULT_REGION")) {
            builder = builder.with_region(region);
        }
        if self.asks_environment() {
            for (name, value) in self.variables::<AmazonS3ConfigKey>("AWS_") {
                builder = builder.with_config(name, value);
            }
        }
        let mut is_known = !self.asks_environment();
        if let Some(settings) = self.settings() {
            if let Some(region) = &settings.region {
                builder = builder.with_region(region);
            }
            builder = self.s3_endpoint(builder, settings);
            if let Some(key) = self.secret(&settings.access_key_id)? {
                builder = builder.with_access_key_id(key.expose());
            }
            if let Some(key) = self.secret(&settings.secret_access_key)? {
                builder = builder.with_secret_access_key(key.expose());
            }
            if let Some(token) = self.secret(&settings.session_token)? {
                builder = builder.with_token(token.expose());
            }
            if settings.anonymous {
                builder = builder.with_skip_signature(true);
            }
        }
        let has = |key| builder.get_config_value(&key).is_some();
        use AmazonS3ConfigKey as K;
        is_known |= has(K::AccessKeyId) && has(K::SecretAccessKey)
            || has(K::WebIdentityTokenFile) && has(K::RoleArn)
            || has(K::ContainerCredentialsRelativeUri)
            || has(K::ContainerCredentialsFullUri) && has(K::ContainerAuthorizationTokenFile)
            || builder.get_config_value(&K::SkipSignature).is_some_and(|value| value == "true");
        self.need(is_known, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")?;
        Ok(Arc::new(builder.build().map_err(|_| self.malformed())?))
    }

    fn s3_endpoint(&self, builder: AmazonS3Builder, settings: &Connection) -> AmazonS3Builder {
        let path_style = settings.path_style.unwrap_or(true);
        let builder = match settings.path_style.is_some() || settings.endpoint.is_some() {
            true => builder.with_virtual_hosted_style_request(!path_style),
            false => builder,
        };
        match &settings.endpoint {
            None => builder,
            Some(endpoint) if path_style => builder.with_endpoint(endpoint),
            // The client takes an endpoint of this style as that of the bucket.
            Some(endpoint) => {
                let (scheme, host) = endpoint.split_once("://").unwrap_or_default();
                builder.with_endpoint(format!("{scheme}://{}.{host}", self.url.host_str().unwrap_or_default()))
            }
        }
    }

    fn google(&self) -> Opened {
        let bucket = self.url.host_str().unwrap_or_default();
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_client_options(self.options())
            .with_retry(self.retries())
            .with_http_connector(Reconnecting)
            .with_bucket_name(bucket);
        let mut is_known = !self.asks_environment();
        if self.asks_environment() {
            for (name, value) in self.variables::<GoogleConfigKey>("GOOGLE_") {
                builder = builder.with_config(name, value);
            }
            // Where `gcloud` leaves them, and the client looks by itself.
            let home = self.environment.get("HOME").map(std::path::Path::new);
            let left = home.map(|home| home.join(".config/gcloud/application_default_credentials.json"));
            is_known |= left.is_some_and(|left| left.is_file());
        }
        if let Some(settings) = self.settings() {
            if let Some(account) = self.secret(&settings.service_account)? {
                builder = builder.with_service_account_key(account.expose());
            }
            if let Some(endpoint) = &settings.endpoint {
                builder = builder.with_base_url(endpoint.trim_end_matches('/'));
            }
            if settings.anonymous {
                builder = builder.with_skip_signature(true);
            }
        }
        use GoogleConfigKey as K;
        let keys = [K::ServiceAccount, K::ServiceAccountKey, K::ApplicationCredentials];
        is_known |= keys.iter().any(|key| builder.get_config_value(key).is_some());
        self.need(is_known, "GOOGLE_APPLICATION_CREDENTIALS")?;
        Ok(Arc::new(builder.build().map_err(|_| self.malformed())?))
    }

    fn azure(&self) -> Opened {
        // `az://container/…`, or `abfss://container@account.dfs.core.windows.net/…`.
        let host = self.url.host_str().unwrap_or_default();
        let (container, account) = match self.url.username() {
            "" => (host, None),
            container => (container, host.split('.').next()),
        };
        let mut builder = MicrosoftAzureBuilder::new()
            .with_client_options(self.options())
            .with_retry(self.retries())
            .with_http_connector(Reconnecting)
            .with_container_name(container);
        let mut is_known = !self.asks_environment();
        if self.asks_environment() {
            for (name, value) in self.variables::<AzureConfigKey>("AZURE_") {
                builder = builder.with_config(name, value);
            }
        }
        if let Some(settings) = self.settings() {
            builder = self.azure_settings(builder, settings)?;
        }
        if let Some(account) = account {
            builder = builder.with_account(account);
        }
        use AzureConfigKey as K;
        let has = |key| builder.get_config_value(&key).is_some();
        is_known |= [K::AccessKey, K::SasKey, K::Token, K::ClientSecret, K::FederatedTokenFile].into_iter().any(has)
            || builder.get_config_value(&K::UseAzureCli).is_some_and(|value| value == "true");
        let has_account = builder.get_config_value(&K::AccountName).is_some();
        self.need(is_known && has_account, "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY")?;
        Ok(Arc::new(builder.build().map_err(|_| self.malformed())?))
    }

    fn azure_settings(
        &self,
        mut builder: MicrosoftAzureBuilder,
        settings: &Connection,
    ) -> Result<MicrosoftAzureBuilder, StoreFault> {
        if let Some(account) = &settings.account {
            builder = builder.with_account(account);
        }
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        if let Some(key) = self.secret(&settings.access_key)? {
            builder = builder.with_access_key(key.expose());
        }
        if let Some(token) = self.secret(&settings.sas_token)? {
            builder = builder.with_config(AzureConfigKey::SasKey, token.expose());
        }
        if let (Some(secret), Some(client), Some(tenant)) =
            (self.secret(&settings.client_secret)?, &settings.client_id, &settings.tenant_id)
        {
            builder = builder.with_client_secret_authorization(client, secret.expose(), tenant);
        }
        Ok(if settings.anonymous { builder.with_skip_signature(true) } else { builder })
    }

    fn http(&self) -> Opened {
        let mut options = self.options();
        if let Some(token) = self.settings().map_or(Ok(None), |settings| self.secret(&settings.bearer_token))? {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| self.malformed())?;
            value.set_sensitive(true);
            let mut headers = HeaderMap::new();
            headers.insert("authorization", value);
            options = options.with_default_headers(headers);
        }
        let root = &self.url[..Position::BeforePath];
        let builder = HttpBuilder::new()
            .with_url(root)
            .with_client_options(options)
            .with_retry(self.retries())
            .with_http_connector(Reconnecting);
        Ok(Arc::new(builder.build().map_err(|_| self.malformed())?))
    }

    fn settings(&self) -> Option<&Connection> {
        self.connection.map(|connection| &connection.connection)
    }

    /// Credentials of a connection and those of the environment are never mixed.
    fn asks_environment(&self) -> bool {
        let brings =
            |settings: &Connection| settings.has_credentials() || settings.anonymous || settings.machine_identity;
        !self.settings().is_some_and(brings)
    }

    /// What the variables with a prefix say, as the clients of the providers read them.
    fn variables<K: FromStr>(&self, prefix: &'static str) -> Vec<(K, &str)> {
        let named = self.environment.starting_with(prefix);
        named.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value))).collect()
    }

    fn secret(&self, reference: &Option<SecretRef>) -> Result<Option<Secret>, StoreFault> {
        let Some(reference) = reference else { return Ok(None) };
        let name = self.connection.map(Named::name).unwrap_or_default();
        let missing = |reason| self.missing(format!("{reason}, which connection `{name}` names"));
        reference.read(self.environment).map(Some).map_err(missing)
    }

    fn need(&self, is_known: bool, variables: &str) -> Result<(), StoreFault> {
        match is_known {
            true => Ok(()),
            false => Err(self.missing(format!(
                "name them in a connection of volley.toml, or set {variables}; a public bucket takes `anonymous = true`"
            ))),
        }
    }

    fn missing(&self, reason: String) -> StoreFault {
        StoreFault::MissingCredentials { url: format!("{}/", key(self.url)), reason }
    }

    /// Without what the client says: it may repeat a piece of a credential.
    fn malformed(&self) -> StoreFault {
        let connection = self.connection.map_or("environment", Named::name).to_owned();
        let reason = format!("its credentials or settings for {}/ are malformed", key(self.url));
        StoreFault::InvalidConnection { connection, reason }
    }

    fn options(&self) -> ClientOptions {
        // Somebody who answers at all answers a greeting soon.
        let connect = self.budget.timeout.min(Duration::from_secs(5));
        let is_http = self.connection.map_or(self.url.scheme() == "http", Named::allows_http);
        ClientOptions::new().with_timeout(self.budget.timeout).with_connect_timeout(connect).with_allow_http(is_http)
    }

    /// Time bounds the tries and not their number: in an outage, none of them takes long.
    fn retries(&self) -> RetryConfig {
        let backoff =
            BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(5), base: 2.0 };
        RetryConfig { backoff, max_retries: usize::MAX, retry_timeout: self.budget.retry }
    }
}

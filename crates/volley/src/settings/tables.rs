//! What a settings file says of a server, and of how one is reached.

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use volley_engine::SecretRef;

/// `[server]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerTable {
    /// Where it listens.
    pub listen: Option<SocketAddr>,
    /// Where executors come to.
    pub cluster_listen: Option<SocketAddr>,
    /// What users prove themselves with.
    pub token: Option<SecretRef>,
    /// What executors prove themselves with; else the variable VOLLEY_CLUSTER_TOKEN says it.
    pub cluster_token: Option<SecretRef>,
    /// What the server proves itself with: PEM.
    pub tls_certificate: Option<PathBuf>,
    /// The key of the certificate: PEM.
    pub tls_key: Option<PathBuf>,
    /// How many jobs are under way at a time.
    pub jobs_at_once: Option<NonZeroUsize>,
    /// How many splits of one job executors run at a time at most.
    pub job_splits_max: Option<NonZeroUsize>,
    /// The folder of the index of jobs where their state lies in a bucket.
    pub index: Option<PathBuf>,
    /// How long the server trusts that no other has taken over its state in a bucket.
    pub lease_seconds: Option<NonZeroU64>,
}

/// `[cluster]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterTable {
    /// What the server asks for.
    pub token: Option<SecretRef>,
    /// Whose certificates are trusted beside those of the system: PEM.
    pub ca: Option<PathBuf>,
}

impl ServerTable {
    /// The same, with relative paths below `folder`.
    pub(super) fn in_folder(self, folder: &Path) -> Self {
        Self {
            token: self.token.map(|token| token.in_folder(folder)),
            cluster_token: self.cluster_token.map(|token| token.in_folder(folder)),
            tls_certificate: self.tls_certificate.map(|file| folder.join(file)),
            tls_key: self.tls_key.map(|file| folder.join(file)),
            index: self.index.map(|index| folder.join(index)),
            ..self
        }
    }
}

impl ClusterTable {
    /// The same, with relative paths below `folder`.
    pub(super) fn in_folder(self, folder: &Path) -> Self {
        Self { token: self.token.map(|token| token.in_folder(folder)), ca: self.ca.map(|file| folder.join(file)) }
    }
}

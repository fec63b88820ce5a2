//! Whether a store keeps the promises that the protocol stands on, asked before any job relies on them.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::local::LocalFolder;
use crate::location::Location;
use crate::record::Records;

/// Tries everything that the protocol asks of a store in a folder of its own, and removes it again. For state
/// and staging folders, by every process that is to use them, once when it starts.
///
/// Errors: `store_unfit` if the store does not do what it says, such as some S3 clones that ignore the
/// condition of a create; else those of the store, which say what is not allowed.
pub async fn preflight(location: &Location) -> Result<()> {
    let folder = format!("preflight/{}", Uuid::now_v7());
    let probe = Probe { location, folder: &folder };
    let tried = probe.run().await;
    let removed = location.delete_folder(&folder).await;
    if let Some(local) = LocalFolder::of(location) {
        local.prune(std::slice::from_ref(&folder)).await;
    }
    tried.and(removed)
}

/// A word that one process gives and another writes into a state, which shows that both have the same state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Proof(Uuid);

impl TryFrom<String> for Proof {
    type Error = uuid::Error;
    fn try_from(text: String) -> std::result::Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Proof> for String {
    fn from(proof: Proof) -> Self {
        proof.0.to_string()
    }
}

impl Proof {
    /// A word that nobody has written.
    #[expect(clippy::new_without_default, reason = "another one each time")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// Writes it.
    pub async fn write(self, state: &Location) -> Result<()> {
        Records(state.clone()).create_once(&self.key(), &self).await.map(drop)
    }

    /// Whether somebody has written it. It is taken away then.
    pub async fn take(self, state: &Location) -> Result<bool> {
        let records = Records(state.clone());
        let is_written = records.exists(&self.key()).await?;
        if is_written {
            records.remove(&self.key()).await?;
        }
        Ok(is_written)
    }

    fn key(self) -> String {
        format!("proofs/{}.json", self.0)
    }
}

struct Probe<'a> {
    location: &'a Location,
    folder: &'a str,
}

impl Probe<'_> {
    async fn run(&self) -> Result<()> {
        self.create_is_refused_the_second_time().await?;
        self.what_is_written_is_read_and_listed().await?;
        self.a_move_leaves_no_source().await?;
        self.an_upload_can_be_given_up().await
    }

    async fn create_is_refused_the_second_time(&self) -> Result<()> {
        let path = self.path("created")?;
        match self.put(&path, "first", PutMode::Create).await {
            // Our own first try, whose answer was lost: nobody else knows this name. Below it is read.
            Ok(()) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(source) => return Err(self.location.failed(&path, source)),
        }
        let second = self.put(&path, "second", PutMode::Create).await;
        self.expect(
            matches!(second, Err(object_store::Error::AlreadyExists { .. })),
            "it creates an object that is already there, so that two could win where one must",
        )?;
        self.expect_body(&path, "first").await
    }

    async fn what_is_written_is_read_and_listed(&self) -> Result<()> {
        let path = self.path("written")?;
        for body in ["one", "two"] {
            self.put(&path, body, PutMode::Overwrite).await.map_err(|source| self.location.failed(&path, source))?;
            self.expect_body(&path, body).await?;
        }
        let root = self.location.path(self.folder)?;
        let listed: Vec<_> = self.location.store.list(Some(&root)).try_collect().await.map_err(self.failed(&root))?;
        self.expect(listed.iter().any(|meta| meta.location == path), "it does not list what was just written")
    }

    async fn a_move_leaves_no_source(&self) -> Result<()> {
        let (from, to) = (self.path("written")?, self.path("moved")?);
        self.location.store.rename(&from, &to).await.map_err(self.failed(&to))?;
        self.expect_body(&to, "two").await?;
        self.expect(self.location.size(&from).await?.is_none(), "an object that was moved or deleted is still there")
    }

    async fn an_upload_can_be_given_up(&self) -> Result<()> {
        let path = self.path("given-up")?;
        let mut upload = self.location.store.put_multipart(&path).await.map_err(self.failed(&path))?;
        upload.put_part("part".into()).await.map_err(self.failed(&path))?;
        upload.abort().await.map_err(self.failed(&path))?;
        self.expect(self.location.size(&path).await?.is_none(), "an upload that was given up is visible")
    }

    fn path(&self, name: &str) -> Result<Path> {
        self.location.path(&format!("{}/{name}", self.folder))
    }

    fn failed<'a>(&'a self, path: &'a Path) -> impl Fn(object_store::Error) -> Error + 'a {
        |source| self.location.failed(path, source)
    }

    async fn put(&self, path: &Path, body: &'static str, mode: PutMode) -> object_store::Result<()> {
        self.location.store.put_opts(path, body.into(), mode.into()).await.map(drop)
    }

    async fn expect_body(&self, path: &Path, body: &str) -> Result<()> {
        let read = self.location.read(path).await?;
        self.expect(read.is_some_and(|read| read == body), "what was just written is not what is read")
    }

    fn expect(&self, holds: bool, otherwise: &'static str) -> Result<()> {
        match holds {
            true => Ok(()),
            false => Err(Error::StoreUnfit { url: self.location.url.clone(), reason: otherwise }),
        }
    }
}

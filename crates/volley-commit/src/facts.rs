//! Records of whoever runs the jobs of a state, kept beside theirs and by the same rules.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::location::Location;
use crate::owner::Owner;
use crate::record::Records;

/// Records in a folder of a state: each is created once, whole, and never changed or removed.
#[derive(Clone, Debug)]
pub struct Facts {
    records: Records,
    folder: String,
    owner: Option<Arc<Owner>>,
}

impl Facts {
    /// The records below `{state}/{folder}/`, written by the state's owner where no lock says who may.
    pub fn new(state: &Location, folder: &str, owner: Option<Arc<Owner>>) -> Self {
        Self { records: Records(state.clone()), folder: folder.to_owned(), owner }
    }

    /// Which owner of the state writes them, counted from 1; 0 where a lock says who may.
    pub fn epoch(&self) -> u64 {
        self.owner.as_ref().map_or(0, |owner| owner.epoch())
    }

    /// Creates a record unless one is there, and gives the one that stands. It outlives whatever dies once this
    /// returns.
    ///
    /// Error: `owner_replaced` if another owner may have read these records before this one was among them.
    pub async fn write<T: Serialize + DeserializeOwned>(&self, key: &str, record: &T) -> Result<T> {
        // Who was replaced has nothing to say; and what is written counts if the next owner comes after it.
        self.confirm().await?;
        let stands = self.records.create_once(&self.key(key), record).await?;
        self.confirm().await?;
        Ok(stands)
    }

    async fn confirm(&self) -> Result<()> {
        match &self.owner {
            Some(owner) => owner.confirm().await,
            None => Ok(()),
        }
    }

    /// A record, if it is there.
    pub async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        self.records.read(&self.key(key)).await
    }

    /// The names of the records in a folder of these, sorted.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>> {
        self.records.names(&self.key(folder)).await
    }

    fn key(&self, key: &str) -> String {
        format!("{}/{key}", self.folder)
    }
}

//! The JSON objects of a registry: readable by people, equal for equal values.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// A contract of 10,000 inputs has a few megabytes.
const BYTES_MAX: u64 = 64 << 20;

/// Indented, in the order of the fields, with a newline at the end: a registry may lie in a repository.
pub(crate) fn json(value: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec_pretty(value).expect("records have string keys and no failing serializer");
    text.push(b'\n');
    text.into()
}

/// The record at `key`, or None if there is none.
pub(crate) async fn read<T: DeserializeOwned>(store: &dyn ObjectStore, key: &Path) -> Result<Option<T>, Error> {
    let unavailable = |source| Error::Unavailable { key: key.to_string(), source };
    let found = match store.get(key).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(source) => return Err(unavailable(source)),
    };
    let corrupt = |reason| Error::Corrupt { key: key.to_string(), reason };
    if found.meta.size > BYTES_MAX {
        return Err(corrupt(format!("it has {} bytes", found.meta.size)));
    }
    let text = found.bytes().await.map_err(unavailable)?;
    serde_json::from_slice(&text).map(Some).map_err(|error| corrupt(error.to_string()))
}

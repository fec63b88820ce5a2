//! Writes whose outcome is known: whatever a store answers, the key is read back before it is believed.
//!
//! A create that reports "already exists" may have met another writer, or its own first attempt whose
//! answer was lost, or (S3 under contention) nothing at all. A create that reports an error may have
//! landed. So every value carries a token, and equal bytes mean that the write was ours.

use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use crate::Error;

const ATTEMPTS_MAX: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Who holds a key after [`create_once`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    Us,
    Another,
}

/// Creates `key` with `value` unless another writer did. `value` holds a token that no other writer has.
///
/// After an error it is unknown whether the value landed.
pub(crate) async fn create_once(store: &dyn ObjectStore, key: &Path, value: &Bytes) -> Result<Holder, Error> {
    let mut attempt = 0;
    loop {
        let Err(failure) = store.put_opts(key, value.clone().into(), PutMode::Create.into()).await else {
            return Ok(Holder::Us);
        };
        match landed(store, key, value).await {
            Some(Landed::Equal) => return Ok(Holder::Us),
            Some(Landed::Different) => return Ok(Holder::Another),
            Some(Landed::Nothing) | None => pause(&mut attempt, key, failure).await?,
        }
    }
}

/// Puts `value` at `key` whatever lay there; safe to repeat, and two writers of one value agree.
pub(crate) async fn put(store: &dyn ObjectStore, key: &Path, value: &Bytes) -> Result<(), Error> {
    let mut attempt = 0;
    loop {
        let Err(failure) = store.put(key, value.clone().into()).await else {
            return Ok(());
        };
        if let Some(Landed::Equal) = landed(store, key, value).await {
            return Ok(());
        }
        pause(&mut attempt, key, failure).await?;
    }
}

/// Deletes `key`; it is well if nothing lies there.
pub(crate) async fn remove(store: &dyn ObjectStore, key: &Path) -> Result<(), Error> {
    let mut attempt = 0;
    loop {
        let Err(failure) = store.delete(key).await else {
            return Ok(());
        };
        if let Err(object_store::Error::NotFound { .. }) = store.head(key).await {
            return Ok(());
        }
        pause(&mut attempt, key, failure).await?;
    }
}

/// Waits before the next attempt, twice as long each time; the last failure is given back.
async fn pause(attempt: &mut u32, key: &Path, failure: object_store::Error) -> Result<(), Error> {
    *attempt += 1;
    if *attempt == ATTEMPTS_MAX {
        return Err(Error::Unavailable { key: key.to_string(), source: failure });
    }
    tokio::time::sleep(FIRST_PAUSE * 2u32.pow(*attempt - 1)).await;
    Ok(())
}

enum Landed {
    Equal,
    Different,
    Nothing,
}

/// What lies at the key; None if the store does not say.
async fn landed(store: &dyn ObjectStore, key: &Path, value: &Bytes) -> Option<Landed> {
    let found = match store.get(key).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Some(Landed::Nothing),
        Err(_) => return None,
    };
    // A value of another size is not read: a model file may have gigabytes.
    let equal = found.meta.size == value.len() as u64 && found.bytes().await.ok()? == *value;
    Some(if equal { Landed::Equal } else { Landed::Different })
}

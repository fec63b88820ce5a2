//! An upload in parts whose end is known: what the store says of it is not believed without looking.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, PutResult, Result, UploadPart};

use super::bucket::Place;

/// An upload to a name that is used once. When its last call is tried again after its answer was lost, a store
/// says that it knows no such upload: then the object is there.
pub(super) struct Upload {
    upload: Box<dyn MultipartUpload>,
    store: Arc<dyn ObjectStore>,
    path: Path,
    place: Place,
    bytes: u64,
}

impl Upload {
    pub(super) fn new(upload: Box<dyn MultipartUpload>, store: Arc<dyn ObjectStore>, path: Path, place: Place) -> Self {
        Self { upload, store, path, place, bytes: 0 }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("path", &self.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.bytes += data.content_length() as u64;
        let place = self.place.clone();
        self.upload.put_part(data).map(move |put| put.map_err(|error| place.told(error))).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let error = match self.upload.complete().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        match self.store.head(&self.path).await {
            Ok(meta) if meta.size == self.bytes => Ok(PutResult { e_tag: meta.e_tag, version: meta.version }),
            _ => Err(self.place.told(error)),
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await.map_err(|error| self.place.told(error))
    }
}

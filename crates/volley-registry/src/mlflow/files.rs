//! Bringing the files of a model here: listed first, then exactly what is listed, with their sizes checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;
use volley_model::Artifact;

use super::answers::{ListedFile, Listing};
use super::client::Client;
use super::fault::MlflowFault;
use super::place::{Place, inner_part};
use crate::Error;
use crate::artifacts::Bounds;
use crate::error::one_line;

/// How deep the folders of a model may lie in each other.
const DEPTH_MAX: usize = 16;
/// How many files come at a time.
const DOWNLOADS: usize = 4;

/// Opens the stores in which a server keeps artifacts that it does not hand out itself.
pub trait Sources: fmt::Debug + Send + Sync {
    /// The store of a URL and the path in it, if models may be read there; else why not, and what to do.
    fn open(&self, url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), String>;
}

/// Models are read from no store.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSources;

impl Sources for NoSources {
    fn open(&self, _: &Url) -> Result<(Arc<dyn ObjectStore>, Path), String> {
        Err("and models are read from MLflow's own proxy alone".to_owned())
    }
}

/// Files of one model that have been listed.
#[derive(Debug)]
struct Found {
    /// Below where they lie, and their sizes, as far as the server knows them.
    files: BTreeMap<String, Option<u64>>,
    bounds: Bounds,
    room: u64,
}

/// A model whose files are wanted.
#[derive(Debug)]
pub(super) struct Files<'a> {
    pub client: &'a Client,
    pub sources: &'a dyn Sources,
    pub bounds: Bounds,
    /// The model as users see it.
    pub label: &'a str,
}

impl Files<'_> {
    /// All files below a place that the proxy or a store has.
    pub(super) async fn all(&self, place: &Place) -> Result<Artifact, Error> {
        let files = match place {
            Place::Proxy(folder) => self.of_proxy(folder).await?,
            Place::Store(url) => self.of_store(url).await?,
            Place::Run { .. } | Place::Logged(_) => unreachable!("asked for before their files are"),
        };
        if files.is_empty() {
            let reason = "there are none: they were deleted, or never written".to_owned();
            return Err(self.refused(reason).into());
        }
        Ok(Artifact::new(files))
    }

    /// Whether anything lies below a place, or whether that is told by whoever reads it, who is refused.
    pub(super) async fn has_any(&self, place: &Place) -> Result<bool, Error> {
        match place {
            Place::Proxy(folder) => Ok(!self.listed(folder).await?.is_empty()),
            Place::Store(url) => {
                let Ok((store, folder)) = self.sources.open(url) else { return Ok(true) };
                let unavailable = |source| Error::Unavailable { key: url.to_string(), source };
                Ok(store.list(Some(&folder)).try_next().await.map_err(unavailable)?.is_some())
            }
            Place::Run { .. } | Place::Logged(_) => Ok(true),
        }
    }

    async fn of_proxy(&self, folder: &str) -> Result<BTreeMap<String, Bytes>, Error> {
        let Found { files, mut room, .. } = self.list(folder).await?;
        let download = |path: String, size: Option<u64>, bytes_max: u64| async move {
            let bytes = self.client.file(&format!("{folder}/{path}"), bytes_max, &self.what()).await?;
            self.check_size(&path, size, bytes.len() as u64)?;
            Ok::<_, MlflowFault>((path, bytes))
        };
        let sized = files.iter().filter_map(|(path, size)| size.map(|size| download(path.clone(), Some(size), size)));
        let sized: Vec<_> = sized.collect();
        let mut found: BTreeMap<_, _> = stream::iter(sized).buffered(DOWNLOADS).try_collect().await?;
        // One after the other, as each may fill all the room that is left.
        for path in files.into_iter().filter_map(|(path, size)| size.is_none().then_some(path)) {
            let (path, bytes) = download(path, None, room).await?;
            let left = room.checked_sub(bytes.len() as u64);
            room = left.ok_or_else(|| self.refused(self.bounds.exceeded().to_string()))?;
            found.insert(path, bytes);
        }
        Ok(found)
    }

    /// Everything below a folder, a request a folder.
    async fn list(&self, folder: &str) -> Result<Found, MlflowFault> {
        let mut found = Found { files: BTreeMap::new(), bounds: self.bounds, room: self.bounds.bytes_max };
        let mut folders = vec![(String::new(), 0)];
        let mut folders_listed = 0;
        while let Some((below, depth)) = folders.pop() {
            let path = if below.is_empty() { folder.to_owned() } else { format!("{folder}/{below}") };
            for file in self.listed(&path).await? {
                let name = self.name(&file.path)?;
                let path = if below.is_empty() { name } else { format!("{below}/{name}") };
                match file.is_dir {
                    true if depth == DEPTH_MAX => return Err(self.refused(format!("`{path}` lies too deep"))),
                    true => {
                        folders.push((path, depth + 1));
                        folders_listed += 1;
                    }
                    false => found.add(path, file.file_size).map_err(|reason| self.refused(reason))?,
                }
                // Of those too that hold no file: each is a request.
                if folders_listed > self.bounds.files_max {
                    return Err(self.refused(self.bounds.exceeded().to_string()));
                }
            }
        }
        Ok(found)
    }

    async fn listed(&self, folder: &str) -> Result<Vec<ListedFile>, MlflowFault> {
        Ok(self.client.list::<Listing>(folder, &self.what()).await?.files)
    }

    /// The name of a listed file, which is one part of a path and nothing more.
    fn name(&self, listed: &str) -> Result<String, MlflowFault> {
        match inner_part(listed) {
            // Names are not encoded here: what decodes to something else is no name of a model's file.
            Some(name) if name == listed => Ok(name),
            _ => Err(self.refused(format!("`{}` is no name of a file", one_line(listed)))),
        }
    }

    async fn of_store(&self, url: &Url) -> Result<BTreeMap<String, Bytes>, Error> {
        let refused =
            |reason| MlflowFault::Source { model: self.label.to_owned(), source_uri: url.to_string(), reason };
        let (store, folder) = self.sources.open(url).map_err(refused)?;
        let unavailable = |source| Error::Unavailable { key: url.to_string(), source };
        let mut found = Found { files: BTreeMap::new(), bounds: self.bounds, room: self.bounds.bytes_max };
        let mut keys = BTreeMap::new();
        let mut objects = store.list(Some(&folder));
        while let Some(object) = objects.try_next().await.map_err(unavailable)? {
            let Some(parts) = object.location.prefix_match(&folder) else { continue };
            let parts: Vec<_> = parts.map(|part| self.name(part.as_ref())).collect::<Result<_, _>>()?;
            let path = parts.join("/");
            found.add(path.clone(), Some(object.size)).map_err(|reason| self.refused(reason))?;
            keys.insert(path, (object.location, object.size));
        }
        drop(objects);
        let store = &store;
        // By the key that was listed: made of its parts again, it would be encoded.
        let download = |(path, (key, size)): (String, (Path, u64))| async move {
            let object = store.get(&key).await.map_err(unavailable)?;
            // Before it is read: it may have grown beyond all bounds.
            self.check_size(&path, Some(size), object.meta.size)?;
            let bytes = object.bytes().await.map_err(unavailable)?;
            self.check_size(&path, Some(size), bytes.len() as u64)?;
            Ok::<_, Error>((path, bytes))
        };
        stream::iter(keys).map(download).buffered(DOWNLOADS).try_collect().await
    }

    /// A transfer that was cut off is not told from a whole one by every server.
    fn check_size(&self, path: &str, listed: Option<u64>, found: u64) -> Result<(), MlflowFault> {
        match listed {
            Some(size) if size != found => {
                let least = if found > size { "more" } else { "less" };
                Err(self.refused(format!(
                    "`{path}` has {least} than the {size} bytes that are listed: it was replaced, or cut off"
                )))
            }
            _ => Ok(()),
        }
    }

    fn what(&self) -> String {
        format!("the files of {}", self.label)
    }

    fn refused(&self, reason: String) -> MlflowFault {
        MlflowFault::Listing { model: self.label.to_owned(), reason }
    }
}

impl Found {
    fn add(&mut self, path: String, size: Option<u64>) -> Result<(), String> {
        let room = self.room.checked_sub(size.unwrap_or(0));
        self.room = room.ok_or_else(|| self.bounds.exceeded().to_string())?;
        if self.files.contains_key(&path) {
            return Err(format!("`{path}` is listed twice"));
        }
        self.files.insert(path, size);
        match self.files.len() > self.bounds.files_max {
            true => Err(self.bounds.exceeded().to_string()),
            false => Ok(()),
        }
    }
}

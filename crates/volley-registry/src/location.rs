//! Reading a model directory or a model file of this machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use url::Url;
use volley_model::Artifact;

use crate::artifacts::Bounds;
use crate::error::{Error, LocationFault};
use crate::reference::has_scheme;

/// The path that a location means; a relative one lies under `base`.
pub(crate) fn path(location: &str, base: &Path) -> Result<PathBuf, Error> {
    if !has_scheme(location) {
        return Ok(base.join(location));
    }
    let file = Url::parse(location).ok().filter(|url| url.scheme() == "file");
    file.and_then(|url| url.to_file_path().ok())
        .ok_or_else(|| Error::Location { location: location.to_owned(), fault: LocationFault::Scheme })
}

/// A path without `.`, `..` and links, as far as it exists.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in std::path::absolute(path)?.components() {
        match component {
            Component::ParentDir => {
                clean = fs::canonicalize(&clean).unwrap_or(clean).parent().map(Path::to_owned).unwrap_or_default()
            }
            component => clean.push(component),
        }
    }
    Ok(fs::canonicalize(&clean).unwrap_or(clean))
}

/// How model files end: ONNX, XGBoost (JSON and UBJSON), LightGBM.
const ENDINGS: [&str; 5] = [".onnx", ".json", ".ubj", ".txt", ".lgb"];

/// A model of this machine, all its bytes in memory.
#[derive(Debug)]
pub(crate) struct LocalModel {
    pub(crate) artifact: Artifact,
    /// Absolute, without links.
    pub(crate) path: PathBuf,
}

impl LocalModel {
    /// Reads a directory with everything in it, or a model file with the tensor data beside it.
    pub(crate) fn read(path: &Path, bounds: Bounds) -> Result<Self, LocationFault> {
        let path = fs::canonicalize(path).map_err(unreadable)?;
        let mut found = Found { files: Vec::new(), bounds, room: bounds.bytes_max };
        if path.is_dir() {
            found.directory(&path, &path, "")?;
        } else {
            found.model_file(&path)?;
        }
        Ok(LocalModel { artifact: Artifact::new(found.read()?), path })
    }

    /// The name of the folder, or of the file without its ending.
    pub(crate) fn name(&self) -> String {
        let name = if self.path.is_dir() { self.path.file_name() } else { self.path.file_stem() };
        name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The `file:` URL of the model.
    pub(crate) fn url(&self) -> String {
        Url::from_file_path(&self.path).expect("a canonical path is absolute").to_string()
    }
}

/// The files of a model, none of which is read before all are seen to be within bounds.
struct Found {
    /// Where each lies, and its path in the model.
    files: Vec<(PathBuf, String)>,
    bounds: Bounds,
    room: u64,
}

impl Found {
    /// `prefix` is where `directory` lies in the model at `root`: empty, or ending with `/`.
    fn directory(&mut self, root: &Path, directory: &Path, prefix: &str) -> Result<(), LocationFault> {
        for entry in fs::read_dir(directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            let relative = format!("{prefix}{}", name.to_string_lossy());
            if name.to_str().is_none() {
                return Err(foreign(&relative, "has a name that is not UTF-8"));
            }
            if entry.file_type().map_err(unreadable)?.is_dir() {
                self.directory(root, &entry.path(), &format!("{relative}/"))?;
            } else {
                self.file(&contained(root, &entry.path(), &relative)?, relative)?;
            }
        }
        Ok(())
    }

    /// Exporters put tensors beside `NAME.onnx` as `NAME.onnx.data` or `NAME.onnx_data`.
    fn model_file(&mut self, path: &Path) -> Result<(), LocationFault> {
        let is_model = |name: &&str| ENDINGS.iter().any(|ending| name.ends_with(ending));
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(is_model) else {
            return Err(LocationFault::NotAModel);
        };
        self.file(path, name.to_owned())?;
        for beside in [format!("{name}.data"), format!("{name}_data")] {
            let data = path.with_file_name(&beside);
            // A link is not followed: it may lead anywhere.
            if fs::symlink_metadata(&data).is_ok_and(|data| data.is_file()) {
                self.file(&data, beside)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path, relative: String) -> Result<(), LocationFault> {
        // Asked before opening: opening a pipe would wait for ever.
        let metadata = fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(foreign(&relative, "is not a regular file"));
        }
        self.room = self.room.checked_sub(metadata.len()).ok_or_else(|| self.bounds.exceeded())?;
        self.files.push((path.to_owned(), relative));
        if self.files.len() > self.bounds.files_max {
            return Err(self.bounds.exceeded());
        }
        Ok(())
    }

    fn read(self) -> Result<BTreeMap<String, Bytes>, LocationFault> {
        let mut room = self.bounds.bytes_max;
        let mut files = BTreeMap::new();
        for (path, relative) in self.files {
            let mut bytes = Vec::new();
            let file = fs::File::open(path).map_err(unreadable)?;
            // One byte more than there is room for, as the file may grow while it is read.
            let size = file.take(room.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)? as u64;
            room = room.checked_sub(size).ok_or_else(|| self.bounds.exceeded())?;
            files.insert(relative, bytes.into());
        }
        Ok(files)
    }
}

/// The file behind a link, if it lies in the model's own directory.
fn contained(root: &Path, path: &Path, relative: &str) -> Result<PathBuf, LocationFault> {
    let target = fs::canonicalize(path).map_err(unreadable)?;
    if !target.starts_with(root) {
        return Err(foreign(relative, "is a link that leads out of it; copy the file into it"));
    }
    if target.is_dir() {
        return Err(foreign(relative, "is a link to a directory; copy the files into it"));
    }
    Ok(target)
}

fn foreign(path: &str, reason: &'static str) -> LocationFault {
    LocationFault::Foreign { path: path.to_owned(), reason }
}

fn unreadable(error: io::Error) -> LocationFault {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => LocationFault::Missing,
        _ => LocationFault::Unreadable(error),
    }
}

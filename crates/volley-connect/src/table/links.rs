//! Links among the files of a folder of this machine: none may lead out of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object_store::ObjectMeta;
use url::Url;

use crate::error::{ConnectError, Result};

/// Refuses a file that lies outside of the folder that `table` names, and only a link in: whoever may write to
/// the folder would else decide what is read of the whole machine. The folder itself may be a link.
///
/// Error: `link_leads_out`.
pub(super) async fn check(folder: &Url, table: &str, files: &[ObjectMeta]) -> Result<()> {
    if folder.scheme() != "file" {
        return Ok(());
    }
    let Ok(root) = folder.to_file_path() else { return Ok(()) };
    let files: Vec<PathBuf> = files.iter().map(|file| Path::new("/").join(file.location.as_ref())).collect();
    let leading_out = tokio::task::spawn_blocking(move || first_outside(&root, &files));
    match leading_out.await.expect("looking at files does not panic") {
        None => Ok(()),
        Some(file) => Err(ConnectError::LinkLeadsOut { file: file.display().to_string(), table: table.to_owned() }),
    }
}

fn first_outside(root: &Path, files: &[PathBuf]) -> Option<PathBuf> {
    let root = root.canonicalize().ok()?;
    let is_inside = |path: &Path| path.canonicalize().is_ok_and(|path| path.starts_with(&root));
    // Folders hold many files: each is looked at once.
    let mut folders = BTreeMap::new();
    let is_outside = |file: &&PathBuf| {
        let Ok(metadata) = file.symlink_metadata() else { return false };
        let folder = file.parent().unwrap_or(file);
        !*folders.entry(folder.to_owned()).or_insert_with(|| is_inside(folder))
            || metadata.is_symlink() && !is_inside(file)
    };
    files.iter().find(is_outside).cloned()
}

//! What only a file system has, and no store shows: folders, links, devices, permissions, and what is left of
//! uploads that were cut off.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use url::Url;

use crate::location::Location;

/// A folder of this machine, which need not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct LocalFolder(PathBuf);

impl LocalFolder {
    /// The folder of a location, if it is on this machine.
    pub(crate) fn of(location: &Location) -> Option<Self> {
        // Asked before many calls of a store: of a bucket, the first letters say that it is none.
        if !location.url.starts_with("file:") {
            return None;
        }
        Url::parse(&location.folder_url()).ok()?.to_file_path().ok().map(Self)
    }

    /// Why files cannot be moved from `staging` into these folders below this one, if they cannot.
    pub(crate) async fn check_takes(&self, staging: Self, folders: BTreeSet<String>) -> Result<(), String> {
        let root = self.0.clone();
        on_a_thread(move || {
            let staged = Ground::of(&staging.0)?;
            staged.check_open()?;
            folders.iter().try_for_each(|folder| {
                let ground = Ground::of(&root.join(folder))?;
                ground.check_inside(&root)?;
                ground.check_beside(&staged)?;
                ground.check_open()
            })
        })
        .await
    }

    /// Makes these folders below this one, where they are not there.
    pub(crate) async fn create(&self, folders: BTreeSet<String>) -> io::Result<()> {
        let root = self.0.clone();
        on_a_thread(move || folders.iter().try_for_each(|folder| std::fs::create_dir_all(root.join(folder)))).await
    }

    /// The names of the folders in this one.
    pub(crate) async fn folders(&self) -> Vec<String> {
        let mut names = vec![];
        let Ok(mut entries) = tokio::fs::read_dir(&self.0).await else {
            return names;
        };
        while let Ok(Some(entry)) = entries.next_entry().await {
            if entry.file_type().await.is_ok_and(|kind| kind.is_dir()) {
                names.extend(entry.file_name().into_string());
            }
        }
        names
    }

    /// Makes files below this folder outlive a loss of power, with the folders on the way to them.
    pub(crate) async fn sync_files(&self, files: Vec<String>) -> io::Result<()> {
        let root = self.0.clone();
        let folders = files.iter().map(|file| parent_of(file).to_owned()).collect();
        on_a_thread(move || files.iter().try_for_each(|file| std::fs::File::open(root.join(file))?.sync_all())).await?;
        self.sync_folders(folders).await
    }

    /// Makes what these folders below this one hold outlive a loss of power: which names, not their contents.
    /// Those that are no longer there hold nothing.
    pub(crate) async fn sync_folders(&self, folders: BTreeSet<String>) -> io::Result<()> {
        let root = self.0.clone();
        let with_ancestors = |folder: String| {
            let ends = folder.match_indices('/').map(|(end, _)| end).chain([folder.len(), 0]).collect::<Vec<_>>();
            ends.into_iter().map(move |end| folder[..end].to_owned())
        };
        let all: BTreeSet<String> = folders.into_iter().flat_map(with_ancestors).collect();
        on_a_thread(move || all.iter().try_for_each(|folder| sync_folder(&root.join(folder)))).await
    }

    /// Makes it outlive a loss of power that this folder is there.
    pub(crate) async fn sync_itself(&self) -> io::Result<()> {
        let parent = self.0.parent().map(Path::to_owned);
        on_a_thread(move || parent.map_or(Ok(()), |parent| sync_folder(&parent))).await
    }

    /// Removes a folder below this one with all that is in it.
    pub(crate) async fn remove(&self, folder: &str) {
        let _ = tokio::fs::remove_dir_all(self.0.join(folder)).await;
    }

    /// Removes this folder if nothing is in it.
    pub(crate) async fn remove_if_empty(&self) {
        let _ = tokio::fs::remove_dir(&self.0).await;
    }

    /// Removes the folders below this one that deleting `files` may have emptied.
    pub(crate) async fn prune(&self, files: &[String]) {
        for file in files {
            let mut folder = self.0.join(file);
            while folder.pop() && folder != self.0 && tokio::fs::remove_dir(&folder).await.is_ok() {}
        }
    }

    /// Removes what uploads that were cut off left of the objects below this folder whose paths start with
    /// `prefix`: `name#1` and the like, which the store neither lists nor opens.
    pub(crate) async fn remove_cut_off(&self, prefix: &str) {
        let (folder, name) = prefix.rsplit_once('/').unwrap_or(("", prefix));
        let Ok(mut entries) = tokio::fs::read_dir(self.0.join(folder)).await else {
            return;
        };
        while let Ok(Some(entry)) = entries.next_entry().await {
            if entry.file_name().to_str().is_some_and(|found| found.starts_with(name) && is_cut_off(found)) {
                let _ = tokio::fs::remove_file(entry.path()).await;
            }
        }
    }
}

fn parent_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match std::fs::File::open(folder) {
        Ok(folder) => folder.sync_all(),
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Elsewhere folders cannot be opened, and are written with their files.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether a name is one that the local store gives to files that are not whole yet.
fn is_cut_off(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("looking at folders does not panic")
}

/// The deepest folder on the way to a path that exists: what is missing would be made in it.
struct Ground {
    folder: PathBuf,
    mount: Mount,
}

impl Ground {
    fn of(path: &Path) -> Result<Self, String> {
        // Without a slash at its end, which would ask for what a link leads to.
        let path: PathBuf = path.components().collect();
        let is_there = |path: &&Path| !matches!(path.symlink_metadata(), Err(error) if is_missing(&error));
        let folder = path.ancestors().find(is_there).unwrap_or(Path::new("/"));
        let told = folder.display();
        let metadata = match folder.metadata() {
            Ok(metadata) => metadata,
            Err(error) if is_missing(&error) => return Err(format!("{told} is a link that leads nowhere")),
            Err(error) => return Err(format!("{told} cannot be looked at: {error}")),
        };
        if !metadata.is_dir() {
            return Err(format!("{told} is a file, where a folder is needed"));
        }
        Ok(Self { folder: folder.to_owned(), mount: Mount::of(folder, &metadata) })
    }

    fn check_open(&self) -> Result<(), String> {
        may_write(&self.folder).map_err(|error| format!("nothing can be written in {}: {error}", self.folder.display()))
    }

    /// Refuses a link below the destination that leads out of it. The destination itself may be a link.
    fn check_inside(&self, root: &Path) -> Result<(), String> {
        let leads_out = self.folder.starts_with(root)
            && match (self.folder.canonicalize(), root.canonicalize()) {
                (Ok(folder), Ok(root)) => !folder.starts_with(root),
                _ => false,
            };
        match leads_out {
            true => Err(format!("{} is a link that leads out of it", self.folder.display())),
            false => Ok(()),
        }
    }

    fn check_beside(&self, staged: &Self) -> Result<(), String> {
        let (here, there) = (self.folder.display(), staged.folder.display());
        match self.mount == staged.mount {
            true => Ok(()),
            false => Err(format!(
                "{here} is on another file system or mount than {there}, where files wait to be moved: choose a folder inside it"
            )),
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(unix)]
fn may_write(folder: &Path) -> io::Result<()> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    Ok(accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Elsewhere only the attempt itself tells.
#[cfg(not(unix))]
fn may_write(_: &Path) -> io::Result<()> {
    Ok(())
}

/// What files can be moved within: a file system, and, where it is mounted several times, one of its mounts.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    #[cfg(unix)]
    device: u64,
    #[cfg(target_os = "linux")]
    id: u64,
}

impl Mount {
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "only Linux numbers its mounts"))]
    fn of(folder: &Path, metadata: &Metadata) -> Self {
        Self {
            #[cfg(unix)]
            device: std::os::unix::fs::MetadataExt::dev(metadata),
            #[cfg(target_os = "linux")]
            id: mount_id(folder),
        }
    }
}

/// 0 for all on kernels that cannot tell, those before 5.8.
#[cfg(target_os = "linux")]
fn mount_id(folder: &Path) -> u64 {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    statx(CWD, folder, AtFlags::empty(), StatxFlags::MNT_ID).map_or(0, |found| found.stx_mnt_id)
}

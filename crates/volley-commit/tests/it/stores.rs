//! The stores that this suite runs over: in memory, and on a disk.

use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use volley_commit::Waits;

use super::world::Ground;

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Disk,
}

/// All of them.
pub const KINDS: [Kind; 2] = [Kind::Memory, Kind::Disk];

impl Kind {
    /// For what is the same over every store.
    pub const ANY: Self = Self::Memory;

    /// An empty place in a store of this kind.
    pub fn ground(self) -> Ground {
        match self {
            Self::Memory => Ground {
                store: Arc::new(InMemory::new()),
                root: Path::default(),
                url: "memory://".to_owned(),
                renames: false,
                waits: Waits::default(),
                folder: None,
                _kept: None,
            },
            Self::Disk => {
                // Thousands of small jobs: a file system in memory, where there is one.
                let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
                let ground = on_disk(folder.path());
                Ground { _kept: Some(Box::new(folder)), ..ground }
            }
        }
    }
}

/// A folder that somebody else has made, and removes.
pub fn on_disk(folder: &std::path::Path) -> Ground {
    let root = Path::from_absolute_path(folder).unwrap();
    Ground {
        store: Arc::new(LocalFileSystem::new()),
        url: format!("file:///{root}"),
        root,
        renames: true,
        waits: Waits::default(),
        folder: Some(folder.to_owned()),
        _kept: None,
    }
}

//! Where things lie in a registry folder, and what its keys say.
//!
//! ```text
//! artifacts/<sha256>/manifest.json          path, size and sha256 of each file; written last
//! artifacts/<sha256>/files/<path>           the files; golden rows are an artifact too
//! models/<name>/versions/0000000001.json    created once, never changed
//! models/<name>/deleted/0000000001.json     created once; the number is never used again
//! models/<name>/aliases/<alias>.json        the only objects that are replaced
//! ```

use std::collections::{BTreeMap, BTreeSet};

use object_store::path::Path;
use volley_model::Digest;

use crate::Error;
use crate::name::{check_alias, check_model_name};

/// A file system takes 255 bytes a name, and writes `NAME.json#1` while it makes an object.
const KEY_PART_BYTES_MAX: usize = 240;

/// The keys of one registry, below its root.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: Path,
}

impl Layout {
    pub(crate) fn new(root: Path) -> Self {
        Layout { root }
    }

    pub(crate) fn manifest(&self, digest: &Digest) -> Path {
        self.artifact(digest).join("manifest.json")
    }

    pub(crate) fn file(&self, digest: &Digest, path: &str) -> Path {
        path.split('/').fold(self.artifact(digest).join("files"), |key, part| key.join(part))
    }

    fn artifact(&self, digest: &Digest) -> Path {
        self.root.clone().join("artifacts").join(digest.to_string())
    }

    pub(crate) fn models(&self) -> Path {
        self.root.clone().join("models")
    }

    pub(crate) fn model(&self, name: &str) -> Result<Path, Error> {
        check_model_name(name)?;
        fitting(self.models().join(name), name, "a model")
    }

    pub(crate) fn version(&self, name: &str, version: u64) -> Result<Path, Error> {
        Ok(self.model(name)?.join("versions").join(numbered(version)))
    }

    pub(crate) fn deleted(&self, name: &str, version: u64) -> Result<Path, Error> {
        Ok(self.model(name)?.join("deleted").join(numbered(version)))
    }

    pub(crate) fn alias(&self, name: &str, alias: &str) -> Result<Path, Error> {
        check_alias(alias)?;
        fitting(self.model(name)?.join("aliases").join(format!("{alias}.json")), alias, "an alias")
    }

    /// The models that these keys tell of; keys of no registry (`.DS_Store`, …) are passed over.
    pub(crate) fn shelves<'a>(&self, keys: impl IntoIterator<Item = &'a Path>) -> BTreeMap<String, Shelf> {
        let mut shelves = BTreeMap::<String, Shelf>::new();
        for (name, entry) in keys.into_iter().filter_map(|key| self.entry(key)) {
            shelves.entry(name).or_default().put(entry);
        }
        shelves
    }

    fn entry(&self, key: &Path) -> Option<(String, Entry)> {
        let models = self.models();
        let parts: Vec<String> =
            key.prefix_match(&models)?.map(|part| decoded(part.as_ref())).collect::<Option<_>>()?;
        let [name, kind, file] = <[String; 3]>::try_from(parts).ok()?;
        let stem = file.strip_suffix(".json")?;
        let entry = match kind.as_str() {
            "versions" => Entry::Version(stem.parse().ok()?),
            "deleted" => Entry::Deleted(stem.parse().ok()?),
            "aliases" => Entry::Alias(stem.to_owned()),
            _ => return None,
        };
        Some((name, entry))
    }
}

/// What the keys of one model say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shelf {
    versions: BTreeSet<u64>,
    deleted: BTreeSet<u64>,
    aliases: BTreeSet<String>,
}

impl Shelf {
    fn put(&mut self, entry: Entry) {
        match entry {
            Entry::Version(version) => self.versions.insert(version),
            Entry::Deleted(version) => self.deleted.insert(version),
            Entry::Alias(alias) => self.aliases.insert(alias),
        };
    }

    /// The versions that are not deleted, ascending.
    pub(crate) fn live(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.versions.difference(&self.deleted).copied().collect::<Vec<_>>().into_iter()
    }

    pub(crate) fn latest(&self) -> Option<u64> {
        self.live().next_back()
    }

    pub(crate) fn holds(&self, version: u64) -> bool {
        self.versions.contains(&version) && !self.was_deleted(version)
    }

    pub(crate) fn was_deleted(&self, version: u64) -> bool {
        self.deleted.contains(&version)
    }

    pub(crate) fn aliases(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(String::as_str)
    }

    /// One more than the highest number ever given, deleted ones included.
    pub(crate) fn next_number(&self) -> u64 {
        self.versions.union(&self.deleted).max().map_or(1, |highest| highest + 1)
    }
}

enum Entry {
    Version(u64),
    Deleted(u64),
    Alias(String),
}

fn numbered(version: u64) -> String {
    format!("{version:010}.json")
}

/// Keys are percent-encoded, so a name of few characters may still be too long for a folder.
fn fitting(key: Path, name: &str, what: &'static str) -> Result<Path, Error> {
    if key.filename().is_some_and(|part| part.len() > KEY_PART_BYTES_MAX) {
        let reason = "it is too long to be the name of a file";
        return Err(Error::Name { name: name.to_owned(), what, reason });
    }
    Ok(key)
}

fn decoded(part: &str) -> Option<String> {
    let text = percent_encoding::percent_decode_str(part).decode_utf8().ok()?;
    Some(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout::new(Path::from("team/registry"))
    }

    #[test]
    fn keys_say_again_what_they_were_made_of() {
        for name in ["churn", "Churn 2.0", "modèle", "100%", "a#1", "m*?[x]~"] {
            let keys = [
                layout().version(name, 1).expect(name),
                layout().version(name, 12).expect(name),
                layout().deleted(name, 12).expect(name),
                layout().alias(name, "übung").expect(name),
            ];
            let shelves = layout().shelves(&keys);
            let shelf = &shelves[name];
            assert_eq!(shelf.live().collect::<Vec<_>>(), [1]);
            assert_eq!(shelf.aliases().collect::<Vec<_>>(), ["übung"]);
            assert_eq!(shelves.len(), 1);
        }
    }

    #[test]
    fn numbers_of_deleted_versions_are_not_given_again() {
        let keys = [layout().version("m", 3), layout().version("m", 4), layout().deleted("m", 4)];
        let shelves = layout().shelves(&keys.map(|key| key.expect("a good name")));
        assert_eq!(shelves["m"].latest(), Some(3));
        assert_eq!(shelves["m"].next_number(), 5);
        assert!(shelves["m"].was_deleted(4) && !shelves["m"].holds(4));
        assert_eq!(Shelf::default().next_number(), 1);
    }

    #[test]
    fn foreign_files_in_the_folder_are_passed_over() {
        let keys = ["models/.DS_Store", "models/m/versions/x.json", "models/m/versions/1.json~", "readme"];
        let keys = keys.map(|key| Path::from(format!("team/registry/{key}")));
        assert!(layout().shelves(&keys).is_empty());
    }

    #[test]
    fn versions_are_listed_in_their_order() {
        let keys = [9, 10, 11].map(|n| layout().version("m", n).expect("a good name"));
        assert!(keys.is_sorted());
    }

    #[test]
    fn names_too_long_for_a_file_system_are_refused() {
        assert_eq!(layout().model(&"n".repeat(241)).expect_err("too long").code(), "invalid_name");
        assert_eq!(layout().model(&"ü".repeat(100)).expect_err("too long encoded").code(), "invalid_name");
        assert_eq!(layout().alias("m", &"a".repeat(236)).expect_err("too long").code(), "invalid_name");
        assert!(layout().alias("m", &"a".repeat(235)).is_ok());
    }
}

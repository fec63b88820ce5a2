//! The files of a model, and the digest that pins them.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The files of one model by relative path: an MLflow model directory, or one bare `.onnx` file
/// (with the external data beside it, if it has any).
#[derive(Clone, Debug, Default)]
pub struct Artifact {
    files: BTreeMap<String, Bytes>,
    /// Of these files, once anybody has asked: models are large, and each step on the way to one asks for its digest.
    manifest: Arc<OnceLock<Manifest>>,
}

impl PartialEq for Artifact {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

impl Eq for Artifact {}

impl Artifact {
    /// Paths are relative to the model's directory and separated by `/`.
    pub fn new(files: BTreeMap<String, Bytes>) -> Self {
        Self { files, manifest: Arc::default() }
    }

    /// Every file, in path order.
    pub fn files(&self) -> &BTreeMap<String, Bytes> {
        &self.files
    }

    /// The content of the file at exactly this path.
    pub fn file(&self, path: &str) -> Option<&Bytes> {
        self.files.get(path)
    }

    /// Path, size and sha256 of every file, in path order. Hashes the files the first time.
    pub fn manifest(&self) -> &Manifest {
        self.manifest.get_or_init(|| self.files.iter().map(|(path, content)| FileEntry::of(path, content)).collect())
    }

    /// The digest of the manifest: equal digests mean equal files under equal paths.
    pub fn digest(&self) -> Digest {
        Digest::of(self.manifest())
    }
}

/// What an artifact consists of, in path order.
pub type Manifest = Vec<FileEntry>;

/// One file of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the model's directory.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Of the content, 64 hexadecimal digits.
    pub sha256: String,
}

impl FileEntry {
    fn of(path: &str, content: &[u8]) -> Self {
        Self { path: path.to_owned(), size: content.len() as u64, sha256: hex(&Sha256::digest(content)) }
    }
}

/// The identity of a model's files: sha256 over the lines `path \0 size \0 sha256 \n` of its sorted manifest.
///
/// MLflow keeps no checksum of a version and its files can be replaced in place, so this is what a plan pins.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of a manifest, whatever order its entries are in.
    pub fn of(manifest: &[FileEntry]) -> Self {
        let mut entries: Vec<_> = manifest.iter().collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let mut hash = Sha256::new();
        for entry in entries {
            hash.update(format!("{}\0{}\0{}\n", entry.path, entry.size, entry.sha256));
        }
        Self(hex(&hash.finalize()))
    }

    /// All 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let is_digest = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_digest { Ok(Self(text.to_owned())) } else { Err(InvalidDigest) }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

/// A text that is not 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a model digest is 64 lowercase hexadecimal digits")]
pub struct InvalidDigest;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(files: &[(&str, &str)]) -> Artifact {
        Artifact::new(
            files.iter().map(|(path, text)| (path.to_string(), Bytes::from(text.as_bytes().to_vec()))).collect(),
        )
    }

    #[test]
    fn a_manifest_names_each_file_with_its_size_and_sha256() {
        let artifact = artifact(&[("b", ""), ("a", "abc")]);
        let manifest = artifact.manifest();
        assert_eq!(manifest[0].path, "a");
        assert_eq!(manifest[0].size, 3);
        assert_eq!(manifest[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(manifest[1].sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn the_digest_changes_with_a_byte_and_with_a_name_and_not_with_order() {
        let digest = artifact(&[("a", "abc"), ("b", "")]).digest();
        assert_ne!(digest, artifact(&[("a", "abd"), ("b", "")]).digest());
        assert_ne!(digest, artifact(&[("a", "abc"), ("c", "")]).digest());
        let mut reversed = artifact(&[("a", "abc"), ("b", "")]).manifest().clone();
        reversed.reverse();
        assert_eq!(digest, Digest::of(&reversed));
    }

    #[test]
    fn a_digest_reads_back_what_it_prints_and_nothing_else() {
        let digest = artifact(&[("a", "abc")]).digest();
        assert_eq!(digest.to_string().parse(), Ok(digest.clone()));
        assert_eq!(digest.short(), &digest.as_str()[..12]);
        assert_eq!("abc".parse::<Digest>(), Err(InvalidDigest));
        assert!(serde_json::from_str::<Digest>("\"../../etc\"").is_err());
    }
}

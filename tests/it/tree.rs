//! The files of the repository, as the tests that keep it in order read them.

use std::fs;
use std::path::{Path, PathBuf};

/// What git ignores, wherever they lie.
const IGNORED: [&str; 4] = [".git", ".venv", ".volley", "__pycache__"];

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in a folder of the repository")
}

/// A text file: its path from the root, with slashes, and its content.
pub struct TextFile {
    pub path: String,
    pub text: String,
}

impl TextFile {
    pub fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().expect("splitting gives at least one part")
    }
}

/// Every file of the repository that is UTF-8 text, in path order.
pub fn text_files() -> Vec<TextFile> {
    let mut files = vec![];
    collect(root(), &mut files);
    files.sort();
    files.into_iter().filter_map(|path| read(&path)).collect()
}

/// Every Rust file of the repository.
pub fn rust_files() -> Vec<TextFile> {
    let files: Vec<_> = text_files().into_iter().filter(|file| file.extension() == "rs").collect();
    assert!(files.len() > 50, "only {} Rust files were found", files.len());
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        // In a second work tree `.git` is a file.
        if IGNORED.contains(&name.as_ref()) {
            continue;
        }
        if path.is_dir() {
            let is_output = path == root().join("target") || path.ends_with("examples/flights/out");
            if !is_output {
                collect(&path, files);
            }
        } else {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> Option<TextFile> {
    let text = String::from_utf8(fs::read(path).ok()?).ok()?;
    let path = path.strip_prefix(root()).expect("it was found below the root");
    Some(TextFile { path: path.to_string_lossy().replace('\\', "/"), text })
}

//! From the path or URL in a statement to a folder of an object store.

use std::path::{Component, Path as FilePath, PathBuf};

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::path::Path;
use url::Url;
use volley_commit::Location;

use crate::error::{ConnectError, Result};

/// The value of a folder that stands for NULL, as in Hive and Spark.
pub(crate) const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// The absolute URL of a path or URL, always spelled the same way: `.` and `..` are resolved, a slash
/// at the end is kept. A path without a scheme is relative to `base`.
pub fn absolute_url(base: &FilePath, text: &str) -> Result<Url> {
    let invalid =
        || ConnectError::TableNotFound { table: text.to_owned(), hint: ": it is no valid path or URL".to_owned() };
    if has_scheme(text) {
        return Url::parse(text).map_err(|_| invalid());
    }
    let path = normal(&std::path::absolute(base.join(text)).map_err(|_| invalid())?);
    let is_folder = text.ends_with('/') || text.ends_with("/.") || text.ends_with("..") || text == ".";
    let url = if is_folder { Url::from_directory_path(path) } else { Url::from_file_path(path) };
    url.map_err(|()| invalid())
}

/// Whether a text names a store, as in `s3://…`, and not a local path.
pub(crate) fn has_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

/// The folder at an absolute URL, in the store that `runtime` has for it. The URL ends in a slash.
///
/// Errors: `not_built` when no store is registered for the URL, `table_not_found` when it is none.
pub fn location(url: &str, runtime: &RuntimeEnv) -> Result<Location> {
    let folder = format!("{}/", url.trim_end_matches('/'));
    let parsed = Url::parse(&folder)
        .map_err(|_| ConnectError::TableNotFound { table: url.to_owned(), hint: ": it is no valid URL".to_owned() })?;
    let (store_url, prefix) = parts(&parsed)?;
    let store = runtime.object_store(&store_url).map_err(|_| no_store(&folder))?;
    Ok(Location::new(store, prefix, parsed.as_str()))
}

/// The store's own URL and the path in it.
pub(crate) fn parts(url: &Url) -> Result<(ListingTableUrl, Path)> {
    let table = ListingTableUrl::try_new(url.clone(), None)
        .map_err(|error| ConnectError::BadFile { file: url.to_string(), reason: error.strip_backtrace() })?;
    let prefix = table.prefix().clone();
    Ok((table, prefix))
}

/// An object as users spell it: a path on this machine, a URL elsewhere. `store` is any URL of its store.
pub(crate) fn spelled(store: &Url, path: &Path) -> String {
    match store.scheme() {
        "file" => format!("/{path}"),
        scheme => format!("{scheme}://{}/{path}", store.authority()),
    }
}

/// Only stores that were built in are registered.
pub(crate) fn no_store(url: &str) -> ConnectError {
    let scheme = url.split_once(':').map_or(url, |(scheme, _)| scheme);
    ConnectError::NotBuilt { what: format!("'{url}': storage at {scheme}://"), hint: ": use a local path".to_owned() }
}

/// Without `.` and `..`; symbolic links are not followed, so that the name is a function of the text.
fn normal(path: &FilePath) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_has_one_spelling() {
        let check = |text, expected| {
            let url = absolute_url(FilePath::new("/data/in"), text).expect("a URL");
            assert_eq!(url.as_str(), expected, "{text}");
        };
        check("trips.parquet", "file:///data/in/trips.parquet");
        check("./trips/", "file:///data/in/trips/");
        check("../out/./x", "file:///data/out/x");
        check("/abs/a b/", "file:///abs/a%20b/");
        check("file:///abs/../x/", "file:///x/");
        check("memory:///a/b", "memory:///a/b");
        check("s3://lake/day=2026-11-22/", "s3://lake/day=2026-11-22/");
    }
}

//! From the path or URL in a statement to a folder of an object store.

use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use object_store::path::Path;
use url::Url;
use volley_commit::Location;

use crate::error::{ConnectError, Result};
use crate::redact::without_secrets;
use crate::stores::{STAGING, Scheme, StoreFault, Stores};

/// The value of a folder that stands for NULL, as in Hive and Spark.
pub(crate) const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// The absolute URL of a path or URL, always spelled the same way: `.` and `..` are resolved, a slash
/// at the end is kept. A path without a scheme is relative to `base`.
///
/// Errors: `table_not_found` for what is neither, `credentials_in_url`.
pub fn absolute_url(base: &FilePath, text: &str) -> Result<Url> {
    if has_scheme(text) {
        return store_url(text);
    }
    let invalid =
        || ConnectError::TableNotFound { table: text.to_owned(), hint: ": it is no valid path or URL".to_owned() };
    let path = normal(&std::path::absolute(base.join(text)).map_err(|_| invalid())?);
    let is_folder = text.ends_with('/') || text.ends_with("/.") || text.ends_with("..") || text == ".";
    let url = if is_folder { Url::from_directory_path(path) } else { Url::from_file_path(path) };
    url.map_err(|()| invalid())
}

/// A URL of a store. It may hold nothing but the place: what else it holds would get into plans and messages,
/// and no store would see it.
pub(crate) fn store_url(text: &str) -> Result<Url> {
    let shown = without_secrets(text);
    let invalid = |hint: &str| ConnectError::TableNotFound { table: shown.clone(), hint: hint.to_owned() };
    let mut url = Url::parse(text).map_err(|_| invalid(": it is no valid URL"))?;
    let names_container = matches!(url.scheme(), "abfs" | "abfss") && url.password().is_none();
    let has_user = !url.username().is_empty() || url.password().is_some();
    if (has_user && !names_container) || url.query().is_some() || url.fragment().is_some() {
        return Err(StoreFault::CredentialsInUrl { url: shown }.into());
    }
    if url.scheme() != "file" && url.host_str().is_none_or(str::is_empty) {
        return Err(invalid(": it names no bucket"));
    }
    // As Spark calls it.
    if url.scheme() == "s3a" {
        url.set_scheme("s3").map_err(|()| invalid(": it is no valid URL"))?;
    }
    Ok(url)
}

/// Whether a text names a store, as in `s3://…`, and not a local path.
pub(crate) fn has_scheme(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

/// The folder at an absolute URL, in the store that `runtime` has for it. The URL ends in a slash.
///
/// Errors: `table_not_found` when it is none, and what stands between us and its store ([`StoreFault`]).
pub fn location(url: &str, runtime: &RuntimeEnv) -> Result<Location> {
    let folder = store_url(&format!("{}/", url.trim_end_matches('/')))?;
    let (_, prefix) = parts(&folder)?;
    Ok(Location::new(store_of(&folder, runtime)?, prefix, folder.as_str()))
}

/// The store of a URL.
pub(crate) fn store_of(url: &Url, runtime: &RuntimeEnv) -> Result<Arc<dyn ObjectStore>> {
    let (table, _) = parts(url)?;
    runtime.object_store(&table).map_err(|error| match StoreFault::find(&error) {
        Some(fault) => fault.clone().into(),
        None => ConnectError::BadFile { file: url.to_string(), reason: error.strip_backtrace() },
    })
}

/// Where results for a destination wait until they are published: beside it in a file system, so that
/// publishing is a rename; in a bucket at its root, or where its connection says.
pub fn staging(destination: &Location, stores: &Stores, runtime: &RuntimeEnv) -> Result<Location> {
    let url = store_url(&destination.url)?;
    if Scheme::of(&url)? != Scheme::File {
        return location(&stores.staging(&url), runtime);
    }
    let folder = destination.url.trim_end_matches('/');
    let parent = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
    location(&format!("{parent}/{STAGING}/"), runtime)
}

/// Whether a location is in a store that is reached over a network, where a call of a process that is dead may
/// still be under way.
pub fn is_remote(url: &str) -> bool {
    !url.starts_with("file:")
}

/// The store's own URL and the path in it.
pub(crate) fn parts(url: &Url) -> Result<(ListingTableUrl, Path)> {
    let table = ListingTableUrl::try_new(url.clone(), None)
        .map_err(|error| ConnectError::BadFile { file: url.to_string(), reason: error.strip_backtrace() })?;
    let prefix = table.prefix().clone();
    Ok((table, prefix))
}

/// What a path in a store begins with where people read it: `/` on this machine, else as `s3://lake/`.
pub fn shown_store(store: &str) -> String {
    Url::parse(store).map_or_else(|_| "/".to_owned(), |store| spelled(&store, &Path::default()))
}

/// An object as users spell it: a path on this machine, a URL elsewhere. `store` is any URL of its store.
pub(crate) fn spelled(store: &Url, path: &Path) -> String {
    match store.scheme() {
        "file" => format!("/{path}"),
        scheme => format!("{scheme}://{}/{path}", store.authority()),
    }
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
        check("s3://lake/day=2026-11-22/", "s3://lake/day=2026-11-22/");
        check("s3a://lake/./a/../b/", "s3://lake/b/");
        check("abfss://in@lake.dfs.core.windows.net/x", "abfss://in@lake.dfs.core.windows.net/x");
        check("HTTPS://Example.org:443/x.csv", "https://example.org/x.csv");
    }

    #[test]
    fn a_url_holds_a_place_and_nothing_else() {
        for text in [
            "s3://key:CANARY@lake/x",
            "s3://CANARY@lake/x",
            "https://example.org/x.csv?sig=CANARY",
            "https://user:CANARY@example.org/x.csv",
            "abfss://in:CANARY@lake.dfs.core.windows.net/x",
            "s3://lake/x#CANARY",
        ] {
            let error = absolute_url(FilePath::new("/"), text).expect_err(text);
            assert_eq!(error.code(), "credentials_in_url");
            assert!(!error.to_string().contains("CANARY"), "{error}");
        }
        for text in ["s3://key:CANARY@[::/x", "s3:///x"] {
            let error = absolute_url(FilePath::new("/"), text).expect_err(text);
            assert_eq!(error.code(), "table_not_found");
            assert!(!error.to_string().contains("CANARY"), "{error}");
        }
    }
}

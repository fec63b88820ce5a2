//! What lies at a path: which files, of which kind, in which folders.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::arrow::datatypes::DataType;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::datasource::listing::helpers::parse_partitions_for_path;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use super::columns::bad;
use super::hive::{Folders, PartitionColumns};
use super::links;
use crate::error::{ConnectError, Result};
use crate::format::{FileKind, Format, ending};
use crate::location::{has_scheme, parts, spelled, store_of};
use crate::reach::Base;
use crate::stores::{Scheme, StoreFault};

/// The files of a table, as found once.
#[derive(Debug)]
pub(super) struct Survey {
    /// The table as the statement spells it.
    pub(super) table: String,
    url: Url,
    shape: Shape,
    /// Data files, by path.
    files: Vec<ObjectMeta>,
    folders: Folders,
    /// Why a folder may look empty.
    hint: String,
    /// Files of the folder that are not part of the table: markers, leftovers, those of deeper folders.
    others: Vec<Path>,
}

#[derive(Debug, PartialEq)]
enum Shape {
    File,
    Folder,
    Pattern,
}

impl Survey {
    /// A place where nothing is yet.
    pub(super) fn empty(folder: Url, table: &str) -> Self {
        Self {
            table: table.to_owned(),
            url: folder,
            shape: Shape::Folder,
            files: vec![],
            folders: Folders::default(),
            hint: String::new(),
            others: vec![],
        }
    }

    /// Looks at a path, URL or pattern. Errors: `table_not_found`, `table_access_denied`,
    /// `table_format`, `bad_file`, `store_failed`.
    pub(super) async fn of(base: &Base, text: &str, runtime: &RuntimeEnv) -> Result<Self> {
        let is_http = has_scheme(text) && text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("http"));
        if let Some((folder, pattern)) = split_pattern(text).filter(|_| !is_http) {
            return Self::of_pattern(base, text, folder, pattern, runtime).await;
        }
        let url = base.url(text)?;
        base.check_host(text, &url).await?;
        Self::of_url(url, text, runtime).await
    }

    /// Looks at one place, which `text` names. Errors as [`Survey::of`].
    pub(super) async fn of_url(url: Url, text: &str, runtime: &RuntimeEnv) -> Result<Self> {
        let (_, path) = parts(&url)?;
        let store = store_of(&url, runtime)?;
        let can_list = !matches!(Scheme::of(&url), Ok(Scheme::Http));
        let is_listed = url.path().ends_with('/') || (!can_list && is_pattern(text));
        if !is_listed && let Some(file) = head(store.as_ref(), &path, text).await? {
            return Ok(Self { shape: Shape::File, files: vec![file], ..Self::empty(url, text) });
        }
        if !can_list {
            return Err(match is_listed {
                true => StoreFault::NotListable { url: text.to_owned() }.into(),
                false => ConnectError::TableNotFound { table: text.to_owned(), hint: String::new() },
            });
        }
        let folder = Url::parse(&format!("{}/", url.as_str().trim_end_matches('/'))).unwrap_or(url);
        let found = list(store.as_ref(), &path, text).await?;
        if found.is_empty() && !is_local_folder(&folder) {
            return Err(not_found(store.as_ref(), &path, text).await);
        }
        let survey = Self::empty(folder, text).with_folder_files(&path, found)?;
        links::check(&survey.url, text, &survey.files).await?;
        Ok(survey)
    }

    fn with_folder_files(mut self, root: &Path, found: Vec<ObjectMeta>) -> Result<Self> {
        for file in found {
            let Some(relative) = relative(root, &file.location) else { continue };
            self.check_table_format(&relative)?;
            let (name, folders) = relative.split_last().expect("a file has a name");
            let is_left_out = is_hidden(name) || folders.iter().any(|folder| is_hidden(folder));
            match folders.iter().find(|folder| !folder.contains('=')) {
                _ if is_left_out => self.others.push(file.location),
                // DataFusion does not descend either; without this the table would just look empty.
                Some(folder) => {
                    let table = &self.table;
                    self.hint = format!(", its files lie in the folder '{folder}': name that, or use '{table}**/*'");
                    self.others.push(file.location);
                }
                None => {
                    self.folders.add(&self.name_of(&file.location), folders)?;
                    self.files.push(file);
                }
            }
        }
        self.files.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(self)
    }

    /// The removed files of such tables lie beside the live ones.
    fn check_table_format(&self, relative: &[&str]) -> Result<()> {
        let kind = match relative {
            ["_delta_log", ..] => "Delta Lake",
            ["metadata", file] if file.ends_with(".metadata.json") => "Iceberg",
            [".hoodie", ..] => "Hudi",
            _ => return Ok(()),
        };
        Err(ConnectError::TableFormat { table: self.table.clone(), kind })
    }

    async fn of_pattern(base: &Base, text: &str, folder: &str, pattern: &str, runtime: &RuntimeEnv) -> Result<Self> {
        let url = base.url(if folder.is_empty() { "./" } else { folder })?;
        let (_, root) = parts(&url)?;
        let store = store_of(&url, runtime)?;
        let pattern = Pattern::new(pattern).map_err(|error| ConnectError::TableNotFound {
            table: text.to_owned(),
            hint: format!(": it is no valid pattern, {}", error.msg),
        })?;
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
        let mut files: Vec<ObjectMeta> = list(store.as_ref(), &root, text).await?;
        files.retain(|file| {
            relative(&root, &file.location).is_some_and(|names| {
                !names.iter().any(|name| is_hidden(name)) && pattern.matches_with(&names.join("/"), options)
            }) && !base.is_closed(&url, &file.location)
        });
        if files.is_empty() {
            return Err(ConnectError::TableNotFound { table: text.to_owned(), hint: ": no file matches".to_owned() });
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
        links::check(&url, text, &files).await?;
        Ok(Self { shape: Shape::Pattern, files, ..Self::empty(url, text) })
    }

    /// Refuses a table without rows to tell its columns from.
    pub(super) fn need_files(&self) -> Result<()> {
        if self.files.iter().any(|file| file.size > 0) || self.first_damaged().is_some() {
            return Ok(());
        }
        Err(ConnectError::TableEmpty { table: self.table.clone(), hint: self.hint.clone() })
    }

    /// A file without a byte, of a format that cannot be that short: DataFusion would skip it.
    fn first_damaged(&self) -> Option<&ObjectMeta> {
        let is_damaged = |file: &&ObjectMeta| file.size == 0 && kind(file).is_some_and(|kind| kind.format.has_footer());
        self.files.iter().find(is_damaged)
    }

    /// The one kind of all files, by their names.
    pub(super) fn kind_by_names(&self) -> Result<FileKind> {
        let first = self.files.first().expect("a table with files");
        let known = self.files.iter().find(|file| kind(file).is_some());
        let Some(known) = known else {
            return Err(ConnectError::UnknownFormat { file: name(first).to_owned() });
        };
        let kind = kind(known).expect("looked for");
        self.check_siblings(known)?;
        self.check_damage()?;
        Ok(kind)
    }

    /// Refuses files that are known to be of another format than the declared one.
    pub(super) fn check_kind(&self, format: Format) -> Result<()> {
        if let Some(other) = self.files.iter().find(|file| kind(file).is_some_and(|kind| kind.format != format)) {
            let reason = format!("the table is declared STORED AS {}", format.to_string().to_uppercase());
            return Err(ConnectError::BadFile { file: self.name_of(&other.location), reason });
        }
        match self.files.first() {
            Some(first) => self.check_siblings(first)?,
            None => return Ok(()),
        }
        self.check_damage()
    }

    pub(super) fn kind_of_first(&self) -> Option<FileKind> {
        self.files.first().and_then(kind)
    }

    fn check_siblings(&self, file: &ObjectMeta) -> Result<()> {
        match self.files.iter().find(|other| ending(name(other)) != ending(name(file))) {
            None => Ok(()),
            Some(other) => Err(ConnectError::MixedFormats {
                table: self.table.clone(),
                first: name(file).to_owned(),
                second: name(other).to_owned(),
            }),
        }
    }

    fn check_damage(&self) -> Result<()> {
        match self.first_damaged() {
            None => Ok(()),
            Some(file) => {
                Err(ConnectError::BadFile { file: self.name_of(&file.location), reason: "it is empty".to_owned() })
            }
        }
    }

    /// The partition columns that the folders spell.
    pub(super) fn partition_columns(&self) -> Result<PartitionColumns> {
        Ok(self.folders.columns())
    }

    /// Whether nothing is there yet.
    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What the names of the files must end in for DataFusion to take them.
    pub(super) fn ending(&self) -> &str {
        match (&self.shape, self.files.first()) {
            (Shape::Folder, Some(file)) => ending(name(file)),
            _ => "",
        }
    }

    /// The store of the files.
    pub(super) fn store(&self, runtime: &RuntimeEnv) -> Result<Arc<dyn ObjectStore>> {
        store_of(&self.url, runtime)
    }

    /// The files that hold something.
    pub(super) fn data_files(&self) -> impl Iterator<Item = &ObjectMeta> {
        self.files.iter().filter(|file| file.size > 0)
    }

    /// The bytes of an object beside the files, if it is there.
    pub(super) async fn read(&self, name: &str, runtime: &RuntimeEnv) -> Result<Option<Bytes>> {
        let (_, folder) = parts(&self.url)?;
        let failed = |error| ConnectError::store(&self.table, error);
        match self.store(runtime)?.get(&folder.join(name)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// The path of a file below the folder.
    pub(super) fn relative_name<'a>(&self, file: &'a Path) -> &'a str {
        let root = parts(&self.url).map(|(_, root)| root).unwrap_or_default();
        file.as_ref().strip_prefix(root.as_ref()).unwrap_or(file.as_ref()).trim_start_matches('/')
    }

    /// A file as messages name it.
    pub(super) fn name_of(&self, file: &Path) -> String {
        spelled(&self.url, file)
    }

    /// Where DataFusion is to look for files with this ending, so that it finds the files of the survey and
    /// no others.
    pub(super) fn urls(&self, partitions: &[(String, DataType)], ending: &str) -> Result<Vec<ListingTableUrl>> {
        let table = |url: Url| parts(&url).map(|(table, _)| table);
        let each_file = || self.files.iter().map(|file| table(file_url(&self.url, &file.location))).collect();
        match self.shape {
            Shape::File => return Ok(vec![table(self.url.clone())?]),
            Shape::Pattern => return each_file(),
            Shape::Folder => {}
        }
        let folder = table(self.url.clone())?;
        let visible = format!("[!._]*{}", Pattern::escape(ending));
        let visible = folder.clone().with_glob(&visible).map_err(|error| bad(&self.table, &error))?;
        let listing = Listing { partitions, ending };
        let mut wrong = None;
        for url in [folder, visible] {
            wrong = self.first_wrong(&url, listing);
            if wrong.is_none() {
                return Ok(vec![url]);
            }
        }
        match wrong {
            Some(file) if !partitions.is_empty() => {
                let reason = "its name, or that of its folder, cannot be told apart from those of the table's \
                    files: rename it or move it away";
                Err(ConnectError::BadFile { file: self.name_of(file), reason: reason.to_owned() })
            }
            _ => each_file(),
        }
    }

    /// A file that DataFusion would read and should not, or the other way round.
    fn first_wrong(&self, url: &ListingTableUrl, listing: Listing<'_>) -> Option<&Path> {
        let missed = self.files.iter().map(|file| &file.location).find(|file| !listing.takes(url, file));
        missed.or_else(|| self.others.iter().find(|file| listing.takes(url, file)))
    }
}

/// DataFusion's rules for the files of a folder.
#[derive(Clone, Copy)]
struct Listing<'a> {
    partitions: &'a [(String, DataType)],
    ending: &'a str,
}

impl Listing<'_> {
    fn takes(&self, url: &ListingTableUrl, file: &Path) -> bool {
        let names = self.partitions.iter().map(|(name, _)| name.as_str());
        let in_folders = self.partitions.is_empty() || parse_partitions_for_path(url, file, names).is_some();
        file.as_ref().ends_with(self.ending) && url.contains(file, true) && in_folders
    }
}

fn kind(file: &ObjectMeta) -> Option<FileKind> {
    FileKind::of(name(file))
}

fn name(file: &ObjectMeta) -> &str {
    file.location.filename().unwrap_or_default()
}

/// As for Spark: markers and other writers' leftovers, but not the folder of a column `_x`.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
}

fn relative<'a>(root: &Path, path: &'a Path) -> Option<Vec<&'a str>> {
    let rest = path.as_ref().strip_prefix(root.as_ref())?;
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    (!rest.is_empty()).then(|| rest.split('/').collect())
}

fn file_url(folder: &Url, path: &Path) -> Url {
    let mut url = folder.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(path.as_ref().split('/'));
    }
    url
}

pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// `a/b/*.csv` is the folder `a/b/` and the pattern `*.csv` in it.
fn split_pattern(text: &str) -> Option<(&str, &str)> {
    let wild = text.find(['*', '?', '['])?;
    Some(text.split_at(text[..wild].rfind('/').map_or(0, |slash| slash + 1)))
}

fn is_local_folder(url: &Url) -> bool {
    url.scheme() == "file" && url.to_file_path().is_ok_and(|path| path.is_dir())
}

async fn head(store: &dyn ObjectStore, path: &Path, text: &str) -> Result<Option<ObjectMeta>> {
    match store.head(path).await {
        Ok(meta) => Ok(Some(meta)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(ConnectError::store(text, error)),
    }
}

async fn list(store: &dyn ObjectStore, folder: &Path, text: &str) -> Result<Vec<ObjectMeta>> {
    store.list(Some(folder)).try_collect().await.map_err(|error| ConnectError::store(text, error))
}

/// Names the sibling that is spelled most alike.
async fn not_found(store: &dyn ObjectStore, path: &Path, text: &str) -> ConnectError {
    let mut parent: Vec<_> = path.parts().collect();
    let wanted = parent.pop().map(|name| name.as_ref().to_owned()).unwrap_or_default();
    let siblings = match store.list_with_delimiter(Some(&Path::from_iter(parent))).await {
        Ok(siblings) => siblings,
        Err(error) => return ConnectError::store(text, error),
    };
    let files = siblings.objects.iter().map(|file| name(file).to_owned());
    let folders = siblings.common_prefixes.iter().filter_map(|path| path.filename()).map(|name| format!("{name}/"));
    let nearest = files
        .chain(folders)
        .filter(|name| !is_hidden(name))
        .map(|name| (strsim::damerau_levenshtein(name.trim_end_matches('/'), &wanted), name))
        .filter(|(distance, _)| *distance <= 1 + wanted.len() / 4)
        .min();
    let hint = nearest.map(|(_, name)| format!("; did you mean '{}{name}'?", folder_of(text))).unwrap_or_default();
    ConnectError::TableNotFound { table: text.to_owned(), hint }
}

fn folder_of(text: &str) -> &str {
    let file = text.trim_end_matches('/');
    &file[..file.rfind('/').map_or(0, |slash| slash + 1)]
}

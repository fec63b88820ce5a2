//! What lies at a path: which files, of which kind, in which folders.

use std::path::Path as FilePath;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use glob::{MatchOptions, Pattern};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use url::Url;

use super::hive::Folders;
use crate::error::{ConnectError, Result};
use crate::format::{FileKind, Format, ending};
use crate::location::{absolute_url, no_store, parts};

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
    /// Hidden files that only a pattern keeps out of DataFusion's listing.
    hides_some: bool,
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
            hides_some: false,
        }
    }

    /// Looks at a path, URL or pattern. Errors: `table_not_found`, `table_access_denied`,
    /// `table_format`, `bad_file`, `store_failed`.
    pub(super) async fn of(base: &FilePath, text: &str, runtime: &RuntimeEnv) -> Result<Self> {
        if let Some((folder, pattern)) = split_pattern(text) {
            return Self::of_pattern(base, text, folder, pattern, runtime).await;
        }
        let url = absolute_url(base, text)?;
        let (store_url, path) = parts(&url)?;
        let store = runtime.object_store(&store_url).map_err(|source| no_store(text, source))?;
        if !url.path().ends_with('/')
            && let Some(file) = head(store.as_ref(), &path, text).await?
        {
            return Ok(Self { shape: Shape::File, files: vec![file], ..Self::empty(url, text) });
        }
        let folder = Url::parse(&format!("{}/", url.as_str().trim_end_matches('/'))).unwrap_or(url);
        let found = list(store.as_ref(), &path, text).await?;
        if found.is_empty() && !is_local_folder(&folder) {
            return Err(not_found(store.as_ref(), &path, text).await);
        }
        Self::empty(folder, text).with_folder_files(&path, found)
    }

    fn with_folder_files(mut self, root: &Path, found: Vec<ObjectMeta>) -> Result<Self> {
        for file in found {
            let Some(relative) = relative(root, &file.location) else { continue };
            self.check_table_format(&relative)?;
            let (name, folders) = relative.split_last().expect("a file has a name");
            if is_hidden(name) {
                self.hides_some = true;
            } else if folders.iter().any(|folder| is_hidden(folder)) {
                // Markers and leftovers of other writers.
            } else if let Some(folder) = folders.iter().find(|folder| !folder.contains('=')) {
                // DataFusion does not descend either; without this the table would just look empty.
                self.hint = format!(", its files lie in the folder '{folder}': name that, or use '{}**/*'", self.table);
            } else {
                self.folders.add(file.location.as_ref(), folders)?;
                self.files.push(file);
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

    async fn of_pattern(
        base: &FilePath,
        text: &str,
        folder: &str,
        pattern: &str,
        runtime: &RuntimeEnv,
    ) -> Result<Self> {
        let url = absolute_url(base, if folder.is_empty() { "./" } else { folder })?;
        let (store_url, root) = parts(&url)?;
        let store = runtime.object_store(&store_url).map_err(|source| no_store(text, source))?;
        let pattern = Pattern::new(pattern).map_err(|error| ConnectError::TableNotFound {
            table: text.to_owned(),
            hint: format!(": it is no valid pattern, {}", error.msg),
        })?;
        let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
        let mut files: Vec<ObjectMeta> = list(store.as_ref(), &root, text).await?;
        files.retain(|file| {
            relative(&root, &file.location).is_some_and(|names| {
                !names.iter().any(|name| is_hidden(name)) && pattern.matches_with(&names.join("/"), options)
            })
        });
        if files.is_empty() {
            return Err(ConnectError::TableNotFound { table: text.to_owned(), hint: ": no file matches".to_owned() });
        }
        files.sort_by(|a, b| a.location.cmp(&b.location));
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
            return Err(ConnectError::BadFile { file: other.location.to_string(), reason });
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
                Err(ConnectError::BadFile { file: file.location.to_string(), reason: "it is empty".to_owned() })
            }
        }
    }

    /// The partition columns that the folders spell.
    pub(super) fn partition_columns(&self) -> Result<Vec<(String, DataType)>> {
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

    /// Where DataFusion is to look.
    pub(super) fn urls(&self) -> Result<Vec<ListingTableUrl>> {
        let table = |url: Url| parts(&url).map(|(table, _)| table);
        match self.shape {
            Shape::File => Ok(vec![table(self.url.clone())?]),
            Shape::Pattern => self.files.iter().map(|file| table(file_url(&self.url, &file.location))).collect(),
            Shape::Folder => {
                let folder = table(self.url.clone())?;
                let visible = folder.clone().with_glob("[!._]*").map_err(|error| bad(&self.table, &error))?;
                Ok(vec![if self.hides_some { visible } else { folder }])
            }
        }
    }
}

/// The columns of the files, partition columns left out: the folder's value is the one that counts.
pub(super) async fn columns(
    session: &dyn Session,
    surveys: &[Survey],
    format: &dyn FileFormat,
    partitions: &[(String, DataType)],
) -> Result<SchemaRef> {
    let mut schemas = vec![];
    for survey in surveys {
        schemas.push(survey.columns(session, format).await?.as_ref().clone());
    }
    let schema = Schema::try_merge(schemas).map_err(|error| bad(&surveys[0].table, &error.into()))?;
    let is_folder = |name: &str| partitions.iter().any(|(partition, _)| partition == name);
    let fields = schema.fields().iter().filter(|field| !is_folder(field.name())).cloned();
    Ok(Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())))
}

impl Survey {
    async fn columns(&self, session: &dyn Session, format: &dyn FileFormat) -> Result<SchemaRef> {
        let (store_url, _) = parts(&self.url)?;
        let store = session.runtime_env().object_store(&store_url).map_err(|source| no_store(&self.table, source))?;
        let files: Vec<ObjectMeta> = self.files.iter().filter(|file| file.size > 0).cloned().collect();
        match format.infer_schema(session, &store, &files).await {
            Ok(schema) => Ok(schema),
            Err(error) => Err(self.culprit(session, format, &store, &files, error).await),
        }
    }

    /// The first file that cannot be read, or that does not go with those before it.
    async fn culprit(
        &self,
        session: &dyn Session,
        format: &dyn FileFormat,
        store: &Arc<dyn ObjectStore>,
        files: &[ObjectMeta],
        whole: DataFusionError,
    ) -> ConnectError {
        let mut merged = Schema::empty();
        for file in files {
            let path = file.location.as_ref();
            let schema = match format.infer_schema(session, store, std::slice::from_ref(file)).await {
                Ok(schema) => schema,
                Err(error) => return bad(path, &error),
            };
            merged = match Schema::try_merge([merged, schema.as_ref().clone()]) {
                Ok(merged) => merged,
                Err(error) => return bad(path, &error.into()),
            };
        }
        bad(&self.table, &whole)
    }
}

/// The error of reading a file, which may be the store's.
pub(super) fn bad(file: &str, error: &DataFusionError) -> ConnectError {
    if let DataFusionError::ObjectStore(source) = error.find_root()
        && !matches!(source.as_ref(), object_store::Error::NotFound { .. })
    {
        let source = object_store::Error::Generic { store: "table", source: source.to_string().into() };
        return ConnectError::store(file, source);
    }
    let message = error.strip_backtrace();
    ConnectError::BadFile { file: file.to_owned(), reason: message.lines().next().unwrap_or_default().to_owned() }
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

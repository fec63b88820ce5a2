//! File tables: from a quoted path or a LOCATION to a table, or to an error that says what is wrong.

mod append;
mod arrow_file;
mod columns;
mod hive;
mod links;
mod survey;
mod text;

use std::collections::HashMap;
use std::path::Path as FilePath;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::{DynamicFileCatalog, Session, TableProvider, TableProviderFactory, UrlTableFactory};
use datafusion::config::{ConfigFileType, TableOptions};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::CreateExternalTable;
use datafusion::prelude::SessionContext;

use crate::error::{ConnectError, Result};
use crate::format::{FileKind, Format};
use crate::location::has_scheme;
use crate::reach::Base;
pub use append::check_append;
use columns::Columns;
use hive::PartitionColumns;
use survey::Survey;

/// Makes tables of files: of quoted paths and URLs, and of `CREATE EXTERNAL TABLE`.
///
/// Its tables are DataFusion's own [`ListingTable`]s, so that plans over them travel.
pub struct TableFactory {
    base: Base,
    session: OnceLock<CurrentSession>,
}

/// The session's state as it is now; `None` once its context is gone, which the factory must not keep.
type CurrentSession = Box<dyn Fn() -> Option<SessionState> + Send + Sync>;

impl std::fmt::Debug for TableFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableFactory").field("base", &self.base).finish_non_exhaustive()
    }
}

impl TableFactory {
    /// A factory for which paths without a scheme begin at `base`, and none leads farther than that reaches.
    pub fn new(base: impl Into<Base>) -> Arc<Self> {
        Arc::new(Self { base: base.into(), session: OnceLock::new() })
    }

    /// The context with this factory behind quoted names and `CREATE EXTERNAL TABLE`, in the place of
    /// DataFusion's own. One factory serves one context, and uses its session, `SET`s included.
    pub fn install(self: &Arc<Self>, context: SessionContext) -> SessionContext {
        let state = context.state();
        let catalogs = Arc::new(DynamicFileCatalog::new(state.catalog_list().clone(), self.clone()));
        let mut factories = state.table_factories().clone();
        for name in ["PARQUET", "CSV", "JSON", "NDJSON", "JSONL", "ARROW", "FEATHER", "IPC"] {
            factories.insert(name.to_owned(), self.clone());
        }
        let session_id = context.session_id();
        let state = SessionStateBuilder::new_from_existing(state)
            .with_session_id(session_id)
            .with_catalog_list(catalogs)
            .with_table_factories(factories)
            .build();
        let context = SessionContext::new_with_state(state);
        let session = context.state_weak_ref();
        let current = move || session.upgrade().map(|state| state.read().clone());
        assert!(self.session.set(Box::new(current)).is_ok(), "a table factory was installed in two contexts");
        context
    }

    /// The table of the files at a path or URL: one file, a folder, or a pattern with `*`, `?`, `[…]`.
    pub async fn table(&self, session: &dyn Session, text: &str) -> Result<ListingTable> {
        let survey = Survey::of(&self.base, text, session.runtime_env()).await?;
        survey.need_files()?;
        let kind = survey.kind_by_names()?;
        let mut options = session_options(session);
        options.csv.has_header = Some(true);
        settle_csv(session, &mut options);
        build(session, &[survey], kind, &options, Declared::default()).await
    }

    /// A name without any sign of a path is left to DataFusion, whose error then says `table not found`.
    fn is_location(&self, name: &str) -> bool {
        has_scheme(name)
            || name.contains('/')
            || survey::is_pattern(name)
            || FileKind::of(name).is_some()
            || (name.contains('.') && exists(&self.base.folder().join(name)))
    }

    async fn create_table(&self, session: &dyn Session, command: &CreateExternalTable) -> Result<ListingTable> {
        if command.unbounded {
            return Err(ConnectError::NotBuilt { what: "an unbounded table".to_owned(), hint: String::new() });
        }
        let format: Format = command.file_type.parse()?;
        let (options, kind) = table_options(session, format, &command.options)?;
        let mut surveys = vec![];
        for location in &command.locations {
            let survey = Survey::of(&self.base, location, session.runtime_env()).await;
            let survey = match survey {
                // A table may be declared before anything is written to it.
                Err(ConnectError::TableNotFound { .. }) if declares_columns(command) => {
                    Survey::empty(self.new_folder(location)?, location)
                }
                survey => survey?,
            };
            if !declares_columns(command) {
                survey.need_files()?;
            }
            survey.check_kind(format)?;
            surveys.push(survey);
        }
        let kind = surveys.iter().find_map(|survey| survey.kind_of_first()).filter(|_| kind.is_none()).or(kind);
        let kind = kind.unwrap_or(FileKind::plain(format));
        build(session, &surveys, kind, &options, Declared::of(command)).await
    }

    fn new_folder(&self, location: &str) -> Result<url::Url> {
        let folder = format!("{}/", location.trim_end_matches('/'));
        match FileKind::of(location) {
            None => self.base.url(&folder),
            Some(_) => Err(ConnectError::TableNotFound { table: location.to_owned(), hint: String::new() }),
        }
    }
}

fn exists(path: &FilePath) -> bool {
    path.try_exists().unwrap_or(false)
}

fn declares_columns(command: &CreateExternalTable) -> bool {
    !command.schema.fields().is_empty()
}

#[async_trait]
impl UrlTableFactory for TableFactory {
    async fn try_new(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if !self.is_location(name) {
            return Ok(None);
        }
        let state = self.session.get().and_then(|current| current());
        let Some(state) = state else {
            return Err(DataFusionError::Internal("the session of a table factory is gone".to_owned()));
        };
        Ok(Some(Arc::new(self.table(&state, name).await?)))
    }
}

#[async_trait]
impl TableProviderFactory for TableFactory {
    async fn create(
        &self,
        session: &dyn Session,
        command: &CreateExternalTable,
    ) -> DataFusionResult<Arc<dyn TableProvider>> {
        Ok(Arc::new(self.create_table(session, command).await?))
    }
}

/// What `CREATE EXTERNAL TABLE` says beside place and format.
#[derive(Default)]
struct Declared<'a> {
    command: Option<&'a CreateExternalTable>,
}

impl<'a> Declared<'a> {
    fn of(command: &'a CreateExternalTable) -> Self {
        Self { command: Some(command) }
    }

    /// The columns of the files, if they were declared, and the partition columns.
    fn columns(&self, surveys: &[Survey]) -> Result<(Option<SchemaRef>, PartitionColumns)> {
        let found = match surveys {
            [survey] => survey.partition_columns()?,
            _ => vec![],
        };
        let Some(command) = self.command else {
            return Ok((None, found));
        };
        let names = &command.table_partition_cols;
        if !declares_columns(command) {
            let partitions = if names.is_empty() { found } else { named(names, &found)? };
            return Ok((None, partitions));
        }
        let schema = command.schema.as_arrow();
        let mut partitions = vec![];
        for name in names {
            let field = schema.field_with_name(name).map_err(|_| ConnectError::UnsupportedColumns {
                message: format!("PARTITIONED BY names column '{name}', which the table does not declare"),
            })?;
            partitions.push((name.clone(), field.data_type().clone()));
        }
        if !found.is_empty() {
            named(names, &found)?;
        }
        let files = schema.fields().iter().filter(|field| !names.contains(field.name()));
        Ok((Some(Arc::new(Schema::new(files.cloned().collect::<Vec<_>>()))), partitions))
    }
}

/// The found partition columns, if they are those that were named.
fn named(names: &[String], found: &[(String, DataType)]) -> Result<PartitionColumns> {
    let there: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    if names.iter().map(String::as_str).eq(there.iter().copied()) {
        return Ok(found.to_vec());
    }
    let message = format!(
        "the table is declared PARTITIONED BY ({}), its folders are by ({})",
        names.join(", "),
        there.join(", ")
    );
    Err(ConnectError::UnsupportedColumns { message })
}

async fn build(
    session: &dyn Session,
    surveys: &[Survey],
    kind: FileKind,
    options: &TableOptions,
    declared: Declared<'_>,
) -> Result<ListingTable> {
    let (columns, partitions) = declared.columns(surveys)?;
    let format = file_format(kind, options)?;
    let found = Columns { session, kind, format: format.as_ref(), options };
    let columns = match columns {
        Some(columns) => found.check(surveys).await.map(|()| columns)?,
        None => found.of(surveys, &partitions).await?,
    };
    let ending = ending(surveys, kind);
    let mut urls = vec![];
    for survey in surveys {
        urls.extend(survey.urls(&partitions, &ending)?);
    }
    let name = declared.command.map(|command| command.name.clone());
    let urls = urls.into_iter().map(|url| match &name {
        Some(name) => url.with_table_ref(name.clone()),
        None => url,
    });
    let urls: Vec<_> = urls.collect();
    let order = declared.command.map(|command| command.order_exprs.clone()).unwrap_or_default();
    let options = ListingOptions::new(format)
        .with_file_extension(ending)
        .with_table_partition_cols(partitions)
        .with_file_sort_order(order);
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(columns);
    let table = ListingTable::try_new(config)
        .map_err(|error| columns::bad(&surveys[0].table, &error))?
        .with_cache(session.runtime_env().cache_manager.get_file_statistic_cache());
    Ok(match declared.command {
        None => table,
        Some(command) => table
            .with_definition(command.definition.clone())
            .with_constraints(command.constraints.clone())
            .with_column_defaults(command.column_defaults.clone()),
    })
}

/// The ending of the files to read; a table without files yet will read those that are written to it, and
/// not the mark beside them.
fn ending(surveys: &[Survey], kind: FileKind) -> String {
    match surveys {
        [survey] if survey.is_empty() => format!(".{}", kind.format.extension()),
        [survey] => survey.ending().to_owned(),
        _ => String::new(),
    }
}

fn session_options(session: &dyn Session) -> TableOptions {
    TableOptions::default_from_session_config(session.config_options())
}

/// The options of a declared table, and its kind if they say how files are compressed.
fn table_options(
    session: &dyn Session,
    format: Format,
    given: &HashMap<String, String>,
) -> Result<(TableOptions, Option<FileKind>)> {
    let mut options = session_options(session);
    match format {
        Format::Parquet => options.set_config_format(ConfigFileType::PARQUET),
        Format::Csv => options.set_config_format(ConfigFileType::CSV),
        Format::Json => options.set_config_format(ConfigFileType::JSON),
        Format::Arrow if given.is_empty() => {}
        Format::Arrow => return Err(refused_option("a table STORED AS ARROW takes no options")),
    }
    options.alter_with_string_hash_map(given).map_err(|error| refused_option(&error.strip_backtrace()))?;
    if !options.json.newline_delimited {
        // Such a file can only be read by one reader from its first byte.
        return Err(ConnectError::NotBuilt {
            what: "a table of JSON arrays".to_owned(),
            hint: ": write one object a line".to_owned(),
        });
    }
    settle_csv(session, &mut options);
    if options.json.schema_infer_max_rec.is_some() {
        return Err(refused_option("JSON lines are read to their end before their columns are known"));
    }
    let compression = match format {
        Format::Csv => options.csv.compression,
        Format::Json => options.json.compression,
        Format::Parquet | Format::Arrow => return Ok((options, None)),
    };
    let kind = FileKind { format, compression: compression.into() };
    let is_said = given.keys().any(|name| name.ends_with("compression"));
    Ok((options, is_said.then_some(kind)))
}

/// What the session says where the table does not; and that a value may hold line breaks, or a large file
/// would be cut within one.
fn settle_csv(session: &dyn Session, options: &mut TableOptions) {
    options.csv.has_header.get_or_insert(session.config_options().catalog.has_header);
    options.csv.newlines_in_values.get_or_insert(true);
}

fn refused_option(message: &str) -> ConnectError {
    let message = message.lines().next().unwrap_or_default();
    ConnectError::UnknownOption { message: format!("an option of the table is refused: {message}") }
}

fn file_format(kind: FileKind, options: &TableOptions) -> Result<Arc<dyn FileFormat>> {
    Ok(match kind.format {
        Format::Parquet => Arc::new(ParquetFormat::default().with_options(options.parquet.clone())),
        Format::Csv => Arc::new(
            CsvFormat::default().with_options(options.csv.clone()).with_file_compression_type(kind.compression),
        ),
        Format::Json => Arc::new(
            JsonFormat::default().with_options(options.json.clone()).with_file_compression_type(kind.compression),
        ),
        Format::Arrow => Arc::new(ArrowFormat),
    })
}

//! The columns of a table's files.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::config::TableOptions;
use datafusion::datasource::file_format::FileFormat;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::{ObjectMeta, ObjectStore};

use super::arrow_file;
use super::survey::Survey;
use super::text::{self, TextFile};
use crate::error::{ConnectError, Result};
use crate::format::{FileKind, Format};
use crate::redact::without_values;

/// Tells the columns of files of one kind.
pub(super) struct Columns<'a> {
    pub(super) session: &'a dyn Session,
    pub(super) kind: FileKind,
    pub(super) format: &'a dyn FileFormat,
    pub(super) options: &'a TableOptions,
}

impl Columns<'_> {
    /// The columns of the files, partition columns left out: the folder's value is the one that counts.
    /// Errors: `bad_file` for a file that cannot be read or does not go with the others, `store_failed`.
    pub(super) async fn of(&self, surveys: &[Survey], partitions: &[(String, DataType)]) -> Result<SchemaRef> {
        let schema = match self.kind.format {
            Format::Json => text::json(self.text_files(surveys)?).await?,
            Format::Csv => text::csv(self.text_files(surveys)?, self.options.csv.clone()).await?,
            Format::Parquet => self.recorded(surveys).await?,
            Format::Arrow => {
                self.check_order(surveys).await?;
                self.recorded(surveys).await?
            }
        };
        let is_folder = |name: &str| partitions.iter().any(|(partition, _)| partition == name);
        let fields = schema.fields().iter().filter(|field| !is_folder(field.name())).cloned();
        Ok(Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())))
    }

    /// Refuses files that do not go with declared columns, which are read by position.
    pub(super) async fn check(&self, surveys: &[Survey]) -> Result<()> {
        match self.kind.format {
            Format::Csv => text::csv(self.text_files(surveys)?, self.options.csv.clone()).await.map(|_| ()),
            Format::Arrow => self.check_order(surveys).await,
            Format::Parquet | Format::Json => Ok(()),
        }
    }

    /// Refuses files whose columns come in another order than those of the first.
    async fn check_order(&self, surveys: &[Survey]) -> Result<()> {
        let mut first: Option<(String, Vec<String>)> = None;
        for survey in surveys {
            let store = survey.store(self.runtime())?;
            for file in survey.data_files() {
                let name = survey.name_of(&file.location);
                let found = self.infer(&store, std::slice::from_ref(file)).await;
                let found = found.map_err(|error| bad(&name, &error))?;
                let found: Vec<String> = found.fields().iter().map(|field| field.name().clone()).collect();
                match &first {
                    None => first = Some((name, found)),
                    Some((first, known)) if *known != found => {
                        return Err(other_columns(&name, &found, first, known, self.kind.format));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    /// The columns that files record.
    async fn infer(&self, store: &Arc<dyn ObjectStore>, files: &[ObjectMeta]) -> Result<SchemaRef, DataFusionError> {
        if self.kind.format != Format::Arrow {
            return self.format.infer_schema(self.session, store, files).await;
        }
        let mut schemas = vec![];
        for file in files {
            schemas.push(match arrow_file::schema(store.as_ref(), file).await? {
                Some(schema) => schema,
                None => {
                    let of_stream = self.format.infer_schema(self.session, store, std::slice::from_ref(file)).await?;
                    of_stream.as_ref().clone()
                }
            });
        }
        Ok(Arc::new(Schema::try_merge(schemas)?))
    }

    fn text_files(&self, surveys: &[Survey]) -> Result<Vec<TextFile>> {
        let mut files = vec![];
        for survey in surveys {
            let store = survey.store(self.runtime())?;
            files.extend(survey.data_files().map(|file| TextFile {
                store: store.clone(),
                path: file.location.clone(),
                name: survey.name_of(&file.location),
                compression: self.kind.compression,
            }));
        }
        Ok(files)
    }

    /// The columns that files of other formats record.
    async fn recorded(&self, surveys: &[Survey]) -> Result<Schema> {
        let mut schemas = vec![];
        for survey in surveys {
            let store = survey.store(self.runtime())?;
            let files: Vec<ObjectMeta> = survey.data_files().cloned().collect();
            schemas.push(match self.infer(&store, &files).await {
                Ok(schema) => schema.as_ref().clone(),
                Err(error) => return Err(self.culprit(survey, &store, &files, error).await),
            });
        }
        Schema::try_merge(schemas).map_err(|error| bad(&surveys[0].table, &error.into()))
    }

    /// The first file that cannot be read, or that does not go with those before it.
    async fn culprit(
        &self,
        survey: &Survey,
        store: &Arc<dyn ObjectStore>,
        files: &[ObjectMeta],
        whole: DataFusionError,
    ) -> ConnectError {
        let mut merged = Schema::empty();
        for file in files {
            let name = survey.name_of(&file.location);
            let schema = match self.infer(store, std::slice::from_ref(file)).await {
                Ok(schema) => schema,
                Err(error) => return bad(&name, &error),
            };
            merged = match Schema::try_merge([merged, schema.as_ref().clone()]) {
                Ok(merged) => merged,
                Err(error) => return bad(&name, &error.into()),
            };
        }
        bad(&survey.table, &whole)
    }

    fn runtime(&self) -> &RuntimeEnv {
        self.session.runtime_env()
    }
}

/// The error of a file that cannot be read by position.
pub(super) fn other_columns(
    file: &str,
    found: &[String],
    first: &str,
    known: &[String],
    format: Format,
) -> ConnectError {
    let reason = format!(
        "its columns are ({}), those of '{first}' are ({}): all {} files of a table have the same columns in the same order",
        found.join(", "),
        known.join(", "),
        format.to_string().to_uppercase(),
    );
    ConnectError::BadFile { file: file.to_owned(), reason }
}

/// The error of reading a file, which may be the store's.
pub(super) fn bad(file: &str, error: &DataFusionError) -> ConnectError {
    if let DataFusionError::ObjectStore(source) = error.find_root()
        && !matches!(source.as_ref(), object_store::Error::NotFound { .. })
    {
        let source = object_store::Error::Generic { store: "table", source: source.to_string().into() };
        return ConnectError::store(file, source);
    }
    let message = error.find_root().strip_backtrace();
    ConnectError::BadFile { file: file.to_owned(), reason: without_values(message.lines().next().unwrap_or_default()) }
}

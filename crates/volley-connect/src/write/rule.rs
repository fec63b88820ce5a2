//! The analyzer rule that makes COPY and INSERT our own write.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::listing::ListingTable;
use datafusion::datasource::source_as_provider;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::dml::{CopyTo, InsertOp};
use datafusion::logical_expr::{DmlStatement, Extension, LogicalPlan, WriteOp};
use datafusion::optimizer::AnalyzerRule;
use url::Url;
use volley_commit::Mode;

use crate::error::{ConnectError, Result};
use crate::exec::check_columns;
use crate::format::{FileKind, Format, ending};
use crate::reach::Base;
use crate::stores::{STAGING, Scheme, StoreFault};
use crate::write::{Write, WriteTarget, options};

/// Turns `COPY … TO` and `INSERT` into file tables into [`Write`] nodes, checked against the columns.
/// INSERT into other tables, such as those in memory, stays as it is. Touches no store.
#[derive(Debug)]
pub struct WriteRule {
    base: Base,
}

impl WriteRule {
    /// A rule for which paths without a scheme begin at `base`, and none leads farther than that reaches.
    pub fn new(base: impl Into<Base>) -> Self {
        Self { base: base.into() }
    }

    fn rewrite(&self, plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let (input, target) = match &plan {
            LogicalPlan::Copy(copy) => (&copy.input, self.copy_target(copy)?),
            LogicalPlan::Dml(dml) => match insert_target(dml)? {
                Some(target) => (&dml.input, target),
                None => return Ok(Transformed::no(plan)),
            },
            _ => return Ok(Transformed::no(plan)),
        };
        check_columns(input.schema().as_arrow(), &target)?;
        let node = Arc::new(Write::new(input.as_ref().clone(), target));
        Ok(Transformed::yes(LogicalPlan::Extension(Extension { node })))
    }

    fn copy_target(&self, copy: &CopyTo) -> Result<WriteTarget> {
        let format: Format = copy.file_type.get_ext().trim_start_matches('.').parse()?;
        let options::Given { mode, of_format, rejects } = options::parse(&copy.options, format)?;
        if mode == Mode::OverwritePartitions && copy.partition_by.is_empty() {
            let message = "mode 'overwrite_partitions' needs PARTITIONED BY (…): write mode 'overwrite' to replace all";
            return Err(ConnectError::UnknownOption { message: message.to_owned() });
        }
        let destination = self.destination(&copy.output_url)?;
        let rejects = rejects.target(|to| self.destination(to))?;
        rejects.as_ref().map_or(Ok(()), |rejects| rejects.check_beside(&destination))?;
        Ok(WriteTarget {
            destination,
            format,
            mode,
            partition_by: copy.partition_by.clone(),
            options: of_format,
            rejects,
        })
    }

    fn destination(&self, text: &str) -> Result<String> {
        if text.trim().is_empty() {
            return Err(invalid_destination(text, "it names no folder"));
        }
        // First of all: no other message may show what a URL holds beside the place.
        let url = self.base.url(text).map_err(|error| match error {
            ConnectError::TableNotFound { table, .. } => invalid_destination(&table, "it is no path and no URL"),
            other => other,
        })?;
        let folder = text.trim_end_matches('/');
        if FileKind::of(folder).is_some() {
            let folder = format!("{}/", folder.trim_end_matches(ending(folder)));
            return Err(ConnectError::DestinationIsFile { destination: text.to_owned(), folder });
        }
        check_folder(text, &url)?;
        Ok(format!("{}/", url.as_str().trim_end_matches('/')))
    }
}

/// Refuses folders that results cannot lie in, whoever names them.
fn check_folder(text: &str, url: &Url) -> Result<()> {
    let root = match Scheme::of(url)? {
        Scheme::Http => return Err(StoreFault::ReadOnly { url: text.to_owned() }.into()),
        Scheme::File => "it is the root of the file system",
        Scheme::S3 | Scheme::Gs | Scheme::Az => "it is a whole bucket, in which results also wait",
    };
    let mut folders = url.path_segments().into_iter().flatten().filter(|name| !name.is_empty()).peekable();
    if folders.peek().is_none() {
        return Err(invalid_destination(text, root));
    }
    match folders.any(|name| name == STAGING) {
        true => Err(invalid_destination(text, "results lie in '.volley-staging' only until they are published")),
        false => Ok(()),
    }
}

fn invalid_destination(text: &str, reason: &str) -> ConnectError {
    let (destination, reason) = (format!("'{text}'"), format!("{reason}: name a folder of its own"));
    ConnectError::Commit(volley_commit::Error::DestinationInvalid { destination, reason })
}

impl AnalyzerRule for WriteRule {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> DataFusionResult<LogicalPlan> {
        let rewritten = plan.transform_up(|plan| Ok(self.rewrite(plan)?))?;
        Ok(rewritten.data)
    }

    fn name(&self) -> &str {
        "volley_write"
    }
}

/// `None` for tables that are not files.
fn insert_target(dml: &DmlStatement) -> Result<Option<WriteTarget>> {
    let WriteOp::Insert(operation) = &dml.op else {
        return Ok(None);
    };
    let Ok(provider) = source_as_provider(&dml.target) else {
        return Ok(None);
    };
    let Some(table) = provider.downcast_ref::<ListingTable>() else {
        return Ok(None);
    };
    let mode = match operation {
        InsertOp::Append => Mode::Append,
        InsertOp::Overwrite => Mode::Overwrite,
        InsertOp::Replace => {
            return Err(ConnectError::NotBuilt {
                what: "REPLACE INTO".to_owned(),
                hint: ": use INSERT OVERWRITE".to_owned(),
            });
        }
    };
    let (format, options) = table_format(table)?;
    Ok(Some(WriteTarget {
        destination: table_folder(dml, table)?,
        format,
        mode,
        partition_by: table.options().table_partition_cols.iter().map(|(name, _)| name.clone()).collect(),
        options,
        rejects: None,
    }))
}

fn table_folder(dml: &DmlStatement, table: &ListingTable) -> Result<String> {
    match table.table_paths().as_slice() {
        [folder] if folder.is_collection() => {
            check_folder(folder.get_url().as_str(), folder.get_url())?;
            Ok(folder.get_url().to_string())
        }
        [file] => {
            let destination = file.get_url().to_string();
            let folder = destination.rsplit_once('/').map_or("", |(folder, _)| folder);
            Err(ConnectError::DestinationIsFile { folder: format!("{folder}/"), destination })
        }
        _ => Err(ConnectError::NotBuilt {
            what: format!("INSERT into '{}', a table of several locations,", dml.table_name),
            hint: ": use COPY".to_owned(),
        }),
    }
}

/// The format of new files: that of the table, with those of its options that matter to its readers.
fn table_format(table: &ListingTable) -> Result<(Format, BTreeMap<String, String>)> {
    let reader = &table.options().format;
    let format: Format = reader.get_ext().trim_start_matches('.').parse()?;
    if reader.compression_type().is_some_and(|compression| compression.is_compressed()) {
        return Err(ConnectError::NotBuilt { what: format!("INSERT into compressed {format}"), hint: String::new() });
    }
    let mut options = BTreeMap::new();
    if let Some(csv) = reader.downcast_ref::<CsvFormat>() {
        let csv = csv.options();
        let mut set = |name: &str, value: String| options.insert(name.to_owned(), value);
        set("delimiter", char::from(csv.delimiter).to_string());
        set("quote", char::from(csv.quote).to_string());
        set("has_header", csv.has_header.unwrap_or(true).to_string());
        if let Some(escape) = csv.escape {
            set("escape", char::from(escape).to_string());
        }
    }
    Ok((format, options))
}

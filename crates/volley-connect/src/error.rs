//! What can go wrong with tables and results, divided by what the user can change.

use std::error::Error as StdError;
use std::io;

use datafusion::error::DataFusionError;

use crate::stores::StoreFault;

/// The result of an operation of this crate.
pub type Result<T, E = ConnectError> = std::result::Result<T, E>;

/// Why a table cannot be read or a result cannot be written.
///
/// Inside DataFusion it travels as [`DataFusionError::External`], or as an I/O error while
/// [`ConnectError::is_transient`] holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nothing lies there. Trying again does not help.
    #[error("table '{table}' does not exist{hint}")]
    TableNotFound {
        /// The table as the statement spells it.
        table: String,
        /// Empty, or a way out: `; did you mean 'trips.parquet'?`.
        hint: String,
    },
    /// A folder without data files. Trying again does not help.
    #[error("table '{table}' has no data files{hint}")]
    TableEmpty {
        /// The table.
        table: String,
        /// Empty, or a way out.
        hint: String,
    },
    /// The store refuses to show it. Trying again does not help.
    #[error("access to '{table}' is refused{hint}")]
    TableAccessDenied {
        /// The table.
        table: String,
        /// Whose permissions are to be checked: `: check its permissions`.
        hint: String,
        /// The store's answer.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// No reader for such files. Trying again does not help.
    #[error(
        "the format of '{file}' is unknown: Volley reads .parquet, .csv, .json, .ndjson, .jsonl, .arrow, .feather and .ipc"
    )]
    UnknownFormat {
        /// The file, or the name of the format.
        file: String,
    },
    /// One folder, several kinds of files. Trying again does not help.
    #[error(
        "folder '{table}' mixes files of different kinds, '{first}' and '{second}': name one kind with a pattern such as '{table}*.parquet'"
    )]
    MixedFormats {
        /// The folder.
        table: String,
        /// A file.
        first: String,
        /// A file that does not go with it.
        second: String,
    },
    /// The folder belongs to a table format, whose removed files would be read. Trying again does not help.
    #[error(
        "'{table}' is a {kind} table: read as plain files it would give removed rows, and {kind} cannot be read yet"
    )]
    TableFormat {
        /// The folder.
        table: String,
        /// `Delta Lake`, `Iceberg` or `Hudi`.
        kind: &'static str,
    },
    /// A file that is not what its name says, or does not go with its neighbours. Trying again does not help.
    #[error("file '{file}' cannot be read: {reason}")]
    BadFile {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Results are folders. Trying again does not help.
    #[error("destination '{destination}' names a file: a result is a folder, for example '{folder}'")]
    DestinationIsFile {
        /// The destination as the statement spells it.
        destination: String,
        /// A folder to use in its place.
        folder: String,
    },
    /// An option that does not exist, or a value that it does not take. Trying again does not help.
    #[error("{message}")]
    UnknownOption {
        /// Names the option and those that exist.
        message: String,
    },
    /// Options on rejected rows that make no sense together. Trying again does not help.
    #[error("{message}")]
    InvalidRejects {
        /// Names the option and what it can be.
        message: String,
    },
    /// Columns that the format or the partitioning cannot hold. Trying again does not help.
    #[error("{message}")]
    UnsupportedColumns {
        /// Names the column and the way out.
        message: String,
    },
    /// A result that does not go with what stays at its destination. Trying again does not help.
    #[error("the result cannot be added to '{destination}': {difference}")]
    AppendMismatch {
        /// The destination.
        destination: String,
        /// The first thing that differs.
        difference: String,
    },
    /// A NULL where a value names a folder. Trying again does not help.
    #[error(
        "column '{column}' of PARTITIONED BY is NULL in some row, and no folder stands for NULL: write COALESCE({column}, …) AS {column}, or leave such rows out"
    )]
    NullPartition {
        /// The column.
        column: String,
    },
    /// A value too long to name a folder. Trying again does not help.
    #[error(
        "a value of column '{column}' of PARTITIONED BY makes a folder name of {bytes} bytes, more than the {bytes_max} that a file system takes: partition by something shorter"
    )]
    FolderNameTooLong {
        /// The column.
        column: String,
        /// Bytes of the name, encoded.
        bytes: usize,
        /// The most that is allowed.
        bytes_max: usize,
    },
    /// A file is no longer what the job was planned with. Trying again does not help: another job would read the
    /// file as it is now.
    #[error(
        "input '{file}' has changed since the job was planned: {how}; a job reads one version of its inputs, so run it anew"
    )]
    InputChanged {
        /// The file.
        file: String,
        /// What differs.
        how: String,
    },
    /// The folder in which a result waits until it is published cannot be written. Trying again does not help.
    #[error(
        "'{path}' cannot be written{hint}: results wait in '.volley-staging', in the folder or the bucket of their destination, until they are published"
    )]
    StagingDenied {
        /// A staged file.
        path: String,
        /// What the store answers, if it says more than no.
        hint: String,
        /// The store's answer.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Planned for a later version. Trying again does not help.
    #[error("{what} is not built yet{hint}")]
    NotBuilt {
        /// The feature.
        what: String,
        /// Empty, or a way out.
        hint: String,
    },
    /// The store failed. [`ConnectError::is_transient`] says whether to try again.
    #[error("'{path}' cannot be reached: {}", root_cause(source.as_ref()))]
    Store {
        /// Path or URL.
        path: String,
        /// The store's answer.
        source: Box<dyn StdError + Send + Sync>,
        /// Whether the same call may succeed later.
        transient: bool,
    },
    /// A link that leads out of the folder that was named. Trying again does not help.
    #[error("'{file}' is a link that leads out of '{table}': copy the file there, or name the folder that it lies in")]
    LinkLeadsOut {
        /// The link.
        file: String,
        /// The folder that the statement names.
        table: String,
    },
    /// A path of this machine that statements of others may not name. Trying again does not help.
    #[error("'{path}' is a path of the server's machine that its statements do not reach: {hint}")]
    LocalPath {
        /// The path as the statement spells it.
        path: String,
        /// What they do reach.
        hint: String,
    },
    /// A URL that statements of others may not name. Trying again does not help.
    #[error("'{location}' is not open to statements of this server: {reason}")]
    LocationNotAllowed {
        /// The URL as the statement spells it.
        location: String,
        /// Why.
        reason: String,
    },
    /// Something stands between a URL and its objects. [`ConnectError::is_transient`] says whether to try again.
    #[error(transparent)]
    Fault(#[from] StoreFault),
    /// The commit protocol refused or failed. [`ConnectError::is_transient`] says whether to try again.
    #[error(transparent)]
    Commit(#[from] volley_commit::Error),
}

impl ConnectError {
    /// The stable code that a user sees in brackets.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TableNotFound { .. } => "table_not_found",
            Self::TableEmpty { .. } => "table_empty",
            Self::TableAccessDenied { .. } => "table_access_denied",
            Self::UnknownFormat { .. } => "unknown_format",
            Self::MixedFormats { .. } => "mixed_formats",
            Self::TableFormat { .. } => "table_format",
            Self::BadFile { .. } => "bad_file",
            Self::DestinationIsFile { .. } => "destination_is_file",
            Self::UnknownOption { .. } => "unknown_option",
            Self::InvalidRejects { .. } => "invalid_rejects",
            Self::UnsupportedColumns { .. } => "unsupported_columns",
            Self::AppendMismatch { .. } => "append_mismatch",
            Self::NullPartition { .. } => "null_partition",
            Self::FolderNameTooLong { .. } => "folder_name_too_long",
            Self::InputChanged { .. } => "input_changed",
            Self::StagingDenied { .. } => "staging_denied",
            Self::NotBuilt { .. } => "not_built",
            Self::Store { .. } => "store_failed",
            Self::LinkLeadsOut { .. } => "link_leads_out",
            Self::LocalPath { .. } => "local_path",
            Self::LocationNotAllowed { .. } => "location_not_allowed",
            Self::Fault(fault) => fault.code(),
            Self::Commit(error) => error.code(),
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store { transient, .. } => *transient,
            Self::Fault(fault) => fault.is_transient(),
            Self::Commit(error) => error.is_transient(),
            _ => false,
        }
    }

    /// The error of a store call about `path`.
    pub(crate) fn store(path: &str, source: object_store::Error) -> Self {
        let path = path.to_owned();
        match StoreFault::find(&source) {
            Some(StoreFault::AccessDenied { answer, hint, .. }) => {
                let hint = format!(" ({answer}): {hint}");
                return Self::TableAccessDenied { table: path, hint, source: Box::new(source) };
            }
            Some(fault) => return fault.clone().into(),
            None if is_denied(&source) => {
                let hint = ": check its permissions".to_owned();
                return Self::TableAccessDenied { table: path, hint, source: Box::new(source) };
            }
            None => {}
        }
        let transient = !is_permanent(&source);
        Self::Store { path, source: Box::new(source), transient }
    }

    /// The error of writing a staged file.
    pub(crate) fn staging(path: &str, source: object_store::Error) -> Self {
        match Self::store(path, source) {
            Self::TableAccessDenied { table: path, hint, source } => {
                let of_store = StoreFault::find(source.as_ref()).is_some();
                Self::StagingDenied { path, hint: if of_store { hint } else { String::new() }, source }
            }
            other => other,
        }
    }

    /// This crate's error in what DataFusion reports, however deep it lies.
    pub fn find(error: &DataFusionError) -> Option<&ConnectError> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<ConnectError>() {
                return Some(found);
            }
            cause = match error.downcast_ref::<DataFusionError>() {
                Some(DataFusionError::Shared(shared)) => Some(shared.as_ref()),
                Some(DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner)) => {
                    Some(inner.as_ref())
                }
                Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
                Some(DataFusionError::IoError(inner)) => inner.get_ref().map(|e| e as &(dyn StdError + 'static)),
                _ => error.source(),
            };
        }
        None
    }
}

impl From<ConnectError> for DataFusionError {
    // Ballista tries again only when the root cause is an I/O error.
    fn from(error: ConnectError) -> Self {
        if error.is_transient() {
            DataFusionError::IoError(io::Error::other(error))
        } else {
            DataFusionError::External(Box::new(error))
        }
    }
}

/// What the operating system or the store said first, without what each layer put before it.
fn root_cause(error: &(dyn StdError + 'static)) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

/// Local stores wrap the operating system's refusal in a generic error.
fn is_denied(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    if matches!(error, E::PermissionDenied { .. } | E::Unauthenticated { .. }) {
        return true;
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::PermissionDenied) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Answers that a store gives on purpose; all others may be a bad moment.
fn is_permanent(error: &object_store::Error) -> bool {
    use object_store::Error as E;
    matches!(
        error,
        E::NotFound { .. }
            | E::InvalidPath { .. }
            | E::NotSupported { .. }
            | E::NotImplemented { .. }
            | E::UnknownConfigurationKey { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(kind: io::ErrorKind) -> object_store::Error {
        object_store::Error::Generic { store: "test", source: Box::new(io::Error::from(kind)) }
    }

    #[test]
    fn a_refusal_of_the_operating_system_is_access_denied() {
        let error = ConnectError::store("t.parquet", generic(io::ErrorKind::PermissionDenied));
        assert_eq!(error.code(), "table_access_denied");
        assert!(!error.is_transient());
    }

    #[test]
    fn a_refusal_to_write_staged_files_says_which_folder_must_be_writable() {
        let error = ConnectError::staging("/a/.volley-staging/x", generic(io::ErrorKind::PermissionDenied));
        assert_eq!(error.code(), "staging_denied");
        assert!(error.to_string().starts_with("'/a/.volley-staging/x' cannot be written"), "{error}");
    }

    #[test]
    fn a_failure_of_the_store_names_its_cause() {
        let error = ConnectError::store("/a/t.parquet", generic(io::ErrorKind::TimedOut));
        assert_eq!(error.to_string(), "'/a/t.parquet' cannot be reached: timed out");
    }

    #[test]
    fn a_bad_moment_of_the_store_travels_as_an_io_error_and_is_found_again() {
        let error = ConnectError::store("t.parquet", generic(io::ErrorKind::TimedOut));
        let error = DataFusionError::from(error).context("planning");
        assert!(matches!(error.find_root(), DataFusionError::IoError(_)));
        assert_eq!(ConnectError::find(&error).expect("found").code(), "store_failed");
    }
}

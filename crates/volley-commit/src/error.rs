//! What can go wrong with a commit, divided by what the caller can do about it.

use std::error::Error as StdError;
use std::io;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation of this crate failed. [`Error::is_transient`] says whether to try again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Mode `error`, and the destination holds something. Trying again does not help.
    #[error("destination {destination} already holds `{file}`: choose another one, or mode 'append' or 'overwrite'")]
    DestinationNotEmpty {
        /// URL of the destination.
        destination: String,
        /// One file in it, relative.
        file: String,
    },
    /// Mode `overwrite`, and the destination holds a file that no job wrote. Trying again does not help.
    #[error(
        "destination {destination} holds `{file}`, which Volley did not write and will not delete: move it away or choose another destination"
    )]
    ForeignFiles {
        /// URL of the destination.
        destination: String,
        /// One foreign file, relative.
        file: String,
    },
    /// Another job is deciding or publishing there. Try again when it is done.
    #[error("destination {destination} is being written by {by}: try again when it is done")]
    DestinationBusy {
        /// URL of the destination.
        destination: String,
        /// The other job, and its state if that is another one.
        by: String,
    },
    /// Nothing can be published there, or destination, staging and state do not fit together. Trying again
    /// does not help.
    #[error("destination {destination} cannot be used: {reason}")]
    DestinationInvalid {
        /// URL of the destination.
        destination: String,
        /// What does not fit.
        reason: String,
    },
    /// The commit came before every split was sealed. Try again after sealing the rest.
    #[error("job {job} has {missing} unfinished splits, the first is {first}")]
    SplitsMissing {
        /// The job.
        job: String,
        /// How many splits have no receipt.
        missing: usize,
        /// The lowest of them.
        first: u32,
    },
    /// The splits rejected more rows than the job was to bear. Trying again does not help: the rows stay as they are.
    #[error("{rejected} rows cannot be scored, more than max_rejects = {max} allows")]
    TooManyRejects {
        /// How many rows were rejected.
        rejected: u64,
        /// How many may be.
        max: u64,
    },
    /// A sealed file is no longer in staging, or has another size. Before the decision the job must
    /// be run again; after it an operator is needed. Trying again does not help.
    #[error("staged file {file} is gone or has changed: something other than Volley touched staging")]
    StagedMissing {
        /// Path of the staged object.
        file: String,
    },
    /// What was scored again differs from what the receipt of the split promises: the model, or the query, does
    /// not give the same rows twice. An operator is needed. Trying again does not help.
    #[error("split {split} of job {job} cannot be repaired: {reason}")]
    RepairDiffers {
        /// The job.
        job: String,
        /// The split.
        split: u32,
        /// The difference.
        reason: String,
    },
    /// A writer sealed figures that contradict each other, a fault in the writer. Trying again does not help.
    #[error("split {split} cannot be sealed: {reason}")]
    ReceiptInvalid {
        /// The split.
        split: u32,
        /// The contradiction.
        reason: String,
    },
    /// A call that does not fit the job: a fault in the caller. Trying again does not help.
    #[error("job {job} {reason}")]
    JobMisused {
        /// The job.
        job: String,
        /// What does not fit.
        reason: &'static str,
    },
    /// No such job in this state, or not a job id at all. Trying again does not help.
    #[error("no job {job} is known here")]
    UnknownJob {
        /// What was asked for.
        job: String,
    },
    /// A mode that does not exist. Trying again does not help.
    #[error("unknown mode '{mode}': use 'error', 'append', 'overwrite' or 'overwrite_partitions'")]
    UnknownMode {
        /// What was asked for.
        mode: String,
    },
    /// Another process has taken the state over, so this one must not touch destinations any more. Trying again
    /// does not help; whoever is the owner now finishes the job.
    #[error("owner {epoch} of the state {state} was replaced: another process has taken it over")]
    OwnerReplaced {
        /// URL of the state.
        state: String,
        /// Which owner was replaced.
        epoch: u64,
    },
    /// A record in the state cannot be read: damaged, or of a newer Volley. Trying again does not help.
    #[error("record {path} cannot be understood: it is damaged or of a newer version")]
    RecordInvalid {
        /// Path of the record.
        path: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// Neither writing a record nor reading it back worked, so whether it is there is unknown.
    /// Try the same call again; never assume that it failed.
    #[error("whether {path} was written is not known: the store does not answer")]
    Unconfirmed {
        /// Path of the record.
        path: String,
        /// The last answer.
        source: Box<Error>,
    },
    /// No room is left where something was to be written. Try again when there is.
    #[error("the disk is full: {path} cannot be written")]
    DiskFull {
        /// What was to be written.
        path: String,
        /// The cause.
        source: object_store::Error,
    },
    /// The store refused a call or did not answer. [`Error::is_transient`] says whether to try again.
    #[error("the store failed at {path}: {}", root(source))]
    Store {
        /// What the call was about.
        path: String,
        /// The cause.
        source: object_store::Error,
    },
    /// A key stands for one request, and another one came with it. Trying again does not help.
    #[error("key '{key}' was used before for another request, which is job {job}: choose another key")]
    KeyReused {
        /// The key.
        key: String,
        /// The job it stands for.
        job: String,
    },
    /// A store does not do what the protocol needs. Trying again does not help.
    #[error("{url} cannot hold jobs: {reason}")]
    StoreUnfit {
        /// URL of the location.
        url: String,
        /// What it does wrong.
        reason: &'static str,
    },
    /// A location recorded in a job's plan cannot be opened. Try again with the connection restored.
    #[error("{url} cannot be opened")]
    Unreachable {
        /// The recorded URL.
        url: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// The stable code that a user sees in brackets.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DestinationNotEmpty { .. } => "destination_not_empty",
            Self::ForeignFiles { .. } => "foreign_files",
            Self::DestinationBusy { .. } => "destination_busy",
            Self::DestinationInvalid { .. } => "destination_invalid",
            Self::SplitsMissing { .. } => "splits_missing",
            Self::TooManyRejects { .. } => "too_many_rejects",
            Self::StagedMissing { .. } => "staged_missing",
            Self::RepairDiffers { .. } => "repair_differs",
            Self::ReceiptInvalid { .. } => "receipt_invalid",
            Self::JobMisused { .. } => "job_misused",
            Self::UnknownJob { .. } => "unknown_job",
            Self::UnknownMode { .. } => "unknown_mode",
            Self::OwnerReplaced { .. } => "owner_replaced",
            Self::RecordInvalid { .. } => "record_invalid",
            Self::Unconfirmed { .. } => "outcome_unknown",
            Self::DiskFull { .. } => "disk_full",
            Self::Store { .. } => "store_failed",
            Self::KeyReused { .. } => "key_reused",
            Self::StoreUnfit { .. } => "store_unfit",
            Self::Unreachable { .. } => "location_unreachable",
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::DestinationBusy { .. } | Self::Unconfirmed { .. } => true,
            Self::Store { source, .. } => !is_permanent(source),
            _ => false,
        }
    }

    pub(crate) fn store(path: String, source: object_store::Error) -> Self {
        match is_disk_full(&source) {
            true => Self::DiskFull { path, source },
            false => Self::Store { path, source },
        }
    }
}

/// Whether the cause of an error is that no room is left on a disk.
pub fn is_disk_full(error: &(dyn StdError + 'static)) -> bool {
    io_kinds(error).any(|kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

/// Answers that a store or the operating system gives on purpose; all others may be a bad moment.
pub(crate) fn is_permanent(error: &object_store::Error) -> bool {
    use io::ErrorKind as K;
    use object_store::Error as E;
    let refused = matches!(
        error,
        E::NotFound { .. }
            | E::InvalidPath { .. }
            | E::NotSupported { .. }
            | E::NotImplemented { .. }
            | E::PermissionDenied { .. }
            | E::Unauthenticated { .. }
            | E::UnknownConfigurationKey { .. }
    );
    let of_the_system = |kind| {
        matches!(
            kind,
            K::PermissionDenied
                | K::ReadOnlyFilesystem
                | K::StorageFull
                | K::QuotaExceeded
                | K::CrossesDevices
                | K::NotADirectory
                | K::IsADirectory
                | K::InvalidFilename
        )
    };
    refused || io_kinds(error).any(of_the_system)
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The last cause: what the operating system or the service said.
fn root<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    causes(error).last().unwrap_or(error)
}

/// All of them: one may be only the wrapping of another.
fn io_kinds<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = io::ErrorKind> + 'a {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}

//! Publishes a set of files all at once or not at all on any object store (protocol VCP-1).
//!
//! A job has a fixed number of splits. An attempt at a split writes its files to staging and seals
//! them with a receipt; the first receipt of a split stands. When every split has one, a single
//! create-only record, the outcome, says committed or aborted. Only then is the destination
//! touched, and only forward: whatever dies, [`Job::publish`] or [`recover`] ends in the same bytes.
//!
//! ```text
//! {state}/open/{job}                          the job may still have work to do
//! {state}/jobs/{job}/plan.json                what it is: destination, staging, mode, splits, pinned inputs
//! {state}/jobs/{job}/physical.json            the physical plan, by which the job can be gone on with
//! {state}/jobs/{job}/splits/{split:06}.json   receipt: a split is done; rows, bytes and checksums of its files
//! {state}/jobs/{job}/splits/{split:06}.repair what replaces its files that vanished, or closed
//! {state}/jobs/{job}/outcome.json             the decision: committed or aborted
//! {state}/jobs/{job}/repair.json              repairs have begun, or are closed for good
//! {state}/jobs/{job}/receipt.json             what the job did, for whoever checks it later
//! {state}/jobs/{job}/published.json           the destination holds the result, staging is gone
//! {state}/dests/{sha256}/{version:020}.json   claim: what a job adds, keeps and removes
//! {state}/idem/{sha256}.json                  the request and the job that a key stands for
//! {state}/owners/{epoch:020}.json             who took the state over, where no lock dies with its holder
//! {staging}/{16 hex}.turn                     whose turn the destination is, for jobs of all states
//! {staging}/{job}/{split:06}-{attempt}-{n}.staged
//! {destination}/{partition/}part-{split:06}-{job short}.{extension}
//! {destination}/_SUCCESS                      written last
//! ```
//!
//! A job may have a second destination, for rows that it rejected: with its own staging, turn, claim, parts and
//! `_SUCCESS`, under the same receipts and the same outcome. It is published before the result.
//!
//! Every record in the state is created once and never changed; only `open/` and turns are removed, and of jobs that
//! are long over and [forgotten](Job::forget) all but outcome, receipt and what they published. The life of a job:
//!
//! ```text
//! Job::begin -> (attempt -> staged_path… -> seal)* -> commit -> publish
//!                                                  -> abort
//! ```
//!
//! The claim comes before the outcome, so that every reason to refuse is found while refusing is
//! still possible; the claim of an aborted job counts for nothing. The turn is taken before the claim
//! and passed on when the job is over, so that two states never change one destination at once.
//!
//! What holds, whatever dies, is lost or wakes too late:
//!
//! - Nothing of a job is visible before `outcome.json` says committed, and nothing is changed if it says aborted.
//! - A record stands as it was first created. What a store answers to a create is never believed: it is read back.
//! - After the decision every restart ends in the same files, and no error means that the job failed.
//! - `_SUCCESS` lies there only beside exactly one version's files; a reader that looks for it first sees no other.
//! - A part moves by one operation whose source disappears, so no late call brings anything back. Only the calls on
//!   the marker and the turn need a bound in time: an [`Owner`] gives it, or a lock that dies with its holder.
//! - Only files that are recorded as ours are ever deleted, and staging only of jobs that are over.
//! - On a disk, a file and the folders that name it are synced before a record counts on them.
//!
//! The model test (`src/model.rs`) tries random schedules of all this, and plants faults to see that it notices.

mod collect;
mod destination;
mod error;
mod expire;
mod facts;
mod id;
mod job;
mod key;
mod local;
mod location;
#[cfg(test)]
mod model;
mod mutants;
mod owner;
mod place;
mod preflight;
mod publish;
mod receipt;
mod record;
mod recover;
mod repair;
mod turn;
mod verify;

pub use collect::{COLLECT_AGE_MIN, collect};
pub use destination::PublishedFile;
pub use error::{Error, Result, is_disk_full};
pub use expire::Keys;
pub use facts::Facts;
pub use job::{Job, JobId, JobPlan, JobSpec, Mode, Opener, Origin, Outcome, Pinned};
pub use key::{job_of_key, request_digest};
pub use location::Location;
pub use owner::{Before, Owner, Waits};
pub use place::{RejectsAt, RejectsPlan, Root};
pub use preflight::{Proof, preflight};
pub use publish::Published;
pub use receipt::{Attempt, Receipt, Staged, StagedFile, Tally};
pub use recover::{Recovered, Side, is_unfinished, jobs, recover, recover_by, unfinished};
pub use verify::{FileFault, JobReceipt, RejectsReceipt, Verified, job_receipt, verify};

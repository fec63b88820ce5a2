//! Asking twice for one job: a key of the caller's own stands for one request and one job, until that is
//! forgotten ([`crate::Keys::forget`]).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::job::JobId;
use crate::location::Location;
use crate::record::{self, Records, sha256};

/// `{state}/idem/{sha256 of the key}.json`
#[derive(Serialize, Deserialize)]
pub(crate) struct Keyed {
    /// sha256 of the request.
    request: String,
    pub(crate) job: JobId,
}

/// 64 hexadecimal digits that stand for a request, the whole of it in one spelling.
pub fn request_digest(request: &[u8]) -> String {
    sha256(request)
}

/// The job that `key` stands for: `job` if it is used for the first time, the same as then if it was used with
/// the same request before. `request` is the whole request in one spelling, and `key` names the tenant too.
///
/// To be called before [`crate::Job::begin`]. A job that is returned here and unknown in the state was never
/// begun, because whoever used the key first died in between: begin it.
///
/// Errors: `key_reused` if another request came with this key.
pub async fn job_of_key(state: &Location, key: &str, request: &[u8], job: JobId) -> Result<JobId> {
    let mine = Keyed { request: sha256(request), job };
    let stands = Records(state.clone()).create_once(&record::idem_key(key), &mine).await?;
    match stands.request == mine.request {
        true => Ok(stands.job),
        false => Err(Error::KeyReused { key: key.to_owned(), job: stands.job.to_string() }),
    }
}

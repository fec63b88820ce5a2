//! What stands between a URL and its objects: told in one line, with the way out, and never with a credential.

use std::error::Error as StdError;

use object_store::Error as StoreError;
use object_store::client::{HttpError, HttpErrorKind};

use crate::error::ConnectError;

/// Why a store cannot be used. Travels inside [`object_store::Error`], in the place of what the client says,
/// which may repeat the headers of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    /// No store is known for such URLs. Trying again does not help.
    #[error("there are no stores at {scheme}://: there are s3, gs, az, abfss, http, https, and paths of this machine")]
    UnknownScheme {
        /// What stands before the colon.
        scheme: String,
    },
    /// A URL in a statement holds what may be a credential. Trying again does not help.
    #[error(
        "'{url}' is written with a user, a password, a query or a fragment: leave it out, and name credentials in a connection"
    )]
    CredentialsInUrl {
        /// The URL without them.
        url: String,
    },
    /// Nothing says who asks. Trying again does not help.
    #[error("there are no credentials for {url}: {reason}")]
    MissingCredentials {
        /// The bucket.
        url: String,
        /// What is missing, or where it may be put.
        reason: String,
    },
    /// A connection of the settings contradicts itself, or its credentials have not the form of any. Trying
    /// again does not help.
    #[error("connection `{connection}`: {reason}")]
    InvalidConnection {
        /// Its name.
        connection: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store knows who asks, and refuses. Trying again does not help.
    #[error("access to '{url}' is refused ({answer}): {hint}")]
    AccessDenied {
        /// The object, or the folder that was listed.
        url: String,
        /// Status and code of the store.
        answer: String,
        /// Which credentials were used.
        hint: String,
    },
    /// There is no such bucket. Trying again does not help.
    #[error("there is no bucket {url}: check its name, and the endpoint and region of its connection")]
    UnknownBucket {
        /// The bucket.
        url: String,
    },
    /// The store could not be reached, or said that it is not well, for as long as it may be asked. Try again.
    #[error(
        "'{url}' cannot be reached ({answer}): check the endpoint; the setting store_retry_seconds says how long it is tried again"
    )]
    Unavailable {
        /// The object, or the folder that was listed.
        url: String,
        /// The last answer, or what happened on the way.
        answer: String,
    },
    /// Any other answer. Trying again does not help.
    #[error("'{url}': the store answers {answer}")]
    Answered {
        /// The object, or the folder that was listed.
        url: String,
        /// Status and code of the store.
        answer: String,
    },
    /// Nothing can be written over HTTP. Trying again does not help.
    #[error("'{url}' can only be read: results go to a folder, or to a bucket")]
    ReadOnly {
        /// The destination.
        url: String,
    },
    /// HTTP has no way to list a folder. Trying again does not help.
    #[error("'{url}' is a folder or a pattern, which HTTP cannot list: name a file")]
    NotListable {
        /// The table.
        url: String,
    },
}

impl StoreFault {
    /// The stable code that a user sees in brackets.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownScheme { .. } => "unknown_scheme",
            Self::CredentialsInUrl { .. } => "credentials_in_url",
            Self::MissingCredentials { .. } => "missing_credentials",
            Self::InvalidConnection { .. } => "invalid_setting",
            Self::AccessDenied { .. } => "store_access_denied",
            Self::UnknownBucket { .. } => "bucket_not_found",
            Self::Unavailable { .. } => "store_unavailable",
            Self::Answered { .. } => "store_failed",
            Self::ReadOnly { .. } => "store_read_only",
            Self::NotListable { .. } => "not_listable",
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The fault among an error and its causes.
    pub fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            if let Some(ConnectError::Fault(found)) = error.downcast_ref::<ConnectError>() {
                return Some(found);
            }
            next = match error.downcast_ref::<std::io::Error>() {
                // Its own source is what lies below that.
                Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
                None => error.source(),
            };
        }
        None
    }
}

/// Who asks, and for what.
pub(super) struct Asked<'a> {
    /// The bucket.
    pub(super) bucket: &'a str,
    /// The object, or the folder that is listed.
    pub(super) url: String,
    /// The connection, if one has the URL.
    pub(super) connection: Option<&'a str>,
}

impl Asked<'_> {
    /// The error of a client, of the same kind and with our fault for its cause.
    pub(super) fn told(&self, error: StoreError) -> StoreError {
        if StoreFault::find(&error).is_some() {
            return error;
        }
        let source = Box::new(self.fault(&error));
        match error {
            StoreError::NotFound { path, .. } => StoreError::NotFound { path, source },
            StoreError::AlreadyExists { path, .. } => StoreError::AlreadyExists { path, source },
            StoreError::Precondition { path, .. } => StoreError::Precondition { path, source },
            StoreError::NotModified { path, .. } => StoreError::NotModified { path, source },
            StoreError::PermissionDenied { path, .. } => StoreError::PermissionDenied { path, source },
            StoreError::Unauthenticated { path, .. } => StoreError::Unauthenticated { path, source },
            StoreError::NotSupported { .. } => StoreError::NotSupported { source },
            StoreError::Generic { store, .. } => StoreError::Generic { store, source },
            other => other,
        }
    }

    fn fault(&self, error: &StoreError) -> StoreFault {
        let text = error.to_string();
        let (status, code) = (status(&text), code(&text));
        let answer = match (status, code) {
            (Some(status), Some(code)) => format!("{status} {code}"),
            (Some(status), None) => status.to_string(),
            (None, _) => on_the_way(error),
        };
        let url = self.url.clone();
        match status {
            Some(404) if code == Some("NoSuchBucket") => StoreFault::UnknownBucket { url: self.bucket.to_owned() },
            Some(401 | 403) => StoreFault::AccessDenied { url, answer, hint: self.hint() },
            _ if is_transient(error) => StoreFault::Unavailable { url, answer },
            _ => StoreFault::Answered { url, answer },
        }
    }

    fn hint(&self) -> String {
        match self.connection {
            Some(name) => format!("check the credentials of connection `{name}`, and what they may do"),
            None => "check the credentials of the environment, and what they may do, or name a connection".to_owned(),
        }
    }
}

/// Whether the same call may succeed later, going by what a client says of it.
pub(super) fn is_transient(error: &StoreError) -> bool {
    match status(&error.to_string()) {
        Some(status) => matches!(status, 408 | 429 | 500..),
        None => transport(error).is_some(),
    }
}

/// The number behind `status code: `, as clients put it into their messages.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.rsplit_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// The code in the answer of an S3 store: a word, and nothing that a request could have brought.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = !code.is_empty() && code.len() < 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_word.then_some(code)
}

/// The error of the connection itself.
fn transport(error: &StoreError) -> Option<&HttpError> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<HttpError>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What happened between us and the store: what the operating system said, or how far the call came.
fn on_the_way(error: &StoreError) -> String {
    let Some(transport) = transport(error) else {
        return "what is not understood".to_owned();
    };
    let mut cause: &(dyn StdError + 'static) = transport;
    while let Some(next) = cause.source() {
        cause = next;
    }
    match (cause.downcast_ref::<std::io::Error>(), transport.kind()) {
        (Some(io), _) => io.to_string(),
        (None, HttpErrorKind::Timeout) => "no answer in time".to_owned(),
        (None, HttpErrorKind::Connect) => "no connection".to_owned(),
        (None, HttpErrorKind::Decode) => "an answer that is not understood".to_owned(),
        (None, _) => "the connection was cut off".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(error: StoreError) -> StoreFault {
        let asked = Asked { bucket: "s3://lake/", url: "s3://lake/in/x.parquet".to_owned(), connection: Some("lake") };
        StoreFault::find(&asked.told(error)).expect("told").clone()
    }

    fn answered(text: &str) -> StoreFault {
        fault(StoreError::Generic { store: "S3", source: text.into() })
    }

    #[test]
    fn an_answer_is_told_by_its_status_and_code_alone() {
        let body = "<Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>CANARY</AWSAccessKeyId></Error>";
        let denied = answered(&format!("Server returned non-2xx status code: 403 Forbidden: {body}"));
        assert_eq!(denied.code(), "store_access_denied");
        assert_eq!(
            denied.to_string(),
            "access to 's3://lake/in/x.parquet' is refused (403 SignatureDoesNotMatch): \
             check the credentials of connection `lake`, and what they may do"
        );
        let hostile = answered("status code: 503 : <Code>CANARY: 1</Code> Authorization: CANARY");
        assert_eq!((hostile.code(), hostile.is_transient()), ("store_unavailable", true));
        assert!(!hostile.to_string().contains("CANARY"), "{hostile}");
        let missing = answered("status code: 404 Not Found: <Code>NoSuchBucket</Code>");
        assert_eq!(missing.to_string().split(':').next(), Some("there is no bucket s3"));
        assert_eq!(
            answered("anything, CANARY").to_string(),
            "'s3://lake/in/x.parquet': the store answers what is not understood"
        );
    }

    #[test]
    fn the_kind_of_an_error_stays() {
        let asked = Asked { bucket: "s3://lake/", url: "s3://lake/x".to_owned(), connection: None };
        let told = asked.told(StoreError::NotFound { path: "x".to_owned(), source: "status code: 404".into() });
        assert!(matches!(told, StoreError::NotFound { .. }));
        let told = asked.told(StoreError::AlreadyExists { path: "x".to_owned(), source: "status code: 412".into() });
        assert!(matches!(told, StoreError::AlreadyExists { .. }));
    }

    #[test]
    fn a_store_that_cannot_be_reached_may_be_there_later() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = HttpError::new(HttpErrorKind::Connect, refused);
        let fault = fault(StoreError::Generic { store: "S3", source: Box::new(error) });
        assert_eq!((fault.code(), fault.is_transient()), ("store_unavailable", true));
        assert!(fault.to_string().contains("connection refused"), "{fault}");
    }
}

//! Where rejected rows go, out of the options of a write.

use serde::{Deserialize, Serialize};

use crate::error::{ConnectError, Result};

/// How many rows a job bears that no model can score, where nobody says so: enough for odd rows, too few to hide
/// that a whole input does not fit its model.
const REJECTS_MAX: u64 = 100;

/// Where the rows go that a model cannot score, and how many a job bears. Travels in plans.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RejectsTarget {
    /// The folder as an absolute URL that ends in a slash.
    pub destination: String,
    /// The most rows that may be rejected, in the whole job.
    pub max: u64,
    /// Whether what the model was given is kept beside the reason.
    pub values: bool,
}

/// The options as they are written.
#[derive(Debug, Default)]
pub(super) struct RejectOptions {
    pub(super) to: Option<String>,
    max: Option<String>,
    values: Option<String>,
}

/// Their names.
pub(super) const OPTIONS: [&str; 3] = ["rejects", "max_rejects", "reject_values"];

impl RejectOptions {
    /// Takes an option in, if it is one of these.
    pub(super) fn take(&mut self, name: &str, value: &str) -> bool {
        let slot = match name {
            "rejects" => &mut self.to,
            "max_rejects" => &mut self.max,
            "reject_values" => &mut self.values,
            _ => return false,
        };
        *slot = Some(value.to_owned());
        true
    }

    /// What they say, with the folder found by `destination`.
    pub(super) fn target(self, destination: impl FnOnce(&str) -> Result<String>) -> Result<Option<RejectsTarget>> {
        let Some(to) = &self.to else {
            return match (&self.max, &self.values) {
                (None, None) => Ok(None),
                (Some(_), _) => Err(without_place("max_rejects")),
                (_, Some(_)) => Err(without_place("reject_values")),
            };
        };
        if to.trim().is_empty() {
            return Err(invalid("rejects is empty: name a folder for the rows that cannot be scored".to_owned()));
        }
        Ok(Some(RejectsTarget { destination: destination(to)?, max: self.max()?, values: self.values()? }))
    }

    fn max(&self) -> Result<u64> {
        let Some(text) = &self.max else { return Ok(REJECTS_MAX) };
        text.trim().parse().map_err(|_| {
            invalid(format!(
                "max_rejects cannot be '{text}': it is how many rows the job bears, 0 or a larger whole number"
            ))
        })
    }

    fn values(&self) -> Result<bool> {
        match self.values.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(invalid(format!("reject_values cannot be '{other}': it is true or false"))),
        }
    }
}

impl RejectsTarget {
    /// Refuses a place that is the result's, or lies within it or around it. Errors: `invalid_rejects`.
    pub(super) fn check_beside(&self, destination: &str) -> Result<()> {
        if !self.destination.starts_with(destination) && !destination.starts_with(&self.destination) {
            return Ok(());
        }
        let message = format!(
            "rejects go to {}, and the result to {destination}: neither may lie in the other, name a folder beside it",
            self.destination
        );
        Err(invalid(message))
    }
}

fn without_place(option: &str) -> ConnectError {
    invalid(format!("{option} is set and rejects is not: add rejects '<folder>', or remove {option}"))
}

fn invalid(message: String) -> ConnectError {
    ConnectError::InvalidRejects { message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(options: &[(&str, &str)]) -> Result<Option<RejectsTarget>> {
        let mut given = RejectOptions::default();
        for (name, value) in options {
            assert!(given.take(name, value), "{name}");
        }
        given.target(|to| Ok(format!("file:///{to}/")))
    }

    #[test]
    fn a_place_for_rejects_bears_some_rows_and_keeps_no_values() {
        let rejects = target(&[("rejects", "bad")]).expect("fine").expect("a place");
        assert_eq!(rejects, RejectsTarget { destination: "file:///bad/".to_owned(), max: 100, values: false });
        let rejects = target(&[("rejects", "bad"), ("max_rejects", "0"), ("reject_values", "TRUE")]);
        let rejects = rejects.expect("fine").expect("a place");
        assert_eq!((rejects.max, rejects.values), (0, true));
        assert_eq!(target(&[]).expect("fine"), None);
    }

    #[test]
    fn what_rejects_cannot_be_is_told_with_what_they_can() {
        let check = |options: &[(&str, &str)], part: &str| {
            let error = target(options).expect_err(part);
            assert_eq!(error.code(), "invalid_rejects");
            assert!(error.to_string().contains(part), "{error}");
        };
        check(&[("max_rejects", "1")], "max_rejects is set and rejects is not");
        check(&[("reject_values", "true")], "reject_values is set and rejects is not");
        check(&[("rejects", " ")], "name a folder");
        for max in ["-1", "many", "1.5", ""] {
            check(&[("rejects", "bad"), ("max_rejects", max)], "0 or a larger whole number");
        }
        check(&[("rejects", "bad"), ("reject_values", "some")], "true or false");
    }

    #[test]
    fn rejects_and_result_lie_side_by_side() {
        let check = |rejects: &str| {
            let rejects = RejectsTarget { destination: rejects.to_owned(), max: 1, values: false };
            rejects.check_beside("file:///out/scores/").map_err(|error| error.code())
        };
        assert_eq!(check("file:///out/rejects/"), Ok(()));
        assert_eq!(check("file:///out/scores2/"), Ok(()));
        for place in ["file:///out/scores/", "file:///out/scores/bad/", "file:///out/"] {
            assert_eq!(check(place), Err("invalid_rejects"), "{place}");
        }
    }
}

//! The token of users: kept from logs, and compared in a time that tells nothing of it.

use std::fmt;

/// What users prove themselves with.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A token; none of no characters at all.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// Whether this is it. How long that takes depends on the length of what is given alone.
    pub(crate) fn is(&self, given: &str) -> bool {
        let own = self.0.as_bytes();
        let differences = given.bytes().enumerate().fold(own.len() ^ given.len(), |differences, (at, byte)| {
            differences | usize::from(byte ^ own[at % own.len()])
        });
        std::hint::black_box(differences) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone_and_shows_nothing() {
        let token = Token::new(" s3cret\n").unwrap();
        assert!(token.is("s3cret"));
        for other in ["", "s3cre", "s3crets", "s3cret ", "S3cret", "s3crets3cret"] {
            assert!(!token.is(other), "{other}");
        }
        assert!(!format!("{token:?}").contains("s3cret"));
        assert!(Token::new(" \n").is_none());
    }
}

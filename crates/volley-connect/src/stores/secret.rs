//! Credentials: named in settings, read when a client is made, and never shown.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

/// Where a credential is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// A variable of the environment.
    Env(String),
    /// A file that holds nothing else.
    File(PathBuf),
}

impl SecretRef {
    /// The same; a relative path lies in `folder`.
    pub fn in_folder(&self, folder: &Path) -> Self {
        match self {
            Self::Env(name) => Self::Env(name.clone()),
            Self::File(path) => Self::File(folder.join(path)),
        }
    }

    /// The text of the credential, for whoever proves with it who they are, or why there is none.
    pub fn text(&self, environment: &Environment) -> Result<String, String> {
        self.read(environment).map(|secret| secret.0)
    }

    /// The credential, or why there is none.
    pub(super) fn read(&self, environment: &Environment) -> Result<Secret, String> {
        match self {
            Self::Env(name) => match environment.get(name) {
                Some(value) => Ok(Secret(value.to_owned())),
                None => Err(format!("the variable {name} is not set")),
            },
            Self::File(path) => {
                let text =
                    std::fs::read(path).map_err(|error| format!("'{}' cannot be read: {error}", path.display()))?;
                let text = String::from_utf8(text).map_err(|_| format!("'{}' is no text", path.display()))?;
                match text.trim() {
                    "" => Err(format!("'{}' is empty", path.display())),
                    text => Ok(Secret(text.to_owned())),
                }
            }
        }
    }
}

/// Refuses a credential that is written out without repeating it.
impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference)
    }
}

const WAYS: &str = "a credential is not written here but named: { env = \"NAME\" } or { file = \"PATH\" }";

struct Reference;

impl<'de> Visitor<'de> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(WAYS)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let reference = match map.next_key::<String>()?.as_deref() {
            Some("env") => SecretRef::Env(map.next_value()?),
            Some("file") => SecretRef::File(map.next_value()?),
            _ => return Err(A::Error::custom(WAYS)),
        };
        match map.next_key::<String>()? {
            None => Ok(reference),
            Some(_) => Err(A::Error::custom(WAYS)),
        }
    }

    // Without these, the value would stand in the message.
    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<SecretRef, E> {
        Err(E::custom(WAYS))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<SecretRef, E> {
        Err(E::custom(WAYS))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<SecretRef, E> {
        Err(E::custom(WAYS))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(E::custom(WAYS))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<SecretRef, E> {
        Err(E::custom(WAYS))
    }
}

/// A credential. Whoever needs its text must ask for it by name.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    /// For the client of a store, and nobody else.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The variables of the environment as they were when the process began. An empty one is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// These variables, by name and value.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(variables.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// What a variable says.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same variables, of which some have other values.
    pub fn with(&self, others: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::of(self.0.clone().into_iter().chain(others))
    }

    pub(super) fn starting_with(&self, prefix: &'static str) -> impl Iterator<Item = (&str, &str)> {
        let of_prefix = self.0.iter().filter(move |(name, _)| name.starts_with(prefix));
        of_prefix.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Names only.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_that_is_written_out_is_refused_and_not_repeated() {
        for value in ["\"CANARY\"", "4711", "47.11", "[\"CANARY\"]", "{\"value\": \"CANARY\"}"] {
            let told = serde_json::from_str::<SecretRef>(value).expect_err(value).to_string();
            assert!(told.contains("env = \"NAME\""), "{told}");
            assert!(!told.contains("CANARY") && !told.contains("47"), "{told}");
        }
    }

    #[test]
    fn a_credential_is_read_without_the_line_break_at_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key"), "s3cret\n").expect("written");
        let file = SecretRef::File("key".into()).in_folder(folder.path());
        assert_eq!(file.read(&Environment::default()).expect("read").expose(), "s3cret");
        let variables = Environment::of([("KEY".to_owned(), "k".to_owned()), ("EMPTY".to_owned(), String::new())]);
        assert_eq!(SecretRef::Env("KEY".to_owned()).read(&variables).expect("set").expose(), "k");
        for name in ["EMPTY", "OTHER"] {
            let told = SecretRef::Env(name.to_owned()).read(&variables).expect_err(name);
            assert_eq!(told, format!("the variable {name} is not set"));
        }
    }

    #[test]
    fn what_holds_credentials_does_not_show_them() {
        let variables = Environment::of([("KEY".to_owned(), "CANARY".to_owned())]);
        let secret = SecretRef::Env("KEY".to_owned()).read(&variables).expect("set");
        assert!(!format!("{variables:?} {secret:?}").contains("CANARY"));
    }
}

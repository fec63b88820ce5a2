//! The settings of a session that concern predict calls: `SET volley.coercion`, `SET volley.null_rules`.

use std::any::Any;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ConfigOptions, ExtensionOptions};
use datafusion::error::{DataFusionError, Result};
use volley_model::{CoercionMode, NullRules};

use crate::error::PredictError;

/// Settings under `volley.`. A value that a setting cannot have is refused when it is set, and the old one
/// stays.
#[derive(Debug, Clone, Default)]
pub struct PredictOptions {
    coercion: CoercionMode,
    null_rules: NullRules,
}

impl ConfigExtension for PredictOptions {
    const PREFIX: &'static str = "volley";
}

impl ExtensionOptions for PredictOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "coercion" => self.coercion = coercion(value)?,
            "null_rules" => self.null_rules = null_rules(value)?,
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let coercion = match self.coercion {
            CoercionMode::Standard => "standard",
            CoercionMode::Strict => "strict",
        };
        let null_rules = match self.null_rules {
            NullRules::Contract => "contract",
            NullRules::Mlflow => "mlflow",
        };
        vec![
            entry(
                "volley.coercion",
                coercion,
                "`standard` allows what the table of coercions allows; `strict` refuses every one that may round.",
            ),
            entry(
                "volley.null_rules",
                null_rules,
                "`contract` uses each model's own rules; `mlflow` gives what `spark_udf` gives.",
            ),
        ]
    }
}

impl PredictOptions {
    /// The settings of a session; the defaults when it has none of ours.
    pub fn of(config: &ConfigOptions) -> Self {
        config.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Which coercions are allowed.
    pub fn coercion_mode(&self) -> CoercionMode {
        self.coercion
    }

    /// Whose null rules hold.
    pub fn null_rule_set(&self) -> NullRules {
        self.null_rules
    }
}

fn coercion(value: &str) -> Result<CoercionMode> {
    match value {
        "standard" => Ok(CoercionMode::Standard),
        "strict" => Ok(CoercionMode::Strict),
        other => Err(refused("volley.coercion", other, "standard, strict")),
    }
}

fn null_rules(value: &str) -> Result<NullRules> {
    match value {
        "contract" => Ok(NullRules::Contract),
        "mlflow" => Ok(NullRules::Mlflow),
        other => Err(refused("volley.null_rules", other, "contract, mlflow")),
    }
}

fn refused(name: &'static str, value: &str, allowed: &'static str) -> DataFusionError {
    PredictError::Setting { name, value: value.to_owned(), allowed }.into()
}

fn unknown(name: &str) -> DataFusionError {
    let message = format!("there is no setting volley.{name}: there are volley.coercion and volley.null_rules");
    DataFusionError::Configuration(message)
}

/// DataFusion shows an extension's entries under the keys that they bring.
fn entry(key: &str, value: &str, description: &'static str) -> ConfigEntry {
    ConfigEntry { key: key.to_owned(), value: Some(value.to_owned()), description }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_value_leaves_the_old_one() {
        let mut options = PredictOptions::default();
        options.set("coercion", "strict").unwrap();
        assert!(options.set("coercion", "loose").is_err());
        assert!(options.set("null_rules", "").is_err());
        assert_eq!((options.coercion_mode(), options.null_rule_set()), (CoercionMode::Strict, NullRules::Contract));
    }

    #[test]
    fn what_is_shown_can_be_set_again() {
        let mut options = PredictOptions::default();
        options.set("null_rules", "mlflow").unwrap();
        let mut copy = PredictOptions::default();
        for ConfigEntry { key, value, .. } in options.entries() {
            copy.set(key.strip_prefix("volley.").unwrap(), &value.unwrap()).unwrap();
        }
        assert_eq!(copy.entries(), options.entries());
    }
}

//! The settings of a session that concern predict calls: `SET volley.coercion`, `SET volley.null_rules`.

use datafusion::common::config::{ConfigExtension, ConfigOptions};
use datafusion::common::extensions_options;
use datafusion::error::Result;
use volley_model::{CoercionMode, NullRules};

use crate::error::PredictError;

extensions_options! {
    /// Settings under `volley.`.
    pub struct PredictOptions {
        /// `standard` allows what product rules allow; `strict` refuses every coercion that may round.
        pub coercion: String, default = "standard".to_string()
        /// `contract` uses each model's own rules; `mlflow` gives what `spark_udf` gives.
        pub null_rules: String, default = "contract".to_string()
    }
}

impl ConfigExtension for PredictOptions {
    const PREFIX: &'static str = "volley";
}

impl PredictOptions {
    /// The settings of a session; the defaults when it has none of ours.
    pub fn of(config: &ConfigOptions) -> Self {
        config.extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// The coercion setting as a type.
    pub fn coercion_mode(&self) -> Result<CoercionMode> {
        match self.coercion.as_str() {
            "standard" => Ok(CoercionMode::Standard),
            "strict" => Ok(CoercionMode::Strict),
            other => {
                Err(PredictError::Setting { name: "volley.coercion", value: other.into(), allowed: "standard, strict" }
                    .into())
            }
        }
    }

    /// The null-rule setting as a type.
    pub fn null_rule_set(&self) -> Result<NullRules> {
        match self.null_rules.as_str() {
            "contract" => Ok(NullRules::Contract),
            "mlflow" => Ok(NullRules::Mlflow),
            other => Err(PredictError::Setting {
                name: "volley.null_rules",
                value: other.into(),
                allowed: "contract, mlflow",
            }
            .into()),
        }
    }
}

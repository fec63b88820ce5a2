//! The models of one statement, each pinned to a version and digest before the statement is planned.

use std::collections::BTreeMap;
use std::sync::Arc;

use volley_registry::{ModelRef, Pin, Registry};

use crate::problem::{Problem, Site};

/// Model literals of a statement and what each stands for, for as long as the job runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pins(BTreeMap<String, Arc<Pin>>);

impl Pins {
    /// Resolves the model of every site, each literal once. What is already in `known` is kept, so that all
    /// statements of a job score with one version. Returns all problems at once, each at its first call.
    pub async fn resolve(known: &Pins, sites: &[Site], registry: &Registry) -> Result<Pins, Vec<Problem>> {
        let mut pins = Pins::default();
        let mut problems: Vec<Problem> = Vec::new();
        let mut refused: Vec<&str> = Vec::new();
        for site in sites {
            if pins.get(&site.model).is_some() || refused.contains(&site.model.as_str()) {
                continue;
            }
            match known.get(&site.model) {
                Some(pin) => pins.insert(&site.model, pin.clone()),
                None => match pin(&site.model, registry).await {
                    Ok(pin) => pins.insert(&site.model, Arc::new(pin)),
                    Err((code, message)) => {
                        refused.push(&site.model);
                        problems.push(Problem { code, message, place: Some(site.place) });
                    }
                },
            }
        }
        if problems.is_empty() { Ok(pins) } else { Err(problems) }
    }

    /// What a model literal stands for.
    pub fn get(&self, model: &str) -> Option<&Arc<Pin>> {
        self.0.get(model)
    }

    /// All pinned models, by literal.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<Pin>)> {
        self.0.iter().map(|(literal, pin)| (literal.as_str(), pin))
    }

    /// Adds one literal with its pin.
    pub fn insert(&mut self, model: &str, pin: Arc<Pin>) {
        self.0.insert(model.to_string(), pin);
    }

    /// Adds all of `other`; what is already here stays.
    pub fn extend(&mut self, other: &Pins) {
        for (literal, pin) in other.iter() {
            self.0.entry(literal.to_string()).or_insert_with(|| pin.clone());
        }
    }
}

async fn pin(model: &str, registry: &Registry) -> Result<Pin, (&'static str, String)> {
    let reference: ModelRef = model.parse().map_err(|e: volley_registry::Error| (e.code(), e.to_string()))?;
    registry.resolve(&reference).await.map_err(|e| (e.code(), e.to_string()))
}

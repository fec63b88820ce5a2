//! The inputs of a model in its library's own file: one for each feature that it was trained with.

use std::collections::{BTreeSet, HashMap};

use volley_onnx::{FeatureNames, Port};

use super::feeding::{Declaration, scalar_or_items};
use crate::signature::{Column, ColumnType, Specs};
use crate::{Element, ModelError, Slot};

/// An input for each feature, under the signature's names where it has them; `None` where the signature speaks of
/// arrays or tensors, or where there are no names to go by: then columns are taken in order.
pub(super) fn declarations(
    names: &FeatureNames,
    ports: &[Port],
    signature: Option<&Specs>,
) -> Result<Option<Vec<Declaration>>, ModelError> {
    let features = Features { names: names.names(), ports };
    match (signature, names) {
        (None, _) => Ok(Some(features.own())),
        (Some(Specs::Columns(columns)), FeatureNames::Trained(_)) if all_named_scalars(columns) => {
            features.of_columns(columns).map(Some)
        }
        _ => Ok(None),
    }
}

fn all_named_scalars(columns: &[Column]) -> bool {
    columns.iter().all(|column| column.name.is_some() && matches!(column.data_type, ColumnType::Scalar(_)))
}

struct Features<'a> {
    names: &'a [String],
    ports: &'a [Port],
}

impl Features<'_> {
    /// The file's own names, and the types that the trees read.
    fn own(&self) -> Vec<Declaration> {
        let declaration = |(feature, name): (usize, &String)| {
            let slot = self.slot(feature);
            let declared = Element::from(self.ports[slot.tensor].element).input_type();
            Declaration { name: Some(name.clone()), declared, required: true, slot }
        };
        self.names.iter().enumerate().map(declaration).collect()
    }

    /// Columns in any order, each to the feature of its name.
    fn of_columns(&self, columns: &[Column]) -> Result<Vec<Declaration>, ModelError> {
        let places: HashMap<&str, usize> =
            self.names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
        let named: Vec<String> = columns.iter().map(|column| file_name(column, &places)).collect();
        self.check_names(&named)?;
        let declaration = |(at, (column, name)): (usize, (&Column, &String))| {
            let (declared, _) = scalar_or_items(column, at)?;
            let slot = self.slot(places[name.as_str()]);
            Ok(Declaration { name: column.name.clone(), declared, required: column.required, slot })
        };
        columns.iter().zip(&named).enumerate().map(declaration).collect()
    }

    fn check_names(&self, named: &[String]) -> Result<(), ModelError> {
        let trained: BTreeSet<&String> = self.names.iter().collect();
        let given: BTreeSet<&String> = named.iter().collect();
        let reason = if let Some(missing) = trained.difference(&given).next() {
            format!("the model was trained with the feature `{missing}`, which it does not name")
        } else if let Some(extra) = given.difference(&trained).next() {
            format!("the model was not trained with a feature `{extra}`")
        } else if named.len() != self.names.len() {
            "it names a feature twice".to_owned()
        } else {
            return Ok(());
        };
        Err(ModelError::SignatureMismatch(reason))
    }

    /// Features are the columns of one matrix, or an input each.
    fn slot(&self, feature: usize) -> Slot {
        match self.ports.len() {
            1 => Slot { tensor: 0, offset: feature },
            _ => Slot { tensor: feature, offset: 0 },
        }
    }
}

/// The column's name as the file has it: LightGBM writes an underscore for each space.
fn file_name(column: &Column, places: &HashMap<&str, usize>) -> String {
    let name = column.name.clone().unwrap_or_default();
    if places.contains_key(name.as_str()) {
        return name;
    }
    let plain = name.replace(char::is_whitespace, "_");
    if places.contains_key(plain.as_str()) { plain } else { name }
}

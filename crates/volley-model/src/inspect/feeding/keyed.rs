//! The inputs of a graph that takes a map: one for each of its keys, by name. What a row does not have is zero.

use volley_onnx::{Graph, Port};

use super::{Columns, Declaration, label, mismatch, scalar_or_items};
use crate::inspect::shape::Row;
use crate::{Element, FillValue, ModelError, NullRule, Slot};

/// What stands for a key that a row does not have.
pub(super) fn absent(port: &Port) -> NullRule {
    let text = if port.element == volley_onnx::Element::String { "" } else { "0" };
    NullRule::Fill(FillValue::new(text))
}

/// An input for each key of `port`, none of which a call must give.
pub(super) fn all(keys: &[String], port: &Port, tensor: usize) -> Vec<Declaration> {
    keys.iter().enumerate().map(|(offset, key)| own(key, port, Slot { tensor, offset })).collect()
}

fn own(key: &str, port: &Port, slot: Slot) -> Declaration {
    let declared = Element::from(port.element).input_type();
    Declaration { name: Some(key.to_owned()), declared, required: false, slot }
}

/// The columns of a signature go by name, to keys and to other inputs; keys that it does not name are added.
pub(super) fn declarations(graph: &Graph, columns: &Columns, rows: &mut [Row]) -> Result<Vec<Declaration>, ModelError> {
    let mut declarations = Vec::new();
    for (at, column) in columns.columns.iter().enumerate() {
        let name = column.name.as_deref().unwrap_or_default();
        let slots = columns.open.iter().filter_map(|&tensor| slot(graph, &columns.ports[tensor], tensor, name));
        declarations.push(match slots.collect::<Vec<_>>().as_slice() {
            [(slot, true)] => {
                let (declared, _) = scalar_or_items(column, at)?;
                Declaration { name: column.name.clone(), declared, required: column.required, slot: *slot }
            }
            [(slot, false)] => columns.alone(at, slot.tensor, rows)?,
            _ => {
                let label = label(column, at);
                return Err(mismatch(format!("column {label} is no key of the graph's map, and no other input of it")));
            }
        });
    }
    for &tensor in columns.open {
        let port = &columns.ports[tensor];
        let given = |slot: &Slot| declarations.iter().any(|it| it.slot == *slot);
        match graph.keys(&port.name) {
            Some(keys) => {
                let left: Vec<_> = all(keys, port, tensor).into_iter().filter(|it| !given(&it.slot)).collect();
                declarations.extend(left);
            }
            None if given(&Slot { tensor, offset: 0 }) => {}
            None => return Err(mismatch(format!("it does not name the graph's input `{}`", port.name))),
        }
    }
    Ok(declarations)
}

/// Where a column of this name goes in an input, and whether that is a key of its map.
fn slot(graph: &Graph, port: &Port, tensor: usize, name: &str) -> Option<(Slot, bool)> {
    match graph.keys(&port.name) {
        Some(keys) => {
            let offset = keys.iter().position(|key| key == name)?;
            Some((Slot { tensor, offset }, true))
        }
        None => (port.name == name).then_some((Slot { tensor, offset: 0 }, false)),
    }
}

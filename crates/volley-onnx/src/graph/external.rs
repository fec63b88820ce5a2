//! Brings external tensor data into the graph, from the bytes that the caller holds and no others.

use std::collections::{BTreeSet, HashMap};

use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{GraphProto, TensorProto};

use super::walk::for_each_tensor;
use crate::error::Error;

/// Replaces every reference to a file beside the model by the bytes it refers to, of which there
/// may be at most `bytes_max` in all. Gives the files.
pub(super) fn inline<'a>(
    graph: &mut GraphProto,
    files: &dyn Fn(&str) -> Option<&'a [u8]>,
    bytes_max: usize,
) -> Result<BTreeSet<String>, Error> {
    let mut total = 0usize;
    let mut used = BTreeSet::new();
    for_each_tensor(graph, &mut |tensor| {
        if tensor.data_location != Some(DataLocation::External as i32) {
            return Ok(());
        }
        let (path, bytes) = referred(tensor, files)?;
        total = total.saturating_add(bytes.len());
        if total > bytes_max {
            return Err(Error::TooLarge { what: "external data in bytes", size: total, max: bytes_max });
        }
        tensor.raw_data = bytes.to_vec();
        tensor.data_location = None;
        tensor.external_data.clear();
        used.insert(path);
        Ok(())
    })?;
    Ok(used)
}

/// A file, and what of it a tensor is made of.
fn referred<'a>(tensor: &TensorProto, files: &dyn Fn(&str) -> Option<&'a [u8]>) -> Result<(String, &'a [u8]), Error> {
    let entries: HashMap<&str, &str> = tensor.external_data.iter().map(|entry| (&*entry.key, &*entry.value)).collect();
    let location = entries
        .get("location")
        .ok_or_else(|| Error::Invalid(format!("tensor `{}` names no external data file", tensor.name)))?;
    let path = inside_folder(location)?;
    let file = files(&path).ok_or_else(|| Error::ExternalDataMissing(path.clone()))?;
    let number = |key: &str, default: usize| match entries.get(key) {
        None => Ok(default),
        Some(text) => text.parse::<usize>().map_err(|_| outside_file(tensor, &path)),
    };
    let offset = number("offset", 0)?;
    let length = number("length", file.len().saturating_sub(offset))?;
    let end = offset.checked_add(length).ok_or_else(|| outside_file(tensor, &path))?;
    let bytes = file.get(offset..end).ok_or_else(|| outside_file(tensor, &path))?;
    Ok((path, bytes))
}

fn outside_file(tensor: &TensorProto, path: &str) -> Error {
    Error::Invalid(format!("the data of tensor `{}` lies outside the file `{path}`", tensor.name))
}

/// The path as the caller's lookup knows it; an error if it leaves the model's folder.
fn inside_folder(location: &str) -> Result<String, Error> {
    let escapes = location.starts_with('/')
        || location.contains(['\\', ':', '\0'])
        || location.split('/').any(|part| part == "..");
    if escapes {
        return Err(Error::PathEscape(location.to_owned()));
    }
    let parts: Vec<&str> = location.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(location: &str, expected: Option<&str>) {
        match expected {
            Some(path) => assert_eq!(inside_folder(location), Ok(path.to_owned())),
            None => assert_eq!(inside_folder(location), Err(Error::PathEscape(location.into()))),
        }
    }

    #[test]
    fn only_paths_inside_the_folder_are_looked_up() {
        check("weights.data", Some("weights.data"));
        check("./a//weights.data", Some("a/weights.data"));
        check("../weights.data", None);
        check("a/../../weights.data", None);
        check("/etc/passwd", None);
        check("C:\\weights", None);
        check("..\\weights", None);
    }
}

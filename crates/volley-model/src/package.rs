//! The graph and the signature among a model's files.

use volley_onnx::{Graph, Limits};

use crate::mlmodel::{self, MlModel};
use crate::signature::Signature;
use crate::{Artifact, ModelError};

/// A model's files with its graph found.
#[derive(Debug)]
pub(crate) struct Package<'a> {
    artifact: &'a Artifact,
    /// Path of the ONNX file, which is among the files.
    onnx: String,
    pub signature: Option<Signature>,
}

impl<'a> Package<'a> {
    /// An MLflow model directory if there is an `MLmodel` file, else the one `.onnx` file.
    pub(crate) fn open(artifact: &'a Artifact) -> Result<Self, ModelError> {
        match artifact.file(mlmodel::FILE) {
            Some(text) => Self::directory(artifact, MlModel::parse(text)?),
            None => Ok(Self { artifact, onnx: only_onnx_file(artifact)?, signature: None }),
        }
    }

    fn directory(artifact: &'a Artifact, model: MlModel) -> Result<Self, ModelError> {
        let onnx = inside("", &model.data).ok_or_else(|| ModelError::PathEscape(model.data.clone()))?;
        if artifact.file(&onnx).is_none() {
            let reason = format!(
                "the MLmodel file names `{}`, which is not among the model's files; give the whole model directory",
                model.data
            );
            return Err(ModelError::MissingFile { reason });
        }
        Ok(Self { artifact, onnx, signature: model.signature })
    }

    /// Parses the graph. External tensor data is looked up beside the ONNX file and nowhere else.
    pub(crate) fn graph(&self, limits: &Limits) -> Result<Graph, ModelError> {
        let model = self.artifact.file(&self.onnx).expect("opening the package found the ONNX file");
        let folder = self.onnx.rsplit_once('/').map_or("", |(folder, _)| folder);
        let external = |location: &str| {
            let path = inside(folder, location)?;
            self.artifact.file(&path).map(|content| content.as_ref())
        };
        Ok(Graph::parse(model, &external, limits)?)
    }
}

fn only_onnx_file(artifact: &Artifact) -> Result<String, ModelError> {
    let mut files = artifact.files().keys().filter(|path| path.to_ascii_lowercase().ends_with(".onnx"));
    match (files.next(), files.next()) {
        (Some(only), None) => Ok(only.clone()),
        (Some(first), Some(second)) => Err(ModelError::MissingFile {
            reason: format!("there is no MLmodel file to choose between `{first}` and `{second}`; give one of them"),
        }),
        (None, _) => Err(ModelError::MissingFile {
            reason: "there is neither an MLmodel file nor an .onnx file; give a model directory or a .onnx file"
                .to_owned(),
        }),
    }
}

/// `location` below `folder` as a plain path; `None` if it leads out of the model.
fn inside(folder: &str, location: &str) -> Option<String> {
    // A backslash or a drive letter means a path made on Windows, which could lead anywhere there.
    if location.is_empty() || location.starts_with('/') || location.contains(['\\', ':']) {
        return None;
    }
    let mut parts: Vec<_> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in location.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;

    fn code(files: &[(&str, &str)]) -> &'static str {
        let files: BTreeMap<_, _> =
            files.iter().map(|(path, text)| (path.to_string(), Bytes::from(text.to_string()))).collect();
        Package::open(&Artifact::new(files)).expect_err("refused").code()
    }

    #[test]
    fn a_path_stays_inside_the_model() {
        assert_eq!(inside("", "model.onnx").as_deref(), Some("model.onnx"));
        assert_eq!(inside("onnx", "./weights//w.data").as_deref(), Some("onnx/weights/w.data"));
        assert_eq!(inside("onnx", "../w.data").as_deref(), Some("w.data"));
        for escape in ["/etc/passwd", "../x", "a/../../x", "c:\\x", "..\\x", "", ".."] {
            assert_eq!(inside("", escape), None, "{escape}");
        }
    }

    #[test]
    fn files_without_a_graph_have_their_codes() {
        assert_eq!(code(&[]), "model_file_missing");
        assert_eq!(code(&[("README.md", "")]), "model_file_missing");
        assert_eq!(code(&[("a.onnx", ""), ("b.onnx", "")]), "model_file_missing");
        assert_eq!(code(&[("MLmodel", "flavors: {onnx: {data: m.onnx}}")]), "model_file_missing");
        assert_eq!(code(&[("MLmodel", "flavors: {onnx: {data: ../m.onnx}}")]), "model_path_escape");
    }
}

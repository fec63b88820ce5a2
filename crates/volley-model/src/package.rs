//! The model's own file and the signature among its files.

use volley_onnx::{Graph, Limits, Predictor};

use crate::mlmodel::{self, Format, MlModel};
use crate::signature::Signature;
use crate::{Artifact, ModelError};

/// A model's files with its own one found.
#[derive(Debug)]
pub(crate) struct Package<'a> {
    artifact: &'a Artifact,
    /// Path of the model's file, which is among the files.
    path: String,
    format: Format,
    pub signature: Option<Signature>,
}

impl<'a> Package<'a> {
    /// An MLflow model directory if there is an `MLmodel` file, else the one model file: ONNX before all others.
    pub(crate) fn open(artifact: &'a Artifact) -> Result<Self, ModelError> {
        if let Some(text) = artifact.file(mlmodel::FILE) {
            return Self::directory(artifact, MlModel::parse(text)?);
        }
        let onnx = |path: &str, _: &[u8]| path.to_ascii_lowercase().ends_with(".onnx").then_some(Format::Onnx);
        let (path, format) = match only(artifact, onnx)? {
            Some(found) => found,
            None => only(artifact, native_format)?.ok_or_else(no_model)?,
        };
        Ok(Self { artifact, path, format, signature: None })
    }

    fn directory(artifact: &'a Artifact, model: MlModel) -> Result<Self, ModelError> {
        let path = inside("", &model.data).ok_or_else(|| ModelError::PathEscape(model.data.clone()))?;
        if artifact.file(&path).is_none() {
            let reason = format!(
                "the MLmodel file names `{}`, which is not among the model's files; give the whole model directory",
                model.data
            );
            return Err(ModelError::MissingFile { reason });
        }
        Ok(Self { artifact, path, format: model.format, signature: model.signature })
    }

    /// Parses the graph. External tensor data is looked up beside the ONNX file and nowhere else.
    pub(crate) fn graph(&self, limits: &Limits) -> Result<Graph, ModelError> {
        Ok(match self.format {
            Format::Onnx => Graph::parse(self.model(), &|location| self.beside(location), limits),
            Format::Xgboost(predictor) => Graph::from_xgboost(self.model(), predictor, limits),
            Format::Lightgbm(predictor) => Graph::from_lightgbm(self.model(), predictor, limits),
        }?)
    }

    /// The graph as its file declares it, for a runtime that reads ONNX itself.
    pub(crate) fn foreign_graph(&self, limits: &Limits) -> Result<Graph, ModelError> {
        let library = match self.format {
            Format::Onnx => return Ok(Graph::foreign(self.model(), &|location| self.beside(location), limits)?),
            Format::Xgboost(_) => "XGBoost",
            Format::Lightgbm(_) => "LightGBM",
        };
        Err(ModelError::RuntimeUnavailable(format!(
            "ONNX Runtime scores ONNX files, and `{}` is a file of {library}, which our own trees score: ask for no runtime",
            self.path
        )))
    }

    fn model(&self) -> &'a [u8] {
        self.artifact.file(&self.path).expect("opening the package found the model's file")
    }

    /// A file by its path from the folder of the model's own.
    fn beside(&self, location: &str) -> Option<&'a [u8]> {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = inside(folder, location)?;
        self.artifact.file(&path).map(|content| content.as_ref())
    }
}

/// The one file of which `format` knows the form.
fn only(
    artifact: &Artifact,
    format: impl Fn(&str, &[u8]) -> Option<Format>,
) -> Result<Option<(String, Format)>, ModelError> {
    let files = artifact.files().iter();
    let mut found = files.filter_map(|(path, content)| Some((path.clone(), format(path, content)?)));
    match (found.next(), found.next()) {
        (Some((first, _)), Some((second, _))) => Err(ModelError::MissingFile {
            reason: format!("there is no MLmodel file to choose between `{first}` and `{second}`; give one of them"),
        }),
        (found, _) => Ok(found),
    }
}

fn no_model() -> ModelError {
    let reason = "there is neither an MLmodel file nor an .onnx file, nor a model in a file of XGBoost (.json, .ubj) or LightGBM (.txt); give a model directory or one of these files";
    ModelError::MissingFile { reason: reason.to_owned() }
}

/// What a file holds by its ending and its first bytes. Scored as its library's booster does: nothing says that it was
/// anything else.
fn native_format(path: &str, content: &[u8]) -> Option<Format> {
    const HEAD: usize = 64;
    let head = &content[..content.len().min(HEAD)];
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase())?;
    let is_xgboost = head.starts_with(b"{") && head.windows(7).any(|word| word == b"learner");
    let is_lightgbm = head.starts_with(b"tree\n") || head.starts_with(b"tree\r\n");
    match ending.as_str() {
        "json" | "ubj" if is_xgboost => Some(Format::Xgboost(Predictor::Booster)),
        "txt" | "lgb" | "model" if is_lightgbm => Some(Format::Lightgbm(Predictor::Booster)),
        _ => None,
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
    fn a_file_of_a_library_is_known_by_its_ending_and_its_first_bytes() {
        let xgboost = Some(Format::Xgboost(Predictor::Booster));
        assert_eq!(native_format("model.json", b"{ \"learner\": {}}"), xgboost);
        assert_eq!(native_format("a/model.ubj", b"{L\0\0\0\0\0\0\0\x07learner{"), xgboost);
        assert_eq!(native_format("model.txt", b"tree\nversion=v4\n"), Some(Format::Lightgbm(Predictor::Booster)));
        assert_eq!(native_format("input_example.json", b"{\"columns\": []}"), None);
        assert_eq!(native_format("requirements.txt", b"numpy\n"), None);
    }

    #[test]
    fn files_without_a_graph_have_their_codes() {
        assert_eq!(code(&[]), "model_file_missing");
        assert_eq!(code(&[("README.md", "")]), "model_file_missing");
        assert_eq!(code(&[("a.onnx", ""), ("b.onnx", "")]), "model_file_missing");
        assert_eq!(code(&[("model.txt", "notes"), ("conf.json", "{}")]), "model_file_missing");
        assert_eq!(code(&[("a.txt", "tree\n"), ("b.json", "{\"learner\": 1}")]), "model_file_missing");
        assert_eq!(code(&[("MLmodel", "flavors: {onnx: {data: m.onnx}}")]), "model_file_missing");
        assert_eq!(code(&[("MLmodel", "flavors: {onnx: {data: ../m.onnx}}")]), "model_path_escape");
    }
}

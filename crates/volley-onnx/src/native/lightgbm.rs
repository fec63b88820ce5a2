//! LightGBM's model file, the text of releases 2 to 4.

mod objective;
mod text;
mod tree;

use super::Predictor;
use super::document::{Value, invalid};
use super::features::{Codes, FeatureNames, Features, check_count};
use super::grove::Grove;
use super::model::{Classes, Model, Part, Sums};
use crate::error::Error;
use crate::limits::Limits;
use crate::trees::Aggregate;
use objective::Objective;
use text::File;
use tree::Tree;

/// The model and the names of its booster and objective.
pub(super) fn read(file: &[u8], predictor: Predictor, limits: &Limits) -> Result<(Model<f64>, Vec<String>), Error> {
    let text = std::str::from_utf8(file).map_err(|_| invalid("the file is not a LightGBM model in text"))?;
    let reader = Reader::new(File::read(text)?, predictor)?;
    let booster = if reader.file.averages() { "rf" } else { "gbdt" };
    let mut operators = vec![format!("lightgbm.{booster}"), format!("lightgbm.{}", reader.objective.name)];
    operators.sort();
    Ok((reader.model(file.len(), limits)?, operators))
}

struct Reader<'t> {
    file: File<'t>,
    objective: Objective<'t>,
    /// Trees of an iteration, and sums of a row.
    groups: usize,
    predictor: Predictor,
}

impl<'t> Reader<'t> {
    fn new(file: File<'t>, predictor: Predictor) -> Result<Self, Error> {
        match file.header.text("version")? {
            "v2" | "v3" | "v4" => {}
            other => return Err(unsupported(format!("version `{other}` of LightGBM's model file"))),
        }
        let objective = Objective::read(file.header.find("objective").unwrap_or_default())?;
        let groups = file.header.count("num_tree_per_iteration")?;
        if objective.groups.is_some_and(|expected| expected != groups) {
            return Err(invalid(format!("it has {groups} trees an iteration, which is not what its objective takes")));
        }
        Ok(Reader { file, objective, groups, predictor })
    }

    fn model(&self, file_bytes: usize, limits: &Limits) -> Result<Model<f64>, Error> {
        let features = self.features()?;
        let mut grove = Grove::new(self.groups, features.count(), file_bytes, limits)?;
        for (number, section) in self.file.trees.iter().enumerate() {
            grove.add(number, &Tree::read(section, number % self.groups)?)?;
        }
        let predicted = match (self.predictor, self.objective.classes) {
            (Predictor::Classifier, Classes::Two | Classes::Each) => Part::Label,
            _ => Part::Values,
        };
        Ok(Model {
            features,
            sums: Sums::Trees(Box::new(grove.ensemble(Aggregate::Sum)?)),
            groups: self.groups,
            divisor: self.divisor()?,
            link: self.objective.link,
            classes: self.objective.classes,
            predicted,
        })
    }

    /// A random forest's trees are averaged.
    fn divisor(&self) -> Result<f64, Error> {
        let trees = self.file.trees.len();
        if !trees.is_multiple_of(self.groups) {
            return Err(invalid(format!("its {trees} trees are not whole iterations of {}", self.groups)));
        }
        Ok(if self.file.averages() && trees > 0 { (trees / self.groups) as f64 } else { 1.0 })
    }

    fn features(&self) -> Result<Features, Error> {
        let count = check_count(self.file.header.count("max_feature_idx")?.saturating_add(1))?;
        let names: Vec<&str> = self.file.header.text("feature_names")?.split(' ').collect();
        if names.len() != count {
            return Err(invalid(format!("it has {} names for {count} features", names.len())));
        }
        let numbered = names.iter().enumerate().all(|(at, name)| *name == format!("Column_{at}"));
        let names = names.into_iter().map(str::to_owned).collect();
        let names = if numbered { FeatureNames::Numbered(names) } else { FeatureNames::Trained(names) };
        Features::new(names, self.codes(count)?)
    }

    /// What the values of each feature stand for, where the model was trained with a data frame of categories.
    fn codes(&self, count: usize) -> Result<Vec<Codes>, Error> {
        let lists = match &self.file.categories {
            Some(Value::List(lists)) => lists,
            None | Some(Value::Null | Value::Numbers(_)) => return Ok(Vec::new()),
            Some(_) => return Err(invalid("its pandas_categorical is no list")),
        };
        let features = self.categorical_features()?;
        if features.len() != lists.len() {
            let reason = format!("it has categories of {} columns and {} such features", lists.len(), features.len());
            return Err(invalid(reason));
        }
        let mut codes: Vec<Codes> = (0..count).map(|_| Codes::None).collect();
        for (feature, list) in features.into_iter().zip(lists) {
            let place =
                codes.get_mut(feature).ok_or_else(|| invalid("a category is of a feature that does not exist"))?;
            *place = coded(list)?;
        }
        Ok(codes)
    }

    /// Which features are categories: as the training was told, else by the values that it saw.
    fn categorical_features(&self) -> Result<Vec<usize>, Error> {
        if let Some(told) = self.file.categorical_feature.filter(|told| !told.is_empty()) {
            let features = told.split(',').map(|text| text.trim().parse()).collect::<Result<_, _>>();
            return features.map_err(|_| invalid("its categorical_feature is no list of numbers"));
        }
        let infos = self.file.header.text("feature_infos")?.split(' ').enumerate();
        Ok(infos.filter(|(_, info)| *info != "none" && !info.starts_with('[')).map(|(at, _)| at).collect())
    }
}

fn coded(list: &Value) -> Result<Codes, Error> {
    if let Some(numbers) = list.as_numbers() {
        return Ok(Codes::of_numbers(&numbers));
    }
    let wrong = || unsupported("categories that are neither all texts nor all numbers".to_owned());
    let Value::List(values) = list else { return Err(wrong()) };
    let words = values.iter().map(Value::as_text).collect::<Option<Vec<&str>>>().ok_or_else(wrong)?;
    Ok(Codes::of_words(words.into_iter()))
}

fn unsupported(what: String) -> Error {
    Error::UnsupportedOperator { operators: vec![what] }
}

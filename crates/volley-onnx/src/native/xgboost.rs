//! XGBoost's model file: <https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html>.

mod objective;
mod tree;

use super::document::{Value, invalid};
use super::features::{Codes, FeatureNames, Features, check_count};
use super::grove::Grove;
use super::linear::Linear;
use super::model::{Classes, Model, Part, Sums};
use super::{Predictor, json, ubjson};
use crate::error::Error;
use crate::limits::Limits;
use crate::trees::Aggregate;
use objective::Objective;
use tree::Tree;

/// The model and the names of its booster and objective.
pub(super) fn read(file: &[u8], predictor: Predictor, limits: &Limits) -> Result<(Model<f32>, Vec<String>), Error> {
    let document = parse(file)?;
    let reader = Reader::new(&document, file.len(), predictor, limits)?;
    Ok((reader.model()?, reader.operators()))
}

fn parse(file: &[u8]) -> Result<Value, Error> {
    match file {
        [b'{', b'"' | b'}' | b' ' | b'\t' | b'\r' | b'\n', ..] => json::parse(file),
        [b'{', ..] => ubjson::parse(file),
        _ => Err(invalid(
            "it is in the binary form of old XGBoost releases; load it there and save it with save_model('model.ubj')",
        )),
    }
}

struct Reader<'v> {
    learner: &'v Value,
    /// What holds the trees or weights; within a `dart` booster it lies deeper.
    model: &'v Value,
    booster: &'v str,
    objective: Objective,
    groups: usize,
    features: usize,
    file_bytes: usize,
    predictor: Predictor,
    limits: &'v Limits,
}

impl<'v> Reader<'v> {
    fn new(document: &'v Value, file_bytes: usize, predictor: Predictor, limits: &'v Limits) -> Result<Self, Error> {
        let learner = document.member("learner")?;
        let gradient = learner.member("gradient_booster")?;
        let booster = gradient.text("name")?;
        let model = match booster {
            "dart" => gradient.member("gbtree")?.member("model")?,
            "gbtree" | "gblinear" => gradient.member("model")?,
            other => return Err(unsupported(&format!("the XGBoost booster `{other}`"))),
        };
        let name = learner.member("objective")?.text("name")?;
        let objective = Objective::of(name).ok_or_else(|| unsupported(&format!("the XGBoost objective `{name}`")))?;
        let params = learner.member("learner_model_param")?;
        let count = |name| params.count(name).map(|count| count.unwrap_or(0).max(1));
        let groups = match (count("num_class")?, count("num_target")?) {
            (groups, 1) | (1, groups) => groups,
            _ => return Err(invalid("it has several classes and several targets")),
        };
        let features = check_count(params.count("num_feature")?.unwrap_or(0))?;
        Ok(Reader { learner, model, booster, objective, groups, features, file_bytes, predictor, limits })
    }

    fn operators(&self) -> Vec<String> {
        let mut names = vec![format!("xgboost.{}", self.booster), format!("xgboost.{}", self.objective.name)];
        names.sort();
        names
    }

    fn model(&self) -> Result<Model<f32>, Error> {
        let Objective { link, classes, .. } = self.objective;
        // Several values of two classes each are labels of their own.
        let classes = if classes == Classes::Two && self.groups > 1 { Classes::None } else { classes };
        let predicted = match self.predictor {
            Predictor::Classifier => Part::Label,
            _ if self.objective.name == "multi:softmax" => Part::LabelNumber,
            _ => Part::Values,
        };
        let features = Features::new(self.feature_names()?, self.categories()?)?;
        let sums = self.sums()?;
        Ok(Model { features, sums, groups: self.groups, divisor: 1.0, link, classes, predicted })
    }

    fn sums(&self) -> Result<Sums<f32>, Error> {
        let grove = Grove::new(self.groups, self.features, self.file_bytes, self.limits)?;
        if self.booster == "gblinear" {
            let weights = self.model.numbers("weights")?.iter().map(|&weight| weight as f32).collect();
            // XGBoost's linear predictor (3.2) starts every group from the base of the first, and we answer as it does.
            let base = vec![self.base()?[0]; self.groups];
            return Ok(Sums::Linear(Linear::new(weights, base, self.features)?));
        }
        let trees = self.trees(grove)?.ensemble(Aggregate::SumInTurn)?;
        if !trees.is_single_precision() {
            return Err(invalid("it has numbers beyond single precision"));
        }
        Ok(Sums::Trees(Box::new(trees)))
    }

    /// The base first: sums start there.
    fn trees(&self, mut grove: Grove) -> Result<Grove, Error> {
        let base: Vec<f64> = self.base()?.into_iter().map(f64::from).collect();
        grove.add_base(&base);
        let trees = self.model.list("trees")?;
        let groups = self.model.indices("tree_info")?;
        let drops = self.learner.member("gradient_booster")?.numbers_or_none("weight_drop")?;
        if groups.len() != trees.len() || (self.booster == "dart" && drops.len() != trees.len()) {
            return Err(invalid(format!("it does not say of each of its {} trees what it is for", trees.len())));
        }
        for (number, tree) in trees.iter().enumerate().take(self.trees_used(trees.len())?) {
            let weight = if self.booster == "dart" { drops[number] as f32 } else { 1.0 };
            grove.add(number, &Tree::new(tree, groups[number], self.groups, weight)?)?;
        }
        Ok(grove)
    }

    /// How many trees `predict` of the predictor uses.
    fn trees_used(&self, trees: usize) -> Result<usize, Error> {
        let Some(best) = self.best_iteration()? else { return Ok(trees) };
        let ends = self.model.indices("iteration_indptr")?;
        if !ends.is_empty() {
            return Ok(ends.get(best.saturating_add(1)).map_or(trees, |&end| end.min(trees)));
        }
        let params = self.model.member("gbtree_model_param")?;
        let parallel = params.count("num_parallel_tree")?.unwrap_or(1).max(1);
        Ok(best.saturating_add(1).saturating_mul(parallel).saturating_mul(self.groups).min(trees))
    }

    fn best_iteration(&self) -> Result<Option<usize>, Error> {
        match (self.predictor, self.learner.find("attributes")) {
            (Predictor::Booster, _) | (_, None) => Ok(None),
            (_, Some(attributes)) => attributes.count("best_iteration"),
        }
    }

    /// What sums start from. The file has it as a probability or mean, in releases from 3.1 on for each group.
    fn base(&self) -> Result<Vec<f32>, Error> {
        let text = self.learner.member("learner_model_param")?.text("base_score")?;
        let wrong = || invalid(format!("its base score `{}` is none", text.chars().take(40).collect::<String>()));
        let numbers = text.trim().trim_start_matches('[').trim_end_matches(']').split(',');
        let numbers: Vec<f32> =
            numbers.map(|text| text.trim().parse()).collect::<Result<_, _>>().map_err(|_| wrong())?;
        let base = numbers.into_iter().map(|mean| self.objective.margin(mean));
        match base.len() {
            len if len == self.groups => Ok(base.collect()),
            1 => Ok(base.cycle().take(self.groups).collect()),
            _ => Err(wrong()),
        }
    }

    fn feature_names(&self) -> Result<FeatureNames, Error> {
        let names = self.learner.texts("feature_names")?;
        match names.len() {
            0 => Ok(FeatureNames::Numbered((0..self.features).map(|number| format!("f{number}")).collect())),
            len if len == self.features => Ok(FeatureNames::Trained(names.into_iter().map(str::to_owned).collect())),
            len => Err(invalid(format!("it has {len} names for {} features", self.features))),
        }
    }

    /// The categories of data frames, which releases from 3.1 on keep.
    fn categories(&self) -> Result<Vec<Codes>, Error> {
        let cats = self.model.find("cats").filter(|cats| cats.find("enc").is_some());
        cats.map_or(Ok(Vec::new()), |cats| cats.list("enc")?.iter().map(categories).collect())
    }
}

/// The categories of one feature: texts side by side, or numbers.
fn categories(encoded: &Value) -> Result<Codes, Error> {
    let values = encoded.numbers("values")?;
    if values.is_empty() {
        return Ok(Codes::None);
    }
    if encoded.find("offsets").is_none() {
        return Ok(Codes::of_numbers(&values));
    }
    let wrong = || invalid("a category's name is malformed");
    let bytes: Vec<u8> = values.iter().map(|&byte| byte as i64 as u8).collect();
    let offsets = encoded.indices("offsets")?;
    let words = offsets.windows(2).map(|ends| std::str::from_utf8(bytes.get(ends[0]..ends[1])?).ok());
    let words: Vec<&str> = words.collect::<Option<_>>().ok_or_else(wrong)?;
    Ok(Codes::of_words(words.into_iter()))
}

fn unsupported(what: &str) -> Error {
    Error::UnsupportedOperator { operators: vec![what.to_owned()] }
}

//! XGBoost's objectives: what they make of sums, and what they made of the base score.

use crate::native::link::Link;
use crate::native::model::Classes;

#[derive(Debug, Clone, Copy)]
pub(super) struct Objective {
    pub(super) name: &'static str,
    pub(super) link: Link,
    pub(super) classes: Classes,
    base: Base,
}

/// What a base score is.
#[derive(Debug, Clone, Copy)]
enum Base {
    Sum,
    Probability,
    Mean,
}

const OBJECTIVES: [Objective; 24] = [
    objective("reg:squarederror", Link::Identity, Base::Sum, Classes::None),
    objective("reg:linear", Link::Identity, Base::Sum, Classes::None),
    objective("reg:squaredlogerror", Link::Identity, Base::Sum, Classes::None),
    objective("reg:pseudohubererror", Link::Identity, Base::Sum, Classes::None),
    objective("reg:absoluteerror", Link::Identity, Base::Sum, Classes::None),
    objective("reg:quantileerror", Link::Identity, Base::Sum, Classes::None),
    objective("reg:expectileerror", Link::Identity, Base::Sum, Classes::None),
    objective("reg:logistic", Link::Sigmoid(1.0), Base::Probability, Classes::None),
    objective("reg:gamma", Link::Exp, Base::Mean, Classes::None),
    objective("reg:tweedie", Link::Exp, Base::Mean, Classes::None),
    objective("count:poisson", Link::Exp, Base::Mean, Classes::None),
    objective("binary:logistic", Link::Sigmoid(1.0), Base::Probability, Classes::Two),
    objective("binary:logitraw", Link::Identity, Base::Sum, Classes::None),
    objective("binary:hinge", Link::Step, Base::Sum, Classes::None),
    objective("multi:softmax", Link::Softmax, Base::Sum, Classes::Each),
    objective("multi:softprob", Link::Softmax, Base::Sum, Classes::Each),
    objective("rank:pairwise", Link::Identity, Base::Sum, Classes::None),
    objective("rank:ndcg", Link::Identity, Base::Sum, Classes::None),
    objective("rank:map", Link::Identity, Base::Sum, Classes::None),
    objective("survival:cox", Link::Exp, Base::Mean, Classes::None),
    objective("survival:aft", Link::Exp, Base::Mean, Classes::None),
    // Releases before 1.0 wrote these with a prefix for where they ran.
    objective("gpu:reg:linear", Link::Identity, Base::Sum, Classes::None),
    objective("gpu:reg:logistic", Link::Sigmoid(1.0), Base::Probability, Classes::None),
    objective("gpu:binary:logistic", Link::Sigmoid(1.0), Base::Probability, Classes::Two),
];

const fn objective(name: &'static str, link: Link, base: Base, classes: Classes) -> Objective {
    Objective { name, link, classes, base }
}

impl Objective {
    pub(super) fn of(name: &str) -> Option<Objective> {
        OBJECTIVES.into_iter().find(|objective| objective.name == name)
    }

    /// The sum that `base_score` stands for.
    pub(super) fn margin(self, base_score: f32) -> f32 {
        match self.base {
            Base::Sum => base_score,
            Base::Probability => -(1.0 / base_score - 1.0).ln(),
            Base::Mean => base_score.ln(),
        }
    }
}

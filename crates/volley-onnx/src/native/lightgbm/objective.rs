//! LightGBM's objectives: what they make of sums.

use crate::error::Error;
use crate::native::document::invalid;
use crate::native::link::Link;
use crate::native::model::Classes;

#[derive(Debug, Clone, Copy)]
pub(super) struct Objective<'t> {
    pub(super) name: &'t str,
    pub(super) link: Link,
    pub(super) classes: Classes,
    /// Sums that it takes; `None` where it takes any number.
    pub(super) groups: Option<usize>,
}

impl<'t> Objective<'t> {
    /// Reads a line such as `binary sigmoid:1`. A model that was trained with a function of the caller's has none, and
    /// answers with its sums.
    pub(super) fn read(line: &'t str) -> Result<Objective<'t>, Error> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or("custom");
        let words: Vec<&str> = words.collect();
        let link = link(name, &words)?;
        let (classes, groups) = match name {
            "binary" => (Classes::Two, Some(1)),
            "multiclass" | "multiclassova" => {
                (Classes::Each, Some(setting(&words, "num_class")?.unwrap_or(0.0) as usize))
            }
            "custom" | "none" => (Classes::None, None),
            _ => (Classes::None, Some(1)),
        };
        Ok(Objective { name, link, classes, groups })
    }
}

fn link(name: &str, words: &[&str]) -> Result<Link, Error> {
    let sigmoid = || Ok(Link::Sigmoid(setting(words, "sigmoid")?.unwrap_or(1.0)));
    match name {
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" if words.contains(&"sqrt") => {
            Ok(Link::SignedSquare)
        }
        "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" => Ok(Link::Identity),
        "lambdarank" | "rank_xendcg" | "custom" | "none" => Ok(Link::Identity),
        "poisson" | "gamma" | "tweedie" => Ok(Link::Exp),
        "binary" | "multiclassova" => sigmoid(),
        "cross_entropy" => Ok(Link::Sigmoid(1.0)),
        "cross_entropy_lambda" => Ok(Link::Softplus),
        "multiclass" => Ok(Link::Softmax),
        other => {
            let what = format!("the LightGBM objective `{}`", other.chars().take(80).collect::<String>());
            Err(Error::UnsupportedOperator { operators: vec![what] })
        }
    }
}

/// The number in a word such as `sigmoid:1`.
fn setting(words: &[&str], name: &str) -> Result<Option<f64>, Error> {
    let mut found = words.iter().filter_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
    let number = found.next().map(str::parse).transpose();
    number.map_err(|_| invalid(format!("its objective's `{name}` is no number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_read_with_its_settings() {
        let binary = Objective::read("binary sigmoid:2.5").expect("known");
        assert_eq!((binary.link, binary.classes), (Link::Sigmoid(2.5), Classes::Two));
        let classes = Objective::read("multiclassova num_class:3 sigmoid:1").expect("known");
        assert_eq!((classes.link, classes.groups), (Link::Sigmoid(1.0), Some(3)));
        assert_eq!(Objective::read("regression sqrt").map(|it| it.link), Ok(Link::SignedSquare));
        assert_eq!(Objective::read("").map(|it| it.link), Ok(Link::Identity));
        let error = Objective::read("secret_sauce x:1").expect_err("refused");
        assert_eq!(error.code(), "unsupported_operator");
        assert!(error.to_string().contains("`secret_sauce`"), "{error}");
    }
}

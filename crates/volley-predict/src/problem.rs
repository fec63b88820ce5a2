//! What is wrong with a statement's predict calls, each with its place, so that all can be told at once.

use std::cmp::Reverse;
use std::fmt;

use volley_model::Function;

/// A place in a statement's text; both numbers start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line of the text that was parsed.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

/// One thing that the author of a statement has to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable code, such as `missing_input`.
    pub code: &'static str,
    /// One line that names the thing and the fix.
    pub message: String,
    /// Where the call stands, when it is known.
    pub place: Option<Place>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(place) => write!(f, "{}:{}: {} [{}]", place.line, place.column, self.message, self.code),
            None => write!(f, "{} [{}]", self.message, self.code),
        }
    }
}

/// A predict call as it stands in the text: what is needed to find its place again from a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Which of the three functions is called.
    pub function: Function,
    /// The model literal, as written.
    pub model: String,
    /// Where the call begins.
    pub place: Place,
    /// The words of the inputs in lower case, to tell calls of one model apart.
    pub words: Vec<String>,
}

/// A binding problem found in a plan, which knows no places any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnplacedProblem {
    /// Which of the three functions is called.
    pub function: Function,
    /// The model literal, as written.
    pub model: String,
    /// Names of the columns and fields that the call uses, in lower case.
    pub columns: Vec<String>,
    /// Stable code.
    pub code: &'static str,
    /// One line that names the thing and the fix.
    pub message: String,
}

impl UnplacedProblem {
    /// Gives the problem the place of the call it most likely belongs to: same function and model, most of
    /// its columns among the inputs, and the fewest other words there.
    pub fn placed(self, sites: &[Site]) -> Problem {
        let place = sites
            .iter()
            .filter(|site| site.function == self.function && site.model == self.model)
            .max_by_key(|site| {
                let shared = self.columns.iter().filter(|column| site.words.contains(column)).count();
                (shared, Reverse(site.words.len()), Reverse(site.place))
            })
            .map(|site| site.place);
        Problem { code: self.code, message: self.message, place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(line: u64, words: &[&str]) -> Site {
        let words = words.iter().map(ToString::to_string).collect();
        Site { function: Function::Predict, model: "m".into(), place: Place { line, column: 1 }, words }
    }

    #[test]
    fn a_problem_finds_the_call_that_uses_its_columns() {
        let sites = [site(1, &["age", "income"]), site(2, &["age", "tenure"])];
        let problem = UnplacedProblem {
            function: Function::Predict,
            model: "m".into(),
            columns: vec!["age".into(), "tenure".into()],
            code: "type_mismatch",
            message: "no".into(),
        };
        assert_eq!(problem.placed(&sites).place, Some(Place { line: 2, column: 1 }));
    }
}

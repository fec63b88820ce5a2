//! The parts of a LightGBM model file: a header, a section for each tree, and what the Python package adds.

use std::collections::HashMap;

use crate::error::Error;
use crate::native::document::{Value, invalid};
use crate::native::json;

pub(super) struct File<'t> {
    pub(super) header: Section<'t>,
    pub(super) trees: Vec<Section<'t>>,
    /// The parameter of that name, among those of the training.
    pub(super) categorical_feature: Option<&'t str>,
    /// The categories of each column of the data frame that had any.
    pub(super) categories: Option<Value>,
}

/// Lines of `key=value`, or of a key alone.
#[derive(Debug, Default)]
pub(super) struct Section<'t>(HashMap<&'t str, &'t str>);

impl<'t> File<'t> {
    pub(super) fn read(text: &'t str) -> Result<File<'t>, Error> {
        let mut lines = text.lines();
        if lines.next().is_none_or(|line| line.trim_end() != "tree") {
            return Err(invalid("the file is not a LightGBM model: it does not begin with `tree`"));
        }
        let mut header = Section::default();
        let mut trees: Vec<Section> = Vec::new();
        loop {
            match lines.next() {
                None => return Err(invalid("the file ends before its trees do")),
                Some("end of trees") => break,
                Some(line) if line.starts_with("Tree=") => trees.push(Section::default()),
                Some(line) => trees.last_mut().unwrap_or(&mut header).add(line),
            }
        }
        let sizes = header.find("tree_sizes").map(|sizes| sizes.split_ascii_whitespace().count());
        if sizes.is_some_and(|sizes| sizes != trees.len()) {
            return Err(invalid(format!("it has {} trees, and its header speaks of others", trees.len())));
        }
        let mut file = File { header, trees, categorical_feature: None, categories: None };
        for line in lines {
            if let Some(list) = line.strip_prefix("pandas_categorical:") {
                file.categories = Some(json::parse(list.as_bytes())?);
            } else if let Some(list) = line.strip_prefix("[categorical_feature:") {
                file.categorical_feature = list.strip_suffix(']').map(str::trim);
            }
        }
        Ok(file)
    }

    /// Whether it is a random forest.
    pub(super) fn averages(&self) -> bool {
        self.header.find("average_output").is_some()
    }
}

impl<'t> Section<'t> {
    fn add(&mut self, line: &'t str) {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        self.0.insert(key, value);
    }

    pub(super) fn find(&self, key: &str) -> Option<&'t str> {
        self.0.get(key).copied()
    }

    pub(super) fn text(&self, key: &str) -> Result<&'t str, Error> {
        self.find(key).ok_or_else(|| invalid(format!("it has no `{key}`")))
    }

    pub(super) fn count(&self, key: &str) -> Result<usize, Error> {
        self.text(key)?.trim().parse().map_err(|_| invalid(format!("`{key}` is no count")))
    }

    /// Exactly `len` numbers.
    pub(super) fn numbers<N: std::str::FromStr>(&self, key: &str, len: usize) -> Result<Vec<N>, Error> {
        let numbers = self.text(key)?.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<N>, _>>();
        let numbers = numbers.map_err(|_| invalid(format!("`{key}` holds what is no number of its kind")))?;
        if numbers.len() != len {
            return Err(invalid(format!("`{key}` has {} numbers, not {len}", numbers.len())));
        }
        Ok(numbers)
    }
}

//! What somebody asks to be run: a text of statements with parameters, and where rows go.

use crate::error::EngineError;
use crate::params::Params;
use crate::resume::Request;
use crate::session::Output;

/// What is to be run, as its author wrote it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Script {
    /// The statements.
    pub text: String,
    /// Values for their parameters.
    pub params: Params,
    /// Where the rows of a bare SELECT at the end go.
    pub output: Option<Output>,
}

/// The same with its parameters filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Filled {
    /// The statements; `$name` still stands for a value.
    pub text: String,
    /// Where the rows of a bare SELECT at the end go.
    pub output: Option<Output>,
}

impl Script {
    /// Errors: `parameter_not_used`.
    pub fn check_params(&self) -> Result<(), EngineError> {
        let outputs = self.output.iter().flat_map(|output| {
            [output.to.as_str()].into_iter().chain(output.options.iter().map(|(_, value)| value.as_str()))
        });
        self.params.check_used(&[self.text.as_str()].into_iter().chain(outputs).collect::<Vec<_>>())
    }

    /// The text with its parameters filled in. Errors: `unset_parameter`, `invalid_parameter`.
    pub fn filled_text(&self) -> Result<String, EngineError> {
        self.params.fill(&self.text)
    }

    /// The output with the parameters filled in. Errors: `unset_parameter`, `invalid_parameter`.
    pub fn filled_output(&self) -> Result<Option<Output>, EngineError> {
        let Some(output) = &self.output else { return Ok(None) };
        let options = output.options.iter().map(|(name, value)| Ok((name.clone(), self.params.fill(value)?)));
        let options = options.collect::<Result<_, EngineError>>()?;
        Ok(Some(Output { to: self.params.fill(&output.to)?, options, ..output.clone() }))
    }

    /// All of it with the parameters filled in.
    pub fn filled(&self) -> Result<Filled, EngineError> {
        self.check_params()?;
        Ok(Filled { text: self.filled_text()?, output: self.filled_output()? })
    }
}

impl Filled {
    /// What makes it the same request when it is run again: its statements and values, where it writes, and `base`,
    /// where its paths begin. Neither `name`, by which people know it, nor how many cores run it.
    pub fn request(&self, name: &str, params: &Params, base: &std::path::Path) -> Request {
        let params: Vec<_> = params.iter().map(|(name, value)| (name, format!("{value:?}"))).collect();
        let output = self.output.as_ref().map(|output| {
            let Output { to, mode, format, partitioned_by, options } = output;
            (to, mode, format, partitioned_by, options)
        });
        let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
        let body = serde_json::json!({ "text": self.text, "params": params, "output": output, "base": base });
        Request::new(name, body.to_string().as_bytes())
    }
}

//! The messages of binding: each names the thing and the fix.

use super::names::{enumeration, identifier};
use super::{Arguments, BindProblem, Call, Refused, nearest_name};
use crate::coercion::{cast_to_paste, exact_target, list_element};
use crate::{InputType, NullRule, SignatureKind};

impl Call<'_> {
    pub(super) fn missing_input(&self, input: usize, near: Option<&str>) -> BindProblem {
        let given = self.arguments.list().iter().filter_map(|argument| argument.name.as_deref());
        let mut message = format!(
            "model `{}` needs column {}: the query gives {}",
            self.model,
            self.contract.inputs[input].label(input),
            enumeration(given)
        );
        match near {
            Some(near) => message.push_str(&format!("; did you mean \"{near}\"?")),
            None if self.contract.signature == SignatureKind::None => {
                message.push_str("; the model has no signature: pass its inputs by position");
            }
            None => {}
        }
        BindProblem { code: "missing_input", message }
    }

    pub(super) fn optional_input_that_may_not_be_null(&self, input: usize, rule: &NullRule) -> BindProblem {
        let target = &self.contract.inputs[input];
        let name = target.name.clone().unwrap_or_else(|| (input + 1).to_string());
        let message = format!(
            "model `{}` needs column {}: it is optional, but under its null rule `{rule}` no row would have a score; \
             give the column, or register the model with --null {name}=fill:VALUE",
            self.model,
            target.label(input)
        );
        BindProblem { code: "missing_input", message }
    }

    pub(super) fn unnamed_inputs(&self) -> BindProblem {
        let message = format!(
            "the signature of model `{}` gives its inputs no names: pass {} by position",
            self.model,
            self.wanted()
        );
        BindProblem { code: "unnamed_inputs", message }
    }

    pub(super) fn ambiguous_column<'n>(&self, input: usize, found: impl Iterator<Item = &'n str>) -> BindProblem {
        let message = format!(
            "input {} of model `{}` could be any of {}: leave one of them",
            self.contract.inputs[input].label(input),
            self.model,
            enumeration(found)
        );
        BindProblem { code: "ambiguous_column", message }
    }

    pub(super) fn extra_argument(&self, argument: usize) -> BindProblem {
        let names = || self.contract.inputs.iter().filter_map(|input| input.name.as_deref());
        let message = match &self.arguments.list()[argument].name {
            Some(name) => {
                let hint =
                    nearest_name(name, names()).map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                format!("model `{}` has no input `{name}`: it takes {}{hint}", self.model, enumeration(names()))
            }
            None => format!("argument {} of model `{}` has no name", argument + 1, self.model),
        };
        BindProblem { code: "extra_argument", message }
    }

    /// Too few or too many arguments by position.
    pub(super) fn wrong_count(&self, given: usize) -> BindProblem {
        let wanted = match self.contract.inputs.as_slice() {
            [only] => only.width().unwrap_or(1),
            inputs => inputs.len(),
        };
        let code = if given > wanted { "extra_argument" } else { "missing_input" };
        let message = format!("model `{}` takes {}: the query gives {given}", self.model, self.wanted());
        BindProblem { code, message }
    }

    /// What a positional call must give.
    fn wanted(&self) -> String {
        match self.contract.inputs.as_slice() {
            [only] => match &only.declared {
                InputType::List { len: Some(len), .. } => {
                    format!("one list of {len} or {len} numbers")
                }
                InputType::List { len: None, .. } => "one list".to_owned(),
                _ => "1 input".to_owned(),
            },
            inputs if inputs.iter().any(|input| input.name.is_none()) => {
                format!("{} inputs", inputs.len())
            }
            inputs => {
                let names = inputs.iter().filter_map(|input| input.name.as_deref());
                format!("{} inputs ({})", inputs.len(), enumeration(names))
            }
        }
    }

    /// A column of a type that its input refuses; `to` is what it was compared with.
    pub(super) fn refused(&self, input: usize, argument: usize, to: &InputType, refused: Refused) -> BindProblem {
        let target = &self.contract.inputs[input];
        let from = &self.arguments.list()[argument].data_type;
        let (code, why) = match refused {
            Refused::Always(refusal) => (refusal.code(), ""),
            Refused::Rounding => ("lossy_coercion", ", which would be rounded (volley.coercion is 'strict')"),
        };
        let fix = self.fix(input, argument, to, refused);
        // What the graph reads is what rounds, where the signature declares more.
        let taken =
            match matches!(refused, Refused::Rounding) && self.needed(input, refused) != *target.declared.scalar() {
                true => format!("{}, which its graph reads as {}", target.declared, target.element),
                false => target.declared.to_string(),
            };
        let message = format!(
            "model `{}` takes {} as {taken}: the query gives {from}{why}; {fix}",
            self.model,
            target.label(input),
        );
        BindProblem { code, message }
    }

    /// The cast to paste, where one helps.
    fn fix(&self, input: usize, argument: usize, to: &InputType, refused: Refused) -> String {
        let from = &self.arguments.list()[argument].data_type;
        let needed = self.needed(input, refused);
        let needed = match (list_element(from), to) {
            // No cast makes a list of a number, or a list longer.
            (None, InputType::List { .. }) => return format!("give it a column of {to}"),
            (Some((_, Some(given))), InputType::List { len: Some(len), .. }) if given != *len => {
                return format!("give it lists of {len} values");
            }
            // A list may feed scalars, one value each: the cast is of what was given.
            (Some(_), _) => InputType::List { element: Box::new(needed), len: None },
            (None, _) => needed,
        };
        let cast = |column: &str| cast_to_paste(column, from, &needed);
        match self.text(argument) {
            Some(column) => cast(&column).map(|cast| format!("write {cast}")),
            None => cast("…").map(|cast| format!("write {cast} for argument {}", argument + 1)),
        }
        .unwrap_or_else(|| format!("give it a column of {}", self.contract.inputs[input].declared))
    }

    /// The scalar type to cast to: the declared one, or the narrowest on the way where the declared one would not do.
    fn needed(&self, input: usize, refused: Refused) -> InputType {
        let target = &self.contract.inputs[input];
        let declared = target.declared.scalar().clone();
        let exact = exact_target(&declared, target.element);
        let integers = !target.element.is_float();
        if matches!(refused, Refused::Rounding) || integers { exact } else { declared }
    }

    /// The argument as SQL, where it is known.
    fn text(&self, argument: usize) -> Option<String> {
        match (&self.arguments.list()[argument].name, self.arguments) {
            (Some(name), Arguments::Named(_)) => Some(identifier(name)),
            (Some(text), Arguments::Positional(_)) => Some(text.clone()),
            (None, _) => None,
        }
    }
}

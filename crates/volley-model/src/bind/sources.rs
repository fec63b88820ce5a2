//! Which argument feeds which input: by name or by position.

use super::{Argument, Arguments, BindProblem, Call, Source, nearest_name};
use crate::InputType;
use crate::coercion::list_element;

impl Call<'_> {
    /// A source for each input; `None` where a problem has been reported instead.
    pub(super) fn sources(&self, problems: &mut Vec<BindProblem>) -> Vec<Option<Source>> {
        match self.arguments {
            Arguments::Named(arguments) if arguments.is_empty() && !self.has_names() => {
                problems.push(self.unnamed_inputs());
                vec![None; self.contract.inputs.len()]
            }
            // As in `spark_udf`: where there are no names to match, the fields of a struct count in their order.
            Arguments::Named(arguments) if !self.has_names() || self.is_a_row_for_one_tensor(arguments) => {
                self.by_position(arguments, problems)
            }
            Arguments::Named(arguments) => Matching::new(self, arguments).sources(problems),
            Arguments::Positional(arguments) => self.by_position(arguments, problems),
        }
    }

    fn has_names(&self) -> bool {
        self.contract.inputs.iter().all(|input| input.name.is_some())
    }

    /// Fields that are as many as the one tensor takes numbers, and of which none has its name.
    fn is_a_row_for_one_tensor(&self, arguments: &[Argument]) -> bool {
        let name = self.contract.inputs.first().and_then(|input| input.name.as_deref()).unwrap_or_default();
        let is_it = |argument: &Argument| {
            argument.name.as_deref().is_some_and(|given| given.to_lowercase() == name.to_lowercase())
        };
        self.gathered_numbers(arguments) == Some(Some(arguments.len())) && !arguments.iter().any(is_it)
    }

    fn by_position(&self, arguments: &[Argument], problems: &mut Vec<BindProblem>) -> Vec<Option<Source>> {
        if let Some(len) = self.spread_list(arguments) {
            let source = |index| Some(Source::Element { argument: 0, index, len });
            return (0..len).map(source).collect();
        }
        if let Some(wanted) = self.gathered_numbers(arguments) {
            if wanted.is_some_and(|wanted| wanted != arguments.len()) {
                problems.push(self.wrong_count(arguments.len()));
                return vec![None];
            }
            return vec![Some(Source::Arguments((0..arguments.len()).collect()))];
        }
        self.one_to_one(arguments, problems)
    }

    /// One list for several inputs that make up a whole tensor: their number.
    fn spread_list(&self, arguments: &[Argument]) -> Option<usize> {
        let [list] = arguments else { return None };
        list_element(&list.data_type)?;
        let inputs = &self.contract.inputs;
        let whole = inputs.iter().enumerate().all(|(offset, input)| {
            let scalar = !matches!(input.declared, InputType::List { .. });
            scalar && input.slot.tensor == inputs[0].slot.tensor && input.slot.offset == offset
        });
        (whole && inputs.len() > 1).then_some(inputs.len())
    }

    /// Numbers for the one list input: how many it takes, where that is fixed.
    fn gathered_numbers(&self, arguments: &[Argument]) -> Option<Option<usize>> {
        let [input] = self.contract.inputs.as_slice() else {
            return None;
        };
        let InputType::List { len, .. } = &input.declared else {
            return None;
        };
        let is_list = |argument: &Argument| list_element(&argument.data_type).is_some();
        let one_null = matches!(arguments, [only] if only.data_type.is_null());
        (!arguments.is_empty() && !one_null && !arguments.iter().any(is_list)).then_some(*len)
    }

    /// The count must match; only optional inputs at the end may be left out.
    fn one_to_one(&self, arguments: &[Argument], problems: &mut Vec<BindProblem>) -> Vec<Option<Source>> {
        let inputs = &self.contract.inputs;
        let given = arguments.len();
        if given > inputs.len() || inputs[given..].iter().any(|input| input.required) {
            problems.push(self.wrong_count(given));
        }
        let source = |index| match index < given {
            true => Some(Source::Argument(index)),
            false => (!inputs[index].required).then_some(Source::Missing),
        };
        (0..inputs.len()).map(source).collect()
    }
}

/// The search for each input's name among the arguments.
struct Matching<'a> {
    call: &'a Call<'a>,
    arguments: &'a [Argument],
    /// Arguments that an input has taken, or that a message has already spoken of.
    taken: Vec<bool>,
}

impl<'a> Matching<'a> {
    fn new(call: &'a Call<'a>, arguments: &'a [Argument]) -> Self {
        Self { call, arguments, taken: vec![false; arguments.len()] }
    }

    /// Exact names first for all inputs, so that `a` is not given away to an input `A`.
    fn sources(mut self, problems: &mut Vec<BindProblem>) -> Vec<Option<Source>> {
        let inputs = &self.call.contract.inputs;
        let names: Vec<_> = inputs.iter().map(|input| input.name.as_deref().unwrap_or_default()).collect();
        let exact: Vec<_> = names.iter().map(|name| self.take(|argument| argument == *name)).collect();
        let found: Vec<_> = exact
            .into_iter()
            .zip(&names)
            .map(|(found, name)| match found.is_empty() {
                true => self.take(|argument| argument.to_lowercase() == name.to_lowercase()),
                false => found,
            })
            .collect();
        let sources: Vec<_> = (0..inputs.len()).map(|input| self.source(input, &found[input], problems)).collect();
        // What no input takes is passed over, as in `spark_udf`, unless an input is left out: it may be meant for that.
        if sources.iter().any(|source| matches!(source, None | Some(Source::Missing))) {
            self.report_extras(problems);
        }
        sources
    }

    fn take(&mut self, matches: impl Fn(&str) -> bool) -> Vec<usize> {
        let found: Vec<_> = (0..self.arguments.len())
            .filter(|&index| !self.taken[index] && self.name(index).is_some_and(&matches))
            .collect();
        found.iter().for_each(|&index| self.taken[index] = true);
        found
    }

    fn source(&mut self, input: usize, found: &[usize], problems: &mut Vec<BindProblem>) -> Option<Source> {
        match found {
            [only] => return Some(Source::Argument(*only)),
            [] if !self.call.contract.inputs[input].required => return Some(Source::Missing),
            [] => problems.push(self.missing(input)),
            several => {
                let names = several.iter().filter_map(|&index| self.name(index));
                problems.push(self.call.ambiguous_column(input, names));
            }
        }
        None
    }

    fn missing(&mut self, input: usize) -> BindProblem {
        let name = self.call.contract.inputs[input].name.as_deref().unwrap_or_default();
        let free = (0..self.arguments.len()).filter(|&index| !self.taken[index]);
        let near = nearest_name(name, free.filter_map(|index| self.name(index))).map(str::to_owned);
        if let Some(near) = &near {
            // The hint already speaks of it: no second complaint that it is one too many.
            let index = (0..self.arguments.len()).find(|&index| self.name(index) == Some(near));
            self.taken[index.expect("the nearest name is one of the arguments")] = true;
        }
        self.call.missing_input(input, near.as_deref())
    }

    fn report_extras(&self, problems: &mut Vec<BindProblem>) {
        let extras = (0..self.arguments.len()).filter(|&index| !self.taken[index]);
        problems.extend(extras.map(|index| self.call.extra_argument(index)));
    }

    fn name(&self, index: usize) -> Option<&'a str> {
        self.arguments[index].name.as_deref()
    }
}

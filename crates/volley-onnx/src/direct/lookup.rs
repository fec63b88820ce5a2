//! Steps that find values in lists: the codes of categories, and what stands for a code.

use std::sync::Arc;

use super::block::{AnyColumn, Block, Cell, Column, Step};
use super::builder::Builder;
use super::words::Numbers;
use crate::ops::{Refusal, Work, widely};

impl Builder {
    /// The codes of values by the bits that `key` makes of them; `unknown` where it makes none, or none that is known.
    pub(crate) fn find<T: Cell>(
        &mut self,
        input: Column<T>,
        known: &Arc<Numbers>,
        unknown: u32,
        key: impl Fn(T) -> Option<u64> + Send + Sync + 'static,
    ) -> Column<u32> {
        let known = known.clone();
        self.map(input, move |value| key(value).and_then(|key| known.get(&key).copied()).unwrap_or(unknown))
    }

    /// What `list` has for each code; all codes must be in it.
    pub(crate) fn pick<T: Cell>(&mut self, codes: Column<u32>, list: &Arc<[T]>) -> Column<T> {
        let list = list.clone();
        self.map(codes, move |code| list[code as usize])
    }

    /// A column for each of `count` codes: one in the rows that have it, zero in the others.
    pub(crate) fn one_hot(&mut self, codes: Column<u32>, count: usize) -> Vec<Column<f32>> {
        let is = |code: u32| move |other: u32| if other == code { 1.0 } else { 0.0 };
        (0..count).map(|code| self.map(codes, is(code as u32))).collect()
    }

    /// Refuses rows whose code is `unknown`.
    pub(crate) fn refuse_unknown(&mut self, codes: Column<u32>, unknown: u32, why: &'static str) {
        self.step(RefuseUnknown { codes, unknown, why });
    }
}

struct RefuseUnknown {
    codes: Column<u32>,
    unknown: u32,
    why: &'static str,
}

struct Counted<'a> {
    codes: &'a [u32],
    unknown: u32,
    found: &'a mut bool,
}

impl Work for Counted<'_> {
    #[inline(always)]
    fn run(self) {
        *self.found = self.codes.iter().fold(false, |found, &code| found | (code == self.unknown));
    }
}

impl Step for RefuseUnknown {
    fn reads(&self) -> Vec<AnyColumn> {
        vec![self.codes.any()]
    }

    fn writes(&self) -> Vec<AnyColumn> {
        vec![]
    }

    fn may_refuse(&self) -> bool {
        true
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal> {
        let mut found = false;
        widely(Counted { codes: block.read(self.codes), unknown: self.unknown, found: &mut found });
        if found { Err(Refusal(self.why.into())) } else { Ok(()) }
    }
}

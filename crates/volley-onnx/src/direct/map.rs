//! Steps that look at one value at a time, or at those of a few columns side by side.

use super::block::{AnyColumn, Block, Cell, Column, Step, any};
use super::builder::Builder;
use crate::ops::{Refusal, Work, widely};

impl Builder {
    /// The column of what `function` makes of each value.
    pub(crate) fn map<T: Cell, U: Cell>(
        &mut self,
        input: Column<T>,
        function: impl Fn(T) -> U + Send + Sync + 'static,
    ) -> Column<U> {
        let output = self.column();
        self.step(Map { input, output, function });
        output
    }

    /// The column of what `function` makes of the values of two.
    pub(crate) fn pair<T: Cell, U: Cell, V: Cell>(
        &mut self,
        first: Column<T>,
        second: Column<U>,
        function: impl Fn(T, U) -> V + Send + Sync + 'static,
    ) -> Column<V> {
        let output = self.column();
        self.step(Pair { first, second, output, function });
        output
    }

    /// A column of one value.
    pub(crate) fn constant<T: Cell>(&mut self, value: T) -> Column<T> {
        let output = self.column();
        self.step(Constant { output, value });
        output
    }

    /// The columns of what `function` makes of the values of a row, in their place.
    pub(crate) fn by_row<T: Cell>(
        &mut self,
        inputs: &[Column<T>],
        function: impl Fn(&mut [T]) + Send + Sync + 'static,
    ) -> Vec<Column<T>> {
        let outputs = self.columns(inputs.len());
        self.step(ByRow { inputs: inputs.to_vec(), outputs: outputs.clone(), function });
        outputs
    }
}

struct Map<T, U, F> {
    input: Column<T>,
    output: Column<U>,
    function: F,
}

struct Mapped<'a, T, U, F> {
    input: &'a [T],
    output: &'a mut [U],
    function: &'a F,
}

impl<T: Copy, U, F: Fn(T) -> U> Work for Mapped<'_, T, U, F> {
    #[inline(always)]
    fn run(self) {
        self.output.iter_mut().zip(self.input).for_each(|(output, &input)| *output = (self.function)(input));
    }
}

impl<T: Cell, U: Cell, F: Fn(T) -> U + Send + Sync> Step for Map<T, U, F> {
    fn reads(&self) -> Vec<AnyColumn> {
        vec![self.input.any()]
    }

    fn writes(&self) -> Vec<AnyColumn> {
        vec![self.output.any()]
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal> {
        block.fill(self.output, |block, output| {
            widely(Mapped { input: block.read(self.input), output, function: &self.function });
        });
        Ok(())
    }
}

struct Pair<T, U, V, F> {
    first: Column<T>,
    second: Column<U>,
    output: Column<V>,
    function: F,
}

struct Paired<'a, T, U, V, F> {
    first: &'a [T],
    second: &'a [U],
    output: &'a mut [V],
    function: &'a F,
}

impl<T: Copy, U: Copy, V, F: Fn(T, U) -> V> Work for Paired<'_, T, U, V, F> {
    #[inline(always)]
    fn run(self) {
        let inputs = self.first.iter().zip(self.second);
        self.output.iter_mut().zip(inputs).for_each(|(output, (&a, &b))| *output = (self.function)(a, b));
    }
}

impl<T: Cell, U: Cell, V: Cell, F: Fn(T, U) -> V + Send + Sync> Step for Pair<T, U, V, F> {
    fn reads(&self) -> Vec<AnyColumn> {
        vec![self.first.any(), self.second.any()]
    }

    fn writes(&self) -> Vec<AnyColumn> {
        vec![self.output.any()]
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal> {
        block.fill(self.output, |block, output| {
            let (first, second) = (block.read(self.first), block.read(self.second));
            widely(Paired { first, second, output, function: &self.function });
        });
        Ok(())
    }
}

struct Constant<T> {
    output: Column<T>,
    value: T,
}

impl<T: Cell> Step for Constant<T> {
    fn reads(&self) -> Vec<AnyColumn> {
        vec![]
    }

    fn writes(&self) -> Vec<AnyColumn> {
        vec![self.output.any()]
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal> {
        block.fill(self.output, |_, output| output.fill(self.value));
        Ok(())
    }
}

struct ByRow<T, F> {
    inputs: Vec<Column<T>>,
    outputs: Vec<Column<T>>,
    function: F,
}

impl<T: Cell, F: Fn(&mut [T]) + Send + Sync> Step for ByRow<T, F> {
    fn reads(&self) -> Vec<AnyColumn> {
        any(&self.inputs)
    }

    fn writes(&self) -> Vec<AnyColumn> {
        any(&self.outputs)
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal> {
        block.fill_all(&self.outputs, |block, outputs| {
            let inputs: Vec<&[T]> = self.inputs.iter().map(|&column| block.read(column)).collect();
            let mut values = vec![T::default(); inputs.len()];
            for row in 0..block.rows() {
                values.iter_mut().zip(&inputs).for_each(|(value, column)| *value = column[row]);
                (self.function)(&mut values);
                outputs.iter_mut().zip(&values).for_each(|(column, &value)| column[row] = value);
            }
        });
        Ok(())
    }
}

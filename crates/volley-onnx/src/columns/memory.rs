//! Where the columns of a block of rows lie while a program runs.

use std::fmt::Debug;

use tract_onnx::prelude::Datum;

/// Columns of one type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bank {
    Singles,
    Doubles,
    Longs,
}

/// The columns of one block of rows; each is as long as a block.
#[derive(Debug, Default)]
pub(super) struct Memory {
    singles: Vec<Vec<f32>>,
    doubles: Vec<Vec<f64>>,
    longs: Vec<Vec<i64>>,
}

/// Columns needed of each bank.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) singles: usize,
    pub(super) doubles: usize,
    pub(super) longs: usize,
}

impl Sizes {
    pub(super) fn of(&mut self, bank: Bank) -> &mut usize {
        match bank {
            Bank::Singles => &mut self.singles,
            Bank::Doubles => &mut self.doubles,
            Bank::Longs => &mut self.longs,
        }
    }

    /// Bytes of all columns for one row.
    pub(super) fn row_bytes(self) -> usize {
        4 * self.singles + 8 * (self.doubles + self.longs)
    }
}

impl Memory {
    pub(super) fn new(sizes: Sizes, rows: usize) -> Memory {
        Memory {
            singles: vec![vec![0.0; rows]; sizes.singles],
            doubles: vec![vec![0.0; rows]; sizes.doubles],
            longs: vec![vec![0; rows]; sizes.longs],
        }
    }

    /// Takes a column out, to be written while others are read.
    #[inline(always)]
    pub(super) fn take<T: Element>(&mut self, slot: u32) -> Vec<T> {
        std::mem::take(&mut T::bank_mut(self)[slot as usize])
    }

    #[inline(always)]
    pub(super) fn put<T: Element>(&mut self, slot: u32, column: Vec<T>) {
        T::bank_mut(self)[slot as usize] = column;
    }

    #[inline(always)]
    pub(super) fn column<T: Element>(&self, slot: u32, rows: usize) -> &[T] {
        &T::bank(self)[slot as usize][..rows]
    }
}

/// A type of numbers that has a bank.
pub(super) trait Element: Datum + Copy + Default + Send + Sync + Debug + 'static {
    const BANK: Bank;
    fn bank(memory: &Memory) -> &[Vec<Self>];
    fn bank_mut(memory: &mut Memory) -> &mut [Vec<Self>];
}

impl Element for f32 {
    const BANK: Bank = Bank::Singles;
    #[inline(always)]
    fn bank(memory: &Memory) -> &[Vec<f32>] {
        &memory.singles
    }
    #[inline(always)]
    fn bank_mut(memory: &mut Memory) -> &mut [Vec<f32>] {
        &mut memory.singles
    }
}

impl Element for f64 {
    const BANK: Bank = Bank::Doubles;
    #[inline(always)]
    fn bank(memory: &Memory) -> &[Vec<f64>] {
        &memory.doubles
    }
    #[inline(always)]
    fn bank_mut(memory: &mut Memory) -> &mut [Vec<f64>] {
        &mut memory.doubles
    }
}

impl Element for i64 {
    const BANK: Bank = Bank::Longs;
    #[inline(always)]
    fn bank(memory: &Memory) -> &[Vec<i64>] {
        &memory.longs
    }
    #[inline(always)]
    fn bank_mut(memory: &mut Memory) -> &mut [Vec<i64>] {
        &mut memory.longs
    }
}

//! What is known of a block of rows while it is scored: columns of numbers, a few hundred rows high.

use std::fmt;
use std::marker::PhantomData;

use crate::ops::Refusal;

/// Rows that go through all steps before the next ones. Some tens of columns of them stay in the nearest cache, and it
/// is what trees take at once.
pub(crate) const BLOCK_ROWS: usize = 256;

/// A number of type `T` for each row, by its place in a plan.
pub(crate) struct Column<T> {
    number: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Column<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Column<T> {}

impl<T: Cell> fmt::Debug for Column<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", T::KIND, self.number)
    }
}

impl<T: Cell> Column<T> {
    pub(super) fn new(number: u32) -> Column<T> {
        Column { number, of: PhantomData }
    }

    /// The same, among columns of all types.
    pub(crate) fn any(self) -> AnyColumn {
        AnyColumn { kind: T::KIND, number: self.number as usize }
    }
}

/// A column whose type is known at run time only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AnyColumn {
    pub(super) kind: Kind,
    pub(super) number: usize,
}

/// Columns of one type among those of all.
pub(crate) fn any<T: Cell>(columns: &[Column<T>]) -> Vec<AnyColumn> {
    columns.iter().map(|column| column.any()).collect()
}

/// The types of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Single,
    Double,
    /// Integers of any width, and booleans as 0 and 1.
    Long,
    /// Places in a list.
    Code,
}

pub(super) const KINDS: usize = 4;

/// What a column may hold.
pub(crate) trait Cell: Copy + Default + Send + Sync + 'static {
    const KIND: Kind;

    fn of_arena(arena: &Arena) -> &[Vec<Self>];
    fn of_arena_mut(arena: &mut Arena) -> &mut Vec<Vec<Self>>;
    fn lent<'a, 'r>(lent: &'a Lent<'r>) -> &'a [Option<&'r [Self]>];
    fn lent_mut<'a, 'r>(lent: &'a mut Lent<'r>) -> &'a mut Vec<Option<&'r [Self]>>;
}

/// Room for the columns that steps write.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    singles: Vec<Vec<f32>>,
    doubles: Vec<Vec<f64>>,
    longs: Vec<Vec<i64>>,
    codes: Vec<Vec<u32>>,
}

/// Columns of a block that whoever holds the rows has in this form, by their number.
#[derive(Default)]
pub(crate) struct Lent<'r> {
    singles: Vec<Option<&'r [f32]>>,
    doubles: Vec<Option<&'r [f64]>>,
    longs: Vec<Option<&'r [i64]>>,
    codes: Vec<Option<&'r [u32]>>,
}

macro_rules! cell {
    ($type:ty, $kind:expr, $field:ident) => {
        impl Cell for $type {
            const KIND: Kind = $kind;

            fn of_arena(arena: &Arena) -> &[Vec<Self>] {
                &arena.$field
            }

            fn of_arena_mut(arena: &mut Arena) -> &mut Vec<Vec<Self>> {
                &mut arena.$field
            }

            fn lent<'a, 'r>(lent: &'a Lent<'r>) -> &'a [Option<&'r [Self]>] {
                &lent.$field
            }

            fn lent_mut<'a, 'r>(lent: &'a mut Lent<'r>) -> &'a mut Vec<Option<&'r [Self]>> {
                &mut lent.$field
            }
        }
    };
}

cell!(f32, Kind::Single, singles);
cell!(f64, Kind::Double, doubles);
cell!(i64, Kind::Long, longs);
cell!(u32, Kind::Code, codes);

/// Where in the arena each column lies: columns that are never needed at the same time share a place.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// By kind and number.
    pub(super) places: [Vec<u32>; KINDS],
    /// By kind.
    pub(super) sizes: [usize; KINDS],
}

impl Arena {
    pub(super) fn new(layout: &Layout) -> Arena {
        let mut arena = Arena::default();
        fill_up::<f32>(&mut arena, layout);
        fill_up::<f64>(&mut arena, layout);
        fill_up::<i64>(&mut arena, layout);
        fill_up::<u32>(&mut arena, layout);
        arena
    }
}

fn fill_up<T: Cell>(arena: &mut Arena, layout: &Layout) {
    T::of_arena_mut(arena).resize_with(layout.sizes[T::KIND as usize], || vec![T::default(); BLOCK_ROWS]);
}

impl Lent<'_> {
    pub(super) fn new(layout: &Layout) -> Self {
        let len = |kind: Kind| layout.places[kind as usize].len();
        Lent {
            singles: vec![None; len(Kind::Single)],
            doubles: vec![None; len(Kind::Double)],
            longs: vec![None; len(Kind::Long)],
            codes: vec![None; len(Kind::Code)],
        }
    }
}

/// The columns of a block of rows.
pub(crate) struct Block<'b, 'r> {
    layout: &'b Layout,
    arena: &'b mut Arena,
    lent: &'b mut Lent<'r>,
    rows: usize,
}

impl<'b, 'r> Block<'b, 'r> {
    pub(super) fn new(layout: &'b Layout, arena: &'b mut Arena, lent: &'b mut Lent<'r>, rows: usize) -> Self {
        Block { layout, arena, lent, rows }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// A number for each row of the block.
    pub(crate) fn read<T: Cell>(&self, column: Column<T>) -> &[T] {
        let number = column.number as usize;
        match T::lent(self.lent)[number] {
            Some(lent) => lent,
            None => &T::of_arena(self.arena)[self.place(column)][..self.rows],
        }
    }

    /// Lets `work` write a column while it reads others.
    pub(crate) fn fill<T: Cell>(&mut self, column: Column<T>, work: impl FnOnce(&Self, &mut [T])) {
        let place = self.place(column);
        let mut cells = std::mem::take(&mut T::of_arena_mut(self.arena)[place]);
        work(self, &mut cells[..self.rows]);
        T::of_arena_mut(self.arena)[place] = cells;
    }

    /// The same for several columns.
    pub(crate) fn fill_all<T: Cell>(&mut self, columns: &[Column<T>], work: impl FnOnce(&Self, &mut [&mut [T]])) {
        let mut taken: Vec<Vec<T>> = Vec::with_capacity(columns.len());
        for &column in columns {
            let place = self.place(column);
            taken.push(std::mem::take(&mut T::of_arena_mut(self.arena)[place]));
        }
        let mut cells: Vec<&mut [T]> = taken.iter_mut().map(|cells| &mut cells[..self.rows]).collect();
        work(self, &mut cells);
        for (&column, cells) in columns.iter().zip(taken) {
            let place = self.place(column);
            T::of_arena_mut(self.arena)[place] = cells;
        }
    }

    /// Makes a column of what is held elsewhere: as it is, or written by `load` where it returns `None`.
    pub(super) fn load<T: Cell>(&mut self, column: Column<T>, load: impl FnOnce(&mut [T]) -> Option<&'r [T]>) {
        let mut lent = None;
        self.fill(column, |_, cells| lent = load(cells));
        T::lent_mut(self.lent)[column.number as usize] = lent;
    }

    fn place<T: Cell>(&self, column: Column<T>) -> usize {
        self.layout.places[T::KIND as usize][column.number as usize] as usize
    }
}

/// One thing that is done to a block of rows.
pub(crate) trait Step: Send + Sync {
    fn reads(&self) -> Vec<AnyColumn>;

    fn writes(&self) -> Vec<AnyColumn>;

    /// Whether it may refuse rows, and so must be done though nobody reads what it writes.
    fn may_refuse(&self) -> bool {
        false
    }

    fn run(&self, block: &mut Block<'_, '_>) -> Result<(), Refusal>;
}

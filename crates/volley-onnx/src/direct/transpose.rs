//! Columns out of rows that lie one behind the other.

use crate::ops::{Work, widely};

/// Rows and columns that are turned at once.
const TILE: usize = 8;

/// Writes the columns at `places`, which ascend, of a matrix of rows of `width` values.
pub(super) fn columns(matrix: &[f32], width: usize, places: &[usize], columns: &mut [&mut [f32]]) {
    let mut done = 0;
    while done < places.len() {
        let run = run(&places[done..]);
        widely(SideBySide { matrix: &matrix[places[done]..], width, columns: &mut columns[done..done + run] });
        done += run;
    }
}

/// How many places from the first on lie side by side.
fn run(places: &[usize]) -> usize {
    let breaks = places.windows(2).position(|pair| pair[1] != pair[0] + 1);
    breaks.map_or(places.len(), |at| at + 1)
}

/// The first columns of a matrix, whose last row may be cut off behind them.
struct SideBySide<'a, 'c> {
    matrix: &'a [f32],
    width: usize,
    columns: &'a mut [&'c mut [f32]],
}

impl Work for SideBySide<'_, '_> {
    #[inline(always)]
    fn run(self) {
        side_by_side(self.matrix, self.width, self.columns);
    }
}

#[inline(always)]
fn side_by_side(matrix: &[f32], width: usize, columns: &mut [&mut [f32]]) {
    let rows = columns.first().map_or(0, |column| column.len());
    let mut turned = 0;
    if columns.len() >= TILE {
        let tiles = rows / TILE;
        for tile in 0..tiles {
            let row = tile * TILE;
            // The last tile may turn some columns again.
            let lasts = (TILE..=columns.len()).step_by(TILE).chain([columns.len()]);
            for last in lasts {
                let first = last - TILE;
                turn(&matrix[row * width + first..], width, row, &mut columns[first..last]);
            }
        }
        turned = tiles * TILE;
    }
    for (at, column) in columns.iter_mut().enumerate() {
        let values = matrix[(turned * width + at).min(matrix.len())..].iter().step_by(width);
        column[turned..].iter_mut().zip(values).for_each(|(to, from)| *to = *from);
    }
}

/// Turns the first values of eight rows into the values from `row` on of eight columns.
#[inline(always)]
fn turn(matrix: &[f32], width: usize, row: usize, columns: &mut [&mut [f32]]) {
    let rows: [&[f32; TILE]; TILE] =
        std::array::from_fn(|at| matrix[at * width..].first_chunk().expect("a row holds all its columns"));
    let turned = turned(rows);
    for (column, turned) in columns.iter_mut().zip(turned) {
        column[row..row + TILE].copy_from_slice(&turned);
    }
}

#[inline(always)]
fn turned(rows: [&[f32; TILE]; TILE]) -> [[f32; TILE]; TILE] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx") {
        #[expect(unsafe_code, reason = "only what was detected may be called")]
        // SAFETY: the processor has AVX.
        return unsafe { wide::turned(rows) };
    }
    std::array::from_fn(|column| std::array::from_fn(|row| rows[row][column]))
}

#[cfg(target_arch = "x86_64")]
mod wide {
    //! With shuffles of halves and quarters, which compilers do not find.

    use std::arch::x86_64::*;

    use super::TILE;

    #[target_feature(enable = "avx")]
    #[inline]
    pub(super) fn turned(rows: [&[f32; TILE]; TILE]) -> [[f32; TILE]; TILE] {
        let rows = rows.map(|row| load(row));
        let (a, b) = (half(rows[0], rows[1], rows[2], rows[3]), half(rows[4], rows[5], rows[6], rows[7]));
        let lower = |at: usize| store(_mm256_permute2f128_ps::<0x20>(a[at], b[at]));
        let upper = |at: usize| store(_mm256_permute2f128_ps::<0x31>(a[at], b[at]));
        [lower(0), lower(1), lower(2), lower(3), upper(0), upper(1), upper(2), upper(3)]
    }

    /// Columns 0 and 4, 1 and 5, 2 and 6, 3 and 7 of four rows.
    #[target_feature(enable = "avx")]
    #[inline]
    fn half(a: __m256, b: __m256, c: __m256, d: __m256) -> [__m256; 4] {
        let (ab_even, ab_odd) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        let (cd_even, cd_odd) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        [
            _mm256_shuffle_ps::<0x44>(ab_even, cd_even),
            _mm256_shuffle_ps::<0xEE>(ab_even, cd_even),
            _mm256_shuffle_ps::<0x44>(ab_odd, cd_odd),
            _mm256_shuffle_ps::<0xEE>(ab_odd, cd_odd),
        ]
    }

    #[target_feature(enable = "avx")]
    #[inline]
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    fn load(values: &[f32; TILE]) -> __m256 {
        // SAFETY: the values are the 32 bytes that are read, wherever they are aligned.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    #[target_feature(enable = "avx")]
    #[inline]
    #[expect(unsafe_code, reason = "the instruction takes a pointer")]
    fn store(values: __m256) -> [f32; TILE] {
        let mut stored = [0.0; TILE];
        // SAFETY: the array is the 32 bytes that are written, wherever it is aligned.
        unsafe { _mm256_storeu_ps(stored.as_mut_ptr(), values) };
        stored
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_place_of_a_row_becomes_a_column() {
        for (rows, width) in [(1, 1), (7, 9), (8, 8), (21, 28), (256, 17)] {
            let matrix: Vec<f32> = (0..rows * width).map(|at| at as f32).collect();
            for places in
                [(0..width).collect(), (0..width).step_by(2).collect(), (width / 2..width).collect::<Vec<_>>()]
            {
                let mut columns = vec![vec![0.0; rows]; places.len()];
                let mut cells: Vec<&mut [f32]> = columns.iter_mut().map(Vec::as_mut_slice).collect();
                super::columns(&matrix, width, &places, &mut cells);
                for (column, place) in columns.iter().zip(places) {
                    let expected: Vec<f32> = (0..rows).map(|row| (row * width + place) as f32).collect();
                    assert_eq!(*column, expected, "{rows} rows of {width}");
                }
            }
        }
    }
}

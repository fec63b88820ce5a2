//! A matrix of columns multiplied by a constant one: blocks of sums stay in registers.
//!
//! The sums are made in the order of the columns, each product added without a rounding of its own: all processors give
//! the same bits.

use tract_onnx::tract_hir::internal::*;

use super::memory::Memory;
use super::program::{Step, Use};
use super::real::Real;
use crate::ops::{Work, widely};

/// Weighted sums of columns.
#[derive(Debug)]
pub(super) struct Dense<T> {
    from: Vec<u32>,
    /// The targets in panels, as many at a time as the registers can sum up.
    panels: Vec<Panel<T>>,
    /// Added to the sum of each target, or nothing.
    bias: Vec<T>,
    to: Vec<u32>,
}

/// The weights of a few targets, column by column.
#[derive(Debug)]
struct Panel<T> {
    targets: usize,
    weights: Vec<T>,
}

impl<T: Product> Dense<T> {
    /// With `weight(column, target)`.
    pub(super) fn new(from: Vec<u32>, to: Vec<u32>, weight: impl Fn(usize, usize) -> T) -> Dense<T> {
        let mut panels = Vec::new();
        let mut first = 0;
        while first < to.len() {
            let left = to.len() - first;
            let targets = T::panels().iter().copied().find(|&targets| targets <= left).unwrap_or(1);
            let by_column = (0..from.len()).flat_map(|column| (first..first + targets).map(move |it| (column, it)));
            let weights = by_column.map(|(column, target)| weight(column, target)).collect();
            panels.push(Panel { targets, weights });
            first += targets;
        }
        Dense { from, panels, bias: vec![T::from_double(0.0); to.len()], to }
    }
}

impl<T: Product> Step for Dense<T> {
    fn run(&self, memory: &mut Memory, rows: usize) -> TractResult<()> {
        let mut outs: TVec<Vec<T>> = self.to.iter().map(|&slot| memory.take::<T>(slot)).collect();
        let columns: TVec<&[T]> = self.from.iter().map(|&slot| memory.column::<T>(slot, rows)).collect();
        let mut rest = outs.as_mut_slice();
        let mut bias = self.bias.as_slice();
        for panel in &self.panels {
            let (these, others) = rest.split_at_mut(panel.targets);
            let (these_bias, other_bias) = bias.split_at(panel.targets);
            T::sums(Sums { columns: &columns, weights: &panel.weights, bias: these_bias, outs: these, rows });
            (rest, bias) = (others, other_bias);
        }
        drop(columns);
        self.to.iter().zip(outs).for_each(|(&slot, column)| memory.put(slot, column));
        Ok(())
    }

    fn slots(&mut self, visit: &mut dyn FnMut(&mut u32, Use)) {
        self.from.iter_mut().for_each(|slot| visit(slot, Use::Read));
        self.to.iter_mut().for_each(|slot| visit(slot, Use::Write));
    }

    fn add(&mut self, columns: &[u32], constants: &[f64]) -> bool {
        let fits = self.to == columns
            && self.to.len() == constants.len()
            && self.bias.iter().all(|it| *it == T::from_double(0.0));
        if fits {
            self.bias = constants.iter().map(|&constant| T::from_double(constant)).collect();
        }
        fits
    }
}

/// What is to be summed up for the targets of a panel, of which there are as many as `outs`.
pub(super) struct Sums<'a, T> {
    columns: &'a [&'a [T]],
    /// Those of all targets for one column after the other.
    weights: &'a [T],
    bias: &'a [T],
    /// To be filled up to `rows`.
    outs: &'a mut [Vec<T>],
    rows: usize,
}

/// Numbers whose products can be summed up.
pub(super) trait Product: Real {
    /// The numbers of targets that are summed up together, the largest first; the last is one.
    fn panels() -> &'static [usize];

    /// Fills the outputs with the sums over the columns by their weights.
    fn sums(sums: Sums<Self>);
}

macro_rules! product {
    ($type:ty, $x86:path) => {
        impl Product for $type {
            fn panels() -> &'static [usize] {
                #[cfg(target_arch = "x86_64")]
                return x86::panels();
                #[cfg(not(target_arch = "x86_64"))]
                &[1]
            }

            fn sums(sums: Sums<$type>) {
                #[cfg(target_arch = "x86_64")]
                let Some(sums) = $x86(sums) else { return };
                widely(Plain(sums));
            }
        }
    };
}

product!(f32, x86::singles);
product!(f64, x86::doubles);

/// Sums kept in memory, for any processor.
struct Plain<'a, T>(Sums<'a, T>);

impl<T: Real> Work for Plain<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Sums { columns, weights, bias, outs, rows } = self.0;
        let targets = outs.len();
        for (target, (out, &bias)) in outs.iter_mut().zip(bias).enumerate() {
            let out = &mut out[..rows];
            out.fill(T::from_double(0.0));
            for (column, weights) in columns.iter().zip(weights.chunks_exact(targets)) {
                let weight = weights[target];
                for (out, &value) in out.iter_mut().zip(*column) {
                    *out = value.times_plus(weight, *out);
                }
            }
            out.iter_mut().for_each(|out| *out = out.add(bias));
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Sums;

    /// A register of numbers.
    trait Vector: Copy {
        type Number: Copy;
        const LANES: usize;
        const ZERO: Self::Number;
        fn splat(value: Self::Number) -> Self;
        fn load(from: &[Self::Number]) -> Self;
        fn store(self, to: &mut [Self::Number]);
        fn plus(self, other: Self) -> Self;
        /// `self * by + plus`.
        fn times_plus(self, by: Self, plus: Self) -> Self;
    }

    macro_rules! vector {
        ($type:ty, $number:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $plus:ident, $times_plus:ident) => {
            #[expect(unsafe_code, reason = "only called where the processor was found to have the instructions")]
            impl Vector for $type {
                type Number = $number;
                const LANES: usize = $lanes;
                const ZERO: $number = 0.0;

                #[inline(always)]
                fn splat(value: $number) -> Self {
                    // SAFETY: the instructions were found before any vector is made.
                    unsafe { $splat(value) }
                }

                #[inline(always)]
                fn load(from: &[$number]) -> Self {
                    let from: &[$number; $lanes] = from.first_chunk().expect("blocks are multiples of vectors");
                    // SAFETY: as above; there are as many numbers as are read.
                    unsafe { $load(from.as_ptr()) }
                }

                #[inline(always)]
                fn store(self, to: &mut [$number]) {
                    let to: &mut [$number; $lanes] = to.first_chunk_mut().expect("blocks are multiples of vectors");
                    // SAFETY: as above; there are as many numbers as are written.
                    unsafe { $store(to.as_mut_ptr(), self) }
                }

                #[inline(always)]
                fn plus(self, other: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $plus(self, other) }
                }

                #[inline(always)]
                fn times_plus(self, by: Self, plus: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $times_plus(self, by, plus) }
                }
            }
        };
    }

    vector!(__m512, f32, 16, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_fmadd_ps);
    vector!(__m256, f32, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_fmadd_ps);
    vector!(__m512d, f64, 8, _mm512_set1_pd, _mm512_loadu_pd, _mm512_storeu_pd, _mm512_add_pd, _mm512_fmadd_pd);
    vector!(__m256d, f64, 4, _mm256_set1_pd, _mm256_loadu_pd, _mm256_storeu_pd, _mm256_add_pd, _mm256_fmadd_pd);

    fn has_avx512() -> bool {
        is_x86_feature_detected!("avx512f")
    }

    fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    /// With each there are as many sums as registers, but for those that hold columns and weights.
    pub(super) fn panels() -> &'static [usize] {
        if has_avx512() { &[12, 8, 4, 2, 1] } else { &[6, 4, 2, 1] }
    }

    macro_rules! kernels {
        ($name:ident, $number:ty, $with_avx512:ident, $wide:ty, $with_avx2:ident, $narrow:ty) => {
            /// Does it if the processor has the instructions, or gives it back.
            #[expect(unsafe_code, reason = "only what was detected may be called")]
            pub(super) fn $name(sums: Sums<$number>) -> Option<Sums<$number>> {
                if has_avx512() {
                    // SAFETY: the processor has AVX-512.
                    unsafe { $with_avx512(sums) };
                } else if has_avx2() {
                    // SAFETY: the processor has AVX2 and FMA.
                    unsafe { $with_avx2(sums) };
                } else {
                    return Some(sums);
                }
                None
            }

            #[target_feature(enable = "avx512f")]
            fn $with_avx512(sums: Sums<$number>) {
                match sums.outs.len() {
                    12 => tiles::<$wide, 12, 2>(sums),
                    8 => tiles::<$wide, 8, 2>(sums),
                    4 => tiles::<$wide, 4, 2>(sums),
                    2 => tiles::<$wide, 2, 2>(sums),
                    _ => tiles::<$wide, 1, 2>(sums),
                }
            }

            #[target_feature(enable = "avx2,fma")]
            fn $with_avx2(sums: Sums<$number>) {
                match sums.outs.len() {
                    6 => tiles::<$narrow, 6, 2>(sums),
                    4 => tiles::<$narrow, 4, 2>(sums),
                    2 => tiles::<$narrow, 2, 4>(sums),
                    _ => tiles::<$narrow, 1, 4>(sums),
                }
            }
        };
    }

    kernels!(singles, f32, singles_with_avx512, __m512, singles_with_avx2, __m256);
    kernels!(doubles, f64, doubles_with_avx512, __m512d, doubles_with_avx2, __m256d);

    /// For `R` vectors of rows at a time, the sums of `T` targets.
    #[inline(always)]
    fn tiles<V: Vector, const T: usize, const R: usize>(of: Sums<V::Number>) {
        let Sums { columns, weights, bias, outs, rows } = of;
        let weights = weights.as_chunks::<T>().0;
        for start in (0..rows).step_by(R * V::LANES) {
            let mut sums = [[V::splat(V::ZERO); R]; T];
            for (column, weights) in columns.iter().zip(weights) {
                let column = &column[start..start + R * V::LANES];
                let values: [V; R] = std::array::from_fn(|at| V::load(&column[at * V::LANES..]));
                for (sums, &weight) in sums.iter_mut().zip(weights) {
                    let weight = V::splat(weight);
                    for (sum, &value) in sums.iter_mut().zip(&values) {
                        *sum = value.times_plus(weight, *sum);
                    }
                }
            }
            for ((sums, out), &bias) in sums.iter().zip(outs.iter_mut()).zip(bias) {
                let out = &mut out[start..start + R * V::LANES];
                for (at, sum) in sums.iter().enumerate() {
                    sum.plus(V::splat(bias)).store(&mut out[at * V::LANES..]);
                }
            }
        }
    }
}

//! Orthonormal vectors, and what is left of another vector beside them.

use super::operator::Operator;
use crate::dense::dot;
use rayon::prelude::*;

/// Elements of a vector that one task takes: with those of the vectors beside it they fit into a second-level cache. The cut depends on
/// nothing else, so sums have one order on any number of threads.
const BLOCK: usize = 4096;

/// Orthonormal vectors, kept in 32 bits if the products of their operator have no more digits.
pub(super) enum Basis {
    Single(Vec<Vec<f32>>),
    Double(Vec<Vec<f64>>),
}

impl Basis {
    /// No vectors yet, for those of an operator.
    pub(super) fn of(op: &dyn Operator) -> Self {
        if op.precision() < f64::from(f32::EPSILON) { Self::Double(Vec::new()) } else { Self::Single(Vec::new()) }
    }

    /// Adds a vector of norm 1 that is orthogonal to all others.
    pub(super) fn push(&mut self, v: &[f64]) {
        match self {
            Self::Single(all) => all.push(v.iter().map(|v| *v as f32).collect()),
            Self::Double(all) => all.push(v.to_vec()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Single(all) => all.len(),
            Self::Double(all) => all.len(),
        }
    }

    /// The vectors, one at a time.
    pub(super) fn vectors(&self) -> impl Iterator<Item = Vec<f64>> + '_ {
        (0..self.len()).map(|i| match self {
            Self::Single(all) => all[i].iter().map(|v| f64::from(*v)).collect(),
            Self::Double(all) => all[i].clone(),
        })
    }

    /// Takes the components along all vectors off `w`, twice: classical Gram-Schmidt, which done twice leaves rounding errors only (Giraud,
    /// Langou, Rozložník 2005). The vectors are read three times.
    pub(super) fn remove_from(&self, w: &mut [f64]) {
        match self {
            Self::Single(all) => remove(all, w),
            Self::Double(all) => remove(all, w),
        }
    }

    /// `sum_i factors[i] vectors[i]`.
    pub(super) fn combination(&self, factors: &[f64], dim: usize) -> Vec<f64> {
        let mut sum = vec![0.0; dim];
        let negative: Vec<f64> = factors.iter().map(|f| -f).collect();
        sum.par_chunks_mut(BLOCK).enumerate().for_each(|(i, sum)| match self {
            Self::Single(all) => subtract(all, &negative, i, sum),
            Self::Double(all) => subtract(all, &negative, i, sum),
        });
        sum
    }
}

/// The block of a vector that lies beside block `i` of another one.
fn block<T>(of: &[T], i: usize, len: usize) -> &[T] {
    &of[i * BLOCK..][..len]
}

/// `w - sum_i factors[i] vectors[i]` in one block.
fn subtract<T: Copy + Into<f64>>(vectors: &[Vec<T>], factors: &[f64], i: usize, w: &mut [f64]) {
    for (b, factor) in vectors.iter().zip(factors) {
        for (w, b) in w.iter_mut().zip(block(b, i, BLOCK.min(b.len() - i * BLOCK))) {
            *w -= factor * (*b).into();
        }
    }
}

/// The scalar products of all vectors with `w` in one block.
fn products<T: Copy + Into<f64>>(vectors: &[Vec<T>], i: usize, w: &[f64]) -> Vec<f64> {
    vectors.iter().map(|b| dot(block(b, i, w.len()), w)).collect()
}

/// Adds the blocks' shares in order.
fn total(parts: Vec<Vec<f64>>, count: usize) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(s, p)| *s += p);
    }
    sums
}

fn remove<T: Copy + Into<f64> + Sync>(vectors: &[Vec<T>], w: &mut [f64]) {
    let first = w.par_chunks(BLOCK).enumerate().map(|(i, w)| products(vectors, i, w)).collect();
    let along = total(first, vectors.len());
    let second = w.par_chunks_mut(BLOCK).enumerate().map(|(i, w)| {
        subtract(vectors, &along, i, w);
        products(vectors, i, w)
    });
    let along = total(second.collect(), vectors.len());
    w.par_chunks_mut(BLOCK).enumerate().for_each(|(i, w)| subtract(vectors, &along, i, w));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;
    use crate::dense::norm;
    use sconce_tensor_core::Rng;

    struct Of(usize, f64);

    impl Operator for Of {
        fn dim(&self) -> usize {
            self.0
        }

        fn apply(&self, v: &[f64]) -> Result<Vec<f64>> {
            Ok(v.to_vec())
        }

        fn precision(&self) -> f64 {
            self.1
        }
    }

    #[test]
    fn what_is_left_is_orthogonal_and_what_was_taken_is_a_combination() {
        for (dim, precision) in [(7, f64::EPSILON), (2 * BLOCK + 5, f64::EPSILON), (3 * BLOCK, f64::from(f32::EPSILON))]
        {
            let mut basis = Basis::of(&Of(dim, precision));
            assert_eq!(matches!(basis, Basis::Single(_)), precision > 1e-8);
            // Vectors that differ little are the hard case.
            let draw = |i: usize| {
                let (common, own) = (Rng::new(0).normals(dim), Rng::new(1).at(i as u64).normals(dim));
                common.iter().zip(own).map(|(c, o)| c + 1e-4 * o).collect::<Vec<f64>>()
            };
            for i in 0..5 {
                let mut w = draw(i);
                basis.remove_from(&mut w);
                let length = norm(&w);
                w.iter_mut().for_each(|v| *v /= length);
                basis.push(&w);
            }
            let start = draw(9);
            let mut w = start.clone();
            basis.remove_from(&mut w);
            let along: Vec<f64> = basis.vectors().map(|b| dot(&b, &w).abs() / norm(&w)).collect();
            assert!(along.iter().all(|a| *a < 1e3 * precision), "{along:?}");
            let factors: Vec<f64> = basis.vectors().map(|b| dot(&b, &start)).collect();
            let back = basis.combination(&factors, dim);
            let far = back.iter().zip(&w).zip(&start).map(|((b, w), s)| (b + w - s).abs()).fold(0.0, f64::max);
            assert!(far < 1e3 * precision, "{far:e}");
        }
    }
}

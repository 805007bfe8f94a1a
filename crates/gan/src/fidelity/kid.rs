//! The kernel distance of two samples of features.

use super::blocks::{BLOCK, own_products, products};
use super::features::Features;
use super::provenance::{Context, Generated, Real, Score};
use crate::{Error, Result};
use rayon::prelude::*;
use sconce_tensor_core::Rng;
use sconce_tensor_core::error::require;
use serde::{Deserialize, Serialize};

/// The images that each term of a [`kid`] uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subsets {
    /// All images of both sides at once: the least variance.
    All,
    /// The mean over `count` random subsets of both sides, each of `size` images or of the smaller side where that is less.
    Random {
        /// The number of subsets.
        count: usize,
        /// The number of images of each side in a subset.
        size: usize,
    },
}

/// Configuration of [`kid`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `subsets` | 100 random subsets of 1,000 | the images that each term uses | count >= 1, size >= 2 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KidConfig {
    /// The images that each term uses.
    pub subsets: Subsets,
}

impl Default for KidConfig {
    fn default() -> Self {
        Self { subsets: Subsets::Random { count: 100, size: 1000 } }
    }
}

/// A kernel distance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kid {
    /// The squared maximum mean discrepancy. It is unbiased, so it may be negative where the distributions are close.
    pub estimate: f64,
    /// The standard error by the jackknife over images; `None` where a subset has fewer than three images.
    pub standard_error: Option<f64>,
    /// The number of subsets.
    pub subsets: usize,
    /// The number of real and of generated images in each subset.
    pub subset_size: (usize, usize),
}

/// The unbiased squared maximum mean discrepancy with the kernel `k(x, y) = (x.y / D + 1)^3`:
/// `sum_{i != j} k(x_i, x_j) / (n (n-1)) + sum_{i != j} k(y_i, y_j) / (m (m-1)) - 2 sum_ij k(x_i, y_j) / (n m)`.
///
/// The standard error is `sqrt((n-1)/n sum_i (t_i - mean t)^2)` plus the same for y under the root, where `t_i` is the estimate
/// with image i left out of every subset that it is in. Subsets share images, so their standard deviation is not a standard
/// error. The two samples must be independent.
///
/// `rng` draws the subsets; with [`Subsets::All`], or where both sides have as many images as a subset, nothing is drawn.
///
/// Source: Bińkowski et al. (2018), arXiv:1801.01401; the jackknife is chosen by us.
///
/// # Errors
/// Fewer than two images on a side; a subset size below 2 or no subsets; features of different extractors, widths or resize
/// rules.
pub fn kid(
    Real(real): Real<&Features>,
    Generated(generated): Generated<&Features>,
    config: &KidConfig,
    rng: &Rng,
) -> Result<Score<Kid>> {
    let context = Context::of(Real(real.side()), Generated(generated.side()))?;
    let (n, m) = (real.len(), generated.len());
    if n.min(m) < 2 {
        return Err(Error::value("KID", format!("needs at least 2 images on each side, got {n} real, {m} generated")));
    }
    let draws = match config.subsets {
        Subsets::All => None,
        Subsets::Random { count, size } => {
            require("KidConfig.subsets.count", count >= 1, "at least 1", count)?;
            require("KidConfig.subsets.size", size >= 2, "at least 2", size)?;
            let size = size.min(n).min(m);
            (size < n.max(m)).then_some((count, size))
        }
    };
    let mut total = Total { estimate: 0.0, without: [vec![0.0; n], vec![0.0; m]] };
    let (subsets, subset_size) = match draws {
        None => {
            let (all_x, all_y): (Vec<usize>, Vec<usize>) = ((0..n).collect(), (0..m).collect());
            total.add(real, generated, [&all_x, &all_y])?;
            (1, (n, m))
        }
        Some((count, size)) => {
            for s in 0..count as u64 {
                let draw = |of: &Features, side| {
                    let order = rng.stream(side).at(s).permutation(of.len());
                    let indices = order[..size].to_vec();
                    Ok::<_, Error>((of.select(&indices, "subset")?, indices))
                };
                let ((x, at_x), (y, at_y)) = (draw(real, "kid real")?, draw(generated, "kid generated")?);
                total.add(&x, &y, [&at_x, &at_y])?;
            }
            (count, (size, size))
        }
    };
    let scale = 1.0 / subsets as f64;
    let enough = subset_size.0.min(subset_size.1) >= 3;
    let standard_error = enough.then(|| scale * total.without.iter().map(|t| jackknife(t)).sum::<f64>().sqrt());
    let value = Kid { estimate: total.estimate * scale, standard_error, subsets, subset_size };
    Ok(Score { value, context })
}

/// `(n-1)/n sum (t_i - mean t)^2`.
fn jackknife(t: &[f64]) -> f64 {
    let n = t.len() as f64;
    let mean = t.iter().sum::<f64>() / n;
    (n - 1.0) / n * t.iter().map(|t| (t - mean).powi(2)).sum::<f64>()
}

/// The sum over subsets of the estimate, and of what it changes by without each image.
struct Total {
    estimate: f64,
    without: [Vec<f64>; 2],
}

impl Total {
    /// Adds the estimate of the subsets `x` and `y`, whose rows are the images `at`.
    fn add(&mut self, x: &Features, y: &Features, at: [&[usize]; 2]) -> Result<()> {
        let (xx, yy) = (own_sums(x, BLOCK)?, own_sums(y, BLOCK)?);
        let (xy, yx) = cross_sums(x, y, BLOCK)?;
        let (n, m) = (x.len() as f64, y.len() as f64);
        let [sxx, syy, sxy] = [&xx, &yy, &xy].map(|s| s.iter().sum::<f64>());
        let estimate = |n: f64, m: f64, sxx: f64, syy: f64, sxy: f64| {
            sxx / (n * (n - 1.0)) + syy / (m * (m - 1.0)) - 2.0 * sxy / (n * m)
        };
        let all = estimate(n, m, sxx, syy, sxy);
        self.estimate += all;
        if n.min(m) >= 3.0 {
            for (i, at) in at[0].iter().enumerate() {
                self.without[0][*at] += estimate(n - 1.0, m, sxx - 2.0 * xx[i], syy, sxy - xy[i]) - all;
            }
            for (j, at) in at[1].iter().enumerate() {
                self.without[1][*at] += estimate(n, m - 1.0, sxx, syy - 2.0 * yy[j], sxy - yx[j]) - all;
            }
        }
        Ok(())
    }
}

fn kernel(product: f64, d: f64) -> f64 {
    let base = product / d + 1.0;
    base * base * base
}

/// For each row, the sum of its kernels with all others, added in their order.
fn own_sums(x: &Features, block: usize) -> Result<Vec<f64>> {
    let (mut sums, d) = (vec![0.0; x.len()], x.width() as f64);
    own_products(x, block, |p| {
        let add = |sum: &mut f64, i: usize, j: usize, v: f64| {
            if i != j {
                *sum += kernel(v, d);
            }
        };
        // Below the diagonal: the columns are rows whose sums have come to this block's rows.
        if p.column > p.row {
            column_sums(&mut sums[p.column..p.column + p.width], p.values, d);
        }
        sums[p.row..].par_iter_mut().zip(p.values.par_chunks(p.width)).enumerate().for_each(|(i, (sum, row))| {
            row.iter().enumerate().for_each(|(j, v)| add(sum, p.row + i, p.column + j, *v));
        });
    })?;
    Ok(sums)
}

/// The sums of the kernels of each row of `x` with all of `y`, and of each row of `y` with all of `x`.
fn cross_sums(x: &Features, y: &Features, block: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut of_x, mut of_y, d) = (vec![0.0; x.len()], vec![0.0; y.len()], x.width() as f64);
    products(x, y, block, |p| {
        column_sums(&mut of_y[p.column..p.column + p.width], p.values, d);
        of_x[p.row..].par_iter_mut().zip(p.values.par_chunks(p.width)).for_each(|(sum, row)| {
            row.iter().for_each(|v| *sum += kernel(*v, d));
        });
    })?;
    Ok((of_x, of_y))
}

/// Adds the kernels of each column, row after row.
fn column_sums(sums: &mut [f64], values: &[f64], d: f64) {
    const COLUMNS: usize = 64;
    let width = sums.len();
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(c, sums)| {
        for row in values.chunks(width) {
            sums.iter_mut().zip(&row[c * COLUMNS..]).for_each(|(sum, v)| *sum += kernel(*v, d));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fidelity::{Resize, Source};
    use sconce_tensor_core::candle_core::{DType, Device};

    /// The sums have the same bits whatever the block.
    #[test]
    fn sums_do_not_depend_on_the_block() {
        let source = Source { extractor: "e".into(), resize: Resize::None, split: "s".into() };
        let rows = |seed, n| {
            let rows = Rng::new(seed).normal((n, 300), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
            Features::new(&rows, source.clone()).unwrap()
        };
        let (x, y) = (rows(0, 70), rows(1, 45));
        let whole = (own_sums(&x, 1024).unwrap(), cross_sums(&x, &y, 1024).unwrap());
        for block in [7, 16, 69] {
            assert_eq!((own_sums(&x, block).unwrap(), cross_sums(&x, &y, block).unwrap()), whole, "block {block}");
        }
        assert_eq!(cross_sums(&y, &x, 16).unwrap().0, whole.1.1);
    }
}

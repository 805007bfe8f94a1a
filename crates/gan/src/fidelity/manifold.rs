//! Precision, recall, density, coverage and realism from balls around rows.

use super::blocks::{BLOCK, products, squared_distance, squared_norms};
use super::features::Features;
use super::provenance::{Context, Generated, Real, Score};
use super::screen::{Block, Rows, screened};
use crate::Result;
use rayon::prelude::*;
use sconce_tensor_core::error::require;
use serde::{Deserialize, Serialize};

/// Columns of a block that one task takes.
const COLUMNS: usize = 64;

/// Features with the distances of each row to its nearest other rows: the union of balls that estimates where a
/// distribution has mass. The real images' manifold serves every generator.
#[derive(Clone, Debug)]
pub struct Manifold {
    rows: Rows,
    neighbours: usize,
    /// Squared distances to the nearest other rows, (N, neighbours), ascending.
    nearest: Vec<f64>,
}

impl Manifold {
    /// The distances of each row to its 1st to `neighbours`-th nearest other row.
    ///
    /// # Errors
    /// [`crate::Error::Config`] unless there are at least `neighbours + 1` rows; [`crate::Error::Value`] for a row whose squared norm
    /// overflows.
    pub fn new(features: &Features, neighbours: usize) -> Result<Self> {
        Self::in_blocks(features, neighbours, BLOCK)
    }

    fn in_blocks(features: &Features, k: usize, block: usize) -> Result<Self> {
        let n = features.len();
        require("neighbours", k >= 1 && k < n, &format!("at least 1 and below the {n} images"), k)?;
        let rows = Rows::new(features)?;
        let mut nearest = vec![f64::INFINITY; n * k];
        screened(
            &rows,
            &rows,
            block,
            |row| row,
            |b| {
                if b.column > b.row {
                    let best = &mut nearest[b.column * k..(b.column + b.width) * k];
                    let open: Vec<_> = best
                        .par_chunks(COLUMNS * k)
                        .enumerate()
                        .flat_map(|(c, best)| open_columns(b, c * COLUMNS, best, k))
                        .collect();
                    insert_all(best, k, &b.exact_of_columns(&open)?);
                }
                let best = &mut nearest[b.row * k..(b.row + b.height) * k];
                let open: Vec<_> = best.par_chunks(k).enumerate().map(|(i, best)| open_of_row(b, i, best)).collect();
                insert_all(best, k, &b.exact_of_rows(&open)?);
                Ok(())
            },
        )?;
        Ok(Self { rows, neighbours: k, nearest })
    }

    /// The features.
    pub fn features(&self) -> &Features {
        &self.rows.features
    }

    /// The number of neighbours whose distances are known.
    pub fn neighbours(&self) -> usize {
        self.neighbours
    }

    /// The squared distance of each row to its k-th nearest other row.
    fn squared_radii(&self, field: &'static str, k: usize) -> Result<Vec<f64>> {
        let known =
            format!("1 to the {} neighbours of the manifold of {:?}", self.neighbours, self.rows.features.source());
        require(field, (1..=self.neighbours).contains(&k), &known, k)?;
        Ok(self.nearest.iter().skip(k - 1).step_by(self.neighbours).copied().collect())
    }
}

/// The rows of a block that may be among the nearest of a row or column, by bounds of their distances.
struct Open {
    /// The smallest distances that are known, and upper bounds of others.
    within: Vec<f64>,
    found: Vec<(usize, f64)>,
}

impl Open {
    /// Starts from the smallest distances so far.
    fn new(best: &[f64]) -> Self {
        Self { within: best.to_vec(), found: Vec::new() }
    }

    #[inline(always)]
    fn add(&mut self, j: usize, (lower, upper): (f64, f64), best: f64) {
        // As many as are wanted are at most `within` away.
        if lower <= self.within[self.within.len() - 1] && lower < best {
            insert(&mut self.within, upper);
            self.found.push((j, lower));
        }
    }

    fn take(self) -> Vec<usize> {
        let within = self.within[self.within.len() - 1];
        self.found.into_iter().filter(|f| f.1 <= within).map(|f| f.0).collect()
    }
}

fn open_of_row(b: &Block<'_>, i: usize, best: &[f64]) -> Vec<usize> {
    let (row, mut open, last) = (b.row(i), Open::new(best), best[best.len() - 1]);
    let others = (0..b.width).filter(|j| b.row + i != b.column + j);
    others.for_each(|j| open.add(j, row.bounds(j), last));
    open.take()
}

/// Of the columns from `first` on, as many as `best` has.
fn open_columns(b: &Block<'_>, first: usize, best: &[f64], k: usize) -> Vec<Vec<usize>> {
    let mut open: Vec<_> = best.chunks(k).map(Open::new).collect();
    for i in 0..b.height {
        let row = b.row(i);
        for (j, open) in open.iter_mut().enumerate() {
            open.add(i, row.bounds(first + j), best[j * k + k - 1]);
        }
    }
    open.into_iter().map(Open::take).collect()
}

fn insert_all(best: &mut [f64], k: usize, found: &[Vec<f64>]) {
    best.chunks_mut(k).zip(found).for_each(|(best, found)| found.iter().for_each(|v| insert(best, *v)));
}

/// Puts a value among the smallest, which ascend.
fn insert(smallest: &mut [f64], v: f64) {
    let last = smallest.len() - 1;
    if v < smallest[last] {
        let at = smallest.partition_point(|s| *s <= v);
        smallest.copy_within(at..last, at + 1);
        smallest[at] = v;
    }
}

/// Configuration of [`prdc`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `precision_neighbours` | 3 | k of precision and recall | >= 1, at most those of both manifolds |
/// | `density_neighbours` | 5 | k of density and coverage | >= 1, at most those of the real manifold |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrdcConfig {
    /// k of precision and recall.
    pub precision_neighbours: usize,
    /// k of density and coverage.
    pub density_neighbours: usize,
}

impl Default for PrdcConfig {
    fn default() -> Self {
        Self { precision_neighbours: 3, density_neighbours: 5 }
    }
}

/// Precision, recall, density and coverage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prdc {
    /// The share of generated images inside a ball of a real image: fidelity.
    pub precision: f64,
    /// The share of real images inside a ball of a generated image: diversity.
    pub recall: f64,
    /// The mean number of real balls that a generated image is in, over k. It is 1 in expectation for a perfect generator and has
    /// no upper bound.
    pub density: f64,
    /// The share of real images whose ball contains a generated image.
    pub coverage: f64,
    /// k of precision and recall.
    pub precision_neighbours: usize,
    /// k of density and coverage.
    pub density_neighbours: usize,
}

/// Precision, recall, density and coverage of generated images.
///
/// The ball of an image reaches to its k-th nearest *other* image of the same side, boundary included: with `<` all four
/// would be 0 where images coincide. Swapping the sides swaps precision and recall.
///
/// Source: Kynkäänniemi et al. (2019), arXiv:1904.06991, section 2 (precision, recall, k = 3); Naeem et al. (2020), arXiv:2002.09797,
/// section 3 (density, coverage, k = 5).
///
/// # Errors
/// More neighbours than the manifolds know; features of different extractors, widths or resize rules.
pub fn prdc(
    Real(real): Real<&Manifold>,
    Generated(generated): Generated<&Manifold>,
    config: &PrdcConfig,
) -> Result<Score<Prdc>> {
    let context = Context::of(Real(real.rows.features.side()), Generated(generated.rows.features.side()))?;
    Ok(Score { value: prdc_in_blocks(real, generated, *config, BLOCK)?, context })
}

fn prdc_in_blocks(real: &Manifold, generated: &Manifold, config: PrdcConfig, block: usize) -> Result<Prdc> {
    let PrdcConfig { precision_neighbours, density_neighbours } = config;
    let real_narrow = real.squared_radii("PrdcConfig.precision_neighbours", precision_neighbours)?;
    let generated_narrow = generated.squared_radii("PrdcConfig.precision_neighbours", precision_neighbours)?;
    let real_wide = real.squared_radii("PrdcConfig.density_neighbours", density_neighbours)?;
    // Of each real image: is it in a generated ball, is there a generated image in its ball?
    let mut of_real = vec![(false, false); real.rows.features.len()];
    // Of each generated image: is it in a real ball, in how many wider ones is it?
    let mut of_generated = vec![(false, 0u64); generated.rows.features.len()];
    screened(
        &real.rows,
        &generated.rows,
        block,
        |_| 0,
        |b| {
            let radii =
                |i: usize, j: usize| [real_narrow[b.row + i], real_wide[b.row + i], generated_narrow[b.column + j]];
            let mut inside = vec![[false; 3]; b.height * b.width];
            let open: Vec<Vec<usize>> = inside
                .par_chunks_mut(b.width)
                .enumerate()
                .map(|(i, inside)| {
                    let (row, mut open) = (b.row(i), Vec::new());
                    for (j, inside) in inside.iter_mut().enumerate() {
                        let ((lower, upper), radii) = (row.bounds(j), radii(i, j));
                        *inside = radii.map(|r| upper <= r);
                        if *inside != radii.map(|r| lower <= r) {
                            open.push(j);
                        }
                    }
                    open
                })
                .collect();
            for (i, (open, exact)) in open.iter().zip(b.exact_of_rows(&open)?).enumerate() {
                for (&j, d) in open.iter().zip(exact) {
                    inside[i * b.width + j] = radii(i, j).map(|r| d <= r);
                }
            }
            let of_real = of_real[b.row..].iter_mut().zip(inside.chunks(b.width));
            of_real.for_each(|((recalled, covered), inside)| {
                for [_, wide, generated] in inside {
                    *recalled |= generated;
                    *covered |= wide;
                }
            });
            for inside in inside.chunks(b.width) {
                let of_generated = of_generated[b.column..].iter_mut().zip(inside);
                of_generated.for_each(|((precise, count), [narrow, wide, _])| {
                    *precise |= narrow;
                    *count += u64::from(*wide);
                });
            }
            Ok(())
        },
    )?;
    let (n, m) = (of_real.len() as f64, of_generated.len() as f64);
    let inside: u64 = of_generated.iter().map(|g| g.1).sum();
    Ok(Prdc {
        precision: of_generated.iter().filter(|g| g.0).count() as f64 / m,
        recall: of_real.iter().filter(|r| r.0).count() as f64 / n,
        density: inside as f64 / (density_neighbours as f64 * m),
        coverage: of_real.iter().filter(|r| r.1).count() as f64 / n,
        precision_neighbours,
        density_neighbours,
    })
}

/// The realism of each generated image x: `max_i radius_i / |x - r_i|` over real images whose radius is at most the median. At
/// least 1 means that x is in one of these balls; an image that coincides with a real one has an infinite realism.
///
/// Source: Kynkäänniemi et al. (2019), arXiv:1904.06991, section 5.
///
/// # Errors
/// As [`prdc`]; a generated image whose squared norm overflows.
pub fn realism(
    Real(real): Real<&Manifold>,
    Generated(generated): Generated<&Features>,
    neighbours: usize,
) -> Result<Score<Vec<f64>>> {
    let context = Context::of(Real(real.rows.features.side()), Generated(generated.side()))?;
    let radii = real.squared_radii("neighbours", neighbours)?;
    let median = super::nearest::quantile(&radii.iter().map(|r| r.sqrt()).collect::<Vec<_>>(), 0.5);
    let norms = squared_norms(generated)?;
    let mut largest = vec![0f64; generated.len()];
    products(generated, &real.rows.features, BLOCK, |p| {
        let rows = largest[p.row..].par_iter_mut().zip(p.values.par_chunks(p.width));
        rows.enumerate().for_each(|(i, (largest, row))| {
            for (v, j) in row.iter().zip(p.column..) {
                if radii[j].sqrt() <= median {
                    let d = squared_distance(norms[p.row + i], real.rows.norms[j], *v);
                    *largest = largest.max(if d == 0.0 { f64::INFINITY } else { radii[j] / d });
                }
            }
        });
    })?;
    Ok(Score { value: largest.into_iter().map(f64::sqrt).collect(), context })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fidelity::{Resize, Source};
    use sconce_tensor_core::Rng;
    use sconce_tensor_core::candle_core::{DType, Device, Tensor};

    /// The definition, by all distances in f64.
    fn by_definition(real: &Features, generated: &Features, config: PrdcConfig) -> (Prdc, [Vec<f64>; 2]) {
        let distances = |a: &Features, b: &Features| {
            let (of_a, of_b) = (squared_norms(a).unwrap(), squared_norms(b).unwrap());
            let mut all = vec![vec![0.0; b.len()]; a.len()];
            products(a, b, 1 << 20, |p| {
                for (n, v) in p.values.iter().enumerate() {
                    let (i, j) = (n / p.width, n % p.width);
                    all[i][j] = squared_distance(of_a[i], of_b[j], *v);
                }
            })
            .unwrap();
            all
        };
        let nearest = |x: &Features| -> Vec<Vec<f64>> {
            let rows = distances(x, x).into_iter().enumerate();
            rows.map(|(i, mut row)| {
                row.remove(i);
                row.sort_by(f64::total_cmp);
                row
            })
            .collect()
        };
        let (of_real, of_generated, cross) = (nearest(real), nearest(generated), distances(real, generated));
        let (k, wide) = (config.precision_neighbours - 1, config.density_neighbours - 1);
        let (n, m) = (real.len(), generated.len());
        let share = |n: usize, f: &dyn Fn(usize) -> bool| (0..n).filter(|i| f(*i)).count() as f64 / n as f64;
        let inside = (0..n).map(|i| (0..m).filter(|j| cross[i][*j] <= of_real[i][wide]).count()).sum::<usize>();
        let value = Prdc {
            precision: share(m, &|j| (0..n).any(|i| cross[i][j] <= of_real[i][k])),
            recall: share(n, &|i| (0..m).any(|j| cross[i][j] <= of_generated[j][k])),
            density: inside as f64 / (config.density_neighbours as f64 * m as f64),
            coverage: share(n, &|i| (0..m).any(|j| cross[i][j] <= of_real[i][wide])),
            precision_neighbours: config.precision_neighbours,
            density_neighbours: config.density_neighbours,
        };
        let first = |rows: Vec<Vec<f64>>| rows.into_iter().flat_map(|r| r[..=wide].to_vec()).collect();
        (value, [first(of_real), first(of_generated)])
    }

    /// Radii have the same bits as those of the definition, and no pair is decided in another way: with ties at the radius, equal
    /// points, distances far below the rounding of f32, magnitudes outside its range, and every block.
    #[test]
    fn results_are_those_of_the_definition() {
        let source = Source { extractor: "e".into(), resize: Resize::None, split: "s".into() };
        let features = |x: &Tensor| Features::new(x, source.clone()).unwrap();
        let normal = |seed, n| Rng::new(seed).normal((n, 300), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
        let apart = |far: f64, scale: f64| {
            let real = normal(0, 90).affine(scale, far).unwrap();
            // The first 20 real images are generated images too.
            let generated = normal(1, 45).affine(scale, far).unwrap();
            [real.clone(), Tensor::cat(&[&real.narrow(0, 0, 20).unwrap(), &generated], 0).unwrap()]
        };
        let lattice = |seed, n: usize| {
            let x = Rng::new(seed).below(n * 3, 3).into_iter().map(|v| v as f64 + 1e3).collect();
            Tensor::from_vec(x, (n, 3), &Device::Cpu).unwrap()
        };
        let single = |x: Tensor| x.to_dtype(DType::F32).unwrap();
        let cases = [
            ("apart", apart(0.0, 1.0)),
            ("in f32", apart(0.0, 1.0).map(single)),
            ("close", apart(1e3, 1e-3)),
            ("large", apart(0.0, 1e30)),
            ("small", apart(0.0, 1e-42)),
            ("lattice", [lattice(2, 60), lattice(3, 50)]),
            ("equal", [Tensor::ones((20, 3), DType::F64, &Device::Cpu).unwrap(), lattice(3, 50)]),
        ];
        for (name, [real, generated]) in cases {
            let (real, generated) = (features(&real), features(&generated));
            let want = by_definition(&real, &generated, PrdcConfig::default());
            assert!(name != "apart" || want.0.precision > 0.2 && want.0.precision < 1.0, "{want:?}");
            for block in [1024, 7, 16, 89] {
                let manifold = |f| Manifold::in_blocks(f, 5, block).unwrap();
                let (real, generated) = (manifold(&real), manifold(&generated));
                let value = prdc_in_blocks(&real, &generated, PrdcConfig::default(), block).unwrap();
                assert_eq!((value, [real.nearest, generated.nearest]), want, "{name}, block {block}");
            }
        }
    }
}

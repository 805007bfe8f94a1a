//! Precision, recall, density, coverage and realism from balls around rows.

use super::blocks::{BLOCK, own_products, products, squared_distance, squared_norms};
use super::features::Features;
use super::provenance::{Context, Generated, Real, Score};
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
    features: Features,
    norms: Vec<f64>,
    neighbours: usize,
    /// Squared distances to the nearest other rows, (N, neighbours), ascending.
    nearest: Vec<f64>,
}

impl Manifold {
    /// The distances of each row to its 1st to `neighbours`-th nearest other row.
    ///
    /// # Errors
    /// [`crate::Error::Config`] unless there are at least `neighbours + 1` rows.
    pub fn new(features: &Features, neighbours: usize) -> Result<Self> {
        Self::in_blocks(features, neighbours, BLOCK)
    }

    fn in_blocks(features: &Features, k: usize, block: usize) -> Result<Self> {
        let n = features.len();
        require("neighbours", k >= 1 && k < n, &format!("at least 1 and below the {n} images"), k)?;
        let norms = squared_norms(features)?;
        let mut nearest = vec![f64::INFINITY; n * k];
        own_products(features, block, |p| {
            let distance = |i: usize, j: usize, v: f64| squared_distance(norms[p.row + i], norms[p.column + j], v);
            if p.column > p.row {
                let columns = nearest[p.column * k..(p.column + p.width) * k].par_chunks_mut(COLUMNS * k);
                columns.enumerate().for_each(|(c, columns)| {
                    for (i, row) in p.values.chunks(p.width).enumerate() {
                        let row = row.iter().enumerate().skip(c * COLUMNS);
                        columns.chunks_mut(k).zip(row).for_each(|(best, (j, v))| insert(best, distance(i, j, *v)));
                    }
                });
            }
            let rows = nearest[p.row * k..].par_chunks_mut(k).zip(p.values.par_chunks(p.width));
            rows.enumerate().for_each(|(i, (best, row))| {
                let others = row.iter().enumerate().filter(|(j, _)| p.row + i != p.column + j);
                others.for_each(|(j, v)| insert(best, distance(i, j, *v)));
            });
        })?;
        Ok(Self { features: features.clone(), norms, neighbours: k, nearest })
    }

    /// The features.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The number of neighbours whose distances are known.
    pub fn neighbours(&self) -> usize {
        self.neighbours
    }

    /// The squared distance of each row to its k-th nearest other row.
    fn squared_radii(&self, field: &'static str, k: usize) -> Result<Vec<f64>> {
        let known = format!("1 to the {} neighbours of the manifold of {:?}", self.neighbours, self.features.source());
        require(field, (1..=self.neighbours).contains(&k), &known, k)?;
        Ok(self.nearest.iter().skip(k - 1).step_by(self.neighbours).copied().collect())
    }
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
    let context = Context::of(Real(real.features.side()), Generated(generated.features.side()))?;
    Ok(Score { value: prdc_in_blocks(real, generated, *config, BLOCK)?, context })
}

fn prdc_in_blocks(real: &Manifold, generated: &Manifold, config: PrdcConfig, block: usize) -> Result<Prdc> {
    let PrdcConfig { precision_neighbours, density_neighbours } = config;
    let real_narrow = real.squared_radii("PrdcConfig.precision_neighbours", precision_neighbours)?;
    let generated_narrow = generated.squared_radii("PrdcConfig.precision_neighbours", precision_neighbours)?;
    let real_wide = real.squared_radii("PrdcConfig.density_neighbours", density_neighbours)?;
    // Of each real image: is it in a generated ball, is there a generated image in its ball?
    let mut of_real = vec![(false, false); real.features.len()];
    // Of each generated image: is it in a real ball, in how many wider ones is it?
    let mut of_generated = vec![(false, 0u64); generated.features.len()];
    products(&real.features, &generated.features, block, |p| {
        let distance =
            |i: usize, j: usize, v: f64| squared_distance(real.norms[p.row + i], generated.norms[p.column + j], v);
        let columns = of_generated[p.column..p.column + p.width].par_chunks_mut(COLUMNS);
        columns.enumerate().for_each(|(c, columns)| {
            for (i, row) in p.values.chunks(p.width).enumerate() {
                let (narrow, wide) = (real_narrow[p.row + i], real_wide[p.row + i]);
                let row = row.iter().enumerate().skip(c * COLUMNS);
                columns.iter_mut().zip(row).for_each(|((inside, count), (j, v))| {
                    let d = distance(i, j, *v);
                    *inside |= d <= narrow;
                    *count += u64::from(d <= wide);
                });
            }
        });
        let rows = of_real[p.row..].par_iter_mut().zip(p.values.par_chunks(p.width));
        rows.enumerate().for_each(|(i, ((recalled, covered), row))| {
            for (j, v) in row.iter().enumerate() {
                let d = distance(i, j, *v);
                *recalled |= d <= generated_narrow[p.column + j];
                *covered |= d <= real_wide[p.row + i];
            }
        });
    })?;
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
/// As [`prdc`].
pub fn realism(
    Real(real): Real<&Manifold>,
    Generated(generated): Generated<&Features>,
    neighbours: usize,
) -> Result<Score<Vec<f64>>> {
    let context = Context::of(Real(real.features.side()), Generated(generated.side()))?;
    let radii = real.squared_radii("neighbours", neighbours)?;
    let median = super::nearest::quantile(&radii.iter().map(|r| r.sqrt()).collect::<Vec<_>>(), 0.5);
    let norms = squared_norms(generated)?;
    let mut largest = vec![0f64; generated.len()];
    products(generated, &real.features, BLOCK, |p| {
        let rows = largest[p.row..].par_iter_mut().zip(p.values.par_chunks(p.width));
        rows.enumerate().for_each(|(i, (largest, row))| {
            for (v, j) in row.iter().zip(p.column..) {
                if radii[j].sqrt() <= median {
                    let d = squared_distance(norms[p.row + i], real.norms[j], *v);
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
    use sconce_tensor_core::candle_core::{DType, Device};

    /// Radii have the same bits whatever the block, and no pair is decided in another way.
    #[test]
    fn results_do_not_depend_on_the_block() {
        let source = Source { extractor: "e".into(), resize: Resize::None, split: "s".into() };
        let rows = |seed, n| {
            let rows = Rng::new(seed).normal((n, 300), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
            Features::new(&rows, source.clone()).unwrap()
        };
        // The first 20 real images are generated images too.
        let real = rows(0, 90);
        let generated = Features::new(
            &sconce_tensor_core::candle_core::Tensor::cat(&[&real.block(0, 20).unwrap(), rows(1, 45).rows()], 0)
                .unwrap(),
            source.clone(),
        )
        .unwrap();
        let at = |block| {
            let manifold = |f| Manifold::in_blocks(f, 5, block).unwrap();
            let (real, generated) = (manifold(&real), manifold(&generated));
            let value = prdc_in_blocks(&real, &generated, PrdcConfig::default(), block).unwrap();
            (value, real.nearest, generated.nearest)
        };
        let whole = at(1024);
        assert!(whole.0.precision > 0.2 && whole.0.precision < 1.0, "{:?}", whole.0);
        for block in [7, 16, 89] {
            assert_eq!(at(block), whole, "block {block}");
        }
    }
}

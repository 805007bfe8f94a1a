//! The target's parts, and the outer sets.

use super::config::{Outer, OuterData, Target};
use crate::jobs::Site;
use crate::pieces::data::Source;
use anyhow::{Result, bail};
use sconce_datasets::garments::textures;
use sconce_datasets::{Images, Split};
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::ops::{Pool2dSpec, avg_pool2d};
use sconce_tensor_core::{Device, Rng};
use std::rc::Rc;

/// The target for one seed and one size. All parts have equally many images of each class, in [0, 1]; none shares an image with another,
/// but that `four` begins with `train`.
pub struct Parts {
    /// The n images.
    pub train: Labelled,
    /// Four times as many: the control that tells what more real images would be worth.
    pub four: Labelled,
    pub validation: Labelled,
    /// What generated images are compared with.
    pub reference: Labelled,
    pub test: Labelled,
}

/// Images of some classes, with labels from 0, with their places by class.
struct Chosen {
    x: Tensor,
    rows: Vec<Vec<usize>>,
}

impl Chosen {
    fn new(images: &Images, classes: &[u8], pool: usize, device: &Device) -> Result<Self> {
        let of = |class: &u8| (0..images.len()).filter(|i| images.labels[*i] == *class).collect::<Vec<_>>();
        let rows: Vec<Vec<usize>> = classes.iter().map(of).collect();
        if let Some(i) = rows.iter().position(Vec::is_empty) {
            bail!("classes: no image of class {}; the data has {} classes", classes[i], images.classes);
        }
        Ok(Self { x: pooled(images.to_labelled(device)?.x(), pool)?, rows })
    }

    /// Rows of each class, taken in turn: the first of each class, the second, and so on.
    fn labelled(&self, rows: &[Vec<usize>]) -> Result<Labelled> {
        let most = rows.iter().map(Vec::len).max().unwrap_or(0);
        let turn = |i: usize| rows.iter().enumerate().filter_map(move |(y, r)| Some((*r.get(i)?, y as u32)));
        let (at, labels): (Vec<usize>, Vec<u32>) = (0..most).flat_map(turn).unzip();
        let at = Tensor::from_iter(at.into_iter().map(|i| i as u32), self.x.device())?;
        Ok(Labelled::new(self.x.index_select(&at, 0)?, &labels, rows.len())?)
    }
}

/// Means of squares of `pool` pixels.
fn pooled(x: &Tensor, pool: usize) -> Result<Tensor> {
    if pool == 1 {
        return Ok(x.clone());
    }
    Ok(avg_pool2d(x, Pool2dSpec::tiles(pool))?)
}

impl Target {
    /// The images of the target's classes, read once in a process.
    fn chosen(&self, split: Split, site: &Site) -> Result<Rc<Chosen>> {
        site.once(&format!("{self:?} {split:?}"), || {
            Chosen::new(&self.source.read(&self.name, split, site)?, &self.classes, self.pool, &site.device)
        })
    }

    /// The parts for a seed and a size.
    pub fn load(&self, n: usize, seed: u64, site: &Site) -> Result<Rc<Parts>> {
        site.once(&format!("{self:?} {n} {seed}"), || {
            let (all, test) = (self.chosen(Split::Train, site)?, self.chosen(Split::Test, site)?);
            let (each, held) = (n / self.classes.len(), self.reference + self.validation);
            let mut cut: [Vec<Vec<usize>>; 4] = Default::default();
            for (y, rows) in all.rows.iter().enumerate() {
                let Some(free) = rows.len().checked_sub(held).filter(|free| *free >= 4 * each) else {
                    bail!(
                        "sizes: {n} needs {} images of each class (4 n over the classes, {} for reference and {} for validation); class {} has {}",
                        4 * each + held,
                        self.reference,
                        self.validation,
                        self.classes[y],
                        rows.len()
                    );
                };
                let (rest, reference) = rows.split_at(free + self.validation);
                let order = Rng::new(seed).stream("subset").at(y as u64).permutation(rest.len());
                let take = |part: &[usize]| part.iter().map(|i| rest[*i]).collect::<Vec<_>>();
                // Validation images do not depend on the size.
                let (validation, free) = order.split_at(self.validation);
                cut[0].push(take(&free[..each]));
                cut[1].push(take(&free[..4 * each]));
                cut[2].push(take(validation));
                cut[3].push(reference.to_vec());
            }
            let [train, four, validation, reference] = cut;
            Ok(Parts {
                train: all.labelled(&train)?,
                four: all.labelled(&four)?,
                validation: all.labelled(&validation)?,
                reference: all.labelled(&reference)?,
                test: test.labelled(&test.rows)?,
            })
        })
    }

    /// All training images of its classes, for the extractor.
    pub fn all(&self, site: &Site) -> Result<Labelled> {
        let all = self.chosen(Split::Train, site)?;
        all.labelled(&all.rows)
    }

    /// Its test images.
    pub fn test(&self, site: &Site) -> Result<Labelled> {
        let test = self.chosen(Split::Test, site)?;
        test.labelled(&test.rows)
    }
}

impl Outer {
    /// The images, read once in a process; `pool` is the target's.
    pub fn load(&self, pool: usize, site: &Site) -> Result<Rc<Labelled>> {
        site.once(&format!("{self:?} {pool}"), || match &self.data {
            OuterData::Classes { name, source, classes } => {
                let all = Chosen::new(&source.read(name, Split::Train, site)?, classes, pool, &site.device)?;
                all.labelled(&all.rows)
            }
            OuterData::Textures(each) => cuts(*each, pool, site),
        })
    }
}

/// Cuts of 28 x 28 of each texture, at places that are drawn.
fn cuts(each: usize, pool: usize, site: &Site) -> Result<Labelled> {
    const SIDE: usize = 28;
    let tiles = textures()?;
    let (_, h, w) = tiles.shape;
    let rng = Rng::new(0).stream("cuts of textures");
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (i, y) in (0..each * tiles.classes).map(|i| (i, i % tiles.classes)) {
        let at = rng.at(i as u64).below(2, (h - SIDE + 1).min(w - SIDE + 1) as u64);
        for row in 0..SIDE {
            let from = (y * h + at[0] as usize + row) * w + at[1] as usize;
            pixels.extend_from_slice(&tiles.pixels[from..from + SIDE]);
        }
        labels.push(y as u8);
    }
    let images = Images::new(pixels, (1, SIDE, SIDE), labels, tiles.classes)?.to_labelled(&site.device)?;
    Ok(Labelled::new(pooled(images.x(), pool)?, &images.labels()?, images.classes())?)
}

impl Target {
    /// What a reader must know of embedded data.
    pub fn flag(&self) -> Option<String> {
        let text = "The garments are the embedded part of Fashion-MNIST (750 training and 100 test images a class).";
        (self.source == Source::Embedded).then(|| text.to_owned())
    }
}

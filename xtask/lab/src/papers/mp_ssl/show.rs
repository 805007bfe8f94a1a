//! What can be seen of a trunk: mixed images with what its heads say, nearest neighbours in feature space, and the filters of its first layer.

use super::config::{Data, Trunk};
use super::probe::Origin;
use super::sets::unit;
use crate::jobs::{Job, Work};
use crate::pieces::train;
use anyhow::Result;
use sconce_ssl::probe::{Pooling, extract};
use sconce_tensor_core::candle_core::{D, DType, Tensor};
use sconce_tensor_core::{ExampleRng, Mode, Module, Rng};
use serde::{Deserialize, Serialize};

/// Mixed images, queries, neighbours of each query.
const MIXED: usize = 8;
const QUERIES: usize = 6;
const NEIGHBOURS: usize = 5;

/// A look at one trunk.
#[derive(Clone, Copy, Serialize)]
pub struct Show<'a> {
    pub data: &'a Data,
    pub trunk: &'a Trunk,
    pub origin: Origin<'a>,
    /// The block, counted from 1, whose features are compared.
    pub block: usize,
    pub seed: u64,
}

/// What is seen.
#[derive(Debug, Serialize, Deserialize)]
pub struct Shown {
    /// Channels, height and width of all images.
    pub shape: (usize, usize, usize),
    pub mixed: Vec<Mixed>,
    /// A query among the test images, then its nearest test images.
    pub neighbours: Vec<Vec<Vec<f32>>>,
    /// Channels, height and width of a filter, and all of them.
    pub filters: ((usize, usize, usize), Vec<Vec<f32>>),
}

/// A mixed image.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mixed {
    /// Channels, height and width: a crop makes it smaller.
    pub shape: (usize, usize, usize),
    pub values: Vec<f32>,
    /// For each task its name, its label and what the head says.
    pub tasks: Vec<(String, u32, u32)>,
}

impl Show<'_> {
    fn mixed(&self, work: &Work<'_>) -> Result<Vec<Mixed>> {
        let Origin::Pretrained(job) = self.origin else { return Ok(Vec::new()) };
        let (sets, device) = (self.data.load(self.seed, work.site)?, &work.site.device);
        let trunk = self.trunk.draw(self.seed, device)?;
        let net = job.heads(&trunk)?;
        train::restore(work, &job, &net)?;
        let mixture = job.pretext.mixture(job.arm)?;
        let examples: Vec<usize> = (0..MIXED.min(sets.test.len())).collect();
        let keys = ExampleRng::new(Rng::new(self.seed).stream("show"), examples.iter().map(|i| *i as u64).collect());
        let batch = mixture.batch(&sets.test, &examples, &keys, DType::F32, device)?;
        let z = net.representation(&batch.x, Mode::Frozen)?;
        let mut said = Vec::new();
        for (t, (name, labels)) in mixture.names().into_iter().zip(&batch.labels).enumerate() {
            let found = net.logits(t, &z, Mode::Frozen)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
            said.push((name, labels.to_vec1::<u32>()?, found));
        }
        let (_, c, h, w) = batch.x.dims4()?;
        let images = batch.x.flatten_from(1)?.to_vec2::<f32>()?;
        // Of several rotations of an image, each is an image here.
        let of = |i: usize| said.iter().map(|(n, label, found)| (n.clone(), label[i], found[i])).collect();
        Ok(images
            .into_iter()
            .take(MIXED)
            .enumerate()
            .map(|(i, values)| Mixed { shape: (c, h, w), values, tasks: of(i) })
            .collect())
    }

    fn neighbours(&self, x: &Tensor, features: &Tensor) -> Result<Vec<Vec<Vec<f32>>>> {
        let rows = features.flatten_from(1)?.to_dtype(DType::F64)?;
        let mean = rows.mean_keepdim(0)?;
        let rows = rows.broadcast_sub(&mean)?.to_vec2::<f64>()?;
        let images = x.flatten_from(1)?.to_vec2::<f32>()?;
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let norms: Vec<f64> = rows.iter().map(|r| dot(r, r).sqrt().max(f64::MIN_POSITIVE)).collect();
        let step = (rows.len() / QUERIES).max(1);
        let of = |q: usize| {
            let mut order: Vec<(f64, usize)> = (0..rows.len())
                .filter(|i| *i != q)
                .map(|i| (dot(&rows[q], &rows[i]) / (norms[q] * norms[i]), i))
                .collect();
            order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            std::iter::once(q)
                .chain(order.into_iter().take(NEIGHBOURS).map(|o| o.1))
                .map(|i| images[i].clone())
                .collect()
        };
        Ok((0..rows.len()).step_by(step).take(QUERIES).map(of).collect())
    }
}

impl Job for Show<'_> {
    type Output = Shown;

    fn key(&self) -> String {
        format!("show/{}/seed{}", self.origin.name(), self.seed)
    }

    fn needs(&self) -> Vec<String> {
        self.origin.needs()
    }

    fn cost(&self) -> f64 {
        1.0
    }

    fn run(&self, work: &Work<'_>) -> Result<Shown> {
        let sets = self.data.load(self.seed, work.site)?;
        let trunk = self.origin.trunk(self.trunk, self.seed, work)?;
        let x = unit(&sets.test, work.site)?;
        let features = extract(&trunk, &x, &[(self.block - 1, Pooling::default())], 250)?.remove(0);
        let first = trunk.params().trainable().find(|p| p.var().rank() == 4);
        let filters = match first.map(|p| p.var().as_tensor().clone()) {
            Some(w) => {
                let (_, c, h, v) = w.dims4()?;
                ((c, h, v), w.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2::<f32>()?)
            }
            None => ((0, 0, 0), Vec::new()),
        };
        let (mixed, neighbours) = (self.mixed(work)?, self.neighbours(&x, &features)?);
        Ok(Shown { shape: sets.test.dims(), mixed, neighbours, filters })
    }
}

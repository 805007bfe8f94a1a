//! The labelled data sets of a run, and what is drawn from them.

use crate::{Error, Result};
use sconce_tensor_core::candle_core::{Shape, Tensor};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::error::require;
use sconce_tensor_core::{ExampleRng, Rng};

/// One labelled data set of a run.
///
/// | Name | Purpose | Range |
/// |---|---|---|
/// | `data` | examples in the range of the generator, with labels from 0 | |
/// | `first_class` | class of the networks that label 0 stands for | |
/// | `batch` | its real examples in a batch, and its generated ones | >= 1 |
/// | `weight` | its share of the losses, divided by the sum over all domains | finite, > 0 |
#[derive(Clone, Copy, Debug)]
pub struct Domain<'a> {
    /// Examples with labels.
    pub data: &'a Labelled,
    /// Class of the networks that label 0 stands for.
    pub first_class: usize,
    /// Examples in a batch.
    pub batch: usize,
    /// Share of the losses.
    pub weight: f64,
}

/// Key of a domain's draws: the domain above, the place in its sequence of draws below.
const DOMAIN_BITS: u32 = 48;

/// The domains of a run. A batch holds `batch` examples of each, in order.
///
/// Each domain goes through its examples in passes, every pass in an order of its own, so that all examples are seen equally often.
/// The labels of generated examples are those of real examples drawn at random: both have the same distribution in each domain.
/// Draw number i of a domain is a function of i and the run's seed.
#[derive(Clone, Debug)]
pub struct Domains<'a> {
    all: Vec<Member<'a>>,
    batch: usize,
}

#[derive(Clone, Debug)]
struct Member<'a> {
    domain: Domain<'a>,
    /// Classes of the networks.
    labels: Vec<u32>,
    /// The order of the latest pass.
    pass: Option<(u64, Vec<usize>)>,
}

/// Real examples of a batch.
pub(super) struct Real {
    pub(super) x: Tensor,
    pub(super) y: Tensor,
    pub(super) keys: Vec<u64>,
}

impl<'a> Domains<'a> {
    /// Checks that the domains go together.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field; [`Error::Shape`] for examples of different shapes.
    pub fn new(domains: Vec<Domain<'a>>) -> Result<Self> {
        let Some(first) = domains.first() else {
            return Err(Error::config("Domains", "must have at least one domain"));
        };
        for d in &domains {
            require("Domain.batch", d.batch >= 1, "at least 1", d.batch)?;
            require("Domain.weight", d.weight.is_finite() && d.weight > 0.0, "finite and > 0", d.weight)?;
            let (want, got) = (&first.data.x().dims()[1..], &d.data.x().dims()[1..]);
            if want != got || first.data.x().dtype() != d.data.x().dtype() {
                return Err(Error::shape(
                    "examples of a domain",
                    format!("(N, {want:?}) of one type in all domains"),
                    got,
                ));
            }
        }
        let batch = domains.iter().map(|d| d.batch).sum();
        let member = |domain: Domain<'a>| {
            let labels = domain.data.labels()?.into_iter().map(|y| y + domain.first_class as u32).collect();
            Ok(Member { domain, labels, pass: None })
        };
        Ok(Self { all: domains.into_iter().map(member).collect::<Result<_>>()?, batch })
    }

    /// The domains.
    pub fn iter(&self) -> impl Iterator<Item = &Domain<'a>> {
        self.all.iter().map(|m| &m.domain)
    }

    /// Examples of a batch, over all domains.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The number of classes that the networks need: one more than the largest class of the domains' label sets.
    pub fn classes(&self) -> usize {
        self.iter().map(|d| d.first_class + d.data.classes()).max().unwrap_or(0)
    }

    /// How many real examples of domain `i` the discriminator sees in some steps of it.
    pub fn exposure(&self, i: usize, discriminator_steps: usize) -> usize {
        self.all.get(i).map_or(0, |m| m.domain.batch * discriminator_steps)
    }

    /// The weight of each example of a batch (N,), its domain's divided by its number; they sum to 1. None where all are equal.
    pub(super) fn weights(&self) -> Result<Option<Tensor>> {
        let sum: f64 = self.iter().map(|d| d.weight).sum();
        let each: Vec<f64> =
            self.iter().flat_map(|d| std::iter::repeat_n(d.weight / sum / d.batch as f64, d.batch)).collect();
        if each.iter().all(|w| (w * each.len() as f64 - 1.0).abs() < 1e-12) {
            return Ok(None);
        }
        let x = self.all[0].domain.data.x();
        Ok(Some(Tensor::from_vec(each, self.batch, x.device())?.to_dtype(x.dtype())?))
    }

    /// Number `draw` of the real batches.
    pub(super) fn real(&mut self, draw: u64, rng: &Rng) -> Result<Real> {
        let (mut xs, mut labels, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (d, m) in self.all.iter_mut().enumerate() {
            let n = m.labels.len() as u64;
            let mut rows = Vec::with_capacity(m.domain.batch);
            for slot in slots(draw, m.domain.batch) {
                let pass = slot / n;
                if m.pass.as_ref().is_none_or(|p| p.0 != pass) {
                    let order = rng.stream("pass").stream(&format!("domain {d}")).at(pass).permutation(n as usize);
                    m.pass = Some((pass, order));
                }
                if let Some((_, order)) = &m.pass {
                    rows.push(order[(slot % n) as usize]);
                }
                keys.push(key(d, slot));
            }
            labels.extend(rows.iter().map(|r| m.labels[*r]));
            xs.push(m.domain.data.batch(&rows)?.x);
        }
        let x = if xs.len() == 1 { xs.swap_remove(0) } else { Tensor::cat(&xs, 0)? };
        let y = Tensor::from_vec(labels, Shape::from(self.batch), x.device())?;
        Ok(Real { x, y, keys })
    }

    /// The labels of number `draw` of the generated batches of a purpose, and their keys.
    pub(super) fn fake(&self, draw: u64, rng: &Rng) -> (Vec<u32>, Vec<u64>) {
        let (mut labels, mut keys) = (Vec::new(), Vec::new());
        for (d, m) in self.all.iter().enumerate() {
            for slot in slots(draw, m.domain.batch) {
                let key = key(d, slot);
                let row = ExampleRng::new(rng.stream("labels"), vec![key]).row(0).below(1, m.labels.len() as u64)[0];
                labels.push(m.labels[row as usize]);
                keys.push(key);
            }
        }
        (labels, keys)
    }

    /// Some examples of domain `i`, at most `most`, chosen by `rng`: with classes of the networks.
    pub(super) fn some(&self, i: usize, most: usize, rng: &Rng) -> Result<(Tensor, Tensor)> {
        let m = &self.all[i];
        some(m.domain.data, m.domain.first_class, most, rng)
    }
}

/// Some examples of a data set, at most `most`, chosen by `rng`.
pub(super) fn some(data: &Labelled, first_class: usize, most: usize, rng: &Rng) -> Result<(Tensor, Tensor)> {
    let mut rows = rng.permutation(data.len());
    rows.truncate(most);
    let batch = data.batch(&rows)?;
    let labels: Vec<u32> = batch.y.to_vec1::<u32>()?.into_iter().map(|y| y + first_class as u32).collect();
    Ok((batch.x, Tensor::from_vec(labels, rows.len(), data.x().device())?))
}

fn slots(draw: u64, batch: usize) -> std::ops::Range<u64> {
    draw * batch as u64..(draw + 1) * batch as u64
}

fn key(domain: usize, slot: u64) -> u64 {
    (domain as u64) << DOMAIN_BITS | slot
}

#[cfg(test)]
mod tests {
    use super::*;
    use sconce_tensor_core::candle_core::Device;

    fn data(n: usize, classes: usize) -> Labelled {
        let x = Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap().reshape((n, 1)).unwrap();
        Labelled::new(x, &(0..n).map(|i| (i % classes) as u32).collect::<Vec<_>>(), classes).unwrap()
    }

    #[test]
    fn all_examples_are_seen_equally_often_and_labels_match() {
        let (target, outer) = (data(10, 2), data(7, 3));
        let of = |data, first_class, batch, weight| Domain { data, first_class, batch, weight };
        let mut domains = Domains::new(vec![of(&target, 0, 4, 1.0), of(&outer, 2, 3, 3.0)]).unwrap();
        assert_eq!((domains.classes(), domains.batch(), domains.exposure(0, 5)), (5, 7, 20));
        let w = domains.weights().unwrap().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((w[0], w[4]), (1.0 / 16.0, 0.25));
        let rng = Rng::new(3);
        let (mut seen, mut fakes) = ([0usize; 10], [0usize; 5]);
        for draw in 0..5 {
            let Real { x, y, keys } = domains.real(draw, &rng).unwrap();
            let (x, y) = (x.flatten_all().unwrap().to_vec1::<f32>().unwrap(), y.to_vec1::<u32>().unwrap());
            assert_eq!(keys.len(), 7);
            for (x, y) in x[..4].iter().zip(&y) {
                seen[*x as usize] += 1;
                assert_eq!(*x as u32 % 2, *y);
            }
            assert!(x[4..].iter().zip(&y[4..]).all(|(x, y)| *x as u32 % 3 + 2 == *y));
        }
        assert_eq!(seen, [2; 10], "20 draws of 10 examples");
        for draw in 0..2000 {
            domains.fake(draw, &rng).0.into_iter().for_each(|y| fakes[y as usize] += 1);
        }
        // Labels of the outer domain: 3, 2 and 2 of 7. Five standard deviations on 6,000 draws.
        for (count, share) in fakes.iter().zip([0.5 * 4.0 / 3.0, 0.5 * 4.0 / 3.0, 3.0 / 7.0, 2.0 / 7.0, 2.0 / 7.0]) {
            assert!((*count as f64 - 6000.0 * share).abs() < 5.0 * 6000f64.sqrt() * 0.5, "{fakes:?}");
        }
        // One domain, or equal weights of each example: no weights.
        assert!(Domains::new(vec![of(&target, 0, 4, 0.3)]).unwrap().weights().unwrap().is_none());
        assert!(Domains::new(vec![]).is_err());
    }
}

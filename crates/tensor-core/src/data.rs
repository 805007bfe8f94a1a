//! Labelled examples in memory, and batches of them in a seeded order.

use crate::{Error, Result, Rng, ops, train};
use candle_core::{DType, Device, Tensor};

/// Examples with their classes.
#[derive(Clone, Debug)]
pub struct Labelled {
    x: Tensor,
    y: Tensor,
    classes: usize,
}

/// Some of the examples, and which.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Inputs (N, ...).
    pub x: Tensor,
    /// Classes (N,) of u32.
    pub y: Tensor,
    /// The examples' indices in their data set.
    pub indices: Vec<u64>,
    /// Soft labels (N, K) where examples were mixed ([`crate::train::augment::Mixup`]); `y` is then the likelier class.
    pub targets: Option<Tensor>,
    /// The step of training that it is for, from 0.
    pub step: usize,
}

impl Batch {
    /// The cross-entropy of each example in nats, with the soft labels where there are some.
    ///
    /// # Shapes
    /// (N, K) -> (N,).
    ///
    /// # Errors
    /// Logits of another shape.
    pub fn cross_entropy(&self, logits: &Tensor) -> Result<Tensor> {
        match &self.targets {
            Some(targets) => ops::soft_cross_entropy(logits, targets),
            None => ops::cross_entropy(logits, &self.y),
        }
    }

    /// The hard labels.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where examples were mixed: `what` is defined for one label an example.
    pub fn hard_labels(&self, what: &'static str) -> Result<&Tensor> {
        match self.targets {
            Some(_) => {
                Err(Error::Unsupported { what, reason: "it needs one label an example, not mixup's".to_owned() })
            }
            None => Ok(&self.y),
        }
    }
}

impl Labelled {
    /// Examples `x` (N, ...) with classes `y`, each below `classes`.
    ///
    /// # Errors
    /// Counts that disagree, no examples, or a label that is out of range, with its index.
    pub fn new(x: Tensor, y: &[u32], classes: usize) -> Result<Self> {
        if x.rank() < 2 || x.dim(0)? != y.len() || y.is_empty() {
            return Err(Error::shape(
                "examples",
                format!("({}, ...) to go with the labels, at least one", y.len()),
                x.dims(),
            ));
        }
        if let Some((i, y)) = y.iter().enumerate().find(|(_, y)| **y as usize >= classes) {
            return Err(Error::value("labels", format!("label {y} at index {i} is not below the {classes} classes")));
        }
        let y = Tensor::from_slice(y, y.len(), x.device())?;
        Ok(Self { x, y, classes })
    }

    /// How many examples.
    pub fn len(&self) -> usize {
        self.y.elem_count()
    }

    /// Never true; there is at least one example.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// All inputs (N, ...).
    pub fn x(&self) -> &Tensor {
        &self.x
    }

    /// All classes (N,) of u32.
    pub fn y(&self) -> &Tensor {
        &self.y
    }

    /// The classes on the host.
    ///
    /// # Errors
    /// candle's only.
    pub fn labels(&self) -> Result<Vec<u32>> {
        Ok(self.y.to_vec1()?)
    }

    /// The examples from `from` on, `len` of them, as a data set of their own.
    ///
    /// # Errors
    /// [`Error::Config`] where there are fewer, or `len` is 0.
    pub fn slice(&self, from: usize, len: usize) -> Result<Self> {
        if len == 0 || from.checked_add(len).is_none_or(|end| end > self.len()) {
            let reason = format!("{len} examples from {from} on are empty or beyond the {} examples", self.len());
            return Err(Error::config("Labelled.slice", reason));
        }
        Ok(Self { x: self.x.narrow(0, from, len)?, y: self.y.narrow(0, from, len)?, classes: self.classes })
    }

    /// The named examples as a batch.
    ///
    /// # Errors
    /// candle's, where an index is out of range.
    pub fn batch(&self, indices: &[usize]) -> Result<Batch> {
        let at = Tensor::from_iter(indices.iter().map(|&i| i as u32), self.x.device())?;
        Ok(Batch {
            x: self.x.contiguous()?.index_select(&at, 0)?,
            y: self.y.contiguous()?.index_select(&at, 0)?,
            indices: indices.iter().map(|&i| i as u64).collect(),
            targets: None,
            step: 0,
        })
    }

    /// The order of one epoch: a permutation keyed by the epoch, in batches of `batch`; the last may be
    /// smaller. It depends on nothing else, so a resumed run sees the same batches.
    pub fn epoch(&self, epoch: usize, batch: usize, rng: &Rng) -> Vec<Vec<usize>> {
        train::shuffled(self.len(), batch, epoch, rng)
    }

    /// The same examples on another device or in another type.
    ///
    /// # Errors
    /// candle's only.
    pub fn to(&self, device: &Device, dtype: DType) -> Result<Self> {
        let x = self.x.to_device(device)?.to_dtype(dtype)?;
        Ok(Self { x, y: self.y.to_device(device)?, classes: self.classes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_visits_everyone_once_in_its_own_order() {
        let x = Tensor::arange(0f32, 10f32, &Device::Cpu).unwrap().reshape((10, 1)).unwrap();
        let d = Labelled::new(x, &[0; 10], 1).unwrap();
        let rng = Rng::new(0);
        let e = d.epoch(0, 4, &rng);
        assert_eq!(e.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        let mut all = e.concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(e, d.epoch(0, 4, &rng));
        assert_ne!(e, d.epoch(1, 4, &rng));
        let b = d.batch(&e[2]).unwrap();
        assert_eq!(
            b.x.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            e[2].iter().map(|i| *i as f32).collect::<Vec<_>>()
        );
    }

    #[test]
    fn bad_labels_are_named() {
        let x = Tensor::zeros((3, 2), DType::F32, &Device::Cpu).unwrap();
        let e = Labelled::new(x.clone(), &[0, 5, 1], 2).unwrap_err().to_string();
        assert!(e.contains("label 5 at index 1"), "{e}");
        assert!(Labelled::new(x, &[0, 1], 2).is_err());
    }
}

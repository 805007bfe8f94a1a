//! A classifier's training with further examples beside the real ones.

use crate::{Error, Result};
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::data::{Batch, Labelled};
use sconce_tensor_core::error::require;
use sconce_tensor_core::nn::Network;
use sconce_tensor_core::train::augment::Augment;
use sconce_tensor_core::train::{CrossEntropy, LossOutput, Objective};
use sconce_tensor_core::{ExampleRng, Mode, Rng};

/// Configuration of [`ExtraBatch`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `weight` | 0.1 | factor on the further examples' loss | finite, >= 0 |
/// | `batch` | 64 | further examples in a step | >= 1 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExtraBatchConfig {
    /// Factor on the further examples' loss.
    pub weight: f64,
    /// Further examples in a step.
    pub batch: usize,
}

impl Default for ExtraBatchConfig {
    fn default() -> Self {
        Self { weight: 0.1, batch: 64 }
    }
}

/// Cross-entropy of the batch plus `weight` times that of a batch of further labelled examples: generated images, with the label that they
/// were conditioned on. An [`Objective`] of the trainer.
///
/// Real and further examples go through the network one after the other, so batch norm sees each kind by itself. The number of steps
/// and of real examples in them does not depend on the further ones: arms with and without them differ in nothing else. The further
/// examples are gone through in passes, each in an order of its own; the batch of a step is a function of the step. A weight of 0 is
/// [`CrossEntropy`].
///
/// ```
/// use sconce_gan::domain_fusion::{ExtraBatch, ExtraBatchConfig};
/// use sconce_tensor_core::candle_core::{DType, Device};
/// use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
/// use sconce_tensor_core::optim::{Sgd, SgdConfig};
/// use sconce_tensor_core::{Rng, data::Labelled, train::{TrainConfig, Trainer}};
///
/// let images = |seed, n: usize| {
///     let x = Rng::new(seed).uniform((n, 1, 8, 8), 0.0..1.0, DType::F32, &Device::Cpu)?;
///     Labelled::new(x, &(0..n as u32).map(|i| i % 2).collect::<Vec<_>>(), 2)
/// };
/// let (real, generated) = (images(0, 10)?, images(1, 40)?);
/// let objective = ExtraBatch::new(ExtraBatchConfig::default(), &generated, Rng::new(2))?;
/// let cfg = SmallCnnConfig { input: (1, 8, 8), classes: 2, ..SmallCnnConfig::default() };
/// let net = SmallCnn::new(cfg, Rng::new(3), DType::F32, &Device::Cpu)?;
/// let trainer = Trainer::new(TrainConfig { epochs: 2, ..TrainConfig::default() }, &objective)?;
/// trainer.fit(&net, &real, &mut Sgd::new(SgdConfig::default())?, &Rng::new(4))?;
/// # Ok::<(), sconce_gan::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ExtraBatch<'a> {
    cfg: ExtraBatchConfig,
    data: &'a Labelled,
    augment: Option<&'a dyn Augment>,
    rng: Rng,
}

impl<'a> ExtraBatch<'a> {
    /// Validates the configuration. `data` has the classes and the range of the real examples.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: ExtraBatchConfig, data: &'a Labelled, rng: Rng) -> Result<Self> {
        let fits = cfg.weight.is_finite() && cfg.weight >= 0.0;
        require("ExtraBatchConfig.weight", fits, "finite and >= 0", cfg.weight)?;
        require("ExtraBatchConfig.batch", cfg.batch >= 1, "at least 1", cfg.batch)?;
        Ok(Self { cfg, data, augment: None, rng: rng.stream("extra batch") })
    }

    /// Augments the further examples: give the augmentation of the real ones.
    #[must_use]
    pub fn augmented_by(mut self, augment: &'a dyn Augment) -> Self {
        self.augment = Some(augment);
        self
    }

    /// The further examples of a step.
    fn batch(&self, step: usize) -> Result<Batch> {
        let n = self.data.len();
        let slots = step * self.cfg.batch..(step + 1) * self.cfg.batch;
        let (mut rows, mut pass) = (Vec::with_capacity(self.cfg.batch), None);
        for slot in slots.clone() {
            let (at, row) = (slot / n, slot % n);
            let order = match pass.take() {
                Some((p, order)) if p == at => order,
                _ => self.rng.stream("pass").at(at as u64).permutation(n),
            };
            rows.push(order[row]);
            pass = Some((at, order));
        }
        let mut batch = self.data.batch(&rows)?;
        if let Some(augment) = self.augment {
            // Of two passes over one example each has its own draw.
            let keys = slots.map(|s| s as u64).collect();
            batch.x = augment.apply(&batch.x, &ExampleRng::new(self.rng.stream("augment"), keys))?;
        }
        Ok(batch)
    }
}

impl Objective for ExtraBatch<'_> {
    fn loss(&self, net: &dyn Network, batch: &Batch, rng: &ExampleRng) -> Result<LossOutput> {
        let mut out = CrossEntropy.loss(net, batch, rng)?;
        if self.cfg.weight == 0.0 {
            return Ok(out);
        }
        let (want, got): (&[usize], &[usize]) = (&batch.x.dims()[1..], &self.data.x().dims()[1..]);
        if want != got {
            return Err(Error::shape("further examples", format!("(N, {want:?}), as the real ones"), got));
        }
        let extra = self.batch(batch.step)?;
        let own: Tensor = extra.cross_entropy(&net.forward(&extra.x, Mode::Train)?)?.mean_all()?;
        out.loss = (out.loss + own.affine(self.cfg.weight, 0.0)?)?;
        Ok(out)
    }
}

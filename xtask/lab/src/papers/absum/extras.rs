//! Two more jobs of `absum`: what a step costs, and what the perturbations look like.

use super::config::{Cost, Noise, PgdRecipe};
use super::jobs::{Fitted, SOURCE_SEED, Source, Test, Trained};
use super::measures;
use crate::jobs::{Job, Work};
use crate::pieces::train;
use anyhow::Result;
use candle_core::Tensor;
use sconce_attacks::fourier::{SingleFourier, SingleFourierConfig};
use sconce_attacks::{Attack, ExampleRng, Goal};
use sconce_tensor_core::Rng;
use sconce_tensor_core::classifier::predict;
use sconce_tensor_core::train::{CrossEntropy, Trainer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Instant;

/// Seconds per training step with each arm's regularizer, interleaved: one value per round.
#[derive(Serialize)]
pub struct StepCost<'a> {
    pub arms: Vec<Fitted<'a>>,
    pub cost: &'a Cost,
}

impl Job for StepCost<'_> {
    type Output = Vec<Vec<f64>>;

    fn key(&self) -> String {
        format!("cost/{}", self.arms[0].setting.id)
    }

    fn needs(&self) -> Vec<String> {
        self.arms.iter().filter_map(Fitted::need).collect()
    }

    fn cost(&self) -> f64 {
        (self.arms.len() * self.cost.steps * (self.cost.rounds + 1)) as f64
    }

    fn run(&self, work: &Work<'_>) -> Result<Vec<Vec<f64>>> {
        let Fitted { setting, train, .. } = self.arms[0];
        let parts = setting.data.load(work.site)?;
        let data = parts.train.slice(0, (self.cost.steps * train.batch_size).min(parts.train.len()))?;
        let mut seconds = vec![Vec::new(); self.arms.len()];
        for round in 0..=self.cost.rounds {
            for (arm, times) in self.arms.iter().zip(&mut seconds) {
                let net = setting.net.build(&parts, 0, &work.site.device)?;
                let regularizer = arm.arm.regularizer(arm.lambda.get(work)?)?;
                let mut trainer = Trainer::new(train.config(1), &CrossEntropy)?;
                if let Some(r) = &regularizer {
                    trainer = trainer.regularized_by(&**r);
                }
                let mut sgd = train.sgd()?;
                let started = Instant::now();
                trainer.fit(&*net, &data, &mut sgd, &Rng::new(0))?;
                // The first round warms up.
                if round > 0 {
                    times.push(started.elapsed().as_secs_f64() / data.len().div_ceil(train.batch_size) as f64);
                }
            }
            work.at(round, self.cost.rounds);
        }
        Ok(seconds)
    }

    /// Seconds alone.
    fn agreed(&self, _: Value) -> Value {
        Value::Null
    }
}

/// Some test images as they are and perturbed, and what the plain network of a seed makes of them.
#[derive(Clone, Copy, Serialize)]
pub struct Pictures<'a> {
    pub trained: Trained<'a>,
    pub source: Source<'a>,
    pub test: Test<'a>,
    pub transfer: &'a PgdRecipe,
    pub noise: &'a Noise,
}

/// One image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Picture {
    pub what: String,
    /// Channels, height, width.
    pub shape: (usize, usize, usize),
    pub values: Vec<f32>,
    pub predicted: usize,
}

/// How many.
const IMAGES: usize = 3;

impl Job for Pictures<'_> {
    /// Image by image.
    type Output = Vec<Vec<Picture>>;

    fn key(&self) -> String {
        self.trained.key().replacen("train", "pictures", 1)
    }

    fn needs(&self) -> Vec<String> {
        vec![self.trained.key(), self.source.key(), self.test.key()]
    }

    fn cost(&self) -> f64 {
        1.0
    }

    fn run(&self, work: &Work<'_>) -> Result<Self::Output> {
        let setting = self.trained.fitted.setting;
        let parts = setting.data.load(work.site)?;
        let few = parts.test.slice(0, IMAGES)?;
        let net = setting.net.build(&parts, self.trained.seed, &work.site.device)?;
        train::restore(work, &self.trained, &*net)?;
        let source = setting.net.build(&parts, SOURCE_SEED, &work.site.device)?;
        train::restore(work, &self.source, &*source)?;
        let direction = work.output(&self.test)?.waves.worst().1;
        let wave = SingleFourier::new(SingleFourierConfig {
            direction,
            eps: setting.eps_255 / 255.0,
            normalisation: self.test.sfa.normalisation(),
            random_signs: false,
        })?;
        let goal = Goal::Untargeted(few.y().clone());
        let rng = ExampleRng::new(Rng::new(0), (0..IMAGES as u64).collect());
        let waved = wave.perturb(&*net, few.x(), &goal, &rng)?.x.clamp(0.0, 1.0)?;
        let rows: [(String, Tensor); 4] = [
            ("clean".to_owned(), few.x().clone()),
            (format!("wave {direction:?}, {}/255", setting.eps_255), waved),
            (format!("high-frequency noise, {}/255", self.noise.rms_255), measures::noisy(self.noise, &*source, &few)?),
            (
                format!("transferred PGD, {}/255", self.transfer.eps_255),
                measures::transferred(self.transfer, &*source, &few)?,
            ),
        ];
        let (_, c, h, w) = few.x().dims4()?;
        let picture = |i: usize, (what, x): &(String, Tensor)| -> Result<Picture> {
            let values = x.get(i)?.flatten_all()?.to_vec1::<f32>()?;
            let predicted = predict(&*net, x, IMAGES)?[i] as usize;
            Ok(Picture { what: what.clone(), shape: (c, h, w), values, predicted })
        };
        (0..IMAGES).map(|i| rows.iter().map(|r| picture(i, r)).collect()).collect()
    }
}

//! Students with a narrow last layer against a matrix of probabilities that no such layer can hold.

use super::config::{Arm, Random, Synthetic, Teacher};
use crate::jobs::{Job, Work};
use anyhow::Result;
use candle_core::{D, DType, Device, Tensor};
use rayon::prelude::*;
use sconce_activations::{Decoder, Mixture, MixtureConfig, Output, OutputFunction, Spectrum};
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::optim::{Adam, Schedule, UpdateConfig};
use sconce_tensor_core::train::{Engine, LossTask};
use sconce_tensor_core::{Error, Mode, Params, Rng, Role, ops};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

impl Teacher {
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::Topics => "topics",
        }
    }

    /// Probabilities (N, M), in f64.
    fn probabilities(self, s: &Synthetic, seed: u64) -> Result<Tensor> {
        let (n, m) = (s.contexts, s.classes);
        let rng = Rng::new(seed).stream("teacher");
        let normal =
            |what: &str, shape: (usize, usize)| rng.stream(what).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu);
        match self {
            Self::Gaussian => {
                let z = (normal("left", (n, 32))?.matmul(&normal("right", (32, m))?)? * 0.6)?;
                Ok(ops::log_softmax(&z)?.exp()?)
            }
            Self::Topics => {
                const TOPICS: usize = 12;
                const AT_ONCE: usize = 3;
                let topics = ops::log_softmax(&(normal("topics", (TOPICS, m))? * 4.0)?)?.exp()?;
                // Three topics a context, with the shares of a point on a simplex; a thousandth for all words alike.
                let mut shares = vec![0.0; n * TOPICS];
                for (i, row) in shares.chunks_exact_mut(TOPICS).enumerate() {
                    let rng = rng.stream("shares").at(i as u64);
                    let own = rng.permutation(TOPICS);
                    let w: Vec<f64> = rng.stream("size").uniforms(AT_ONCE).iter().map(|u| -(1.0 - u).ln()).collect();
                    own.iter().zip(&w).for_each(|(t, v)| row[*t] = v / w.iter().sum::<f64>());
                }
                let mixed = Tensor::from_vec(shares, (n, TOPICS), &Device::Cpu)?.matmul(&topics)?;
                Ok(mixed.affine(0.999, 0.001 / m as f64)?)
            }
        }
    }
}

/// The output functions whose ranks the theorem is about.
pub const OUTPUTS: [Output; 3] = [Output::Softmax, Output::Sigsoftmax, Output::Sigmoid];

/// Ranks with random logits.
#[derive(Clone, Copy, Serialize)]
pub struct Ranks<'a> {
    pub random: &'a Random,
    pub seed: u64,
}

impl Job for Ranks<'_> {
    /// For each output function: without and with a bias.
    type Output = BTreeMap<String, (usize, usize)>;

    fn key(&self) -> String {
        format!("random/seed{}", self.seed)
    }

    fn cost(&self) -> f64 {
        let r = self.random;
        (r.contexts * r.classes * r.contexts.min(r.classes)) as f64
    }

    fn run(&self, _: &Work<'_>) -> Result<Self::Output> {
        let of = |o: Output| Ok((o.name().to_owned(), random_ranks(self.random, o, self.seed)?));
        OUTPUTS.into_iter().map(of).collect()
    }
}

/// Ranks of the log-probabilities of random logits, without and with a bias.
fn random_ranks(r: &Random, output: Output, seed: u64) -> Result<(usize, usize)> {
    let rng = Rng::new(seed).stream("random ranks");
    let normal = |what: &str, n: usize| rng.stream(what).normal((n, r.width), 0.0, 1.0, DType::F64, &Device::Cpu);
    let (h, w) = (normal("h", r.contexts)?, normal("w", r.classes)?);
    let b = rng.stream("b").normal(r.classes, 0.0, 1.0, DType::F64, &Device::Cpu)?;
    let rank =
        |b: Option<&Tensor>| -> Result<usize> { Ok(Spectrum::of(&output.log_prob(&ops::linear(&h, &w, b)?)?)?.rank()) };
    Ok((rank(None)?, rank(Some(&b))?))
}

/// What one student came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Student {
    pub arm: String,
    pub seed: u64,
    /// KL(teacher || student), mean over the contexts, in nats.
    pub kl: f64,
    pub rank: usize,
    pub spectrum: Vec<f64>,
}

/// The students of all arms of one teacher at one width.
#[derive(Clone, Copy, Serialize)]
pub struct Students<'a> {
    pub study: &'a Synthetic,
    pub teacher: Teacher,
    pub d: usize,
    pub arms: &'a [Arm],
    pub seed: u64,
}

impl Students<'_> {
    /// Teaches all of them, over all threads.
    fn all(&self) -> Result<Vec<Student>> {
        let Self { study, teacher, d, arms, seed } = *self;
        arms.par_iter().map(|arm| student(study, teacher, d, arm, seed)).collect()
    }
}

impl Job for Students<'_> {
    type Output = Vec<Student>;

    fn key(&self) -> String {
        format!("student/{}/d{}/seed{}", self.teacher.name(), self.d, self.seed)
    }

    fn cost(&self) -> f64 {
        let s = self.study;
        let arms: usize = self.arms.iter().map(|a| a.mixture.max(1)).sum();
        (arms * s.steps * s.contexts * s.classes) as f64
    }

    fn run(&self, _: &Work<'_>) -> Result<Vec<Student>> {
        self.all()
    }
}

/// Free vectors h (N, d), a decoder (M, d) with a bias, and between them a mixture where the arm has one.
struct Net {
    params: Params,
    mixture: Option<Mixture>,
}

impl Net {
    fn new(s: &Synthetic, d: usize, arm: &Arm, seed: u64, dtype: DType) -> Result<Self> {
        let mut params = Params::new();
        let mut b = Builder::new(&mut params, Rng::new(seed), dtype, &Device::Cpu);
        b.param("h", Role::Weight, (s.contexts, d), Init::Normal(1.0))?;
        b.param("w", Role::Weight, (s.classes, d), Init::Normal(0.3))?;
        b.param("b", Role::Bias, s.classes, Init::Constant(0.0))?;
        let cfg = MixtureConfig { inputs: d, width: d, components: arm.mixture };
        let mixture = (arm.mixture > 0).then(|| Mixture::new(&mut b.scope("mixture"), cfg)).transpose()?;
        Ok(Self { params, mixture })
    }

    fn log_prob(&self, f: &dyn OutputFunction) -> sconce_tensor_core::Result<Tensor> {
        let var = |name: &str| {
            let p = self.params.get(name).ok_or_else(|| Error::value("parameter", format!("there is no `{name}`")));
            p.map(|p| p.var().as_tensor().clone())
        };
        let (h, w, b) = (var("h")?, var("w")?, var("b")?);
        Ok(match &self.mixture {
            Some(m) => m.log_prob(f, &h, Decoder { weight: &w, bias: Some(&b) }, Mode::Train)?,
            None => f.log_prob(&ops::linear(&h, &w, Some(&b))?)?,
        })
    }
}

fn student(s: &Synthetic, teacher: Teacher, d: usize, arm: &Arm, seed: u64) -> Result<Student> {
    let f = arm.function()?;
    let target = teacher.probabilities(s, seed)?;
    let narrow = target.to_dtype(DType::F32)?;
    let net = Net::new(s, d, arm, seed, DType::F32)?;
    let adam = Adam::with_lr(s.lr)?;
    let mut task = LossTask::steps(&net.params, adam, s.steps, |_| {
        Ok(((&narrow * net.log_prob(&*f)?)?.sum_all()? * (-1.0 / s.contexts as f64))?)
    })?
    .updated_with(UpdateConfig { schedule: Schedule::cosine(), ..UpdateConfig::default() })?;
    Engine::new(1)?.run(&mut task, &Rng::new(seed))?;
    // In f64: in f32 rounding alone gives every matrix full rank.
    let wide = Net::new(s, d, arm, seed, DType::F64)?;
    wide.params.restore(&net.params.snapshot()?.into_iter().collect())?;
    let log = wide.log_prob(&*f)?.detach();
    let kl = (&target * (target.log()? - &log)?)?.sum(D::Minus1)?.mean_all()?.to_scalar::<f64>()?;
    let spectrum = Spectrum::of(&log)?;
    Ok(Student { arm: arm.name.clone(), seed, kl, rank: spectrum.rank(), spectrum: spectrum.values().to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: Random = Random { contexts: 40, classes: 12, width: 3 };

    #[test]
    fn random_logits_have_the_theorems_ranks() {
        assert_eq!(random_ranks(&RANDOM, Output::Softmax, 0).unwrap(), (4, 5));
        assert_eq!(random_ranks(&RANDOM, Output::Sigsoftmax, 0).unwrap(), (12, 12));
    }

    #[test]
    fn teachers_are_probabilities_of_a_rank_that_a_narrow_softmax_lacks() {
        let s =
            Synthetic { contexts: 60, classes: 40, dims: vec![2], steps: 1, lr: 0.1, teachers: vec![], random: RANDOM };
        for (teacher, least) in [(Teacher::Gaussian, 30), (Teacher::Topics, 12)] {
            let p = teacher.probabilities(&s, 0).unwrap();
            let sums = p.sum(1).unwrap().to_vec1::<f64>().unwrap();
            assert!(sums.iter().all(|v| (v - 1.0).abs() < 1e-12));
            assert!(Spectrum::of(&p.log().unwrap()).unwrap().rank() >= least);
        }
    }

    #[test]
    fn a_student_learns_and_its_rank_is_the_theorems() {
        let s = Synthetic {
            contexts: 40,
            classes: 24,
            dims: vec![3],
            steps: 300,
            lr: 0.1,
            teachers: vec![],
            random: RANDOM,
        };
        let arm = |name: &str, output: &str, mixture| Arm { name: name.into(), output: output.into(), mixture };
        let arms = [arm("a", "softmax", 0), arm("b", "sigsoftmax", 0), arm("c", "softmax", 2)];
        let all = Students { study: &s, teacher: Teacher::Topics, d: 3, arms: &arms, seed: 0 }.all().unwrap();
        assert_eq!((all[0].rank, all[1].rank), (5, 24));
        assert!(all[2].rank > 5 && all.iter().all(|s| s.kl > 0.0 && s.kl < 2.0), "{all:?}");
    }
}

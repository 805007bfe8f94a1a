//! Adversarial examples to look at.

use super::input::Examples;
use anyhow::Result;
use candle_core::Tensor;
use sconce_attacks::{Evaluation, Goal, LedgerEntry, RunConfig, Suite, run};
use sconce_tensor_core::classifier::{host_logits, logits};
use sconce_tensor_core::{Classifier, Error, Rng, Threat};

/// As many examples are shown.
const MOST: usize = 6;

/// One adversarial example.
pub(crate) struct Picture {
    /// Channels, height and width.
    pub(crate) shape: (usize, usize, usize),
    pub(crate) clean: Vec<f32>,
    pub(crate) adversarial: Vec<f32>,
    /// The row in the data, with its file where there is one.
    pub(crate) example: String,
    /// The true class, and the class and its probability on the clean and on the adversarial image.
    pub(crate) label: String,
    pub(crate) before: (String, f64),
    pub(crate) after: (String, f64),
    pub(crate) attack: String,
    /// The size of the perturbation, in the evaluation's norm.
    pub(crate) distance: f64,
}

/// The most likely class and its probability.
fn prediction(model: &dyn Classifier, x: &Tensor, examples: &Examples) -> Result<(String, f64)> {
    let logits = host_logits(&logits(model, x)?)?.remove(0);
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let class = logits.iter().position(|v| *v == most).unwrap_or(0);
    let sum: f64 = logits.iter().map(|v| (v - most).exp()).sum();
    Ok((examples.class(class), 1.0 / sum))
}

/// The attack that fooled an example with the smallest perturbation.
fn smallest(done: &Evaluation, example: usize) -> Option<&LedgerEntry> {
    let of = |e: &LedgerEntry| {
        let at = e.examples.iter().position(|i| *i as usize == example)?;
        e.reached[at].then_some(e.distance[at])
    };
    // A minimum-norm attack may succeed outside of every radius. Pixels of 32 bits round a distance by as much as they are rounded themselves.
    let most = done.eps.last().copied().unwrap_or(0.0) * (1.0 + 1e-6) + 1e-7;
    let all = done.ledger.entries.iter().filter_map(|e| of(e).map(|d| (d, e))).filter(|(d, _)| *d <= most);
    all.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, e)| e)
}

/// Attacks a few examples again, of different classes where that is possible: an attack's randomness is keyed by the example, so the images are
/// those of the evaluation.
///
/// # Errors
/// Those of the attacks.
pub(super) fn pictures(
    model: &dyn Classifier,
    (x, y): (&Tensor, &Tensor),
    suite: &Suite<'_>,
    done: &Evaluation,
    examples: &Examples,
) -> Result<Vec<Picture>> {
    let labels = &done.ledger.labels;
    let fooled: Vec<usize> =
        (0..done.ledger.len()).filter(|i| done.ledger.clean[*i] && smallest(done, *i).is_some()).collect();
    let first_of_class = |i: &&usize| !fooled.iter().any(|j| j < *i && labels[*j] == labels[**i]);
    let mut chosen: Vec<usize> = fooled.iter().filter(first_of_class).copied().collect();
    chosen.extend(fooled.iter().filter(|i| !first_of_class(i)));
    chosen.truncate(MOST);
    chosen.sort_unstable();
    let mut all = Vec::new();
    for example in chosen {
        let Some(entry) = smallest(done, example) else { continue };
        let Some(named) = suite.attacks.iter().find(|a| a.name == entry.attack) else { continue };
        // A minimum-norm attack was built for the smallest radius.
        let eps = if entry.eps.is_finite() { entry.eps } else { done.eps[0] };
        let attack = named.attack(Threat::new(done.ledger.norm, eps)?)?;
        let (one, label) = (x.narrow(0, example, 1)?.contiguous()?, y.narrow(0, example, 1)?.contiguous()?);
        let cfg = RunConfig { first_example: example as u64, batch_size: Some(1), ..RunConfig::default() };
        let rng = Rng::new(done.ledger.seed).stream(&entry.attack);
        let result = run(&*attack, model, &one, &Goal::Untargeted(label), &cfg, &rng)?;
        // A randomised model may resist the second time.
        if !result.reached[0] {
            continue;
        }
        let values = |t: &Tensor| -> Result<Vec<f32>, Error> { Ok(t.flatten_all()?.to_vec1()?) };
        let (_, c, h, w) = one.dims4()?;
        all.push(Picture {
            shape: (c, h, w),
            clean: values(&one)?,
            adversarial: values(&result.adversarial)?,
            example: examples.example(example),
            label: examples.class(labels[example] as usize),
            before: prediction(model, &one, examples)?,
            after: prediction(model, &result.adversarial, examples)?,
            attack: entry.attack.clone(),
            distance: result.distance[0],
        });
    }
    Ok(all)
}

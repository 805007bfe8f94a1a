//! What came out: how near the images are to the target, and whether either network memorises.

use super::input::Input;
use super::train::Course;
use crate::fidelity::{Chosen, Compared, Measured, measure, warnings};
use crate::sets::Set;
use crate::terminal::Terminal;
use anyhow::Result;
use sconce_tensor_core::Rng;
use sconce_tensor_core::stats::Proportion;

/// With fewer held-out images the generated ones are compared with all of the target.
const ENOUGH: usize = 10;

/// At most so many generated, and so many real images are compared.
const MOST: usize = 10_000;

/// Images of a batch of features.
const BATCH: usize = 128;

/// The numbers, and what they mean.
pub(super) struct Judged {
    pub(super) measured: Measured,
    /// What the generated images were compared with.
    pub(super) against: &'static str,
    pub(super) warnings: Vec<String>,
}

/// Whether the discriminator knows the images that it was trained on from others of the target: its share of right answers on training images is above
/// the 95 % interval of that on held-out ones by a tenth or more (chosen by us).
fn memorises(train: f64, held_out: f64, n: usize) -> Option<String> {
    let high = Proportion { hits: (held_out * n as f64).round() as usize, total: n }.wilson95().hi;
    (train > high + 0.1).then(|| {
        format!(
            "the discriminator memorises: it takes {:.0} % of its training images for real, and {:.0} % of the {n} held-out ones. Fewer --steps, a \
             smaller --width or more images help",
            100.0 * train,
            100.0 * held_out
        )
    })
}

/// Measures the images.
///
/// # Errors
/// Those of the metrics.
pub(super) fn judge(
    input: &Input,
    made: &Set,
    chosen: &Chosen,
    course: &[Course],
    rng: &Rng,
    terminal: &Terminal,
) -> Result<Judged> {
    let all = |set: &Set, name: &str| set.some(&(0..set.images.len()).collect::<Vec<_>>(), name.to_owned());
    let most = |set: &Set, name: &str| {
        let mut rows = rng.stream(name).permutation(set.images.len());
        rows.truncate(MOST);
        rows.sort_unstable();
        set.some(&rows, name.to_owned())
    };
    let enough = input.held_out.as_ref().filter(|h| h.images.len() >= ENOUGH);
    let (real, train, against) = match enough {
        Some(held) => (
            most(held, "held-out target images")?,
            // All of them: each may have been copied.
            Some(all(&input.trained, "training images")?),
            "held-out target images",
        ),
        None => (most(&input.target, "target images")?, None, "target images"),
    };
    let generated = most(made, "generated images")?;
    let compared = Compared { real, generated, train, resize: input.resize.clone() };
    let measured = measure(&compared, chosen, BATCH, &rng.stream("judge"), terminal)?;
    let mut all = warnings(&measured);
    if let Some(last) = course.last() {
        let of = |name| last.last(name);
        if let (Some(train), Some(held), Some(set)) = (of("accuracy.train"), of("accuracy.held_out"), &input.held_out) {
            // As many as the trainer measures at most.
            all.extend(memorises(train, held, set.images.len().min(500)));
        }
        if let (Some(real), Some(fake)) = (of("accuracy.real"), of("accuracy.fake"))
            && real.min(fake) > 0.95
        {
            all.push(format!(
                "the discriminator wins: it is right on {:.0} % of real and {:.0} % of generated images, so the generator learns little from it. A \
                 smaller --width or more outer images help",
                100.0 * real,
                100.0 * fake
            ));
        }
    }
    Ok(Judged { measured, against, warnings: all })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_where_it_is_more_than_chance() {
        assert!(memorises(0.9, 0.2, 50).unwrap().contains("20 % of the 50 held-out"));
        assert!(memorises(0.9, 0.85, 50).is_none());
        assert!(memorises(0.9, 0.5, 4).is_none(), "two of four is no evidence");
    }
}

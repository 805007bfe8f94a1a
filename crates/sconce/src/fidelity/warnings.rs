//! What a reader of the numbers must know, in words.

use super::measure::Measured;
use sconce_gan::fidelity::Memorisation;
use sconce_tensor_core::stats::Proportion;

/// The share of near images that is expected without copies: 1 %, or one in so many as there are held-out images.
fn expected(m: &Memorisation) -> f64 {
    (1.0 / (m.held_out.n as f64 + 1.0)).max(0.01)
}

/// Whether generated images are copies of training images: many more of them than expected are nearer than held-out images are (the lower end of the
/// share's 95 % interval is above three times what is expected), or the median distance is below three quarters (both chosen by us).
pub(super) fn copies(m: &Memorisation, generated: usize, pixels: bool) -> Option<String> {
    let hits = (m.share_below_first_percentile * generated as f64).round() as usize;
    let low = Proportion { hits, total: generated }.wilson95().lo;
    // A single image is no evidence.
    if (hits < 2 || low <= 3.0 * expected(m)) && m.median_ratio >= 0.75 {
        return None;
    }
    let or = if pixels { "; in pixels, blurred images look the same" } else { "" };
    Some(format!(
        "the generator copies its training images: {:.0} % of its images are nearer to one than almost all held-out images are (about {:.0} % \
         without copies), at {:.2} times their median distance{or}",
        100.0 * m.share_below_first_percentile,
        100.0 * expected(m),
        m.median_ratio
    ))
}

/// All warnings.
pub(crate) fn warnings(m: &Measured) -> Vec<String> {
    let mut all = Vec::new();
    let (real, generated, train) = m.images;
    let origin = if train.is_some() { "training" } else { "real" };
    if m.pixels {
        all.push(
            "the features are the raw pixels: a shift or a change of brightness counts as much as another content, and smooth images are near \
             to all others. Compare these numbers with each other only; --model takes a classifier, whose features mean more"
                .to_owned(),
        );
    }
    if m.same_as_training > 0 {
        all.push(format!(
            "{} of the {generated} generated images are {origin} images, byte by byte",
            m.same_as_training
        ));
    }
    if m.repeated > 0 {
        all.push(format!("{} of the {generated} generated images repeat another one, byte by byte", m.repeated));
    }
    if m.real_in_training > 0 {
        all.push(format!(
            "{} of the {real} images of --real are in --train too: every number that compares with --real rewards copies; leave them out of --real",
            m.real_in_training
        ));
    }
    all.extend(m.memorisation.value().and_then(|v| copies(v, generated, m.pixels)));
    if m.fid.generated.value().is_none() {
        all.push(
            "without the FID read the KID, which is unbiased for any number of images; or take fewer features: a --model with a narrower last layer, \
             or --resize where pixels are compared"
                .to_owned(),
        );
    } else if real.min(generated) < 5 * m.features {
        all.push(format!(
            "with fewer than {} images on a side (5 times the features), bias is a large part of the FID: read it beside that of the real images, or read the KID",
            5 * m.features
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use sconce_gan::fidelity::Sample;

    #[test]
    fn copies_are_told_by_their_share_or_their_distance() {
        let of = |share, ratio, n| Memorisation {
            median_ratio: ratio,
            share_below_first_percentile: share,
            generated_median: ratio,
            held_out_median: 1.0,
            held_out_first_percentile: 0.1,
            held_out: Sample { n, split: "test".into() },
        };
        assert!(copies(&of(0.01, 1.0, 1000), 500, false).is_none());
        assert!(copies(&of(0.2, 0.95, 1000), 500, false).unwrap().contains("20 %"));
        assert!(copies(&of(0.0, 0.5, 1000), 500, true).unwrap().contains("blurred"));
        // Of few held-out images the first percentile is the smallest: one in eleven is nearer by chance.
        assert!(copies(&of(0.2, 0.95, 10), 500, false).is_none());
        assert!(copies(&of(0.2, 0.95, 1000), 5, false).is_none(), "one of five is no evidence");
    }
}

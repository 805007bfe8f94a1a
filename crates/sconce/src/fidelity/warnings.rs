//! What a reader of the numbers must know, in words.

use super::measure::Measured;
use sconce_gan::fidelity::Memorisation;
use sconce_tensor_core::stats::Proportion;

/// Whether generated images may be copies of the images that were searched: many more of them than expected are nearer than held-out images are (the
/// lower end of the share's 95 % interval is above three times the expected share; by the choice of held-out images alone the true share exceeds that in a
/// few percent of all cases), or the median distance is below three quarters of theirs (both chosen by us). What fired is named.
pub(super) fn copies(m: &Memorisation, generated: usize, searched: &str) -> Option<String> {
    let hits = (m.share_below_first_percentile * generated as f64).round() as usize;
    let low = Proportion { hits, total: generated }.wilson95().lo;
    let mut fired = Vec::new();
    // A single image is no evidence.
    if hits >= 2 && low > 3.0 * m.expected_share {
        let [share, expected] = [m.share_below_first_percentile, m.expected_share].map(|v| 100.0 * v);
        fired.push(format!(
            "{share:.0} % of them are nearer to one than the 1st percentile of the {} real images outside of them (about {expected:.0} % \
             without copies)",
            m.held_out.n
        ));
    }
    if m.median_ratio < 0.75 {
        fired.push(format!(
            "their median distance to the nearest is {:.2} times that of real images outside of them",
            m.median_ratio
        ));
    }
    (!fired.is_empty()).then(|| {
        format!(
            "the generated images may be copies of {searched}: {}. Images that are blurred or all alike are near to all others too: look at the \
             nearest pairs (`sconce fidelity --html`)",
            fired.join("; ")
        )
    })
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
    all.extend(m.memorisation.value().and_then(|v| copies(v, generated, m.memorised)));
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
            expected_share: (1.0 + 0.01 * (n - 1) as f64) / (n + 1) as f64,
            generated_median: ratio,
            held_out_median: 1.0,
            held_out_first_percentile: 0.1,
            held_out: Sample { n, split: "test".into() },
        };
        let told = |m: &Memorisation, generated| copies(m, generated, "the training images");
        assert!(told(&of(0.01, 1.0, 1000), 500).is_none());
        let share = told(&of(0.2, 0.95, 1000), 500).unwrap();
        assert!(
            share.contains("copies of the training images: 20 % of them") && share.contains("about 1 %"),
            "{share}"
        );
        assert!(share.contains("blurred or all alike") && !share.contains("times that"), "only what fired: {share}");
        let ratio = copies(&of(0.0, 0.5, 1000), 500, "a random half of the real images").unwrap();
        assert!(
            ratio.contains("0.50 times that") && ratio.contains("a random half") && !ratio.contains('%'),
            "{ratio}"
        );
        let both = told(&of(1.0, 0.1, 1000), 500).unwrap();
        assert!(both.contains("100 %") && both.contains("0.10 times"), "{both}");
        // Of few held-out images the 1st percentile is near the smallest: a tenth of all is nearer by chance.
        assert!(told(&of(0.2, 0.95, 10), 500).is_none());
        assert!(told(&of(0.2, 0.95, 1000), 5).is_none(), "one of five is no evidence");
    }
}

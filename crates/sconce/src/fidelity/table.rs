//! The numbers as rows of a table, for text and page alike.

use super::measure::Measured;
use super::told::{Row, Told};
use sconce_gan::fidelity::Kid;
use sconce_tensor_core::stats::Proportion;

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shown {
    /// A number with its 95 % interval, where there is one.
    Number(f64, Option<(f64, f64)>),
    /// Refused, for a reason.
    Refused(String),
    /// Not asked for.
    Nothing,
}

/// One metric: of the generated images, of real images and of the training images in their place.
pub(crate) struct Line {
    pub(crate) metric: &'static str,
    /// Whether a high value is good.
    pub(crate) better: String,
    pub(crate) cells: [Shown; 3],
}

fn line<V>(metric: &'static str, better: &'static str, row: &Row<V>, show: impl Fn(&V) -> Shown) -> Line {
    let cell = |t: &Told<V>| match t {
        Told::Score(s) => show(&s.value),
        Told::Refused { refused } => Shown::Refused(refused.clone()),
    };
    let training = row.training.as_ref().map_or(Shown::Nothing, cell);
    Line { metric, better: better.to_owned(), cells: [cell(&row.generated), cell(&row.real), training] }
}

/// A normal interval around an estimate.
fn around(value: f64, error: Option<f64>) -> Shown {
    Shown::Number(value, error.map(|e| (value - 1.96 * e, value + 1.96 * e)))
}

/// A kernel distance.
pub(super) fn of_kid(k: &Kid) -> Shown {
    around(k.estimate, k.standard_error)
}

/// A share of n images, with Wilson's interval: each is a success or none, given the other side's images.
fn share(rate: f64, n: usize) -> Shown {
    let ci = Proportion { hits: (rate * n as f64).round() as usize, total: n }.wilson95();
    Shown::Number(rate, Some((ci.lo, ci.hi)))
}

/// The rows.
pub(crate) fn lines(m: &Measured) -> Vec<Line> {
    let (real, generated, _) = m.images;
    let part = generated.min(real / 2);
    // Precision is a share of what plays the generated images, recall and coverage of what plays the real ones.
    let played = [generated, part, generated];
    let reference = [real, real - part, real];
    let shares = |metric, of: &dyn Fn(usize) -> f64, n: [usize; 3]| {
        let row = [Some(&m.prdc.generated), Some(&m.prdc.real), m.prdc.training.as_ref()];
        let cells = [0, 1, 2].map(|i| match row[i] {
            Some(Told::Score(_)) => share(of(i), n[i]),
            Some(Told::Refused { refused }) => Shown::Refused(refused.clone()),
            None => Shown::Nothing,
        });
        Line { metric, better: "high".to_owned(), cells }
    };
    let value = |i: usize| match i {
        0 => m.prdc.generated.value(),
        1 => m.prdc.real.value(),
        _ => m.prdc.training.as_ref().and_then(Told::value),
    };
    let mut all = vec![
        line("FID", "low", &m.fid, |v| Shown::Number(*v, None)),
        line("KID", "low", &m.kid, of_kid),
        shares("precision", &|i| value(i).map_or(f64::NAN, |p| p.precision), played),
        shares("recall", &|i| value(i).map_or(f64::NAN, |p| p.recall), reference),
        line("density", "high", &m.prdc, |p| Shown::Number(p.density, None)),
        shares("coverage", &|i| value(i).map_or(f64::NAN, |p| p.coverage), reference),
        line("MS-SSIM of pairs", "low", &m.ms_ssim, |d| around(d.ms_ssim, Some(d.standard_error))),
    ];
    if let Some(row) = &m.inception_score {
        all.push(line("inception score", "high", row, |s| Shown::Number(s.mean, None)));
    }
    let memory = |metric, better: String, show: &dyn Fn(&sconce_gan::fidelity::Memorisation) -> Shown| {
        let cell = match &m.memorisation {
            Told::Score(s) => show(&s.value),
            Told::Refused { refused } => Shown::Refused(refused.clone()),
        };
        Line { metric, better, cells: [cell, Shown::Nothing, Shown::Nothing] }
    };
    all.push(memory("distance ratio", "about 1".to_owned(), &|v| Shown::Number(v.median_ratio, None)));
    let expected =
        m.memorisation.value().map_or_else(|| "low".to_owned(), |v| format!("about {:.3}", v.expected_share));
    all.push(memory("share of near ones", expected, &|v| share(v.share_below_first_percentile, generated)));
    all
}

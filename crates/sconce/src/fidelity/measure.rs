//! The metrics.

use super::classes::{ClassRow, by_class};
use super::extractor::Chosen;
use super::input::Compared;
use super::told::{Row, Told};
use crate::sets::Set;
use crate::terminal::Terminal;
use anyhow::Result;
use sconce_gan::fidelity::{
    ClassImages, Diversity, Features, FidConfig, Generated, HeldOut, InceptionScore, InceptionScoreConfig, Kid,
    KidConfig, Manifold, Memorisation, MsSsim, MsSsimConfig, Neighbour, Origin, Prdc, PrdcConfig, Real, Resize, Score,
    diversity, fid, inception_score, kid, memorisation, nearest, prdc,
};
use sconce_tensor_core::{Device, Rng};
use serde::Serialize;
use std::collections::HashSet;

/// Pairs of images whose similarity is the diversity.
const PAIRS: usize = 1000;

/// From so many images on, the inception score is that of ten splits.
const SPLIT_FROM: usize = 100;

/// All numbers.
#[derive(Serialize)]
pub(crate) struct Measured {
    pub(crate) extractor: String,
    /// Whether the features are the pixels.
    pub(crate) pixels: bool,
    pub(crate) features: usize,
    pub(crate) resize: Resize,
    /// Images: real, generated, and training ones. Of the last, as many as were generated are drawn with replacement for the rows.
    pub(crate) images: (usize, usize, Option<usize>),
    pub(crate) fid: Row<f64>,
    pub(crate) kid: Row<Kid>,
    pub(crate) prdc: Row<Prdc>,
    pub(crate) memorisation: Told<Memorisation>,
    /// What played the training images in it.
    pub(crate) memorised: &'static str,
    pub(crate) ms_ssim: Row<Diversity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inception_score: Option<Row<InceptionScore>>,
    pub(crate) classes: Vec<ClassRow>,
    /// Generated images with the bytes of a training image (or of a real one, where no training images are known).
    pub(crate) same_as_training: usize,
    /// Generated images with the bytes of an earlier generated one.
    pub(crate) repeated: usize,
    /// Real images with the bytes of a training image.
    pub(crate) real_in_training: usize,
    /// Why there are no classes, where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) no_classes: Option<String>,
    /// For each generated image the nearest training (or real) image.
    #[serde(skip)]
    pub(crate) nearest: Vec<Neighbour>,
}

/// The features of the sets.
struct Sides {
    real: Features,
    generated: Features,
    train: Option<Features>,
    /// Training images drawn with replacement, as many as there are generated ones: what a generator makes that copies.
    copied: Option<Features>,
    /// Two parts of the real images: the one in the place of the generated ones, and the rest.
    halves: Option<(Features, Features)>,
}

const ONE_IMAGE: &str = "one real image has no two halves";

impl Sides {
    fn row<V>(&self, metric: impl Fn(&Features, &Features) -> Result<Told<V>>) -> Result<Row<V>> {
        Ok(Row {
            generated: metric(&self.real, &self.generated)?,
            real: match &self.halves {
                Some((part, rest)) => metric(rest, part)?,
                None => Told::refused(ONE_IMAGE),
            },
            training: self.copied.as_ref().map(|t| metric(&self.real, t)).transpose()?,
        })
    }
}

/// The FID, or why there is none.
pub(super) fn fid_of(real: &Features, generated: &Features) -> Result<Told<f64>> {
    let (n, d) = (real.len().min(generated.len()), real.width());
    if n < d + 1 {
        return Ok(Told::refused(format!("{d} features need {} images on each side or more, and here are {n}", d + 1)));
    }
    Told::of(fid(Real(real), Generated(generated), &FidConfig::default()))
}

/// Precision, recall, density and coverage: each set's balls are computed once.
fn prdc_row(sides: &Sides) -> Result<Row<Prdc>> {
    let config = PrdcConfig::default();
    let k = config.precision_neighbours.max(config.density_neighbours);
    let balls = |f: &Features| (f.len() > k).then(|| Manifold::new(f, k)).transpose();
    let score = |real: &Option<Manifold>, generated: &Option<Manifold>| match (real, generated) {
        (Some(real), Some(generated)) => Told::of(prdc(Real(real), Generated(generated), &config)),
        _ => Ok(Told::refused(format!("it needs at least {} images on each side", k + 1))),
    };
    let real = balls(&sides.real)?;
    Ok(Row {
        generated: score(&real, &balls(&sides.generated)?)?,
        real: match &sides.halves {
            Some((part, rest)) => score(&balls(rest)?, &balls(part)?)?,
            None => Told::refused(ONE_IMAGE),
        },
        training: sides.copied.as_ref().map(|t| score(&real, &balls(t)?)).transpose()?,
    })
}

/// The scales and the window that images of a side can have.
fn scales(side: usize) -> sconce_gan::Result<MsSsimConfig> {
    match side {
        176.. => Ok(MsSsimConfig::default()),
        14.. => MsSsimConfig::scales(2, 7),
        _ => MsSsimConfig::scales(1, 7),
    }
}

fn diversities(compared: &Compared, copied: &[usize], rng: &Rng) -> Result<Row<Diversity>> {
    let (_, h, w) = compared.real.images.shape;
    let measure = MsSsim::new(&scales(h.min(w))?)?;
    let of = |set: &Set, generated: bool| {
        if h.min(w) < 7 {
            return Ok(Told::refused("it needs images of 7 pixels or more"));
        }
        let (x, labels) = (set.images.to_labelled(&Device::Cpu)?, set.labels());
        let side = ClassImages { images: x.x(), labels: &labels, resize: compared.resize.clone(), split: &set.name };
        let origin = if generated { Origin::Generated(side) } else { Origin::Real(side) };
        Told::of(diversity(&origin, &measure, PAIRS, rng))
    };
    Ok(Row {
        generated: of(&compared.generated, true)?,
        real: of(&compared.real, false)?,
        training: compared.train.as_ref().map(|t| of(&t.some(copied, t.name.clone())?, false)).transpose()?,
    })
}

fn inception(
    compared: &Compared,
    copied: &[usize],
    chosen: &Chosen,
    batch: usize,
    rng: &Rng,
) -> Result<Option<Row<InceptionScore>>> {
    let n = compared.generated.images.len();
    let logits = |set: &Set| chosen.logits(&set.images, &compared.resize, &set.name, batch);
    // At the same n: the score is biased by it.
    let at_n = |all: Features| match all.len() > n {
        true => Ok(all.split(n, &rng.stream("inception score at n"))?.0),
        false => Ok::<_, anyhow::Error>(all),
    };
    let score = |logits: &Features| {
        let splits = if logits.len() >= SPLIT_FROM { 10 } else { 1 };
        let config = InceptionScoreConfig { splits, ..InceptionScoreConfig::default() };
        Told::of(inception_score(Generated(logits), &config, rng))
    };
    let (Some(generated), Some(real)) = (logits(&compared.generated)?, logits(&compared.real)?) else {
        return Ok(None);
    };
    let real = at_n(real)?;
    let training = compared.train.as_ref().map(logits).transpose()?.flatten();
    let training = training.map(|t| t.select(copied, &t.source().split)).transpose()?;
    Ok(Some(Row {
        generated: score(&generated)?,
        real: score(&real)?,
        training: training.map(|t| score(&t)).transpose()?,
    }))
}

fn memory(sides: &Sides, rng: &Rng) -> Result<(Told<Memorisation>, &'static str)> {
    if let Some(train) = &sides.train {
        let score = memorisation(Real(train), HeldOut(&sides.real), Generated(&sides.generated));
        return Ok((Told::of(score)?, "the training images"));
    }
    let half = "a random half of the real images";
    if sides.real.len() < 2 {
        return Ok((Told::refused(ONE_IMAGE), half));
    }
    let (train, rest) = sides.real.split(sides.real.len() / 2, &rng.stream("memorisation"))?;
    Ok((Told::of(memorisation(Real(&train), HeldOut(&rest), Generated(&sides.generated)))?, half))
}

fn images(set: &Set) -> impl Iterator<Item = &[u8]> {
    (0..set.images.len()).map(|i| set.image(i))
}

/// All metrics of generated images.
///
/// # Errors
/// Those of the extractor. A metric that does not suit the images says why in its place.
pub(crate) fn measure(
    compared: &Compared,
    chosen: &Chosen,
    batch: usize,
    rng: &Rng,
    terminal: &Terminal,
) -> Result<Measured> {
    let step = |what: &str, k: usize| terminal.progress(what, k, 6);
    let features = |set: &Set| chosen.features(&set.images, &compared.resize, &set.name, batch);
    step("features", 0);
    let (real, generated) = (features(&compared.real)?, features(&compared.generated)?);
    let train = compared.train.as_ref().map(features).transpose()?;
    let n = generated.len().min(real.len() / 2);
    let halves = (n > 0).then(|| real.split(n, &rng.stream("real against real"))).transpose()?;
    let of = train.as_ref().map_or(0, Features::len);
    let rows: Vec<usize> =
        rng.stream("copies").below(generated.len(), of as u64).into_iter().map(|i| i as usize).collect();
    let copied = train.as_ref().map(|t| t.select(&rows, &t.source().split)).transpose()?;
    let sides = Sides { real, generated, train, copied, halves };
    step("FID", 1);
    let fid = sides.row(fid_of)?;
    step("KID", 2);
    let draws = rng.stream("kid");
    let kid_of = |r: &Features, g: &Features| -> Result<Told<Kid>> {
        let score: sconce_gan::Result<Score<Kid>> = kid(Real(r), Generated(g), &KidConfig::default(), &draws);
        Told::of(score)
    };
    let kid = sides.row(kid_of)?;
    step("precision, recall, density, coverage", 3);
    let prdc = prdc_row(&sides)?;
    let (memorisation, memorised) = memory(&sides, rng)?;
    step("diversity", 4);
    let ms_ssim = diversities(compared, &rows, rng)?;
    let inception_score = inception(compared, &rows, chosen, batch, rng)?;
    step("classes", 5);
    let (classes, no_classes) = by_class((&compared.real, &sides.real), (&compared.generated, &sides.generated), rng)?;

    let origin = compared.train.as_ref().unwrap_or(&compared.real);
    let known: HashSet<&[u8]> = images(origin).collect();
    let distinct: HashSet<&[u8]> = images(&compared.generated).collect();
    let same = |set: &Set| images(set).filter(|i| known.contains(i)).count();
    let measured = Measured {
        extractor: sides.real.source().extractor.clone(),
        pixels: chosen.is_pixels(),
        features: sides.real.width(),
        resize: compared.resize.clone(),
        images: (sides.real.len(), sides.generated.len(), sides.train.as_ref().map(Features::len)),
        same_as_training: same(&compared.generated),
        repeated: sides.generated.len() - distinct.len(),
        real_in_training: if compared.train.is_some() { same(&compared.real) } else { 0 },
        nearest: nearest(&sides.generated, sides.train.as_ref().unwrap_or(&sides.real))?,
        fid,
        kid,
        prdc,
        memorisation,
        memorised,
        ms_ssim,
        inception_score,
        classes,
        no_classes,
    };
    step("all metrics", 6);
    Ok(measured)
}

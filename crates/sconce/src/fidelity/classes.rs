//! FID and KID of each class.

use super::told::Told;
use crate::folder::class_folder;
use crate::sets::Set;
use anyhow::Result;
use sconce_gan::fidelity::{ClassWiseConfig, Features, Generated, Kid, KidConfig, Real, Subsets, class_wise, kid};
use sconce_tensor_core::Rng;
use serde::Serialize;

/// One class.
#[derive(Serialize)]
pub(crate) struct ClassRow {
    pub(crate) class: String,
    pub(crate) real: usize,
    pub(crate) generated: usize,
    pub(crate) fid: Option<f64>,
    pub(crate) kid: Told<Kid>,
    /// Two parts of the real images against each other.
    pub(crate) kid_of_real: Told<Kid>,
}

const FEW: &str = "a class needs two images on each side";

/// The rows, or why there are none: the generated classes must be among the real ones.
pub(super) fn by_class(
    (real_set, real): (&Set, &Features),
    (generated_set, generated): (&Set, &Features),
    rng: &Rng,
) -> Result<(Vec<ClassRow>, Option<String>)> {
    let names = &real_set.classes;
    if names.len() < 2 {
        return Ok((Vec::new(), Some(format!("{} has no classes (subfolders)", real_set.option))));
    }
    // A data set's `T-shirt/top` is `T-shirt-top` as a folder.
    let place = |c: &String| {
        let same = |n: &&String| class_folder(n) == class_folder(c);
        names.iter().position(|n| n == c).or_else(|| names.iter().position(|n| same(&n)))
    };
    let found: Vec<Option<usize>> = generated_set.classes.iter().map(place).collect();
    if let Some(at) = found.iter().position(Option::is_none) {
        let class = &generated_set.classes[at];
        let reason = format!("the class `{class}` of {} is not one of {}", generated_set.option, real_set.option);
        return Ok((Vec::new(), Some(reason)));
    }
    let real_labels = real_set.labels();
    let labels: Vec<u32> =
        generated_set.labels().into_iter().filter_map(|y| found[y as usize].map(|k| k as u32)).collect();
    let members = |of: &[u32], k: usize| (0..of.len()).filter(|i| of[*i] as usize == k).collect::<Vec<_>>();
    let enough = |k: u32| {
        let count = |of: &[u32]| of.iter().filter(|y| **y == k).count();
        count(&real_labels) >= 2 && count(&labels) >= 2
    };
    let chosen = |of: &[u32]| (0..of.len()).filter(|i| enough(of[*i])).collect::<Vec<_>>();
    let (at_real, at_generated) = (chosen(&real_labels), chosen(&labels));
    let scores = if at_real.is_empty() {
        Vec::new()
    } else {
        let pick = |f: &Features, at: &[usize]| f.select(at, &f.source().split);
        let of = |labels: &[u32], at: &[usize]| at.iter().map(|i| labels[*i]).collect::<Vec<_>>();
        let (r, g) = (pick(real, &at_real)?, pick(generated, &at_generated)?);
        let (yr, yg) = (of(&real_labels, &at_real), of(&labels, &at_generated));
        class_wise(Real((&r, &yr)), Generated((&g, &yg)), &ClassWiseConfig::default(), rng)?.classes
    };
    let mut rows = Vec::new();
    for (k, class) in names.iter().enumerate() {
        let (of_real, of_generated) = (members(&real_labels, k), members(&labels, k).len());
        let score = scores.iter().find(|s| s.class as usize == k);
        let part = of_generated.min(of_real.len() / 2);
        let kid_of_real = if part < 2 {
            Told::refused("it needs four real images of the class, and two generated ones")
        } else {
            let own = real.select(&of_real, class)?;
            let (part, rest) = own.split(part, &rng.stream("class real against real").at(k as u64))?;
            Told::of(kid(Real(&rest), Generated(&part), &KidConfig { subsets: Subsets::All }, rng))?
        };
        rows.push(ClassRow {
            class: class.clone(),
            real: of_real.len(),
            generated: of_generated,
            fid: score.and_then(|s| s.fid.as_ref()).map(|f| f.value),
            kid: score.map_or_else(|| Told::refused(FEW), |s| Told::Score(s.kid.clone())),
            kid_of_real,
        });
    }
    Ok((rows, None))
}

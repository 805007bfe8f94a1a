//! The numbers as a page, with generated images beside their nearest training images.

use super::input::Compared;
use super::measure::Measured;
use super::table::{Shown, lines, of_kid};
use super::text::{facts, number, reading, refusals};
use super::told::Told;
use super::warnings::warnings;
use crate::args::Fidelity;
use crate::sets::Set;
use anyhow::Result;
use sconce_report::{Cell, Estimate, Page, Tile, image};
use sconce_tensor_core::Rng;
use std::path::Path;

/// Pairs of a sheet.
const PAIRS: usize = 18;

fn cell(shown: &Shown) -> Cell {
    match shown {
        Shown::Number(v, None) => Cell::number(*v),
        Shown::Number(v, Some((lo, hi))) => Cell::estimate(Some(Estimate::with_interval(*v, *lo, *hi))),
        Shown::Refused(_) => Cell::from("refused"),
        Shown::Nothing => Cell::estimate(None),
    }
}

/// The last part of a path or a name.
fn short(name: &str) -> String {
    Path::new(name).file_name().map_or_else(|| name.to_owned(), |n| n.to_string_lossy().into_owned())
}

fn numbers(m: &Measured, page: &mut Page) {
    page.heading("The numbers");
    let rows = lines(m).into_iter().map(|l| {
        let [a, b, c] = l.cells.each_ref().map(cell);
        vec![Cell::from(l.metric), a, b, c, Cell::from(l.better)]
    });
    page.table(&["metric", "generated images", "real images", "training images", "good is"], rows.collect());
    page.note("Beside each number stands the same of other images in the place of the generated ones.");
    page.list(
        &reading(m).into_iter().chain(refusals(m).into_iter().map(|r| format!("refused: {r}"))).collect::<Vec<_>>(),
    );
    if m.classes.is_empty() {
        return;
    }
    page.subheading("By class");
    let kid = |t: &Told<_>| t.value().map_or_else(|| Cell::estimate(None), |k| cell(&of_kid(k)));
    let rows = m.classes.iter().map(|c| {
        let fid = c.fid.map_or_else(|| Cell::from("too few images"), Cell::number);
        let counts = [c.generated, c.real].map(|n| Cell::from(n.to_string()));
        [vec![Cell::from(&c.class)], counts.to_vec(), vec![fid, kid(&c.kid), kid(&c.kid_of_real)]].concat()
    });
    page.table(&["class", "generated", "real", "FID", "KID", "KID of real images"], rows.collect());
}

/// One image with its caption.
fn tile(set: &Set, i: usize, caption: String) -> Result<Tile> {
    let values: Vec<f32> = set.image(i).iter().map(|v| f32::from(*v) / 255.0).collect();
    let file = set.files.get(i).map_or_else(|| format!("image {i}"), |f| short(&f.display().to_string()));
    Ok(Tile { image: image(set.images.shape, &values)?, alt: format!("{} {file}", short(&set.name)), caption })
}

fn sheet(compared: &Compared, m: &Measured, chosen: &[usize], page: &mut Page) -> Result<()> {
    let origin = compared.train.as_ref().unwrap_or(&compared.real);
    let unit = m.memorisation.value().map(|v| v.held_out_median).filter(|u| *u > 0.0);
    let mut tiles = Vec::new();
    for &i in chosen {
        let near = m.nearest[i];
        let distance = unit.map_or_else(|| number(near.distance), |u| format!("{:.2}", near.distance / u));
        tiles.push(tile(&compared.generated, i, "generated".to_owned())?);
        tiles.push(tile(origin, near.index, format!("nearest, at {distance}"))?);
    }
    page.tiles(&tiles, Some(6));
    Ok(())
}

fn sheets(args: &Fidelity, compared: &Compared, m: &Measured, page: &mut Page) -> Result<()> {
    if ![1, 3].contains(&compared.generated.images.shape.0) {
        return Ok(());
    }
    let origin = if compared.train.is_some() { "training" } else { "real" };
    page.heading(&format!("Generated images, each with its nearest {origin} image"));
    let mut all: Vec<usize> = Rng::new(args.seed).stream("sheet").permutation(m.nearest.len());
    all.truncate(PAIRS);
    sheet(compared, m, &all, page)?;
    page.note("Drawn at random. Distances are between features, in units of the median distance of real images that are not among those searched (where that is known).");
    page.subheading("The nearest of all");
    let mut all: Vec<usize> = (0..m.nearest.len()).collect();
    all.sort_by(|a, b| m.nearest[*a].distance.total_cmp(&m.nearest[*b].distance));
    all.truncate(PAIRS);
    sheet(compared, m, &all, page)?;
    page.note("The first to look at for copies.");
    Ok(())
}

/// The whole page.
///
/// # Errors
/// Those of the drawings.
pub(super) fn html(args: &Fidelity, compared: &Compared, m: &Measured, seconds: f64) -> Result<String> {
    let (real, generated, _) = m.images;
    let lead = format!("{generated} generated images against {real} images of {}.", short(&args.real));
    let mut page = Page::new("Sconce · generated images", &short(&args.generated), &lead);
    let kid = m.kid.generated.value().map_or_else(|| "refused".to_owned(), |k| number(k.estimate));
    let of_real = m.kid.real.value().map_or_else(|| "refused".to_owned(), |k| number(k.estimate));
    let ratio = m.memorisation.value().map_or_else(|| "refused".to_owned(), |v| format!("{:.2}", v.median_ratio));
    page.summary(&format!(
        "KID {kid}; of real images against each other {of_real}. Distance ratio to {}: {ratio}.",
        m.memorised
    ));
    page.list(&warnings(m));
    numbers(m, &mut page);
    sheets(args, compared, m, &mut page)?;
    let train = args.train.clone().unwrap_or_else(|| "not named".to_owned());
    let [features, resizing, images] = facts(m);
    let from = [
        ("real images", args.real.clone()),
        ("generated images", args.generated.clone()),
        ("training images", train),
        features,
        resizing,
        images,
        ("seed", args.seed.to_string()),
        ("time", format!("{seconds:.1} s")),
    ];
    crate::provenance::section(&mut page, from, &args.device);
    Ok(page.close("Sconce: generated images"))
}

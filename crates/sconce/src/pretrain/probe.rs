//! `probe`.

use super::input::{self, Input};
use super::saved::load;
use crate::args::Probe;
use crate::attack::device;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::{Result, bail};
use candle_core::Tensor;
use sconce_datasets::{Images, Split};
use sconce_ssl::probe::{Knn, KnnConfig, LinearProbe, LinearProbeConfig, Pixels, Pooling, extract};
use sconce_ssl::trunk::Trunk;
use sconce_tensor_core::Device;
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::stats::Proportion;
use serde_json::json;
use std::fmt::Write;

/// Images of a batch of features.
const BATCH: usize = 250;

/// The three parts that a probe needs.
struct Parts {
    train: Images,
    validation: Images,
    test: Images,
}

/// One row of the table.
struct Row {
    what: String,
    linear: Proportion,
    strength: f64,
    neighbours: Proportion,
}

/// A split of a data set has its own test images; of other images a fifth is held out, every fifth one.
fn parts(args: &Probe) -> Result<(Parts, Vec<String>)> {
    let Input { images, classes } = input::read(&args.data, Split::Train, &args.places)?;
    let named = !std::path::Path::new(&args.data).exists();
    let every = |images: &Images, keep: &dyn Fn(usize) -> bool| -> Result<Images> {
        let size = images.pixels.len() / images.len();
        let rows: Vec<usize> = (0..images.len()).filter(|i| keep(*i)).collect();
        let pixels = rows.iter().flat_map(|i| images.pixels[i * size..(i + 1) * size].iter().copied()).collect();
        Ok(Images::new(pixels, images.shape, rows.iter().map(|i| images.labels[*i]).collect(), images.classes)?)
    };
    let (rest, test) = match &args.test {
        Some(name) => {
            let test = input::read(name, Split::Test, &args.places)?;
            if test.classes != classes {
                bail!("--test {name}: its classes {:?} are not those of --data, {classes:?}", test.classes);
            }
            (images, test.images)
        }
        None if named => (images, input::read(&args.data, Split::Test, &args.places)?.images),
        None => (every(&images, &|i| i % 5 != 4)?, every(&images, &|i| i % 5 == 4)?),
    };
    if (test.shape, test.classes) != (rest.shape, rest.classes) {
        bail!(
            "--test: {} classes of {:?}, but --data has {} of {:?}",
            test.classes,
            test.shape,
            rest.classes,
            rest.shape
        );
    }
    if rest.classes < 2 {
        bail!("--data {}: probes need images of at least two classes, one subfolder each", args.data);
    }
    let n = usize::try_from(args.examples)?.min(rest.len());
    // Spread over all rows: a folder is read class by class.
    let total = rest.len();
    let few = every(&rest, &|i| i * n / total != (i + 1) * n / total)?;
    let (train, validation) = (every(&few, &|i| i % 5 != 4)?, every(&few, &|i| i % 5 == 4)?);
    Ok((Parts { train, validation, test }, classes))
}

/// Probes of some blocks of one trunk.
fn rows(
    name: &str,
    trunk: &dyn Trunk,
    parts: &Parts,
    args: &Probe,
    device: &Device,
    terminal: &Terminal,
) -> Result<Vec<Row>> {
    let pooling = Pooling::average(usize::try_from(args.features)?)?;
    let blocks: Vec<_> = (0..trunk.channels().len()).map(|b| (b, pooling)).collect();
    let unit = |images: &Images| -> Result<Labelled> { Ok(images.to_labelled(device)?) };
    let all = [unit(&parts.train)?, unit(&parts.validation)?, unit(&parts.test)?];
    let features =
        all.iter().map(|d| Ok(extract(trunk, d.x(), &blocks, BATCH)?)).collect::<Result<Vec<Vec<Tensor>>>>()?;
    let linear = LinearProbe::new(LinearProbeConfig::default())?;
    let (k, temperature) = (usize::try_from(args.neighbours)?, args.temperature);
    let knn = Knn::new(KnnConfig { k, temperature, ..KnnConfig::default() })?;
    let mut rows = Vec::new();
    for (b, _) in blocks.iter().enumerate() {
        let of = |i: usize| -> Result<Labelled> {
            Ok(Labelled::new(features[i][b].clone(), &all[i].labels()?, all[i].classes())?)
        };
        let (train, validation, test) = (of(0)?, of(1)?, of(2)?);
        let fit = linear.fit(&train, &validation)?;
        let what = if blocks.len() > 1 { format!("{name}, block {}", b + 1) } else { name.to_owned() };
        terminal.progress(&what, 1, 1);
        let neighbours = knn.evaluate(&train, &test)?.accuracy;
        rows.push(Row { what, linear: fit.head.accuracy(&test)?, strength: fit.chosen().strength, neighbours });
    }
    Ok(rows)
}

/// Read, measure, write.
pub(crate) fn main(args: &Probe, terminal: &mut Terminal) -> Result<Outcome> {
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let device = device(&args.device)?;
    let (trunk, shape) = load(&args.trunk, &device)?;
    let (parts, classes) = parts(args)?;
    if parts.train.shape.0 != shape.channels {
        bail!("--data: images of {} channels, but the trunk was trained on {}", parts.train.shape.0, shape.channels);
    }
    let mut all = rows("the trunk", &trunk, &parts, args, &device, terminal)?;
    all.extend(rows("a random trunk", &shape.draw(0, &device)?, &parts, args, &device, terminal)?);
    all.extend(rows("the images themselves", &Pixels::new(shape.channels), &parts, args, &device, terminal)?);

    let mut text =
        format!("{:<28} linear probe               penalty   {} neighbours\n", "test accuracy", args.neighbours);
    for r in &all {
        let ci = r.linear.wilson95();
        let (linear, near) = (r.linear.rate(), r.neighbours.rate());
        let _ =
            writeln!(text, "{:<28} {linear:.4} [{:.4}, {:.4}]    {:<9.0e} {near:.4}", r.what, ci.lo, ci.hi, r.strength);
    }
    let _ = writeln!(
        text,
        "{} training, {} validation and {} test images of {} classes; cosine similarity, temperature {}",
        parts.train.len(),
        parts.validation.len(),
        parts.test.len(),
        classes.len(),
        args.temperature
    );
    terminal.result(&text)?;
    terminal.write(json_file.as_ref(), || {
        let rows: Vec<_> = all
            .iter()
            .map(|r| json!({ "features": r.what, "linear": r.linear.rate(), "penalty": r.strength, "neighbours": r.neighbours.rate() }))
            .collect();
        let fields = json!({
            "trunk": args.trunk, "data": args.data, "rows": rows, "classes": classes, "training": parts.train.len(),
            "validation": parts.validation.len(), "test": parts.test.len(), "k": args.neighbours, "temperature": args.temperature,
        });
        json("probe", fields)
    })?;
    Ok(Outcome::Done)
}

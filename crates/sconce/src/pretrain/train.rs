//! `pretrain`.

use super::input;
use super::saved::{Shape, save};
use crate::args::Pretrain;
use crate::attack::device;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::{Context, Result, bail};
use sconce_datasets::Split;
use sconce_ssl::mp_ssl::{MpSsl, MpSslConfig, PretextNet};
use sconce_ssl::pretext::{Flip, Magnitudes, Mixture, Pretext, Rotation};
use sconce_ssl::transforms::{EnhancementKind, Images};
use sconce_ssl::weighting::WeightingConfig;
use sconce_tensor_core::Rng;
use sconce_tensor_core::optim::{Schedule, Sgd, SgdConfig, UpdateConfig};
use sconce_tensor_core::store::{Digest, Fingerprint};
use sconce_tensor_core::train::{Checkpoint, Engine, EpochReport, Observer, Progress, Report};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

/// Watches the training.
struct Watch<'a>(&'a Terminal);

impl Observer for Watch<'_> {
    fn step(&mut self, p: &Progress) -> sconce_tensor_core::Result<()> {
        self.0.progress("pre-training", p.step, p.total);
        Ok(())
    }

    fn epoch(&mut self, report: &EpochReport) -> sconce_tensor_core::Result<()> {
        self.0.detail(&format!("epoch {}: mean loss {:.4}", report.epoch, report.loss));
        Ok(())
    }
}

fn task(name: &str) -> Result<Box<dyn Pretext>> {
    if name == "rotation" {
        return Ok(Box::new(Rotation));
    }
    let kind: EnhancementKind = name.parse().with_context(|| format!("--pretext {name}: or rotation"))?;
    Ok(Box::new(Magnitudes::of(kind)?))
}

fn mixture(args: &Pretrain) -> Result<Mixture> {
    let all = |names: &[String]| names.iter().map(|n| task(n)).collect::<Result<Vec<_>>>();
    let mut first: Vec<Box<dyn Pretext>> = vec![Box::new(Flip)];
    first.extend(all(&args.augment)?);
    Ok(Mixture::new(all(&args.pretext)?)?.augmented_by(first)?)
}

/// Read, train, write.
pub(crate) fn main(args: &Pretrain, terminal: &mut Terminal) -> Result<Outcome> {
    let out = terminal.output("--out", Some(&args.out))?;
    if out.as_ref().is_some_and(|o| o.is_stdout()) {
        bail!("--out -: a trunk is no text; name a file");
    }
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let (device, mixture) = (device(&args.device)?, mixture(args)?);
    let weighting: WeightingConfig = args.weighting.parse()?;
    let found = input::read(&args.data, Split::Train, &args.places)?.images;
    let most = args.examples.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX).min(found.len());
    let bytes = input::spread(&found, most);
    let digest = Digest::new().bytes(&bytes).hex();
    let images = Images::new(found.shape, bytes)?;
    terminal.note(&format!(
        "{most} images of {:?}; tasks {}, weighted by {}",
        found.shape,
        args.pretext.join(", "),
        args.weighting
    ));

    let shape = Shape::new(found.shape.0, &args.widths, &args.pretext, &args.weighting);
    let rng = Rng::new(args.seed);
    let trunk = shape.draw(args.seed, &device)?;
    let net = PretextNet::new(&trunk, &mixture, 1, rng.stream("heads"))?;
    let sgd = Sgd::new(SgdConfig { lr: args.lr, momentum: 0.9, weight_decay: 5e-4, ..SgdConfig::default() })?;
    let cfg = MpSslConfig {
        batch_size: usize::try_from(args.batch)?,
        update: UpdateConfig { schedule: Schedule::cosine(), ..UpdateConfig::default() },
        weight_sum: Some(args.weight_sum),
        ..MpSslConfig::default()
    };
    let mut training = MpSsl::new(&net, &mixture, &images, weighting.build()?, sgd, cfg, &rng)?;
    let print = Fingerprint::new().with("images", digest).with("trunk", format!("{shape:?}"));
    let kept = PathBuf::from(format!("{}.checkpoint", args.out.display()));
    let mut watch = Watch(terminal);
    let report = Engine::new(usize::try_from(args.epochs)?)?
        .resuming(Checkpoint::new(kept.clone(), print))
        .observed_by(&mut watch)
        .run(&mut training, &rng)
        .with_context(|| {
            format!("pre-training (a checkpoint of another run is removed by deleting {})", kept.display())
        })?;
    save(&args.out, &trunk, &shape)?;
    std::fs::remove_file(&kept).with_context(|| format!("{}", kept.display()))?;

    terminal.result(&text(args, &report))?;
    terminal.write(json_file.as_ref(), || {
        let fields = json!({
            "data": args.data, "examples": most, "pretext": args.pretext, "augment": args.augment, "weighting": args.weighting,
            "seed": args.seed, "epochs": report.epochs,
        });
        json("pretrain", fields)
    })?;
    terminal.wrote(&args.out);
    Ok(Outcome::Done)
}

/// The last epoch: a line for each task.
fn text(args: &Pretrain, report: &Report) -> String {
    let mut out =
        format!("{:<14} loss     accuracy  weight   (means over the last of {} epochs)\n", "task", report.epochs.len());
    let last = |name: String| report.history(&name).last().copied().unwrap_or(f64::NAN);
    for t in &args.pretext {
        let (loss, accuracy, weight) =
            (last(format!("loss.{t}")), last(format!("accuracy.{t}")), last(format!("weight.{t}")));
        let _ = writeln!(out, "{t:<14} {loss:<8.4} {accuracy:<9.4} {weight:.4}");
    }
    out
}

//! What every reproduction is, and the path from a recipe to its results.

use crate::claims::{self, Claims, Scope};
use crate::cli;
use crate::html::Page;
use crate::results::Results;
use crate::run::{Run, say};
use crate::verdicts::headline;
use crate::{experiments, places, recipe};
use anyhow::{Context, Result, bail};
use sconce_tensor_core::store::{Fingerprint, write_whole};
use sconce_tensor_core::{DeviceSpec, stats::Summary};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// What an experiment measured.
#[derive(Default)]
pub struct Measured {
    /// Values over the seeds, by name.
    pub metrics: BTreeMap<String, Summary>,
    /// Seconds and ratios of seconds.
    pub timing: BTreeMap<String, Summary>,
    /// Curves and maps.
    pub series: BTreeMap<String, serde_json::Value>,
    /// What a reader must know.
    pub flags: Vec<String>,
    /// First parts of the names of metrics that were left out, because their data was not found.
    pub left_out: Vec<String>,
    /// Seconds of work, over all interruptions.
    pub wall_s: f64,
}

/// One paper.
pub trait Experiment {
    /// The slug.
    const SLUG: &'static str;
    /// The title of its report.
    const TITLE: &'static str;
    /// What it is about, in a few sentences.
    const LEAD: &'static str;
    /// The type of its recipes.
    type Config: DeserializeOwned;

    /// The seeds of the recipe.
    fn seeds(cfg: &Self::Config) -> Vec<u64>;

    /// Does the work.
    fn run(cfg: &Self::Config, run: &Run) -> Result<Measured>;

    /// Adds the sections between the claims and the provenance.
    fn report(cfg: &Self::Config, run: &Run, results: &Results, page: &mut Page) -> Result<()>;
}

/// Runs `reproduce`; returns the exit code.
pub fn reproduce(args: &cli::Reproduce) -> Result<u8> {
    let Some(entry) = experiments::TABLE.iter().find(|e| e.0 == args.slug) else {
        let known: Vec<&str> = experiments::TABLE.iter().map(|e| e.0).collect();
        bail!("no reproduction `{}` yet; there are: {}", args.slug, known.join(", "));
    };
    (entry.1)(args)
}

/// `0..3` or `0,4,9`.
fn parse_seeds(text: &str) -> Result<Vec<u64>> {
    let number = |t: &str| {
        t.trim().parse::<u64>().with_context(|| {
            format!("--seeds {text}: use START..END (0..3) or a list (0,1,2); `{t}` is not a whole number")
        })
    };
    let seeds: Vec<u64> = match text.split_once("..") {
        Some((a, b)) => (number(a)?..number(b)?).collect(),
        None => text.split(',').map(number).collect::<Result<_>>()?,
    };
    let mut unique = seeds.clone();
    unique.sort_unstable();
    unique.dedup();
    if seeds.is_empty() || unique.len() < seeds.len() {
        bail!("--seeds {text}: needs at least one seed, each once");
    }
    Ok(seeds)
}

fn versions() -> BTreeMap<String, String> {
    let candle = include_str!("../../Cargo.lock")
        .split("[[package]]")
        .find_map(|p| p.split_once("name = \"candle-core\"")?.1.split_once("version = \"")?.1.split('"').next())
        .unwrap_or("unknown");
    [("sconce", env!("CARGO_PKG_VERSION")), ("candle", candle), ("rust target", std::env::consts::ARCH)]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// Reads the recipe, runs the experiment, decides the claims and writes both files. A claim with a metric that is not there is an
/// error, after the files are written: the numbers of a long run are not lost to a misspelling.
pub fn drive<E: Experiment>(args: &cli::Reproduce) -> Result<u8> {
    let preset = args.preset.name();
    let root = places::workspace();
    let folder = root.join("xtask/recipes").join(E::SLUG);
    let (cfg, table) = recipe::load::<E::Config>(&folder.join(format!("{preset}.toml")), &args.set)?;
    let claims = Claims::load(&folder.join("claims.toml"))?;
    let seeds = args.seeds.as_deref().map_or_else(|| Ok(E::seeds(&cfg)), parse_seeds)?;
    let device = args.device.parse::<DeviceSpec>()?.open()?;
    let device_name = if device.is_cpu() { "cpu".to_owned() } else { format!("{:?}", device.location()) };
    let commit = places::commit(&root);
    let config = serde_json::to_value(&table)?;
    let fingerprint = Fingerprint::new()
        .with("paper", E::SLUG)
        .with("code", &commit)
        .with("device", &device_name)
        .with("seeds", &seeds)
        .with_tree("recipe", &config);
    let out = args.out.clone().unwrap_or_else(|| root.join("target/reproduce").join(E::SLUG).join(preset));
    let run = Run::open(out, seeds, device, places::lookup(args.data_dir.clone()), fingerprint, args.fresh)?;

    say(&format!("{} ({preset}) on {device_name}, seeds {:?}", E::TITLE, run.seeds));
    let mut m = E::run(&cfg, &run)?;
    if !args.set.is_empty() {
        m.flags.insert(0, format!("Not the recipe as it stands: run with --set {}.", args.set.join(" --set ")));
    }
    let both: BTreeMap<String, Summary> =
        m.metrics.iter().chain(&m.timing).map(|(k, v)| (k.clone(), v.clone())).collect();
    let judged = claims::judge(&claims, &both, &Scope { preset, recorded: false, left_out: &m.left_out })?;
    let results = Results {
        experiment: E::SLUG.to_owned(),
        preset: preset.to_owned(),
        config,
        commit_date: places::commit_date(&root, &commit),
        commit,
        versions: versions(),
        device: format!("{device_name}, {} threads", rayon::current_num_threads()),
        seeds: run.seeds.clone(),
        wall_s: m.wall_s,
        claims: judged.claims,
        metrics: m.metrics,
        timing: m.timing,
        series: m.series,
        flags: m.flags,
    };
    let same = args.set.is_empty().then(|| claims::compare(&folder, &results)).flatten();
    let mut page = Page::new(E::TITLE, E::LEAD, &results);
    claims::section(&mut page, &results, same.as_deref())?;
    E::report(&cfg, &run, &results, &mut page)?;
    let report = run.out.join("report.html");
    write_whole(&report, page.finish(&results)?.as_bytes())?;
    let json = run.out.join("results.json");
    write_whole(&json, format!("{}\n", serde_json::to_string_pretty(&results)?).as_bytes())?;
    conclude(&results, same.as_deref());
    say(&format!("\nresults  {}\nreport   {}", json.display(), report.display()));
    if !judged.problems.is_empty() {
        bail!("in {}: {}", folder.join("claims.toml").display(), judged.problems.join("\n"));
    }
    Ok(if args.strict && results.claims.iter().any(|c| c.verdict.fails()) { 3 } else { 0 })
}

/// Prints the verdicts.
fn conclude(r: &Results, same: Option<&str>) {
    say(&format!("\n{}", headline(&r.claims)));
    same.iter().for_each(|s| say(s));
    say("");
    for c in &r.claims {
        say(&format!("{:>26}  {}", c.verdict.words(), c.text));
        say(&format!("{:>26}  {}", "", c.words()));
    }
    for f in &r.flags {
        say(&format!("{:>26}  {f}", "note"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_as_range_or_list() {
        assert_eq!(parse_seeds("0..3").unwrap(), [0, 1, 2]);
        assert_eq!(parse_seeds("4, 7").unwrap(), [4, 7]);
        for bad in ["", "3..3", "1,1", "a"] {
            assert!(parse_seeds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_are_read_from_the_lock_file() {
        assert!(versions()["candle"].starts_with("0.11"), "{:?}", versions());
    }
}

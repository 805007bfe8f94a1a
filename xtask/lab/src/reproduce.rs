//! `cargo xtask reproduce`: from a recipe to its results.

use crate::claims::{self, Claims, Scope};
use crate::jobs::{Folder, Plan, Runner, Site};
use crate::pages::html::Page;
use crate::paper::Entry;
use crate::recipe::Recipe;
use crate::results::Results;
use crate::terminal::say;
use crate::{papers, places};
use anyhow::{Context, Result, bail};
use sconce_tensor_core::store::{Fingerprint, write_whole};
use sconce_tensor_core::{DeviceSpec, stats::Summary};
use std::collections::BTreeMap;
use std::path::Path;
use xtask::cli::Reproduce;
use xtask::sources::Code;
use xtask::verdicts::headline;

/// A paper by its slug.
pub fn entry(slug: &str) -> Result<&'static Entry> {
    static TABLE: &[Entry] = &papers::TABLE;
    let known = || TABLE.iter().map(|e| e.slug).collect::<Vec<_>>().join(", ");
    TABLE
        .iter()
        .find(|e| e.slug == slug)
        .with_context(|| format!("no reproduction `{slug}` yet; there are: {}", known()))
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
    let candle = include_str!("../../../Cargo.lock")
        .split("[[package]]")
        .find_map(|p| p.split_once("name = \"candle-core\"")?.1.split_once("version = \"")?.1.split('"').next())
        .unwrap_or("unknown");
    [("sconce", env!("CARGO_PKG_VERSION")), ("candle", candle), ("rust target", std::env::consts::ARCH)]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// The digest of the code of a paper that this program was built from.
fn code(slug: &str) -> Result<Code> {
    let all: BTreeMap<String, Code> = serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/code.json")))?;
    all.get(slug).cloned().with_context(|| format!("no digest of the code of `{slug}`"))
}

/// What all fingerprints of a paper share.
fn base(slug: &str, code: &Code, kind: &str) -> Result<Fingerprint> {
    let code = serde_json::to_value(code)?;
    Ok(Fingerprint::new().with("paper", slug).with("device", kind).with_tree("code", &code))
}

/// Does what the arguments ask for; returns the exit code.
pub fn main(args: &Reproduce) -> Result<u8> {
    let entry = entry(&args.slug)?;
    let root = places::workspace();
    let recipes = root.join("xtask/recipes").join(entry.slug);
    let recipe = Recipe::read(&recipes, args.preset, &args.set)?;
    let paper = (entry.open)(&recipe)?;
    let claims = Claims::load(&recipes.join("claims.toml"))?;
    let seeds = args.seeds.as_deref().map_or_else(|| Ok(paper.seeds().to_vec()), parse_seeds)?;
    let site = Site::new(args.device.parse::<DeviceSpec>()?.open()?, places::lookup(args.data_dir.clone()));
    let code = code(entry.slug)?;
    let mut plan = Plan::new(base(entry.slug, &code, site.kind())?);
    paper.plan(&seeds, &site, &mut plan)?;
    let preset = args.preset.name();
    let out = args.out.clone().unwrap_or_else(|| root.join("target/reproduce").join(entry.slug).join(preset));
    let folder = Folder::open(&out, args.fresh)?;
    let recorded = claims::recorded_rates(&recipes, args.preset.claims().name());
    let runner = Runner::new(&site, &folder, &plan, recorded)?;
    if args.list {
        runner.list();
        return Ok(0);
    }
    if !args.job.is_empty() {
        args.job.iter().try_for_each(|key| runner.by_key(key))?;
        return Ok(0);
    }
    let device = match site.device.is_cpu() {
        true => "cpu".to_owned(),
        false => format!("{:?}", site.device.location()),
    };
    if !args.collect {
        say(&format!("{} ({preset}) on {device}, seeds {seeds:?}, {} jobs", entry.title, plan.jobs().len()));
        runner.all()?;
    }
    let done = runner.collect()?;
    let mut m = paper.measure(&seeds, &site, &done)?;
    if !args.set.is_empty() {
        m.flags.insert(0, format!("Not the recipe as it stands: run with --set {}.", args.set.join(" --set ")));
    }
    let both: BTreeMap<String, Summary> =
        m.metrics.iter().chain(&m.timing).map(|(k, v)| (k.clone(), v.clone())).collect();
    let scope =
        Scope { preset: args.preset.claims().name(), recorded: false, left_out: &m.left_out, caveats: &m.caveats };
    let judged = claims::judge(&claims, &both, &scope)?;
    let (commit, commit_date) = places::commit(&root);
    let results = Results {
        experiment: entry.slug.to_owned(),
        preset: preset.to_owned(),
        config: serde_json::to_value(recipe.table())?,
        commit,
        commit_date,
        code,
        versions: versions(),
        device: format!("{device}, {} threads", rayon::current_num_threads()),
        seeds,
        wall_s: runner.seconds(),
        rates: runner.rates(),
        claims: judged.claims,
        caveats: m.caveats,
        metrics: m.metrics,
        timing: m.timing,
        series: m.series,
        flags: m.flags,
    };
    let same = args.set.is_empty().then(|| claims::compare(&recipes, &results)).flatten();
    let mut page = Page::new(entry.title, entry.lead, &results);
    claims::section(&mut page, &results, same.as_deref())?;
    paper.page(&results, &done, &mut page)?;
    write(&out, &results, page)?;
    conclude(&results, same.as_deref(), &out);
    // After the files are written: the numbers of a long run are not lost to a misspelling.
    if !judged.problems.is_empty() {
        bail!("in {}: {}", recipes.join("claims.toml").display(), judged.problems.join("\n"));
    }
    Ok(if args.strict && results.claims.iter().any(|c| c.verdict.fails()) { 3 } else { 0 })
}

fn write(out: &Path, results: &Results, page: Page) -> Result<()> {
    write_whole(&out.join("report.html"), page.finish(results)?.as_bytes())?;
    let json = format!("{}\n", serde_json::to_string_pretty(results)?);
    Ok(write_whole(&out.join("results.json"), json.as_bytes())?)
}

/// Prints the verdicts.
fn conclude(r: &Results, same: Option<&str>, out: &Path) {
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
    let file = |name| out.join(name).display().to_string();
    say(&format!("\nresults  {}\nreport   {}", file("results.json"), file("report.html")));
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

    #[test]
    fn the_program_knows_the_code_of_every_paper() {
        let root = places::workspace();
        for e in &papers::TABLE {
            assert_eq!(code(e.slug).unwrap(), xtask::sources::of(&root, e.slug).unwrap(), "{}", e.slug);
        }
    }
}

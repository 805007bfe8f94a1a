//! `cargo xtask reproduce`: from a recipe to its results.

use crate::claims::{self, Claims, Scope};
use crate::fanout;
use crate::index;
use crate::jobs::{Done, Folder, Plan, Rates, Runner, Site};
use crate::pages;
use crate::paper::{Entry, Paper};
use crate::pieces::choice::distinct;
use crate::recipe::Recipe;
use crate::results::Results;
use crate::terminal::{note, say};
use crate::{exit, papers, places};
use anyhow::{Context, Result, bail};
use sconce_tensor_core::store::{Fingerprint, write_whole};
use sconce_tensor_core::{DeviceSpec, stats::Summary};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xtask::cli::{Engine, Preset, Reproduce};
use xtask::sources::{self, Code, METRICS};
use xtask::verdicts::headline;

/// A paper by its slug.
pub fn entry(slug: &str) -> Result<&'static Entry> {
    find(papers::TABLE, slug)
}

fn find(table: &'static [Entry], slug: &str) -> Result<&'static Entry> {
    if let Some(entry) = table.iter().find(|e| e.slug == slug) {
        return Ok(entry);
    }
    let known = slugs()?;
    if known.iter().any(|k| k == slug) {
        return Err(papers::without(slug));
    }
    bail!("no reproduction `{slug}` yet; there are: {}", known.join(", "))
}

/// `0..3` or `0,4,9`.
fn parse_seeds(text: &str) -> Result<Vec<u64>> {
    let number = |t: &str| {
        t.trim().parse::<u64>().with_context(|| {
            format!("--seeds {text}: use START..END (0..3) or a list (0,1,2); `{t}` is not a whole number")
        })
    };
    let seeds: Vec<u64> = match text.split_once("..") {
        Some((a, b)) => {
            let (a, b) = (number(a)?, number(b)?);
            if b.saturating_sub(a) > 10_000 {
                bail!("--seeds {text}: more than 10,000 seeds");
            }
            (a..b).collect()
        }
        None => text.split(',').map(number).collect::<Result<_>>()?,
    };
    distinct(&format!("--seeds {text}"), &seeds)?;
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

/// The digests of the code beside which this program was built, of all papers.
fn codes() -> Result<BTreeMap<String, Code>> {
    Ok(serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/code.json")))?)
}

/// All papers, also those that this program was built without.
pub fn slugs() -> Result<Vec<String>> {
    Ok(codes()?.into_keys().collect())
}

/// The digest of the code of a paper that this program was built from.
fn code(slug: &str) -> Result<Code> {
    codes()?.remove(slug).with_context(|| format!("no digest of the code of `{slug}`"))
}

/// What all fingerprints of a paper share. How metrics come from outputs does not matter to a job.
fn base(slug: &str, code: &Code, kind: &str) -> Result<Fingerprint> {
    let code: Code = code.iter().filter(|(part, _)| *part != METRICS).map(|(k, v)| (k.clone(), v.clone())).collect();
    Ok(Fingerprint::new().with("paper", slug).with("device", kind).with_tree("code", &serde_json::to_value(code)?))
}

/// Refuses where the sources beside this program are not those that it was built from. A program without sources knows its own.
fn built_from(root: &Path, slug: &str, code: &Code) -> Result<()> {
    if !root.join("xtask/lab/src").is_dir() {
        return Ok(());
    }
    let changed = sources::difference(code, &sources::of(root, slug)?);
    if !changed.is_empty() {
        bail!(
            "the sources in {} have changed since this program was built ({}): start it by `cargo xtask`",
            root.display(),
            changed.join(", ")
        );
    }
    Ok(())
}

/// A reproduction that was opened.
struct Opened {
    entry: &'static Entry,
    recipes: PathBuf,
    recipe: Recipe,
    paper: Box<dyn Paper>,
    claims: Claims,
    seeds: Vec<u64>,
    code: Code,
    out: PathBuf,
}

impl Opened {
    fn new(args: &Reproduce, root: &Path) -> Result<Self> {
        let entry = entry(&args.slug)?;
        let code = code(entry.slug)?;
        if !args.fan.as_built {
            built_from(root, entry.slug, &code)?;
        }
        let recipes = root.join("xtask/recipes").join(entry.slug);
        let recipe = Recipe::read(&recipes, args.preset, &args.set)?;
        let paper = (entry.open)(&recipe)?;
        let claims = Claims::load(&recipes.join("claims.toml"))?;
        let seeds = args.seeds.as_deref().map_or_else(|| Ok(paper.seeds().to_vec()), parse_seeds)?;
        distinct("seeds", &seeds)?;
        let default = || root.join("target/reproduce").join(entry.slug).join(args.preset.name());
        let out = args.out.clone().unwrap_or_else(default);
        Ok(Self { entry, recipes, recipe, paper, claims, seeds, code, out })
    }
}

/// Does what the arguments ask for; returns the exit code.
pub fn main(args: &Reproduce) -> Result<u8> {
    let root = places::workspace();
    let opened = Opened::new(args, &root).map_err(exit::refuse)?;
    let shard = args.fan.shard.as_ref().map(|s| s.resolve(|name| std::env::var(name).ok()));
    let shard = shard.transpose().map_err(exit::refused)?;
    fanout::check(&args.fan).map_err(exit::refuse)?;
    sconce::stop::listen()?;
    let site = Site::new(args.device.parse::<DeviceSpec>()?.open()?, sconce::places::lookup(&args.places)?);
    let mut plan = Plan::new(base(opened.entry.slug, &opened.code, site.kind())?);
    opened.paper.plan(&opened.seeds, &site, &mut plan)?;
    if let Some(expected) = args.fan.expect.as_ref().filter(|e| **e != plan.digest()) {
        return Err(exit::refused(format!(
            "the plan is {}, not {expected} as it was when this was submitted: the recipe, the data or the kind of device has changed. Submit again",
            plan.digest()
        )));
    }
    let folder = Folder::open(&opened.out, args.fresh)?;
    // Units of work are those of quick in every preset.
    let rates = |preset: Preset| claims::recorded_rates(&opened.recipes, preset.claims().name());
    let recorded = Some(rates(args.preset)).filter(|r| !r.is_empty()).unwrap_or_else(|| rates(Preset::Quick));
    let mut runner = Runner::new(&site, &folder, &plan, recorded)?;
    if args.list {
        let known: Rates = runner.recorded.clone().into_iter().chain(runner.rates()).collect();
        runner.list(fanout::on_paper(&plan, &known).as_deref());
        return Ok(0);
    }
    if args.fan.status {
        fanout::status(args, &runner, &opened.out);
        return Ok(0);
    }
    if args.redo {
        runner.forget_stale()?;
    }
    runner.refuse_stale()?;
    if args.fan.on == Engine::Slurm {
        fanout::submit(args, &runner, &opened.out)?;
        return Ok(0);
    }
    if let Some(share) = shard {
        fanout::work(&runner, share, args.fan.restarts)?;
        return Ok(0);
    }
    if !args.job.is_empty() {
        runner.some(&args.job)?;
        return Ok(0);
    }
    fanout::merge(&runner, &args.fan.merge)?;
    if !args.collect && args.fan.merge.is_empty() {
        let (title, preset, seeds) = (opened.entry.title, args.preset.name(), &opened.seeds);
        note(&format!("{title} ({preset}) on {}, seeds {seeds:?}, {} jobs", device(&site), plan.jobs().len()));
        runner.all()?;
    }
    let done = runner.collect()?;
    conclude(args, &opened, &root, &runner, &done)
}

/// The device in words.
fn device(site: &Site) -> String {
    if site.device.is_cpu() { "cpu".to_owned() } else { format!("{:?}", site.device.location()) }
}

/// What a reader must know of how it was run.
fn how(args: &Reproduce, paper: &dyn Paper, seeds: &[u64]) -> Vec<String> {
    let mut flags = Vec::new();
    if args.preset == Preset::Smallest {
        flags.push("The smallest form, for tests of the program: its numbers and verdicts mean nothing.".to_owned());
    }
    if !args.set.is_empty() {
        flags.push(format!("Not the recipe as it stands: run with --set {}.", args.set.join(" --set ")));
    }
    if seeds != paper.seeds() {
        flags.push(format!("Not the recipe's seeds, which are {:?}.", paper.seeds()));
    }
    flags
}

/// Measures, decides the claims, writes both files, and tells. A claim with a metric that is not there is an error after that: the numbers
/// of a long run are not lost to a misspelling.
fn conclude(args: &Reproduce, opened: &Opened, root: &Path, runner: &Runner<'_>, done: &Done<'_>) -> Result<u8> {
    let Opened { entry, recipes, recipe, paper, claims, seeds, code, out } = opened;
    let mut m = paper.measure(seeds, runner.site, done)?;
    m.flags.splice(0..0, how(args, &**paper, seeds));
    m.flags.extend(runner.mixed());
    let both: BTreeMap<String, Summary> =
        m.metrics.iter().chain(&m.timing).map(|(k, v)| (k.clone(), v.clone())).collect();
    let preset = args.preset.claims().name();
    let scope = Scope { preset, recorded: false, left_out: &m.left_out, caveats: &m.caveats };
    let judged = claims::judge(claims, &both, &scope)?;
    let (commit, commit_date) = places::commit(root);
    let results = Results {
        experiment: entry.slug.to_owned(),
        title: entry.title.to_owned(),
        arxiv: entry.arxiv.to_owned(),
        preset: args.preset.name().to_owned(),
        config: serde_json::to_value(recipe.table())?,
        commit,
        commit_date,
        code: code.clone(),
        versions: versions(),
        device: format!("{}, {} threads", device(runner.site), rayon::current_num_threads()),
        seeds: seeds.clone(),
        wall_s: runner.seconds(),
        rates: runner.rates(),
        claims: judged.claims,
        caveats: m.caveats,
        left_out: m.left_out,
        metrics: m.metrics,
        timing: m.timing,
        series: m.series,
        flags: m.flags,
    };
    // The numbers first: a page that cannot be drawn does not lose them.
    let json = format!("{}\n", serde_json::to_string_pretty(&results)?);
    write_whole(&out.join("results.json"), json.as_bytes())?;
    let same = args.set.is_empty().then(|| claims::compare(recipes, &results)).flatten();
    let mut page = pages::reproduction(entry, &results);
    claims::section(&mut page, &results, same.as_deref())?;
    paper.page(&results, done, &mut page)?;
    write_whole(&out.join("report.html"), pages::finish(page, &results)?.as_bytes())?;
    if args.out.is_none() {
        index::write(&root.join("target/reproduce"))?;
    }
    tell(&results, same.as_deref(), out);
    if !judged.problems.is_empty() {
        bail!("in {}: {}", recipes.join("claims.toml").display(), judged.problems.join("\n"));
    }
    let fails = results.claims.iter().any(|c| c.verdict.fails()) || !results.left_out.is_empty();
    Ok(if args.strict && fails { 3 } else { 0 })
}

/// Prints the verdicts.
fn tell(r: &Results, same: Option<&str>, out: &Path) {
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
    fn a_paper_that_was_left_out_is_no_unknown_paper() {
        let known = slugs().unwrap();
        let e = find(&[], &known[0]).err().unwrap();
        assert!(exit::code(&e) == exit::REFUSED && e.to_string().contains(&format!("without `{}`", known[0])), "{e}");
        let e = find(papers::TABLE, "xyz").err().unwrap().to_string();
        assert!(e.contains("no reproduction `xyz`") && e.contains(&known.join(", ")), "{e}");
    }

    #[test]
    fn versions_are_read_from_the_lock_file() {
        assert!(versions()["candle"].starts_with("0.11"), "{:?}", versions());
    }

    #[test]
    fn the_program_knows_the_code_of_every_paper() {
        let root = places::workspace();
        for e in papers::TABLE {
            assert_eq!(code(e.slug).unwrap(), xtask::sources::of(&root, e.slug).unwrap(), "{}", e.slug);
        }
    }
}

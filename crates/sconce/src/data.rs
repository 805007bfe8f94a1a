//! `data list|fetch|verify`.

use crate::args::{DataVerb, Places};
use crate::places;
use crate::program::Outcome;
use crate::terminal::{Output, Terminal, json};
use anyhow::{Result, bail};
use sconce_datasets::{Descriptor, Split, catalog, embedded, verify};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::PathBuf;

/// Runs a verb.
pub(crate) fn main(verb: &DataVerb, terminal: &mut Terminal) -> Result<Outcome> {
    match verb {
        DataVerb::List { data_dir, json } => {
            let out = terminal.output("--json", json.as_deref())?;
            list(&local(data_dir), out.as_ref(), terminal)
        }
        DataVerb::Fetch { name, json } => {
            let out = terminal.output("--json", json.as_deref())?;
            fetch(name, terminal)?;
            terminal.write(out.as_ref(), || crate::terminal::json("data fetch", json!({ "data": name })))?;
            Ok(Outcome::Done)
        }
        DataVerb::Verify { name, data_dir, json } => {
            let out = terminal.output("--json", json.as_deref())?;
            check(name.as_deref(), &local(data_dir), out.as_ref(), terminal)
        }
    }
}

/// This machine alone.
fn local(data_dir: &Option<PathBuf>) -> Places {
    Places { data_dir: data_dir.clone(), hub: false }
}

fn list(places: &Places, out: Option<&Output>, terminal: &Terminal) -> Result<Outcome> {
    let lookup = places::lookup(places)?;
    let (mut text, mut rows) = (String::new(), Vec::new());
    let mut row = |name: &str, what: String, found: String, licence: &str, cite: &str| {
        let _ = writeln!(text, "{name:<22} {what}\n{:22} {found}\n{:22} licence: {licence}; cite: {cite}", "", "");
        rows.push(json!({ "name": name, "contents": what, "found": found, "licence": licence, "citation": cite }));
    };
    for d in catalog::all()? {
        let (c, h, w) = d.shape;
        let what = format!("{} + {} images {c}x{h}x{w}, {} classes", d.train, d.test, d.classes.len());
        let found = match lookup.find(&d, Split::Test) {
            Ok(files) => format!("found in {}", files[0].0.parent().unwrap_or(&files[0].0).display()),
            Err(_) if lookup.load(&d, Split::Test).is_ok() => "found in the cache of the Hugging Face hub".to_owned(),
            Err(_) => "not on this machine".to_owned(),
        };
        row(&d.name, what, found, &d.licence, &d.citation);
    }
    for d in catalog::texts()? {
        let found = if lookup.load_text(&d).is_ok() { "found" } else { "not on this machine" };
        row(&d.name, format!("{}; vocabulary of {}", d.title, d.vocabulary), found.to_owned(), &d.licence, &d.citation);
    }
    let ships = || "part of this program".to_owned();
    let (train, test) = (embedded::TRAIN_PER_CLASS, embedded::TEST_PER_CLASS);
    let what = format!("the first {train} + {test} images of each class of Fashion-MNIST");
    row(places::FASHION_MNIST, what, ships(), "MIT", "Xiao, Rasul and Vollgraf: Fashion-MNIST, 2017");
    for d in catalog::made()? {
        let labels: Vec<String> = d.labels.iter().map(|l| format!("{}:{}", d.name, l.name)).collect();
        row(&labels.join(", "), d.title.clone(), ships(), &d.licence, &d.citation);
    }
    let what = "49097 rows of nine numbers, 3511 of them anomalies; the labels are the column `anomaly`".to_owned();
    row(places::SHUTTLE, what, ships(), "CC BY 4.0", "Statlog (Shuttle), UCI Machine Learning Repository");
    terminal.result(&text)?;
    terminal.write(out, || json("data list", json!({ "data": rows })))?;
    Ok(Outcome::Done)
}

fn fetch(name: &str, terminal: &Terminal) -> Result<()> {
    if [places::FASHION_MNIST, places::SHUTTLE].contains(&name) {
        terminal.result(&format!("`{name}` is part of this program: there is nothing to download"))?;
        return Ok(());
    }
    let lookup = places::lookup(&Places { data_dir: None, hub: true })?;
    if let Some(d) = catalog::texts()?.into_iter().find(|d| d.name == name) {
        terminal.note(&format!("downloading {}", d.title));
        lookup.load_text(&d)?;
        terminal.result(&format!("{name} is on this machine"))?;
        return Ok(());
    }
    let Some(d) = catalog::all()?.into_iter().find(|d| d.name == name) else {
        let names: Vec<String> =
            catalog::all()?.into_iter().map(|d| d.name).chain(catalog::texts()?.into_iter().map(|d| d.name)).collect();
        bail!("no data set `{name}`; the data sets are {}", names.join(", "));
    };
    for (split, what) in [(Split::Train, "training"), (Split::Test, "test")] {
        terminal.note(&format!("{}: downloading the {what} split, {}", d.name, d.licence));
        let images = lookup.load(&d, split).map_err(|e| places::missing(e, &d, split))?;
        terminal.result(&format!("{name}: {} {what} images are on this machine", images.len()))?;
    }
    Ok(())
}

fn check(name: Option<&str>, places: &Places, out: Option<&Output>, terminal: &Terminal) -> Result<Outcome> {
    let lookup = places::lookup(places)?;
    let all = catalog::all()?;
    let sets: Vec<&Descriptor> = all.iter().filter(|d| name.is_none_or(|n| d.name == n)).collect();
    if sets.is_empty() {
        let names: Vec<&str> = all.iter().map(|d| d.name.as_str()).collect();
        bail!("no data set `{}` has sums; those that have are {}", name.unwrap_or_default(), names.join(", "));
    }
    let (mut rows, mut bad, mut cached): (Vec<Value>, usize, bool) = (Vec::new(), 0, false);
    for d in sets {
        for split in [Split::Train, Split::Test] {
            let files = match lookup.find(d, split) {
                Ok(files) => files,
                Err(_) if lookup.load(d, split).is_ok() => {
                    let what = "decoded from the cache of the Hugging Face hub; the catalog has no sums of its files";
                    terminal.result(&format!("{:<14} {split:?}: {what}", d.name))?;
                    cached = true;
                    continue;
                }
                Err(e) if name.is_some() => return Err(places::missing(e, d, split)),
                Err(_) => {
                    terminal.note(&format!("{:<14} {split:?}: not on this machine", d.name));
                    continue;
                }
            };
            for (path, entry) in files {
                let verdict = match verify(&path, &entry) {
                    Ok(Some(true)) => "ok".to_owned(),
                    Ok(None) => "the size is right; the catalog has no sum".to_owned(),
                    Ok(Some(false)) => "DIFFERS from the catalog".to_owned(),
                    Err(e) => format!("UNREADABLE: {e}"),
                };
                bad += usize::from(verdict.starts_with(char::is_uppercase));
                terminal.result(&format!("{:<14} {}: {verdict}", d.name, path.display()))?;
                rows.push(json!({ "data": d.name, "file": path, "verdict": verdict }));
            }
        }
    }
    if rows.is_empty() && !cached {
        bail!(
            "nothing to verify: no data set of the catalog is on this machine; `sconce data list` says where they were looked for"
        );
    }
    terminal.result(&format!("{} files verified, {bad} differ", rows.len()))?;
    terminal.write(out, || json("data verify", json!({ "files": rows, "bad": bad })))?;
    Ok(if bad > 0 { Outcome::Missed(format!("{bad} files differ from the catalog")) } else { Outcome::Done })
}

//! `cargo xtask datasets list|verify|embed`.

use crate::places;
use crate::terminal::say;
use anyhow::{Context, Result, bail};
use sconce_datasets::text::{self, Corpus};
use sconce_datasets::{Descriptor, Lookup, Split, catalog, embedded, idx, verify};
use sconce_tensor_core::store::write_whole;
use std::path::Path;
use xtask::cli::DatasetsVerb;

const SPLITS: [(Split, &str, usize); 2] =
    [(Split::Train, "train", embedded::TRAIN_PER_CLASS), (Split::Test, "t10k", embedded::TEST_PER_CLASS)];

/// Runs a verb; returns the exit code.
pub fn main(verb: &DatasetsVerb) -> Result<u8> {
    match verb {
        DatasetsVerb::List { data_dir } => list(&places::lookup(data_dir.clone())),
        DatasetsVerb::Verify { name, data_dir } => check(&places::lookup(data_dir.clone()), name.as_deref()),
        DatasetsVerb::Words { name, vocabulary, out, data_dir } => {
            words(&places::lookup(data_dir.clone()), name, *vocabulary, out)
        }
        DatasetsVerb::Embed { data_dir, check } => embed(&places::lookup(data_dir.clone()), *check),
    }
}

fn list(lookup: &Lookup) -> Result<u8> {
    for d in catalog::all()? {
        let (c, h, w) = d.shape;
        let count = d.classes.len();
        say(&format!(
            "{:<14} {} + {} images {c}x{h}x{w}, {count} classes; licence: {}",
            d.name, d.train, d.test, d.licence
        ));
        match lookup.find(&d, Split::Test) {
            Ok(files) => {
                say(&format!("               found: {}", files[0].0.parent().unwrap_or(&files[0].0).display()))
            }
            Err(e) => say(&format!("               {e}")),
        }
        say(&format!("               cite: {}", d.citation));
    }
    let (train, test) = (10 * embedded::TRAIN_PER_CLASS, 10 * embedded::TEST_PER_CLASS);
    for d in catalog::texts()? {
        let found = lookup.load_text(&d).map_or_else(|e| e.to_string(), |_| "found".to_owned());
        say(&format!("{:<14} {}; vocabulary {}; licence: {}", d.name, d.title, d.vocabulary, d.licence));
        say(&format!("               {found}\n               cite: {}", d.citation));
    }
    say("austen         embedded: six novels of Jane Austen; public domain");
    say(&format!("embedded       the first {train} + {test} images of Fashion-MNIST, class by class; MIT"));
    Ok(0)
}

fn check(lookup: &Lookup, name: Option<&str>) -> Result<u8> {
    let sets: Vec<Descriptor> = match name {
        Some(n) => vec![catalog::get(n)?],
        None => catalog::all()?,
    };
    let (mut good, mut bad) = (0, 0);
    for d in &sets {
        for split in [Split::Train, Split::Test] {
            let files = match lookup.find(d, split) {
                Ok(files) => files,
                Err(e) if name.is_some() => return Err(e.into()),
                Err(_) => {
                    say(&format!("{:<14} {split:?}: not on this machine", d.name));
                    continue;
                }
            };
            for (path, entry) in files {
                let verdict = match verify(&path, &entry) {
                    Ok(Some(true)) => "ok",
                    Ok(None) => "size ok, the catalog has no sum",
                    Ok(Some(false)) => "DIFFERS from the catalog",
                    Err(e) => {
                        say(&format!("{e}"));
                        "UNREADABLE"
                    }
                };
                *(if verdict.contains("ok") { &mut good } else { &mut bad }) += 1;
                say(&format!("{:<14} {}: {verdict}", d.name, path.display()));
            }
        }
    }
    say(&format!("{good} files as they should be, {bad} not"));
    Ok(u8::from(bad > 0))
}

fn words(lookup: &Lookup, name: &str, size: usize, out: &Path) -> Result<u8> {
    let parts = text::named(name, lookup)?;
    let corpus = Corpus::new(&parts, Some(size).filter(|s| *s > 0))?;
    std::fs::create_dir_all(out).with_context(|| format!("{}", out.display()))?;
    let files = [("train.txt", &corpus.train), ("valid.txt", &corpus.validation), ("test.txt", &corpus.test)];
    for (file, ids) in files {
        let path = out.join(file);
        write_whole(&path, corpus.vocabulary.decode(ids)?.as_bytes())?;
        say(&format!("{}: {} words of {}", path.display(), ids.len(), corpus.vocabulary.len()));
    }
    let path = out.join("vocabulary.txt");
    write_whole(&path, corpus.vocabulary.to_lines().as_bytes())?;
    say(&format!("{}", path.display()));
    Ok(0)
}

fn embed(lookup: &Lookup, only_check: bool) -> Result<u8> {
    let d = catalog::get("fashion-mnist")?;
    let folder = places::workspace().join("datasets/embedded/fashion-mnist");
    let mut differs = 0;
    for (split, prefix, per_class) in SPLITS {
        for (path, entry) in lookup.find(&d, split)? {
            if verify(&path, &entry)? != Some(true) {
                bail!("{} is not the file that the catalog names", path.display());
            }
        }
        let part = lookup.load(&d, split)?.balanced(per_class)?;
        let (_, h, w) = part.shape;
        let images = idx::Array { dims: vec![part.len(), h, w], values: part.pixels };
        let labels = idx::Array { dims: vec![part.labels.len()], values: part.labels };
        for (kind, array) in [("images-idx3", images), ("labels-idx1", labels)] {
            let path = folder.join(format!("{prefix}-{kind}-ubyte.gz"));
            // Compared by content: another version of the compressor may pack it differently.
            let same = idx::read(&path).is_ok_and(|found| found == array);
            if only_check {
                say(&format!("{}: {}", path.display(), if same { "same" } else { "DIFFERS" }));
                differs += u8::from(!same);
            } else {
                let bytes = idx::to_gz(&array)?;
                write_whole(&path, &bytes).with_context(|| format!("{}", path.display()))?;
                say(&format!("{}: {} bytes", path.display(), bytes.len()));
            }
        }
    }
    Ok(u8::from(differs > 0))
}

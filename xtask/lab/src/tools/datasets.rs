//! `cargo xtask datasets words|embed`.

use crate::places;
use crate::terminal::say;
use anyhow::{Context, Result, bail};
use sconce::places::lookup;
use sconce_datasets::text::{self, Corpus};
use sconce_datasets::{Lookup, Split, catalog, embedded, idx, verify};
use sconce_tensor_core::store::write_whole;
use std::path::Path;
use xtask::cli::DatasetsVerb;

const SPLITS: [(Split, &str, usize); 2] =
    [(Split::Train, "train", embedded::TRAIN_PER_CLASS), (Split::Test, "t10k", embedded::TEST_PER_CLASS)];

/// Runs a verb; returns the exit code.
pub fn main(verb: &DatasetsVerb) -> Result<u8> {
    match verb {
        DatasetsVerb::Words { name, vocabulary, out, places } => words(&lookup(places)?, name, *vocabulary, out),
        DatasetsVerb::Embed { places, check } => embed(&lookup(places)?, *check),
    }
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

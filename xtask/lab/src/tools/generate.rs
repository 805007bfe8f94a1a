//! `cargo xtask generate`: text drawn from a trained language model.

use xtask::cli::Generate;
use crate::terminal::say;
use anyhow::{Context, Result, bail};
use sconce_activations::language::{LanguageModel, SampleConfig, sample};
use sconce_activations::output_of;
use sconce_datasets::text::{Vocabulary, read};
use sconce_tensor_core::{Device, Rng};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Loads the model, draws, prints; returns the exit code.
pub fn main(args: &Generate) -> Result<u8> {
    let words = match &args.vocabulary {
        Some(path) => path.clone(),
        None => beside(&args.model)?,
    };
    let vocabulary = vocabulary(&words)?;
    let model = LanguageModel::load(&args.model, &vocabulary.digest(), |n| Ok(Arc::new(output_of(n)?)), &Device::Cpu)?;
    let start = match &args.start {
        // Its words, without the end of the line.
        Some(text) => vocabulary.encode(text)?.into_iter().filter(|w| *w != vocabulary.end_of_line()).collect(),
        None => vec![vocabulary.end_of_line()],
    };
    let cfg = SampleConfig { words: args.words, temperature: args.temperature };
    let drawn = sample(&model, &start, &[vocabulary.unknown()], &cfg, &Rng::new(args.seed))?;
    let all = if args.start.is_some() { [start, drawn].concat() } else { drawn };
    say(vocabulary.decode(&all)?.trim_end());
    Ok(0)
}

/// `austen.vocabulary.txt` for `austen-softmax-0.model.safetensors`: the one whose name the model's starts with.
fn beside(model: &Path) -> Result<PathBuf> {
    let folder = model.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let found = entries.flatten().map(|e| e.path()).find(|p| {
        let file = p.file_name().unwrap_or_default().to_string_lossy().into_owned();
        file.strip_suffix(".vocabulary.txt").is_some_and(|text| name.starts_with(&format!("{text}-")))
    });
    match found {
        Some(path) => Ok(path),
        None => bail!("{}: no <text>.vocabulary.txt beside {name}; name it with --vocabulary", folder.display()),
    }
}

/// Reads lines of a word and its count.
fn vocabulary(path: &Path) -> Result<Vocabulary> {
    Vocabulary::from_lines(&read(path)?).with_context(|| format!("{}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_counts_or_a_line_that_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("austen.vocabulary.txt");
        std::fs::write(&path, "the 5\n<eos> 3\n<unk> 0\n").unwrap();
        assert_eq!(vocabulary(&path).unwrap().words(), ["the", "<eos>", "<unk>"]);
        assert_eq!(beside(&dir.path().join("austen-softmax-0.model.safetensors")).unwrap(), path);
        assert!(beside(&dir.path().join("other-softmax-0.model.safetensors")).is_err());
        std::fs::write(&path, "the 5\n<eos>\n").unwrap();
        assert!(format!("{:#}", vocabulary(&path).unwrap_err()).contains("line 2"));
    }
}

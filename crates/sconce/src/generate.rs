//! `generate`: text sampled from a trained language model.

use crate::args::Generate;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::{Context, Result, bail};
use sconce_activations::language::{LanguageModel, SampleConfig, sample};
use sconce_activations::output_of;
use sconce_datasets::text::{Vocabulary, read};
use sconce_tensor_core::{Device, Rng};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Loads the model, samples, prints.
pub(crate) fn main(args: &Generate, terminal: &mut Terminal) -> Result<Outcome> {
    let out = terminal.output("--json", args.json.as_deref())?;
    let words = match &args.vocabulary {
        Some(path) => path.clone(),
        None => beside(&args.model)?,
    };
    let vocabulary = vocabulary(&words)?;
    let model = LanguageModel::load(&args.model, &vocabulary.digest(), |n| Ok(Arc::new(output_of(n)?)), &Device::Cpu)?;
    let start = match &args.start {
        // Its words, without the end of the line.
        Some(text) => vocabulary
            .encode(&known(text, &vocabulary))?
            .into_iter()
            .filter(|w| *w != vocabulary.end_of_line())
            .collect(),
        None => vec![vocabulary.end_of_line()],
    };
    if let Some(text) = &args.start {
        // A vocabulary has its own letters: it may be in lower case, and lacks words.
        let read = vocabulary.decode(&start)?;
        if !read.split_whitespace().eq(text.split_whitespace()) {
            terminal.note(&format!("the start is read as `{}`: as the vocabulary writes its words", read.trim()));
        }
    }
    let cfg = SampleConfig { words: args.words, temperature: args.temperature };
    let drawn = sample(&model, &start, &[vocabulary.unknown()], &cfg, &Rng::new(args.seed))?;
    let all = if args.start.is_some() { [start, drawn].concat() } else { drawn };
    let text = vocabulary.decode(&all)?;
    terminal.result(&text)?;
    terminal.write(out.as_ref(), || {
        let fields = json!({ "model": args.model, "words": args.words, "temperature": args.temperature, "seed": args.seed, "text": text.trim_end() });
        json("generate", fields)
    })?;
    Ok(Outcome::Done)
}

/// The text with the words that the vocabulary has in lower case alone written so.
fn known(text: &str, vocabulary: &Vocabulary) -> String {
    let word = |w: &str| {
        let lower = w.to_lowercase();
        let unknown = |w: &str| vocabulary.id(w) == vocabulary.unknown();
        if unknown(w) && !unknown(&lower) { lower } else { w.to_owned() }
    };
    let line = |l: &str| l.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// `seed0.vocabulary.txt` for `seed0.model.safetensors`: the job that trained the model left both.
fn beside(model: &Path) -> Result<PathBuf> {
    let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some(stem) = name.strip_suffix(".model.safetensors") else {
        bail!("{}: not named <name>.model.safetensors, so name its words with --vocabulary", model.display());
    };
    let words = model.with_file_name(format!("{stem}.vocabulary.txt"));
    if !words.exists() {
        bail!("no {} beside the model; name its words with --vocabulary", words.display());
    }
    Ok(words)
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
        let path = dir.path().join("seed0.vocabulary.txt");
        std::fs::write(&path, "the 5\n<eos> 3\n<unk> 0\n").unwrap();
        assert_eq!(vocabulary(&path).unwrap().words(), ["the", "<eos>", "<unk>"]);
        assert_eq!(beside(&dir.path().join("seed0.model.safetensors")).unwrap(), path);
        let words = vocabulary(&path).unwrap();
        assert_eq!(known("The THE cat\nthe", &words), "the the cat\nthe");
        for other in ["seed1.model.safetensors", "seed0.safetensors"] {
            let e = beside(&dir.path().join(other)).unwrap_err().to_string();
            assert!(e.contains("--vocabulary"), "{e}");
        }
        std::fs::write(&path, "the 5\n<eos>\n").unwrap();
        assert!(format!("{:#}", vocabulary(&path).unwrap_err()).contains("line 2"));
    }
}

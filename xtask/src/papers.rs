//! Which part of the lab a reproduction needs: every paper is a feature of it, so that no other paper is compiled before one starts.

use crate::shell::workspace;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;
use xtask::cli::Reproduce;

/// The features of the lab, each with those that it turns on.
pub fn features(root: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    #[derive(serde::Deserialize)]
    struct Manifest {
        features: BTreeMap<String, Vec<String>>,
    }
    let path = root.join("xtask/lab/Cargo.toml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    let manifest: Manifest = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
    Ok(manifest.features)
}

/// The features that a reproduction needs: its paper, and each `<slug>-<word>` whose word is in its recipe or in a `--set`.
pub fn needed(args: &Reproduce) -> Result<Vec<String>> {
    let root = workspace();
    let mut words = args.set.join("\n");
    // The smallest form is quick with other values.
    for preset in [args.preset, args.preset.claims()] {
        let path = root.join("xtask/recipes").join(&args.slug).join(format!("{}.toml", preset.name()));
        words += &std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    }
    Ok(of(&args.slug, &words, features(&root)?.keys()))
}

fn of<'a>(slug: &str, words: &str, all: impl Iterator<Item = &'a String>) -> Vec<String> {
    let besides = |f: &&String| {
        let word = f.strip_prefix(slug).and_then(|rest| rest.strip_prefix('-'));
        word.is_some_and(|w| words.contains(w))
    };
    std::iter::once(slug.to_owned()).chain(all.filter(besides).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use xtask::cli::{Cli, Command};

    fn needs(more: &[&str]) -> Vec<String> {
        let words = [&["xtask", "reproduce"], more].concat();
        match Cli::try_parse_from(words).unwrap().command {
            Command::Reproduce(args) => needed(&args).unwrap(),
            _ => panic!("not a reproduction"),
        }
    }

    #[test]
    fn a_reproduction_needs_its_paper_and_what_its_recipe_names() {
        for preset in ["smallest", "quick"] {
            assert_eq!(needs(&["absum", "--preset", preset]), ["absum"]);
        }
        let both = ["absum", "absum-spectral"];
        assert_eq!(needs(&["absum", "--preset", "full"]), both);
        assert_eq!(needs(&["absum", "--shard", "1/2", "--set", "arms.1.name=\"spectral\""]), both);
        assert_eq!(needs(&["mp-ssl"]), ["mp-ssl"]);
    }

    #[test]
    fn a_word_counts_after_the_slug_alone() {
        let all = ["a".to_owned(), "a-b".to_owned(), "ab-c".to_owned(), "b".to_owned()];
        assert_eq!(of("a", "b and c", all.iter()), ["a", "a-b"]);
        assert_eq!(of("a", "nothing", all.iter()), ["a"]);
    }
}

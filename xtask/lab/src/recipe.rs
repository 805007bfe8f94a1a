//! Recipes: TOML with every value spelled out, overrides from the command line, unknown keys refused.

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use toml::{Table, Value};
use xtask::cli::Preset;

/// A recipe with its overrides.
#[derive(Debug)]
pub struct Recipe {
    path: PathBuf,
    text: String,
    table: Table,
}

impl Recipe {
    /// Reads the recipe of a preset and applies `key=value` overrides. `smallest.toml` is a table of overrides of quick.
    pub fn read(folder: &Path, preset: Preset, overrides: &[String]) -> Result<Self> {
        let read = |name: &str| -> Result<(PathBuf, String)> {
            let path = folder.join(format!("{name}.toml"));
            let text = std::fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
            Ok((path, text))
        };
        let (path, text) = read(preset.claims().name())?;
        let mut all = Vec::new();
        if preset == Preset::Smallest {
            let (path, text) = read(preset.name())?;
            let place = || format!("{}", path.display());
            let less: Table = toml::from_str(&text).with_context(place)?;
            if let Some(k) = less.iter().find(|(_, v)| v.is_table()).map(|(k, _)| k) {
                bail!(
                    "{}: `{k}` would replace a whole table: write `\"{k}.key\" = value`, with its quotes",
                    path.display()
                );
            }
            all.extend(less.iter().map(|(k, v)| format!("{k}={v}")));
        }
        all.extend_from_slice(overrides);
        Self::new(path, text, &all)
    }

    fn new(path: PathBuf, text: String, overrides: &[String]) -> Result<Self> {
        let mut table: Table = toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
        for o in overrides {
            set(&mut table, o)?;
        }
        Ok(Self { path, text, table })
    }

    /// The merged values, as they enter the results file.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The values as a configuration; unknown keys are refused.
    pub fn open<C: DeserializeOwned>(&self) -> Result<C> {
        // The text is checked first, so that an error shows the place in the file.
        let place = || format!("{}", self.path.display());
        toml::from_str::<C>(&self.text).map_err(|e| anyhow!("{}", explain(&e))).with_context(place)?;
        let merged = Value::Table(self.table.clone()).try_into();
        merged.map_err(|e| anyhow!("with --set: {}", explain(&e))).with_context(place)
    }
}

/// The parser's message; for an unknown key with the nearest valid one.
fn explain(e: &toml::de::Error) -> String {
    let message = e.to_string();
    let names: Vec<&str> = e.message().split('`').skip(1).step_by(2).collect();
    let Some((unknown, valid)) = names.split_first().filter(|_| e.message().contains("unknown")) else {
        return message;
    };
    let nearest =
        valid.iter().max_by(|a, b| strsim::jaro_winkler(unknown, a).total_cmp(&strsim::jaro_winkler(unknown, b)));
    match nearest {
        Some(n) => format!("{message}\nunknown key `{unknown}`; did you mean `{n}`?"),
        None => message,
    }
}

fn set(table: &mut Table, assignment: &str) -> Result<()> {
    let (key, text) = assignment.split_once('=').ok_or_else(|| anyhow!("--set {assignment}: needs KEY=VALUE"))?;
    // A bare word is a string.
    let value = match toml::from_str::<Table>(&format!("v = {text}")) {
        Ok(mut t) => t.remove("v").unwrap_or(Value::Boolean(false)),
        Err(_) => Value::String(text.to_owned()),
    };
    let mut root = Value::Table(table.clone());
    let mut at = &mut root;
    for part in key.trim().split('.') {
        at = match at {
            Value::Table(t) => {
                let keys: Vec<String> = t.keys().cloned().collect();
                t.get_mut(part).ok_or_else(|| anyhow!("--set {key}: no `{part}` among {keys:?}"))?
            }
            Value::Array(a) => {
                let len = a.len();
                let found = part.parse::<usize>().ok().and_then(|i| a.get_mut(i));
                found.ok_or_else(|| anyhow!("--set {key}: `{part}` is no index of a list of {len}"))?
            }
            _ => bail!("--set {key}: nothing lies below a plain value"),
        };
    }
    // A whole number where the recipe has a fraction is meant as one.
    *at = match (&*at, value) {
        (Value::Float(_), Value::Integer(i)) => Value::Float(i as f64),
        (_, v) => v,
    };
    if let Value::Table(t) = root {
        *table = t;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        train: Train,
        arms: Vec<f64>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Train {
        lr: f64,
        #[allow(dead_code)]
        epochs: usize,
    }

    const TEXT: &str = "arms = [1.0, 2.0]\n[train]\nlr = 0.1\nepochs = 3\n";

    fn parse(text: &str, overrides: &[&str]) -> Result<(Config, Table)> {
        let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
        let recipe = Recipe::new("mine.toml".into(), text.to_owned(), &overrides)?;
        Ok((recipe.open()?, recipe.table))
    }

    fn refused(text: &str, overrides: &[&str]) -> String {
        format!("{:#}", parse(text, overrides).unwrap_err())
    }

    #[test]
    fn overrides_replace_values() {
        let (c, t) = parse(TEXT, &["train.lr=1", "arms.1=0.5"]).unwrap();
        assert_eq!((c.train.lr, t["arms"][1].as_float()), (1.0, Some(0.5)));
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        let e = refused(&TEXT.replace("epochs", "epocs"), &[]);
        assert!(e.contains("mine.toml") && e.contains("did you mean `epochs`?") && e.contains("line 4"), "{e}");
        let e = refused(TEXT, &["train.rl=1"]);
        assert!(e.contains("no `rl` among"), "{e}");
        assert!(parse(TEXT, &["train.lr=fast"]).is_err());
        assert!(parse(TEXT, &["nonsense"]).is_err());
    }

    #[test]
    fn smallest_is_quick_with_other_values() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("quick.toml"), TEXT).unwrap();
        std::fs::write(dir.path().join("smallest.toml"), "\"train.epochs\" = 1\narms = [0.5]\n").unwrap();
        let of = |preset| Recipe::read(dir.path(), preset, &["train.lr=0.5".to_owned()]).unwrap();
        let (small, quick) = (of(Preset::Smallest), of(Preset::Quick));
        let values = |r: &Recipe| (r.table["train"]["epochs"].as_integer(), r.table["train"]["lr"].as_float());
        assert_eq!((values(&small), values(&quick)), ((Some(1), Some(0.5)), (Some(3), Some(0.5))));
        assert_eq!(small.open::<Config>().unwrap().arms, [0.5]);
    }
}

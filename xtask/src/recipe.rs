//! Recipes: TOML with every value spelled out, overrides from the command line, unknown keys refused.

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::{Table, Value};

/// Reads a recipe, applies `key=value` overrides and checks it against the configuration's type.
/// Returns the configuration and the merged values as they enter the results file.
pub fn load<C: DeserializeOwned>(path: &Path, overrides: &[String]) -> Result<(C, Table)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    parse(&text, overrides).with_context(|| format!("{}", path.display()))
}

fn parse<C: DeserializeOwned>(text: &str, overrides: &[String]) -> Result<(C, Table)> {
    // The text is checked first, so that an error shows the place in the file.
    toml::from_str::<C>(text).map_err(|e| anyhow!("{}", explain(&e)))?;
    let mut table: Table = toml::from_str(text)?;
    for o in overrides {
        set(&mut table, o)?;
    }
    let config = Value::Table(table.clone()).try_into().map_err(|e| anyhow!("with --set: {}", explain(&e)))?;
    Ok((config, table))
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
        #[allow(dead_code)]
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

    #[test]
    fn overrides_replace_values() {
        let (c, t) = parse::<Config>(TEXT, &["train.lr=1".to_owned(), "arms.1=0.5".to_owned()]).unwrap();
        assert_eq!((c.train.lr, t["arms"][1].as_float()), (1.0, Some(0.5)));
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        let e = parse::<Config>(&TEXT.replace("epochs", "epocs"), &[]).unwrap_err().to_string();
        assert!(e.contains("unknown key `epocs`; did you mean `epochs`?") && e.contains("line 4"), "{e}");
        let e = parse::<Config>(TEXT, &["train.rl=1".to_owned()]).unwrap_err().to_string();
        assert!(e.contains("no `rl` among"), "{e}");
        assert!(parse::<Config>(TEXT, &["train.lr=fast".to_owned()]).is_err());
        assert!(parse::<Config>(TEXT, &["nonsense".to_owned()]).is_err());
    }
}

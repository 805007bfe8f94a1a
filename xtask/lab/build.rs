//! Writes the digests of the code that this program is built from to `$OUT_DIR/code.json`, paper by paper.

#[path = "../src/sources.rs"]
#[allow(dead_code, unreachable_pub)]
mod sources;

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

fn main() -> Result<()> {
    let here = std::env::var("CARGO_MANIFEST_DIR")?;
    let root = Path::new(&here).ancestors().nth(2).context("the workspace")?;
    for part in [
        "crates",
        "datasets/src",
        "datasets/embedded",
        "datasets/catalog",
        "xtask/lab/src",
        "xtask/src/sources.rs",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    let mut all = BTreeMap::new();
    for paper in std::fs::read_dir(root.join("xtask/lab/src/papers"))? {
        let path = paper?.path();
        if path.is_dir() {
            let slug = path.file_name().unwrap_or_default().to_string_lossy().replace('_', "-");
            all.insert(slug.clone(), sources::of(root, &slug)?);
        }
    }
    let out = std::env::var("OUT_DIR")?;
    Ok(std::fs::write(Path::new(&out).join("code.json"), serde_json::to_vec(&all)?)?)
}

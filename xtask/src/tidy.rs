//! `cargo xtask tidy`: the house rules that no other tool checks.

use crate::shell::workspace;
use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::path::{Path, PathBuf};

/// Past this many lines a file is split by idea.
const MOST_LINES: usize = 500;
/// Largest package, in bytes, that the registry takes.
const MOST_BYTES: u64 = 10_000_000;

/// Who may depend on whom inside the workspace: the arrows of ARCHITECTURE.md.
fn allowed(from: &str, to: &str) -> bool {
    let leaf = |n: &str| {
        ["activations", "regularizers", "attacks", "anomaly", "ssl", "gan", "theory", "onnx", "datasets"]
            .iter()
            .any(|l| n == format!("sconce-{l}"))
    };
    let programs = ["sconce-lab", "sconce-bench"];
    match from {
        // The command line of `sconce` without its program: forwarded commands answer at once.
        "xtask" => to == "sconce",
        // They share the command line; `oracle` prints the table of the golden values that the tests compare with.
        "sconce-lab" | "sconce-bench" => !programs.contains(&to),
        "sconce-tests" => {
            !programs.contains(&to) && !["xtask", "sconce", "sconce-tests", "sconce-report"].contains(&to)
        }
        // The kit for pages has none of our crates in it, and only programs make pages.
        "sconce-report" => false,
        "sconce" => leaf(to) || ["sconce-tensor-core", "sconce-report"].contains(&to),
        _ if leaf(from) => to == "sconce-tensor-core",
        _ => false,
    }
}

fn arrows(meta: &Metadata) -> Vec<String> {
    let members: Vec<&str> = meta.workspace_packages().iter().map(|p| p.name.as_str()).collect();
    let mut wrong = Vec::new();
    for p in meta.workspace_packages() {
        for d in p.dependencies.iter().filter(|d| members.contains(&d.name.as_str())) {
            if !allowed(p.name.as_str(), &d.name) {
                wrong.push(format!("{}: must not depend on {} ({:?})", p.name, d.name, d.kind));
            }
            if p.name.as_str() == "xtask" && (d.uses_default_features || !d.features.is_empty()) {
                wrong.push(format!("xtask: {} without features: its program has candle in it", d.name));
            }
        }
        // Versions are written at the top alone.
        let text = std::fs::read_to_string(&p.manifest_path).unwrap_or_default();
        let section = |k| if k == DependencyKind::Development { "dev-dependencies" } else { "dependencies" };
        for d in &p.dependencies {
            let inherits = |l: &str| {
                let l = l.trim_start();
                l.starts_with(&format!("{}.workspace", d.name))
                    || (l.starts_with(&format!("{} =", d.name)) && l.contains("workspace = true"))
            };
            if !text.lines().any(inherits) {
                wrong.push(format!("{}: [{}] {} must be `workspace = true`", p.name, section(d.kind), d.name));
            }
        }
    }
    wrong
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_none_or(|n| n != "target" && n != ".git") {
            sources(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    Ok(())
}

fn files(root: &Path) -> Result<Vec<String>> {
    let (mut paths, mut wrong) = (Vec::new(), Vec::new());
    sources(root, &mut paths)?;
    for path in paths {
        let text = std::fs::read_to_string(&path)?;
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let lines = text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!("{name}: {lines} lines; past {MOST_LINES} a file is split by idea"));
        }
        if !text.starts_with("//!") && !text.starts_with("#![doc") {
            wrong.push(format!("{name}: starts without a line that says what it is (`//! ...`)"));
        }
        let kernels = name.replace('\\', "/").contains("ops/cpu/");
        if text.contains("allow(unsafe_code)") && !kernels && !name.ends_with("tidy.rs") {
            wrong.push(format!("{name}: unsafe code is allowed in ops/cpu alone"));
        }
        let opens = |l: &str| l.ends_with("unsafe {") || (l.contains("unsafe { ") && !l.contains('"'));
        for (i, l) in text.lines().enumerate().filter(|(_, l)| opens(l)) {
            let above = text.lines().take(i).collect::<Vec<_>>();
            let said = above.iter().rev().take(4).any(|l| l.contains("SAFETY:"));
            if !said {
                wrong.push(format!("{name}:{}: an unsafe block without its SAFETY line: {}", i + 1, l.trim()));
            }
        }
    }
    Ok(wrong)
}

fn packages(meta: &Metadata, root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for p in meta.workspace_packages() {
        if p.publish.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let folder = p.manifest_path.parent().map_or_else(|| root.to_path_buf(), |f| f.as_std_path().to_path_buf());
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            if !folder.join(file).is_file() {
                wrong.push(format!("{}: {file} is missing", p.name));
            }
        }
        for (what, there) in [("description", p.description.is_some()), ("license", p.license.is_some())] {
            if !there {
                wrong.push(format!("{}: no {what}", p.name));
            }
        }
        let folder_name = folder.file_name().unwrap_or_default().to_string_lossy();
        // The program has the family's name.
        let expected = if folder_name == "sconce" { "sconce".to_owned() } else { format!("sconce-{folder_name}") };
        if p.name.as_str() != expected {
            wrong.push(format!("{}: a package is named sconce- and its folder, so {expected}", p.name));
        }
        let size = folder_bytes(&folder);
        if size > MOST_BYTES {
            wrong.push(format!("{}: {size} bytes; a package is at most {MOST_BYTES}", p.name));
        }
    }
    wrong
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|e| if e.path().is_dir() { folder_bytes(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) }).sum()
}

/// Each paper has all of its recipes, its folder in the lab with its feature and its line in the table, and its name in README.md; and no other
/// file of the programs names it.
fn papers(root: &Path) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    let (table, readme) = (read("xtask/lab/src/papers/mod.rs")?, read("README.md")?);
    let slugs = |folder: &str| -> Result<Vec<String>> {
        let entries = std::fs::read_dir(root.join(folder)).with_context(|| folder.to_owned())?.flatten();
        let mut names: Vec<String> =
            entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    };
    let recipes = slugs("xtask/recipes")?;
    let features = crate::papers::features(root)?;
    let all = features.get("all").map_or(&[][..], Vec::as_slice);
    // Devices and downloads are asked for; everything else is in the lab that is built by default.
    let asked = ["all", "default", "hub", "cuda", "cudnn", "metal"];
    for feature in features.keys().filter(|f| !asked.contains(&f.as_str()) && !all.contains(*f)) {
        wrong.push(format!("xtask/lab/Cargo.toml: the feature `all` lacks `{feature}`"));
    }
    for slug in &recipes {
        for file in ["claims.toml", "smallest.toml", "quick.toml", "full.toml", "paper.toml"] {
            if !root.join("xtask/recipes").join(slug).join(file).is_file() {
                wrong.push(format!("xtask/recipes/{slug}: {file} is missing"));
            }
        }
        let room = slug.replace('-', "_");
        if !root.join("xtask/lab/src/papers").join(&room).is_dir() {
            wrong.push(format!("xtask/lab/src/papers/{room}: the paper of xtask/recipes/{slug} is missing"));
        }
        // How metrics come from outputs counts in the digest of the code, but not in that of the jobs; pages in neither.
        for path in xtask::sources::every(&root.join("xtask/lab/src/papers").join(&room))? {
            let (name, text) =
                (path.file_name().unwrap_or_default().to_string_lossy(), std::fs::read_to_string(&path)?);
            let place = path.strip_prefix(root).unwrap_or(&path).display();
            if (name == "mod.rs" || name == "page.rs") && text.contains("impl Job for") {
                wrong.push(format!(
                    "{place}: a job has a file of its own: this one does not count in the digest of its code"
                ));
            }
            if name != "page.rs" && text.replace("page::write(", "").contains("page::") {
                wrong.push(format!(
                    "{place}: uses more of its page than `page::write`: pages do not count in the digest of the code"
                ));
            }
        }
        if !table.contains(&format!("{room}::PAPER")) {
            wrong.push(format!("xtask/lab/src/papers/mod.rs: `{slug}` is not in the table"));
        }
        let gate = format!("#[cfg(feature = \"{slug}\")]");
        if !features.contains_key(slug) || table.matches(&gate).count() != 2 {
            wrong.push(format!(
                "xtask/lab: `{slug}` is no feature of Cargo.toml by which its module and its line in papers/mod.rs are compiled"
            ));
        }
        if !readme.contains(&format!("`{slug}`")) {
            wrong.push(format!("README.md: does not name `{slug}`"));
        }
    }
    for room in slugs("xtask/lab/src/papers")? {
        if !recipes.contains(&room.replace('_', "-")) {
            wrong.push(format!("xtask/lab/src/papers/{room}: has no recipes"));
        }
    }
    for path in [
        "xtask/src/cli.rs",
        "xtask/src/main.rs",
        "xtask/src/shell.rs",
        "xtask/lab/src/main.rs",
        "xtask/lab/src/reproduce.rs",
    ] {
        let text = read(path)?;
        for slug in recipes.iter().filter(|s| text.contains(&format!("\"{s}\""))) {
            wrong.push(format!("{path}: names `{slug}`; a paper is its two folders and its line in the table"));
        }
    }
    Ok(wrong)
}

fn catalog(root: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    for d in std::fs::read_dir(root.join("datasets/catalog")).into_iter().flatten().flatten() {
        let name = d.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let catalog = std::fs::read_to_string(root.join("datasets/src/catalog.rs")).unwrap_or_default();
        if !catalog.contains(&format!("../catalog/{name}.toml")) {
            wrong.push(format!("datasets/catalog/{name}.toml: not in datasets/src/catalog.rs"));
        }
    }
    wrong
}

/// Checks everything and prints what is wrong; returns the exit code.
pub fn main() -> Result<u8> {
    let root = workspace();
    let meta = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let mut wrong = arrows(&meta);
    wrong.extend(files(&root)?);
    wrong.extend(packages(&meta, &root));
    wrong.extend(papers(&root)?);
    wrong.extend(catalog(&root));
    for top in ["ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "REPRODUCTIONS.md", "deny.toml"] {
        if !root.join(top).is_file() {
            wrong.push(format!("{top} is missing"));
        }
    }
    wrong.iter().for_each(|w| say!("tidy: {w}"));
    say!("tidy: {} things to put right", wrong.len());
    Ok(u8::from(!wrong.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_inwards() {
        assert!(allowed("sconce-attacks", "sconce-tensor-core") && allowed("sconce-lab", "sconce-gan"));
        assert!(
            allowed("sconce-lab", "xtask") && !allowed("xtask", "sconce-gan") && !allowed("sconce-bench", "sconce-lab")
        );
        assert!(!allowed("sconce-attacks", "sconce-regularizers") && !allowed("sconce-tensor-core", "sconce-datasets"));
        assert!(!allowed("sconce-tests", "xtask") && allowed("sconce-lab", "sconce-tests"));
        assert!(["sconce-lab", "sconce-bench", "sconce"].iter().all(|from| allowed(from, "sconce-report")));
        for from in ["sconce-tensor-core", "sconce-attacks", "sconce-datasets", "sconce-tests", "xtask"] {
            assert!(!allowed(from, "sconce-report") && !allowed("sconce-report", from), "{from}");
        }
        assert!(
            !allowed("sconce-attacks", "sconce") && !allowed("sconce", "xtask") && !allowed("sconce", "sconce-lab")
        );
        assert!(allowed("xtask", "sconce") && allowed("sconce-lab", "sconce") && !allowed("sconce-tests", "sconce"));
    }

    #[test]
    fn a_long_file_and_a_bare_unsafe_block_are_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.rs"), "//! Long.\n".repeat(501)).unwrap();
        std::fs::write(dir.path().join("b.rs"), "fn f() {\n    unsafe { g() }\n}\n").unwrap();
        let wrong = files(dir.path()).unwrap().join("\n");
        for want in ["501 lines", "b.rs: starts without", "b.rs:2: an unsafe block"] {
            assert!(wrong.contains(want), "{wrong}");
        }
    }
}

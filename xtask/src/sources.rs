//! The digest of the code that a paper's numbers depend on: comments, docs, tests, pages and programs do not count.
//!
//! `lab`'s build script compiles this file too, so that a program knows the code that it was built from, also where that is not at hand.

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A digest for each part of the code: the `paper`'s jobs, its `metrics` (`mod.rs`: how they come from the jobs' outputs), the `pieces` of
/// the lab that it names, the `engine` that runs jobs, each crate by its name, and the `dependencies` of all of these.
pub type Code = BTreeMap<String, String>;

/// The part that no job depends on.
pub const METRICS: &str = "metrics";

/// Packages that reach no number: what they depend on does not count. They fetch, test, and read arguments.
const ASIDE: [&str; 6] = ["hf-hub", "ureq", "tokenizers", "clap", "proptest", "tempfile"];

/// The digest of the code of a paper, in the workspace at `root`.
///
/// # Errors
/// A file that cannot be read, or that is not Rust.
pub fn of(root: &Path, slug: &str) -> Result<Code> {
    let lab = root.join("xtask/lab/src");
    let mut paper = rust(&lab.join("papers").join(slug.replace('-', "_")))?;
    paper.retain(|p| p.file_name().is_none_or(|n| n != "page.rs"));
    let (metrics, paper): (Vec<_>, Vec<_>) = paper.into_iter().partition(|p| stem(p) == "mod");
    let mut all = text(&metrics)? + &text(&paper)?;
    // A piece counts where the paper names it, or a piece that counts.
    let mut open = rust(&lab.join("pieces"))?;
    let mut pieces = Vec::new();
    while let Some(at) = open.iter().position(|p| all.contains(&format!("{}::", stem(p)))) {
        let piece = open.remove(at);
        all += &read(&piece)?;
        pieces.push(piece);
    }
    pieces.sort();
    let mut engine = rust(&lab.join("jobs"))?;
    engine.retain(|p| stem(p) != "run");
    let mut code = Code::from([
        ("paper".to_owned(), digest(root, &paper)?),
        (METRICS.to_owned(), digest(root, &metrics)?),
        ("pieces".to_owned(), digest(root, &pieces)?),
        ("engine".to_owned(), digest(root, &engine)?),
    ]);
    let mut crates: Vec<String> = folders(&root.join("crates"))?;
    crates.push("datasets".to_owned());
    let mut packages = Vec::new();
    for name in crates {
        let folder = if name == "datasets" { root.join(&name) } else { root.join("crates").join(&name) };
        if name == "tensor-core" || all.contains(&format!("sconce_{}", name.replace('-', "_"))) {
            let mut files = rust(&folder.join("src"))?;
            files.extend(every(&folder.join("embedded"))?);
            files.extend(every(&folder.join("catalog"))?);
            packages.push(format!("sconce-{name}"));
            code.insert(name, digest(root, &files)?);
        }
    }
    code.insert("dependencies".to_owned(), locked(&read(root.join("Cargo.lock"))?, packages)?);
    Ok(code)
}

fn text(files: &[PathBuf]) -> Result<String> {
    Ok(files.iter().map(read).collect::<Result<Vec<_>>>()?.join("\n"))
}

/// The parts in which two digests differ.
pub fn difference(old: &Code, new: &Code) -> Vec<String> {
    let parts: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    parts.into_iter().filter(|p| old.get(*p) != new.get(*p)).cloned().collect()
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    std::fs::read_to_string(&path).with_context(|| format!("{}", path.as_ref().display()))
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn folders(of: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(of).with_context(|| format!("{}", of.display()))?;
    let mut names = Vec::new();
    for e in entries {
        let e = e?;
        if e.path().join("src").is_dir() {
            names.push(e.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Every file below a folder, in order; none where there is no such folder.
pub fn every(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if folder.is_dir() {
        for e in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
            let path = e?.path();
            if path.is_dir() { found.extend(every(&path)?) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// The Rust files whose code can reach a number.
fn rust(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = every(folder)?;
    let aside = |p: &Path| p.components().any(|c| ["cli", "bin"].iter().any(|n| c.as_os_str() == *n));
    files.retain(|p| p.extension().is_some_and(|e| e == "rs") && stem(p) != "tests");
    files.retain(|p| !aside(p.strip_prefix(folder).unwrap_or(p)));
    Ok(files)
}

fn digest(root: &Path, files: &[PathBuf]) -> Result<String> {
    let mut all = Sha256::new();
    for path in files {
        let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
        all.update(name.as_bytes());
        if path.extension().is_some_and(|e| e == "rs") {
            all.update(code(&read(path)?).with_context(|| name)?.as_bytes());
        } else {
            all.update(std::fs::read(path).with_context(|| name)?);
        }
    }
    Ok(short(&all.finalize()))
}

fn short(hash: &[u8]) -> String {
    hash.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// The tokens of a file without comments, docs and tests.
fn code(text: &str) -> Result<String> {
    let tokens: TokenStream = text.parse().map_err(|e| anyhow::anyhow!("not Rust: {e}"))?;
    Ok(bare(tokens))
}

fn bare(tokens: TokenStream) -> String {
    let mut text = String::new();
    let mut skipping = false;
    let mut all = tokens.into_iter().peekable();
    while let Some(token) = all.next() {
        // `#[..]`, `#![..]`
        if matches!(&token, TokenTree::Punct(p) if p.as_char() == '#') {
            let inner = matches!(all.peek(), Some(TokenTree::Punct(p)) if p.as_char() == '!');
            if inner {
                all.next();
            }
            if let Some(TokenTree::Group(g)) = all.peek() {
                let attribute = g.stream().to_string().replace(' ', "");
                all.next();
                if attribute.starts_with("doc=") {
                    continue;
                }
                skipping |= attribute == "cfg(test)";
                if !skipping {
                    text += &format!("#[{attribute}]");
                }
                continue;
            }
        }
        if skipping {
            // An item ends with its body, or with a semicolon; a field or an argument with a comma.
            skipping = match &token {
                TokenTree::Group(g) => g.delimiter() != Delimiter::Brace,
                TokenTree::Punct(p) => ![';', ','].contains(&p.as_char()),
                _ => true,
            };
            continue;
        }
        match token {
            TokenTree::Group(g) => {
                let (open, close) = match g.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                text += &format!("{open}{}{close}", bare(g.stream()));
            }
            other => text += &format!("{other} "),
        }
    }
    text
}

/// Some packages of a lock file and all that they depend on, with their versions.
fn locked(lock: &str, mut next: Vec<String>) -> Result<String> {
    let lock: toml::Table = toml::from_str(lock).context("Cargo.lock")?;
    let packages = lock.get("package").and_then(toml::Value::as_array).context("Cargo.lock: no packages")?;
    let text = |p: &toml::Value, key: &str| p.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let mut seen = BTreeSet::new();
    while let Some(name) = next.pop() {
        // A dependency is a name, or a name and a version where there are several.
        let (name, version) = name.split_once(' ').map_or((name.as_str(), None), |(n, v)| (n, Some(v)));
        if ASIDE.contains(&name) {
            continue;
        }
        for p in packages.iter().filter(|p| text(p, "name") == name && version.is_none_or(|v| text(p, "version") == v))
        {
            if seen.insert(format!("{name} {}", text(p, "version"))) {
                let needs = p.get("dependencies").and_then(toml::Value::as_array);
                next.extend(needs.into_iter().flatten().filter_map(|d| d.as_str().map(str::to_owned)));
            }
        }
    }
    Ok(short(&Sha256::digest(seen.into_iter().collect::<Vec<_>>().join("\n"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_docs_and_tests_do_not_count_and_code_does() {
        let of = |text: &str| code(text).unwrap();
        let plain = of("fn f() -> u32 { 1 }");
        for same in [
            "//! A room.\n/// One.\nfn f() -> u32 {\n    // Why.\n    1\n}",
            "fn f() -> u32 { 1 }\n#[cfg(test)]\nmod tests { fn g() { f(); } }",
            "fn f() -> u32 { 1 }\n#[cfg(test)]\nmod tests;",
            "fn f() -> u32 { 1 }\n#[cfg(test)]\n#[allow(unused)]\nuse x::y;",
        ] {
            assert_eq!(of(same), plain, "{same}");
        }
        for other in ["fn f() -> u32 { 2 }", "#[inline]\nfn f() -> u32 { 1 }", "fn f() -> u32 { 1 }\nmod tests {}"] {
            assert_ne!(of(other), plain, "{other}");
        }
        assert_eq!(of("struct S { #[cfg(test)] a: u32, b: u32 }"), of("struct S { b: u32 }"));
        assert!(code("fn f( {").is_err());
    }

    #[test]
    fn the_lock_counts_as_far_as_a_package_depends_on_it() {
        let lock = |b: &str, c: &str| {
            format!(
                "[[package]]\nname = \"a\"\nversion = \"1\"\ndependencies = [\"b\"]\n[[package]]\nname = \"b\"\nversion = \"{b}\"\n\
                 [[package]]\nname = \"c\"\nversion = \"{c}\"\n"
            )
        };
        let of = |b, c| locked(&lock(b, c), vec!["a".into()]).unwrap();
        assert_eq!(of("1", "1"), of("1", "2"));
        assert_ne!(of("1", "1"), of("2", "1"));
    }

    #[test]
    fn each_part_that_a_paper_names_has_a_digest() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let code = of(root, "absum").unwrap();
        let parts: Vec<&str> = code.keys().map(String::as_str).collect();
        assert!(
            [
                "attacks",
                "datasets",
                "dependencies",
                "engine",
                "metrics",
                "paper",
                "pieces",
                "regularizers",
                "tensor-core"
            ]
            .iter()
            .all(|p| parts.contains(p))
        );
        assert!(!parts.contains(&"anomaly"), "{parts:?}");
        let mut other = code.clone();
        other.insert("attacks".into(), "0".into());
        assert_eq!(difference(&code, &other), ["attacks"]);
    }
}

//! The folders of the classes and their files.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Endings of the files that are read.
const READ: [&str; 3] = ["png", "jpg", "jpeg"];
/// Endings of images that torchvision reads too.
const OTHERS: [&str; 7] = ["ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif"];
/// Names of splits, whose parent is no folder of classes.
const SPLITS: [&str; 5] = ["train", "val", "valid", "validation", "test"];
/// Folders in folders of a class; more are a link to a folder above.
const DEEPEST: usize = 16;

/// The files of one class, in the order of torchvision.
pub(super) struct Class {
    pub(super) name: String,
    pub(super) files: Vec<PathBuf>,
}

/// All classes in the order of their names' bytes.
pub(super) struct Classes {
    pub(super) all: Vec<Class>,
    pub(super) notes: Vec<String>,
}

/// Files that are left out: how many, and the first.
#[derive(Default)]
struct Left(usize, Option<PathBuf>);

impl Left {
    fn add(&mut self, path: PathBuf) {
        self.0 += 1;
        self.1.get_or_insert(path);
    }

    fn note(self, words: &str) -> Option<String> {
        self.1.map(|first| format!("{words}: {}, the first is {}", self.0, first.display()))
    }
}

fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."))
}

fn bytes(name: Option<&OsStr>) -> &[u8] {
    name.map_or(&[], OsStr::as_encoded_bytes)
}

/// The entries of a folder, by the bytes of their names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let all = std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut paths = all.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort_by(|a, b| bytes(a.file_name()).cmp(bytes(b.file_name())));
    Ok(paths)
}

/// What a walk finds in the folder of a class.
#[derive(Default)]
struct Walk {
    files: Vec<PathBuf>,
    other: Left,
    hidden: Left,
}

impl Walk {
    fn collect(&mut self, folder: &Path, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            bail!(
                "{}: folders in folders, more than {DEEPEST} deep; is one of them a link to a folder above?",
                folder.display()
            );
        }
        for path in entries(folder)? {
            let kind = ending(&path);
            if path.is_dir() {
                if is_hidden(&path) {
                    self.hidden.add(path);
                } else {
                    self.collect(&path, depth + 1)?;
                }
            } else if is_hidden(&path) {
                if READ.contains(&kind.as_str()) {
                    self.hidden.add(path);
                }
            } else if READ.contains(&kind.as_str()) {
                self.files.push(path);
            } else if OTHERS.contains(&kind.as_str()) {
                bail!(
                    "{}: images are read from .png, .jpg and .jpeg files; convert it, for example with `magick mogrify -format png *.{kind}`",
                    path.display()
                );
            } else {
                self.other.add(path);
            }
        }
        Ok(())
    }
}

/// The classes of a folder, whose subfolders they are. A hidden folder does not count as a class; a folder without images does, and keeps its rank.
///
/// # Errors
/// No folders, no images at all; folders that are splits; images of another format, with the command that converts them.
pub(super) fn find(root: &Path) -> Result<Classes> {
    let (mut walk, mut all, mut outside) = (Walk::default(), Vec::new(), Left::default());
    for path in entries(root)? {
        if !path.is_dir() {
            if !is_hidden(&path) && READ.contains(&ending(&path).as_str()) {
                outside.add(path);
            }
        } else if is_hidden(&path) {
            walk.hidden.add(path);
        } else {
            walk.collect(&path, 0)?;
            let mut files = std::mem::take(&mut walk.files);
            let key = |p: &Path| (p.parent().map(|f| f.as_os_str().to_owned()), p.file_name().map(OsStr::to_owned));
            files.sort_by(|a, b| {
                let ((fa, na), (fb, nb)) = (key(a), key(b));
                (bytes(fa.as_deref()), bytes(na.as_deref())).cmp(&(bytes(fb.as_deref()), bytes(nb.as_deref())))
            });
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            all.push(Class { name, files });
        }
    }
    let shown = root.display();
    if all.is_empty() {
        let images =
            if outside.0 > 0 { format!(" ({} images lie in it without a class)", outside.0) } else { String::new() };
        bail!(
            "{shown}: there is no folder in it{images}; a folder for each class is needed, with the .png, .jpg or .jpeg files of that class"
        );
    }
    if all.iter().all(|c| c.files.is_empty()) {
        bail!("{shown}: there are no .png, .jpg or .jpeg files in its {} folders", all.len());
    }
    let direct = |c: &Class| c.files.iter().any(|f| f.parent() == Some(&root.join(&c.name)));
    if all.iter().all(|c| SPLITS.contains(&c.name.to_lowercase().as_str()) && !direct(c)) {
        let names: Vec<&str> = all.iter().map(|c| c.name.as_str()).collect();
        bail!(
            "{shown}: its folders {names:?} are splits, not classes; name one of them, for example {}",
            root.join(names[0]).display()
        );
    }
    let empty: Vec<&str> = all.iter().filter(|c| c.files.is_empty()).map(|c| c.name.as_str()).collect();
    let notes = [
        (!empty.is_empty()).then(|| format!("class folders without images, which keep their numbers: {empty:?}")),
        outside.note("images outside of the folders of the classes, which are ignored"),
        walk.hidden.note("hidden folders and images (their names start with a point), which are ignored"),
        walk.other.note("files that are neither .png, .jpg nor .jpeg, which are ignored"),
    ];
    Ok(Classes { all, notes: notes.into_iter().flatten().collect() })
}

/// The names of a file, one a line, in the order of a model's outputs.
///
/// # Errors
/// A file that cannot be read, without names, with an empty line between names, or with a name that comes twice.
pub(super) fn listed(path: &Path) -> Result<Vec<String>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("--classes {shown}"))?;
    let mut names: Vec<String> = text.trim_start_matches('\u{feff}').lines().map(|l| l.trim().to_owned()).collect();
    while names.last().is_some_and(String::is_empty) {
        names.pop();
    }
    if names.is_empty() {
        bail!(
            "--classes {shown}: the file is empty; it needs the name of a folder on each line, in the order of the model's outputs"
        );
    }
    let mut seen = std::collections::HashMap::new();
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            bail!("--classes {shown}: line {} is empty, but each line is an output of the model", i + 1);
        }
        if let Some(before) = seen.insert(name.as_str(), i) {
            bail!("--classes {shown}: `{name}` is on the lines {} and {}", before + 1, i + 1);
        }
    }
    Ok(names)
}

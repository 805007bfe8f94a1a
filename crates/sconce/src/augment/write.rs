//! The folder of the result: it is there whole or not at all.

use crate::folder::class_folder;
use crate::sets::Set;
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The file that says whose a folder of unfinished work is.
const MARK: &str = "sconce-augment.txt";
const IMAGES: &str = "images";
const ENDING: &str = ".checkpoint";

/// Where the images will be, and where the work is kept until then.
pub(super) struct Place {
    out: PathBuf,
    work: PathBuf,
}

impl Place {
    /// Checks that nothing of others is in the way. `sources` are the options and names of what is read; they need not be paths. Nothing is made
    /// yet.
    ///
    /// # Errors
    /// A folder that is not empty; one that is in a source, or has one in it; a folder of unfinished work that is not this command's.
    pub(super) fn new(out: &Path, sources: &[(&str, &str)]) -> Result<Self> {
        let Some(name) = out.file_name() else {
            bail!("--out {}: name a new folder", out.display());
        };
        let mut partial = name.to_os_string();
        partial.push(".partial");
        let place = Self { out: out.to_owned(), work: out.with_file_name(partial) };
        if out.exists() && names(out).with_context(|| format!("--out {}", out.display()))?.next().is_some() {
            let unfinished = if place.work.join(MARK).exists() {
                format!(
                    ". A run ended while it measured its images: to have the measures too, move this folder away and give the same command again, \
                     which goes on from {}",
                    place.work.display()
                )
            } else {
                String::new()
            };
            bail!(
                "--out {}: there are files in this folder, and none is overwritten; name a new one{unfinished}",
                out.display()
            );
        }
        for (option, source) in sources.iter().filter(|s| Path::new(s.1).exists()) {
            let of = |p: &Path| real_path(p).with_context(|| format!("{}", p.display()));
            let (out, work, source) = (of(out)?, of(&place.work)?, of(source.as_ref())?);
            if out.starts_with(&source) || source.starts_with(&out) || source.starts_with(&work) {
                bail!(
                    "--out {} and {option} {} are one inside the other, so generated images would be mixed with real ones, or deleted with them; name \
                     a folder outside",
                    out.display(),
                    source.display()
                );
            }
        }
        if place.work.exists() {
            let found: Vec<String> = names(&place.work).with_context(|| format!("{}", place.work.display()))?.collect();
            let own = |n: &String| n == MARK || n == IMAGES || n.contains(ENDING);
            let ours = found.is_empty() || (found.iter().all(own) && found.iter().any(|n| n == MARK));
            if !ours {
                bail!(
                    "--out {}: the work is kept in {}, and what is there is not of this command; move it, or name another folder",
                    out.display(),
                    place.work.display()
                );
            }
        }
        Ok(place)
    }

    /// Makes the folder of the work.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn open(&self) -> Result<()> {
        std::fs::create_dir_all(&self.work)
            .with_context(|| format!("--out: cannot create the folder {}", self.work.display()))?;
        let text =
            "Unfinished work of `sconce augment`; the same command continues it, and removes this folder at its end.\n";
        Ok(sconce_tensor_core::store::write_whole(&self.work.join(MARK), text.as_bytes())?)
    }

    /// The folder of the work.
    pub(super) fn work(&self) -> &Path {
        &self.work
    }

    /// The checkpoint of a phase.
    pub(super) fn checkpoint(&self, phase: &str) -> PathBuf {
        self.work.join(format!("{phase}{ENDING}"))
    }

    /// Writes the images by class, then puts the folder in its place. The folder of the work stays.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(super) fn write(&self, made: &Set) -> Result<()> {
        let images = self.work.join(IMAGES);
        if images.exists() {
            // Of a run that was killed while it wrote.
            std::fs::remove_dir_all(&images).with_context(|| format!("{}", images.display()))?;
        }
        let place = |name: &String| if name == "." { images.clone() } else { images.join(name) };
        let folders: Vec<PathBuf> = folder_names(&made.classes).iter().map(place).collect();
        for folder in &folders {
            std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        }
        let mut counts = vec![0usize; made.classes.len()];
        for (i, y) in made.images.labels.iter().enumerate() {
            let k = usize::from(*y);
            let path = folders[k].join(format!("{:05}.png", counts[k]));
            counts[k] += 1;
            save(&path, made.images.shape, made.image(i)).with_context(|| format!("{}", path.display()))?;
        }
        if self.out.exists() {
            std::fs::remove_dir(&self.out).with_context(|| format!("--out {}: no longer empty", self.out.display()))?;
        }
        std::fs::rename(&images, &self.out).with_context(|| format!("--out {}", self.out.display()))
    }

    /// Removes the folder of the work.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn close(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.work).with_context(|| format!("{}", self.work.display()))
    }
}

/// A path without links, of which the last parts may not exist yet.
fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Err(e), Some(parent), Some(name)) if e.kind() == std::io::ErrorKind::NotFound => {
            Ok(real_path(parent)?.join(name))
        }
        (found, ..) => found,
    }
}

/// The names in a folder.
fn names(folder: &Path) -> std::io::Result<impl Iterator<Item = String>> {
    let all = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    Ok(all.into_iter().map(|e| e.file_name().to_string_lossy().into_owned()))
}

/// Names of folders for classes; names that are equal there get their number, as often as it takes.
fn folder_names(classes: &[String]) -> Vec<String> {
    let mut taken = HashSet::new();
    let name = |(k, class): (usize, &String)| {
        let name = class_folder(class);
        // The images of a folder without subfolders stay without one.
        let odd = name != "." && name.trim_matches(['.', ' ']).is_empty();
        let mut name = if odd { format!("class {k}") } else { name };
        while !taken.insert(name.to_lowercase()) {
            name = format!("{name} {k}");
        }
        name
    };
    classes.iter().enumerate().map(name).collect()
}

/// Planes as a PNG.
fn save(path: &Path, (c, h, w): (usize, usize, usize), planes: &[u8]) -> Result<()> {
    let (width, height, plane) = (u32::try_from(w)?, u32::try_from(h)?, h * w);
    if c == 1 {
        let image = image::GrayImage::from_raw(width, height, planes.to_vec()).context("grey pixels")?;
        return Ok(image.save(path)?);
    }
    let rgb = (0..plane).flat_map(|p| [planes[p], planes[plane + p], planes[2 * plane + p]]).collect();
    Ok(image::RgbImage::from_raw(width, height, rgb).context("pixels in colour")?.save(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_become_folders() {
        let of = |names: &[&str]| folder_names(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            of(&["T-shirt/top", "..", "a:b", "a-b", "A-B", "größe"]),
            ["T-shirt-top", "class 1", "a-b", "a-b 3", "A-B 4", "größe"]
        );
        assert_eq!(of(&["."]), ["."]);
        assert_eq!(of(&["A 1", "a", "A 2", "A"]), ["A 1", "a", "A 2", "A 3"]);
        assert_eq!(of(&["b 2", "B", "b"]), ["b 2", "B", "b 2 2"]);
    }

    #[test]
    fn nothing_of_others_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let place = |out: &Path| Place::new(out, &[]);
        place(&out).unwrap().open().unwrap();
        place(&out).unwrap();
        std::fs::write(dir.path().join("out.partial/mine.txt"), "").unwrap();
        assert!(place(&out).err().unwrap().to_string().contains("not of this command"));
        std::fs::write(out.join("mine.txt"), "").unwrap();
        assert!(place(&out).err().unwrap().to_string().contains("none is overwritten"));
        assert!(place(Path::new("/")).is_err());
    }

    #[test]
    fn results_are_not_among_what_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let of = |p: &str| dir.path().join(p);
        std::fs::create_dir_all(of("real/a")).unwrap();
        std::fs::create_dir_all(of("new.partial/images")).unwrap();
        std::fs::write(of("new.partial").join(MARK), "").unwrap();
        let place = |out: PathBuf, source: &str| {
            let source = of(source).display().to_string();
            Place::new(&out, &[("--target", "cifar10"), ("--outer", &source)]).err().map(|e| e.to_string())
        };
        for out in ["real/made", "real/a/../b/made", "real/a", "./real"] {
            let e = place(of(out), "real").unwrap();
            assert!(e.contains("--outer") && e.contains("outside") || e.contains("none is overwritten"), "{out}: {e}");
        }
        assert!(place(of("new"), "new.partial/images").unwrap().contains("one inside the other"));
        assert_eq!(
            (place(of("really"), "real"), place(of("new"), "real"), place(of("x"), "no/such")),
            (None, None, None)
        );
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(of("real"), of("link")).unwrap();
            assert!(place(of("link/made"), "real").is_some() && place(of("real/made"), "link").is_some());
        }
    }
}

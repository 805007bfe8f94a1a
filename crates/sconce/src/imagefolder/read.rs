//! From a folder to tensors.

use super::classes::{self, Classes};
use super::decode::{Decoded, decode};
use super::frame::{Frame, Framed};
use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use sconce_tensor_core::Rng;
use std::path::{Path, PathBuf};

/// The seed of the order in which images are taken.
const SEED: u64 = 0;
/// Files that are decoded side by side.
const AT_ONCE: usize = 64;

/// What is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) folder: &'a Path,
    /// A file with the names of the folders in the order of the model's outputs.
    pub(crate) classes: Option<&'a Path>,
    /// As many images are taken.
    pub(crate) most: Option<usize>,
    pub(crate) frame: Frame,
}

/// Images with their classes.
pub(crate) struct Found {
    /// (N, C, H, W) of f32 in [0, 1]; one channel where all images are grey.
    pub(crate) x: Tensor,
    /// (N,) of u32.
    pub(crate) y: Tensor,
    /// The names of the classes, by their numbers.
    pub(crate) names: Vec<String>,
    /// The file of each image, from the folder on.
    pub(crate) files: Vec<PathBuf>,
    /// A file in colour, where there is one.
    pub(crate) coloured: Option<PathBuf>,
    pub(crate) notes: Vec<String>,
}

/// The number of each class, and the names by number: ranks, or the lines of a file.
fn numbers(found: &Classes, listed: Option<&Path>) -> Result<(Vec<u32>, Vec<String>)> {
    let own: Vec<&str> = found.all.iter().map(|c| c.name.as_str()).collect();
    let Some(path) = listed else {
        return Ok(((0..own.len() as u32).collect(), own.into_iter().map(str::to_owned).collect()));
    };
    let names = classes::listed(path)?;
    let at: std::collections::HashMap<&str, u32> = names.iter().map(String::as_str).zip(0..).collect();
    let missing: Vec<&str> = own.iter().filter(|n| !at.contains_key(*n)).copied().take(5).collect();
    if !missing.is_empty() {
        bail!("--classes {}: the folders {missing:?} are on none of its {} lines", path.display(), names.len());
    }
    Ok((own.iter().map(|n| at[n]).collect(), names))
}

/// What is said of some of the files: the words, and the files.
#[derive(Default)]
struct Remarks(Vec<(&'static str, Vec<PathBuf>)>);

impl Remarks {
    fn add(&mut self, words: &'static str, file: &Path) {
        match self.0.iter_mut().find(|r| r.0 == words) {
            Some(r) => r.1.push(file.to_owned()),
            None => self.0.push((words, vec![file.to_owned()])),
        }
    }

    fn notes(&self) -> impl Iterator<Item = String> + '_ {
        self.0
            .iter()
            .map(|(words, files)| format!("{words}: {} images, the first is {}", files.len(), files[0].display()))
    }
}

/// Images of one size.
struct Stack {
    /// Bytes divided by 255, image after image, each as planes of red, green and blue. They are the tensor's values: no second copy is made of what
    /// may fill half of the memory.
    planes: Vec<f32>,
    /// Height and width.
    size: (usize, usize),
    coloured: Option<PathBuf>,
    remarks: Remarks,
}

fn sizes_differ(
    frame: Frame,
    (file, (h, w)): (&Path, (usize, usize)),
    (first, (fh, fw)): (&Path, (usize, usize)),
) -> String {
    let then = if frame.is_none() { "" } else { " after resizing" };
    let remedy = match (frame.resize, frame.crop) {
        (_, Some(_)) => String::new(),
        (Some(_), None) => {
            "; --crop N takes the central N x N pixels of each, --resize HxW brings both sides to one size".to_owned()
        }
        (None, None) => {
            "; bring them to the size of the training: --resize N (the shorter side) with --crop N, or --resize HxW"
                .to_owned()
        }
    };
    format!("{}: {w} x {h} pixels{then}, but {} has {fw} x {fh}{remedy}", file.display(), first.display())
}

/// Decodes the files and brings them into the frame.
fn stack(files: &[&Path], frame: Frame) -> Result<Stack> {
    let (mut planes, mut size, mut coloured, mut remarks) = (Vec::new(), None, None, Remarks::default());
    for part in files.chunks(AT_ONCE) {
        let read = |path: &&Path| -> Result<(Decoded, Framed)> {
            let mut found = decode(path)?;
            let empty = super::Pixels { channels: 3, height: 0, width: 0, bytes: Vec::new() };
            let image = std::mem::replace(&mut found.image, empty);
            let framed = frame.apply(image).with_context(|| format!("{}", path.display()))?;
            Ok((found, framed))
        };
        // The error of the first file, whichever ends first.
        let all: Vec<Result<(Decoded, Framed)>> = part.par_iter().map(read).collect();
        for (path, one) in part.iter().zip(all) {
            let (found, Framed { image, padded }) = one?;
            let (first, expected) = *size.get_or_insert_with(|| {
                planes.reserve(files.len().saturating_mul(image.bytes.len()));
                (*path, image.size())
            });
            if image.size() != expected {
                bail!(sizes_differ(frame, (path, image.size()), (first, expected)));
            }
            if coloured.is_none() && !image.is_grey() {
                coloured = Some(path.to_path_buf());
            }
            for (is, words) in [
                (found.transparent, "the transparency is dropped and the colour under it taken, as torchvision does"),
                (found.deep, "of 16 bits a value the upper 8 are taken, as torchvision does"),
                (found.turned, "the orientation that a camera noted (EXIF) is not applied, as torchvision does not"),
                (padded, "smaller than the crop, so that black surrounds them"),
            ] {
                if is {
                    remarks.add(words, path);
                }
            }
            planes.extend(image.planes().map(|v| f32::from(v) / 255.0));
        }
    }
    let (_, size) = size.context("no images")?;
    Ok(Stack { planes, size, coloured, remarks })
}

/// The images of a folder, in a shuffled order that depends on their number alone: the first of them are of all classes.
///
/// # Errors
/// As [`classes::find`] and [`decode`]; images of several sizes, with both files; a folder that `classes` does not list.
pub(crate) fn read(asked: Asked<'_>) -> Result<Found> {
    let found = classes::find(asked.folder)?;
    let (numbers, names) = numbers(&found, asked.classes)?;
    let all: Vec<(&Path, u32)> =
        found.all.iter().zip(&numbers).flat_map(|(c, k)| c.files.iter().map(|f| (f.as_path(), *k))).collect();
    let order = Rng::new(SEED).stream("order of the images of a folder").permutation(all.len());
    let taken: Vec<(&Path, u32)> = order.iter().take(asked.most.unwrap_or(usize::MAX)).map(|i| all[*i]).collect();
    let files: Vec<&Path> = taken.iter().map(|t| t.0).collect();
    let Stack { mut planes, size: (h, w), coloured, remarks } = stack(&files, asked.frame)?;
    let (n, plane) = (taken.len(), h * w);
    if coloured.is_none() {
        // The three planes are equal: the first of each image moves up.
        (0..n).for_each(|i| planes.copy_within(3 * i * plane..(3 * i + 1) * plane, i * plane));
        planes.truncate(n * plane);
        planes.shrink_to_fit();
    }
    let channels = planes.len() / (n * plane);
    let x = Tensor::from_vec(planes, (n, channels, h, w), &Device::Cpu)?;
    let inside = |f: &Path| f.strip_prefix(asked.folder).unwrap_or(f).to_owned();
    let mut notes = found.notes;
    let part = if n < all.len() { format!("{n} of {} images", all.len()) } else { format!("{n} images") };
    notes.insert(0, format!("{part} of {} classes, in a shuffled order with the fixed seed {SEED}", found.all.len()));
    if !asked.frame.is_none() {
        notes.push(format!("the images are {}", asked.frame.words()));
    }
    notes.extend(remarks.notes());
    Ok(Found {
        x,
        y: Tensor::from_iter(taken.iter().map(|t| t.1), &Device::Cpu)?.to_dtype(DType::U32)?,
        names,
        files: files.iter().map(|f| inside(f)).collect(),
        coloured: coloured.as_deref().map(inside),
        notes,
    })
}

//! Sets of images that are compared or learned together: of one size, and all grey or all in colour.

use crate::args::Places;
use crate::{folder, pretrain};
use anyhow::{Context, Result, bail};
use sconce_datasets::{Images, Split};
use std::path::{Path, PathBuf};

/// One set.
pub(crate) struct Set {
    /// The option that names it.
    pub(crate) option: &'static str,
    /// A folder, a file, or the name of a data set.
    pub(crate) name: String,
    pub(crate) images: Images,
    pub(crate) classes: Vec<String>,
    /// The file of each image, where they are in a folder.
    pub(crate) files: Vec<PathBuf>,
    /// Height and width before resizing; none where they are several.
    size: Option<(usize, usize)>,
}

impl Set {
    /// Reads a folder, a file with `x` (and `y`) or a split of a data set; with a side, at side x side pixels.
    ///
    /// # Errors
    /// As the readers, with the option.
    pub(crate) fn read(
        option: &'static str,
        name: &str,
        split: Split,
        places: &Places,
        side: Option<usize>,
    ) -> Result<Self> {
        Self::find(option, name, split, places, side).with_context(|| option.to_owned())
    }

    fn find(option: &'static str, name: &str, split: Split, places: &Places, side: Option<usize>) -> Result<Self> {
        let own = name.to_owned();
        if Path::new(name).is_dir() {
            let found = folder::read_at(Path::new(name), side).map_err(|e| match side {
                None if e.to_string().contains("to one size first") => e.context("--resize SIDE does that here"),
                _ => e,
            })?;
            let folder::Folder { images, classes, files, size } = found;
            return Ok(Self { option, name: own, images, classes, files, size });
        }
        let (mut images, classes) = pretrain::read_images(name, split, places)?;
        let (c, h, w) = images.shape;
        if let Some(side) = side {
            let planes = images.pixels.chunks(c * h * w).map(|one| folder::resized(one, (h, w), side));
            let pixels = planes.collect::<Result<Vec<_>>>()?.concat();
            images = Images::new(pixels, (c, side, side), images.labels, images.classes)?;
        }
        Ok(Self { option, name: own, images, classes, files: Vec::new(), size: Some((h, w)) })
    }

    /// The labels.
    pub(crate) fn labels(&self) -> Vec<u32> {
        self.images.labels.iter().map(|y| u32::from(*y)).collect()
    }

    /// The number of images of each class.
    pub(crate) fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.images.labels.iter().for_each(|y| counts[usize::from(*y)] += 1);
        counts
    }

    /// The bytes of one image.
    pub(crate) fn image(&self, i: usize) -> &[u8] {
        let size = self.images.pixels.len() / self.images.len();
        &self.images.pixels[i * size..(i + 1) * size]
    }

    /// Some of the images, in that order, as a set of the same classes.
    ///
    /// # Errors
    /// No images.
    pub(crate) fn some(&self, rows: &[usize], name: String) -> Result<Self> {
        let pixels = rows.iter().flat_map(|i| self.image(*i).iter().copied()).collect();
        let labels = rows.iter().map(|i| self.images.labels[*i]).collect();
        let images = Images::new(pixels, self.images.shape, labels, self.images.classes)?;
        let files = rows.iter().filter_map(|i| self.files.get(*i).cloned()).collect();
        Ok(Self { option: self.option, name, images, classes: self.classes.clone(), files, size: self.size })
    }

    /// Other images of the same classes and size.
    pub(crate) fn like(&self, option: &'static str, name: String, images: Images) -> Self {
        Self { option, name, images, classes: self.classes.clone(), files: Vec::new(), size: self.size }
    }

    /// Whether red, green and blue are equal everywhere.
    fn is_grey(&self) -> bool {
        let (c, h, w) = self.images.shape;
        let plane = h * w;
        let grey = |one: &[u8]| one[..plane] == one[plane..2 * plane] && one[..plane] == one[2 * plane..];
        c == 1 || (c == 3 && self.images.pixels.chunks(3 * plane).all(grey))
    }

    fn sized(&self) -> String {
        self.size.map_or_else(|| "several sizes".to_owned(), |(h, w)| format!("{w} x {h}"))
    }
}

/// Brings sets to one channel where all are grey, else to three, and says how they were resized: none where no image was.
///
/// # Errors
/// Sets of different sizes, or with other numbers of channels that differ, with what to do.
pub(crate) fn agree(sets: &mut [&mut Set], side: Option<usize>) -> Result<Option<String>> {
    let Some(((c, h, w), option)) = sets.first().map(|s| (s.images.shape, s.option)) else { return Ok(None) };
    for s in sets.iter() {
        let (oc, oh, ow) = s.images.shape;
        if (oh, ow) != (h, w) {
            bail!(
                "{}: images of {ow} x {oh} pixels, but {option} has {w} x {h}; --resize {h} brings all to one size",
                s.option
            );
        }
        if oc != c && [c, oc].iter().any(|c| ![1, 3].contains(c)) {
            bail!("{}: images of {oc} channels, but {option} has {c}", s.option);
        }
    }
    let grey = sets.iter().all(|s| s.is_grey());
    for s in sets.iter_mut() {
        let (c, h, w) = s.images.shape;
        let plane = h * w;
        let pixels: Option<Vec<u8>> = match (c, grey) {
            (3, true) => Some(s.images.pixels.chunks(3 * plane).flat_map(|one| &one[..plane]).copied().collect()),
            (1, false) => Some(s.images.pixels.chunks(plane).flat_map(|one| one.repeat(3)).collect()),
            _ => None,
        };
        if let Some(pixels) = pixels {
            s.images.shape.0 = if grey { 1 } else { 3 };
            s.images.pixels = pixels;
        }
    }
    let Some(side) = side.filter(|side| sets.iter().any(|s| s.size != Some((*side, *side)))) else { return Ok(None) };
    let mut from: Vec<String> =
        sets.iter().map(|s| format!("{} {}", s.option.trim_start_matches('-'), s.sized())).collect();
    if sets.iter().all(|s| s.size.is_some() && s.size == sets[0].size) {
        from = vec![sets[0].sized()];
    }
    Ok(Some(format!("{}, {} to {side} x {side}", folder::RULE, from.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(option: &'static str, shape: (usize, usize, usize), pixels: Vec<u8>) -> Set {
        let n = pixels.len() / (shape.0 * shape.1 * shape.2);
        let images = Images::new(pixels, shape, vec![0; n], 1).unwrap();
        let size = Some((shape.1, shape.2));
        Set { option, name: "n".into(), images, classes: vec![".".into()], files: Vec::new(), size }
    }

    #[test]
    fn grey_images_have_one_channel_unless_others_are_in_colour() {
        let grey = || set("--real", (3, 1, 2), vec![1, 2, 1, 2, 1, 2]);
        let (mut a, mut b) = (grey(), set("--generated", (1, 1, 2), vec![7, 8]));
        assert_eq!(agree(&mut [&mut a, &mut b], None).unwrap(), None);
        assert_eq!((a.images.shape, &a.images.pixels[..], b.images.shape), ((1, 1, 2), &[1, 2][..], (1, 1, 2)));
        let (mut a, mut b) =
            (set("--real", (1, 1, 2), vec![7, 8]), set("--generated", (3, 1, 2), vec![1, 2, 3, 4, 5, 6]));
        agree(&mut [&mut a, &mut b], None).unwrap();
        assert_eq!((a.images.shape, &a.images.pixels[..]), ((3, 1, 2), &[7, 8, 7, 8, 7, 8][..]));
        let mut c = set("--generated", (1, 2, 2), vec![0; 4]);
        let e = agree(&mut [&mut grey(), &mut c], None).unwrap_err().to_string();
        assert!(
            e.contains("--generated: images of 2 x 2 pixels, but --real has 2 x 1") && e.contains("--resize"),
            "{e}"
        );
    }

    #[test]
    fn the_rule_names_what_was_resized() {
        let (mut a, mut b) = (set("--real", (1, 4, 4), vec![0; 16]), set("--generated", (1, 4, 4), vec![0; 16]));
        assert_eq!(agree(&mut [&mut a, &mut b], Some(4)).unwrap(), None, "nothing was resized");
        (a.size, b.size) = (Some((8, 9)), Some((8, 9)));
        let rule = agree(&mut [&mut a, &mut b], Some(4)).unwrap().unwrap();
        assert!(rule.ends_with(", 9 x 8 to 4 x 4"), "{rule}");
        b.size = None;
        let rule = agree(&mut [&mut a, &mut b], Some(4)).unwrap().unwrap();
        assert!(rule.ends_with(", real 9 x 8, generated several sizes to 4 x 4"), "{rule}");
    }
}

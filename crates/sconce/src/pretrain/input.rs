//! Images to train on, with labels where there are some.

use crate::args::Places;
use crate::{folder, places};
use anyhow::Result;
use sconce_datasets::{Images, Split, catalog};
use std::path::Path;

/// Images with the names of their classes.
pub(super) struct Input {
    pub(super) images: Images,
    pub(super) classes: Vec<String>,
}

/// A file with `x` (and `y`), or a split of a data set, with the names of the classes.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_images(name: &str, split: Split, places: &Places) -> Result<(Images, Vec<String>)> {
    read(name, split, places).map(|i| (i.images, i.classes))
}

/// A folder, a file with `x` (and `y`), or a split of a data set.
///
/// # Errors
/// As the readers, with the path.
pub(super) fn read(name: &str, split: Split, places: &Places) -> Result<Input> {
    let path = Path::new(name);
    if path.is_dir() {
        let (images, classes) = folder::read(path)?;
        return Ok(Input { images, classes });
    }
    let (images, known) = if path.exists() {
        (crate::attack::read_images(path)?, None)
    } else {
        let set = name.split(':').next().unwrap_or(name);
        (places::images(name, split, places)?, catalog::get(set).ok().map(|d| d.classes))
    };
    let count = images.classes;
    let classes = known.filter(|k| k.len() == count).unwrap_or_else(|| (0..count).map(|k| k.to_string()).collect());
    Ok(Input { images, classes })
}

/// The bytes of `n` of the images, spread over all of them: a folder is read class by class.
pub(super) fn spread(images: &Images, n: usize) -> Vec<u8> {
    let (size, total) = (images.pixels.len() / images.len(), images.len());
    let rows = (0..total).filter(|i| i * n / total != (i + 1) * n / total);
    rows.flat_map(|i| images.pixels[i * size..(i + 1) * size].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder is read class by class: some of its images are some of every class.
    #[test]
    fn some_images_are_spread_over_all() {
        let images = Images::new((0..10).collect(), (1, 1, 1), vec![0, 0, 0, 0, 0, 1, 1, 1, 1, 1], 2).unwrap();
        assert_eq!(spread(&images, 4), [2, 4, 7, 9]);
        assert_eq!(spread(&images, 10), (0..10).collect::<Vec<u8>>());
    }
}

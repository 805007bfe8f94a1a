//! What ships inside the crate: a class-balanced part of Fashion-MNIST (MIT licence, Zalando SE), the first
//! images of each class in the order of the original files (`cargo xtask datasets embed` makes it); Shuttle, whole. The
//! novels are in [`crate::text`], the textures in [`crate::garments`].

use crate::{Images, Result, Split, bytes, csv, idx};
use candle_core::Tensor;
use std::path::Path;

/// Images of each class in the training part.
pub const TRAIN_PER_CLASS: usize = 750;
/// Images of each class in the test part.
pub const TEST_PER_CLASS: usize = 100;

type Part = [(&'static str, &'static [u8]); 2];

const TRAIN: Part = [
    ("train-images-idx3-ubyte.gz", include_bytes!("../embedded/fashion-mnist/train-images-idx3-ubyte.gz")),
    ("train-labels-idx1-ubyte.gz", include_bytes!("../embedded/fashion-mnist/train-labels-idx1-ubyte.gz")),
];
const TEST: Part = [
    ("t10k-images-idx3-ubyte.gz", include_bytes!("../embedded/fashion-mnist/t10k-images-idx3-ubyte.gz")),
    ("t10k-labels-idx1-ubyte.gz", include_bytes!("../embedded/fashion-mnist/t10k-labels-idx1-ubyte.gz")),
];

/// The embedded part of Fashion-MNIST: 7,500 training images or 1,000 test images, all classes alike.
///
/// ```
/// use sconce_datasets::{Split, embedded};
/// let test = embedded::fashion_mnist(Split::Test)?;
/// assert_eq!((test.len(), test.shape, test.classes), (1_000, (1, 28, 28), 10));
/// # Ok::<(), sconce_datasets::Error>(())
/// ```
///
/// # Errors
/// None in a build whose tests passed.
pub fn fashion_mnist(split: Split) -> Result<Images> {
    let part = if split == Split::Train { &TRAIN } else { &TEST };
    let read = |i: usize| {
        let path = Path::new(part[i].0);
        Ok::<_, crate::Error>((idx::parse(&bytes::inflate(part[i].1, path)?, path)?, path))
    };
    idx::pair(read(0)?, read(1)?, 10)
}

const SHUTTLE: &[u8] = include_bytes!("../embedded/shuttle/shuttle.csv.gz");
/// For messages.
const SHUTTLE_NAME: &str = "shuttle.csv.gz";

/// Statlog Shuttle as an anomaly detection task: 49,097 rows of nine sensor readings, 3,511 of them anomalies (all rare
/// classes; the second largest class is left out, as ODDS does). Features (N, 9) in f64, and whether each row is an anomaly.
///
/// Source: UCI Machine Learning Repository, CC BY 4.0; the copy is that of river 0.26.1.
///
/// ```
/// let (x, anomaly) = sconce_datasets::embedded::shuttle()?;
/// assert_eq!((x.dims(), anomaly.iter().filter(|a| **a).count()), (&[49_097, 9][..], 3_511));
/// # Ok::<(), sconce_datasets::Error>(())
/// ```
///
/// # Errors
/// None in a build whose tests passed.
pub fn shuttle() -> Result<(Tensor, Vec<bool>)> {
    let (table, labels) =
        csv::parse(&[(&shuttle_csv()?, Path::new(SHUTTLE_NAME))], None, &[])?.labelled("anomaly", &[])?;
    Ok((table.tensor()?, labels.into_iter().map(|l| l == Some(true)).collect()))
}

/// The same table as CSV text: a header with the names of nine features and `anomaly`, whose values are 0 and 1; then one line per row.
///
/// ```
/// let text = sconce_datasets::embedded::shuttle_csv()?;
/// assert!(text.starts_with(b"f1,f2,f3,f4,f5,f6,f7,f8,f9,anomaly"));
/// assert_eq!(text.iter().filter(|b| **b == b'\n').count(), 49_098);
/// # Ok::<(), sconce_datasets::Error>(())
/// ```
///
/// # Errors
/// None in a build whose tests passed.
pub fn shuttle_csv() -> Result<Vec<u8>> {
    bytes::inflate(SHUTTLE, Path::new(SHUTTLE_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_and_small() {
        for (split, per_class) in [(Split::Train, TRAIN_PER_CLASS), (Split::Test, TEST_PER_CLASS)] {
            let images = fashion_mnist(split).unwrap();
            assert_eq!(images.len(), per_class * 10);
            assert_eq!(images.balanced(per_class).unwrap(), images);
        }
        let size: usize = TRAIN.iter().chain(&TEST).map(|f| f.1.len()).sum();
        assert!(size < 4_000_000, "{size}");
    }
}

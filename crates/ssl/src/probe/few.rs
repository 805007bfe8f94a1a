//! Subsets with few labels.

use sconce_tensor_core::error::require;
use sconce_tensor_core::{Error, Result, Rng};

/// How many labels of each class are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Few {
    /// So many of each class.
    PerClass(usize),
    /// This share of each class, rounded, at least one.
    Share(f64),
}

/// The indices of a random subset with the same share or number of each class, in ascending order. Each example has a random key of its
/// own, and those with the smallest keys of a class are taken: a smaller subset is part of a larger one of the same `rng`.
///
/// ```
/// use sconce_ssl::probe::{Few, few_labels};
/// use sconce_tensor_core::Rng;
/// let labels = [0, 1, 0, 1, 0, 1, 0, 0];
/// let kept = few_labels(&labels, 2, Few::PerClass(2), &Rng::new(3))?;
/// assert_eq!(kept.iter().filter(|i| labels[**i] == 1).count(), 2);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
///
/// # Errors
/// A number of 0 or a share outside (0, 1]; a class with fewer examples than asked for, or with none.
pub fn few_labels(labels: &[u32], classes: usize, few: Few, rng: &Rng) -> Result<Vec<usize>> {
    match few {
        Few::PerClass(n) => require("Few.PerClass", n >= 1, "at least 1", n)?,
        Few::Share(s) => require("Few.Share", s > 0.0 && s <= 1.0, "in (0, 1]", s)?,
    }
    let mut of_class: Vec<Vec<(u64, usize)>> = vec![Vec::new(); classes];
    for (i, y) in labels.iter().enumerate() {
        let reason = || Error::value("labels", format!("label {y} at index {i} is not below the {classes} classes"));
        of_class.get_mut(*y as usize).ok_or_else(reason)?.push((rng.at(i as u64).bits(1)[0], i));
    }
    let mut kept = Vec::new();
    for (class, examples) in of_class.iter_mut().enumerate() {
        let n = match few {
            Few::PerClass(n) => n,
            Few::Share(s) => ((s * examples.len() as f64).round() as usize).max(1),
        };
        if examples.len() < n {
            return Err(Error::config(
                "Few",
                format!("takes {n} examples of class {class}, which has {}", examples.len()),
            ));
        }
        examples.sort_unstable();
        kept.extend(examples[..n].iter().map(|e| e.1));
    }
    kept.sort_unstable();
    Ok(kept)
}

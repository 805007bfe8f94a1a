//! Saved detectors by name: the one table that knows all of them, and loading.

use crate::classic::{copod, ecod, hbos, isolation_forest, lof, mahalanobis, nearest, one_class_svm, pca};
use crate::neural::{classifier, deep_sad, deviation, reconstruction, variational};
use crate::{Detector, Error, Loaded, ReconstructionObjective, Result};
use crate::{calibrated, detector, encoded, scaled};
use candle_core::Device;
use std::path::Path;

/// Restores a detector from its saved state.
type Restore = fn(&Loaded) -> Result<Box<dyn Detector>>;

/// The functions that restore detectors, by the name that [`Detector::name`] returns and files contain.
const TABLE: [(&str, Restore); 19] = [
    ("scaled", scaled::restore),
    ("encoded", encoded::restore),
    ("calibrated", calibrated::restore),
    ("ecod", ecod::restore),
    ("copod", copod::restore),
    ("hbos", hbos::restore),
    ("isolation-forest", isolation_forest::restore),
    ("knn", nearest::restore),
    ("lof", lof::restore),
    ("mahalanobis", mahalanobis::restore),
    ("one-class-svm", one_class_svm::restore),
    ("pca", pca::restore),
    ("autoencoder", |from| reconstruction::restore(ReconstructionObjective::Autoencoder, from)),
    ("lrc", |from| reconstruction::restore(ReconstructionObjective::Lrc, from)),
    ("abc", |from| reconstruction::restore(ReconstructionObjective::Abc, from)),
    ("classifier", classifier::restore),
    ("deep-sad", deep_sad::restore),
    ("devnet", deviation::restore),
    ("vae", variational::restore),
];

/// Restores the detector of a name.
fn restore(name: &str, from: &Loaded) -> Result<Box<dyn Detector>> {
    match TABLE.iter().find(|(n, _)| *n == name) {
        Some((_, restore)) => restore(from),
        None => Err(Error::value("detector", format!("no detector `{name}` in this build"))),
    }
}

/// Loads any detector that [`crate::save`] wrote, to the CPU.
///
/// # Errors
/// As [`load_to`].
pub fn load(path: &Path) -> Result<Box<dyn Detector>> {
    load_to(path, &Device::Cpu)
}

/// Loads any detector that [`crate::save`] wrote. Its network is placed on `device`, whichever device it was fitted on; detectors
/// without a network compute on the host.
///
/// # Errors
/// [`Error::Io`]; [`Error::Checkpoint`] with the path where the file is broken or names a detector that this build does not have.
pub fn load_to(path: &Path, device: &Device) -> Result<Box<dyn Detector>> {
    let (name, loaded) = detector::read(path, device, restore)?;
    restore(&name, &loaded).map_err(|e| Error::Checkpoint { path: path.to_owned(), reason: e.to_string() })
}

//! Where jobs run: the device, and data that several of them use.

use anyhow::{Context, Result};
use sconce_datasets::Lookup;
use sconce_tensor_core::Device;
use sconce_tensor_core::store::{Digest, Fingerprint, Kept, Plain};
use std::any::Any;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

/// The device and the data of a process.
pub struct Site {
    /// Where tensors live.
    pub device: Device,
    /// Where data is looked for.
    pub lookup: Lookup,
    loaded: RefCell<HashMap<String, Rc<dyn Any>>>,
    /// Where the digests of data are kept.
    digests: OnceCell<PathBuf>,
}

impl Site {
    /// A site without data yet.
    pub fn new(device: Device, lookup: Lookup) -> Self {
        Self { device, lookup, loaded: RefCell::default(), digests: OnceCell::new() }
    }

    /// The kind of device, as it stands in fingerprints: results of one CUDA device are those of another one.
    pub fn kind(&self) -> &'static str {
        match self.device {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        }
    }

    /// Keeps the digests of data in a folder: all jobs of that folder read the same data.
    pub fn keep_digests(&self, folder: PathBuf) {
        // A second folder of one process is that of a test.
        let _ = self.digests.set(folder);
    }

    /// Refuses data that is other than that of the jobs that were done before: files are not in any fingerprint.
    pub fn same(&self, name: &str, digest: Digest) -> Result<()> {
        let Some(folder) = self.digests.get() else { return Ok(()) };
        std::fs::create_dir_all(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
        let kept = Kept::new(Fingerprint::new().with("data", name), Plain(digest.hex()));
        kept.save_once(&folder.join(format!("{name}.json"))).with_context(|| {
            format!(
                "the data `{name}` is other data than that of the jobs in this folder: give that one, or another --out"
            )
        })
    }

    /// Data by a name that says all about it: loaded once, then shared.
    pub fn once<T: 'static>(&self, name: &str, load: impl FnOnce() -> Result<T>) -> Result<Rc<T>> {
        let known = self.loaded.borrow().get(name).cloned();
        if let Some(found) = known.and_then(|k| k.downcast::<T>().ok()) {
            return Ok(found);
        }
        let loaded = Rc::new(load()?);
        self.loaded.borrow_mut().insert(name.to_owned(), loaded.clone());
        Ok(loaded)
    }
}

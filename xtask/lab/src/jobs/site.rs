//! Where jobs run: the device, and data that several of them use.

use anyhow::Result;
use sconce_datasets::Lookup;
use sconce_tensor_core::Device;
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The device and the data of a process.
pub struct Site {
    /// Where tensors live.
    pub device: Device,
    /// Where data is looked for.
    pub lookup: Lookup,
    loaded: RefCell<HashMap<String, Rc<dyn Any>>>,
}

impl Site {
    /// A site without data yet.
    pub fn new(device: Device, lookup: Lookup) -> Self {
        Self { device, lookup, loaded: RefCell::default() }
    }

    /// The kind of device, as it stands in fingerprints: results of one CUDA device are those of another one.
    pub fn kind(&self) -> &'static str {
        match self.device {
            Device::Cpu => "cpu",
            Device::Cuda(_) => "cuda",
            Device::Metal(_) => "metal",
        }
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

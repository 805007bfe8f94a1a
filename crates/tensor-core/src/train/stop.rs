//! The wish that a run stops early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks a run to stop: it finishes its step, keeps its state in its checkpoint and ends with [`crate::Error::Stopped`]. Clones share the
/// wish. A program sets it from a signal or from another thread.
///
/// ```
/// use sconce_tensor_core::train::Stop;
/// let stop = Stop::default();
/// let other = stop.clone();
/// other.ask();
/// assert!(stop.asked());
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked for.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for a handler of signals.
    pub fn flag(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}

/// Two are equal where they are clones of one.
impl PartialEq for Stop {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

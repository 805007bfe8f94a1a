//! The two number types that the kernels are written for, and their scratch memory.

use candle_core::{CpuStorage, Layout, WithDType};
use std::cell::RefCell;

/// `f32` or `f64`.
pub(crate) trait Element: WithDType + PartialOrd + std::ops::AddAssign {
    const ZERO: Self;
    const ONE: Self;

    /// Whether it is no number.
    fn nan(self) -> bool;

    /// Calls `f` with `len` elements of this thread's scratch memory, their values unspecified.
    /// Must not be nested, and `f` must not wait for other rayon tasks.
    fn scratch<R>(len: usize, f: impl FnOnce(&mut [Self]) -> R) -> R;

    /// The elements of a contiguous storage.
    fn slice<'a>(s: &'a CpuStorage, l: &Layout) -> candle_core::Result<&'a [Self]> {
        match l.contiguous_offsets() {
            Some((from, to)) => Ok(&s.as_slice::<Self>()?[from..to]),
            None => candle_core::bail!("kernel called with a non-contiguous tensor"),
        }
    }
}

macro_rules! element {
    ($t:ty) => {
        impl Element for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;

            fn nan(self) -> bool {
                self.is_nan()
            }

            fn scratch<R>(len: usize, f: impl FnOnce(&mut [Self]) -> R) -> R {
                thread_local!(static SCRATCH: RefCell<Vec<$t>> = const { RefCell::new(Vec::new()) });
                SCRATCH.with_borrow_mut(|s| {
                    if s.len() < len {
                        s.resize(len, 0.0);
                    }
                    f(&mut s[..len])
                })
            }
        }
    };
}
element!(f32);
element!(f64);

/// Runs `$body` with `$t` bound to the storage's element type; other types are an error.
macro_rules! dispatch {
    ($storage:expr, $name:expr, $t:ident => $body:expr) => {
        match $storage {
            candle_core::CpuStorage::F32(_) => {
                type $t = f32;
                $body
            }
            candle_core::CpuStorage::F64(_) => {
                type $t = f64;
                $body
            }
            other => candle_core::bail!(
                "{}: only f32 and f64, got {:?}",
                $name,
                candle_core::backend::BackendStorage::dtype(other)
            ),
        }
    };
}
pub(crate) use dispatch;

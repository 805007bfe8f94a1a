//! The two number types that the kernels are written for, their vectors, and their scratch memory.
#![allow(unsafe_code)]

use candle_core::{CpuStorage, Layout, WithDType};
use pulp::Simd;
use std::cell::RefCell;

/// Bytes of a cache line, and of the widest vector.
const LINE: usize = 64;

/// `f32` or `f64`.
pub(crate) trait Element: WithDType + PartialOrd + std::ops::AddAssign + std::ops::SubAssign {
    const ZERO: Self;
    const ONE: Self;

    /// A vector of the machine.
    type V<S: Simd>: Copy;

    /// Elements of a vector.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::V<S>>() / size_of::<Self>()
    }

    /// A vector of one value.
    fn splat<S: Simd>(s: S, x: Self) -> Self::V<S>;

    /// `a b + c`, in one rounding where the machine has it.
    fn fma<S: Simd>(s: S, a: Self::V<S>, b: Self::V<S>, c: Self::V<S>) -> Self::V<S>;

    /// The first `valid` lanes to `to`.
    ///
    /// # Safety
    /// `valid <= lanes`, and `to` is valid for writes of that many.
    unsafe fn store_part<S: Simd>(s: S, to: *mut Self, valid: usize, v: Self::V<S>);

    /// `valid` elements, the rest zero.
    ///
    /// # Safety
    /// `valid <= lanes`, and `from` is valid for reads of that many.
    unsafe fn load_part<S: Simd>(s: S, from: *const Self, valid: usize) -> Self::V<S>;

    /// In 64 bits. Unlike candle's conversion it is part of the loop that calls it, however candle is compiled.
    fn as_f64(self) -> f64;

    /// The nearest number.
    fn of_f64(x: f64) -> Self;

    /// Whether it is no number.
    fn nan(self) -> bool;

    /// The square root.
    fn root(self) -> Self;

    /// The elements of a contiguous part of a storage, to be changed.
    fn slice_mut<'a>(s: &'a mut CpuStorage, l: &Layout) -> candle_core::Result<&'a mut [Self]>;

    /// This thread's free scratch memory.
    fn shelf(f: impl FnOnce(&mut Vec<Vec<Self>>));

    /// Calls `f` with `len` elements of this thread's scratch memory, at the start of a cache line, their values
    /// unspecified. May be nested.
    fn scratch<R>(len: usize, f: impl FnOnce(&mut [Self]) -> R) -> R {
        f(&mut Room::new(len))
    }

    /// The elements of a contiguous storage.
    fn slice<'a>(s: &'a CpuStorage, l: &Layout) -> candle_core::Result<&'a [Self]> {
        match l.contiguous_offsets() {
            Some((from, to)) => Ok(&s.as_slice::<Self>()?[from..to]),
            None => candle_core::bail!("kernel called with a non-contiguous tensor"),
        }
    }
}

/// Some of a thread's scratch memory, which goes back on the shelf of the thread that drops it.
pub(crate) struct Room<T: Element> {
    memory: Vec<T>,
    skip: usize,
    len: usize,
}

impl<T: Element> Room<T> {
    /// `len` elements at the start of a cache line, their values unspecified.
    pub(crate) fn new(len: usize) -> Self {
        let mut memory = Vec::new();
        T::shelf(|free| {
            // The smallest that is large enough, else the largest, to grow.
            let at = (0..free.len()).min_by_key(|&i| match free[i].len() {
                have if have >= len => (0, have),
                have => (1, usize::MAX - have),
            });
            memory = at.map(|at| free.swap_remove(at)).unwrap_or_default();
        });
        let room = len + LINE / size_of::<T>();
        if memory.len() < room {
            memory = vec![T::ZERO; room];
        }
        let skip = memory.as_ptr().align_offset(LINE).min(room - len);
        Self { memory, skip, len }
    }
}

impl<T: Element> Drop for Room<T> {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        T::shelf(|free| free.push(memory));
    }
}

impl<T: Element> std::ops::Deref for Room<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.memory[self.skip..][..self.len]
    }
}

impl<T: Element> std::ops::DerefMut for Room<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.memory[self.skip..][..self.len]
    }
}

macro_rules! element {
    ($t:ty, $variant:ident, $v:ident, $splat:ident, $fma:ident, $store:ident, $load:ident) => {
        impl Element for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;

            type V<S: Simd> = S::$v;

            #[inline(always)]
            fn splat<S: Simd>(s: S, x: Self) -> Self::V<S> {
                s.$splat(x)
            }

            #[inline(always)]
            fn fma<S: Simd>(s: S, a: Self::V<S>, b: Self::V<S>, c: Self::V<S>) -> Self::V<S> {
                s.$fma(a, b, c)
            }

            #[inline(always)]
            unsafe fn store_part<S: Simd>(s: S, to: *mut Self, valid: usize, v: Self::V<S>) {
                // SAFETY: the caller vouches for these elements.
                s.$store(unsafe { std::slice::from_raw_parts_mut(to, valid) }, v);
            }

            #[inline(always)]
            unsafe fn load_part<S: Simd>(s: S, from: *const Self, valid: usize) -> Self::V<S> {
                // SAFETY: the caller vouches for these elements.
                s.$load(unsafe { std::slice::from_raw_parts(from, valid) })
            }

            #[inline(always)]
            fn as_f64(self) -> f64 {
                self.into()
            }

            #[inline(always)]
            fn of_f64(x: f64) -> Self {
                x as $t
            }

            #[inline(always)]
            fn nan(self) -> bool {
                self.is_nan()
            }

            #[inline(always)]
            fn root(self) -> Self {
                self.sqrt()
            }

            fn slice_mut<'a>(s: &'a mut CpuStorage, l: &Layout) -> candle_core::Result<&'a mut [Self]> {
                match (s, l.contiguous_offsets()) {
                    (CpuStorage::$variant(all), Some((from, to))) => Ok(&mut all[from..to]),
                    (_, None) => candle_core::bail!("change of a tensor that is not contiguous"),
                    _ => candle_core::bail!("change of a tensor of another type"),
                }
            }

            fn shelf(f: impl FnOnce(&mut Vec<Vec<Self>>)) {
                thread_local!(static FREE: RefCell<Vec<Vec<$t>>> = const { RefCell::new(Vec::new()) });
                FREE.with_borrow_mut(f);
            }
        }
    };
}
element!(f32, F32, f32s, splat_f32s, mul_add_e_f32s, partial_store_f32s, partial_load_f32s);
element!(f64, F64, f64s, splat_f64s, mul_add_e_f64s, partial_store_f64s, partial_load_f64s);

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

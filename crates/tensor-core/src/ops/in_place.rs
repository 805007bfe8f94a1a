//! Updates of tensors in place, for optimizers: one pass over all that an update reads and changes. They allocate no memory and do
//! not enter the graph.

use super::cpu::element::Element;
use super::cpu::math::vectorized;
use super::cpu::threads::each_of;
use super::own_kernels;
use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Storage, Tensor, bail};
use std::cell::RefCell;

/// New values of some tensors from their own and those of others, element by element.
pub(crate) trait Elementwise<const CHANGED: usize, const READ: usize = 1>: Sync {
    fn apply<T: Element>(&self, changed: [&mut [T]; CHANGED], read: [&[T]; READ]);

    /// The same as new tensors, on any device.
    fn of_tensors(&self, changed: [&Tensor; CHANGED], read: [&Tensor; READ]) -> Result<[Tensor; CHANGED]>;
}

/// Elements that one task handles.
const RUN: usize = 1 << 15;

/// Changes some tensors: by a kernel on the CPU; on other devices of candle's operations there, and for types of 16 bits in f32.
/// All are of one shape; each that is changed is contiguous and has a storage of its own.
pub(crate) fn apply<const CHANGED: usize, const READ: usize>(
    changed: [&Tensor; CHANGED],
    read: [&Tensor; READ],
    f: &impl Elementwise<CHANGED, READ>,
) -> crate::Result<()> {
    let dtype = changed[0].dtype();
    let storages: Vec<_> = changed.into_iter().chain(read).map(place).collect();
    if (0..CHANGED).any(|i| storages[i + 1..].contains(&storages[i])) {
        let reason = "a tensor that changes shares its memory with another one: pass a copy";
        return Err(crate::Error::value("update in place", reason));
    }
    if own_kernels(changed[0]) {
        return Ok(match dtype {
            DType::F32 => update::<f32, _, _>(changed, read, f),
            _ => update::<f64, _, _>(changed, read, f),
        }?);
    }
    let wide = |t: &Tensor| t.detach().to_dtype(if dtype.size_in_bytes() < 4 { DType::F32 } else { dtype });
    let (old, read) = (all(changed, wide)?, all(read, wide)?);
    let new = f.of_tensors(old.each_ref(), read.each_ref())?;
    for (to, new) in changed.into_iter().zip(new) {
        let new = new.to_dtype(dtype)?;
        // One that stays as it is may be given back itself.
        if place(&new) != place(to) {
            // It is a variable's storage, or the caller's own.
            to.flatten_all()?.slice_set(&new.flatten_all()?, 0, 0)?;
        }
    }
    Ok(())
}

/// Where a tensor's storage is.
fn place(t: &Tensor) -> *const Storage {
    &*t.storage_and_layout().0
}

/// A function of each.
fn all<const N: usize>(of: [&Tensor; N], f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<[Tensor; N]> {
    let all = of.into_iter().map(f).collect::<Result<Vec<_>>>()?;
    all.try_into().map_err(|_| candle_core::Error::Msg("as many as there were".to_owned()))
}

/// Changes tensors on the CPU, on all threads.
fn update<T: Element, const CHANGED: usize, const READ: usize>(
    changed: [&Tensor; CHANGED],
    read: [&Tensor; READ],
    f: &impl Elementwise<CHANGED, READ>,
) -> Result<()> {
    let read = all(read, Tensor::contiguous)?;
    // In one order everywhere, so that no two threads wait for each other; a storage that is read twice is held once.
    let writes = changed.into_iter().enumerate().map(|(i, t)| (place(t), Use::Write(i)));
    let mut order: Vec<_> = writes.chain(read.iter().enumerate().map(|(i, t)| (place(t), Use::Read(i)))).collect();
    order.sort_by_key(|(place, _)| *place);
    let tensors = Tensors { changed, read: read.each_ref(), order: &order };
    let nothing = Held { changed: std::array::from_fn(|_| Default::default()), read: [&[]; READ] };
    tensors.hold(0, nothing, &mut |Held { changed: mut rest, read }| {
        let len = rest[0].len();
        let mut lengths = rest.iter().map(|c| c.len()).chain(read.iter().map(|r| r.len()));
        if let Some(other) = lengths.find(|other| *other != len) {
            bail!("update: {len} and {other} elements");
        }
        let mut runs = Vec::with_capacity(len.div_ceil(RUN));
        while !rest[0].is_empty() {
            runs.push(rest.each_mut().map(|all| {
                let (run, after) = std::mem::take(all).split_at_mut(RUN.min(len - RUN * runs.len()));
                *all = after;
                run
            }));
        }
        let one = |i: usize, changed: [&mut [T]; CHANGED]| {
            let at = i * RUN..i * RUN + changed[0].len();
            let read = read.map(|r| &r[at.clone()]);
            vectorized(
                #[inline(always)]
                || f.apply(changed, read),
            );
        };
        if runs.len() == 1 {
            runs.into_iter().for_each(|run| one(0, run));
        } else {
            each_of(runs, &one);
        }
        Ok(())
    })
}

/// What a storage is held for, and the tensor's number among those that are changed or read.
enum Use {
    Write(usize),
    Read(usize),
}

/// The tensors of an update, and the order in which their storages are held.
struct Tensors<'a, const CHANGED: usize, const READ: usize> {
    changed: [&'a Tensor; CHANGED],
    read: [&'a Tensor; READ],
    order: &'a [(*const Storage, Use)],
}

/// Their elements, as far as they are held.
struct Held<'a, T, const CHANGED: usize, const READ: usize> {
    changed: [&'a mut [T]; CHANGED],
    read: [&'a [T]; READ],
}

impl<const CHANGED: usize, const READ: usize> Tensors<'_, CHANGED, READ> {
    /// Holds the storages from number `next` on, beside those that are held, then calls `then`.
    fn hold<T: Element>(
        &self,
        next: usize,
        held: Held<'_, T, CHANGED, READ>,
        then: &mut dyn FnMut(Held<'_, T, CHANGED, READ>) -> Result<()>,
    ) -> Result<()> {
        let Some((place, first)) = self.order.get(next) else { return then(held) };
        match *first {
            Use::Write(i) => {
                let mut held = Some(held);
                self.changed[i].inplace_op1(&Hold(RefCell::new(|storage: &mut CpuStorage, layout: &Layout| {
                    let Some(mut held): Option<Held<'_, T, CHANGED, READ>> = held.take() else {
                        bail!("update: held twice")
                    };
                    held.changed[i] = T::slice_mut(storage, layout)?;
                    self.hold(next + 1, held, then)
                })))
            }
            Use::Read(i) => {
                let (storage, _) = self.read[i].storage_and_layout();
                let Storage::Cpu(elements) = &*storage else { bail!("update: not a CPU tensor") };
                let (mut held, mut after): (Held<'_, T, CHANGED, READ>, usize) = (held, next);
                while let Some((_, Use::Read(i))) = self.order.get(after).filter(|(other, _)| other == place) {
                    held.read[*i] = T::slice(elements, self.read[*i].layout())?;
                    after += 1;
                }
                self.hold(after, held, then)
            }
        }
    }
}

/// A function of a storage that is held.
struct Hold<F>(RefCell<F>);

impl<F: FnMut(&mut CpuStorage, &Layout) -> Result<()>> InplaceOp1 for Hold<F> {
    fn name(&self) -> &'static str {
        "sconce-update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        (self.0.borrow_mut())(storage, layout)
    }
}

/// Panics unless an update of tensors is that of the kernel.
#[cfg(test)]
pub(crate) fn assert_one_formula<const CHANGED: usize, const READ: usize>(f: &impl Elementwise<CHANGED, READ>) {
    let draw = |seed: usize| {
        crate::Rng::new(seed as u64).uniform((7, 5), 0.1..1.0, DType::F64, &candle_core::Device::Cpu).unwrap()
    };
    let (changed, read): ([_; CHANGED], [_; READ]) = (std::array::from_fn(draw), std::array::from_fn(|i| draw(9 + i)));
    let by_tensors = f.of_tensors(changed.each_ref(), read.each_ref()).unwrap();
    apply(changed.each_ref(), read.each_ref(), f).unwrap();
    for (a, b) in by_tensors.iter().zip(&changed) {
        let far = (a - b).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(far < 1e-14, "{far}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Adds the read ones to all that are changed, and numbers these.
    struct Add;

    impl Elementwise<2, 2> for Add {
        fn apply<T: Element>(&self, [a, b]: [&mut [T]; 2], [x, y]: [&[T]; 2]) {
            for (i, a) in a.iter_mut().enumerate() {
                *a += x[i] + y[i];
                b[i] -= x[i];
            }
        }

        fn of_tensors(&self, [a, b]: [&Tensor; 2], [x, y]: [&Tensor; 2]) -> Result<[Tensor; 2]> {
            Ok([(a + (x + y)?)?, (b - x)?])
        }
    }

    fn of(n: usize, dtype: DType) -> Result<Tensor> {
        Tensor::arange(0f32, n as f32, &Device::Cpu)?.to_dtype(dtype)
    }

    #[test]
    fn several_runs_views_and_all_types() -> crate::Result<()> {
        for n in [0, 5, RUN, 2 * RUN + 3] {
            for dtype in [DType::F32, DType::F64] {
                let (a, b, x) = (of(n, dtype)?, of(n, dtype)?, of(n, dtype)?);
                apply([&a, &b], [&x, &x], &Add)?;
                assert_eq!(
                    a.to_dtype(DType::F64)?.to_vec1::<f64>()?,
                    (0..n).map(|i| 3.0 * i as f64).collect::<Vec<_>>()
                );
                assert_eq!(b.to_dtype(DType::F64)?.to_vec1::<f64>()?, vec![0.0; n]);
            }
        }
        // Half precision goes through f32, and a view is read as it lies.
        let (a, b) = (of(6, DType::BF16)?.reshape((3, 2))?, of(6, DType::BF16)?.reshape((3, 2))?);
        let x = of(6, DType::BF16)?.reshape((2, 3))?.t()?;
        apply([&a, &b], [&x, &x], &Add)?;
        assert_eq!(a.to_dtype(DType::F32)?.to_vec2::<f32>()?, [[0.0, 7.0], [4.0, 11.0], [8.0, 15.0]]);
        let (a, b) = (of(6, DType::F32)?.reshape((3, 2))?, of(6, DType::F32)?.reshape((3, 2))?);
        let x = of(6, DType::F32)?.reshape((2, 3))?.t()?;
        apply([&a, &b], [&x, &x], &Add)?;
        assert_eq!(a.to_vec2::<f32>()?, [[0.0, 7.0], [4.0, 11.0], [8.0, 15.0]]);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused_and_changes_nothing() -> crate::Result<()> {
        let (a, b, x) = (of(4, DType::F32)?, of(4, DType::F32)?, of(4, DType::F32)?);
        for (p, q) in [(&of(3, DType::F32)?, &x), (&x, &of(4, DType::F64)?)] {
            assert!(apply([&a, &b], [p, q], &Add).is_err());
        }
        assert!(apply([&a, &of(4, DType::F64)?], [&x, &x], &Add).is_err());
        for (changed, read) in [([&a, &a], [&x, &x]), ([&a, &b], [&x, &a]), ([&a, &b.narrow(0, 0, 4)?], [&b, &x])] {
            let e = apply(changed, read, &Add).unwrap_err().to_string();
            assert!(e.contains("shares its memory"), "{e}");
        }
        let half = of(4, DType::BF16)?;
        assert!(apply([&half, &of(4, DType::BF16)?], [&half, &half], &Add).is_err());
        assert!(apply([&a, &of(8, DType::F32)?.reshape((4, 2))?.t()?], [&x, &x], &Add).is_err());
        assert_eq!(a.to_vec1::<f32>()?, [0.0, 1.0, 2.0, 3.0]);
        Ok(())
    }

    #[test]
    fn threads_that_change_one_anothers_arguments_do_not_wait_for_each_other() -> crate::Result<()> {
        let tensors: Vec<Tensor> = (0..4).map(|_| Tensor::zeros(8, DType::F32, &Device::Cpu)).collect::<Result<_>>()?;
        std::thread::scope(|scope| {
            let one = |turn: usize| {
                let tensors = &tensors;
                move || {
                    (0..2000).try_for_each(|_| {
                        let at = |i: usize| &tensors[(i + turn) % 4];
                        apply([at(0), at(1)], [at(2), at(3)], &Add)?;
                        apply([at(0), at(1)], [at(3), at(3)], &Add)
                    })
                }
            };
            let threads: Vec<_> = (0..4).map(|turn| scope.spawn(one(turn))).collect();
            threads.into_iter().try_for_each(|t| t.join().unwrap())
        })
    }
}

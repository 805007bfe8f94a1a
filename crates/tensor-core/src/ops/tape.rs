//! A tape of this crate's own operations inside candle's graph.
//!
//! candle 0.11 adds each gradient into a fresh tensor of zeros, on threads of its own that spin; for a residual
//! network that costs as much as the convolutions of a narrow one. So gradients pass between operations of this
//! crate directly. What candle sees of a chain of them is its last result and, for every operation, a [`Join`]: one
//! number whose arguments are the joins below and the leaves, that is variables and results of candle's operations.
//! When candle gives a result its gradient, it is left with the operation; when candle comes to the operation's join, after
//! all that the result went into, the operation runs back once, leaves gradients with the operations below and hands the
//! leaves theirs. Any mixture with candle's operations is right: what arrives by either way adds up before it is used.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor, TensorId};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

/// A kernel with its arguments.
pub(super) trait Step: Send + Sync {
    fn name(&self) -> &'static str;
    fn args(&self) -> &[Tensor];
    fn compute(&self) -> Result<(CpuStorage, Shape)>;
    fn gradients(&self, y: &Tensor, g: &Tensor) -> Result<Vec<Option<Tensor>>>;
}

/// An operation on the tape.
pub(super) struct Node {
    step: Arc<dyn Step>,
    /// For each argument the operation it comes from, where that is on the tape.
    sources: Vec<Option<Arc<Handle>>>,
    /// The result, and the gradient to it as far as it has arrived.
    arrived: Mutex<Option<(Tensor, Tensor)>>,
}

/// What a result knows of its operation.
struct Handle {
    node: Arc<Node>,
    join: Tensor,
    result: OnceLock<TensorId>,
}

/// Results of operations on the tape that are alive.
static ALIVE: LazyLock<Mutex<HashMap<TensorId, Weak<Handle>>>> = LazyLock::new(Mutex::default);

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Each critical section leaves the value whole.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(id) = self.result.get() {
            lock(&ALIVE).remove(id);
        }
    }
}

thread_local! {
    /// Where variables' gradients go during [`backward`].
    static SINK: RefCell<Option<HashMap<TensorId, Tensor>>> = const { RefCell::new(None) };
    static PAUSED: Cell<bool> = const { Cell::new(false) };
    /// Whether this is a backward pass that is not differentiated again.
    static LAST: Cell<bool> = const { Cell::new(false) };
    /// Whether candle keeps the graph of gradients on this thread, so that they can be differentiated again.
    static KEEPS_GRAPH: OnceLock<bool> = const { OnceLock::new() };
}

/// Whether operations are applied without a graph: in a backward pass that will not be differentiated.
pub(super) fn paused() -> bool {
    PAUSED.get()
}

struct Pause(bool);

impl Pause {
    fn when(pause: bool) -> Self {
        Self(PAUSED.replace(PAUSED.get() || pause))
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        PAUSED.set(self.0);
    }
}

/// Whether gradients can be differentiated again on this thread: asks candle for the second derivative of x^4 at 1 by two
/// backward passes, 12 where it keeps the graph of the first.
///
/// # Errors
/// candle's only.
pub fn keeps_graph() -> Result<bool> {
    if let Some(known) = KEEPS_GRAPH.with(|k| k.get().copied()) {
        return Ok(known);
    }
    let x = candle_core::Var::new(1f64, &candle_core::Device::Cpu)?;
    let first = x.sqr()?.sqr()?.backward()?;
    let keeps = match first.get(&x) {
        Some(g) => g.backward()?.get(&x).map(Tensor::to_scalar::<f64>).transpose()? == Some(12.0),
        None => false,
    };
    Ok(KEEPS_GRAPH.with(|k| *k.get_or_init(|| keeps)))
}

/// The gradients of a scalar: what [`Tensor::backward`] gives, but the gradient of a variable that comes from this
/// crate's operations alone is not first added to zeros. For large variables that is most of what candle does there.
///
/// # Errors
/// candle's, and those of operations that cannot be differentiated.
pub fn backward(loss: &Tensor) -> crate::Result<GradStore> {
    /// Puts back what was there, whatever happens.
    struct Restore(Option<HashMap<TensorId, Tensor>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SINK.set(self.0.take());
        }
    }
    let _restore = Restore(SINK.replace(Some(HashMap::new())));
    let mut grads = loss.backward()?;
    for (id, g) in SINK.take().unwrap_or_default() {
        let sum = match grads.get_id(id) {
            Some(other) => super::add(other, &g)?,
            None => g,
        };
        grads.insert_id(id, sum);
    }
    Ok(grads)
}

/// [`backward`] for gradients that are not differentiated again, where the process keeps their graphs: this crate's operations
/// then build none, which saves memory.
///
/// # Errors
/// As [`backward`].
pub fn last_backward(loss: &Tensor) -> crate::Result<GradStore> {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            LAST.set(self.0);
        }
    }
    let _restore = Restore(LAST.replace(true));
    backward(loss)
}

impl Node {
    pub(super) fn new(step: Arc<dyn Step>) -> Self {
        let alive = lock(&ALIVE);
        let source = |a: &Tensor| if a.track_op() { alive.get(&a.id()).and_then(Weak::upgrade) } else { None };
        let sources: Vec<_> = step.args().iter().map(source).collect();
        drop(alive);
        Self { step, sources, arrived: Mutex::default() }
    }

    /// Computes the result and puts it into candle's graph.
    pub(super) fn emit(self) -> Result<Tensor> {
        let node = Arc::new(self);
        let mut slots = Vec::new();
        let mut below = Vec::new();
        for (i, (arg, source)) in node.step.args().iter().zip(&node.sources).enumerate() {
            if arg.track_op() {
                slots.push(i);
                below.push(source.as_ref().map_or(arg, |s| &s.join).clone());
            }
        }
        let join = Join { node: node.clone(), slots };
        let join = match &below[..] {
            [a] => a.apply_op1(join)?,
            [a, b] => a.apply_op2(b, join)?,
            [a, b, c] => a.apply_op3(b, c, join)?,
            _ => candle_core::bail!("{}: {} arguments in the graph", node.step.name(), below.len()),
        };
        let handle = Arc::new(Handle { node, join: join.clone(), result: OnceLock::new() });
        let y = join.apply_op1(Emit(handle.clone()))?;
        let _ = handle.result.set(y.id());
        lock(&ALIVE).insert(y.id(), Arc::downgrade(&handle));
        Ok(y)
    }

    /// Adds a gradient to the result `y` to what has arrived.
    fn arrive(&self, y: &Tensor, g: Tensor) -> Result<()> {
        let mut arrived = lock(&self.arrived);
        *arrived = Some(match arrived.take() {
            Some((y, before)) => (y, super::add(&before, &g)?),
            None => (y.clone(), g),
        });
        Ok(())
    }

    /// Runs back through this operation: gradients arrive at the operations below; those of leaves are returned, by argument.
    fn run_back(&self) -> Result<Vec<Option<Tensor>>> {
        let mut leaves = vec![None; self.sources.len()];
        let Some((y, g)) = lock(&self.arrived).take() else { return Ok(leaves) };
        let keep = !LAST.get() && keeps_graph()?;
        let _pause = Pause::when(!keep);
        for (i, gradient) in self.step.gradients(&y, &g)?.into_iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            let gradient = if keep { gradient } else { gradient.detach() };
            let arg = &self.step.args()[i];
            match &self.sources[i] {
                Some(source) => source.node.arrive(arg, gradient)?,
                None if arg.track_op() => leaves[i] = Some(gradient),
                None => {}
            }
        }
        Ok(leaves)
    }
}

/// The result of an operation, as candle sees it: made from the operation's join.
struct Emit(Arc<Handle>);

impl CustomOp1 for Emit {
    fn name(&self) -> &'static str {
        self.0.node.step.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        self.0.node.step.compute()
    }

    fn bwd(&self, join: &Tensor, y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        self.0.node.arrive(y, g.clone())?;
        join.zeros_like().map(Some)
    }
}

/// One number that stands for an operation in candle's graph; see the module.
struct Join {
    node: Arc<Node>,
    /// For each argument of this op, the operation's argument it stands for.
    slots: Vec<usize>,
}

impl Join {
    fn forward() -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), ().into()))
    }

    /// Runs the operation back; the gradients to this op's arguments are the leaves' own, or nothing for joins below.
    fn hand_over<const N: usize>(&self, args: [&Tensor; N]) -> Result<[Option<Tensor>; N]> {
        let mut leaves = self.node.run_back()?;
        let mut given = [const { None }; N];
        for ((to, arg), slot) in given.iter_mut().zip(args).zip(&self.slots) {
            *to = Self::give(arg, leaves[*slot].take())?;
        }
        Ok(given)
    }

    fn give(arg: &Tensor, gradient: Option<Tensor>) -> Result<Option<Tensor>> {
        match gradient {
            Some(g) if arg.is_variable() => SINK.with_borrow_mut(|sink| match sink {
                Some(sink) => {
                    let sum = match sink.remove(&arg.id()) {
                        Some(before) => super::add(&before, &g)?,
                        None => g,
                    };
                    sink.insert(arg.id(), sum);
                    Ok(None)
                }
                None => Ok(Some(g)),
            }),
            Some(g) => Ok(Some(g)),
            None if arg.is_variable() => Ok(None),
            None => arg.zeros_like().map(Some),
        }
    }
}

impl CustomOp1 for Join {
    fn name(&self) -> &'static str {
        "sconce-join"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::forward()
    }

    fn bwd(&self, a: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        self.hand_over([a]).map(|[a]| a)
    }
}

impl CustomOp2 for Join {
    fn name(&self) -> &'static str {
        "sconce-join"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::forward()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, _: &Tensor, _: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.hand_over([a, b]).map(Into::into)
    }
}

type Three = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl CustomOp3 for Join {
    fn name(&self) -> &'static str {
        "sconce-join"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::forward()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, c: &Tensor, _: &Tensor, _: &Tensor) -> Result<Three> {
        self.hand_over([a, b, c]).map(Into::into)
    }
}

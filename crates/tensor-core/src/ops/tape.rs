//! A tape of this crate's own operations inside candle's graph.
//!
//! candle 0.11 adds each gradient to a new tensor of zeros, on threads of its own that spin. In a residual network with
//! few channels that costs as much as the convolutions do. Therefore gradients pass between operations of this crate
//! directly, and candle's graph only decides the order in which the operations run back.
//!
//! # What candle sees
//! Every operation puts two nodes into candle's graph: its *join*, which is a single number, and its *result*, which is
//! made from the join. The arguments of a join are the joins of those arguments that come from our operations, and the
//! leaves themselves. A leaf is a variable or a result of one of candle's operations. For the chain
//! `a = f1(x, w1)`, `b = f2(a, w2)`, `c = f3(b)` and a loss of candle's operations the graph is
//!
//! ```text
//!   leaves      x    w1          w2
//!                \    |           |
//!                 v   v           v
//!   joins          [join1] ---> [join2] ---> [join3]       one number each
//!                     |            |            |
//!                     v            v            v
//!   results           a            b            c ---> candle's operations ---> loss
//! ```
//!
//! candle does not see that `b` was computed from `a`: it sees the way through the joins only. The values are computed
//! from the arguments that each operation keeps on the tape ([`Node`]).
//!
//! # The backward pass
//! candle visits a node after all nodes that it leads to. For the chain above the order is
//!
//! ```text
//!   candle visits   what happens                                               where gradients arrive
//!   loss ... c      candle computes the gradient to c                          c -> kept by operation 3
//!   join3           f3 runs back: gradient to b from the gradient to c         b -> kept by operation 2
//!   join2           f2 runs back: gradients to a and w2 from that to b         a -> kept by operation 1, w2 -> the leaf
//!   join1           f1 runs back: gradients to x and w1 from that to a         x and w1 -> the leaves
//! ```
//!
//! If one of candle's operations uses `b` too, candle also computes a gradient to `b`. This gradient is added to the one
//! that operation 2 keeps. `join2` leads to `b` and to `join3`, so candle visits `join2` after both, when the sum is
//! complete. Hence each operation runs back once, and every mixture with candle's operations has the right gradients.
//!
//! A join must give candle some gradient for each of its arguments that is not a variable: for a join below it gives a
//! zero, one number that costs nothing. A leaf receives its real gradient, either through candle or, during
//! [`backward`] and for variables, through a list of this thread, which saves the addition to zeros.

mod join;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, Result, Shape, Tensor, TensorId};
use join::{Emit, Join};
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
    /// For each argument, the operation that computed it, if that operation is on the tape.
    sources: Vec<Option<Arc<Handle>>>,
    /// The result, and the sum of the gradients to it that have arrived.
    arrived: Mutex<Option<(Tensor, Tensor)>>,
}

/// What leads from a result to its operation.
struct Handle {
    node: Arc<Node>,
    join: Tensor,
    result: OnceLock<TensorId>,
}

/// The results of operations on the tape that still exist.
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

/// Whether operations are applied without a graph, as in a backward pass that is not differentiated again.
pub(super) fn paused() -> bool {
    PAUSED.get()
}

/// Whether the gradients of this backward pass may be differentiated again.
pub(super) fn differentiates_again() -> Result<bool> {
    Ok(!LAST.get() && keeps_graph()?)
}

/// Runs a kernel with the state of this thread's backward pass put aside: while the kernel waits for other threads, rayon may give this
/// one other work, even a whole training, which the backward pass has nothing to do with.
pub(super) fn aside<R>(kernel: impl FnOnce() -> R) -> R {
    struct Aside(Option<HashMap<TensorId, Tensor>>, bool, bool);
    impl Drop for Aside {
        fn drop(&mut self) {
            SINK.set(self.0.take());
            PAUSED.set(self.1);
            LAST.set(self.2);
        }
    }
    let _aside = Aside(SINK.take(), PAUSED.take(), LAST.take());
    kernel()
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

/// Whether gradients can be differentiated again on this thread. It computes the second derivative of x^4 at 1 by two
/// backward passes, which is 12 only if candle keeps the graph of the first pass.
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

/// The gradients of a scalar, equal to those of [`Tensor::backward`]. A gradient that comes from this crate's operations only
/// is not added to a tensor of zeros first, which for large variables is most of candle's work in the backward pass.
///
/// # Errors
/// candle's, and those of operations that cannot be differentiated.
pub fn backward(loss: &Tensor) -> crate::Result<GradStore> {
    /// Restores the previous state when it is dropped, also after an error.
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

/// [`backward`] for gradients that are not differentiated again. In a process that keeps the graphs of gradients, this crate's
/// operations then build no graph, which saves memory.
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

    /// Adds a gradient to the result `y` to the sum of those that have arrived.
    fn arrive(&self, y: &Tensor, g: Tensor) -> Result<()> {
        let mut arrived = lock(&self.arrived);
        *arrived = Some(match arrived.take() {
            Some((y, before)) => (y, super::add(&before, &g)?),
            None => (y.clone(), g),
        });
        Ok(())
    }

    /// Runs this operation back: it leaves gradients with the operations below and returns those of leaves, by argument.
    fn run_back(&self) -> Result<Vec<Option<Tensor>>> {
        let mut leaves = vec![None; self.sources.len()];
        let Some((y, g)) = lock(&self.arrived).take() else { return Ok(leaves) };
        let keep = differentiates_again()?;
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

//! The two nodes that an operation puts into candle's graph: its join and its result.

use super::{Handle, Node, SINK};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use std::sync::Arc;

/// The result of an operation, as candle sees it: made from the operation's join.
pub(super) struct Emit(pub(super) Arc<Handle>);

impl CustomOp1 for Emit {
    fn name(&self) -> &'static str {
        self.0.node.step.name()
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        super::aside(|| self.0.node.step.compute())
    }

    fn bwd(&self, join: &Tensor, y: &Tensor, g: &Tensor) -> Result<Option<Tensor>> {
        self.0.node.arrive(y, g.clone())?;
        join.zeros_like().map(Some)
    }
}

/// One number that stands for an operation in candle's graph; the documentation of `tape` has a drawing.
pub(super) struct Join {
    pub(super) node: Arc<Node>,
    /// For each argument of the join, the index of the operation's argument that it stands for.
    pub(super) slots: Vec<usize>,
}

impl Join {
    fn forward() -> Result<(CpuStorage, Shape)> {
        Ok((CpuStorage::F32(vec![0.0]), ().into()))
    }

    /// Runs the operation back and returns the gradients to the join's arguments: a leaf's own, and zero for a join below.
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
            Some(g) if arg.is_variable() => {
                let Some(before) = SINK.with_borrow_mut(|sink| sink.as_mut().map(|sink| sink.remove(&arg.id()))) else {
                    return Ok(Some(g));
                };
                // The sum is a kernel: the list is not held while it runs.
                let sum = match before {
                    Some(before) => crate::ops::add(&before, &g)?,
                    None => g,
                };
                SINK.with_borrow_mut(|sink| sink.get_or_insert_default().insert(arg.id(), sum));
                Ok(None)
            }
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

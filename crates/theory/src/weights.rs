//! Flattens the weights of a network so that they can be perturbed and restored.

use crate::{Error, Result};
use candle_core::{Device, Tensor};
use sconce_tensor_core::{Param, Params, Role};

/// The trainable parameters as one flat vector.
#[derive(Clone, Debug)]
pub struct Weights<'a> {
    variables: Vec<&'a Param>,
    dim: usize,
}

pub(crate) fn flat(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.to_device(&Device::Cpu)?.to_dtype(candle_core::DType::F64)?.flatten_all()?.to_vec1()?)
}

impl<'a> Weights<'a> {
    /// All trainable parameters.
    ///
    /// # Errors
    /// No parameters; a value that is not finite, with the parameter's name and the index.
    pub fn new(params: &'a Params) -> Result<Self> {
        Self::of(params.trainable().collect())
    }

    /// The trainable parameters whose names start with `prefix`, for instance those of a layer.
    ///
    /// # Errors
    /// As [`Weights::new`]; a prefix that no trainable parameter has, with the names of all.
    pub fn layer(params: &'a Params, prefix: &str) -> Result<Self> {
        let chosen: Vec<_> = params.trainable().filter(|p| p.name().starts_with(prefix)).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = params.trainable().map(Param::name).collect();
            return Err(Error::value("layer", format!("no parameter starts with `{prefix}`; there are {names:?}")));
        }
        Self::of(chosen)
    }

    fn of(variables: Vec<&'a Param>) -> Result<Self> {
        let dim = variables.iter().map(|p| p.var().elem_count()).sum();
        if dim == 0 {
            return Err(Error::value("parameters", "there are no trainable parameters"));
        }
        let it = Self { variables, dim };
        for (p, w) in it.variables.iter().zip(it.split(&it.values()?)) {
            if let Some(i) = w.iter().position(|v| !v.is_finite()) {
                return Err(Error::value(format!("parameter `{}`", p.name()), format!("{} at {i}", w[i])));
            }
        }
        Ok(it)
    }

    /// The number of values.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The parameters, in order.
    pub fn params(&self) -> &[&'a Param] {
        &self.variables
    }

    /// The current values.
    ///
    /// # Errors
    /// candle's only.
    pub fn values(&self) -> Result<Vec<f64>> {
        Ok(self.variables.iter().map(|p| flat(p.var().as_tensor())).collect::<Result<Vec<_>>>()?.concat())
    }

    /// Splits a vector into the parts of the parameters.
    pub(crate) fn split<'v>(&self, v: &'v [f64]) -> Vec<&'v [f64]> {
        let mut rest = v;
        let cut = |p: &&Param| {
            let (a, b) = rest.split_at(p.var().elem_count());
            rest = b;
            a
        };
        self.variables.iter().map(cut).collect()
    }

    /// The length of each filter, and whether it belongs to a kernel or a linear map. A filter is a row of a kernel or of a
    /// linear map; any other parameter counts as one filter.
    pub(crate) fn filters(&self) -> Vec<(usize, bool)> {
        let each = |p: &&Param| {
            let n = p.var().elem_count();
            match (p.role(), p.var().dims().first()) {
                (Role::Kernel | Role::Weight, Some(rows)) => vec![(n / rows, true); *rows],
                _ => vec![(n, false)],
            }
        };
        self.variables.iter().flat_map(each).collect()
    }

    fn set(&self, w: &[f64]) -> Result<()> {
        for (p, part) in self.variables.iter().zip(self.split(w)) {
            let var = p.var();
            let t = Tensor::from_slice(part, var.shape(), &Device::Cpu)?;
            var.set(&t.to_dtype(var.dtype())?.to_device(var.device())?)?;
        }
        Ok(())
    }

    /// Evaluates `f` at several weight vectors. Afterwards the original weights are restored bit by bit, even after an error or
    /// a panic.
    ///
    /// # Errors
    /// Those of `f`; a weight vector of the wrong length.
    pub fn evaluate_at<T>(
        &self,
        places: impl IntoIterator<Item = Vec<f64>>,
        mut f: impl FnMut() -> Result<T>,
    ) -> Result<Vec<T>> {
        struct Restore<'a, 'b>(&'a Weights<'b>, Vec<Tensor>);
        impl Drop for Restore<'_, '_> {
            fn drop(&mut self) {
                for (p, t) in self.0.variables.iter().zip(&self.1) {
                    // The tensor has the variable's shape and dtype, so that this cannot fail.
                    let _ = p.var().set(t);
                }
            }
        }
        let copies = self.variables.iter().map(|p| Ok(p.var().as_detached_tensor().copy()?));
        let _restore = Restore(self, copies.collect::<Result<_>>()?);
        let one = |w: Vec<f64>| {
            if w.len() != self.dim {
                return Err(Error::value("weights", format!("{} values for {}", w.len(), self.dim)));
            }
            self.set(&w)?;
            f()
        };
        places.into_iter().map(one).collect()
    }
}

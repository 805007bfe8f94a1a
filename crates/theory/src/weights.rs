//! The weights of a network as one vector, moved and put back.

use crate::{Error, Result};
use candle_core::{Device, Tensor};
use sconce_tensor_core::{Param, Params, Role};

/// Trainable parameters, their values one after the other.
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
    /// No parameters; a value that is not finite, with the parameter's name and the place.
    pub fn new(params: &'a Params) -> Result<Self> {
        Self::of(params.trainable().collect())
    }

    /// Those whose names start with `prefix`: a layer.
    ///
    /// # Errors
    /// As [`Weights::new`]; a prefix that no trainable parameter has, with the names there are.
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
            return Err(Error::value("parameters", "there is none to differentiate by"));
        }
        let it = Self { variables, dim };
        for (p, w) in it.variables.iter().zip(it.split(&it.values()?)) {
            if let Some(i) = w.iter().position(|v| !v.is_finite()) {
                return Err(Error::value(format!("parameter `{}`", p.name()), format!("{} at {i}", w[i])));
            }
        }
        Ok(it)
    }

    /// How many values.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The parameters, in order.
    pub fn params(&self) -> &[&'a Param] {
        &self.variables
    }

    /// The values as they are.
    ///
    /// # Errors
    /// candle's only.
    pub fn values(&self) -> Result<Vec<f64>> {
        Ok(self.variables.iter().map(|p| flat(p.var().as_tensor())).collect::<Result<Vec<_>>>()?.concat())
    }

    /// A vector cut into the parameters' parts.
    pub(crate) fn split<'v>(&self, v: &'v [f64]) -> Vec<&'v [f64]> {
        let mut rest = v;
        let cut = |p: &&Param| {
            let (a, b) = rest.split_at(p.var().elem_count());
            rest = b;
            a
        };
        self.variables.iter().map(cut).collect()
    }

    /// The values of each filter: a row of a kernel or of a linear map; other parameters are filters of their own. The lengths of
    /// the parts, and whether each is of a kernel or a linear map.
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

    /// What `f` gives at each of some weights; those before are put back, to the bit, whatever happens.
    ///
    /// # Errors
    /// Those of `f`; weights of another length.
    pub fn at<T>(
        &self,
        places: impl IntoIterator<Item = Vec<f64>>,
        mut f: impl FnMut() -> Result<T>,
    ) -> Result<Vec<T>> {
        struct Restore<'a, 'b>(&'a Weights<'b>, Vec<Tensor>);
        impl Drop for Restore<'_, '_> {
            fn drop(&mut self) {
                for (p, t) in self.0.variables.iter().zip(&self.1) {
                    // A tensor of the variable's own shape and type.
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

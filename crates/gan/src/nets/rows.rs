//! Parameters of single classes.

use super::settle;
use crate::Result;
use sconce_tensor_core::candle_core::Tensor;
use sconce_tensor_core::{Error, Params, Rng, Role};
use std::ops::Range;

/// The values that the parameters of new classes get.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum NewRows {
    /// As in a new network: scales 1, shifts and biases 0, weights uniform with bound `1 / sqrt(columns)`.
    #[default]
    Fresh,
    /// The mean over the rows of other classes, which share their meaning with the networks' other weights.
    MeanOf(Range<usize>),
}

/// Gives the parameters of the classes `rows` new values, in every table of classes (K, ...) among `params`, and finds the spectral norms again.
/// All other values stay.
///
/// # Errors
/// [`Error::Config`] for classes that a table does not have, or an empty range.
pub fn initialise_class_rows(params: &Params, rows: Range<usize>, new: &NewRows, rng: &Rng) -> Result<()> {
    let is_class = |name: &str| name.split('.').any(|part| part == "class");
    for p in params.trainable().filter(|p| is_class(p.name())) {
        let table = p.var().as_detached_tensor();
        let within = |r: &Range<usize>| !r.is_empty() && r.end <= table.dims()[0];
        let source = if let NewRows::MeanOf(of) = new { Some(of) } else { None };
        if let Some(r) = [Some(&rows), source].into_iter().flatten().find(|r| !within(r)) {
            let reason = format!("must be classes of `{}` of shape {:?}, got {r:?}", p.name(), table.dims());
            return Err(Error::config("initialise_class_rows", reason));
        }
        let mut shape = table.dims().to_vec();
        shape[0] = rows.len();
        let (dtype, device) = (table.dtype(), table.device());
        let value = match (source, p.role()) {
            (Some(of), _) => table.narrow(0, of.start, of.len())?.mean_keepdim(0)?.broadcast_as(shape)?.contiguous()?,
            (None, Role::Scale) => Tensor::ones(shape, dtype, device)?,
            (None, Role::Weight | Role::Kernel) => {
                let bound = 1.0 / ((table.elem_count() / table.dims()[0]) as f64).sqrt();
                rng.stream("new rows").stream(p.name()).uniform(shape, -bound..bound, dtype, device)?
            }
            (None, _) => Tensor::zeros(shape, dtype, device)?,
        };
        p.var().set(&table.slice_scatter(&value, 0, rows.start)?)?;
    }
    settle(params)
}

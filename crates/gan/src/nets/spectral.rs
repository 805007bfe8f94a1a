//! Spectral normalisation.

use crate::Result;
use sconce_tensor_core::candle_core::{DType, Shape, Tensor, Var};
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::{Error, Mode, Params, Role, ops};

/// A norm below this counts as this, so that a weight of zeros is not divided by 0.
const SMALLEST: f64 = 1e-12;
/// Power iterations at construction end at this relative change of sigma, or after so many.
const SETTLED: f64 = 1e-10;
const MOST_ITERATIONS: usize = 1000;

/// A weight, optionally divided by its largest singular value (spectral normalisation, Miyato et al. 2018, arXiv 1802.05957,
/// algorithm 1): `W / sigma`, `sigma = u' W v`, with W as the matrix (first axis, all others).
///
/// The vectors `u` and `v` are buffers. Construction finds them by power iteration, so sigma is right from the first evaluation
/// on. In [`Mode::Train`] each call makes one step, `v = W'u / |W'u|`, `u = Wv / |Wv|`; in the other modes they stay. The gradient goes
/// through sigma with u and v constant. Second derivatives exist.
///
/// Its parameters are named `weight`, `u` and `v`.
///
/// ```
/// use sconce_gan::nets::SpectralWeight;
/// use sconce_tensor_core::candle_core::{DType, Device};
/// use sconce_tensor_core::{Mode, Params, Rng, Role, nn::{Builder, Init}};
/// let mut params = Params::new();
/// let mut b = Builder::new(&mut params, Rng::new(0), DType::F64, &Device::Cpu);
/// let w = SpectralWeight::new(&mut b, Role::Kernel, (8, 3, 4, 4), Init::Normal(1.0), true)?;
/// assert_eq!(w.tensor(Mode::Eval)?.dims(), [8, 3, 4, 4]);
/// # Ok::<(), sconce_gan::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SpectralWeight {
    weight: Var,
    vectors: Option<[Var; 2]>,
}

impl SpectralWeight {
    /// A weight; `normalised` or as it is.
    ///
    /// # Errors
    /// A name that is taken, a shape of rank below 2 or with an empty axis.
    pub fn new(b: &mut Builder<'_>, role: Role, shape: impl Into<Shape>, init: Init, normalised: bool) -> Result<Self> {
        let weight = b.param("weight", role, shape, init)?;
        if !normalised {
            return Ok(Self { weight, vectors: None });
        }
        let (rows, columns) = matrix(&weight)?.dims2()?;
        // Values that no weight is orthogonal to but by chance; they are settled at once.
        let u = b.param("u", Role::Buffer, rows, Init::Normal(1.0))?;
        let v = b.param("v", Role::Buffer, columns, Init::Constant(0.0))?;
        settle_one(&weight, &u, &v)?;
        Ok(Self { weight, vectors: Some([u, v]) })
    }

    /// The weight of a forward pass.
    ///
    /// # Shapes
    /// As at construction.
    ///
    /// # Errors
    /// candle's only.
    pub fn tensor(&self, mode: Mode) -> Result<Tensor> {
        let w = mode.tensor(&self.weight);
        let Some([u, v]) = &self.vectors else { return Ok(w) };
        let m = matrix(&w)?;
        let (rows, columns) = m.dims2()?;
        if mode == Mode::Train {
            let found = unit(&ops::matmul(&u.as_detached_tensor().reshape((1, rows))?, &m.detach())?)?;
            v.set(&found.reshape(columns)?)?;
        }
        // A copy: the graph must keep these values when the buffers move on.
        let right = v.as_detached_tensor().copy()?.reshape((columns, 1))?;
        let image = ops::matmul(&m, &right)?;
        if mode == Mode::Train {
            u.set(&unit(&image.detach())?.reshape(rows)?)?;
        }
        let left = u.as_detached_tensor().copy()?.reshape((rows, 1))?;
        // A weight of zeros stays one.
        let sigma = ((image * left)?.sum_all()? + SMALLEST)?;
        // One channel that is scaled by 1 / sigma.
        let zero = Tensor::zeros(1, w.dtype(), w.device())?;
        let scaled = ops::channel_affine(&m.reshape((1, 1, rows, columns))?, &sigma.recip()?.reshape(1)?, &zero)?;
        Ok(scaled.reshape(w.shape())?)
    }

    /// The largest singular value of the weight by its vectors; none where it is not normalised.
    ///
    /// # Errors
    /// candle's only.
    pub fn sigma(&self) -> Result<Option<f64>> {
        self.vectors.as_ref().map(|[u, v]| sigma(&self.weight, u, v)).transpose()
    }
}

/// (first axis, all others).
fn matrix(w: &Tensor) -> Result<Tensor> {
    match w.dims() {
        [rows, rest @ ..] if !rest.is_empty() && w.elem_count() > 0 => Ok(w.reshape((*rows, w.elem_count() / rows))?),
        other => Err(Error::shape("weight", "rank 2 or more, no axis of 0", other)),
    }
}

fn unit(x: &Tensor) -> Result<Tensor> {
    let norm = x.sqr()?.sum_all()?.sqrt()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    Ok((x / norm.max(SMALLEST))?)
}

fn sigma(w: &Tensor, u: &Tensor, v: &Tensor) -> Result<f64> {
    let m = matrix(&w.detach())?;
    let (rows, columns) = m.dims2()?;
    let image = ops::matmul(&m, &v.detach().reshape((columns, 1))?)?;
    let sum = (image * u.detach().reshape((rows, 1))?)?.sum_all()?;
    Ok(sum.to_dtype(DType::F64)?.to_scalar()?)
}

/// Power iteration until sigma no longer changes, in f64.
fn settle_one(weight: &Tensor, u: &Var, v: &Var) -> Result<()> {
    let m = matrix(&weight.detach())?.to_dtype(DType::F64)?;
    let (rows, columns) = m.dims2()?;
    let mut left = u.as_detached_tensor().to_dtype(DType::F64)?.reshape((1, rows))?;
    let mut right = Tensor::zeros((columns, 1), DType::F64, m.device())?;
    let mut before = 0.0;
    for _ in 0..MOST_ITERATIONS {
        right = unit(&ops::matmul(&left, &m)?)?.reshape((columns, 1))?;
        let image = ops::matmul(&m, &right)?;
        let sigma = image.sqr()?.sum_all()?.sqrt()?.to_scalar::<f64>()?;
        left = unit(&image)?.reshape((1, rows))?;
        if (sigma - before).abs() <= SETTLED * sigma {
            break;
        }
        before = sigma;
    }
    u.set(&left.reshape(rows)?.to_dtype(u.dtype())?)?;
    v.set(&right.reshape(columns)?.to_dtype(v.dtype())?)?;
    Ok(())
}

/// The vectors and the weight of each spectral norm among some parameters, by name.
fn norms(params: &Params) -> impl Iterator<Item = (&str, [&Var; 3])> {
    params.iter().filter_map(|p| {
        let name = p.name().strip_suffix("weight")?;
        let of = |n: &str| params.get(&format!("{name}{n}")).filter(|p| p.role() == Role::Buffer);
        Some((name.strip_suffix('.').unwrap_or(name), [p.var(), of("u")?.var(), of("v")?.var()]))
    })
}

/// Finds the vectors of all spectral norms among some parameters again, by power iteration: after weights were replaced.
///
/// # Errors
/// candle's only.
pub fn settle(params: &Params) -> Result<()> {
    norms(params).try_for_each(|(_, [w, u, v])| settle_one(w, u, v))
}

/// The largest singular value of each normalised weight, with the name of its layer.
pub(crate) fn sigmas(params: &Params) -> Result<Vec<(String, f64)>> {
    norms(params).map(|(name, [w, u, v])| Ok((name.to_owned(), sigma(w, u, v)?))).collect()
}

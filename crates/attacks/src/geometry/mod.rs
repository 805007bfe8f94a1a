//! Norms, projections and steepest-ascent steps for all attacks. All functions work row by row: axis 0 is the batch.

pub(crate) mod rows;

use candle_core::{D, DType, Device, Tensor};
use sconce_tensor_core::{Bounds, Error, ExampleRng, Norm, Result, Threat};

/// Share of an example's elements that one L1 step changes (chosen by us; Tramer and Boneh, 2019, section 3, use a
/// quantile, too).
const L1_SHARE: f64 = 0.01;

/// The norm of each row.
///
/// # Shapes
/// (N, ...) -> (N,).
///
/// # Errors
/// An error of candle.
pub fn norms(delta: &Tensor, norm: Norm) -> Result<Tensor> {
    let flat = delta.flatten_from(1)?.abs()?;
    Ok(match norm {
        Norm::Linf => flat.max(D::Minus1)?,
        Norm::L2 => flat.sqr()?.sum(D::Minus1)?.sqrt()?,
        Norm::L1 => flat.sum(D::Minus1)?,
    })
}

/// The diameter of the model's box for inputs with `size` elements: the largest distance between two of its points.
pub fn diameter(norm: Norm, size: usize, bounds: Bounds) -> f64 {
    let (width, size) = (bounds.hi() - bounds.lo(), size as f64);
    match norm {
        Norm::Linf => width,
        Norm::L2 => width * size.sqrt(),
        Norm::L1 => width * size,
    }
}

/// Refuses inputs that are not images of at least `side` x `side`.
pub(crate) fn require_images(what: &str, input: &[usize], side: usize) -> Result<()> {
    match *input {
        [_, _, h, w] if h >= side && w >= side => Ok(()),
        _ => Err(Error::shape("input", format!("(N, C, H, W) with H and W of at least {side}, for {what}"), input)),
    }
}

/// One factor per row, reshaped so that it broadcasts over a tensor like `like`.
fn rowwise(factors: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    shape[0] = like.dim(0)?;
    Ok(factors.reshape(shape)?)
}

/// Projects `moved` onto the intersection of the threat's ball around `x` and the box. For Linf and L1 the result is the
/// nearest point of the intersection; for L2 the ball comes first, then the box (clipping does not leave the ball,
/// because `x` is in the box). A radius of 0 gives `x`.
///
/// # Shapes
/// `moved` and `x` (N, ...) -> the same.
///
/// # Errors
/// The shapes differ; [`Error::Value`] if `moved` is not finite.
pub fn project(moved: &Tensor, x: &Tensor, threat: Threat, bounds: Bounds) -> Result<Tensor> {
    if moved.dims() != x.dims() {
        return Err(Error::shape("perturbed inputs", format!("{:?}", x.dims()), moved.dims()));
    }
    sconce_tensor_core::classifier::require_finite("perturbed inputs", moved)?;
    onto(moved, x, threat, bounds)
}

/// [`project`] of inputs that are known to be finite.
pub(crate) fn onto(moved: &Tensor, x: &Tensor, threat: Threat, bounds: Bounds) -> Result<Tensor> {
    let eps = threat.eps();
    let inside = match threat.norm() {
        _ if eps == 0.0 => x.clone(),
        _ if threat.is_unbounded() => moved.clone(),
        // Clipped to the rounded ends of the interval, so that the result is inside to the last bit.
        Norm::Linf => moved.maximum(&(x - eps)?)?.minimum(&(x + eps)?)?,
        Norm::L2 => {
            let delta = (moved - x)?;
            let length = norms(&delta, Norm::L2)?;
            let factor = (length.clamp(eps, f64::INFINITY)?.recip()? * eps)?;
            // A row inside the ball is returned bit for bit.
            let outside = length.gt(eps)?;
            let scaled = (x + delta.broadcast_mul(&rowwise(&factor, &delta)?)?)?;
            rowwise(&outside, x)?.broadcast_as(x.shape())?.where_cond(&scaled, moved)?
        }
        Norm::L1 => {
            let (mut at, centre) = (host_rows(moved)?, host_rows(x)?);
            for (a, x) in at.iter_mut().zip(&centre) {
                let outside = a.iter().any(|v| !(bounds.lo()..=bounds.hi()).contains(v));
                if outside || rows::distance(a, x, Norm::L1) > eps {
                    rows::project(a, x, Norm::L1, eps, bounds, moved.dtype());
                }
            }
            from_rows(at, moved)?
        }
    };
    Ok(inside.clamp(bounds.lo(), bounds.hi())?)
}

pub(crate) fn host_rows(t: &Tensor) -> Result<Vec<Vec<f64>>> {
    Ok(t.flatten_from(1)?.to_dtype(DType::F64)?.to_device(&Device::Cpu)?.to_vec2::<f64>()?)
}

pub(crate) fn from_rows(rows: Vec<Vec<f64>>, like: &Tensor) -> Result<Tensor> {
    let flat: Vec<f64> = rows.into_iter().flatten().collect();
    Ok(Tensor::from_vec(flat, like.shape(), &Device::Cpu)?.to_dtype(like.dtype())?.to_device(like.device())?)
}

/// The steepest-ascent direction: the direction of unit norm along which a linear function with this gradient grows
/// fastest.
///
/// - Linf: the sign of each element.
/// - L2: the gradient divided by its norm; a zero gradient gives 0.
/// - L1: the signs of the largest 1 % of the elements, divided by their number, among the elements that are not yet at
///   the end of the box (a single element is the exact optimum, but soon reaches the end of the box).
///
/// # Shapes
/// `gradient` and `at` (N, ...) -> the same.
///
/// # Errors
/// An error of candle.
pub fn steepest(gradient: &Tensor, at: &Tensor, norm: Norm, bounds: Bounds) -> Result<Tensor> {
    match norm {
        Norm::Linf => Ok(gradient.sign()?),
        Norm::L2 => {
            // Scaled by the largest element first: squares of tiny gradients would be 0 in f32.
            let peak = norms(gradient, Norm::Linf)?;
            let peak = peak.eq(0.0)?.where_cond(&peak.ones_like()?, &peak)?;
            let g = gradient.broadcast_div(&rowwise(&peak, gradient)?)?;
            let length = norms(&g, Norm::L2)?;
            let length = length.eq(0.0)?.where_cond(&length.ones_like()?, &length)?;
            Ok(g.broadcast_div(&rowwise(&length, gradient)?)?)
        }
        Norm::L1 => {
            let (mut rows, at) = (host_rows(gradient)?, host_rows(at)?);
            for (g, x) in rows.iter_mut().zip(at) {
                let free = |i: usize| (g[i] > 0.0 && x[i] < bounds.hi()) || (g[i] < 0.0 && x[i] > bounds.lo());
                let mut order: Vec<usize> = (0..g.len()).filter(|&i| free(i)).collect();
                // Ties are ordered by position, so that the choice is deterministic.
                order.sort_by(|&a, &b| g[b].abs().total_cmp(&g[a].abs()).then(a.cmp(&b)));
                order.truncate(((g.len() as f64 * L1_SHARE).ceil() as usize).max(1));
                let mut step = vec![0.0; g.len()];
                order.iter().for_each(|&i| step[i] = g[i].signum() / order.len() as f64);
                *g = step;
            }
            from_rows(rows, gradient)
        }
    }
}

/// A uniform random perturbation in the threat's ball for each example (for L1 and L2 with radius `eps u^(1/d)`).
///
/// # Shapes
/// Like `x` (N, ...).
///
/// # Errors
/// An error of candle.
pub fn random_in_ball(x: &Tensor, threat: Threat, rng: &ExampleRng) -> Result<Tensor> {
    let (row, eps) = (&x.dims()[1..], threat.eps());
    if threat.norm() == Norm::Linf {
        return rng.uniform(row, -eps..eps, x.dtype(), x.device());
    }
    let size: usize = row.iter().product();
    let radius = rng.stream("radius");
    let rows = (0..x.dim(0)?)
        .map(|i| {
            let mut v = rng.row(i).normals(size);
            if threat.norm() == Norm::L1 {
                // The direction of Laplace noise is uniform on the L1 sphere.
                v = rng.row(i).uniforms(size).into_iter().map(laplace).collect();
            }
            let length = match threat.norm() {
                Norm::L1 => v.iter().map(|a| a.abs()).sum::<f64>(),
                _ => v.iter().map(|a| a * a).sum::<f64>().sqrt(),
            };
            let scale = eps * radius.row(i).uniforms(1)[0].powf(1.0 / size as f64) / length.max(f64::MIN_POSITIVE);
            v.into_iter().map(|a| a * scale).collect()
        })
        .collect();
    from_rows(rows, x)
}

fn laplace(u: f64) -> f64 {
    let centred = u - 0.5;
    -centred.signum() * (1.0 - 2.0 * centred.abs()).max(f64::MIN_POSITIVE).ln()
}

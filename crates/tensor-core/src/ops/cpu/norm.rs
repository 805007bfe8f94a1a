//! Batch normalisation with the batch's own statistics, forward and backward in two passes each.

use super::build::build;
use super::element::Element;
use super::elementwise::{channel_sum, channel_sums, sum};

/// Mean and biased variance of each channel of x (n, c, p), in f64.
pub(crate) fn moments<T: Element>(x: &[T], c: usize, p: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (x.len() / c) as f64;
    let mean: Vec<f64> = channel_sum(x, c, p).into_iter().map(|s| s / count).collect();
    let var = channel_sums(x.len(), c, p, |ch, at| {
        let (plane, mean) = (&x[at..at + p], mean[ch]);
        sum(p, |i| (plane[i].to_f64() - mean).powi(2))
    });
    (mean, var.into_iter().map(|s| s / count).collect())
}

/// `y = gamma (x - mean) / sqrt(var + eps) + beta`.
pub(crate) fn forward<T: Element>(x: &[T], gamma: &[T], beta: &[T], p: usize, eps: f64) -> Vec<T> {
    let c = gamma.len();
    let (mean, var) = moments(x, c, p);
    build(x.len(), p, |i, y| {
        let ch = i % c;
        let scale = gamma[ch].to_f64() / (var[ch] + eps).sqrt();
        let (scale, mean) = (T::from_f64(scale), T::from_f64(mean[ch]));
        y.iter_mut().zip(&x[i * p..]).for_each(|(y, x)| *y = (*x - mean) * scale + beta[ch]);
    })
}

/// `y = scale x + shift`, channel by channel.
pub(crate) fn affine<T: Element>(x: &[T], scale: &[T], shift: &[T], p: usize) -> Vec<T> {
    let c = scale.len();
    build(x.len(), p, |i, y| {
        let (a, b) = (scale[i % c], shift[i % c]);
        y.iter_mut().zip(&x[i * p..]).for_each(|(y, x)| *y = *x * a + b);
    })
}

/// The gradients to x, gamma and beta.
pub(crate) fn backward<T: Element>(x: &[T], gamma: &[T], g: &[T], p: usize, eps: f64) -> [Vec<T>; 3] {
    let c = gamma.len();
    let count = (x.len() / c) as f64;
    let (mean, var) = moments(x, c, p);
    let inv: Vec<f64> = var.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
    let g_beta = channel_sum(g, c, p);
    let g_gamma = channel_sums(x.len(), c, p, |ch, at| {
        let (x, g, mean) = (&x[at..at + p], &g[at..at + p], mean[ch]);
        inv[ch] * sum(p, |i| g[i].to_f64() * (x[i].to_f64() - mean))
    });
    let gx = build(x.len(), p, |i, gx| {
        // gamma inv (g - mean(g) - xhat mean(g xhat))
        let ch = i % c;
        let scale = T::from_f64(gamma[ch].to_f64() * inv[ch]);
        let shift = T::from_f64(g_beta[ch] / count);
        let slope = T::from_f64(inv[ch] * g_gamma[ch] / count);
        let mean = T::from_f64(mean[ch]);
        let from = x[i * p..].iter().zip(&g[i * p..]);
        gx.iter_mut().zip(from).for_each(|(gx, (x, g))| *gx = scale * (*g - shift - (*x - mean) * slope));
    });
    let narrow = |v: Vec<f64>| v.into_iter().map(T::from_f64).collect();
    [gx, narrow(g_gamma), narrow(g_beta)]
}

//! Batch normalisation with the batch's own statistics, forward and backward in two passes each.

use super::element::Element;
use super::elementwise::channel_sums;
use rayon::prelude::*;

/// Mean and biased variance of each channel of x (n, c, p), in f64.
pub(crate) fn moments<T: Element>(x: &[T], c: usize, p: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (x.len() / c) as f64;
    let mean: Vec<f64> = channel_sums(x, c, p, |_, v| v.to_f64()).into_iter().map(|s| s / count).collect();
    let channel = |i: usize| i / p % c;
    let var = channel_sums(x, c, p, |i, v| (v.to_f64() - mean[channel(i)]).powi(2));
    (mean, var.into_iter().map(|s| s / count).collect())
}

fn planes<T: Element>(out: &mut [T], c: usize, p: usize, f: impl Fn(usize, usize, &mut [T]) + Sync) {
    out.par_chunks_exact_mut(p).enumerate().for_each(|(i, plane)| f(i % c, i * p, plane));
}

/// `y = gamma (x - mean) / sqrt(var + eps) + beta`.
pub(crate) fn forward<T: Element>(x: &[T], gamma: &[T], beta: &[T], p: usize, eps: f64) -> Vec<T> {
    let c = gamma.len();
    let (mean, var) = moments(x, c, p);
    let mut y = vec![T::ZERO; x.len()];
    planes(&mut y, c, p, |ch, at, y| {
        let scale = gamma[ch].to_f64() / (var[ch] + eps).sqrt();
        let (scale, mean) = (T::from_f64(scale), T::from_f64(mean[ch]));
        y.iter_mut().zip(&x[at..]).for_each(|(y, x)| *y = (*x - mean) * scale + beta[ch]);
    });
    y
}

/// `y = scale x + shift`, channel by channel.
pub(crate) fn affine<T: Element>(x: &[T], scale: &[T], shift: &[T], p: usize) -> Vec<T> {
    let mut y = x.to_vec();
    planes(&mut y, scale.len(), p, |ch, _, y| y.iter_mut().for_each(|v| *v = *v * scale[ch] + shift[ch]));
    y
}

/// The gradients to x, gamma and beta, one after the other.
pub(crate) fn backward<T: Element>(x: &[T], gamma: &[T], g: &[T], p: usize, eps: f64) -> Vec<T> {
    let c = gamma.len();
    let count = (x.len() / c) as f64;
    let (mean, var) = moments(x, c, p);
    let inv: Vec<f64> = var.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
    let channel = |i: usize| i / p % c;
    let g_beta = channel_sums(g, c, p, |_, g| g.to_f64());
    let g_gamma = channel_sums(g, c, p, |i, g| {
        let ch = channel(i);
        g.to_f64() * (x[i].to_f64() - mean[ch]) * inv[ch]
    });
    let mut out = vec![T::ZERO; x.len() + 2 * c];
    let (gx, rest) = out.split_at_mut(x.len());
    planes(gx, c, p, |ch, at, gx| {
        // gamma inv (g - mean(g) - xhat mean(g xhat))
        let scale = T::from_f64(gamma[ch].to_f64() * inv[ch]);
        let shift = T::from_f64(g_beta[ch] / count);
        let slope = T::from_f64(inv[ch] * g_gamma[ch] / count);
        let mean = T::from_f64(mean[ch]);
        let from = x[at..].iter().zip(&g[at..]);
        gx.iter_mut().zip(from).for_each(|(gx, (x, g))| *gx = scale * (*g - shift - (*x - mean) * slope));
    });
    rest.iter_mut().zip(g_gamma.iter().chain(&g_beta)).for_each(|(r, v)| *r = T::from_f64(*v));
    out
}

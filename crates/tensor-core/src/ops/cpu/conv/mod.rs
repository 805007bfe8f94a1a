//! The three maps of a convolution: forward, to the input, to the weight.
#![allow(unsafe_code)]

mod correlate;
mod depthwise;
mod kernels;
mod lowered;
mod planes;
mod weight;
mod winograd;

use super::build::fill;
use super::element::Element;
use super::elementwise::Rectify;
use super::math::vectorized;
use crate::ops::Rectifier;
use correlate::{Correlation, Images, Packed, Pass};
use planes::Taps;

/// The sizes of a convolution; channels are those of one group, pairs are (height, width).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) groups: usize,
    pub(crate) channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) image: (usize, usize),
    pub(crate) kernel: (usize, usize),
    pub(crate) out: (usize, usize),
    pub(crate) stride: (usize, usize),
    pub(crate) padding: (usize, usize),
    pub(crate) dilation: (usize, usize),
}

impl Geometry {
    fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// The same convolution with its map in long rows, where the kernel is one tap: these fill whole vectors.
    fn flat(self) -> Self {
        // The map to an input with more positions (`output_padding`) is no such convolution.
        let plain = self.kernel == (1, 1) && self.stride == (1, 1) && self.image == self.out;
        let (positions, lanes) = (self.image.0 * self.image.1, 2 * super::tile::lanes::<f32>());
        let filled = |row: &usize| row * 1024 / row.next_multiple_of(lanes);
        let row = match positions {
            ..=1024 => Some(positions),
            _ => (256..=1024).filter(|row| positions.is_multiple_of(*row)).max_by_key(filled),
        };
        match row.filter(|_| plain) {
            Some(row) => Self { image: (positions / row, row), out: (positions / row, row), ..self },
            None => self,
        }
    }

    /// The taps' numbers and their offsets in the image, in the order of the sum.
    fn tap_offsets(&self) -> (Vec<usize>, Vec<(isize, isize)>) {
        let ((kh, kw), (py, px), (dy, dx)) = (self.kernel, self.padding, self.dilation);
        let offset = |k: usize, d: usize, p: usize| (k * d) as isize - p as isize;
        let offsets = (0..kh).flat_map(|y| (0..kw).map(move |x| (offset(y, dy, py), offset(x, dx, px))));
        ((0..self.taps()).collect(), offsets.collect())
    }

    /// The correlations of the map to the input, one for each phase (y, x) of the stride, with the numbers of their taps:
    /// position i gets from output (i + p - k d) / s through the taps k for which that is whole. `None` where there are none.
    fn phases(&self) -> impl Iterator<Item = Option<((usize, usize), Taps, Vec<usize>)>> {
        let axis = |phase: usize, s: usize, p: usize, d: usize, k: usize, len: usize| {
            let taps: Vec<(usize, isize)> = (0..k)
                .map(|k| (k, phase as isize + p as isize - (k * d) as isize))
                .filter(|(_, at)| at.rem_euclid(s as isize) == 0)
                .map(|(k, at)| (k, at.div_euclid(s as isize)))
                .collect();
            (taps, (len + s - 1 - phase) / s)
        };
        let (sy, sx) = self.stride;
        (0..sy).flat_map(move |y| (0..sx).map(move |x| (y, x))).map(move |(fy, fx)| {
            let (ty, oh) = axis(fy, sy, self.padding.0, self.dilation.0, self.kernel.0, self.image.0);
            let (tx, ow) = axis(fx, sx, self.padding.1, self.dilation.1, self.kernel.1, self.image.1);
            if oh * ow * ty.len() * tx.len() == 0 {
                return None;
            }
            let pairs = || ty.iter().flat_map(|y| tx.iter().map(move |x| (y, x)));
            let order = pairs().map(|(y, x)| y.0 * self.kernel.1 + x.0).collect();
            let taps = Taps { out: (oh, ow), offsets: pairs().map(|(y, x)| (y.1, x.1)).collect() };
            Some(((fy, fx), taps, order))
        })
    }

    /// `y (n, o, oh, ow) = x * w + b`, or rectified.
    pub(crate) fn forward<T: Element>(
        &self,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        rectify: Option<Rectifier>,
    ) -> Vec<T> {
        self.flat().forward_of(x, w, bias, rectify)
    }

    fn forward_of<T: Element>(&self, x: &[T], w: &[T], bias: Option<&[T]>, rectify: Option<Rectifier>) -> Vec<T> {
        if self.depthwise() {
            return self.depthwise_forward(x, w, bias, rectify);
        }
        if let Some(y) = self.winograd_forward(x, w, bias, rectify) {
            return y;
        }
        self.correlate(&self.correlation(), x, w, bias, rectify)
    }

    /// What the forward map sums.
    fn correlation(&self) -> Correlation {
        let (order, offsets) = self.tap_offsets();
        let taps = Taps { out: self.out, offsets };
        Correlation {
            source: self.image,
            stride: self.stride,
            channels: self.channels,
            rows: self.out_channels,
            map: self.out,
            step: (1, 1),
            passes: vec![Pass { taps, order, first: (0, 0) }],
            steps: (self.channels * self.taps(), self.taps()),
        }
    }

    /// `gx (n, c, h, w)`: the adjoint of [`Geometry::forward`] in `x`, applied to `gy`; plus a bias (c,).
    pub(crate) fn input_grad<T: Element>(&self, gy: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
        self.flat().input_grad_of(gy, w, bias)
    }

    fn input_grad_of<T: Element>(&self, gy: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
        if self.depthwise() {
            return self.depthwise_input_grad(gy, w, bias);
        }
        if let Some(gx) = self.winograd_input_grad(gy, w, bias) {
            return gx;
        }
        self.correlate(&self.adjoint(), gy, w, bias, None)
    }

    /// What the map to the input sums.
    fn adjoint(&self) -> Correlation {
        let pass = |(first, taps, order): ((usize, usize), Taps, Vec<usize>)| Pass { taps, order, first };
        Correlation {
            source: self.out,
            stride: (1, 1),
            channels: self.out_channels,
            rows: self.channels,
            map: self.image,
            step: self.stride,
            passes: self.phases().flatten().map(pass).collect(),
            steps: (self.taps(), self.channels * self.taps()),
        }
    }

    /// A correlation of each group, by the faster way; the bytes are the same.
    fn correlate<T: Element>(
        &self,
        of: &Correlation,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        rectify: Option<Rectifier>,
    ) -> Vec<T> {
        if self.groups == 1 && of.lowers::<T>(self.batch) {
            return of.lowered(self.batch, x, w, bias, rectify);
        }
        self.over_batch(of, x, w, bias, rectify)
    }

    /// Runs a correlation of each group over the batch; images are spread over the threads, as many
    /// at once as are best interleaved.
    fn over_batch<T: Element>(
        &self,
        of: &Correlation,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        rectify: Option<Rectifier>,
    ) -> Vec<T> {
        let lanes = super::tile::lanes::<T>();
        let maps: Vec<_> = w.chunks_exact(w.len() / self.groups).map(|w| Packed::new(of, w)).collect();
        let (x_step, y_step) = (self.groups * of.source_len(), self.groups * of.map_len());
        // Interleaved or not, the bytes are the same; few images are better spread over the threads.
        let together = Correlation::spread(self.batch, lanes) && of.interleave::<T>(lanes);
        let run = if together { lanes } else { 1 };
        let per_bias = bias.map_or(1, |b| b.len() / self.groups);
        let dense = of.dense();
        let one = |i: usize, y: &mut [T]| {
            let (first, count) = (i * run, y.len() / y_step);
            if !dense {
                // Where no tap of a stride's phase reaches, the bias alone stands.
                y.fill(T::ZERO);
                if let Some(b) = bias {
                    y.chunks_exact_mut(y_step).for_each(|y| {
                        y.chunks_exact_mut(y_step / b.len()).zip(b).for_each(|(y, b)| y.fill(*b));
                    });
                }
            }
            for (g, map) in maps.iter().enumerate() {
                map.run(Images {
                    x: &x[first * x_step + g * x_step / self.groups..],
                    x_step,
                    y: &mut y[g * y_step / self.groups..],
                    y_step,
                    count,
                    bias: bias.map(|b| &b[g * per_bias..]),
                });
            }
            if let Some(rectify) = rectify.map(Rectify::<T>::new) {
                vectorized(
                    #[inline(always)]
                    || {
                        for y in y.iter_mut() {
                            *y = rectify.at(*y);
                        }
                    },
                );
            }
        };
        // SAFETY: a dense correlation writes its whole map, one for each group; others start from the fill above.
        unsafe { fill(self.batch * y_step, 0, run * y_step, one) }
    }
}

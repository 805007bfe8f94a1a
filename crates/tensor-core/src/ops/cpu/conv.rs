//! The three maps of a convolution: forward, to the input, to the weight.
//!
//! Images are spread over the threads; each is one matrix product per group with its patches.

use super::build::build;
use super::element::Element;
use super::im2col::Patches;
use super::matmul::{Mat, product};

/// A whole convolution: `patches` describes one group of one image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) groups: usize,
    /// Output channels of one group.
    pub(crate) out_channels: usize,
    pub(crate) patches: Patches,
}

impl Geometry {
    fn image(&self) -> usize {
        self.patches.channels * self.patches.image.0 * self.patches.image.1
    }

    fn map(&self) -> usize {
        self.out_channels * self.patches.cols()
    }

    fn kernel(&self) -> usize {
        self.out_channels * self.patches.rows()
    }

    fn scratch(&self) -> usize {
        if self.patches.trivial() { 0 } else { self.patches.rows() * self.patches.cols() }
    }

    /// The patches of one group of an image; a 1x1 convolution's are the image.
    fn columns<'a, T: Element>(&self, image: &'a [T], scratch: &'a mut [T]) -> &'a [T] {
        if self.patches.trivial() {
            return image;
        }
        self.patches.gather(image, scratch);
        scratch
    }

    /// `y (n, o, oh, ow) = x * w + b`.
    pub(crate) fn forward<T: Element>(&self, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
        let (p, o) = (&self.patches, self.out_channels);
        let image = self.groups * self.map();
        build(self.batch * image, image, |n, y| {
            T::scratch(self.scratch(), |scratch| {
                for (g, y) in y.chunks_exact_mut(self.map()).enumerate() {
                    let cols = self.columns(&x[(n * self.groups + g) * self.image()..][..self.image()], scratch);
                    if let Some(b) = bias {
                        y.chunks_exact_mut(p.cols()).zip(&b[g * o..]).for_each(|(y, b)| y.fill(*b));
                    }
                    let w = Mat::rows(&w[g * self.kernel()..][..self.kernel()], p.rows());
                    product((o, p.cols(), p.rows()), y, bias.is_some(), w, Mat::rows(cols, p.cols()));
                }
            });
        })
    }

    /// `gx (n, c, h, w)`: the adjoint of [`Geometry::forward`] in `x`, applied to `gy`.
    pub(crate) fn input_grad<T: Element>(&self, gy: &[T], w: &[T]) -> Vec<T> {
        let (p, o) = (&self.patches, self.out_channels);
        let image = self.groups * self.image();
        build(self.batch * image, image, |n, gx| {
            T::scratch(self.scratch(), |scratch| {
                for (g, gx) in gx.chunks_exact_mut(self.image()).enumerate() {
                    let gy = Mat::rows(&gy[(n * self.groups + g) * self.map()..][..self.map()], p.cols());
                    let wt = Mat::rows(&w[g * self.kernel()..][..self.kernel()], p.rows()).t();
                    if p.trivial() {
                        product((p.rows(), p.cols(), o), gx, false, wt, gy);
                    } else {
                        product((p.rows(), p.cols(), o), scratch, false, wt, gy);
                        p.scatter_add(scratch, gx);
                    }
                }
            });
        })
    }

    /// `gw (o, c/groups, kh, kw)`: the adjoint of [`Geometry::forward`] in `w`, applied to `gy`.
    pub(crate) fn weight_grad<T: Element>(&self, x: &[T], gy: &[T]) -> Vec<T> {
        let (p, o) = (&self.patches, self.out_channels);
        let size = self.groups * self.kernel();
        // Partial sums over fixed runs of images, added in order: few where the weight is large.
        let parts = if size > 1 << 18 { 2 } else { 8 }.min(self.batch.max(1));
        let run = self.batch.div_ceil(parts).max(1);
        let mut sums = build(parts * size, size, |part, gw| {
            T::scratch(self.scratch(), |scratch| {
                for n in (part * run..(part + 1) * run).take_while(|&n| n < self.batch) {
                    for (g, gw) in gw.chunks_exact_mut(self.kernel()).enumerate() {
                        let at = n * self.groups + g;
                        let cols = self.columns(&x[at * self.image()..][..self.image()], scratch);
                        let gy = Mat::rows(&gy[at * self.map()..][..self.map()], p.cols());
                        product((o, p.rows(), p.cols()), gw, true, gy, Mat::rows(cols, p.cols()).t());
                    }
                }
            });
        });
        let (first, rest) = sums.split_at_mut(size);
        for part in rest.chunks_exact(size) {
            first.iter_mut().zip(part).for_each(|(a, b)| *a += *b);
        }
        sums.truncate(size);
        sums
    }
}

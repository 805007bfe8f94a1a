//! Patches of an image as the columns of a matrix, and back.

use super::element::Element;

/// The sizes of one group of one image's convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patches {
    pub(crate) channels: usize,
    pub(crate) image: (usize, usize),
    pub(crate) kernel: (usize, usize),
    pub(crate) out: (usize, usize),
    pub(crate) stride: (usize, usize),
    pub(crate) padding: (usize, usize),
    pub(crate) dilation: (usize, usize),
}

impl Patches {
    /// Rows of the matrix: channels x kernel height x kernel width.
    pub(crate) fn rows(&self) -> usize {
        self.channels * self.kernel.0 * self.kernel.1
    }

    /// Columns of the matrix: one for each output position.
    pub(crate) fn cols(&self) -> usize {
        self.out.0 * self.out.1
    }

    /// Whether the matrix is the image itself.
    pub(crate) fn trivial(&self) -> bool {
        self.kernel == (1, 1) && self.stride == (1, 1) && self.padding == (0, 0)
    }

    /// The outputs of one axis whose tap `k` falls inside the image, and the input of the first of them.
    fn span(
        out: usize,
        image: usize,
        k: usize,
        stride: usize,
        padding: usize,
        dilation: usize,
    ) -> (usize, usize, usize) {
        let shift = k * dilation;
        let first = padding.saturating_sub(shift).div_ceil(stride);
        // o * stride + shift - padding <= image - 1
        let last = if image + padding > shift { (image + padding - shift - 1) / stride + 1 } else { 0 };
        let (first, last) = (first.min(out), last.min(out));
        (first, last.max(first), (first * stride + shift).saturating_sub(padding))
    }

    /// Calls `f(row, y-range, x-range)` for each row of the matrix: its channel plane, and for both
    /// axes (first output, end output, first input).
    fn taps(&self, mut f: impl FnMut(usize, usize, (usize, usize, usize), (usize, usize, usize))) {
        let mut row = 0;
        for c in 0..self.channels {
            for ky in 0..self.kernel.0 {
                let y = Self::span(self.out.0, self.image.0, ky, self.stride.0, self.padding.0, self.dilation.0);
                for kx in 0..self.kernel.1 {
                    let x = Self::span(self.out.1, self.image.1, kx, self.stride.1, self.padding.1, self.dilation.1);
                    f(row, c, y, x);
                    row += 1;
                }
            }
        }
    }

    /// `cols (rows, cols) = patches of image (channels, h, w)`.
    pub(crate) fn gather<T: Element>(&self, image: &[T], cols: &mut [T]) {
        let ((h, w), (oh, ow)) = (self.image, self.out);
        self.taps(|row, c, (y0, y1, iy), (x0, x1, ix)| {
            let plane = &image[c * h * w..(c + 1) * h * w];
            let to = &mut cols[row * oh * ow..(row + 1) * oh * ow];
            to[..y0 * ow].fill(T::ZERO);
            to[y1 * ow..].fill(T::ZERO);
            for y in y0..y1 {
                let from = &plane[(iy + (y - y0) * self.stride.0) * w..][..w];
                let line = &mut to[y * ow..(y + 1) * ow];
                line[..x0].fill(T::ZERO);
                line[x1..].fill(T::ZERO);
                if x1 == x0 {
                } else if self.stride.1 == 1 {
                    line[x0..x1].copy_from_slice(&from[ix..ix + x1 - x0]);
                } else {
                    let from = from[ix..].iter().step_by(self.stride.1);
                    line[x0..x1].iter_mut().zip(from).for_each(|(t, f)| *t = *f);
                }
            }
        });
    }

    /// `image += patches back in place`: the adjoint of [`Patches::gather`].
    pub(crate) fn scatter_add<T: Element>(&self, cols: &[T], image: &mut [T]) {
        let ((h, w), (oh, ow)) = (self.image, self.out);
        self.taps(|row, c, (y0, y1, iy), (x0, x1, ix)| {
            if x1 == x0 {
                return;
            }
            let plane = &mut image[c * h * w..(c + 1) * h * w];
            let from = &cols[row * oh * ow..(row + 1) * oh * ow];
            for y in y0..y1 {
                let to = &mut plane[(iy + (y - y0) * self.stride.0) * w..][..w];
                let line = &from[y * ow + x0..y * ow + x1];
                if self.stride.1 == 1 {
                    to[ix..ix + x1 - x0].iter_mut().zip(line).for_each(|(t, f)| *t += *f);
                } else {
                    to[ix..].iter_mut().step_by(self.stride.1).zip(line).for_each(|(t, f)| *t += *f);
                }
            }
        });
    }
}

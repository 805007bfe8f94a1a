//! The kernels of a correlation as the rows of a matrix, and these packed.
#![allow(unsafe_code)]

use super::correlate::Correlation;
use crate::ops::cpu::build::{split, unwritten};
use crate::ops::cpu::element::Element;
use crate::ops::cpu::matmul::{Mat, PackRows};
use crate::ops::cpu::threads::each_of;
use crate::ops::cpu::tile::{self, Panels};
use crate::ops::cpu::transpose::transpose;
use std::ops::Range;

/// Panels that are packed together at most.
const GROUP: usize = 8;

/// Kernels with some of their taps: `a[m, (c, t)] = w[m steps.0 + c steps.1 + order[t]]`.
pub(super) struct Rows<'a, T> {
    w: &'a [T],
    steps: (usize, usize),
    order: &'a [usize],
    /// Whether these are all taps up to the last, in their order.
    whole: bool,
}

impl<'a, T> Rows<'a, T> {
    pub(super) fn new(of: &Correlation, order: &'a [usize], w: &'a [T]) -> Self {
        Self { w, steps: of.steps, order, whole: order.iter().enumerate().all(|(i, t)| i == *t) }
    }

    /// The rows as a matrix, where all terms lie at one distance.
    fn matrix(&self) -> Option<Mat<'a, T>> {
        let (rs, taps) = (self.steps.0, self.order.len());
        match taps {
            1 => Some(Mat { data: &self.w[self.order[0]..], rs, cs: self.steps.1 }),
            _ => (self.whole && self.steps.1 == taps).then_some(Mat { data: self.w, rs, cs: 1 }),
        }
    }
}

impl<T: Element> PackRows<T> for Rows<'_, T> {
    fn pack_rows(&self, panels: &Panels, group: Range<usize>, (k0, depth): (usize, usize), to: &mut [T]) {
        if let Some(matrix) = self.matrix() {
            return matrix.pack_rows(panels, group, (k0, depth), to);
        }
        let (top, taps, row) = (panels.first(group.start), self.order.len(), self.steps.0);
        // Channel after channel of all panels, so that each page is visited once.
        let mut k = k0;
        while k < k0 + depth {
            let order = &self.order[k % taps..taps.min(k % taps + k0 + depth - k)];
            for panel in group.clone() {
                let (first, height) = (panels.first(panel), panels.height(panel));
                let from = &self.w[k / taps * self.steps.1 + first * row..];
                let to = &mut to[(first - top) * depth + (k - k0) * height..][..order.len() * height];
                if self.whole {
                    transpose((height, order.len()), &from[order[0]..], row, to, height);
                } else {
                    for (tap, to) in order.iter().zip(to.chunks_exact_mut(height)) {
                        to.iter_mut().zip(from[*tap..].iter().step_by(row)).for_each(|(to, from)| *to = *from);
                    }
                }
            }
            k += order.len();
        }
    }
}

/// Packed rows: `[panel][c, t][row]`.
pub(super) struct Kernels<T> {
    pub(super) panels: Panels,
    /// Steps of the sum: channels x taps.
    pub(super) depth: usize,
    pub(super) data: Vec<T>,
}

impl<T: Element> Kernels<T> {
    pub(super) fn new(of: &Correlation, order: &[usize], w: &[T]) -> Self {
        let (rows, panels) = (Rows::new(of, order, w), Panels::new(of.rows, tile::rows()));
        let depth = of.channels * order.len();
        let run = panels.count.div_ceil(4 * rayon::current_num_threads()).min(GROUP);
        let group = |i: usize| i * run..((i + 1) * run).min(panels.count);
        let lengths = (0..panels.count.div_ceil(run))
            .map(|i| (panels.first(group(i).end) - panels.first(group(i).start)) * depth);
        // SAFETY: the groups cover all elements, and each is written whole.
        let mut data: Vec<T> = unsafe { unwritten(of.rows * depth, 0) };
        each_of(split(&mut data, lengths), &|i, part| rows.pack_rows(&panels, group(i), (0, depth), part));
        Self { panels, depth, data }
    }
}

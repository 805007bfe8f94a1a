//! Depthwise convolution: every channel has a kernel of its own, and no sum runs over channels.
//!
//! The maps go plane by plane, so that a plane is read from memory once. A padded copy of it is in the first two caches;
//! there each tap of the kernel is one offset ([`Planes`]), and the vectors run along the rows. Where rows are shorter
//! than two vectors, they run on over the padding between rows, whose results are dropped.
#![allow(unsafe_code)]

use super::Geometry;
use super::planes::{Planes, Taps};
use crate::ops::cpu::build::fill;
use crate::ops::cpu::element::Element;
use crate::ops::cpu::elementwise::rectified;
use crate::ops::cpu::tile::{self, load};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Elements that one task handles, about.
const RUN: usize = 1 << 14;
/// Vectors of results that are computed at once.
const WIDE: usize = 4;
/// Taps whose gradients are summed at once.
const MANY: usize = 9;
/// Tasks that a gradient to the weights is cut into at least, where the batch allows it.
const TASKS: usize = 32;
/// The most lanes of a vector.
const MAX_LANES: usize = 16;

/// The correlation for one phase of the result.
struct Pass {
    out: (usize, usize),
    /// Which weights its taps have.
    order: Vec<usize>,
    /// Where its taps start in the padded copy.
    offsets: Vec<usize>,
}

/// A map of planes.
struct Map {
    planes: Planes,
    target: (usize, usize),
    /// Rows and columns of the result belong to phases `row mod step`; each phase has its pass, if any tap reaches it.
    step: (usize, usize),
    passes: Vec<Option<Pass>>,
}

impl Map {
    fn new(
        source: (usize, usize),
        target: (usize, usize),
        (stride, step): ((usize, usize), (usize, usize)),
        passes: Vec<Option<(Taps, Vec<usize>)>>,
    ) -> Self {
        let planes = Planes::new(source, stride, passes.iter().flatten().map(|p| &p.0), 1);
        let pass = |(taps, order): (Taps, Vec<usize>)| Pass { out: taps.out, order, offsets: planes.offsets(&taps, 1) };
        let passes = passes.into_iter().map(|p| p.map(pass)).collect();
        Self { planes, target, step, passes }
    }

    /// Results of a pass with the padding between its rows.
    fn len(&self, pass: &Pass) -> usize {
        (pass.out.0 - 1) * self.planes.row() + pass.out.1
    }

    /// Elements of the padded copy, and of what is read past its end.
    fn room(&self, lanes: usize) -> usize {
        self.planes.channel() + self.planes.row() + WIDE * lanes
    }

    /// Runs the map over all planes of `x`; plane i has the kernel and bias of channel `i mod channels`.
    fn run<T: Element>(&self, x: &[T], w: &[T], (bias, slope): (Option<&[T]>, Option<f64>), channels: usize) -> Vec<T> {
        let (from, to) = (self.planes.source.0 * self.planes.source.1, self.target.0 * self.target.1);
        let run = (RUN / to.max(from)).max(1);
        let lanes = tile::lanes::<T>();
        let taps = w.len() / channels;
        let beside: usize = self.passes.iter().flatten().map(|p| self.len(p)).sum();
        let task = |i: usize, y: &mut [T]| {
            T::scratch(self.room(lanes) + beside + taps, |scratch| {
                Arch::new().dispatch(Run {
                    map: self,
                    x: &x[i * run * from..],
                    w,
                    bias,
                    slope,
                    channels,
                    first: i * run,
                    y,
                    scratch,
                });
            });
        };
        // SAFETY: every element of each plane is written.
        unsafe { fill(x.len() / from * to, 0, run * to, task) }
    }
}

/// Some planes.
struct Run<'a, T> {
    map: &'a Map,
    /// The planes from the first on.
    x: &'a [T],
    w: &'a [T],
    bias: Option<&'a [T]>,
    slope: Option<f64>,
    channels: usize,
    /// The number of the first plane.
    first: usize,
    y: &'a mut [T],
    scratch: &'a mut [T],
}

impl<T: Element> WithSimd for Run<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { map, x, w, bias, slope, channels, first, y, scratch } = self;
        let (planes, lanes, taps) = (&map.planes, T::lanes::<S>(), w.len() / channels);
        let from = planes.source.0 * planes.source.1;
        let (source, rest) = scratch.split_at_mut(map.room(lanes));
        let (weights, beside) = rest.split_at_mut(taps);
        for v in source[planes.channel()..].iter_mut() {
            *v = T::ZERO;
        }
        for (j, y) in y.chunks_exact_mut(map.target.0 * map.target.1).enumerate() {
            let channel = (first + j) % channels;
            let (w, start) = (&w[channel * taps..][..taps], bias.map_or(T::ZERO, |b| b[channel]));
            planes.lay_plane(&x[j * from..][..from], source);
            // Long rows are written where they belong, others beside.
            let direct = map.step == (1, 1) && map.target.1 >= 2 * lanes;
            let mut at = 0;
            for pass in map.passes.iter().flatten() {
                for (to, tap) in weights.iter_mut().zip(&pass.order) {
                    *to = w[*tap];
                }
                let weights = &weights[..pass.order.len()];
                if direct {
                    for (row, y) in y.chunks_exact_mut(map.target.1).enumerate() {
                        correlate(s, weights, &pass.offsets, &source[row * planes.row()..], start, y);
                    }
                } else {
                    let len = map.len(pass);
                    correlate(s, weights, &pass.offsets, source, start, &mut beside[at..at + len]);
                    at += len;
                }
            }
            if !direct {
                map.gather(beside, start, y);
            }
            if let Some(slope) = slope {
                let slope = T::from_f64(slope);
                for y in y.iter_mut() {
                    *y = rectified(*y, slope);
                }
            }
        }
    }
}

/// `to[i] = start + sum_t w[t] from[offsets[t] + i]`, each a chain in the order of the taps.
#[inline(always)]
fn correlate<S: Simd, T: Element>(s: S, w: &[T], offsets: &[usize], from: &[T], start: T, to: &mut [T]) {
    let (lanes, len) = (T::lanes::<S>(), to.len());
    let mut farthest = 0;
    for o in offsets {
        farthest = farthest.max(*o);
    }
    assert!(farthest + len.div_ceil(lanes) * lanes <= from.len() && w.len() == offsets.len(), "reads past its source");
    let (from, out) = (from.as_ptr(), to.as_mut_ptr());
    let mut i = 0;
    while i + WIDE * lanes <= len {
        let mut acc = [T::splat(s, start); WIDE];
        for (w, o) in w.iter().zip(offsets) {
            let w = T::splat(s, *w);
            for (v, acc) in acc.iter_mut().enumerate() {
                // SAFETY: the farthest read was checked above.
                *acc = T::fma(s, w, unsafe { load::<S, T>(from.add(o + i + v * lanes)) }, *acc);
            }
        }
        for (v, acc) in acc.iter().enumerate() {
            // SAFETY: these are whole vectors below `len`.
            unsafe { out.add(i + v * lanes).cast::<T::V<S>>().write_unaligned(*acc) }
        }
        i += WIDE * lanes;
    }
    while i < len {
        let mut acc = T::splat(s, start);
        for (w, o) in w.iter().zip(offsets) {
            // SAFETY: the farthest read was checked above.
            acc = T::fma(s, T::splat(s, *w), unsafe { load::<S, T>(from.add(o + i)) }, acc);
        }
        // SAFETY: what is left of `to`.
        unsafe { T::store_part(s, out.add(i), lanes.min(len - i), acc) }
        i += lanes;
    }
}

impl Map {
    /// Puts the passes' results together; where no tap reaches, `start` stands.
    #[inline(always)]
    fn gather<T: Element>(&self, beside: &[T], start: T, y: &mut [T]) {
        let ((_, w), (sy, sx), row) = (self.target, self.step, self.planes.row());
        let mut at = 0;
        for fy in 0..sy {
            let phases = &self.passes[fy * sx..][..sx];
            let pairs = match phases {
                [Some(a), Some(b)] => Some((a, b)),
                _ => None,
            };
            if let Some((a, b)) = pairs {
                let (even, odd) = (&beside[at..], &beside[at + self.len(a)..]);
                for i in 0..a.out.0 {
                    let line = &mut y[(fy + i * sy) * w..][..w];
                    let (even, odd) = (&even[i * row..][..a.out.1], &odd[i * row..][..b.out.1]);
                    for (to, (e, o)) in line.chunks_exact_mut(2).zip(even.iter().zip(odd)) {
                        to[0] = *e;
                        to[1] = *o;
                    }
                    if w % 2 == 1 {
                        line[w - 1] = even[a.out.1 - 1];
                    }
                }
                at += self.len(a) + self.len(b);
                continue;
            }
            let whole = sx == 1 && phases[0].is_some();
            if !whole {
                for line in y.chunks_exact_mut(w).skip(fy).step_by(sy) {
                    for v in line.iter_mut() {
                        *v = start;
                    }
                }
            }
            for (fx, pass) in phases.iter().enumerate() {
                let Some(pass) = pass else { continue };
                for i in 0..pass.out.0 {
                    let line = &mut y[(fy + i * sy) * w..][..w];
                    let from = &beside[at + i * row..][..pass.out.1];
                    if sx == 1 {
                        line.copy_from_slice(from);
                    } else {
                        for (to, v) in line[fx..].iter_mut().step_by(sx).zip(from) {
                            *to = *v;
                        }
                    }
                }
                at += self.len(pass);
            }
        }
    }
}

impl Geometry {
    /// Whether every channel has a kernel of its own.
    pub(super) fn depthwise(&self) -> bool {
        self.channels == 1 && self.out_channels == 1
    }

    fn depthwise_map(&self) -> Map {
        let (order, offsets) = self.tap_offsets();
        let pass = Some((Taps { out: self.out, offsets }, order));
        Map::new(self.image, self.out, (self.stride, (1, 1)), vec![pass])
    }

    /// [`Geometry::forward`] of a depthwise convolution.
    pub(super) fn depthwise_forward<T: Element>(
        &self,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        slope: Option<f64>,
    ) -> Vec<T> {
        self.depthwise_map().run(x, w, (bias, slope), self.groups)
    }

    /// [`Geometry::input_grad`] of a depthwise convolution.
    pub(super) fn depthwise_input_grad<T: Element>(&self, gy: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
        let passes = self.phases().map(|p| p.map(|(_, taps, order)| (taps, order))).collect();
        Map::new(self.out, self.image, ((1, 1), self.stride), passes).run(gy, w, (bias, None), self.groups)
    }

    /// [`Geometry::weight_grad`] of a depthwise convolution: for each image a sum in lanes, these and the images in f64.
    pub(super) fn depthwise_weight_grad<T: Element>(&self, x: &[T], gy: &[T]) -> Vec<T> {
        let (map, taps, lanes) = (self.depthwise_map(), self.taps(), tile::lanes::<T>());
        let Some(Some(pass)) = map.passes.first() else { return vec![T::ZERO; self.groups * taps] };
        let parts = TASKS.div_ceil(self.groups).min(self.batch);
        let share = self.batch.div_ceil(parts);
        let len = map.len(pass).div_ceil(lanes) * lanes;
        let one = |i: usize| {
            let (channel, part) = (i / parts, i % parts);
            let mut sums = vec![0f64; taps];
            T::scratch(map.room(lanes) + len, |scratch| {
                let (source, g) = scratch.split_at_mut(map.room(lanes));
                let images = part * share..((part + 1) * share).min(self.batch);
                Arch::new().dispatch(Sums {
                    geo: self,
                    map: &map,
                    pass,
                    x,
                    gy,
                    channel,
                    images,
                    source,
                    g,
                    sums: &mut sums,
                });
            });
            sums
        };
        let all: Vec<Vec<f64>> = (0..self.groups * parts).into_par_iter().map(one).collect();
        let sum = |t: usize, all: &[Vec<f64>]| T::from_f64(all.iter().map(|s| s[t]).sum());
        all.chunks_exact(parts).flat_map(|all| (0..taps).map(move |t| sum(t, all))).collect()
    }
}

/// The weight gradient of one channel over some images.
struct Sums<'a, T> {
    geo: &'a Geometry,
    map: &'a Map,
    pass: &'a Pass,
    x: &'a [T],
    gy: &'a [T],
    channel: usize,
    images: std::ops::Range<usize>,
    source: &'a mut [T],
    /// The gradient to the result with zeros between its rows.
    g: &'a mut [T],
    sums: &'a mut [f64],
}

impl<T: Element> WithSimd for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { geo, map, pass, x, gy, channel, images, source, g, sums } = self;
        let planes = &map.planes;
        let (from, to, row) = (geo.image.0 * geo.image.1, geo.out.0 * geo.out.1, planes.row());
        for v in source[planes.channel()..].iter_mut().chain(g.iter_mut()) {
            *v = T::ZERO;
        }
        for n in images {
            let plane = n * geo.groups + channel;
            planes.lay_plane(&x[plane * from..][..from], source);
            for (i, line) in gy[plane * to..][..to].chunks_exact(geo.out.1).enumerate() {
                g[i * row..][..geo.out.1].copy_from_slice(line);
            }
            let mut at = 0;
            while at < sums.len() {
                let (offsets, sums) = (&pass.offsets[at..], &mut sums[at..]);
                at += match sums.len() {
                    0 => break,
                    1 => dots::<S, T, 1>(s, g, source, offsets, sums),
                    2..=4 => dots::<S, T, 2>(s, g, source, offsets, sums),
                    5..MANY => dots::<S, T, 5>(s, g, source, offsets, sums),
                    _ => dots::<S, T, MANY>(s, g, source, offsets, sums),
                };
            }
        }
    }
}

/// `sums[t] += sum_i g[i] from[offsets[t] + i]` for the first `N` taps; returns `N`.
#[inline(always)]
fn dots<S: Simd, T: Element, const N: usize>(s: S, g: &[T], from: &[T], offsets: &[usize], sums: &mut [f64]) -> usize {
    let lanes = T::lanes::<S>();
    let mut own = [0; N];
    own.copy_from_slice(&offsets[..N]);
    let mut farthest = 0;
    for o in own {
        farthest = farthest.max(o);
    }
    assert!(farthest + g.len() <= from.len() && g.len() % lanes == 0, "reads past its source");
    let mut acc = [T::splat(s, T::ZERO); N];
    for i in (0..g.len()).step_by(lanes) {
        // SAFETY: whole vectors of `g`, and of `from` as checked above.
        unsafe {
            let v = load::<S, T>(g.as_ptr().add(i));
            for (acc, o) in acc.iter_mut().zip(own) {
                *acc = T::fma(s, v, load::<S, T>(from.as_ptr().add(o + i)), *acc);
            }
        }
    }
    for (sum, acc) in sums.iter_mut().zip(acc) {
        let mut parts = [T::ZERO; MAX_LANES];
        // SAFETY: there is room for the widest vector.
        unsafe { T::store_part(s, parts.as_mut_ptr(), lanes, acc) }
        for p in &parts[..lanes] {
            *sum += p.to_f64();
        }
    }
    N
}

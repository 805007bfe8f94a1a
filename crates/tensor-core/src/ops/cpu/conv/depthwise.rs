//! Depthwise convolution: every channel has a kernel of its own, and no sum runs over channels.
//!
//! The maps go plane by plane, so that a plane is read from memory once. A padded copy of it is in the first two caches;
//! there each tap of the kernel is one offset ([`Planes`]). The result is cut into pieces of rows, a vector each.
#![allow(unsafe_code)]

use super::Geometry;
use super::planes::{Planes, Taps};
use crate::ops::Rectifier;
use crate::ops::cpu::build::fill;
use crate::ops::cpu::element::Element;
use crate::ops::cpu::elementwise::Rectify;
use crate::ops::cpu::threads::gather;
use crate::ops::cpu::tile::{self, load};
use pulp::{Arch, Simd, WithSimd};

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
/// Vectors that are added in lanes before the lanes are added in f64, about.
const CHAIN: usize = 256;

/// A vector of results: where it is read in the padded copy (plus the taps' offsets), where it goes, how many are valid.
#[derive(Clone, Copy)]
struct Piece {
    from: usize,
    to: usize,
    valid: usize,
}

/// The correlation for one phase of the result.
struct Pass {
    out: (usize, usize),
    /// Which weights its taps have.
    order: Vec<usize>,
    /// Where its taps start in the padded copy.
    offsets: Vec<usize>,
    pieces: Vec<Piece>,
}

/// A map of planes.
struct Map {
    planes: Planes,
    /// [`Planes::lines`].
    lines: Vec<(usize, usize, usize)>,
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
        lanes: usize,
        passes: Vec<Option<(Taps, Vec<usize>)>>,
    ) -> Self {
        let planes = Planes::new(source, stride, passes.iter().flatten().map(|p| &p.0), 1);
        let pass = |(taps, order): (Taps, Vec<usize>)| {
            let (oh, ow) = taps.out;
            let piece =
                |i: usize, j: usize| Piece { from: i * planes.row() + j, to: i * ow + j, valid: lanes.min(ow - j) };
            let pieces = (0..oh).flat_map(|i| (0..ow).step_by(lanes).map(move |j| piece(i, j))).collect();
            Pass { out: taps.out, order, offsets: planes.offsets(&taps, 1), pieces }
        };
        let passes = passes.into_iter().map(|p| p.map(pass)).collect();
        Self { lines: planes.lines(), planes, target, step, passes }
    }

    /// Elements of the padded copy, and of what is read past its end.
    fn room(&self, lanes: usize) -> usize {
        self.planes.channel() + self.planes.row() + lanes
    }

    /// Copies a plane between the padding, which stays as it is.
    #[inline(always)]
    fn lay<S: Simd, T: Element>(&self, s: S, x: &[T], to: &mut [T]) {
        let sx = self.planes.stride.1;
        for &(at, from, n) in &self.lines {
            let (to, from) = (&mut to[at..at + n], &x[from..]);
            if sx == 1 {
                copy(s, &from[..n], to);
            } else if sx == 2 {
                let pairs = n.min(from.len() / 2);
                for (t, f) in to[..pairs].iter_mut().zip(from.chunks_exact(2)) {
                    *t = f[0];
                }
                if pairs < n {
                    to[pairs] = from[2 * pairs];
                }
            } else {
                for (t, f) in to.iter_mut().zip(from.iter().step_by(sx)) {
                    *t = *f;
                }
            }
        }
    }

    /// Runs the map over all planes of `x`; plane i has the kernel and bias of channel `i mod channels`.
    fn run<T: Element>(
        &self,
        x: &[T],
        w: &[T],
        (bias, rectify): (Option<&[T]>, Option<Rectifier>),
        channels: usize,
    ) -> Vec<T> {
        let (from, to) = (self.planes.source.0 * self.planes.source.1, self.target.0 * self.target.1);
        let run = (RUN / to.max(from)).max(1);
        let lanes = tile::lanes::<T>();
        let taps = w.len() / channels;
        let beside = if self.step == (1, 1) { 0 } else { to };
        let task = |i: usize, y: &mut [T]| {
            T::scratch(self.room(lanes) + beside + taps, |scratch| {
                let (x, first) = (&x[i * run * from..], i * run);
                Arch::new().dispatch(Run { map: self, x, w, bias, rectify, channels, first, y, scratch });
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
    rectify: Option<Rectifier>,
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
        let Self { map, x, w, bias, rectify, channels, first, y, scratch } = self;
        let taps = w.len() / channels;
        let from = map.planes.source.0 * map.planes.source.1;
        let (source, rest) = scratch.split_at_mut(map.room(T::lanes::<S>()));
        let (weights, beside) = rest.split_at_mut(taps);
        source.fill(T::ZERO);
        for (j, y) in y.chunks_exact_mut(map.target.0 * map.target.1).enumerate() {
            let channel = (first + j) % channels;
            let (w, start) = (&w[channel * taps..][..taps], bias.map_or(T::ZERO, |b| b[channel]));
            map.lay(s, &x[j * from..][..from], source);
            if let ((1, 1), [Some(pass)]) = (map.step, &map.passes[..]) {
                correlate(s, w, pass, source, start, y);
            } else {
                let mut at = 0;
                for pass in map.passes.iter().flatten() {
                    for (to, tap) in weights.iter_mut().zip(&pass.order) {
                        *to = w[*tap];
                    }
                    let size = pass.out.0 * pass.out.1;
                    correlate(s, &weights[..pass.order.len()], pass, source, start, &mut beside[at..at + size]);
                    at += size;
                }
                map.gather(beside, start, y);
            }
            if let Some(rectify) = rectify.map(Rectify::new) {
                for y in y.iter_mut() {
                    *y = rectify.at(*y);
                }
            }
        }
    }
}

/// Copies a row. A call to copy memory, or to load a part of a vector, costs more than a short row does: the last of several
/// moves overlaps its neighbour.
#[inline(always)]
fn copy<S: Simd, T: Element>(_: S, from: &[T], to: &mut [T]) {
    let (lanes, n) = (T::lanes::<S>(), from.len());
    assert!(n <= to.len(), "a row that does not fit");
    let (from, to) = (from.as_ptr(), to.as_mut_ptr());
    // SAFETY: both have n elements, and no move goes past them.
    unsafe {
        if n >= lanes {
            for j in (0..n).step_by(lanes) {
                let j = j.min(n - lanes);
                to.add(j).cast::<T::V<S>>().write_unaligned(load::<S, T>(from.add(j)));
            }
        } else if n >= 8 {
            let (a, b) = (from.cast::<[T; 8]>().read_unaligned(), from.add(n - 8).cast::<[T; 8]>().read_unaligned());
            to.cast::<[T; 8]>().write_unaligned(a);
            to.add(n - 8).cast::<[T; 8]>().write_unaligned(b);
        } else if n >= 4 {
            let (a, b) = (from.cast::<[T; 4]>().read_unaligned(), from.add(n - 4).cast::<[T; 4]>().read_unaligned());
            to.cast::<[T; 4]>().write_unaligned(a);
            to.add(n - 4).cast::<[T; 4]>().write_unaligned(b);
        } else {
            for j in 0..n {
                *to.add(j) = *from.add(j);
            }
        }
    }
}

/// `to[i] = start + sum_t w[t] from[offsets[t] + place of i]`, each a chain in the order of the taps.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // fixed indices keep the sums in registers
fn correlate<S: Simd, T: Element>(s: S, w: &[T], pass: &Pass, from: &[T], start: T, to: &mut [T]) {
    let (lanes, offsets) = (T::lanes::<S>(), &pass.offsets[..]);
    let Some(&last) = pass.pieces.last() else { return };
    let farthest = offsets.iter().max().unwrap_or(&0) + last.from + lanes;
    assert!(farthest <= from.len() && w.len() == offsets.len(), "depthwise convolution reads past its source");
    assert!(last.to + last.valid <= to.len(), "depthwise convolution writes past its result");
    let (from, len) = (from.as_ptr(), to.len());
    let mut edge = [T::ZERO; MAX_LANES];
    for pieces in pass.pieces.chunks(WIDE) {
        // What is missing at the end is computed twice.
        let piece: [Piece; WIDE] = std::array::from_fn(|v| pieces[v.min(pieces.len() - 1)]);
        let mut acc = [T::splat(s, start); WIDE];
        for (w, o) in w.iter().zip(offsets) {
            // SAFETY: the last piece reads farthest, and this was checked above.
            unsafe {
                let (w, from) = (T::splat(s, *w), from.add(*o));
                for v in 0..WIDE {
                    acc[v] = T::fma(s, w, load::<S, T>(from.add(piece[v].from)), acc[v]);
                }
            }
        }
        for v in 0..WIDE {
            let Piece { to: at, valid, .. } = piece[v];
            // What a whole vector writes too much belongs to the pieces after it.
            if at + lanes <= len {
                // SAFETY: a whole vector inside of `to`.
                unsafe { to.as_mut_ptr().add(at).cast::<T::V<S>>().write_unaligned(acc[v]) }
            } else {
                // SAFETY: there is room for the widest vector.
                unsafe { edge.as_mut_ptr().cast::<T::V<S>>().write_unaligned(acc[v]) }
                copy(s, &edge[..valid], &mut to[at..]);
            }
        }
    }
}

impl Map {
    /// Puts the passes' results together; where no tap reaches, `start` stands.
    #[inline(always)]
    fn gather<T: Element>(&self, beside: &[T], start: T, y: &mut [T]) {
        let ((_, w), (sy, sx)) = (self.target, self.step);
        let mut at = 0;
        for fy in 0..sy {
            let phases = &self.passes[fy * sx..][..sx];
            let pairs = match phases {
                [Some(a), Some(b)] => Some((a, b)),
                _ => None,
            };
            if let Some((a, b)) = pairs {
                let (even, odd) = (&beside[at..], &beside[at + a.out.0 * a.out.1..]);
                for i in 0..a.out.0 {
                    let line = &mut y[(fy + i * sy) * w..][..w];
                    let (even, odd) = (&even[i * a.out.1..][..a.out.1], &odd[i * b.out.1..][..b.out.1]);
                    for (to, (e, o)) in line.chunks_exact_mut(2).zip(even.iter().zip(odd)) {
                        to[0] = *e;
                        to[1] = *o;
                    }
                    if w % 2 == 1 {
                        line[w - 1] = even[a.out.1 - 1];
                    }
                }
                at += a.out.0 * (a.out.1 + b.out.1);
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
                    let from = &beside[at + i * pass.out.1..][..pass.out.1];
                    if sx == 1 {
                        line.copy_from_slice(from);
                    } else {
                        for (to, v) in line[fx..].iter_mut().step_by(sx).zip(from) {
                            *to = *v;
                        }
                    }
                }
                at += pass.out.0 * pass.out.1;
            }
        }
    }
}

impl Geometry {
    /// Whether every channel has a kernel of its own.
    pub(super) fn depthwise(&self) -> bool {
        self.channels == 1 && self.out_channels == 1
    }

    fn depthwise_map(&self, lanes: usize) -> Map {
        let (order, offsets) = self.tap_offsets();
        let pass = Some((Taps { out: self.out, offsets }, order));
        Map::new(self.image, self.out, (self.stride, (1, 1)), lanes, vec![pass])
    }

    /// [`Geometry::forward`] of a depthwise convolution.
    pub(super) fn depthwise_forward<T: Element>(
        &self,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        rectify: Option<Rectifier>,
    ) -> Vec<T> {
        self.depthwise_map(tile::lanes::<T>()).run(x, w, (bias, rectify), self.groups)
    }

    /// [`Geometry::input_grad`] of a depthwise convolution.
    pub(super) fn depthwise_input_grad<T: Element>(&self, gy: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
        let passes = self.phases().map(|p| p.map(|(_, taps, order)| (taps, order))).collect();
        let map = Map::new(self.out, self.image, ((1, 1), self.stride), tile::lanes::<T>(), passes);
        map.run(gy, w, (bias, None), self.groups)
    }

    /// [`Geometry::weight_grad`] of a depthwise convolution: sums in lanes over about [`CHAIN`] vectors, these in f64.
    pub(super) fn depthwise_weight_grad<T: Element>(&self, x: &[T], gy: &[T]) -> Vec<T> {
        let (taps, lanes) = (self.taps(), tile::lanes::<T>());
        let map = self.depthwise_map(lanes);
        let parts = TASKS.div_ceil(self.groups).min(self.batch);
        let share = self.batch.div_ceil(parts);
        let len = ((self.out.0 - 1) * map.planes.row() + self.out.1).next_multiple_of(lanes);
        let one = |i: usize| {
            let (channel, part) = (i / parts, i % parts);
            let mut sums = vec![0f64; taps];
            T::scratch(map.room(lanes) + len + taps * lanes, |scratch| {
                let images = part * share..((part + 1) * share).min(self.batch);
                let sums = &mut sums[..];
                Arch::new().dispatch(Sums { geo: self, map: &map, x, gy, channel, images, len, scratch, sums });
            });
            sums
        };
        let all = gather(self.groups * parts, 1, &one);
        let sum = |t: usize, all: &[Vec<f64>]| T::of_f64(all.iter().map(|s| s[t]).sum());
        all.chunks_exact(parts).flat_map(|all| (0..taps).map(move |t| sum(t, all))).collect()
    }
}

/// The weight gradient of one channel over some images.
struct Sums<'a, T> {
    geo: &'a Geometry,
    map: &'a Map,
    x: &'a [T],
    gy: &'a [T],
    channel: usize,
    images: std::ops::Range<usize>,
    /// Elements of a map with the padding between its rows.
    len: usize,
    scratch: &'a mut [T],
    sums: &'a mut [f64],
}

impl<T: Element> WithSimd for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, s: S) {
        let Self { geo, map, x, gy, channel, images, len, scratch, sums } = self;
        let [Some(pass)] = &map.passes[..] else { return };
        let (lanes, taps) = (T::lanes::<S>(), sums.len());
        let (from, to) = (geo.image.0 * geo.image.1, geo.out.0 * geo.out.1);
        scratch.fill(T::ZERO);
        let (source, rest) = scratch.split_at_mut(map.room(lanes));
        let (g, acc) = rest.split_at_mut(len);
        let (mut chain, last) = (0, images.end);
        for n in images {
            let plane = n * geo.groups + channel;
            map.lay(s, &x[plane * from..][..from], source);
            // The rows of the gradient lie as far apart as those of the source, with zeros between them.
            for (i, line) in gy[plane * to..][..to].chunks_exact(geo.out.1).enumerate() {
                copy(s, line, &mut g[i * map.planes.row()..]);
            }
            let mut at = 0;
            while at < taps {
                let (offsets, acc) = (&pass.offsets[at..], &mut acc[at * lanes..]);
                at += match taps - at {
                    1 => dots::<S, T, 1>(s, g, source, offsets, acc),
                    2..=4 => dots::<S, T, 2>(s, g, source, offsets, acc),
                    5..MANY => dots::<S, T, 5>(s, g, source, offsets, acc),
                    _ => dots::<S, T, MANY>(s, g, source, offsets, acc),
                };
            }
            chain += len / lanes;
            if chain >= CHAIN || n + 1 == last {
                for (sum, acc) in sums.iter_mut().zip(acc.chunks_exact_mut(lanes)) {
                    for v in acc.iter_mut() {
                        *sum += v.as_f64();
                        *v = T::ZERO;
                    }
                }
                chain = 0;
            }
        }
    }
}

/// `acc[t] += sum_i g[i] from[offsets[t] + i]` in lanes, for the first `N` taps; returns `N`.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // fixed indices keep the sums in registers
fn dots<S: Simd, T: Element, const N: usize>(s: S, g: &[T], from: &[T], offsets: &[usize], acc: &mut [T]) -> usize {
    let lanes = T::lanes::<S>();
    let mut own = [0; N];
    own.copy_from_slice(&offsets[..N]);
    let farthest = own.iter().max().unwrap_or(&0) + g.len();
    assert!(farthest <= from.len() && g.len().is_multiple_of(lanes), "depthwise convolution reads past its source");
    assert!(acc.len() >= N * lanes, "room for the sums");
    let (g, len, from, acc) = (g.as_ptr(), g.len(), from.as_ptr(), acc.as_mut_ptr());
    // SAFETY: `g` is whole vectors, the farthest read of `from` was checked above, and so was the room for N vectors.
    unsafe {
        let mut sums = [load::<S, T>(acc); N];
        for t in 0..N {
            sums[t] = load::<S, T>(acc.add(t * lanes));
        }
        for i in (0..len).step_by(lanes) {
            let v = load::<S, T>(g.add(i));
            for t in 0..N {
                sums[t] = T::fma(s, v, load::<S, T>(from.add(own[t] + i)), sums[t]);
            }
        }
        for t in 0..N {
            acc.add(t * lanes).cast::<T::V<S>>().write_unaligned(sums[t]);
        }
    }
    N
}

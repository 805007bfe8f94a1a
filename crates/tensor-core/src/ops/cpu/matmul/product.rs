//! How a product is cut: blocks of the sum, the factor that is packed for all tasks, and the tasks, each of which packs its part of the
//! other one.
#![allow(unsafe_code)]

use super::block::{Block, Packed};
use super::{Begin, Factor, Job, PackColumns, SMALL, Threads};
use crate::ops::cpu::build::split;
use crate::ops::cpu::element::Element;
use crate::ops::cpu::threads::{Shared, each_of};
use crate::ops::cpu::tile::{self, Panels, VECTORS, lanes};
use pulp::Arch;
use std::ops::Range;

/// The most terms that a task takes at once.
const fn depth_of<T>() -> usize {
    3072 / size_of::<T>()
}
/// Panels of columns that a task takes at most where it packs them: with [`depth_of`], 3/8 of a second-level cache of 1 MiB.
const WIDTH: usize = 4;
/// Panels of rows that a task takes at most where it packs them: the more, the less often the other factor comes from far.
const HEIGHT: usize = 10;
/// Elements that are packed for all tasks at once, about; few in tests, whose products so have several blocks.
const PACKED: usize = if cfg!(test) { 1 << 14 } else { 1 << 20 };
/// Tasks that a product is cut into at least, where it has so many panels on its longer side.
const TASKS: usize = 24;
/// Panels of rows that are packed together.
const GROUP: usize = 8;

/// A factor that each task packs for itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Left,
    Right,
    /// None: the right factor came packed.
    Neither,
}

/// How the result is cut into tasks: `rows` by `columns` of them, each of `height` by `width` panels at most. The cut
/// does not change the bytes of the result.
#[derive(Clone, Copy)]
pub(super) struct Tasks {
    rows: usize,
    columns: usize,
    height: usize,
    width: usize,
}

impl Tasks {
    /// The cut of a result of `down` by `across` panels, for all threads or for one.
    fn new(down: usize, across: usize, own: Own, spread: bool) -> Self {
        let least = if spread { TASKS } else { 1 };
        let (rows, columns) = match own {
            Own::Left => (down.div_ceil(HEIGHT).max(least.min(down)), 1),
            Own::Right => (1, across.div_ceil(WIDTH).max(least.min(across))),
            // One run of columns for each thread: a packed factor is used for many products, and each thread then finds
            // its part in its own cache.
            Own::Neither if spread => (1, rayon::current_num_threads().clamp(1, across)),
            Own::Neither => (1, 1),
        };
        let (height, width) = (down.div_ceil(rows), across.div_ceil(columns));
        // None of them empty.
        Self { rows: down.div_ceil(height), columns: across.div_ceil(width), height, width }
    }

    pub(super) fn count(&self) -> usize {
        self.rows * self.columns
    }

    /// The panels of rows and of columns that a task computes.
    fn panels(&self, task: usize, down: usize, across: usize) -> (Range<usize>, Range<usize>) {
        let (row, column) = (task / self.columns, task % self.columns);
        let part = |i: usize, size: usize, all: usize| i * size..((i + 1) * size).min(all);
        (part(row, self.height, down), part(column, self.width, across))
    }
}

/// A product's sizes, its factors, and the panels that these are packed into.
pub(super) struct Product<'a, T> {
    job: &'a Job<'a, T>,
    /// What the tasks pack.
    own: Own,
    /// Panels of rows.
    panels: Panels,
    /// Columns of a panel of columns.
    pub(super) panel: usize,
    /// Panels of columns.
    across: usize,
    /// Terms that a task takes at once.
    pub(super) cut: usize,
    /// Terms for which the other factor is packed at once.
    pub(super) block: usize,
    /// Whether all threads take part.
    pub(super) spread: bool,
    pub(super) tasks: Tasks,
}

impl<'a, T: Element> Product<'a, T> {
    pub(super) fn new(job: &'a Job<'a, T>) -> Self {
        let (m, n, k) = job.size;
        let panel = VECTORS * lanes::<T>();
        let (panels, across) = (Panels::new(m, tile::rows()), n.div_ceil(panel));
        let own = match job.b {
            Factor::Packed(_) => Own::Neither,
            Factor::Plain(_) if panels.count >= across => Own::Left,
            Factor::Plain(_) => Own::Right,
        };
        // Cuts of about one depth, and blocks of whole cuts.
        let cut = k.div_ceil(k.div_ceil(depth_of::<T>()));
        let wide = if own == Own::Left { across * panel } else { m };
        let block = ((PACKED / wide / cut).max(1) * cut).min(k);
        let spread = job.threads == Threads::All && m * n * block >= SMALL;
        let tasks = Tasks::new(panels.count, across, own, spread);
        Self { job, own, panels, panel, across, cut, block, spread, tasks }
    }

    /// Elements of the factor that all tasks read, for `depth` terms.
    pub(super) fn shared_size(&self, depth: usize) -> usize {
        depth * if self.own == Own::Left { self.across * self.panel } else { self.job.size.0 }
    }

    /// Packs `depth` terms from `k0` of some panels of columns.
    fn pack_columns(&self, b: &dyn PackColumns<T>, across: Range<usize>, terms: (usize, usize), to: &mut [T]) {
        for (column, to) in across.zip(to.chunks_exact_mut(self.panel * terms.1)) {
            let j = column * self.panel;
            b.pack_columns((j, self.panel.min(self.job.size.1 - j)), terms, to, self.panel);
        }
    }

    /// Packs `depth` terms from `k0` of the factor that all tasks read.
    pub(super) fn pack(&self, (k0, depth): (usize, usize), to: &mut [T]) {
        let (count, group) = if self.own == Own::Left { (self.across, 1) } else { (self.panels.count, GROUP) };
        let groups = (0..count.div_ceil(group)).map(|i| i * group..((i + 1) * group).min(count));
        let rows = |g: &Range<usize>| self.panels.first(g.end) - self.panels.first(g.start);
        let wide = |g: &Range<usize>| if self.own == Own::Left { g.len() * self.panel } else { rows(g) };
        let parts = split(to, groups.clone().map(|g| wide(&g) * depth));
        let pack = |(g, to): (Range<usize>, &mut [T])| match (self.own, self.job.b) {
            (Own::Left, Factor::Plain(b)) => self.pack_columns(b, g, (k0, depth), to),
            _ => self.job.a.pack_rows(&self.panels, g, (k0, depth), to),
        };
        let parts: Vec<_> = groups.zip(parts).collect();
        if self.spread && parts.len() > 1 && self.shared_size(depth) >= SMALL / 4 {
            each_of(parts, &|_, part| pack(part));
        } else {
            parts.into_iter().for_each(pack);
        }
    }

    /// A task adds `depth` terms from `k0` to its part of `c`.
    ///
    /// # Safety
    /// `c` must be as [`super::multiply`] says; no other task of this number may run.
    pub(super) unsafe fn task(
        &self,
        task: usize,
        ((k0, depth), shared): ((usize, usize), &[T]),
        offsets: &[usize],
        c: &Shared<T>,
    ) {
        let (down, across) = self.tasks.panels(task, self.panels.count, self.across);
        let (top, left_end) = (self.panels.first(down.start), self.panels.first(down.end));
        let size = match self.own {
            Own::Left => left_end - top,
            Own::Right => across.len() * self.panel,
            Own::Neither => 0,
        };
        let columns = self.job.place.columns(across.start * self.panel..self.job.size.1.min(across.end * self.panel));
        T::scratch(size * self.cut.min(depth), |room| {
            for from in (0..depth).step_by(self.cut) {
                let deep = self.cut.min(depth - from);
                let own = &mut room[..size * deep];
                let terms = (k0 + from, deep);
                match (self.own, self.job.b) {
                    (Own::Left, _) => self.job.a.pack_rows(&self.panels, down.clone(), terms, own),
                    (Own::Right, Factor::Plain(b)) => self.pack_columns(b, across.clone(), terms, own),
                    _ => {}
                }
                let shared = Packed { data: shared, first: 0, depth, from };
                let own = |first| Packed { data: own, first, depth: deep, from: 0 };
                let (left, right) = match (self.own, self.job.b) {
                    (_, Factor::Packed(b)) => (shared, Packed { data: &b.data, first: 0, depth: b.k, from: k0 + from }),
                    (Own::Left, _) => (own(top), shared),
                    _ => (shared, own(across.start * self.panel)),
                };
                Arch::new().dispatch(Block {
                    n: self.job.size.1,
                    left,
                    right,
                    offsets: &offsets[..deep],
                    c,
                    row: self.job.place.row,
                    columns: columns.as_deref(),
                    begin: if k0 + from == 0 { self.job.begin } else { Begin::Result },
                    rectify: self.job.rectify.filter(|_| k0 + from + deep == self.job.size.2),
                    panels: self.panels,
                    down: down.clone(),
                    across: across.clone(),
                });
            }
        });
    }
}

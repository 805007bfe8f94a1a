//! Isolation forest.

use super::{column, part_rows, score_rows};
use crate::rows::Rows;
use crate::{Detector, Error, Loaded, Method, Result, State, TrainingRows};
use candle_core::Tensor;
use rayon::prelude::*;
use sconce_tensor_core::{Rng, error::require};
use serde::{Deserialize, Serialize};

/// Configuration of [`IsolationForest`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `trees` | 100 | number of trees | >= 1 |
/// | `sample` | 256 | training examples of each tree, drawn without replacement; all examples if there are fewer | >= 2 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IsolationForestConfig {
    /// Number of trees.
    pub trees: usize,
    /// Training examples of each tree.
    pub sample: usize,
}

impl Default for IsolationForestConfig {
    fn default() -> Self {
        Self { trees: 100, sample: 256 }
    }
}

/// Random trees split a random feature at a random value; anomalies are isolated at a small depth. The score is
/// `2^(-mean depth / c(sample))` with c the mean depth of an unsuccessful search: about 0.5 for normal examples, at most 1.
///
/// The contribution of a feature is by how much the splits on it lower the mean depth of the training examples along the path of
/// an example, averaged over the trees; the contributions sum to the mean depth of the training examples minus the example's.
///
/// Source: Liu, Ting, Zhou (2008), ICDM.
#[derive(Clone, Copy, Debug, Default)]
pub struct IsolationForest {
    cfg: IsolationForestConfig,
}

impl IsolationForest {
    /// Validates the configuration.
    ///
    /// # Errors
    /// [`Error::Config`] naming the field.
    pub fn new(cfg: IsolationForestConfig) -> Result<Self> {
        require("IsolationForestConfig.trees", cfg.trees >= 1, "at least 1", cfg.trees)?;
        require("IsolationForestConfig.sample", cfg.sample >= 2, "at least 2", cfg.sample)?;
        Ok(Self { cfg })
    }
}

/// A node of a tree: a split with its feature, threshold and children, or a leaf with its depth.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// [`LEAF`] for a leaf.
    feature: u32,
    /// The index of the child for values <= `at`; the other child follows it.
    below: u32,
    /// The threshold of a split; for a leaf its depth, with the mean depth of the subtree that was not grown.
    at: f64,
}

const LEAF: u32 = u32::MAX;

/// Mean depth of an unsuccessful search in a binary search tree of n nodes.
fn mean_depth(n: usize) -> f64 {
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        n => {
            let n = n as f64;
            2.0 * ((n - 1.0).ln() + 0.577_215_664_901_532_9) - 2.0 * (n - 1.0) / n
        }
    }
}

/// Grows a tree on some rows.
fn grow(rows: &Rows, mut at: Vec<u32>, most: usize, rng: &Rng) -> Vec<Node> {
    let mut nodes = vec![Node { feature: LEAF, below: 0, at: 0.0 }];
    // (node, first of its rows, end of its rows, depth)
    let mut open = vec![(0usize, 0usize, at.len(), 0usize)];
    let mut drawn = 0;
    while let Some((node, from, to, depth)) = open.pop() {
        let own = &mut at[from..to];
        let leaf = |n: usize| Node { feature: LEAF, below: 0, at: depth as f64 + mean_depth(n) };
        if own.len() < 2 || depth >= most {
            nodes[node] = leaf(own.len());
            continue;
        }
        // Only a feature that varies among these rows can be split.
        let range = |j: usize| {
            let v = own.iter().map(|i| rows.row(*i as usize)[j]);
            v.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        };
        let mut varying = rng.stream("feature").at(drawn).permutation(rows.width()).into_iter().map(|j| (j, range(j)));
        let Some((feature, (lo, hi))) = varying.find(|(_, (lo, hi))| lo < hi) else {
            nodes[node] = leaf(own.len());
            continue;
        };
        // Below the highest value, so that each side gets an example.
        let cut = lo + (hi - lo) * rng.stream("cut").at(drawn).uniforms(1)[0];
        let cut = if cut < hi { cut } else { lo };
        drawn += 1;
        let mut left = 0;
        for i in 0..own.len() {
            if rows.row(own[i] as usize)[feature] <= cut {
                own.swap(i, left);
                left += 1;
            }
        }
        let below = nodes.len();
        nodes.extend([nodes[node]; 2]);
        nodes[node] = Node { feature: feature as u32, below: below as u32, at: cut };
        open.push((below, from, from + left, depth + 1));
        open.push((below + 1, from + left, to, depth + 1));
    }
    nodes
}

fn depth(tree: &[Node], row: &[f64]) -> f64 {
    let mut node = tree[0];
    while node.feature != LEAF {
        node = tree[node.below as usize + usize::from(row[node.feature as usize] > node.at)];
    }
    node.at
}

/// The mean depth of the training examples below each node. The number of examples in a leaf follows from the depth that is added
/// for it; children come after their parents.
fn mean_depths(tree: &[Node], sample: usize) -> Vec<f64> {
    let mut levels = vec![0usize; tree.len()];
    for (i, n) in tree.iter().enumerate().filter(|(_, n)| n.feature != LEAF) {
        levels[n.below as usize] = levels[i] + 1;
        levels[n.below as usize + 1] = levels[i] + 1;
    }
    // Examples below each node, and the sum of their depths.
    let mut sums = vec![(0.0, 0.0); tree.len()];
    for (i, n) in tree.iter().enumerate().rev() {
        sums[i] = if n.feature == LEAF {
            let (added, mut count, mut most) = (n.at - levels[i] as f64 - 1e-9, 1, sample);
            while count < most {
                let middle = count + (most - count) / 2;
                if mean_depth(middle) < added { count = middle + 1 } else { most = middle }
            }
            (count as f64, count as f64 * n.at)
        } else {
            let (a, b) = (sums[n.below as usize], sums[n.below as usize + 1]);
            (a.0 + b.0, a.1 + b.1)
        };
    }
    sums.into_iter().map(|(count, sum)| sum / count).collect()
}

/// Adds to each feature by how much its splits on the path of a row lower the mean depth.
fn explain(tree: &[Node], depths: &[f64], row: &[f64], parts: &mut [f64]) {
    let mut at = 0;
    while tree[at].feature != LEAF {
        let feature = tree[at].feature as usize;
        let next = tree[at].below as usize + usize::from(row[feature] > tree[at].at);
        parts[feature] += depths[at] - depths[next];
        at = next;
    }
}

#[derive(Debug)]
struct Fitted {
    values: Values,
    trees: Vec<Vec<Node>>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Values {
    cfg: IsolationForestConfig,
    /// Examples of each tree.
    sample: usize,
    width: usize,
}

impl Method for IsolationForest {
    fn fit(&self, train: &TrainingRows<'_>, rng: &Rng) -> Result<Box<dyn Detector>> {
        let x = train.normals()?;
        let (n, width) = Rows::checked(&x)?;
        let x = x.contiguous()?;
        let sample = self.cfg.sample.min(n);
        if sample < 2 {
            return Err(Error::value("examples", "an isolation forest needs at least 2, got 1"));
        }
        let most = (sample as f64).log2().ceil() as usize;
        let rng = rng.stream("isolation forest");
        let tree = |t: usize| -> Result<Vec<Node>> {
            // Each tree has its own stream, because it draws at many places.
            let rng = Rng::new(rng.at(t as u64).bits(1)[0]);
            let at = Tensor::new(choose(n, sample, &rng), x.device())?;
            let rows = Rows::of(&x.index_select(&at, 0)?)?;
            Ok(grow(&rows, (0..sample as u32).collect(), most, &rng))
        };
        let trees = (0..self.cfg.trees).into_par_iter().map(tree).collect::<Result<_>>()?;
        Ok(Box::new(Fitted { values: Values { cfg: self.cfg, sample, width }, trees }))
    }
}

/// Draws `k` of `0..n` without replacement (Floyd's algorithm).
fn choose(n: usize, k: usize, rng: &Rng) -> Vec<u32> {
    let mut chosen = std::collections::BTreeSet::new();
    for (i, u) in rng.stream("sample").uniforms(k).into_iter().enumerate() {
        let top = n - k + i;
        let pick = ((u * (top + 1) as f64) as usize).min(top);
        chosen.insert(if chosen.contains(&(pick as u32)) { top as u32 } else { pick as u32 });
    }
    chosen.into_iter().collect()
}

pub(crate) fn restore(from: &Loaded) -> Result<Box<dyn Detector>> {
    let values: Values = from.values()?;
    let (sizes, features, below, at) =
        (from.numbers("sizes")?, from.numbers("features")?, from.numbers("below")?, from.numbers("at")?);
    let nodes: Vec<Node> = features
        .iter()
        .zip(&below)
        .zip(&at)
        .map(|((f, b), at)| Node { feature: if *f < 0.0 { LEAF } else { *f as u32 }, below: *b as u32, at: *at })
        .collect();
    let mut trees = Vec::new();
    let mut rest = &nodes[..];
    for size in sizes.iter().map(|s| *s as usize) {
        let broken = || Error::value("detector", "the sizes of the trees do not match their nodes");
        let (tree, tail) = rest.split_at_checked(size).filter(|t| !t.0.is_empty()).ok_or_else(broken)?;
        // Children come after their parent, so that every descent ends.
        let sound = |(i, n): (usize, &Node)| {
            n.feature == LEAF
                || ((n.feature as usize) < values.width && (n.below as usize) > i && n.below as usize + 1 < tree.len())
        };
        if !tree.iter().enumerate().all(sound) {
            return Err(broken());
        }
        trees.push(tree.to_vec());
        rest = tail;
    }
    Ok(Box::new(Fitted { values, trees }))
}

impl Detector for Fitted {
    fn name(&self) -> &'static str {
        "isolation-forest"
    }

    fn features(&self) -> usize {
        self.values.width
    }

    fn score(&self, x: &Tensor) -> Result<Tensor> {
        let scale = self.trees.len() as f64 * mean_depth(self.values.sample);
        score_rows(x, self.values.width, |row| {
            let depths: f64 = self.trees.iter().map(|t| depth(t, row)).sum();
            (-depths / scale).exp2()
        })
    }

    fn contributions(&self, x: &Tensor) -> Result<Option<Tensor>> {
        let depths: Vec<Vec<f64>> = self.trees.par_iter().map(|t| mean_depths(t, self.values.sample)).collect();
        part_rows(x, self.values.width, |row| {
            let mut parts = vec![0.0; row.len()];
            self.trees.iter().zip(&depths).for_each(|(t, d)| explain(t, d, row, &mut parts));
            parts.iter_mut().for_each(|p| *p /= self.trees.len() as f64);
            parts
        })
    }

    fn state(&self) -> Result<State> {
        let all = || self.trees.iter().flatten();
        let tensors = vec![
            ("sizes", column(self.trees.iter().map(|t| t.len() as f64).collect())?),
            ("features", column(all().map(|n| if n.feature == LEAF { -1.0 } else { f64::from(n.feature) }).collect())?),
            ("below", column(all().map(|n| f64::from(n.below)).collect())?),
            ("at", column(all().map(|n| n.at).collect())?),
        ];
        State::new(&self.values, tensors)
    }
}

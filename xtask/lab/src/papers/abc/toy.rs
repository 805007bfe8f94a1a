//! Two dimensions, where a decision can be seen: normals on an arc with a gap, known anomalies in the gap, where an autoencoder
//! reconstructs them well, unknown ones outside, on the side of the normals.

use super::areas::Areas;
use super::config::{Arm, Toy};
use crate::jobs::{Job, Work};
use crate::pieces::bytes_text;
use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use sconce_anomaly::protocol::TestSplit;
use sconce_anomaly::{Detector, TrainingRows};
use sconce_tensor_core::Rng;
use serde::{Deserialize, Serialize};

/// Half the side of the square that is mapped.
const EDGE: f64 = 3.5;
/// The middle of the arc's angles.
const TOP: f64 = 0.07 + 1.5;
/// The angle of the gap at the top of the arc.
const GAP: f64 = 0.9;

/// One arm's decision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decided {
    pub arm: String,
    pub known: f64,
    pub unknown: f64,
    /// Share of unknown anomalies with a higher score than 95 % of the training normals.
    pub found: f64,
}

/// The training part, and anomalies of both kinds.
struct Data {
    normal: Vec<f64>,
    known: Vec<f64>,
    unknown: Vec<f64>,
}

impl Data {
    fn draw(cfg: &Toy, seed: u64, stream: &str) -> Self {
        let rng = Rng::new(seed).stream(stream);
        let t = rng.stream("angles").uniforms(cfg.normals);
        let noise = |name: &str, n: usize| rng.stream(name).normals(2 * n);
        let (z, spread) = (noise("normal", cfg.normals), cfg.spread);
        let on = |a: f64, (x, y): (f64, f64)| [2.0 * a.cos() + spread * x, 2.0 * a.sin() - 1.0 + spread * y];
        // Angles from 0.07 to 3.07, but for the gap about the top.
        let arc = |i: usize| {
            let a = 0.07 + (3.0 - GAP) * t[i];
            on(if a < TOP - 0.5 * GAP { a } else { a + GAP }, (z[2 * i], z[2 * i + 1]))
        };
        let u = rng.stream("gap").uniforms(cfg.known);
        let k = noise("known", cfg.known);
        let known = |i: usize| on(TOP + 0.5 * GAP * (u[i] - 0.5), (k[2 * i], k[2 * i + 1]));
        let z = noise("unknown", cfg.unknown);
        let outside = |i: usize| [2.2 + 2.0 * spread * z[2 * i], -2.6 + 2.0 * spread * z[2 * i + 1]];
        Self {
            normal: (0..cfg.normals).flat_map(arc).collect(),
            known: (0..cfg.known).flat_map(known).collect(),
            unknown: (0..cfg.unknown).flat_map(outside).collect(),
        }
    }

    /// As they are drawn on the maps: x, y, and 0 for normal, 1 for known, 2 for unknown.
    fn points(&self) -> Vec<(f64, f64, u8)> {
        let kinds = [(&self.normal, 0), (&self.known, 1), (&self.unknown, 2)];
        kinds.iter().flat_map(|(v, kind)| v.chunks_exact(2).map(move |p| (p[0], p[1], *kind))).collect()
    }
}

/// Points as examples in f32.
fn in_f32(values: Vec<f64>) -> Result<Tensor> {
    let n = values.len() / 2;
    Ok(Tensor::from_vec(values, (n, 2), &Device::Cpu)?.to_dtype(DType::F32)?)
}

fn scores(d: &dyn Detector, points: &[f64]) -> Result<Vec<f64>> {
    Ok(d.score(&in_f32(points.to_vec())?)?.to_vec1::<f64>()?)
}

/// A fitted arm with its scores of the training normals, in order.
struct Fitted {
    detector: Box<dyn Detector>,
    normal: Vec<f64>,
}

impl Fitted {
    fn new(cfg: &Toy, arm: &Arm, train: &Data, seed: u64) -> Result<Self> {
        let x: Tensor = in_f32([&train.normal[..], &train.known].concat())?;
        let known: Vec<bool> = (0..cfg.normals + cfg.known).map(|i| i >= cfg.normals).collect();
        let detector = arm.method()?.fit(&TrainingRows::new(&x, Some(&known)), &Rng::new(seed));
        let detector = detector.with_context(|| format!("arm `{}`", arm.name))?;
        let mut normal = scores(&*detector, &train.normal)?;
        normal.sort_by(f64::total_cmp);
        Ok(Self { detector, normal })
    }

    /// The share of training normals with a lower score.
    fn below(&self, score: f64) -> f64 {
        self.normal.partition_point(|n| *n < score) as f64 / self.normal.len() as f64
    }
}

/// All arms with one seed.
#[derive(Clone, Copy, Serialize)]
pub struct Decide<'a> {
    pub toy: &'a Toy,
    pub seed: u64,
}

impl Job for Decide<'_> {
    type Output = Vec<Decided>;

    fn key(&self) -> String {
        format!("toy/seed{}", self.seed)
    }

    fn cost(&self) -> f64 {
        self.toy.arms.len() as f64
    }

    fn run(&self, _: &Work<'_>) -> Result<Vec<Decided>> {
        let (cfg, seed) = (self.toy, self.seed);
        let train = Data::draw(cfg, seed, "train");
        let test = Data::draw(cfg, seed, "test");
        let one = |arm: &Arm| -> Result<Decided> {
            let fitted = Fitted::new(cfg, arm, &train, seed)?;
            let all = scores(&*fitted.detector, &[&test.normal[..], &test.known, &test.unknown].concat())?;
            let rows = |from: usize, n: usize| (from as u32..(from + n) as u32).collect::<Vec<u32>>();
            let tested = TestSplit {
                normal: rows(0, cfg.normals),
                known: rows(cfg.normals, cfg.known),
                unknown: rows(cfg.normals + cfg.known, cfg.unknown),
            };
            let areas = Areas::of(&all, &tested)?;
            let found = all[cfg.normals + cfg.known..].iter().filter(|s| fitted.below(**s) > 0.95).count();
            Ok(Decided {
                arm: arm.name.clone(),
                known: areas.known.unwrap_or(f64::NAN),
                unknown: areas.unknown.unwrap_or(f64::NAN),
                found: found as f64 / cfg.unknown as f64,
            })
        };
        cfg.arms.par_iter().with_max_len(1).map(one).collect()
    }
}

/// The decisions of a seed as they look in the plane. The arms are fitted once more: it takes seconds.
#[derive(Clone, Copy, Serialize)]
pub struct Map<'a> {
    pub toy: &'a Toy,
    pub seed: u64,
}

/// What there is to see, as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Maps {
    /// Examples of the training part: x, y, and 0 for normal, 1 for known, 2 for unknown.
    pub points: Vec<String>,
    /// For each arm and cell, rows from the top, the share of training normals with a lower score ([`to_text`]).
    pub maps: Vec<Vec<String>>,
}

impl Job for Map<'_> {
    type Output = Maps;

    fn key(&self) -> String {
        format!("map/seed{}", self.seed)
    }

    fn cost(&self) -> f64 {
        (self.toy.arms.len() * self.toy.pixels * self.toy.pixels) as f64
    }

    fn run(&self, _: &Work<'_>) -> Result<Maps> {
        let (cfg, seed, side) = (self.toy, self.seed, self.toy.pixels);
        let train = Data::draw(cfg, seed, "train");
        let one = |arm: &Arm| -> Result<Vec<String>> {
            let fitted = Fitted::new(cfg, arm, &train, seed)?;
            let at = |i: usize| EDGE * (2.0 * (i as f64 + 0.5) / side as f64 - 1.0);
            let grid = (0..side * side).flat_map(|i| [at(i % side), -at(i / side)]).collect::<Vec<f64>>();
            let map: Vec<f64> = scores(&*fitted.detector, &grid)?.into_iter().map(|s| fitted.below(s)).collect();
            Ok(to_text(&map, side))
        };
        let points = train.points().iter().map(|(x, y, kind)| format!("{x:.2} {y:.2} {kind}")).collect();
        Ok(Maps { points, maps: cfg.arms.par_iter().with_max_len(1).map(one).collect::<Result<_>>()? })
    }
}

/// A map as text, a line for each of its rows.
fn to_text(map: &[f64], side: usize) -> Vec<String> {
    map.chunks(side).map(|row| bytes_text::to_text(row.iter().copied())).collect()
}

/// The way back.
pub fn from_text(rows: &[String]) -> Result<Vec<f64>> {
    Ok(rows.iter().map(|r| bytes_text::from_text(r)).collect::<Result<Vec<_>>>()?.concat())
}

/// The pixel of a point on a map of this side, where it is inside.
pub fn pixel((x, y): (f64, f64), side: usize) -> Option<usize> {
    let at = |v: f64| ((v / EDGE + 1.0) / 2.0 * side as f64).floor();
    let (i, j) = (at(x), at(-y));
    let inside = |v: f64| v >= 0.0 && v < side as f64;
    (inside(i) && inside(j)).then(|| j as usize * side + i as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_survives_its_text() {
        let map = [0.0, 0.25, 0.5, 1.0];
        let text = to_text(&map, 2);
        assert_eq!(text, ["0040", "80ff"]);
        let back = from_text(&text).unwrap();
        assert!(map.iter().zip(&back).all(|(a, b)| (a - b).abs() <= 0.5 / 255.0) && from_text(&["zz".into()]).is_err());
    }

    #[test]
    fn points_and_pixels_have_one_orientation() {
        assert_eq!(pixel((-3.49, 3.49), 10), Some(0));
        assert_eq!(pixel((3.49, -3.49), 10), Some(99));
        assert_eq!((pixel((4.0, 0.0), 10), pixel((0.01, 3.49), 10)), (None, Some(5)));
        let cfg = Toy { normals: 50, known: 5, unknown: 7, spread: 0.05, pixels: 4, arms: Vec::new() };
        let d = Data::draw(&cfg, 0, "train");
        assert_eq!(d.points().len(), 62);
        assert!(d.known.chunks(2).all(|p| p[0].abs() < 0.7 && p[1] > 0.7) && d.unknown.chunks(2).all(|p| p[0] > 2.0));
        assert!(d.normal.chunks(2).all(|p| p[0].abs() > 0.5), "the gap is empty");
    }
}

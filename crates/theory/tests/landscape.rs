//! Landscapes of a loss whose every value is known.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device};
use sconce_tensor_core::nn::{Builder, Init};
use sconce_tensor_core::{Params, Rng, Role};
use sconce_theory::landscape::{Axis, Direction, Grid, Normalise, Surface};
use sconce_theory::{Result, Weights};
use std::cell::Cell;

/// A kernel of two filters, a linear map of one row, a bias and a buffer.
fn params(seed: u64) -> Params {
    let mut p = Params::new();
    let mut b = Builder::new(&mut p, Rng::new(seed), DType::F64, &Device::Cpu);
    b.param("conv.weight", Role::Kernel, (2, 1, 2, 2), Init::fan_in(4)).unwrap();
    b.param("fc.weight", Role::Weight, (1, 3), Init::fan_in(3)).unwrap();
    b.param("fc.bias", Role::Bias, 1, Init::fan_in(3)).unwrap();
    b.param("mean", Role::Buffer, 2, Init::fan_in(3)).unwrap();
    p
}

/// The squared norm of all trainable weights.
fn square(p: &Params) -> Result<f64> {
    let each = p.trainable().map(|p| Ok(p.var().as_tensor().sqr()?.sum_all()?.to_scalar::<f64>()?));
    each.sum()
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[test]
fn filters_are_as_long_as_the_networks() {
    let p = params(0);
    let weights = Weights::new(&p).unwrap();
    assert_eq!(weights.dim(), 12);
    let w = weights.values().unwrap();
    let d = Direction::random(&weights, Normalise::Filter, &Rng::new(1)).unwrap();
    for part in [0..4, 4..8, 8..11] {
        assert!((norm(&d.values()[part.clone()]) - norm(&w[part])).abs() < 1e-12);
    }
    assert_eq!(d.values()[11], 0.0, "biases stay");
    let whole = Direction::random(&weights, Normalise::Whole, &Rng::new(1)).unwrap();
    let unit = Direction::random(&weights, Normalise::Unit, &Rng::new(1)).unwrap();
    assert!((norm(whole.values()) - norm(&w)).abs() < 1e-12 && (norm(unit.values()) - 1.0).abs() < 1e-12);
    let message = |d: Result<Direction>| d.unwrap_err().to_string();
    assert!(message(Direction::new(&weights, vec![0.0; 12], Normalise::Whole, "none")).contains("`none`: has norm 0"));
    let mut bias = vec![0.0; 12];
    bias[11] = 1.0;
    assert!(message(Direction::new(&weights, bias, Normalise::Filter, "bias")).contains("norm 0"));
    assert!(message(Direction::new(&weights, vec![1.0; 3], Normalise::Unit, "short")).contains("must be 12"));
    assert!(message(Direction::to(&weights, &w)).contains("are the same"));
}

#[test]
fn a_line_and_a_plane_are_the_losses_own() {
    let p = params(0);
    let weights = Weights::new(&p).unwrap();
    let w = weights.values().unwrap();
    let other: Vec<f64> = w.iter().map(|w| w + 1.0).collect();
    let to = Direction::to(&weights, &other).unwrap();
    let d = Direction::random(&weights, Normalise::Filter, &Rng::new(1)).unwrap();
    let grid = Grid::plane(
        Axis { direction: to.clone(), steps: vec![-1.0, 0.0, 0.5] },
        Axis { direction: d.clone(), steps: vec![0.0, 2.0] },
    )
    .unwrap();
    let s = grid.measure(&weights, &["loss", "broken"], "no data", None, || Ok(vec![square(&p)?, f64::NAN])).unwrap();
    assert_eq!(weights.values().unwrap(), w, "put back");
    let at = |a: f64, b: f64| {
        let v: Vec<f64> = w.iter().zip(to.values()).zip(d.values()).map(|((w, t), d)| w + a * t + b * d).collect();
        norm(&v).powi(2)
    };
    let want = [at(-1.0, 0.0), at(-1.0, 2.0), at(0.0, 0.0), at(0.0, 2.0), at(0.5, 0.0), at(0.5, 2.0)];
    let loss = s.measure("loss").unwrap();
    assert!(loss.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{loss:?} {want:?}");
    assert!(s.measure("broken").unwrap().iter().all(|v| v.is_nan()));
    assert!(s.measure("other").unwrap_err().to_string().contains(r#"["loss", "broken"]"#));
    assert_eq!(
        (s.directions.clone(), s.note.as_str()),
        (vec!["to other weights".to_owned(), "random".to_owned()], "no data")
    );
    // An error in the middle puts the weights back too.
    let calls = Cell::new(0);
    let failed = grid.measure(&weights, &["loss"], "", None, || {
        calls.set(calls.get() + 1);
        if calls.get() == 2 { Err(sconce_theory::Error::value("attack", "ran out")) } else { Ok(vec![1.0]) }
    });
    assert!(failed.unwrap_err().to_string().contains("ran out") && weights.values().unwrap() == w);
    assert!(Grid::line(d, vec![]).is_err() && Grid::line(to, vec![f64::NAN]).is_err());
}

#[test]
fn a_surface_is_kept_and_is_of_one_model() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("surface.json");
    let p = params(0);
    let weights = Weights::new(&p).unwrap();
    let d = Direction::random(&weights, Normalise::Filter, &Rng::new(1)).unwrap();
    let grid = Grid::line(d, vec![-1.0, 0.0, 1.0]).unwrap();
    let calls = Cell::new(0);
    let stop = grid.measure(&weights, &["loss"], "", Some(&file), || {
        calls.set(calls.get() + 1);
        if calls.get() == 3 {
            Err(sconce_theory::Error::value("process", "killed"))
        } else {
            Ok(vec![f64::INFINITY, 1.0][..1].to_vec())
        }
    });
    assert!(stop.is_err() && Surface::load(&file).unwrap().values.len() == 2);
    calls.set(0);
    let done = grid
        .measure(&weights, &["loss"], "", Some(&file), || {
            calls.set(calls.get() + 1);
            Ok(vec![7.0])
        })
        .unwrap();
    assert_eq!((calls.get(), done.values[2][0]), (1, 7.0), "two places were there");
    assert!(done.values[0][0].is_nan(), "infinite losses are kept as none");
    let other = params(1);
    let weights = Weights::new(&other).unwrap();
    let refused = grid.measure(&weights, &["loss"], "", Some(&file), || Ok(vec![0.0])).unwrap_err().to_string();
    assert!(refused.contains("surface.json") && refused.contains("`weights and directions`: found"), "{refused}");
    std::fs::write(&file, b"{").unwrap();
    assert!(Surface::load(&file).unwrap_err().to_string().contains("surface.json"));
}

#[test]
fn a_path_has_its_two_directions() {
    let (a, b) = (Rng::new(0).normals(50), Rng::new(1).normals(50));
    let place = |s: f64, t: f64| a.iter().zip(&b).map(|(a, b)| s * a + t * b).collect::<Vec<f64>>();
    let path = [place(5.0, 0.0), place(3.0, 0.8), place(2.0, 0.5), place(0.5, -0.3), place(0.0, 0.0)];
    let [(first, most), (second, least)] = Direction::of_path(&path).unwrap();
    assert!(most > 0.9 && (most + least - 1.0).abs() < 1e-9, "{most} {least}");
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (u, v) = (first.values(), second.values());
    assert!((norm(u) - 1.0).abs() < 1e-9 && (norm(v) - 1.0).abs() < 1e-9 && dot(u, v).abs() < 1e-9);
    // They span the plane of a and b.
    for x in [&a, &b] {
        let (s, t) = (dot(x, u), dot(x, v));
        let left: Vec<f64> = x.iter().zip(u).zip(v).map(|((x, u), v)| x - s * u - t * v).collect();
        assert!(norm(&left) < 1e-9);
    }
    assert!(Direction::of_path(&path[..2]).is_err());
    let line = [place(2.0, 0.0), place(1.0, 0.0), place(0.0, 0.0)];
    assert!(Direction::of_path(&line).unwrap_err().to_string().contains("two directions"));
}

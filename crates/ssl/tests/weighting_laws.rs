//! What every weighting method does: section 3.1 of shared/specs/ssl.md, in one place, and what is undefined.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sconce_ssl::weighting::*;
use sconce_ssl::{Error, Result};
use sconce_tensor_core::Rng;

/// What is known of a method's direction. The laws run over [`NAMES`]: a method without a row here fails.
struct Law {
    /// Its weights do not depend on the order of the tasks.
    permutes: bool,
    /// The weight of one task alone, from the norm of its gradient and its loss, in the first step.
    alone: fn(f64, f64) -> f64,
    /// Gradients scaled by s scale the direction by s to this power.
    degree: f64,
    /// Rounding errors that are allowed, relative.
    precision: f64,
    /// A gradient of 0 is an error.
    refuses_zero: bool,
    /// No loss rises along -d.
    descends: bool,
    /// Equal gradients give this gradient.
    keeps_equal: bool,
    /// Without a conflict the direction is this multiple of the mean gradient (T tasks).
    harmless: Option<fn(usize) -> f64>,
}

fn law(name: &str) -> Law {
    let one = |_, _| 1.0;
    let base = Law {
        permutes: true,
        alone: one,
        degree: 1.0,
        precision: 1e-8,
        refuses_zero: false,
        descends: false,
        keeps_equal: false,
        harmless: None,
    };
    match name {
        "equal" => Law { keeps_equal: true, harmless: Some(|_| 1.0), ..base },
        // Equal gradients have several solutions, of which the first is taken; the direction is the same.
        "mgda" => Law { descends: true, keeps_equal: true, ..base },
        "mgda-l2" => Law { descends: true, refuses_zero: true, ..base },
        "mgda-loss+" => Law { descends: true, refuses_zero: true, ..base },
        "mgda-loss" => Law { descends: true, ..base },
        // Not before it has converged.
        "mgda-frank-wolfe" => Law { permutes: false, keeps_equal: true, ..base },
        "uw" => Law { alone: |_, _| 0.5, ..base },
        "dwa" | "gradnorm" | "imtl-l" | "famo" | "gls" => base,
        "pcgrad" => Law { permutes: false, harmless: Some(|t| t as f64), ..base },
        // |d - g0| = c |g0|, so that a task alone is lengthened.
        "cagrad" => Law { alone: |_, _| 1.4, refuses_zero: true, ..base },
        "imtl-g" => Law { refuses_zero: true, keeps_equal: true, ..base },
        // The default bounds the norm by 1; T tasks have the norm sqrt(T) before.
        "nash-mtl" => Law { alone: |g, _| 1.0 / g, degree: 0.0, refuses_zero: true, descends: true, ..base },
        "fairgrad" => {
            Law { alone: |g, _| g.powf(-4.0 / 3.0), degree: -1.0 / 3.0, refuses_zero: true, descends: true, ..base }
        }
        "aligned-mtl" | "aligned-mtl-median" | "aligned-mtl-rmse" => Law { precision: 1e-5, ..base },
        "upgrad" => Law { descends: true, keeps_equal: true, harmless: Some(|_| 1.0), ..base },
        "dualproj" => Law { descends: true, keeps_equal: true, harmless: Some(|_| 1.0), ..base },
        // Drawn for the place of a task, not for the task.
        "rlw" => Law { permutes: false, keeps_equal: true, ..base },
        _ => panic!("`{name}` has no laws"),
    }
}

fn method(name: &str) -> Box<dyn Weighting> {
    name.parse::<WeightingConfig>().unwrap().build().unwrap()
}

fn weigh(name: &str, rows: &[Vec<f64>], losses: &[f64]) -> Result<Weights> {
    let gram = Gram::of_rows(Space::Representation, rows)?;
    method(name).weights(&Step::new(losses, Some(&gram), Rng::new(5))?)
}

/// The weights after two epochs of two steps, so that what a method learns is in them.
fn learned(name: &str, rows: &[Vec<f64>], losses: &[f64]) -> Vec<f64> {
    let (gram, mut method) = (Gram::of_rows(Space::Representation, rows).unwrap(), method(name));
    let mut step = |power: f64| {
        let losses: Vec<f64> = losses.iter().map(|l| l.powf(power)).collect();
        let w = method.weights(&Step::new(&losses, Some(&gram), Rng::new(5)).unwrap()).unwrap();
        method.after_update(&losses.iter().map(|l| l.powf(0.7)).collect::<Vec<_>>()).unwrap();
        if power < 1.0 {
            method.end_epoch().unwrap();
        }
        w.values
    };
    for power in [1.0, 0.9, 1.1, 0.8] {
        step(power);
    }
    step(1.0)
}

fn direction(rows: &[Vec<f64>], w: &[f64]) -> Vec<f64> {
    (0..rows[0].len()).map(|k| rows.iter().zip(w).map(|(r, w)| r[k] * w).sum()).collect()
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn near(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
}

/// T tasks and more numbers than tasks, so that the gradients are independent; norms over four orders of magnitude.
fn problem(seed: u64, tasks: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
    let rng = Rng::new(seed);
    let scale = rng.stream("scale").uniforms(tasks);
    let rows = (0..tasks).map(|i| {
        let z = rng.stream("gradient").at(i as u64).normals(tasks + 4);
        z.iter().map(|z| z * 10f64.powf(4.0 * scale[i] - 2.0)).collect()
    });
    (rows.collect(), rng.stream("loss").uniforms(tasks).iter().map(|u| 0.1 + 3.0 * u).collect())
}

fn longest(rows: &[Vec<f64>]) -> f64 {
    rows.iter().map(|r| norm(r)).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, rng_seed: RngSeed::Fixed(18), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_method(seed in any::<u64>(), tasks in 2usize..=6) {
        let (rows, losses) = problem(seed, tasks);
        let m = Gram::of_rows(Space::Parameters, &rows).unwrap();
        for name in NAMES {
            let law = law(name);
            let w = weigh(name, &rows, &losses).unwrap().values;
            let d = direction(&rows, &w);
            let size = w.iter().zip(m.norms()).map(|(w, n)| w.abs() * n).sum::<f64>();
            prop_assert!(w.len() == tasks && w.iter().all(|w| w.is_finite()), "{name} {w:?}");

            if law.permutes {
                let order = Rng::new(seed).stream("order").permutation(tasks);
                let moved: Vec<Vec<f64>> = order.iter().map(|i| rows[*i].clone()).collect();
                let moved_losses: Vec<f64> = order.iter().map(|i| losses[*i]).collect();
                let (v, w) = (learned(name, &moved, &moved_losses), learned(name, &rows, &losses));
                let back: Vec<f64> = order.iter().map(|i| w[*i]).collect();
                let scale = w.iter().fold(0.0f64, |s, w| s.max(w.abs()));
                prop_assert!(near(&v, &back, 10.0 * law.precision * scale), "{name} permuted: {v:?} {back:?}");
            }

            let s = 3.7;
            let scaled: Vec<Vec<f64>> = rows.iter().map(|r| r.iter().map(|v| v * s).collect()).collect();
            let e = direction(&scaled, &weigh(name, &scaled, &losses).unwrap().values);
            let want: Vec<f64> = d.iter().map(|d| d * s.powf(law.degree)).collect();
            prop_assert!(near(&e, &want, law.precision * size * s), "{name} scaled: {e:?} {want:?}");

            if law.descends {
                let slope = m.times(&w);
                prop_assert!(slope.iter().zip(m.norms()).all(|(s, n)| *s >= -1e-9 * n * size), "{name} {slope:?}");
            }
        }
    }

    /// Gradients in one orthant do not conflict.
    #[test]
    fn without_a_conflict(seed in any::<u64>(), tasks in 1usize..=6) {
        let (rows, losses) = problem(seed, tasks);
        let rows: Vec<Vec<f64>> = rows.iter().map(|r| r.iter().map(|v| v.abs()).collect()).collect();
        let mean = direction(&rows, &vec![1.0 / tasks as f64; tasks]);
        for name in NAMES {
            if let Some(factor) = law(name).harmless {
                let d = direction(&rows, &weigh(name, &rows, &losses).unwrap().values);
                let want: Vec<f64> = mean.iter().map(|m| m * factor(tasks)).collect();
                prop_assert!(near(&d, &want, 1e-12 * longest(&rows) * tasks as f64), "{name} {d:?} {want:?}");
            }
        }
    }

    #[test]
    fn equal_gradients_and_one_task(seed in any::<u64>(), tasks in 1usize..=8) {
        let (rows, losses) = problem(seed, tasks);
        let (same, g) = (vec![rows[0].clone(); tasks], &rows[0]);
        for name in NAMES {
            let law = law(name);
            if law.keeps_equal {
                let d = direction(&same, &weigh(name, &same, &losses).unwrap().values);
                prop_assert!(near(&d, g, 1e-9 * norm(g)), "{name} {d:?} {g:?}");
            }
            let w = weigh(name, &rows[..1], &losses[..1]).unwrap().values;
            let want = (law.alone)(norm(g), losses[0]);
            prop_assert!((w[0] / want - 1.0).abs() < 1e-9, "{name} {w:?} {want}");
        }
    }

    /// The certificates, and what the solutions are solutions of.
    #[test]
    fn optimality(seed in any::<u64>(), tasks in 1usize..=8, kind in 0usize..3) {
        let (mut rows, losses) = problem(seed, tasks);
        match kind {
            // Twice the same task, and one in the plane of two others.
            1 => { let first = rows[0].clone(); rows[tasks - 1] = first; }
            2 if tasks > 2 => rows[2] = direction(&rows[..2], &[0.4, -1.3]),
            _ => {}
        }
        let m = Gram::of_rows(Space::Parameters, &rows).unwrap();
        let found = MinNorm::exact(&m).unwrap();
        prop_assert!(found.relative_gap() <= 1e-12 && found.gap >= -1e-12 * found.largest, "{found:?}");
        prop_assert!((found.alpha.iter().sum::<f64>() - 1.0).abs() < 1e-12 && found.alpha.iter().all(|a| *a >= 0.0));
        // Frank-Wolfe keeps its promise, and is above the exact minimum by at most twice its gap.
        let wolfe = MinNorm::frank_wolfe(&m, 30_000, 1e-3);
        let excess = (wolfe.norm_squared - found.norm_squared) / found.largest;
        prop_assert!(wolfe.relative_gap() <= 1e-3 && excess >= -1e-12 && excess <= 2.0 * wolfe.relative_gap() + 1e-12,
            "{wolfe:?} {excess}");

        let cagrad = weigh("cagrad", &rows, &losses).unwrap();
        let mean = vec![1.0 / tasks as f64; tasks];
        let moved: Vec<f64> = cagrad.values.iter().zip(&mean).map(|(w, b)| w - b).collect();
        let (far, radius) = (m.quadratic(&moved).sqrt(), 0.4 * m.quadratic(&mean).sqrt());
        prop_assert!((far / radius - 1.0).abs() < 1e-6 && cagrad.residual.unwrap() <= 1e-8, "{far} {radius}");
        for name in ["upgrad", "dualproj"] {
            prop_assert!(weigh(name, &rows, &losses).unwrap().residual.unwrap() <= 1e-10);
        }
        // UPGrad's direction is linear in positive factors of single tasks.
        let factors = Rng::new(seed).stream("factors").uniforms(2 * tasks);
        let along = |t: f64| {
            let scaled: Vec<Vec<f64>> = (0..tasks).map(|i| {
                let f = 0.1 + factors[i] + t * (factors[tasks + i] - factors[i]);
                rows[i].iter().map(|v| v * f).collect()
            }).collect();
            direction(&scaled, &weigh("upgrad", &scaled, &losses).unwrap().values)
        };
        let middle: Vec<f64> = along(0.0).iter().zip(along(1.0)).map(|(a, b)| (a + b) / 2.0).collect();
        prop_assert!(near(&along(0.5), &middle, 1e-7 * longest(&rows)), "{:?} {middle:?}", along(0.5));

        if kind == 0 {
            let (n, t) = (m.norms(), tasks as f64);
            let w = weigh("imtl-g", &rows, &losses).unwrap().values;
            let projections: Vec<f64> = m.times(&w).iter().zip(&n).map(|(p, n)| p / n).collect();
            prop_assert!(projections.iter().all(|p| (p / projections[0] - 1.0).abs() < 1e-6), "{projections:?}");
            let free = NashMtl::new(NashMtlConfig { max_norm: None }).unwrap();
            let nash = { free }.weights(&Step::new(&losses, Some(&m), Rng::new(0)).unwrap()).unwrap();
            prop_assert!((m.quadratic(&nash.values) / t - 1.0).abs() < 1e-9 && nash.residual.unwrap() < 1e-10);
            for alpha in [0.3, 0.5, 2.0, 5.0] {
                let mut fair = FairGrad::new(FairGradConfig { alpha }).unwrap();
                let a = fair.weights(&Step::new(&losses, Some(&m), Rng::new(0)).unwrap()).unwrap().values;
                for (i, p) in m.times(&a).into_iter().enumerate() {
                    // A sum that cancels has the rounding error of its terms.
                    let terms: f64 = (0..tasks).map(|j| m.at(i, j).abs() * a[j]).sum();
                    let want = a[i].powf(-1.0 / alpha);
                    prop_assert!((p - want).abs() < 1e-9 * want + 1e-14 * terms, "alpha {alpha}: {p} {want}");
                }
            }
        }
    }
}

#[test]
fn a_gradient_of_zero() {
    let (mut rows, losses) = problem(3, 4);
    rows[2] = vec![0.0; rows[0].len()];
    for name in NAMES {
        match (weigh(name, &rows, &losses), law(name).refuses_zero) {
            (Err(Error::Value { reason, .. }), true) => assert!(reason.contains("undefined"), "{name}: {reason}"),
            (Ok(w), false) => assert!(w.values.iter().all(|w| w.is_finite()), "{name} {w:?}"),
            (got, _) => panic!("{name}: {got:?}"),
        }
    }
    // MGDA's known weakness: a task that cannot be learned takes all weight.
    assert_eq!(weigh("mgda", &rows, &losses).unwrap().values, [0.0, 0.0, 1.0, 0.0]);
    // All gradients 0: no method returns a NaN.
    let none = vec![vec![0.0; 3]; 4];
    for name in NAMES {
        let finite = weigh(name, &none, &losses).map_or(true, |w| w.values.iter().all(|w| w.is_finite()));
        assert!(finite, "{name}");
    }
}

#[test]
fn opposite_gradients_are_pareto_stationary() {
    let rows = vec![vec![1.0, 2.0], vec![-2.0, -4.0]];
    for name in ["nash-mtl", "fairgrad", "imtl-g"] {
        let e = weigh(name, &rows, &[1.0, 2.0]).unwrap_err();
        assert!(matches!(&e, Error::Value { what, .. } if what == name), "{name}: {e}");
    }
    let gram = Gram::of_rows(Space::Parameters, &rows).unwrap();
    let step = Step::new(&[1.0, 2.0], Some(&gram), Rng::new(0)).unwrap();
    let cagrad = |c| CaGrad::new(CaGradConfig { c, rescale: false }).unwrap().weights(&step);
    assert!(cagrad(1.5).unwrap_err().to_string().contains("Pareto-stationary") && cagrad(0.4).is_ok());
    let w = weigh("mgda", &rows, &[1.0, 2.0]).unwrap();
    assert!(norm(&direction(&rows, &w.values)) < 1e-15);
}

#[test]
fn what_is_refused() {
    let (rows, losses) = problem(1, 3);
    let gram = Gram::of_rows(Space::Parameters, &rows).unwrap();
    let step = |losses: &[f64], gram| Step::new(losses, gram, Rng::new(0)).map(|_| ()).unwrap_err().to_string();
    assert_eq!(step(&[], None), "weighting step: has no tasks");
    assert_eq!(step(&[1.0, f64::NAN], None), "loss of task 1: NaN");
    assert_eq!(step(&losses[..2], Some(&gram)), "weighting step: 3 tasks have a gradient, 2 have a loss");
    let rows_with = |v: f64| Gram::of_rows(Space::Parameters, &[vec![1.0, 2.0], vec![3.0, v]]).unwrap_err().to_string();
    assert_eq!(rows_with(f64::INFINITY), "gradient of task 1: inf at 1");
    assert!(Gram::of_rows(Space::Parameters, &[]).is_err());
    assert!(Gram::of_rows(Space::Parameters, &[vec![1.0], vec![1.0, 2.0]]).is_err());
    for values in [[1.0, 2.0, 2.0, 1.0], [1.0, 0.5, 0.4, 1.0], [-1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, f64::NAN]] {
        assert!(Gram::new(Space::Parameters, 2, 2, values.to_vec()).is_err(), "{values:?}");
    }
    for name in NAMES {
        let mut m = method(name);
        let without = m.weights(&Step::new(&losses, None, Rng::new(0)).unwrap());
        assert_eq!(without.is_err(), m.needs_gradients(), "{name}");
        if let Err(e) = without {
            assert!(e.to_string().contains("needs the tasks' gradients"), "{name}: {e}");
        }
        // A loss of 0, for the methods that divide by it or take its logarithm.
        let zero = m.weights(&Step::new(&[0.0, 1.0, 1.0], Some(&gram), Rng::new(0)).unwrap());
        let needs = ["mgda-loss", "mgda-loss+", "gradnorm", "gls"].contains(&name);
        if name != "famo" {
            assert_eq!(zero.is_err(), needs, "{name}");
        }
    }
    // Nine tasks are too many for the exact solvers, and not for the others.
    let (rows, losses) = problem(2, 9);
    for name in NAMES {
        let exact = ["mgda", "mgda-l2", "mgda-loss", "mgda-loss+", "cagrad", "upgrad", "dualproj"].contains(&name);
        let got = weigh(name, &rows, &losses);
        assert_eq!(matches!(got, Err(Error::Unsupported { .. })), exact, "{name} {got:?}");
        assert!(exact || got.is_ok(), "{name}");
    }
}

#[test]
fn configurations() {
    let bad: [(&str, Result<()>); 11] = [
        (
            "steps",
            Mgda::new(MgdaConfig {
                solver: MgdaSolver::FrankWolfe { steps: 0, tolerance: 1e-3 },
                ..MgdaConfig::default()
            })
            .map(|_| ()),
        ),
        (
            "tolerance",
            Mgda::new(MgdaConfig {
                solver: MgdaSolver::FrankWolfe { steps: 9, tolerance: 0.0 },
                ..MgdaConfig::default()
            })
            .map(|_| ()),
        ),
        ("raw", Mgda::new(MgdaConfig { raw: true, ..MgdaConfig::default() }).map(|_| ())),
        ("c", CaGrad::new(CaGradConfig { c: -1.0, rescale: false }).map(|_| ())),
        ("max_norm", NashMtl::new(NashMtlConfig { max_norm: Some(0.0) }).map(|_| ())),
        ("alpha", FairGrad::new(FairGradConfig { alpha: 0.0 }).map(|_| ())),
        ("temperature", Dwa::new(DwaConfig { temperature: f64::NAN }).map(|_| ())),
        (
            "initial_losses",
            GradNorm::new(GradNormConfig { initial_losses: vec![0.0], ..GradNormConfig::default() }).map(|_| ()),
        ),
        ("floor", GradNorm::new(GradNormConfig { floor: 0.0, ..GradNormConfig::default() }).map(|_| ())),
        ("lr", Uncertainty::new(UncertaintyConfig { lr: 0.0, initial: 0.0 }).map(|_| ())),
        ("weight_decay", Famo::new(FamoConfig { weight_decay: -1.0, ..FamoConfig::default() }).map(|_| ())),
    ];
    for (field, got) in bad {
        match got {
            Err(Error::Config { field: named, .. }) => assert!(named.ends_with(field), "{named} {field}"),
            other => panic!("{field}: {other:?}"),
        }
    }
}

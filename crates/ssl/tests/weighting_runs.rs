//! Weighting in a run: gradients from tensors, the log, state that is saved and restored, names.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use sconce_ssl::weighting::*;
use sconce_ssl::{Error, Result};
use sconce_tensor_core::store::State;
use sconce_tensor_core::{Params, Rng, Role};

const TASKS: [&str; 3] = ["rotation", "color", "sharpness"];

fn build(name: &str) -> Box<dyn Weighting> {
    name.parse::<WeightingConfig>().unwrap().build().unwrap()
}

fn normal(name: &str, shape: &[usize], dtype: DType) -> Tensor {
    Rng::new(0).stream(name).normal(shape, 0.0, 1.0, dtype, &Device::Cpu).unwrap()
}

fn numbers(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

#[test]
fn grams_of_tensors() {
    // Sizes on both sides of a block, and a tensor that is not contiguous.
    for (dtype, tolerance) in [(DType::F32, 1e-12), (DType::F64, 1e-12), (DType::BF16, 1e-12)] {
        let task = |i: usize| {
            let a = normal(&format!("a{i}"), &[3, 2048], dtype);
            let b = normal(&format!("b{i}"), &[37, 5], dtype).t().unwrap();
            vec![a, b, normal(&format!("c{i}"), &[1], dtype)]
        };
        let tasks: Vec<Vec<Tensor>> = (0..3).map(task).collect();
        let rows: Vec<Vec<f64>> = tasks.iter().map(|t| t.iter().flat_map(numbers).collect()).collect();
        let want = Gram::of_rows(Space::Parameters, &rows).unwrap();
        let gradients = ParameterGradients::new(tasks.clone()).unwrap();
        let got = gradients.gram().unwrap();
        assert_eq!((got.space(), got.numbers(), got.tasks()), (Space::Parameters, 3 * 2048 + 37 * 5 + 1, 3));
        for i in 0..9 {
            let (a, b) = (got.at(i / 3, i % 3), want.at(i / 3, i % 3));
            assert!((a - b).abs() <= tolerance * want.largest(), "{dtype:?} {a} {b}");
        }
        // The same bytes on one thread.
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        assert_eq!(one.install(|| gradients.gram().unwrap()), got);
        let combined = gradients.combine(&[0.5, -2.0, 1.0]).unwrap();
        assert_eq!(combined.iter().map(Tensor::dims).collect::<Vec<_>>(), [&[3, 2048][..], &[5, 37], &[1]]);
        let sum = |k: usize| 0.5 * rows[0][k] - 2.0 * rows[1][k] + rows[2][k];
        let close = if dtype == DType::BF16 { 0.1 } else { 1e-5 };
        let flat: Vec<f64> = combined.iter().flat_map(numbers).collect();
        assert!(flat.iter().enumerate().all(|(k, v)| (v - sum(k)).abs() < close));
    }
}

/// For a linear trunk Z = X W the gradient to W is X' (gradient to Z): both spaces in one case.
#[test]
fn parameters_and_representation() -> Result<()> {
    let mut shared = Params::new();
    let w = shared.add("trunk.weight", Role::Weight, &normal("w", &[6, 4], DType::F64))?;
    let x = normal("x", &[10, 6], DType::F64);
    let targets: Vec<Tensor> = (0..3).map(|i| normal(&format!("t{i}"), &[10, 4], DType::F64)).collect();
    let losses = |z: &Tensor| -> Result<Vec<Tensor>> {
        targets.iter().map(|t| Ok(((z - t)?.sqr()?.sum_all()? / 10.0)?)).collect()
    };
    let whole = losses(&x.matmul(w.as_tensor())?)?;
    let passes = whole.iter().map(|l| Ok(l.backward()?)).collect::<Result<Vec<_>>>()?;
    let parameters = ParameterGradients::of(&shared, &passes)?;
    let z = Var::from_tensor(&x.matmul(w.as_tensor())?.detach())?;
    let heads = losses(z.as_tensor())?.iter().map(|l| Ok(l.backward()?)).collect::<Result<Vec<_>>>()?;
    let representation = RepresentationGradients::of(&z, &heads)?;

    let weights = [0.2, 0.5, 0.3];
    let direct = &parameters.combine(&weights)?[0];
    // The trunk's pass from the combined gradient to Z.
    let surrogate = (x.matmul(w.as_tensor())? * representation.combine(&weights)?)?.sum_all()?;
    let through = surrogate.backward()?;
    let difference = (direct - through.get(&w).unwrap())?.abs()?.max_all()?.to_scalar::<f64>()?;
    assert!(difference < 1e-12, "{difference}");
    // MGDA-UB: |J_theta' a| <= |dZ/dtheta| |J_Z' a|, with the norm of X.
    let (m, n) = (parameters.gram()?, representation.gram()?);
    assert_eq!((n.space(), n.numbers(), m.numbers()), (Space::Representation, 40, 24));
    let norm = x.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt();
    assert!(m.quadratic(&weights).sqrt() <= norm * n.quadratic(&weights).sqrt());
    // Summed over the batch it would be another matrix; the type refuses it.
    let summed: Vec<Tensor> = heads.iter().map(|g| g.get(&z).unwrap().sum(0).unwrap()).collect();
    let e = RepresentationGradients::new(summed).unwrap_err().to_string();
    assert!(e.contains("the whole batch and not its sum"), "{e}");
    let stray = Var::from_tensor(&normal("x", &[2, 2], DType::F64))?;
    assert!(matches!(RepresentationGradients::of(&stray, &heads), Err(Error::NoGradient { .. })));
    assert!(matches!(ParameterGradients::of(&shared, &heads), Err(Error::NoGradient { .. })));
    Ok(())
}

#[test]
fn gradients_are_refused() {
    let t = |v: &[f32]| Tensor::from_slice(v, (1, v.len()), &Device::Cpu).unwrap();
    assert!(RepresentationGradients::new(vec![]).is_err());
    assert!(RepresentationGradients::new(vec![t(&[1.0]), t(&[1.0, 2.0])]).is_err());
    assert!(ParameterGradients::new(vec![vec![]]).is_err());
    assert!(ParameterGradients::new(vec![vec![t(&[1.0])], vec![t(&[1.0]), t(&[2.0])]]).is_err());
    let bad = ParameterGradients::new(vec![vec![t(&[1.0, 2.0]), t(&[3.0])], vec![t(&[1.0, 2.0]), t(&[f32::NAN])]]);
    let e = bad.unwrap().gram().unwrap_err();
    assert!(matches!(e, Error::NotFinite { .. }), "{e}");
    assert_eq!(e.to_string(), "gradient of task 1: NaN at element 0 of tensor 1");
    let good = RepresentationGradients::new(vec![t(&[1.0]), t(&[2.0])]).unwrap();
    assert!(good.combine(&[1.0]).is_err() && good.combine(&[1.0, f64::NAN]).is_err());
}

fn gradients(step: u64) -> RepresentationGradients {
    let of = |i| normal(&format!("gradient {i} of step {step}"), &[4, 3], DType::F32);
    RepresentationGradients::new((0..3).map(of).collect()).unwrap()
}

/// G of the specification: every pair of tasks conflicts.
fn conflicting() -> RepresentationGradients {
    let g = [[1f64, 2.0, 0.0, -1.0], [-2.0, 0.5, 1.0, 0.0], [3.0, -4.0, 2.0, 5.0]];
    let task = |row: &[f64; 4]| Tensor::from_slice(row, (2, 2), &Device::Cpu).unwrap();
    RepresentationGradients::new(g.iter().map(task).collect()).unwrap()
}

fn losses(step: u64) -> Vec<f64> {
    Rng::new(9).at(step).uniforms(3).iter().map(|u| 0.2 + 2.0 * u / (1.0 + step as f64)).collect()
}

fn balancer(name: &str) -> Balancer<RepresentationGradients> {
    Balancer::new(build(name), TASKS, Rng::new(11)).unwrap()
}

/// Steps with epochs of three, as a training task makes them.
fn run(balancer: &mut Balancer<RepresentationGradients>, steps: std::ops::Range<u64>) -> Vec<Record> {
    let step = |i: u64| {
        let record = balancer.step(&losses(i), Some(&gradients(i))).unwrap();
        if balancer.method().needs_losses_after_update() {
            balancer.after_update(&losses(i + 100)).unwrap();
        }
        if i % 3 == 2 {
            balancer.end_epoch().unwrap();
        }
        record
    };
    steps.map(step).collect()
}

/// Through the text that a checkpoint holds.
fn saved(balancer: &Balancer<RepresentationGradients>) -> State {
    let state = balancer.state().unwrap();
    assert!(state.tensors.is_empty());
    State { tensors: Vec::new(), values: serde_json::from_str(&state.values.to_string()).unwrap() }
}

#[test]
fn a_restored_run_continues_with_the_same_bytes() {
    for name in NAMES {
        let mut whole = balancer(name);
        let records = run(&mut whole, 0..11);
        for stop in 0..11 {
            let mut first = balancer(name);
            run(&mut first, 0..stop);
            let mut second = balancer(name);
            second.restore(saved(&first)).unwrap();
            let rest = run(&mut second, stop..11);
            assert_eq!(rest, records[stop as usize..], "{name} stopped at {stop}");
            assert_eq!(saved(&second).values, saved(&whole).values, "{name} stopped at {stop}");
        }
    }
    // The random ones differ between steps and between seeds.
    for name in ["rlw", "pcgrad"] {
        let weights = |seed| {
            let mut b = Balancer::new(build(name), TASKS, Rng::new(seed)).unwrap();
            (0..8).map(|_| b.step(&losses(0), Some(&conflicting())).unwrap().weights).collect::<Vec<_>>()
        };
        assert!(weights(1) != weights(2) && weights(1) == weights(1), "{name}");
        assert!(weights(1).iter().any(|w| *w != weights(1)[0]), "{name}");
    }
}

/// FAMO between a step and the losses after its update.
#[test]
fn famo_is_restored_between_step_and_update() {
    let (mut whole, mut first) = (balancer("famo"), balancer("famo"));
    run(&mut whole, 0..2);
    run(&mut first, 0..2);
    whole.step(&losses(2), None).unwrap();
    first.step(&losses(2), None).unwrap();
    let mut second = balancer("famo");
    second.restore(saved(&first)).unwrap();
    let e = second.step(&losses(3), None).unwrap_err().to_string();
    assert!(e.contains("call `after_update`"), "{e}");
    for b in [&mut whole, &mut second] {
        b.after_update(&losses(7)).unwrap();
    }
    assert_eq!(whole.step(&losses(3), None).unwrap(), second.step(&losses(3), None).unwrap());
    assert!(balancer("famo").after_update(&losses(0)).is_err());
}

#[test]
fn states_of_others_are_refused() {
    let state = saved(&balancer("dwa"));
    assert!(balancer("rlw").restore(state.clone()).unwrap_err().to_string().contains("is of `dwa`"));
    let mut parameters = Balancer::<ParameterGradients>::new(build("dwa"), TASKS, Rng::new(11)).unwrap();
    assert!(parameters.restore(state.clone()).unwrap_err().to_string().contains("Representation"));
    let mut fewer = Balancer::<RepresentationGradients>::new(build("dwa"), ["rotation"], Rng::new(11)).unwrap();
    assert!(fewer.restore(state).is_err());
    assert!(balancer("dwa").restore(State::default()).is_err());
    let bad = serde_json::json!({"values": [0.0, 0.0], "mean": [0.0], "square": [0.0, 0.0], "steps": 1});
    let bad = State { tensors: Vec::new(), values: bad };
    for name in ["uw", "imtl-l"] {
        assert!(build(name).restore(bad.clone()).is_err(), "{name}");
    }
    assert!(build("gls").restore(bad).is_err());
    assert!(Balancer::<ParameterGradients>::new(build("gls"), ["a", "a"], Rng::new(0)).is_err());
    assert!(Balancer::<ParameterGradients>::new(build("gls"), Vec::<String>::new(), Rng::new(0)).is_err());
    let prints = [balancer("mgda").fingerprint(), balancer("mgda-l2").fingerprint(), parameters.fingerprint()];
    assert!(prints[0] != prints[1] && prints[1] != prints[2]);
    assert_eq!(balancer("mgda").fingerprint(), prints[0]);
}

/// A step that ends with an error changes nothing: the next one is as if it had not been.
#[test]
fn an_error_leaves_the_state() {
    for name in NAMES {
        let mut b = balancer(name);
        run(&mut b, 0..4);
        let before = saved(&b).values;
        assert!(b.step(&[1.0, f64::INFINITY, 1.0], Some(&gradients(0))).is_err(), "{name}");
        assert!(b.step(&[1.0, 1.0], None).is_err(), "{name}");
        assert_eq!(saved(&b).values, before, "{name}");
    }
}

#[test]
fn the_log() {
    let gradients = conflicting();
    let mut b = balancer("mgda");
    b.step(&[0.5, 1.2, 3.0], Some(&gradients)).unwrap();
    let record = b.step(&[0.5, 1.2, 3.0], Some(&gradients)).unwrap();
    assert_eq!((record.step, record.method.as_str(), record.tasks.as_slice()), (1, "mgda", b.tasks()));
    assert_eq!(record.alpha.as_ref(), Some(&record.weights));
    assert!(record.residual.unwrap() <= 1e-10);
    let seen = record.geometry.as_ref().unwrap();
    assert_eq!((seen.space, seen.numbers), (Space::Representation, 4));
    let near = |a: f64, b: f64| (a - b).abs() < 1e-8;
    let want = [6f64.sqrt(), 5.25f64.sqrt(), 54f64.sqrt()];
    assert!(seen.norms.iter().zip(want).all(|(a, b)| near(*a, b)));
    // Section 3 of the specification has five decimals.
    for (at, want) in [(1, -0.17817), (2, -0.55556), (5, -0.35635), (3, -0.17817)] {
        assert!((seen.cosines[at] - want).abs() < 5e-6, "{at}");
    }
    assert!(seen.cosines[0] == 1.0 && seen.cosines[4] == 1.0);
    assert!(near(seen.direction_norm.powi(2), 0.837060703) && near(seen.pareto_residual * 54.0, 0.837060703));
    assert!(seen.pareto_gap.abs() < 1e-14 && seen.descent.iter().all(|d| near(*d, 0.837060703)), "{seen:?}");
    let text = serde_json::to_string(&record).unwrap();
    assert!(text.contains(r#""space":"representation""#), "{text}");
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    // A method without gradients logs them if they are given.
    let mut equal = balancer("equal");
    assert!(equal.step(&[1.0; 3], None).unwrap().geometry.is_none());
    assert!(equal.step(&[1.0; 3], Some(&gradients)).unwrap().geometry.is_some());
}

#[test]
fn names_and_files() {
    for name in NAMES {
        let config: WeightingConfig = name.parse().unwrap();
        let method = config.build().unwrap();
        assert!(name.starts_with(method.name()), "{name}");
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.starts_with(&format!(r#"{{"method":"{}""#, method.name())), "{text}");
        assert_eq!(serde_json::from_str::<WeightingConfig>(&text).unwrap(), config);
    }
    let e = "mdga".parse::<WeightingConfig>().unwrap_err().to_string();
    assert!(e.contains("did you mean `mgda`?") && NAMES.iter().all(|n| e.contains(n)), "{e}");
    assert!("nash".parse::<WeightingConfig>().unwrap_err().to_string().contains("did you mean `nash-mtl`?"));
    let read = |text: &str| serde_json::from_str::<WeightingConfig>(text);
    let l2 = read(r#"{"method": "mgda", "scaling": "l2", "solver": {"frank-wolfe": {"steps": 9, "tolerance": 0.1}}}"#);
    let solver = MgdaSolver::FrankWolfe { steps: 9, tolerance: 0.1 };
    assert_eq!(l2.unwrap(), WeightingConfig::Mgda(MgdaConfig { solver, scaling: Scaling::L2, raw: false }));
    for bad in [r#"{"method": "mgda", "scalign": "l2"}"#, r#"{"method": "equal", "x": 1}"#, r#"{"method": "mdga"}"#] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

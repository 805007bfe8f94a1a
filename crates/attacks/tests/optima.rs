//! Attacks on models whose optimum is known: a plane in the middle of a large box, a plane near the box, a sphere.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_attacks::{
    Apgd, ApgdConfig, Attack, Bounds, CarliniWagner, CarliniWagnerConfig, Classifier, Ddn, DdnConfig, DeepFool,
    DeepFoolConfig, Fab, FabConfig, Fmn, FmnConfig, Goal, Loss, Norm, Result, Rng, RunConfig, run,
};
use sconce_tensor_core::ops;

const NORMS: [Norm; 3] = [Norm::Linf, Norm::L2, Norm::L1];

/// `z = (w . x - b, 0)`.
struct Plane {
    w: Vec<f64>,
    b: f64,
    bounds: Bounds,
}

impl Classifier for Plane {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let w = Tensor::from_slice(&self.w, (1, self.w.len()), x.device())?;
        let score = (ops::linear(&x.flatten_from(1)?, &w, None)? - self.b)?;
        Ok(Tensor::cat(&[&score, &score.zeros_like()?], 1)?)
    }

    fn classes(&self) -> usize {
        2
    }

    fn bounds(&self) -> Bounds {
        self.bounds
    }
}

fn dual(w: &[f64], norm: Norm) -> f64 {
    match norm {
        Norm::Linf => w.iter().map(|v| v.abs()).sum(),
        Norm::L2 => w.iter().map(|v| v * v).sum::<f64>().sqrt(),
        Norm::L1 => w.iter().fold(0.0, |a, v| f64::max(a, v.abs())),
    }
}

fn zeros(n: usize) -> Goal {
    Goal::Untargeted(Tensor::zeros(n, DType::U32, &Device::Cpu).unwrap())
}

fn distances(attack: &dyn Attack, model: &dyn Classifier, x: &Tensor) -> Vec<f64> {
    let goal = zeros(x.dim(0).unwrap());
    let r = run(attack, model, x, &goal, &RunConfig::default(), &Rng::new(0)).unwrap();
    assert!(r.reached.iter().all(|r| *r), "{:?}: not all reached", attack.threat());
    r.distance
}

fn minimum(norm: Norm) -> Vec<(&'static str, f64, Box<dyn Attack>)> {
    let fab = FabConfig { norm, steps: 60, targets: Some(1), ..FabConfig::default() };
    let mut all: Vec<(&'static str, f64, Box<dyn Attack>)> = vec![
        // Each crossing oversteps by a twentieth of the step that is left.
        ("fab-t", 1e-2, Box::new(Fab::new(fab).unwrap())),
        ("fab", 1e-2, Box::new(Fab::new(FabConfig { targets: None, ..fab }).unwrap())),
        // 2 % overshoot.
        ("deepfool", 0.021, Box::new(DeepFool::new(DeepFoolConfig { norm, ..Default::default() }).unwrap())),
    ];
    // The last step is a hundredth of the first.
    let steps = if norm == Norm::L1 { 1000 } else { 300 };
    all.push(("fmn", 0.02, Box::new(Fmn::new(FmnConfig { norm, steps, step_size: 0.5, gamma: 0.05 }).unwrap())));
    if norm == Norm::L2 {
        all.push(("ddn", 0.02, Box::new(Ddn::new(DdnConfig { steps: 300, ..DdnConfig::default() }).unwrap())));
        let cw = CarliniWagnerConfig { searches: 8, steps: 400, step_size: 0.02, ..Default::default() };
        all.push(("c&w", 0.05, Box::new(CarliniWagner::new(cw).unwrap())));
    }
    all
}

#[test]
fn the_distance_to_a_plane_is_found() {
    let w = Rng::new(7).normals(16);
    let x = Rng::new(8).uniform((5, 16), 0.4..0.6, DType::F64, &Device::Cpu).unwrap();
    for norm in NORMS {
        let scores: Vec<f64> = {
            let free = Plane { w: w.clone(), b: 0.0, bounds: Bounds::new(-50.0, 50.0).unwrap() };
            let z = free.logits(&x).unwrap().narrow(1, 0, 1).unwrap();
            z.flatten_all().unwrap().to_vec1().unwrap()
        };
        let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
        let b = least - 0.6;
        // C&W's change of variables wants a box of the size of the perturbation.
        let model = Plane { w: w.clone(), b, bounds: Bounds::new(-3.0, 4.0).unwrap() };
        for (name, tolerance, attack) in minimum(norm) {
            for (d, score) in distances(&*attack, &model, &x).into_iter().zip(&scores) {
                let want = (score - b) / dual(&w, norm);
                assert!(d >= want * (1.0 - 1e-9), "{name} {norm:?}: {d} is less than the least, {want}");
                assert!(d <= want * (1.0 + tolerance) + 2e-4, "{name} {norm:?}: {d}, the least is {want}");
            }
        }
    }
}

/// With the box in the way the least move is another; FAB's projections know it. The reference fills the elements by
/// hand: in Linf all that are free move by the same, found by halving.
#[test]
fn the_box_is_taken_into_account() {
    let w = vec![3.0, 1.0, 1.0, 1.0];
    let x = Tensor::new(&[[0.1f64, 0.5, 0.5, 0.5]], &Device::Cpu).unwrap();
    // Score 1.8 - b = 1: element 0 can give 0.3 only.
    let model = Plane { w, b: 0.8, bounds: Bounds::UNIT };
    let least = |norm| match norm {
        Norm::Linf => 0.7 / 3.0,
        Norm::L2 => f64::hypot(0.1, 0.7 / 3f64.sqrt()),
        Norm::L1 => 0.1 + 0.7,
    };
    for norm in NORMS {
        let fab = FabConfig { norm, steps: 80, targets: Some(1), ..FabConfig::default() };
        let d = distances(&Fab::new(fab).unwrap(), &model, &x)[0];
        assert!(
            d >= least(norm) - 1e-9 && d < least(norm) * 1.01 + 1e-3,
            "{norm:?}: {d}, the least is {}",
            least(norm)
        );
    }
}

#[test]
fn auto_pgd_climbs_a_plane_to_the_top() {
    let w = Rng::new(7).normals(64);
    let x = Rng::new(8).uniform((5, 64), 0.4..0.6, DType::F64, &Device::Cpu).unwrap();
    for norm in NORMS {
        // Far away, so that nothing is fooled and the best loss is what comes back.
        let model = Plane { w: w.clone(), b: -60.0, bounds: Bounds::new(-50.0, 50.0).unwrap() };
        for loss in [Loss::Margin, Loss::CrossEntropy] {
            let cfg = ApgdConfig { norm, eps: 0.3, loss, steps: 100, ..ApgdConfig::default() };
            let goal = zeros(5);
            let attack = Apgd::new(cfg).unwrap();
            let r = run(&attack, &model, &x, &goal, &RunConfig::default(), &Rng::new(0)).unwrap();
            let score = |x: &Tensor| -> Vec<f64> {
                let z = model.logits(x).unwrap().narrow(1, 0, 1).unwrap();
                z.flatten_all().unwrap().to_vec1().unwrap()
            };
            for (before, after) in score(&x).iter().zip(score(&r.adversarial)) {
                let want = 0.3 * dual(&w, norm);
                // L1 steps move several elements at once until the sparsity has settled on one.
                let tolerance = if norm == Norm::L1 { 0.1 } else { 1e-3 };
                let fell = before - after;
                if loss == Loss::Margin || norm != Norm::L1 {
                    assert!(fell <= want * (1.0 + 1e-9) && fell > want * (1.0 - tolerance), "{norm:?}: {fell}, {want}");
                }
            }
        }
    }
}

/// `z = (r^2 - |x|_2^2, 0)`: class 0 inside a ball; the least L2 move from `x` is `r - |x|`.
struct Ball {
    radius: f64,
}

impl Classifier for Ball {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let score = (x.flatten_from(1)?.sqr()?.sum_keepdim(1)?.affine(-1.0, self.radius * self.radius))?;
        Ok(Tensor::cat(&[&score, &score.zeros_like()?], 1)?)
    }

    fn classes(&self) -> usize {
        2
    }

    fn bounds(&self) -> Bounds {
        Bounds::new(-4.0, 4.0).unwrap()
    }
}

#[test]
fn the_distance_to_a_sphere_is_found() {
    let x = Rng::new(9).uniform((6, 10), -0.2..0.3, DType::F64, &Device::Cpu).unwrap();
    let rows = x.to_vec2::<f64>().unwrap();
    for norm in NORMS {
        // DeepFool's straight lines overstep far from inside a sphere.
        for (name, tolerance, attack) in minimum(norm).into_iter().filter(|m| m.0 != "deepfool") {
            for (d, x) in distances(&*attack, &Ball { radius: 1.5 }, &x).into_iter().zip(&rows) {
                let sum = |f: &dyn Fn(f64) -> f64| x.iter().map(|v| f(*v)).sum::<f64>();
                let (square, absolute) = (sum(&|v| v * v), sum(&|v| v.abs()));
                let peak = x.iter().fold(0f64, |m, v| m.max(v.abs()));
                let want = match norm {
                    Norm::L2 => 1.5 - square.sqrt(),
                    // All elements outward by t: 10 t^2 + 2 t |x|_1 + |x|^2 = r^2.
                    Norm::Linf => (-absolute + (absolute * absolute + 10.0 * (2.25 - square)).sqrt()) / 10.0,
                    // The largest element outward alone: 2 m t + t^2 = r^2 - |x|^2.
                    Norm::L1 => -peak + (peak * peak + 2.25 - square).sqrt(),
                };
                assert!(d >= want * (1.0 - 1e-9), "{name} {norm:?}: {d} is less than the least, {want}");
                // A descent finds one of many near-equal faces: some room for Linf and L1.
                let room = if norm == Norm::L2 { tolerance + 0.01 } else { 0.35 };
                assert!(d <= want * (1.0 + room) + 2e-4, "{name} {norm:?}: {d}, the least is {want}");
            }
        }
    }
}

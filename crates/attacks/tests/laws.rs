//! The laws of every attack as one function; closed forms; what is refused.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use sconce_attacks::fourier::{
    BandNoise, BandNoiseConfig, Normalisation, SingleFourier, SingleFourierConfig, Sweep, SweepConfig,
};
use sconce_attacks::{
    Apgd, ApgdConfig, Attack, Bounds, CarliniWagner, CarliniWagnerConfig, Classifier, Corrupted, Corruption, Ddn,
    DdnConfig, DeepFool, DeepFoolConfig, Diversity, Error, ExampleRng, Fab, FabConfig, Fgsm, FgsmConfig, Fmn,
    FmnConfig, Goal, Loss, Momentum, MomentumConfig, Norm, Pgd, PgdConfig, Result, Rng, RunConfig, Spsa, SpsaConfig,
    Square, SquareConfig, StepSize, Target, Threat, Translation, corruption_table, geometry, run,
};
use sconce_tensor_core::ops;

mod support;
use support::{cnn, images, labels, trained};

fn bits(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

fn pgd(norm: Norm, eps: f64, restarts: usize, loss: Loss) -> Box<dyn Attack> {
    let step = StepSize::Relative(0.3);
    Box::new(Pgd::new(PgdConfig { norm, eps, steps: 4, step_size: step, random_start: true, restarts, loss }).unwrap())
}

fn scale(norm: Norm) -> f64 {
    match norm {
        Norm::Linf => 1.0,
        Norm::L2 => 5.0,
        Norm::L1 => 30.0,
    }
}

/// Attacks that look for the smallest perturbation.
fn minimum_norm() -> Vec<(String, Box<dyn Attack>)> {
    let mut all: Vec<(String, Box<dyn Attack>)> = Vec::new();
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let fab = FabConfig { norm, steps: 8, restarts: 2, radius: scale(norm), ..FabConfig::default() };
        all.push((format!("fab-t {norm:?}"), Box::new(Fab::new(fab).unwrap())));
        all.push((format!("fab {norm:?}"), Box::new(Fab::new(FabConfig { targets: None, ..fab }).unwrap())));
        let deepfool = DeepFoolConfig { norm, steps: 20, ..DeepFoolConfig::default() };
        all.push((format!("deepfool {norm:?}"), Box::new(DeepFool::new(deepfool).unwrap())));
        let fmn = FmnConfig { norm, steps: 30, ..FmnConfig::default() };
        all.push((format!("fmn {norm:?}"), Box::new(Fmn::new(fmn).unwrap())));
    }
    let cw = CarliniWagnerConfig { searches: 3, steps: 30, step_size: 0.05, ..CarliniWagnerConfig::default() };
    all.push(("ddn".to_owned(), Box::new(Ddn::new(DdnConfig { steps: 30, ..DdnConfig::default() }).unwrap())));
    all.push(("c&w".to_owned(), Box::new(CarliniWagner::new(cw).unwrap())));
    all
}

#[test]
fn every_minimum_norm_attack_keeps_the_laws() {
    let (net, x, _) = trained(9);
    let goal = Goal::Untargeted(labels(&net, &x));
    let judge = |a: &dyn Attack, batch| {
        let cfg = RunConfig { batch_size: Some(batch), ..RunConfig::default() };
        run(a, &net, &x, &goal, &cfg, &Rng::new(3)).unwrap()
    };
    for (name, attack) in minimum_norm() {
        assert!(attack.threat().is_unbounded(), "{name}");
        let r = judge(&*attack, 9);
        assert!(bits(&r.adversarial).iter().all(|v| (0.0..=1.0).contains(v)), "{name}: box");
        for batch in [1, 2, 7] {
            let again = judge(&*attack, batch);
            assert_eq!(bits(&again.adversarial), bits(&r.adversarial), "{name}: batches of {batch}");
            assert_eq!(again.effort, r.effort, "{name}: batches of {batch}");
        }
        for i in 0..9 {
            // A success has a perturbation, a failure is the input itself, and what is wrong already stays.
            let moved = r.distance[i] > 0.0;
            assert_eq!(moved, r.reached[i] && r.clean[i], "{name}: example {i}");
            assert_eq!(r.effort[i].forwards > 0, r.clean[i], "{name}: effort of example {i}");
            assert!((r.margin[i] <= 0.0) == r.reached[i], "{name}: margin of example {i}");
        }
        assert!(r.reached.iter().zip(&r.clean).filter(|(r, c)| **r && **c).count() >= 5, "{name}: {:?}", r.reached);
    }
}

#[test]
fn targets_are_picked_and_reached() {
    let (net, x, y) = trained(6);
    let rng = ExampleRng::new(Rng::new(0), (0..6).collect());
    let labels = y.to_vec1::<u32>().unwrap();
    for target in [Target::LeastLikely, Target::RunnerUp, Target::Random] {
        let goal = target.goal(&net, &x, &y, &rng).unwrap();
        assert!(goal.labels().to_vec1::<u32>().unwrap().iter().zip(&labels).all(|(t, y)| t != y && *t < 4));
        for attack in [
            Box::new(Pgd::new(PgdConfig { eps: 1.0, steps: 60, loss: Loss::Margin, ..Default::default() }).unwrap())
                as Box<dyn Attack>,
            Box::new(Apgd::new(ApgdConfig { eps: 1.0, steps: 60, ..Default::default() }).unwrap()),
            Box::new(Fmn::new(FmnConfig::default()).unwrap()),
        ] {
            let r = run(&*attack, &net, &x, &goal, &RunConfig::default(), &Rng::new(1)).unwrap();
            assert!(r.reached.iter().filter(|r| **r).count() >= 3, "{target:?}: {:?}", r.reached);
        }
    }
    let runner = Target::RunnerUp.goal(&net, &x, &y, &rng).unwrap();
    let least = Target::LeastLikely.goal(&net, &x, &y, &rng).unwrap();
    let logits = net.logits(&x).unwrap().to_vec2::<f32>().unwrap();
    let of = |g: &Goal, i: usize| logits[i][g.labels().to_vec1::<u32>().unwrap()[i] as usize];
    assert!((0..6).all(|i| of(&least, i) <= of(&runner, i) && of(&runner, i) <= logits[i][labels[i] as usize]));
    let e = Target::Given(labels.clone()).goal(&net, &x, &y, &rng).unwrap_err().to_string();
    assert!(e.contains("at row 0 is the example's own label"), "{e}");
    let far: Vec<u32> = vec![9; 6];
    assert!(Target::Given(far).goal(&net, &x, &y, &rng).unwrap_err().to_string().contains("not below the 4 classes"));
    assert!(Target::Given(vec![0]).goal(&net, &x, &y, &rng).is_err());
}

#[test]
fn corruptions_keep_the_box_and_grow_with_severity() {
    let (net, x) = (cnn(), images(5));
    let goal = Goal::Untargeted(labels(&net, &x));
    let rng = ExampleRng::new(Rng::new(2), (0..5).collect());
    for kind in Corruption::ALL {
        let size = |severity: usize| {
            let moved = Corrupted::new(kind, severity).unwrap().perturb(&net, &x, &goal, &rng).unwrap().x;
            assert!(bits(&moved).iter().all(|v| (0.0..=1.0).contains(v)), "{kind:?}");
            let one = ExampleRng::new(Rng::new(2), vec![3]);
            let alone = Corrupted::new(kind, severity).unwrap().perturb(&net, &x.narrow(0, 3, 1).unwrap(), &goal, &one);
            assert_eq!(bits(&alone.unwrap().x), bits(&moved.narrow(0, 3, 1).unwrap()), "{kind:?}: alone");
            bits(&(&moved - &x).unwrap()).iter().map(|d| d * d).sum::<f32>()
        };
        assert!(size(5) > size(1) && size(1) > 0.0, "{kind:?}: {} and {}", size(1), size(5));
    }
    let (net, x, y) = trained(24);
    let table = |batch| {
        let cfg = RunConfig { batch_size: Some(batch), ..RunConfig::default() };
        corruption_table(&net, &x, &y, &cfg, &Rng::new(2)).unwrap()
    };
    let all = table(24);
    assert_eq!(all, table(7));
    assert!(all.len() == 9 && all.iter().all(|r| r.1.iter().all(|p| p.total == 24)));
    assert!(all.iter().any(|r| r.1[4].hits < 24) && all.iter().any(|r| r.1[0].hits > 20), "{all:?}");
    assert!(Corrupted::new(Corruption::Contrast, 6).is_err() && Corrupted::new(Corruption::Contrast, 0).is_err());
}

type Make = Box<dyn Fn(f64) -> Box<dyn Attack>>;

fn all() -> Vec<(String, Make)> {
    let mut all: Vec<(String, Make)> = Vec::new();
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let scale = scale(norm);
        let fgsm = move |eps| FgsmConfig { norm, eps: eps * scale, loss: Loss::CrossEntropy };
        all.push((format!("fgsm {norm:?}"), Box::new(move |eps| Box::new(Fgsm::new(fgsm(eps)).unwrap()))));
        for loss in [Loss::CrossEntropy, Loss::Margin, Loss::Dlr] {
            all.push((format!("pgd {norm:?} {loss:?}"), Box::new(move |eps| pgd(norm, eps * scale, 2, loss))));
        }
    }
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let by = scale(norm);
        let apgd = move |loss, targets, restarts| {
            move |eps: f64| -> Box<dyn Attack> {
                let cfg =
                    ApgdConfig { norm, eps: eps * by, steps: 12, loss, targets, restarts, ..ApgdConfig::default() };
                Box::new(Apgd::new(cfg).unwrap())
            }
        };
        all.push((format!("apgd {norm:?} CE"), Box::new(apgd(Loss::CrossEntropy, None, 2))));
        all.push((format!("apgd {norm:?} DLR"), Box::new(apgd(Loss::Dlr, None, 1))));
        all.push((format!("apgd-t {norm:?}"), Box::new(apgd(Loss::Dlr, Some(3), 1))));
        let square =
            move |eps: f64| SquareConfig { norm, eps: eps * by, queries: 30, restarts: 2, ..Default::default() };
        all.push((format!("square {norm:?}"), Box::new(move |eps| Box::new(Square::new(square(eps)).unwrap()))));
        let spsa = move |eps: f64| SpsaConfig { norm, eps: eps * by, steps: 3, samples: 5, ..Default::default() };
        all.push((format!("spsa {norm:?}"), Box::new(move |eps| Box::new(Spsa::new(spsa(eps)).unwrap()))));
        if norm == Norm::L1 {
            continue;
        }
        let mi = MomentumConfig { norm, steps: 4, ..MomentumConfig::default() };
        for (name, cfg) in [
            ("mi", mi),
            ("ni", MomentumConfig { nesterov: true, ..mi }),
            ("di", MomentumConfig { diversity: Some(Diversity { probability: 0.8, smallest: 0.7 }), ..mi }),
            ("ti", MomentumConfig { translation: Some(Translation { side: 3, sigmas: 2.0 }), ..mi }),
        ] {
            let make = move |eps: f64| MomentumConfig { eps: eps * by, ..cfg };
            all.push((
                format!("{name}-fgsm {norm:?}"),
                Box::new(move |eps| Box::new(Momentum::new(make(eps)).unwrap())),
            ));
        }
    }
    for (normalisation, random_signs) in
        [(Normalisation::Peak, false), (Normalisation::Sign, true), (Normalisation::L2, true)]
    {
        let cfg = move |eps| SingleFourierConfig { direction: (1, 2), eps, normalisation, random_signs };
        let name = format!("wave {normalisation:?}");
        all.push((name, Box::new(move |eps| Box::new(SingleFourier::new(cfg(eps)).unwrap()))));
    }
    all
}

#[test]
fn every_attack_keeps_the_laws() {
    let (net, x) = (cnn(), images(9));
    let y = labels(&net, &x);
    let goal = Goal::Untargeted(y.clone());
    let judge = |a: &dyn Attack, batch| {
        let cfg = RunConfig { batch_size: Some(batch), ..RunConfig::default() };
        run(a, &net, &x, &goal, &cfg, &Rng::new(3)).unwrap()
    };
    for (name, make) in all() {
        let attack = make(0.2);
        let r = judge(&*attack, 9);
        // Inside the ball to rounding, inside the box to the last bit.
        let eps = attack.threat().eps();
        assert!(r.distance.iter().all(|d| *d <= eps * (1.0 + 1e-6) + 1e-7), "{name}: {:?}", r.distance);
        assert!(bits(&r.adversarial).iter().all(|v| (0.0..=1.0).contains(v)), "{name}: box");
        // Deterministic, and the same in every cut into batches.
        for batch in [1, 2, 7] {
            let again = judge(&*attack, batch);
            assert_eq!(bits(&again.adversarial), bits(&r.adversarial), "{name}: batches of {batch}");
            assert_eq!(again.reached, r.reached, "{name}: batches of {batch}");
        }
        // Never worse for the attacker than the clean inputs; those that serve it stay as they are.
        for i in 0..9 {
            assert!(r.reached[i] || r.clean[i], "{name}: example {i}");
            if !r.clean[i] {
                assert_eq!(r.distance[i], 0.0, "{name}: example {i} was moved for nothing");
            }
        }
        // AttackResult on what is returned, in a fresh pass.
        let p = sconce_tensor_core::classifier::predict(&net, &r.adversarial, 9).unwrap();
        let fresh: Vec<bool> = p.iter().zip(y.to_vec1::<u32>().unwrap()).map(|(p, y)| *p != y).collect();
        assert_eq!(fresh, r.reached, "{name}");
        // A radius of 0 returns the inputs.
        assert_eq!(bits(&judge(&*make(0.0), 4).adversarial), bits(&x), "{name}: eps 0");
    }
}

#[test]
fn an_example_keeps_its_noise_wherever_it_stands() {
    let (net, x) = (cnn(), images(6));
    let goal = |n| Goal::Untargeted(Tensor::zeros(n, DType::U32, &Device::Cpu).unwrap());
    let attack = pgd(Norm::Linf, 0.1, 1, Loss::Margin);
    let all = attack.perturb(&net, &x, &goal(6), &ExampleRng::new(Rng::new(0), (10..16).collect())).unwrap().x;
    let one =
        attack.perturb(&net, &x.narrow(0, 4, 1).unwrap(), &goal(1), &ExampleRng::new(Rng::new(0), vec![14])).unwrap().x;
    assert_eq!(bits(&all.narrow(0, 4, 1).unwrap()), bits(&one));
}

/// `z = (w x, 0)`: the margin to the other class is linear in the input, its gradient constant.
struct LinearModel {
    w: Tensor,
    bounds: Bounds,
    classes: usize,
}

impl Classifier for LinearModel {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let score = ops::linear(&x.flatten_from(1)?, &self.w, None)?;
        Ok(Tensor::cat(&[&score, &score.zeros_like()?], 1)?)
    }

    fn classes(&self) -> usize {
        self.classes
    }

    fn bounds(&self) -> Bounds {
        self.bounds
    }
}

/// On a linear model with room in the box the optimum is known: the score of class 0 falls by
/// eps |w|_1 in Linf, eps |w|_2 in L2, eps |w|_inf in L1.
#[test]
fn a_linear_model_is_attacked_exactly() {
    let w = Rng::new(7).normal((1, 64), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
    let values = w.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let model = LinearModel { w, bounds: Bounds::new(-100.0, 100.0).unwrap(), classes: 2 };
    let x = images(5).to_dtype(DType::F64).unwrap();
    let goal = Goal::Untargeted(Tensor::zeros(5, DType::U32, &Device::Cpu).unwrap());
    let score =
        |x: &Tensor| model.logits(x).unwrap().narrow(1, 0, 1).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let dual = |norm| match norm {
        Norm::Linf => values.iter().map(|v| v.abs()).sum::<f64>(),
        Norm::L2 => values.iter().map(|v| v * v).sum::<f64>().sqrt(),
        Norm::L1 => values.iter().fold(0.0, |a, v| f64::max(a, v.abs())),
    };
    let check = |name: &str, attack: &dyn Attack| {
        let rng = ExampleRng::new(Rng::new(0), (0..5).collect());
        let moved = attack.perturb(&model, &x, &goal, &rng).unwrap().x;
        let moved = geometry::project(&moved, &x, attack.threat(), model.bounds()).unwrap();
        let want = attack.threat().eps() * dual(attack.threat().norm());
        for (before, after) in score(&x).iter().zip(score(&moved)) {
            assert!((before - after - want).abs() < 1e-9 * want, "{name}: fell by {}, optimum {want}", before - after);
        }
    };
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        // 64 elements: one per cent of them is one, so the L1 step is the exact one too.
        check("fgsm", &Fgsm::new(FgsmConfig { norm, eps: 0.3, loss: Loss::CrossEntropy }).unwrap());
        let cfg = PgdConfig {
            norm,
            eps: 0.3,
            steps: 8,
            step_size: StepSize::Relative(2.0),
            random_start: false,
            ..Default::default()
        };
        check("pgd", &Pgd::new(PgdConfig { loss: Loss::Margin, ..cfg }).unwrap());
        // From a random start, many steps arrive there as well (Linf: in one step of twice the radius).
        if norm == Norm::Linf {
            check("pgd, random start", &Pgd::new(PgdConfig { random_start: true, ..cfg }).unwrap());
        }
    }
}

#[test]
fn losses_by_hand() {
    let z = Tensor::new(&[[3f64, 1.0, 2.0], [0.0, 5.0, 5.0]], &Device::Cpu).unwrap();
    let y = Tensor::new(&[0u32, 1], &Device::Cpu).unwrap();
    let of = |l: Loss, g: &Goal| l.per_example(&z, g).unwrap();
    assert_eq!(of(Loss::Margin, &Goal::Untargeted(y.clone())), [-1.0, 0.0]);
    assert_eq!(of(Loss::Margin, &Goal::Targeted(Tensor::new(&[1u32, 0], &Device::Cpu).unwrap())), [-2.0, -5.0]);
    let dlr = of(Loss::Dlr, &Goal::Untargeted(y.clone()));
    assert!((dlr[0] + 0.5).abs() < 1e-9 && dlr[1].abs() < 1e-9, "{dlr:?}");
    let ce = of(Loss::CrossEntropy, &Goal::Targeted(y.clone()));
    assert!(ce.iter().all(|v| *v < 0.0));
    assert!(Loss::Dlr.per_example(&z, &Goal::Targeted(y.clone())).is_err());
    let two = z.narrow(1, 0, 2).unwrap();
    let e = Loss::Dlr.per_example(&two, &Goal::Untargeted(y)).unwrap_err();
    assert!(matches!(e, Error::Unsupported { .. }) && e.to_string().contains("3 classes"));
}

#[test]
fn what_is_refused_is_named() {
    let (net, x) = (cnn(), images(3));
    let y = Tensor::zeros(3, DType::U32, &Device::Cpu).unwrap();
    let fgsm = Fgsm::new(FgsmConfig { eps: 0.1, ..Default::default() }).unwrap();
    let error = |model: &dyn Classifier, x: &Tensor, y: &Tensor| {
        run(&fgsm, model, x, &Goal::Untargeted(y.clone()), &RunConfig::default(), &Rng::new(0)).unwrap_err().to_string()
    };
    for eps in [-0.1, f64::NAN, f64::INFINITY] {
        let e = Fgsm::new(FgsmConfig { eps, ..Default::default() }).unwrap_err().to_string();
        assert!(e.contains("Threat.eps") && e.contains(&eps.to_string()), "{e}");
        assert!(Pgd::new(PgdConfig { eps, ..Default::default() }).is_err());
        assert!(SingleFourier::new(SingleFourierConfig { eps, ..Default::default() }).is_err());
        assert!(Sweep::new(SweepConfig { eps, ..Default::default() }).is_err());
        assert!(BandNoise::new(BandNoiseConfig { eps, ..Default::default() }).is_err());
    }
    let e = error(&net, &(&x + 0.5).unwrap(), &y);
    assert!(e.contains("outside the model's box [0, 1]") && e.contains("flat index"), "{e}");
    let e = error(&net, &(&x * f64::NAN).unwrap(), &y);
    assert!(e.contains("NaN at flat index 0"), "{e}");
    let e = error(&net, &x, &Tensor::new(&[0u32, 9, 0], &Device::Cpu).unwrap());
    assert!(e.contains("label 9 at row 1"), "{e}");
    let none = Tensor::zeros((0, 1, 8, 8), DType::F32, &Device::Cpu).unwrap();
    assert!(error(&net, &none, &y).contains("at least one example"));
    let w = Tensor::ones((1, 64), DType::F32, &Device::Cpu).unwrap();
    let e = error(&LinearModel { w, bounds: Bounds::UNIT, classes: 1 }, &x, &y);
    assert!(e.contains("Classifier.classes") && e.contains("got 1"), "{e}");
    let cfg = PgdConfig::default();
    for (bad, field) in [
        (PgdConfig { steps: 0, ..cfg }, "PgdConfig.steps"),
        (PgdConfig { step_size: StepSize::Absolute(0.0), ..cfg }, "PgdConfig.step_size"),
        (PgdConfig { restarts: 0, ..cfg }, "PgdConfig.restarts"),
        (PgdConfig { restarts: 2, random_start: false, ..cfg }, "PgdConfig.restarts"),
    ] {
        assert!(Pgd::new(bad).unwrap_err().to_string().contains(field));
    }
    let outside = SingleFourier::new(SingleFourierConfig { direction: (8, 0), ..Default::default() }).unwrap();
    let r = run(&outside, &net, &x, &Goal::Untargeted(labels(&net, &x)), &RunConfig::default(), &Rng::new(0));
    assert!(r.unwrap_err().to_string().contains("below (8, 8)"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// The projection is the nearest point of the ball (in L2 distance), and of the box.
    #[test]
    fn projections_are_nearest(seed in 0u64..10_000, eps in 0.0f64..2.0, pick in 0usize..3) {
        let norm = [Norm::Linf, Norm::L2, Norm::L1][pick];
        let threat = Threat::new(norm, eps).unwrap();
        let wide = Bounds::new(-1e3, 1e3).unwrap();
        let x = Rng::new(seed).normal((3, 7), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
        let far = Rng::new(seed + 1).normal((3, 7), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
        let p = geometry::project(&far, &x, threat, wide).unwrap();
        let length = geometry::norms(&(&p - &x).unwrap(), norm).unwrap().to_vec1::<f64>().unwrap();
        prop_assert!(length.iter().all(|l| *l <= eps * (1.0 + 1e-12) + 1e-12));
        // Variational inequality: <far - p, q - p> <= 0 for every q of the ball.
        for s in 0..6 {
            let q = Rng::new(seed * 7 + s).normal((3, 7), 0.0, 1.0, DType::F64, &Device::Cpu).unwrap();
            let q = geometry::project(&q, &x, threat, wide).unwrap();
            let inner = ((&far - &p).unwrap() * (&q - &p).unwrap()).unwrap().sum(1).unwrap().to_vec1::<f64>().unwrap();
            prop_assert!(inner.iter().all(|i| *i <= 1e-9), "{inner:?}");
        }
        let again = geometry::project(&p, &x, threat, wide).unwrap();
        let d = (again - &p).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        prop_assert!(d < 1e-12);
    }
}

#[test]
fn random_starts_fill_the_ball() {
    let x = Tensor::zeros((400, 3), DType::F64, &Device::Cpu).unwrap();
    for norm in [Norm::Linf, Norm::L2, Norm::L1] {
        let rng = ExampleRng::new(Rng::new(1), (0..400).collect());
        let p = geometry::random_in_ball(&x, Threat::new(norm, 2.0).unwrap(), &rng).unwrap();
        let r = geometry::norms(&p, norm).unwrap().to_vec1::<f64>().unwrap();
        assert!(r.iter().all(|r| *r <= 2.0 + 1e-12));
        // Uniform in a ball of 3 dimensions: P(r < 1) = 1/8; five standard deviations of a count of 400.
        let inside = r.iter().filter(|r| **r < 1.0).count() as f64;
        assert!((inside - 50.0).abs() < 5.0 * (400f64 * 0.125 * 0.875).sqrt(), "{norm:?}: {inside}");
    }
}

//! What models can answer: another shape, another type, a NaN, logits that rounding has eaten, labels that are shifted. Every attack and
//! every evaluation says what was asked and got; none panics, and no number comes without its flag.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_attacks::fourier::{Directions, FourierSearch, Normalisation, Sweep, SweepConfig};
use sconce_attacks::{
    Apgd, ApgdConfig, Attack, AutoAttack, CarliniWagner, CarliniWagnerConfig, Classifier, Ddn, DdnConfig, DeepFool,
    DeepFoolConfig, Diversity, Eot, Evaluation, EvaluationConfig, ExampleRng, Fab, FabConfig, Fgsm, FgsmConfig,
    FlagKind, Fmn, FmnConfig, Goal, Loss, Momentum, MomentumConfig, Norm, Pgd, PgdConfig, Result, Rng, RunConfig, Spsa,
    SpsaConfig, Square, SquareConfig, Status, Suite, Target, corruption_table, evaluate, margin, run,
};
use sconce_tensor_core::nets::SmallCnn;

mod support;
use support::trained;

type Answer = fn(Tensor) -> candle_core::Result<Tensor>;

/// The trained network with another answer, and another number of classes that it claims.
struct With<'a>(&'a SmallCnn, Answer, usize);

impl Classifier for With<'_> {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        Ok((self.1)(self.0.logits(x)?)?)
    }

    fn classes(&self) -> usize {
        self.2
    }
}

/// Wrong answers: the name, the answer, the classes that are claimed, and words of the error.
const WRONG: [(&str, Answer, usize, &str); 10] = [
    ("one row", |z| z.narrow(0, 0, 1), 4, "got [1, 4]"),
    ("a row more", |z| Tensor::cat(&[&z, &z.narrow(0, 0, 1)?], 0), 4, "4]"),
    ("three axes", |z| z.unsqueeze(2), 4, "4, 1]"),
    ("one axis", |z| z.flatten_all(), 4, "got ["),
    ("a column for two classes", |z| z.narrow(1, 0, 1), 2, "1]"),
    ("three classes claimed", |z| Ok(z), 3, "4]"),
    ("five classes claimed", |z| Ok(z), 5, "4]"),
    ("integers", |z| z.to_dtype(DType::I64), 4, "floating-point"),
    ("a NaN", |z| (z - 1e9)?.sqrt(), 4, "NaN"),
    ("an infinity", |z| z / 0.0, 4, "inf"),
];

fn attacks() -> Vec<(&'static str, Box<dyn Attack>)> {
    let dlr = ApgdConfig { steps: 3, loss: Loss::Dlr, ..ApgdConfig::default() };
    let bent = MomentumConfig { steps: 2, diversity: Some(Diversity::default()), ..MomentumConfig::default() };
    let pgd = PgdConfig { steps: 2, ..PgdConfig::default() };
    let directions = Directions::Every(9);
    vec![
        ("fgsm", Box::new(Fgsm::new(FgsmConfig::default()).unwrap())),
        ("pgd", Box::new(Pgd::new(pgd).unwrap())),
        ("pgd 2", Box::new(Pgd::new(PgdConfig { restarts: 2, ..pgd }).unwrap())),
        ("apgd", Box::new(Apgd::new(ApgdConfig { steps: 3, ..ApgdConfig::default() }).unwrap())),
        ("apgd-dlr", Box::new(Apgd::new(dlr).unwrap())),
        ("apgd-t", Box::new(Apgd::new(ApgdConfig { targets: Some(1), loss: Loss::Margin, ..dlr }).unwrap())),
        ("fab", Box::new(Fab::new(FabConfig { steps: 2, targets: None, ..FabConfig::default() }).unwrap())),
        ("fab-t", Box::new(Fab::new(FabConfig { steps: 2, ..FabConfig::default() }).unwrap())),
        ("square", Box::new(Square::new(SquareConfig { queries: 3, ..SquareConfig::default() }).unwrap())),
        ("deepfool", Box::new(DeepFool::new(DeepFoolConfig { steps: 2, ..DeepFoolConfig::default() }).unwrap())),
        ("fmn", Box::new(Fmn::new(FmnConfig { steps: 2, ..FmnConfig::default() }).unwrap())),
        ("ddn", Box::new(Ddn::new(DdnConfig { steps: 2, ..DdnConfig::default() }).unwrap())),
        ("c&w", {
            let cfg = CarliniWagnerConfig { searches: 1, steps: 2, ..CarliniWagnerConfig::default() };
            Box::new(CarliniWagner::new(cfg).unwrap())
        }),
        ("momentum", Box::new(Momentum::new(bent).unwrap())),
        ("spsa", Box::new(Spsa::new(SpsaConfig { steps: 2, samples: 2, ..SpsaConfig::default() }).unwrap())),
        ("sfa", Box::new(FourierSearch::new(0.1, Normalisation::Peak, directions).unwrap())),
    ]
}

fn config() -> EvaluationConfig {
    EvaluationConfig { norm: Norm::Linf, eps: vec![0.03], ..EvaluationConfig::default() }
}

fn evaluated(model: &dyn Classifier, x: &Tensor, y: &Tensor, suite: &Suite<'_>) -> Result<Evaluation> {
    evaluate(model, x, y, suite, &config(), None, &mut |_| Ok(()))
}

/// Each wrong answer is refused by every attack (also called directly), every suite and every measurement, with what was asked and got.
#[test]
fn every_answer_is_checked() {
    let (net, x, _) = trained(6);
    // A label that every claimed number of classes has.
    let y = Tensor::zeros(6, DType::U32, &Device::Cpu).unwrap();
    let goal = Goal::Untargeted(y.clone());
    let examples = ExampleRng::new(Rng::new(0), (0..6).collect());
    for (what, answer, classes, words) in WRONG {
        let model = With(&net, answer, classes);
        let see = |e: String, by: &str| {
            let asked = format!(" inputs and {classes} classes");
            assert!(e.contains("the logits that the model returned") && e.contains(words), "{what}, {by}: {e}");
            assert!(e.contains(&asked) || !e.contains("expected shape"), "{what}, {by}: {e}");
        };
        for (name, attack) in attacks() {
            // The attack itself, as a user may call it, and the run that measures it.
            if attack.supports(x.dims(), classes).is_ok() {
                let direct = attack.perturb(&model, &x, &goal, &examples).map(drop);
                see(direct.expect_err(name).to_string(), name);
            }
            see(run(&*attack, &model, &x, &goal, &RunConfig::default(), &Rng::new(1)).unwrap_err().to_string(), name);
        }
        let suites = [Suite::quick(), Suite::auto_attack(AutoAttack::Standard, Norm::Linf, classes), Suite::fourier()];
        for suite in suites {
            see(evaluated(&model, &x, &y, &suite).unwrap_err().to_string(), &suite.name);
        }
        let eot = Eot::new(&model, 2).unwrap();
        see(evaluated(&eot, &x, &y, &Suite::quick()).unwrap_err().to_string(), "eot");
        see(Target::RunnerUp.goal(&model, &x, &y, &examples).unwrap_err().to_string(), "targets");
        see(
            corruption_table(&model, &x, &y, &RunConfig::default(), &Rng::new(0)).unwrap_err().to_string(),
            "corruptions",
        );
        let sweep = Sweep::new(SweepConfig::default()).unwrap();
        see(sweep.run(&model, &x, &y, |_, _| Ok(())).unwrap_err().to_string(), "sweep");
    }
}

/// Labels and classes that do not fit are refused by the attacks themselves, too.
#[test]
fn goals_that_do_not_fit_are_refused() {
    let (net, x, _) = trained(3);
    let examples = ExampleRng::new(Rng::new(0), (0..3).collect());
    let one = With(&net, |z| z.narrow(1, 0, 1), 1);
    for (name, attack) in attacks() {
        let refused = |model: &dyn Classifier, x: &Tensor, y: &[u32], why: &str| {
            let goal = Goal::Untargeted(Tensor::new(y, &Device::Cpu).unwrap());
            let e = attack.perturb(model, x, &goal, &examples).expect_err(name).to_string();
            assert!(e.contains(why), "{name}: {e}");
        };
        refused(&net, &x, &[0, 9, 1], "label 9 at row 1 is not below the 4 classes");
        refused(&net, &x, &[0, 1], "labels: expected shape (3,)");
        refused(&one, &x, &[0, 0, 0], "a model with one class cannot be attacked");
    }
    assert!(margin(&[1.0], 0).is_infinite() && margin(&[1.0, 2.0], 5).is_nan());
}

#[test]
fn wider_types_and_smaller_scales_are_fine() {
    let (net, x, y) = trained(12);
    let answers: [(Answer, DType); 3] =
        [(|z| z.to_dtype(DType::F64), DType::F32), (|z| z * 1e-6, DType::F32), (|z| z + 100.0, DType::F32)];
    let plain = evaluated(&net, &x, &y, &Suite::quick()).unwrap();
    for (answer, dtype) in answers {
        let model = With(&net, answer, 4);
        let done = evaluated(&model, &x.to_dtype(dtype).unwrap(), &y, &Suite::quick()).unwrap();
        assert_eq!((done.clean_accuracy(), done.status), (plain.clean_accuracy(), Status::Sound));
    }
}

fn kinds(e: &Evaluation) -> Vec<FlagKind> {
    match &e.status {
        Status::Flagged(all) => all.iter().map(|f| f.kind).collect(),
        _ => Vec::new(),
    }
}

/// All logits + 1e8: their differences are multiples of 8. Shifted labels, and labels that mean nothing: at or below chance.
#[test]
fn numbers_that_mean_nothing_are_flagged() {
    let (net, x, y) = trained(40);
    let far = With(&net, |z| z + 1e8, 4);
    let done = evaluated(&far, &x, &y, &Suite::quick()).unwrap();
    assert!(kinds(&done).contains(&FlagKind::RoundedLogits), "{:?}", done.status);
    let shifted: Vec<u32> = y.to_vec1::<u32>().unwrap().into_iter().map(|y| (y + 1) % 4).collect();
    let done = evaluated(&net, &x, &Tensor::new(shifted, &Device::Cpu).unwrap(), &Suite::quick()).unwrap();
    assert_eq!(kinds(&done), [FlagKind::ChanceAccuracy]);
    let Status::Flagged(flags) = &done.status else { panic!() };
    assert!(
        flags[0].detail.contains("below chance: 0 of 40") && flags[0].detail.contains("0.250 for 4"),
        "{}",
        flags[0]
    );
    // A class for each example at random: the interval holds the chance.
    let blind = Tensor::from_iter((0..40u32).map(|i| i / 4 % 4), &Device::Cpu).unwrap();
    let done = evaluated(&net, &x, &blind, &Suite::quick()).unwrap();
    let Status::Flagged(flags) = &done.status else { panic!("{:?}", done.status) };
    assert!(flags.iter().any(|f| f.detail.contains("not above chance: 10 of 40")), "{flags:?}");
    // The sound one.
    assert_eq!(evaluated(&net, &x, &y, &Suite::quick()).unwrap().status, Status::Sound);
}

/// A radius of 0 costs one pass over the inputs for the ledger and those of the checks that need no attack.
#[test]
fn a_radius_of_0_runs_no_attack() {
    let (net, x, y) = trained(8);
    let cfg = EvaluationConfig { eps: vec![0.0], ..config() };
    let suite = Suite::auto_attack(AutoAttack::Standard, Norm::Linf, 4);
    let none = &mut |_: sconce_attacks::EvaluationProgress<'_>| panic!("an attack ran");
    let done = evaluate(&net, &x, &y, &suite, &cfg, None, none).unwrap();
    assert!(done.ledger.entries.is_empty());
    assert_eq!(done.robust_accuracies().unwrap()[0].robust, done.clean_accuracy());
    // Beside another radius it costs nothing.
    let two = EvaluationConfig { eps: vec![0.0, 0.03], ..config() };
    let both = evaluate(&net, &x, &y, &Suite::quick(), &two, None, &mut |_| Ok(())).unwrap();
    let alone = evaluated(&net, &x, &y, &Suite::quick()).unwrap();
    assert_eq!((both.ledger.entries, both.status), (alone.ledger.entries, alone.status));
}

/// The one attack of a suite that cannot run is named before the others start.
#[test]
fn what_cannot_run_is_found_first() {
    let (net, x, y) = trained(4);
    struct Flat<'a>(&'a SmallCnn);
    impl Classifier for Flat<'_> {
        fn logits(&self, x: &Tensor) -> Result<Tensor> {
            self.0.logits(&x.reshape(((), 1, 8, 8))?)
        }

        fn classes(&self) -> usize {
            4
        }
    }
    let flat = x.flatten_from(1).unwrap();
    let never = &mut |_: sconce_attacks::EvaluationProgress<'_>| panic!("an attack ran");
    for suite in [Suite::quick(), Suite::auto_attack(AutoAttack::Plus, Norm::Linf, 4), Suite::fourier()] {
        let e = evaluate(&Flat(&net), &flat, &y, &suite, &config(), None, never).unwrap_err().to_string();
        assert!(e.contains("cannot run on this model and these inputs") && e.contains("(N, C, H, W)"), "{e}");
    }
    let suite = Suite::quick().with_attack(Suite::pgd("pgd-dlr", Loss::Dlr, 3, 1));
    let e = evaluate(
        &With(&net, |z| z.narrow(1, 0, 2), 2),
        &x,
        &y.clamp(0u32, 1u32).unwrap(),
        &suite,
        &config(),
        None,
        never,
    );
    let e = e.unwrap_err().to_string();
    assert!(e.contains("`pgd-dlr` cannot run") && e.contains("needs 3 classes"), "{e}");
}

//! The evaluator: cascade, radii, resuming, ledgers, comparison.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_attacks::{
    Access, AutoAttack, Classifier, Error, EvaluationConfig, Fab, FabConfig, Ledger, Loss, Norm, Part, Result, Rng,
    RunConfig, Status, Suite, SuiteEntry, evaluate,
};
use sconce_tensor_core::nets::SmallCnn;

mod support;
use support::trained;

fn suite<'a>() -> Suite<'a> {
    Suite::new("test")
        .with_attack(Suite::pgd("pgd", Loss::CrossEntropy, 5, 1))
        .with_attack(SuiteEntry::new("fab", Access::WhiteBox, |t| {
            Ok(Box::new(Fab::new(FabConfig { norm: t.norm(), steps: 10, targets: Some(3), ..FabConfig::default() })?))
        }))
        .with_attack(Suite::square(40))
}

fn config(batch: usize) -> EvaluationConfig {
    EvaluationConfig {
        eps: vec![0.02, 0.05, 0.1],
        run: RunConfig { batch_size: Some(batch), ..RunConfig::default() },
        diagnosis: None,
        ..EvaluationConfig::default()
    }
}

fn fixture() -> (SmallCnn, Tensor, Tensor) {
    trained(20)
}

#[test]
fn batches_do_not_matter_and_accuracy_falls_with_the_radius() {
    let (net, x, y) = fixture();
    let one = evaluate(&net, &x, &y, &suite(), &config(64), None, &mut |_| Ok(())).unwrap();
    for batch in [1, 7] {
        let again = evaluate(&net, &x, &y, &suite(), &config(batch), None, &mut |_| Ok(())).unwrap();
        assert_eq!(again.ledger, one.ledger, "batches of {batch}");
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let threads = pool.install(|| evaluate(&net, &x, &y, &suite(), &config(7), None, &mut |_| Ok(())).unwrap());
    assert_eq!(threads.ledger, one.ledger, "three threads");
    let all = one.robust_accuracies().unwrap();
    assert!(all.windows(2).all(|w| w[1].robust.hits <= w[0].robust.hits));
    assert!(all[2].robust.hits < all[0].robust.hits && all[0].robust.hits <= one.clean_accuracy().hits);
    assert_eq!(one.status, Status::Unchecked);
    assert!(all[0].to_string().ends_with("under test; not checked"), "{}", all[0]);
    // FAB ran once for all radii, on the examples that PGD did not fool at the smallest radius.
    let entry = |name: &str| one.ledger.entries.iter().filter(|e| e.attack == name).collect::<Vec<_>>();
    assert_eq!((entry("pgd").len(), entry("fab").len(), entry("square").len()), (3, 1, 3));
    assert!(entry("fab")[0].eps.is_infinite());
    // Later attacks ran on survivors only.
    assert!(entry("square")[2].examples.len() <= all[2].robust.hits + 3);
    assert!(entry("square")[0].forwards.iter().all(|f| (1..=41).contains(f)));
    assert_eq!(one.ledger.by_attack("square", 0.1), None);
    assert!(one.ledger.by_attack("pgd", 0.02).is_some());
}

#[test]
fn every_attack_by_itself_when_asked() {
    let (net, x, y) = fixture();
    let cfg = EvaluationConfig { survivors_only: false, ..config(64) };
    let all = evaluate(&net, &x, &y, &suite(), &cfg, None, &mut |_| Ok(())).unwrap().ledger;
    let worst = all.accuracy(0.1).hits;
    for name in ["pgd", "fab", "square"] {
        assert!(all.by_attack(name, 0.1).unwrap().hits >= worst, "{name}");
    }
    let cascade = evaluate(&net, &x, &y, &suite(), &config(64), None, &mut |_| Ok(())).unwrap().ledger;
    assert_eq!(cascade.accuracy(0.1).hits, worst, "the cascade loses nothing");
}

#[test]
fn a_stopped_run_goes_on_and_ends_the_same() {
    let (net, x, y) = fixture();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger.safetensors");
    let whole = evaluate(&net, &x, &y, &suite(), &config(3), None, &mut |_| Ok(())).unwrap().ledger;
    for stop in [1, 3, 5, 9] {
        let mut left = stop;
        let stopped = evaluate(&net, &x, &y, &suite(), &config(3), Some(&file), &mut |_| {
            left -= 1;
            if left == 0 { Err(Error::value("stop", "here")) } else { Ok(()) }
        });
        assert!(stopped.is_err());
    }
    let end = evaluate(&net, &x, &y, &suite(), &config(3), Some(&file), &mut |_| Ok(())).unwrap().ledger;
    assert_eq!(end, whole);
    let read = Ledger::load(&file).unwrap();
    assert_eq!(read, whole);
    // Asked again without a run, also at another radius.
    assert!(read.accuracy(0.07).hits >= read.accuracy(0.1).hits && read.accuracy(0.0).hits == 20);
    // Of another model, data or suite.
    let e = evaluate(
        &net,
        &x.narrow(0, 0, 19).unwrap(),
        &y.narrow(0, 0, 19).unwrap(),
        &suite(),
        &config(3),
        Some(&file),
        &mut |_| Ok(()),
    );
    assert!(e.unwrap_err().to_string().contains("made by another configuration"));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert!(Ledger::load(&file).unwrap_err().to_string().contains("ledger.safetensors"));
}

/// No flipped bit of a ledger's file is used, and nothing that contradicts itself, also where its checksums are right.
#[test]
fn a_damaged_or_impossible_ledger_is_refused() {
    let (net, x, y) = fixture();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ledger");
    let suite = Suite::new("one").with_attack(Suite::pgd("pgd", Loss::Margin, 5, 1));
    let small = EvaluationConfig { eps: vec![0.05, 0.1], ..config(64) };
    let good = evaluate(&net, &x, &y, &suite, &small, Some(&file), &mut |_| Ok(())).unwrap().ledger;
    let bytes = std::fs::read(&file).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&file, &damaged).unwrap();
        // White space of the header is the one place without content.
        if let Ok(read) = Ledger::load(&file) {
            assert!(read == good && bytes[at] == b' ', "byte {at} of {}", bytes.len());
        }
    }
    let refused = |why: &str, change: &dyn Fn(&mut Ledger)| {
        let mut ledger = good.clone();
        change(&mut ledger);
        ledger.save(&file).unwrap();
        let e = Ledger::load(&file).unwrap_err().to_string();
        assert!(e.contains("contradicts itself") && e.contains(why), "{why}: {e}");
        // Nor is it continued.
        assert!(evaluate(&net, &x, &y, &suite, &small, Some(&file), &mut |_| Ok(())).is_err());
    };
    let first = good.entries[0].examples[0] as usize;
    refused("is wrong with a margin", &|l| l.clean[first] = false);
    refused("although its clean input is misclassified", &|l| {
        l.clean[first] = false;
        l.clean_margin[first] = -1.0;
    });
    refused("has a perturbation of size 0.5", &|l| {
        (l.entries[0].reached[0], l.entries[0].margin[0], l.entries[0].distance[0]) = (true, -1.0, 0.5);
    });
    refused("has a perturbation of size NaN", &|l| l.entries[0].distance[0] = f64::NAN);
    refused("is fooled with a margin of 1", &|l| {
        (l.entries[0].reached[0], l.entries[0].margin[0], l.entries[0].distance[0]) = (true, 1.0, 0.0);
    });
    refused("is robust with a margin of -1", &|l| (l.entries[0].reached[0], l.entries[0].margin[0]) = (false, -1.0));
    refused("is there twice", &|l| l.entries[0].examples[1] = l.entries[0].examples[0]);
    refused("is there twice", &|l| l.entries[1].eps = l.entries[0].eps);
    refused("is no radius", &|l| l.entries[0].eps = f64::NAN);
    good.save(&file).unwrap();
    assert_eq!(Ledger::load(&file).unwrap(), good);
}

#[test]
fn two_models_are_compared_example_by_example() {
    let (net, x, y) = fixture();
    let mut a = evaluate(&net, &x, &y, &suite(), &config(64), None, &mut |_| Ok(())).unwrap().ledger;
    let b = a.clone();
    assert_eq!(a.paired(&b, 0.1).unwrap().difference, 0.0);
    // Three more hold in the first.
    let fooled: Vec<usize> = b.robust(0.1).iter().enumerate().filter(|r| !r.1).map(|r| r.0).take(3).collect();
    for e in &mut a.entries {
        for (i, r) in e.examples.iter().zip(&mut e.reached) {
            *r &= !fooled.contains(&(*i as usize));
        }
    }
    let p = a.paired(&b, 0.1).unwrap();
    assert_eq!((p.first, p.second, p.both + p.neither), (3, 0, 17));
    // sqrt(3 - 9/20) / 20 times 1.96, by hand.
    assert!((p.difference - 0.15).abs() < 1e-12 && (p.ci95.hi - p.ci95.lo - 2.0 * 0.156_49).abs() < 1e-4, "{p:?}");
}

#[test]
fn auto_attack_fits_every_number_of_classes() {
    for (classes, notes) in [(2, 2), (3, 2), (4, 1), (10, 0), (1000, 0)] {
        let s = Suite::auto_attack(AutoAttack::Standard, Norm::Linf, classes);
        assert_eq!((s.attacks.len(), s.notes.len()), (4, notes), "{classes} classes: {:?}", s.notes);
    }
    assert_eq!(Suite::auto_attack(AutoAttack::Plus, Norm::L2, 10).attacks.len(), 6);
    assert_eq!(Suite::auto_attack(AutoAttack::Rand, Norm::L2, 10).attacks.len(), 2);
}

/// Scores are projections on random directions: any number of classes.
struct Linear(Tensor);

impl Classifier for Linear {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        sconce_tensor_core::ops::linear(&x.flatten_from(1)?, &self.0, None)
    }

    fn classes(&self) -> usize {
        self.0.dims()[0]
    }
}

/// The whole suite, as it is, on models of few and of many classes: it runs, and is at least as strong as PGD.
#[test]
fn auto_attack_runs_on_two_three_four_and_a_thousand_classes() {
    let x = Rng::new(1).uniform((5, 1, 8, 8), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    for classes in [2, 3, 4, 1000] {
        let model = Linear(Rng::new(2).normal((classes, 64), 0.0, 1.0, DType::F32, &Device::Cpu).unwrap());
        let y = sconce_tensor_core::classifier::predict(&model, &x, 5).unwrap();
        let y = Tensor::new(y, &Device::Cpu).unwrap();
        let cfg = EvaluationConfig { eps: vec![0.01, 0.05], ..config(5) };
        let hits = |suite: &Suite<'_>| {
            let done = evaluate(&model, &x, &y, suite, &cfg, None, &mut |_| Ok(())).unwrap();
            (done.ledger.accuracy(0.01).hits, done.ledger.accuracy(0.05).hits, done.notes.len())
        };
        let auto = hits(&Suite::auto_attack(AutoAttack::Standard, Norm::Linf, classes));
        let pgd = hits(&Suite::new("pgd").with_attack(Suite::pgd("pgd", Loss::Margin, 40, 5)));
        assert!(auto.0 <= pgd.0 && auto.1 <= pgd.1, "{classes} classes: {auto:?} and {pgd:?}");
        assert_eq!(auto.2 > 0, classes < 10, "a note where the suite is not as published");
    }
}

#[test]
fn what_is_refused_is_named() {
    let (net, x, y) = fixture();
    let error = |suite: &Suite<'_>, cfg: EvaluationConfig, y: &Tensor| {
        evaluate(&net, &x, y, suite, &cfg, None, &mut |_| Ok(())).unwrap_err().to_string()
    };
    let e = error(&suite(), EvaluationConfig { eps: vec![0.1, 0.1], ..config(4) }, &y);
    assert!(e.contains("EvaluationConfig.eps") && e.contains("strictly increasing"), "{e}");
    let e = error(&suite(), EvaluationConfig { eps: vec![0.1, 1.5], ..config(4) }, &y);
    assert!(e.contains("larger than the box") && e.contains("1.5"), "{e}");
    assert!(error(&suite(), EvaluationConfig { eps: vec![], ..config(4) }, &y).contains("at least one radius"));
    assert!(error(&suite(), EvaluationConfig { eps: vec![-1.0], ..config(4) }, &y).contains("Threat.eps"));
    assert!(
        error(&suite().with_attack(Suite::square(1)), config(4), &y).contains("two attacks have the name `square`")
    );
    let far = Tensor::new(&[7u32; 20], &Device::Cpu).unwrap();
    assert!(error(&suite(), config(4), &far).contains("label 7 at row 0"));
}

#[test]
fn parts_of_the_examples_make_the_ledger_of_all_of_them_bit_by_bit() {
    let (net, x, y) = fixture();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    for survivors_only in [true, false] {
        let run = |name: &str, part: Option<Part>| {
            let cfg = EvaluationConfig { survivors_only, part, ..config(7) };
            evaluate(&net, &x, &y, &suite(), &cfg, Some(&file(name)), &mut |_| Ok(())).unwrap().ledger
        };
        let whole = format!("whole-{survivors_only}");
        let want = run(&whole, None);
        let of = |n: usize| -> Vec<Ledger> {
            (0..n).map(|i| run(&format!("{i}-of-{n}-{survivors_only}"), Some(Part::new(i, n).unwrap()))).collect()
        };
        let bytes = std::fs::read(file(&whole)).unwrap();
        for n in [1, 2, 3, 7] {
            let mut parts = of(n);
            parts.reverse();
            parts.push(parts[0].clone());
            let merged = Ledger::merge(&parts).unwrap();
            assert_eq!(merged, want);
            let out = file(&format!("merged-{n}-{survivors_only}"));
            merged.save(&out).unwrap();
            assert_eq!(std::fs::read(&out).unwrap(), bytes, "{n} parts, survivors only: {survivors_only}");
        }
        let parts = of(3);
        let refused = |parts: &[Ledger], why: &str| {
            let e = Ledger::merge(parts).unwrap_err().to_string();
            assert!(e.contains(why), "{e}");
        };
        refused(&parts[..2], "missing: 3/3");
        assert_eq!(Ledger::missing(&parts[1..]).iter().map(Part::to_string).collect::<Vec<_>>(), ["1/3"]);
        refused(&[], "there are none");
        refused(std::slice::from_ref(&want), "it has all examples");
        refused(&[parts[0].clone(), of(2)[1].clone()], "one of 3");
        // The same part with another result, of another seed, with an attack or an example less.
        let changed = |f: &dyn Fn(&mut Ledger)| {
            let mut odd = parts[1].clone();
            f(&mut odd);
            [parts[0].clone(), odd, parts[2].clone()]
        };
        let flip = |l: &mut Ledger| l.entries[0].distance[0] += 1e-17_f64.max(f64::EPSILON * l.entries[0].distance[0]);
        let twice = [&changed(&flip)[..], &parts[1..2]].concat();
        refused(&twice, "part 2/3 is there twice, with different results");
        let other = EvaluationConfig { survivors_only, part: Some(Part::new(1, 3).unwrap()), seed: 1, ..config(7) };
        let seed = evaluate(&net, &x, &y, &suite(), &other, None, &mut |_| Ok(())).unwrap().ledger;
        refused(&[parts[0].clone(), seed, parts[2].clone()], "`seed`: found 1, expected 0");
        refused(&changed(&|l| drop(l.entries.pop())), "has other attacks than part");
        refused(&changed(&|l| l.entries[0].examples[0] += 1), "has examples of another part");
        let shorter = changed(&|l| {
            let e = &mut l.entries[0];
            e.examples.pop();
            e.reached.pop();
            e.distance.pop();
            e.margin.pop();
            e.forwards.pop();
            e.gradients.pop();
        });
        refused(&shorter, "was not run on example");
    }
    // Nobody takes a part for the whole.
    let part = EvaluationConfig { part: Some(Part::new(0, 2).unwrap()), ..config(7) };
    evaluate(&net, &x, &y, &suite(), &part, Some(&file("part")), &mut |_| Ok(())).unwrap();
    let e = evaluate(&net, &x, &y, &suite(), &config(7), Some(&file("part")), &mut |_| Ok(())).unwrap_err();
    assert!(e.to_string().contains("`part`: found \"1/2\", expected nothing"), "{e}");
    assert!(Part::new(2, 2).is_err() && Part::new(0, 0).is_err());
}

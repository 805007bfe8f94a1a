//! The search for counterexamples where the answer is known: linear networks, small ReLU networks against brute force, networks without gradients.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_attacks::property::{
    Constraint, Counterexample, Falsification, Falsifier, FalsifierConfig, Outcome, Property, Region,
};
use sconce_attacks::{Classifier, Goal, Loss, Norm, Pgd, PgdConfig, Result, Rng, RunConfig, StepSize, run as attack};
use sconce_tensor_core::ops;

mod support;
use support::trained;

/// x -> W_k relu(... relu(W_1 x + b_1) ...) + b_k; each layer has its weights (out, in) and biases.
struct Layers(Vec<(Tensor, Tensor)>);

impl Layers {
    fn linear(weights: &[&[f32]], bias: &[f32]) -> Self {
        let w = Tensor::from_vec(weights.concat(), (weights.len(), weights[0].len()), &Device::Cpu).unwrap();
        Self(vec![(w, Tensor::new(bias, &Device::Cpu).unwrap())])
    }

    fn random(sizes: &[usize], seed: u64) -> Self {
        let rng = Rng::new(seed);
        let layer = |(i, s): (usize, &[usize])| {
            let draw = |name: &str, shape: &[usize], scale| {
                rng.stream(name).at(i as u64).normal(shape, 0.0, scale, DType::F32, &Device::Cpu).unwrap()
            };
            (draw("w", &[s[1], s[0]], (1.0 / s[0] as f64).sqrt()), draw("b", &s[1..], 0.3))
        };
        Self(sizes.windows(2).enumerate().map(layer).collect())
    }

    fn outputs(&self, x: &[f64]) -> Vec<f64> {
        let x: Vec<f32> = x.iter().map(|v| *v as f32).collect();
        let x = Tensor::from_vec(x.clone(), (1, x.len()), &Device::Cpu).unwrap();
        self.logits(&x).unwrap().to_dtype(DType::F64).unwrap().to_vec2().unwrap().remove(0)
    }
}

impl Classifier for Layers {
    fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.flatten_from(1)?;
        for (i, (w, b)) in self.0.iter().enumerate() {
            x = if i > 0 { ops::relu(&x)? } else { x };
            x = ops::linear(&x, w, Some(b))?;
        }
        Ok(x)
    }

    fn classes(&self) -> usize {
        self.0.last().unwrap().1.elem_count()
    }
}

fn declared(inputs: usize, outputs: usize) -> String {
    let all = |letter: char, n: usize| (0..n).map(move |i| format!("(declare-const {letter}_{i} Real)\n"));
    all('X', inputs).chain(all('Y', outputs)).collect()
}

/// A property over the unit box.
fn unit(inputs: usize, outputs: usize, rest: &str) -> Property {
    let bounds: String = (0..inputs).map(|i| format!("(assert (>= X_{i} 0))\n(assert (<= X_{i} 1.0))\n")).collect();
    Property::parse(&format!("{}{bounds}{rest}", declared(inputs, outputs))).unwrap()
}

fn run(model: &dyn Classifier, property: &Property, cfg: FalsifierConfig) -> Falsification {
    let shape = [property.inputs()];
    Falsifier::new(cfg).unwrap().run(model, property, &shape, &Device::Cpu, &mut || true).unwrap()
}

/// The counterexample, checked from its printed form by a pass of its own.
#[track_caller]
fn sat(model: &Layers, property: &Property, cfg: FalsifierConfig) -> Counterexample {
    let found = run(model, property, cfg);
    let Outcome::Violated(example) = &found.outcome else { panic!("{} within {}", found.outcome, found.closest) };
    let text = found.outcome.to_string();
    let body = text.strip_prefix("sat\n(").unwrap().strip_suffix(')').unwrap();
    let numbers = |letter: char| -> Vec<f64> {
        let own = body.lines().map(|l| l.trim().trim_matches(['(', ')'])).filter(|l| l.starts_with(letter));
        own.enumerate().map(|(i, l)| l.strip_prefix(&format!("{letter}_{i} ")).unwrap().parse().unwrap()).collect()
    };
    let (x, y) = (numbers('X'), numbers('Y'));
    assert_eq!((x.len(), y.len()), (property.inputs(), property.outputs()));
    assert_eq!((&x, &y), (&example.inputs, &example.outputs), "the digits give the numbers back");
    assert_eq!(y, model.outputs(&x), "the outputs are those of the printed inputs");
    assert!(property.regions()[example.region].contains(&x, &y) && property.violated(&x, &y) == Some(example.region));
    example.clone()
}

fn default() -> FalsifierConfig {
    FalsifierConfig::default()
}

#[test]
fn corners_edges_and_slabs_of_linear_networks() {
    // Only the corner (1, 0, 1, 0) has the output 2.
    let net = Layers::linear(&[&[1.0, -1.0, 1.0, -1.0]], &[0.0]);
    let at = sat(&net, &unit(4, 1, "(assert (>= Y_0 2.0))"), default());
    assert_eq!(at.inputs, [1.0, 0.0, 1.0, 0.0]);
    let none = run(&net, &unit(4, 1, "(assert (> Y_0 2.0))"), default());
    assert_eq!((none.outcome, none.closest), (Outcome::Unknown, 0.0), "it comes as near as it can");
    let none = run(&net, &unit(4, 1, "(assert (>= Y_0 2.25))"), default());
    assert_eq!((none.outcome.to_string().as_str(), none.closest), ("unknown", 0.25));
    assert!(none.forwards == none.gradients && none.gradients <= 20 * 101);
    // The edge x_0 = 1, x_1 = 0, where the first output is largest, cut by a slab of the second: 0.001 of its range.
    let net = Layers::linear(&[&[1.0, -1.0, 0.0], &[0.0, 0.0, 1.0]], &[0.0, 0.0]);
    let slab = "(assert (and (>= Y_0 1) (>= Y_1 0.333) (<= Y_1 0.334)))";
    let at = sat(&net, &unit(3, 2, slab), default());
    assert!(at.inputs[..2] == [1.0, 0.0] && (0.333..=0.334).contains(&at.inputs[2]), "{at}");
    // A slab of sums: 30 inputs, of whose box it is a very small part.
    let ones = [1.0; 30];
    let net = Layers::linear(&[&ones], &[0.0]);
    let property = unit(30, 1, "(assert (<= 28.7001 Y_0 28.7004))");
    assert!((28.7001..=28.7004).contains(&sat(&net, &property, default()).outputs[0]));
    // An equality has no interior: a number of f32 that is reached, and one that no sum reaches.
    sat(&net, &unit(30, 1, "(assert (= Y_0 30))"), default());
    assert_eq!(run(&net, &unit(30, 1, "(assert (= Y_0 0.1))"), default()).outcome, Outcome::Unknown);
}

/// Every disjunct is tried: only the last of many holds anywhere, and it has a box of its own.
#[test]
fn disjunctions_of_inputs_and_outputs() {
    let net = Layers::linear(&[&[1.0, 0.0], &[0.0, 1.0]], &[0.0, 0.0]);
    let empty: String = (0..70).map(|i| format!("(and (<= X_0 0.0{i}) (>= Y_0 1.5))")).collect();
    let text = format!("(assert (or {empty} (and (>= X_0 0.75) (<= X_1 0.25) (<= (+ Y_0 (* -1.0 Y_1)) 0.50001))))");
    let property = unit(2, 2, &text);
    assert_eq!(property.regions().len(), 71);
    for batch in [1, 64, 1000] {
        let at = sat(&net, &property, FalsifierConfig { batch, ..default() });
        assert_eq!(at.region, 70);
        assert!(at.inputs[0] >= 0.75 && at.inputs[1] <= 0.25, "{at}");
    }
    // Constraints on inputs and outputs together.
    let at = sat(&net, &unit(2, 2, "(assert (>= (+ X_0 X_1 Y_0 Y_1) 3.9999)) (assert (<= (- X_0 Y_1) 0))"), default());
    assert!(at.inputs.iter().sum::<f64>() > 1.9999);
    // Constraints on inputs alone.
    sat(&net, &unit(2, 2, "(assert (and (>= X_0 (* 2 X_1)) (>= (+ X_0 X_1) 1.4999)))"), default());
    sat(&net, &unit(2, 2, "(assert true)"), default());
}

/// ReLU networks of two inputs: the largest output difference on a grid of 401 x 401 points is found, and no more than what is there.
#[test]
fn small_relu_networks_against_brute_force() {
    for seed in 0..8 {
        let net = Layers::random(&[2, 16, 16, 2], seed);
        let side = 401;
        let grid: Vec<f32> = (0..side * side)
            .flat_map(|i| [(i % side) as f32 / (side - 1) as f32, (i / side) as f32 / (side - 1) as f32])
            .collect();
        let x = Tensor::from_vec(grid, (side * side, 2), &Device::Cpu).unwrap();
        let y: Vec<Vec<f32>> = net.logits(&x).unwrap().to_vec2().unwrap();
        let gaps = y.iter().map(|y| f64::from(y[0]) - f64::from(y[1]));
        let (lo, hi) = gaps.fold((f64::MAX, f64::MIN), |(lo, hi), g| (lo.min(g), hi.max(g)));
        let above = |v: f64| unit(2, 2, &format!("(assert (>= (- Y_0 Y_1) {v}))"));
        sat(&net, &above(hi - 1e-4), default());
        // Between grid points the network is linear in pieces; its slope is far below 100.
        let beyond = hi + 100.0 / f64::from(side as u32);
        let none = run(&net, &above(beyond), FalsifierConfig { restarts: 4, ..default() });
        assert_eq!(none.outcome, Outcome::Unknown, "seed {seed}");
        assert!(none.closest > 0.0 && none.closest <= beyond - hi + 1e-4, "seed {seed}: {}", none.closest);
        // A small part of the range inside.
        let middle = lo + 0.3 * (hi - lo);
        let narrow = format!("(assert (<= {middle} (- Y_0 Y_1)))(assert (<= (- Y_0 Y_1) {}))", middle + 1e-4);
        sat(&net, &unit(2, 2, &narrow), default());
    }
}

/// No gradient anywhere: the network rounds its inputs. And a ReLU network whose hidden units are dead on most of the box.
#[test]
fn random_moves_follow_where_gradients_vanish() {
    struct Rounded(Layers);
    impl Classifier for Rounded {
        fn logits(&self, x: &Tensor) -> Result<Tensor> {
            self.0.logits(&(x * 4.0)?.floor()?.detach())
        }
        fn classes(&self) -> usize {
            1
        }
    }
    let net = Rounded(Layers::linear(&[&[1.0, -1.0, 1.0, 1.0, -1.0, 1.0]], &[0.0]));
    // The largest value that an open set of points has: 3 + 3 + 3 + 3.
    let found = run(&net, &unit(6, 1, "(assert (>= Y_0 12))"), default());
    assert!(matches!(found.outcome, Outcome::Violated(_)), "{} within {}", found.outcome, found.closest);

    let row = Tensor::new(&[[1f32, 1.0, 1.0, -1.0]], &Device::Cpu).unwrap();
    let bias = Tensor::new(&[-2.5f32], &Device::Cpu).unwrap();
    let one = Tensor::new(&[[1f32]], &Device::Cpu).unwrap();
    let dead = Layers(vec![(row, bias), (one.clone(), Tensor::new(&[0f32], &Device::Cpu).unwrap())]);
    let at = sat(&dead, &unit(4, 1, "(assert (>= Y_0 0.25))"), default());
    assert!(at.inputs[3] <= 0.25, "{at}");
}

/// Robustness of a convolutional network as a property of each image, in the style of the competition: what PGD with restarts fools is violated, and
/// what is violated is misclassified.
#[test]
fn robustness_is_a_property() {
    let (net, x, y) = trained(24);
    let (eps, labels) = (0.1, y.to_vec1::<u32>().unwrap());
    let cfg = PgdConfig {
        norm: Norm::Linf,
        eps,
        steps: 40,
        step_size: StepSize::Relative(0.1),
        restarts: 4,
        loss: Loss::Margin,
        ..PgdConfig::default()
    };
    let goal = Goal::Untargeted(y.clone());
    let pgd = attack(&Pgd::new(cfg).unwrap(), &net, &x, &goal, &RunConfig::default(), &Rng::new(0)).unwrap();
    let fooled = pgd.reached.iter().filter(|r| **r).count();
    assert!((6..=18).contains(&fooled), "the radius decides some of the images: {fooled}");
    let images = x.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
    for (i, image) in images.iter().enumerate() {
        let sides = image.iter().map(|v| f64::from(*v));
        let bounds: String = sides
            .enumerate()
            .map(|(k, v)| format!("(assert (<= {} X_{k} {}))\n", (v - eps).max(0.0), (v + eps).min(1.0)))
            .collect();
        let label = labels[i];
        let others: String = (0..4).filter(|k| *k != label).map(|k| format!("(and (>= Y_{k} Y_{label}))")).collect();
        let property = Property::parse(&format!("{}{bounds}(assert (or {others}))", declared(64, 4))).unwrap();
        let falsifier = Falsifier::new(FalsifierConfig { restarts: 4, steps: 60, ..default() }).unwrap();
        let found = falsifier.run(&net, &property, &[1, 8, 8], &Device::Cpu, &mut || true).unwrap();
        match &found.outcome {
            Outcome::Violated(at) => {
                let own = at.outputs[label as usize];
                assert!(at.outputs.iter().enumerate().any(|(k, z)| k != label as usize && *z >= own), "{at}");
            }
            other => assert!(!pgd.reached[i], "image {i}: {other} within {}", found.closest),
        }
    }
}

#[test]
fn the_box_is_kept_to_the_last_digit() {
    // Bounds that are no numbers of f32, one of them a point, one an interval between two numbers of f32.
    let text = format!(
        "{}(assert (and (>= X_0 0.1) (<= X_0 0.3) (= X_1 0.7) (>= X_2 0.10000000001) (<= X_2 0.10000000002)))
         (assert (>= Y_0 {}))",
        declared(3, 1),
        0.3f32.next_down() + 0.7f32 - 0.1f32 - 1e-6
    );
    let property = Property::parse(&text).unwrap();
    let net = Layers::linear(&[&[1.0, 1.0, -1.0]], &[0.0]);
    let at = sat(&net, &property, default());
    assert_eq!((at.inputs[1], f64::from(at.inputs[0] as f32)), (0.7, at.inputs[0]));
    assert!((0.1..=0.3).contains(&at.inputs[0]) && (0.10000000001..=0.10000000002).contains(&at.inputs[2]), "{at}");
    // A box that is one point is asked once in every descent.
    let point = Property::parse(&format!("{}(assert (= X_0 0.5)) (assert (>= Y_0 1))", declared(1, 1))).unwrap();
    let net = Layers::linear(&[&[1.0]], &[0.0]);
    let none = run(&net, &point, default());
    assert_eq!((none.outcome, none.forwards, none.closest), (Outcome::Unknown, 20, 0.5));
}

#[test]
fn the_caller_ends_the_search_and_repeats_it() {
    let net = Layers::random(&[2, 16, 2], 1);
    let property = unit(2, 2, "(assert (>= Y_0 1000))");
    let mut asked = 0;
    let falsifier = Falsifier::new(default()).unwrap();
    let ended = falsifier
        .run(&net, &property, &[1, 2], &Device::Cpu, &mut || {
            asked += 1;
            asked <= 3
        })
        .unwrap();
    assert_eq!((ended.outcome.to_string().as_str(), ended.gradients), ("timeout", 3 * 20));
    let slab = unit(2, 2, "(assert (<= 0.1 (- Y_0 Y_1) 0.1001))");
    assert_eq!(run(&net, &slab, default()), run(&net, &slab, default()));
}

#[test]
fn what_does_not_go_together_is_named() {
    let net = Layers::linear(&[&[1.0, 1.0]], &[0.0]);
    let falsifier = Falsifier::new(default()).unwrap();
    let ask = |property: &Property, shape: &[usize]| {
        falsifier.run(&net, property, shape, &Device::Cpu, &mut || true).unwrap_err().to_string()
    };
    let e = ask(&unit(3, 1, "(assert (>= Y_0 1))"), &[2]);
    assert!(e.contains("one of 3 elements") && e.contains("got [2]"), "{e}");
    let e = ask(&unit(2, 2, "(assert (>= Y_0 1))"), &[2]);
    assert!(e.contains("the model has 1, the property is about 2"), "{e}");
    let e =
        ask(&Property::new(1, vec![Region::new(vec![0.0; 2], vec![1.0, 1e39], Vec::new()).unwrap()]).unwrap(), &[2]);
    assert!(e.contains("a bound of X_1 is beyond the numbers of 32 bits"), "{e}");
    for (cfg, field) in [
        (FalsifierConfig { steps: 0, ..default() }, "steps"),
        (FalsifierConfig { restarts: 0, ..default() }, "restarts"),
        (FalsifierConfig { batch: 0, ..default() }, "batch"),
    ] {
        assert!(Falsifier::new(cfg).unwrap_err().to_string().contains(field));
    }
    assert!(Constraint::new(vec![(0, f64::NAN)], vec![], 0.0, false).is_err());
    assert!(Constraint::new(vec![], vec![(1, 1.0), (1, 2.0)], 0.0, false).is_err());
    assert!(Constraint::new(vec![], vec![], 0.0, false).is_err());
    assert!(Region::new(vec![1.0], vec![0.0], vec![]).unwrap_err().to_string().contains("X_0 contradict"));
    assert!(Region::new(vec![0.0], vec![f64::INFINITY], vec![]).unwrap_err().to_string().contains("finite"));
    let far = Constraint::new(vec![], vec![(3, 1.0)], 0.0, false).unwrap();
    assert!(Property::new(2, vec![Region::new(vec![0.0], vec![1.0], vec![far.clone()]).unwrap()]).is_err());
    assert!(Property::new(1, vec![]).is_err() && !far.holds(&[0.0], &[0.0]));
}

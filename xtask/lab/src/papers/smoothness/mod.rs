//! How smooth the adversarial loss is in the weights (arXiv 2103.01400), and EntropySGD, which smooths it.

mod config;
mod linear;
mod network;
mod page;

use crate::experiment::{Experiment, Measured};
use crate::pages::html::Page;
use crate::results::Results;
use crate::run::Run;
use anyhow::Result;
use config::Config;
use linear::Found;
use network::{ARMS, Arm, Trained, Turn};
use sconce_tensor_core::stats::Summary;

/// The reproduction.
pub struct SmoothnessPaper;

impl Experiment for SmoothnessPaper {
    const SLUG: &'static str = "smoothness";
    const TITLE: &'static str = "Smoothness of the adversarial loss";
    const LEAD: &'static str = "An adversarial loss need not be smooth in the weights, because the best attack can jump where they move a \
        little: under an L-infinity constraint it does where a weight changes its sign, under an L2 constraint only at zero; a loss \
        that is flat in its input makes it worse; EntropySGD's objective is smooth all the same (arXiv 2103.01400). Here in closed \
        form where there is one, by quadrature, and for a small network.";
    type Config = Config;

    fn seeds(cfg: &Config) -> Vec<u64> {
        cfg.seeds.clone()
    }

    fn run(cfg: &Config, run: &Run) -> Result<Measured> {
        cfg.validate()?;
        let k = cfg.network.inner_steps as f64;
        run.plan(run.seeds.len() as f64 * (4.0 + 2.0 * k));
        let mut m = Measured::default();
        exact(cfg, run, &mut m)?;
        trained(cfg, run, &mut m)?;
        m.flags.push(
            "The paper's data, networks, radii and EntropySGD's settings are unknown to us: directions are compared, not numbers. Its \
             gain in robust accuracy is of deep networks; at this size its sign is not guaranteed."
                .into(),
        );
        m.flags.push("Measured ratios are lower bounds on Lipschitz constants: the largest that was found.".into());
        Ok(m)
    }

    fn report(cfg: &Config, _run: &Run, results: &Results, page: &mut Page) -> Result<()> {
        page::write(cfg, results, page)
    }
}

/// Linear model, toy and quadrature.
fn exact(cfg: &Config, run: &Run, m: &mut Measured) -> Result<()> {
    let done = run.stage("linear", 0.0, |_| {
        run.seeds.iter().map(|s| linear::run(&cfg.linear, *s)).collect::<Result<Vec<Found>>>()
    })?;
    m.wall_s += done.wall_s;
    let all = done.value;
    let mut put = |key: &str, f: &dyn Fn(&Found) -> f64| -> Result<()> {
        m.metrics.insert(format!("linear.{key}"), Summary::new(all.iter().map(f).collect())?);
        Ok(())
    };
    let last = |f: &Found| f.points[f.points.len() - 1].clone();
    let most = |f: &Found, of: fn(&linear::Point) -> f64| f.points.iter().map(of).fold(0.0, f64::max);
    put("l2_to_bound", &|f| most(f, |p| p.l2 / p.bound))?;
    put("l2_pairs_to_bound", &|f| f.share_of_bound)?;
    put("l2_growth", &|f| last(f).l2 / f.points[0].l2)?;
    put("linf_growth", &|f| last(f).linf / f.points[0].linf)?;
    put("linf_same_growth", &|f| last(f).linf_same / f.points[0].linf_same)?;
    // The attack jumps by 2 eps in one coordinate.
    put("linf_attack_jump", &|f| last(f).linf_attack * last(f).distance / (2.0 * cfg.linear.eps))?;
    put("smoothed_growth", &|f| last(f).smoothed / f.points[0].smoothed)?;
    m.series.insert("linear".into(), serde_json::to_value(&all)?);

    let flat = linear::flat(&cfg.toy)?;
    let mut one = |key: &str, v: f64| -> Result<()> {
        m.metrics.insert(key.to_owned(), Summary::new(vec![v])?);
        Ok(())
    };
    let off = flat.iter().map(|f| (f.interior / f.bound - 1.0).abs()).fold(0.0, f64::max);
    one("toy.interior_off", off)?;
    let bound = flat.iter().filter(|f| f.binds).map(|f| f.fixed).collect::<Vec<_>>();
    let spread = bound.iter().copied().fold(0.0, f64::max) / bound.iter().copied().fold(f64::INFINITY, f64::min);
    one("toy.interior_growth", flat[flat.len() - 1].interior / flat[0].interior)?;
    one("toy.bound_growth", if bound.is_empty() { f64::NAN } else { spread })?;
    m.series.insert("toy".into(), serde_json::to_value(&flat)?);

    let kinks = linear::kink(&cfg.entropy)?;
    let off = kinks.iter().map(|k| (k.differences / k.formula - 1.0).abs()).fold(0.0, f64::max);
    one("entropy.off", off)?;
    for (i, k) in kinks.iter().enumerate() {
        one(&format!("entropy.largest_{i}"), k.differences)?;
    }
    m.series.insert("entropy".into(), serde_json::to_value(&kinks)?);
    Ok(())
}

/// What a seed's networks gave.
type Seed = (Vec<Trained>, Vec<Turn>);

fn trained(cfg: &Config, run: &Run, m: &mut Measured) -> Result<()> {
    let net = &cfg.network;
    let parts = net.data.load(&run.lookup, &run.device)?;
    let mut all: Vec<Seed> = Vec::new();
    for &seed in &run.seeds {
        let mut arms = Vec::new();
        let mut turns = Vec::new();
        for arm in ARMS {
            let long = matches!(arm, Arm::EntropyEpochs | Arm::SgdLong);
            let units = if long { net.inner_steps as f64 } else { 1.0 };
            let done = run.stage(&format!("{} seed {seed}", arm.key()), units, |bar| {
                let (trained, found) = network::train(net, &parts, arm, seed, bar)?;
                let turns = match arm {
                    Arm::Sgd => network::dichotomy(net, &parts, &trained, seed, &net.distances)?,
                    _ => Vec::new(),
                };
                Ok((found, turns))
            })?;
            m.wall_s += done.wall_s;
            arms.push(done.value.0);
            turns.extend(done.value.1);
        }
        all.push((arms, turns));
    }
    let mut put = |key: String, f: &dyn Fn(&Seed) -> f64| -> Result<()> {
        m.metrics.insert(key, Summary::new(all.iter().map(f).collect())?);
        Ok(())
    };
    for (i, arm) in ARMS.iter().enumerate() {
        put(format!("{}.clean", arm.key()), &|s| s.0[i].clean)?;
        put(format!("{}.robust", arm.key()), &|s| s.0[i].robust)?;
        put(format!("{}.robust_train", arm.key()), &|s| s.0[i].robust_train)?;
        put(format!("{}.turning", arm.key()), &|s| s.0[i].turning)?;
        put(format!("{}.gradients", arm.key()), &|s| s.0[i].gradients as f64)?;
    }
    let at = |arm: Arm| ARMS.iter().position(|a| *a == arm).unwrap_or(0);
    let gain = |s: &Seed, a: Arm, b: Arm| s.0[at(a)].robust - s.0[at(b)].robust;
    put("gain.epochs".into(), &|s| gain(s, Arm::EntropyEpochs, Arm::Sgd))?;
    put("gain.epochs_to_long".into(), &|s| gain(s, Arm::EntropyEpochs, Arm::SgdLong))?;
    put("gain.gradients".into(), &|s| gain(s, Arm::EntropyGradients, Arm::Sgd))?;
    put("gain.to_average".into(), &|s| gain(s, Arm::EntropyEpochs, Arm::Average))?;
    put("gain.to_noise".into(), &|s| gain(s, Arm::EntropyGradients, Arm::Noise))?;
    // The largest at any distance: the shortest steps may meet no jump.
    let most = |s: &Seed, of: fn(&Turn) -> f64| s.1.iter().map(of).fold(0.0, f64::max);
    put("network.clean_growth".into(), &|s| most(s, |t| t.clean) / s.1[0].clean)?;
    put("network.l2_growth".into(), &|s| most(s, |t| t.l2) / s.1[0].l2)?;
    put("network.linf_growth".into(), &|s| most(s, |t| t.linf) / s.1[0].linf)?;
    put("network.linf_to_l2".into(), &|s| most(s, |t| t.linf) / most(s, |t| t.l2))?;
    m.series.insert("network".into(), serde_json::to_value(&all)?);
    Ok(())
}

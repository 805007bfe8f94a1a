//! How smooth the adversarial loss is in the weights (arXiv 2103.01400), and EntropySGD, which smooths it.

mod arms;
mod config;
mod flat;
mod kink;
mod linear;
mod mlp;
mod network;
mod page;
mod turns;

use crate::jobs::{Done, Plan, Site};
use crate::pages::html::Page;
use crate::paper::{Entry, Measured, Paper};
use crate::results::Results;
use anyhow::Result;
use arms::{ARMS, Arm};
use config::Config;
use flat::Curvatures;
use kink::Gammas;
use linear::{Exact, Found};
use network::{OneArm, Trained};
use turns::Turn;

/// The reproduction.
pub const PAPER: Entry = Entry {
    slug: "smoothness",
    arxiv: "2103.01400",
    title: "Smoothness of the adversarial loss",
    lead: "An adversarial loss need not be smooth in the weights, because the best attack can jump where the weights move a little: \
        under an L-infinity constraint it jumps where a weight changes its sign, under an L2 constraint only at zero. A loss that is \
        flat in its input makes it worse; EntropySGD's objective is smooth all the same (arXiv 2103.01400). Here we verify this in \
        closed form where there is one, by quadrature, and for a small network.",
    twice: true,
    open: |recipe| {
        let cfg: Config = recipe.open()?;
        cfg.validate()?;
        Ok(Box::new(cfg))
    },
};

impl Config {
    fn exact(&self, seed: u64) -> Exact<'_> {
        Exact { linear: &self.linear, seed }
    }

    fn curvatures(&self) -> Curvatures<'_> {
        Curvatures { toy: &self.toy }
    }

    fn gammas(&self) -> Gammas<'_> {
        Gammas { entropy: &self.entropy }
    }

    fn arm(&self, arm: Arm, seed: u64) -> OneArm<'_> {
        OneArm { network: &self.network, arm, seed }
    }
}

impl Paper for Config {
    fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    fn plan<'a>(&'a self, seeds: &[u64], _: &Site, plan: &mut Plan<'a>) -> Result<()> {
        plan.add(self.curvatures())?;
        plan.add(self.gammas())?;
        seeds.iter().try_for_each(|s| plan.add(self.exact(*s)))?;
        for &seed in seeds {
            ARMS.iter().try_for_each(|a| plan.add(self.arm(*a, seed)))?;
        }
        Ok(())
    }

    fn measure(&self, seeds: &[u64], _: &Site, done: &Done<'_>) -> Result<Measured> {
        let mut m = Measured::default();
        record_linear(self, &done.outputs(seeds, |s| self.exact(s))?, &mut m)?;
        record_exact(self, done, &mut m)?;
        record_network(self, seeds, done, &mut m)?;
        m.flags.push(
            "The paper's data, networks, radii and EntropySGD's settings are unknown to us: directions are compared, not numbers. The \
             paper reports a gain in robust accuracy for deep networks; for networks this small even its sign may differ."
                .into(),
        );
        m.flags.push("Measured ratios are lower bounds on Lipschitz constants: the largest that was found.".into());
        Ok(m)
    }

    fn page(&self, results: &Results, _: &Done<'_>, page: &mut Page) -> Result<()> {
        page::write(self, results, page)
    }
}

/// The metrics of the linear model.
fn record_linear(cfg: &Config, all: &[Found], m: &mut Measured) -> Result<()> {
    let mut put = |key: &str, f: &dyn Fn(&Found) -> f64| m.put(format!("linear.{key}"), all.iter().map(f).collect());
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
    m.series.insert("linear".into(), serde_json::to_value(all)?);
    Ok(())
}

/// The metrics without a seed: toy and quadrature.
fn record_exact(cfg: &Config, done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let flat = done.output(&cfg.curvatures())?;
    let off = flat.iter().map(|f| (f.interior / f.bound - 1.0).abs()).fold(0.0, f64::max);
    m.put("toy.interior_off", vec![off])?;
    let bound = flat.iter().filter(|f| f.binds).map(|f| f.fixed).collect::<Vec<_>>();
    let spread = bound.iter().copied().fold(0.0, f64::max) / bound.iter().copied().fold(f64::INFINITY, f64::min);
    m.put("toy.interior_growth", vec![flat[flat.len() - 1].interior / flat[0].interior])?;
    m.put("toy.bound_growth", vec![if bound.is_empty() { f64::NAN } else { spread }])?;
    m.series.insert("toy".into(), serde_json::to_value(&flat)?);

    let kinks = done.output(&cfg.gammas())?;
    let off = kinks.iter().map(|k| (k.differences / k.formula - 1.0).abs()).fold(0.0, f64::max);
    m.put("entropy.off", vec![off])?;
    for (i, k) in kinks.iter().enumerate() {
        m.put(format!("entropy.largest_{i}"), vec![k.differences])?;
    }
    m.series.insert("entropy".into(), serde_json::to_value(&kinks)?);
    Ok(())
}

/// What a seed's networks gave: all arms, and the Lipschitz ratios of SGD's gradient.
type Seed = (Vec<Trained>, Vec<Turn>);

/// The metrics of the network.
fn record_network(cfg: &Config, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let of = |seed: &u64| -> Result<Seed> {
        let all = ARMS.iter().map(|a| done.output(&cfg.arm(*a, *seed))).collect::<Result<Vec<_>>>()?;
        let (arms, turns): (Vec<Trained>, Vec<Vec<Turn>>) = all.into_iter().unzip();
        Ok((arms, turns.concat()))
    };
    let all = seeds.iter().map(of).collect::<Result<Vec<Seed>>>()?;
    let mut put = |key: String, f: &dyn Fn(&Seed) -> f64| m.put(key, all.iter().map(f).collect());
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

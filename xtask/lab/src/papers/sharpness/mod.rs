//! Adversarial training sharpens the weight-loss landscape (arXiv 2102.02950): in logistic regression, and in a small network.

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
use linear::Point;
use sconce_tensor_core::Rng;
use sconce_tensor_core::stats::Summary;
use serde_json::json;

/// The reproduction.
pub struct SharpnessPaper;

impl Experiment for SharpnessPaper {
    const SLUG: &'static str = "sharpness";
    const TITLE: &'static str = "Adversarial training and the sharpness of the weight-loss landscape";
    const LEAD: &'static str = "The eigenvalues of the Hessian at the minimiser are said to grow with the radius of L2 adversarial \
        training, and to do so because the noise is aligned with the loss, not because it is noise (arXiv 2102.02950). Here both \
        Hessians of the linear model in closed form, random noise of the same size beside, and a small network. Read the raw \
        numbers with the norm of the weights: adversarial training shrinks the weights, and a landscape seen from nearer is \
        steeper.";
    type Config = Config;

    fn seeds(cfg: &Config) -> Vec<u64> {
        cfg.seeds.clone()
    }

    fn run(cfg: &Config, run: &Run) -> Result<Measured> {
        cfg.validate()?;
        let net = &cfg.network;
        let work: f64 = net.radii.iter().map(|r| if *r > 0.0 { net.attack_steps as f64 + 5.0 } else { 5.0 }).sum();
        run.plan(work * run.seeds.len() as f64);
        let mut m = Measured::default();
        linear_part(cfg, run, &mut m)?;
        network_part(cfg, run, &mut m)?;
        m.flags.push(
            "The paper's data, radii, regularisation and which of the two Hessians it means are unknown to us: directions are \
             compared, not numbers."
                .into(),
        );
        m.flags.push(
            "A network that a large radius leaves with a constant answer has a flat landscape: see the clean accuracies beside the \
             eigenvalues."
                .into(),
        );
        m.flags.push(
            "Raw growth comes largely from weights that shrink: the scale-normalised numbers stand beside the raw ones.".into(),
        );
        Ok(m)
    }

    fn report(cfg: &Config, _run: &Run, results: &Results, page: &mut Page) -> Result<()> {
        page::write(cfg, results, page)
    }
}

fn largest(v: &[f64]) -> f64 {
    v.last().copied().unwrap_or(f64::NAN)
}

/// Share of neighbouring radii at which every eigenvalue rises.
fn rising(points: &[Point], of: fn(&Point) -> &Vec<f64>) -> f64 {
    let up = |w: &[Point]| of(&w[0]).iter().zip(of(&w[1])).all(|(a, b)| b > a);
    points.windows(2).filter(|w| up(w)).count() as f64 / (points.len() - 1) as f64
}

fn linear_part(cfg: &Config, run: &Run, m: &mut Measured) -> Result<()> {
    let steps = (&cfg.images.steps[..], cfg.images.directions);
    for (name, shares) in [("linear", &cfg.linear.radii), ("images", &cfg.images.radii)] {
        let done = run.stage(name, 0.0, |_| {
            let parts = (name == "images").then(|| cfg.images.data.load(&run.lookup, &run.device)).transpose()?;
            let one = |seed: &u64| -> Result<Vec<Point>> {
                let (x, y) = match &parts {
                    // Half of the images, other ones for each seed.
                    Some(p) => {
                        let rows: Vec<u32> = Rng::new(*seed).stream("half").permutation(p.train.len())
                            [..p.train.len() / 2]
                            .iter()
                            .map(|i| *i as u32)
                            .collect();
                        let labels = p.train.labels()?;
                        let x = p.train.x().index_select(&candle_core::Tensor::new(&rows[..], &run.device)?, 0)?;
                        let labels: Vec<u32> = rows.iter().map(|i| labels[*i as usize]).collect();
                        linear::project(&cfg.images, &x, &labels)?
                    }
                    None => linear::draw(&cfg.linear, *seed)?,
                };
                let l2 = if parts.is_some() { cfg.images.l2 } else { 0.0 };
                linear::radii((&x, &y), shares, l2, steps, &Rng::new(*seed).stream(name))
            };
            run.seeds.iter().map(one).collect::<Result<Vec<_>>>()
        })?;
        m.wall_s += done.wall_s;
        let all = done.value;
        let mut put = |key: &str, f: &dyn Fn(&[Point]) -> f64| -> Result<()> {
            m.metrics.insert(format!("{name}.{key}"), Summary::new(all.iter().map(|p| f(p)).collect())?);
            Ok(())
        };
        let last = |p: &[Point]| p[p.len() - 1].clone();
        let trace = |v: &[f64]| v.iter().sum::<f64>();
        put("rising.full", &|p| rising(p, |p| &p.full))?;
        put("rising.frozen", &|p| rising(p, |p| &p.frozen))?;
        put("trace_ratio.full", &|p| trace(&last(p).full) / trace(&p[0].full))?;
        put("trace_ratio.frozen", &|p| trace(&last(p).frozen) / trace(&p[0].frozen))?;
        put("trace_ratio.random", &|p| trace(&last(p).random) / trace(&p[0].random))?;
        put("top.first", &|p| largest(&p[0].full))?;
        put("top.last", &|p| largest(&last(p).full))?;
        put("scaled_top.first", &|p| largest(&p[0].full) * p[0].norm.powi(2))?;
        put("scaled_top.last", &|p| largest(&last(p).full) * last(p).norm.powi(2))?;
        put("line.first", &|p| largest(&p[0].line))?;
        put("line.last", &|p| largest(&last(p).line))?;
        put("absolute_line.first", &|p| largest(&p[0].absolute_line))?;
        put("absolute_line.last", &|p| largest(&last(p).absolute_line))?;
        m.series.insert(name.into(), serde_json::to_value(&all)?);
    }
    Ok(())
}

fn network_part(cfg: &Config, run: &Run, m: &mut Measured) -> Result<()> {
    let net = &cfg.network;
    let parts = net.data.load(&run.lookup, &run.device)?;
    let mut series = Vec::new();
    for (i, &eps) in net.radii.iter().enumerate() {
        let mut all = Vec::new();
        for &seed in &run.seeds {
            let trained = net.train(run, &parts, eps, seed)?;
            let measured = net.measure(run, &parts, &*trained.value, eps, seed)?;
            m.wall_s += trained.wall_s + measured.wall_s;
            all.push(measured.value);
        }
        let place = match i {
            0 => "first".to_owned(),
            _ if i + 1 == net.radii.len() => "last".to_owned(),
            _ => eps.to_string(),
        };
        let mut put = |key: &str, f: &dyn Fn(&network::Measured) -> f64| -> Result<()> {
            m.metrics.insert(format!("network.{key}.{place}"), Summary::new(all.iter().map(f).collect())?);
            Ok(())
        };
        put("clean_accuracy", &|v| v.clean_accuracy)?;
        put("norm", &|v| v.norm)?;
        put("clean_top", &|v| v.clean.top)?;
        put("clean_top_in_filters", &|v| v.clean.top_in_filters)?;
        put("clean_trace", &|v| v.clean.trace)?;
        put("top", &|v| v.adversarial.top)?;
        put("top_in_filters", &|v| v.adversarial.top_in_filters)?;
        put("trace", &|v| v.adversarial.trace)?;
        put("clean_line", &|v| largest(&v.clean_line))?;
        put("line", &|v| largest(&v.adversarial_line))?;
        put("absolute_line", &|v| largest(&v.absolute_line))?;
        put("residual", &|v| v.clean.residual.max(v.adversarial.residual))?;
        series.push(json!({ "eps": eps, "seeds": all }));
    }
    m.series.insert("network".into(), series.into());
    Ok(())
}

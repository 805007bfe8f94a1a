//! Adversarial training sharpens the weight-loss landscape (arXiv 2102.02950): in logistic regression, and in a small network.

mod config;
mod linear;
mod network;
mod page;
mod plane;

use crate::jobs::{Done, Plan, Site};
use crate::pages::html::Page;
use crate::paper::{Entry, Measured, Paper};
use crate::results::Results;
use anyhow::Result;
use config::Config;
use linear::{Gaussian, Halved, Point};
use serde_json::json;

/// The reproduction.
pub const PAPER: Entry = Entry {
    slug: "sharpness",
    arxiv: "2102.02950",
    title: "Adversarial training and the sharpness of the weight-loss landscape",
    lead: "The paper claims that the eigenvalues of the Hessian at the minimiser grow with the radius of L2 adversarial training, \
        and that they grow because the noise is aligned with the loss, not because it is noise (arXiv 2102.02950). Here we compute \
        both Hessians of the linear model in closed form, compare with random noise of the same size, and train a small network. \
        Read the raw numbers together with the norm of the weights: adversarial training shrinks the weights, and with smaller \
        weights the same landscape has larger curvature.",
    twice: true,
    open: |recipe| {
        let cfg: Config = recipe.open()?;
        cfg.validate()?;
        Ok(Box::new(cfg))
    },
};

impl Config {
    fn gaussian(&self, seed: u64) -> Gaussian<'_> {
        Gaussian { linear: &self.linear, steps: &self.images.steps, directions: self.images.directions, seed }
    }

    fn halved(&self, seed: u64) -> Halved<'_> {
        Halved { images: &self.images, seed }
    }
}

impl Paper for Config {
    fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    fn plan<'a>(&'a self, seeds: &[u64], _: &Site, plan: &mut Plan<'a>) -> Result<()> {
        for &seed in seeds {
            plan.add(self.gaussian(seed))?;
            plan.add(self.halved(seed))?;
        }
        for &eps in &self.network.radii {
            for &seed in seeds {
                plan.add(self.network.trained(eps, seed))?;
                plan.add(self.network.measure(eps, seed))?;
            }
            plan.add(self.network.plane(eps, seeds[0]))?;
        }
        Ok(())
    }

    fn measure(&self, seeds: &[u64], _: &Site, done: &Done<'_>) -> Result<Measured> {
        let mut m = Measured::default();
        record_linear("linear", &done.outputs(seeds, |s| self.gaussian(s))?, &mut m)?;
        record_linear("images", &done.outputs(seeds, |s| self.halved(s))?, &mut m)?;
        record_network(self, seeds, done, &mut m)?;
        m.flags.push(
            "The paper's data, radii, regularisation and which of the two Hessians it means are unknown to us: directions are \
             compared, not numbers."
                .into(),
        );
        m.flags.push(
            "A network that predicts a constant after training at a large radius has a flat landscape: see the clean accuracies \
             beside the eigenvalues."
                .into(),
        );
        m.flags.push(
            "Raw growth comes largely from weights that shrink: the scale-normalised numbers stand beside the raw ones.".into(),
        );
        Ok(m)
    }

    fn page(&self, results: &Results, _: &Done<'_>, page: &mut Page) -> Result<()> {
        page::write(self, results, page)
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

/// The metrics of a linear model, from the points of each seed.
fn record_linear(name: &str, all: &[Vec<Point>], m: &mut Measured) -> Result<()> {
    let mut put =
        |key: &str, f: &dyn Fn(&[Point]) -> f64| m.put(format!("{name}.{key}"), all.iter().map(|p| f(p)).collect());
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
    m.series.insert(name.into(), serde_json::to_value(all)?);
    Ok(())
}

/// The metrics of the network at each radius.
fn record_network(cfg: &Config, seeds: &[u64], done: &Done<'_>, m: &mut Measured) -> Result<()> {
    let net = &cfg.network;
    let mut series = Vec::new();
    for (i, &eps) in net.radii.iter().enumerate() {
        let all = done.outputs(seeds, |s| net.measure(eps, s))?;
        let place = place(&net.radii, i);
        let mut put = |key: &str, f: &dyn Fn(&network::Measured) -> f64| {
            m.put(format!("network.{key}.{place}"), all.iter().map(f).collect())
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
        // The plane is the first seed's.
        series.push(json!({ "eps": eps, "seeds": all, "plane": done.output(&net.plane(eps, seeds[0]))? }));
    }
    m.series.insert("network".into(), series.into());
    Ok(())
}

/// The last part of the names of metrics of a radius.
fn place(radii: &[f64], i: usize) -> String {
    match i {
        0 => "first".to_owned(),
        _ if i + 1 == radii.len() => "last".to_owned(),
        _ => radii[i].to_string(),
    }
}

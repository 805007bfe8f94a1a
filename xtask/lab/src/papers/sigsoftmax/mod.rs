//! Sigsoftmax (arXiv 1805.10829): an output function that breaks the softmax bottleneck, and what of it shows in perplexity.

mod config;
mod control;
mod language;
mod page;
mod synthetic;

use crate::experiment::{Experiment, Measured};
use crate::pages::html::Page;
use crate::results::Results;
use crate::run::Run;
use anyhow::Result;
use config::{Arm, Config, Synthetic, Text};
use language::{Job, Tested, keep_words};
use sconce_activations::{Output, OutputFunction};
use sconce_datasets::text::Corpus;
use sconce_tensor_core::stats::Summary;
use serde_json::json;
use synthetic::Student;

/// The reproduction.
pub struct SigsoftmaxPaper;

impl Experiment for SigsoftmaxPaper {
    const SLUG: &'static str = "sigsoftmax";
    const TITLE: &'static str = "Sigsoftmax and the softmax bottleneck";
    const LEAD: &'static str = "A softmax on top of d hidden units can only make matrices of log-probabilities of rank d + 2, \
        however many classes there are. Sigsoftmax, exp(z) sigmoid(z) normalised, has no such bound and no more \
        parameters (arXiv 1805.10829). That it has a higher rank is a theorem; whether its perplexity is lower is a question \
        for data.";
    type Config = Config;

    fn seeds(cfg: &Config) -> Vec<u64> {
        cfg.seeds.clone()
    }

    fn run(cfg: &Config, run: &Run) -> Result<Measured> {
        cfg.validate()?;
        let corpora: Vec<_> = cfg.corpora.iter().map(|t| t.load(&run.lookup)).collect::<Result<_>>()?;
        plan(cfg, run, corpora.iter().map(|c| c.train.len()));
        let mut m = Measured::default();
        if let Some(s) = &cfg.synthetic {
            study(cfg, s, run, &mut m)?;
        }
        for (text, corpus) in cfg.corpora.iter().zip(&corpora) {
            keep_words(run, text, corpus)?;
            m.series.insert(
                format!("{}.corpus", text.name),
                json!({ "vocabulary": corpus.vocabulary.len(), "train": corpus.train.len(),
                    "validation": corpus.validation.len(), "test": corpus.test.len() }),
            );
            for arm in &cfg.arms {
                let lr = choose(cfg, run, (text, corpus), arm, &mut m)?;
                let mut tested = Vec::new();
                let mut histories = Vec::new();
                for &seed in &run.seeds {
                    let job = Job { cfg, text, corpus, arm, seed, lr, words: corpus.train.len() };
                    let (train, test) = units(text, corpus.train.len(), arm)?;
                    let history = job.train(run, train)?;
                    let t = job.test(run, &history.value, test)?;
                    m.wall_s += history.wall_s + t.wall_s;
                    tested.push(t.value);
                    histories.push(history.value);
                }
                put(&mut m, &text.name, &arm.name, &tested)?;
                m.series.insert(format!("{}.{}.history", text.name, arm.name), serde_json::to_value(&histories)?);
            }
            if text.name == "austen" {
                m.flags.push(
                    "The text is six novels of Jane Austen, of Penn Treebank's size; the paper's texts are Penn Treebank and \
                     WikiText-2 (preset paper)."
                        .into(),
                );
            }
        }
        m.flags.push(
            "The paper's own settings and tables are not known to us beyond its abstract and public code: directions are \
             compared, not numbers."
                .into(),
        );
        Ok(m)
    }

    fn report(cfg: &Config, _run: &Run, results: &Results, page: &mut Page) -> Result<()> {
        page::write(cfg, results, page)
    }
}

/// Trains an arm with each of its rates and chooses on the validation text.
fn choose(cfg: &Config, run: &Run, (text, corpus): (&Text, &Corpus), arm: &Arm, m: &mut Measured) -> Result<f64> {
    let rates = &text.of(arm)?.train.lr;
    if let [only] = rates[..] {
        return Ok(only);
    }
    let words =
        if text.selection.words == 0 { corpus.train.len() } else { text.selection.words.min(corpus.train.len()) };
    let mut tried = Vec::new();
    for &lr in rates {
        let mut losses = Vec::new();
        for &seed in run.seeds.iter().take(text.selection.seeds) {
            let job = Job { cfg, text, corpus, arm, seed, lr, words };
            let history = job.train(run, units(text, words, arm)?.0)?;
            // A run on all words is one of the final ones, and counted there.
            m.wall_s += if words < corpus.train.len() { history.wall_s } else { 0.0 };
            losses.push(history.value.epochs[history.value.best].validation.nll);
        }
        tried.push((lr, losses.iter().sum::<f64>() / losses.len() as f64));
    }
    let Some(best) = tried.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|t| t.0) else {
        anyhow::bail!("arms.{}: no rate to choose", arm.name)
    };
    if words == corpus.train.len() {
        // Those that were not chosen.
        for &lr in rates.iter().filter(|r| **r != best) {
            for &seed in run.seeds.iter().take(text.selection.seeds) {
                m.wall_s += Job { cfg, text, corpus, arm, seed, lr, words }.train(run, 0.0)?.wall_s;
            }
        }
    }
    if [rates.first(), rates.last()].contains(&Some(&best)) {
        m.flags.push(format!("{}: the rate chosen for {}, {best}, is at the end of its grid.", text.name, arm.title()));
    }
    m.series.insert(format!("{}.{}.rate", text.name, arm.name), json!({ "chosen": best, "tried_rate_nll": tried }));
    Ok(best)
}

/// Work of an arm on a text, training and test, in words times what a word costs.
fn units(text: &Text, words: usize, arm: &Arm) -> Result<(f64, f64)> {
    let m = text.of(arm)?;
    let recurrent = 8 * m.hidden * (m.hidden + m.embedding) * m.layers;
    let decoder = m.embedding * if text.vocabulary == 0 { 30_000 } else { text.vocabulary } * arm.mixture.max(1);
    let word = 6.0 * (recurrent + decoder) as f64;
    Ok((word * (words * m.epochs()) as f64, word * words as f64 * 0.2))
}

fn plan(cfg: &Config, run: &Run, words: impl Iterator<Item = usize>) {
    let mut total = 0.0;
    for (text, words) in cfg.corpora.iter().zip(words) {
        for arm in &cfg.arms {
            let (Ok((train, test)), Ok(model)) = (units(text, words, arm), text.of(arm)) else { continue };
            total += (train + test) * run.seeds.len() as f64;
            let (rates, seeds) = (model.train.lr.len() as f64, text.selection.seeds.min(run.seeds.len()) as f64);
            // Runs on all words that are final ones too are counted twice, here and where they are read back.
            let share = match text.selection.words {
                0 => 1.0,
                n => (n as f64 / words as f64).min(1.0),
            };
            total += if rates > 1.0 { train * share * rates * seeds } else { 0.0 };
        }
    }
    run.plan(total + cfg.synthetic.as_ref().map_or(0.0, |s| study_units(cfg, s, run) * stages(s) as f64));
}

fn stages(s: &Synthetic) -> usize {
    s.dims.len() * s.teachers.len()
}

/// A step is made of small operations: it costs about as much as 300 times its products.
fn study_units(cfg: &Config, s: &Synthetic, run: &Run) -> f64 {
    let arms: usize = cfg.arms.iter().map(|a| a.mixture.max(1)).sum();
    (arms * run.seeds.len() * s.steps * s.contexts * s.classes) as f64 * 300.0
}

/// The synthetic study.
fn study(cfg: &Config, s: &Synthetic, run: &Run, m: &mut Measured) -> Result<()> {
    let share = study_units(cfg, s, run);
    for output in [Output::Softmax, Output::Sigsoftmax, Output::Sigmoid] {
        let each: Vec<(usize, usize)> =
            run.seeds.iter().map(|seed| synthetic::random_ranks(&s.random, output, *seed)).collect::<Result<_>>()?;
        let name = |what: &str| format!("random.{what}.{}", output.name());
        m.metrics.insert(name("rank"), Summary::new(each.iter().map(|r| r.0 as f64).collect())?);
        m.metrics.insert(name("rank_with_bias"), Summary::new(each.iter().map(|r| r.1 as f64).collect())?);
    }
    let (d, classes) = (s.random.width as f64, s.random.classes as f64);
    let of = |v: f64| Summary::new(vec![v; run.seeds.len()]);
    m.metrics.insert("random.d_plus_1".into(), of(d + 1.0)?);
    m.metrics.insert("random.d_plus_2".into(), of(d + 2.0)?);
    m.metrics.insert("random.classes".into(), of(classes)?);
    // For each seed: the largest distance of softmax from d + 2, the least excess of sigsoftmax over it.
    let (mut off, mut over) = (vec![0f64; run.seeds.len()], vec![f64::INFINITY; run.seeds.len()]);
    for teacher in &s.teachers {
        for &d in &s.dims {
            let done = run.stage(&format!("synthetic {} d {d}", teacher.name()), share, |_| {
                synthetic::students(s, *teacher, d, &cfg.arms, &run.seeds)
            })?;
            m.wall_s += done.wall_s;
            for arm in &cfg.arms {
                let own: Vec<&Student> = done.value.iter().filter(|s| s.arm == arm.name).collect();
                let values = |f: &dyn Fn(&Student) -> f64| Summary::new(own.iter().map(|s| f(s)).collect());
                let name = |what: &str| format!("synthetic.{what}.{}.d{d}.{}", teacher.name(), arm.name);
                m.metrics.insert(name("kl"), values(&|s| s.kl)?);
                m.metrics.insert(name("rank"), values(&|s| s.rank as f64)?);
                for (i, student) in own.iter().enumerate() {
                    match (arm.output.as_str(), arm.mixture) {
                        ("softmax", 0) => off[i] = off[i].max((student.rank as f64 - (d + 2) as f64).abs()),
                        ("sigsoftmax", 0) => over[i] = over[i].min(student.rank as f64 - (d + 2) as f64),
                        _ => {}
                    }
                }
                if let Some(first) = own.first() {
                    let at = format!("synthetic.spectrum.{}.d{d}.{}", teacher.name(), arm.name);
                    m.series.insert(at, serde_json::to_value(&first.spectrum)?);
                }
            }
        }
    }
    m.metrics.insert("synthetic.rank_off.softmax".into(), Summary::new(off)?);
    if over.iter().all(|v| v.is_finite()) {
        m.metrics.insert("synthetic.rank_over.sigsoftmax".into(), Summary::new(over)?);
    }
    Ok(())
}

fn put(m: &mut Measured, text: &str, arm: &str, tested: &[Tested]) -> Result<()> {
    let mut one = |what: &str, f: &dyn Fn(&Tested) -> Option<f64>| -> Result<()> {
        let values: Option<Vec<f64>> = tested.iter().map(f).collect();
        if let Some(values) = values {
            m.metrics.insert(format!("{text}.{what}.{arm}"), Summary::new(values)?);
        }
        Ok(())
    };
    one("validation_ppl", &|t| Some(t.validation))?;
    one("test_ppl", &|t| Some(t.test))?;
    one("dynamic_ppl", &|t| t.dynamic)?;
    one("rank", &|t| Some(t.rank as f64))?;
    one("best_epoch", &|t| Some(t.best as f64))?;
    m.series.insert(format!("{text}.{arm}.spectrum"), serde_json::to_value(&tested[0].spectrum)?);
    Ok(())
}

//! The sections of the report.

use super::config::{Arm, Config, Synthetic, Text};
use crate::pages::{cell, difference, estimate};
use crate::results::Results;
use anyhow::Result;
use sconce_activations::language::History;
use sconce_report::{Cell, Curve, Page};
use sconce_tensor_core::stats::Summary;

/// Arms whose curves fit on one plot: the ReLU-based function stays so far above that the others would be one line.
fn plotted(cfg: &Config) -> impl Iterator<Item = &Arm> {
    cfg.arms.iter().filter(|a| a.output != "relu")
}

pub fn write(cfg: &Config, r: &Results, page: &mut Page) -> Result<()> {
    if let Some(s) = &cfg.synthetic {
        page.heading("Students of a matrix");
        study(cfg, s, r, page)?;
    }
    for text in &cfg.corpora {
        page.heading(&format!("Language models: {}", text.name));
        language(cfg, text, r, page)?;
    }
    Ok(())
}

fn study(cfg: &Config, s: &Synthetic, r: &Results, page: &mut Page) -> Result<()> {
    page.text(&format!(
        "First the theorem in its own setting: logits of Gaussian matrices, {} contexts, {} classes, width d = {}. Ranks of \
         the log-probabilities, the same for all seeds unless an interval is shown.",
        s.random.contexts, s.random.classes, s.random.width
    ));
    let rows = ["softmax", "sigsoftmax", "sigmoid"].iter().map(|o| {
        let rank = |what: &str| match r.metrics.get(&format!("random.{what}.{o}")) {
            Some(m) if m.values.iter().all(|v| *v == m.mean) => format!("{:.0}", m.mean).into(),
            other => cell(other),
        };
        vec![Cell::from(*o), rank("rank"), rank("rank_with_bias")]
    });
    page.table(&["", "rank", "rank with a bias"], rows.collect());
    page.text(&format!(
        "A teacher is a matrix of probabilities, {} contexts by {} classes; a student has a free vector of d numbers for each \
         context and one decoder with a bias. Trained on the whole matrix by Adam ({} steps). KL(teacher || student) in nats, \
         and the rank of the student's log-probabilities (f64 forward pass; singular values above the largest times {} \
         times 2^-52). Softmax cannot exceed d + 2. In brackets: 95 % interval over the seeds.",
        s.contexts,
        s.classes,
        s.steps,
        s.contexts.max(s.classes)
    ));
    for teacher in &s.teachers {
        let metric = |what: &str, d: usize, a: &Arm| {
            r.metrics.get(&format!("synthetic.{what}.{}.d{d}.{}", teacher.name(), a.name))
        };
        let curves: Vec<Curve> = plotted(cfg)
            .map(|a| {
                let found = s.dims.iter().filter_map(|d| Some(((*d as f64).log2(), estimate(metric("kl", *d, a)?))));
                Curve::with_intervals(a.title(), found)
            })
            .collect();
        page.plot(
            &format!(
                "Teacher `{}`: divergence over the width, without ReLU, which is far above. Bars are 95 % intervals \
                 over the seeds.",
                teacher.name()
            ),
            "log2 d",
            "KL (nats)",
            &curves,
        )?;
        let mut head = vec!["arm".to_owned()];
        head.extend(s.dims.iter().flat_map(|d| [format!("KL, d = {d}"), format!("rank, d = {d}")]));
        let rows = cfg.arms.iter().map(|a| {
            let mut row = vec![Cell::from(a.title())];
            for d in &s.dims {
                row.push(cell(metric("kl", *d, a)));
                row.push(metric("rank", *d, a).map_or_else(|| "–".to_owned(), |m| format!("{:.0}", m.mean)).into());
            }
            row
        });
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        page.table(&head, rows.collect());
    }
    Ok(())
}

fn language(cfg: &Config, text: &Text, r: &Results, page: &mut Page) -> Result<()> {
    let corpus = &r.series[&format!("{}.corpus", text.name)];
    let chosen = cfg.arms.iter().any(|a| r.series.contains_key(&format!("{}.{}.rate", text.name, a.name)));
    let words = if text.selection.words == 0 { corpus["train"].to_string() } else { text.selection.words.to_string() };
    let rates = match chosen {
        true => format!(
            "Each arm has the rate that was best for it on the validation text (mean of the selection seeds {:?} on {words} \
             words): at one rate for all, an arm that is steeper in its logits learns faster and seems better.",
            text.selection.seeds
        ),
        false => "The rates are those of the recipe.".to_owned(),
    };
    page.text(&format!(
        "AWD-LSTM with tied weights: {} words to train on, {} to choose by, {} to test on, a vocabulary of {}; {} units below \
         the output function (d), so softmax is bounded by rank {}. All arms of one seed start from the same weights and see \
         the same windows and dropout masks, so differences are paired. {rates}",
        corpus["train"],
        corpus["validation"],
        corpus["test"],
        corpus["vocabulary"],
        text.single.embedding,
        text.single.embedding + 2,
    ));
    let metric = |what: &str, a: &Arm| r.metrics.get(&format!("{}.{what}.{}", text.name, a.name));
    let against = |a: &Arm| -> Option<&Arm> {
        // A mixture is compared with the mixture of softmaxes.
        cfg.arms.iter().find(|b| b.output == "softmax" && (b.mixture > 0) == (a.mixture > 0) && b.name != a.name)
    };
    let rows = cfg.arms.iter().map(|a| {
        let paired = against(a).and_then(|b| Summary::paired(metric("test_ppl", a)?, metric("test_ppl", b)?).ok());
        let number = |what| metric(what, a).map_or_else(|| "–".to_owned(), |m| format!("{:.0}", m.mean));
        let rate = match r.series.get(&format!("{}.{}.rate", text.name, a.name)) {
            Some(rate) => rate["chosen"].to_string(),
            None => text.of(a).ok().and_then(|m| m.train.lr.first()).map_or_else(String::new, f64::to_string),
        };
        let mut row = vec![
            Cell::from(a.title()),
            rate.into(),
            cell(metric("validation_ppl", a)),
            cell(metric("test_ppl", a)),
            difference(paired.as_ref()),
            number("rank").into(),
            number("best_epoch").into(),
        ];
        row.extend(cfg.dynamic.is_some().then(|| cell(metric("dynamic_ppl", a))));
        row
    });
    let mut head = vec![
        "arm",
        "rate",
        "validation perplexity",
        "test perplexity",
        "paired difference to softmax (mixtures: to MoS)",
        "rank",
        "best epoch",
    ];
    head.extend(cfg.dynamic.is_some().then_some("perplexity with dynamic evaluation"));
    page.table(&head, rows.collect());
    let spectrum = |a: &Arm| {
        let points: Vec<(usize, f64)> =
            serde_json::from_value(r.series[&format!("{}.{}.spectrum", text.name, a.name)].clone()).unwrap_or_default();
        Curve::new(a.title(), points.iter().map(|(i, v)| ((*i as f64).log10(), v.max(1e-20).log10())))
    };
    page.plot(
        &format!(
            "Singular values of the log-probabilities after {} words of the test text, over the largest (first seed). Softmax \
             falls to rounding past d + 2; a rank is what stands above a line that one draws.",
            cfg.rank.contexts
        ),
        "index (powers of ten)",
        "singular value (powers of ten)",
        &cfg.arms.iter().map(spectrum).collect::<Vec<_>>(),
    )?;
    let curve = |a: &Arm| {
        let all: Vec<History> =
            serde_json::from_value(r.series[&format!("{}.{}.history", text.name, a.name)].clone()).unwrap_or_default();
        let epochs = all.iter().map(|h| h.epochs.len()).min().unwrap_or(0);
        let mean = |i: usize| all.iter().map(|h| h.epochs[i].validation.nll).sum::<f64>() / all.len() as f64;
        Curve::new(a.title(), (0..epochs).map(|i| (i as f64 + 1.0, mean(i))))
    };
    let curves: Vec<Curve> = plotted(cfg).map(curve).filter(|c| !c.points.is_empty()).collect();
    page.plot(
        "Validation loss over training, mean over the seeds; without ReLU.",
        "epoch",
        "validation loss (nats per word)",
        &curves,
    )?;
    Ok(())
}

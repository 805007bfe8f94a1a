//! `detect score`: reads rows, scores them, decides which are anomalies, writes a line for each, and evaluates against labels.

mod decision;
mod reader;
mod run;
mod scorer;
mod writer;

use super::table::{Source, exists};
use crate::args::Score;
use crate::places::is_stdin;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};
use decision::Rule;
use run::{Run, Summary};
use sconce_anomaly::{Detector, load};
use serde_json::{Value, json};
use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;

/// Check, read, score and decide block by block, write.
pub(super) fn main(args: &Score, terminal: &mut Terminal) -> Result<Outcome> {
    let rule = Rule::parse(&args.threshold)?;
    let to = args.out.as_deref().unwrap_or(Path::new("-"));
    let to_stdout = to == Path::new("-");
    if to_stdout && args.json.as_deref() == Some(Path::new("-")) {
        bail!("--json -: the scores are written to standard output; name a file for them with --out");
    }
    let out = terminal.output("--out", Some(to))?;
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let table = args.data.as_deref().filter(|path| !is_stdin(path));
    table.map_or(Ok(()), exists)?;
    let detector = load(&args.model)?;
    let no_columns = || format!("{}: the detector has no column names; save one by `fit`", args.model.display());
    let schema = detector.schema().with_context(no_columns)?;
    if args.explain > 0 {
        explains(&*detector).with_context(|| format!("--explain: {}", args.model.display()))?;
    }
    let source = table.map(|path| Source::open(path)?.as_text(&args.columns)).transpose()?;
    if source.is_none() && std::io::stdin().is_terminal() {
        terminal.note("reading a header and rows from standard input");
    }
    let run = Run { args, rule, detector: &*detector, schema, source: source.as_ref() };
    let mut warn = |line: &str| terminal.warn(line);
    let done = if to_stdout {
        let mut stdout = BufWriter::new(std::io::stdout());
        let done = run.execute(&mut stdout, &mut warn)?;
        stdout.flush().context("standard output")?;
        done
    } else {
        let mut lines = Vec::new();
        let done = run.execute(&mut lines, &mut warn)?;
        terminal.write(out.as_ref(), || Ok(String::from_utf8(lines)?))?;
        done
    };
    terminal.note(&text(&done));
    terminal.write(json_file.as_ref(), || json("detect score", fields(args, &done)))?;
    Ok(Outcome::Done)
}

/// Fails for a detector whose scores have no parts by column.
fn explains(detector: &dyn Detector) -> Result<()> {
    let row = Tensor::zeros((1, detector.features()), DType::F64, &Device::Cpu)?;
    if detector.contributions(&row)?.is_none() {
        bail!(
            "the scores of this detector are not sums over columns; fit one of ecod, copod, hbos, pca, mahalanobis, isolation-forest, abc, lrc, \
             autoencoder, denoising-autoencoder, vae"
        );
    }
    Ok(())
}

/// The summary in lines of text.
fn text(done: &Summary) -> String {
    let failed = if done.failed > 0 { format!(", {} could not be scored", done.failed) } else { String::new() };
    let evaluation = done.evaluation.as_ref().map_or_else(String::new, |e| e.text("\nof the rows scored"));
    format!("{} rows, {} flagged as anomalous{failed}{evaluation}", done.rows, done.anomalies)
}

/// The fields of the JSON summary.
fn fields(args: &Score, done: &Summary) -> Value {
    json!({
        "model": args.model.display().to_string(),
        "rows": done.rows,
        "anomalies": done.anomalies,
        "failed": done.failed,
        "unseen": done.unseen.iter().map(|(column, (count, _))| (column.clone(), json!(count))).collect::<serde_json::Map<_, _>>(),
        "threshold": { "rule": args.threshold, "above": done.above },
        "evaluation": done.evaluation.as_ref().map_or(Value::Null, |e| e.json()),
    })
}

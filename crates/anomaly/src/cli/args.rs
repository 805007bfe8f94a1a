//! The arguments.

use crate::{Error, Missing, Result, Scale};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Finds the rows of a table that are unlike the others.
#[derive(Clone, Debug, Parser)]
#[command(name = "sconce-detect", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Fits a detector on a table and saves it.
    Fit(Fit),
    /// Scores rows: of a table, or of standard input line by line.
    Score(Score),
    /// Runs several detectors on several tables and ranks them.
    Compare(Compare),
}

/// How a table is read.
#[derive(Clone, Debug, Args)]
pub struct Reading {
    /// The column of labels: 1 for an anomaly and 0 for none, or names, of which --normal says the normal ones. A missing label
    /// counts as normal in fitting, and for nothing in judging.
    #[arg(long)]
    pub label: Option<String>,
    /// Labels of normal rows: --normal ok,fine.
    #[arg(long, value_delimiter = ',')]
    pub normal: Vec<String>,
    /// Columns that are no features: --drop id,time.
    #[arg(long, value_delimiter = ',')]
    pub drop: Vec<String>,
}

/// How features are prepared.
#[derive(Clone, Debug, Args)]
pub struct Preparing {
    /// Columns of categories whose names look like numbers: --category port,code.
    #[arg(long, value_delimiter = ',')]
    pub category: Vec<String>,
    /// How features are brought to one scale.
    #[arg(long, value_enum, default_value = "standard")]
    pub scale: ScaleName,
    /// What is done about missing values (empty, ?, NA, NaN, null).
    #[arg(long, value_enum, default_value = "refuse")]
    pub missing: MissingName,
}

/// Fits a detector on a table and saves it.
#[derive(Clone, Debug, Args)]
pub struct Fit {
    /// A table with a header: .csv or .csv.gz; or an .npz with X and y.
    #[arg(long)]
    pub data: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub preparing: Preparing,
    /// The method: abc, lrc, deep-sad, devnet, classifier (which learn from known anomalies), autoencoder,
    /// denoising-autoencoder, vae, deep-svdd, isolation-forest, knn, lof, pca, mahalanobis, one-class-svm, ecod, copod, hbos.
    #[arg(long, default_value = "abc")]
    pub detector: String,
    /// A value of the method's configuration: --set network.epochs=20 --set network.hidden=[32,8]. Without the latter the code
    /// of an autoencoder is a third of the features, at most 20.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Share of the rows that are kept apart to judge the detector, where there are labels; 0 for none.
    #[arg(long, default_value_t = 0.25)]
    pub test: f64,
    /// Share of the normal training rows whose scores are kept for thresholds and p-values.
    #[arg(long, default_value_t = 0.2)]
    pub calibration: f64,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Where the detector is saved: one .safetensors file.
    #[arg(long)]
    pub out: PathBuf,
}

/// Scores rows: of a table, or of standard input line by line.
#[derive(Clone, Debug, Args)]
pub struct Score {
    /// A detector that `fit` saved.
    #[arg(long)]
    pub model: PathBuf,
    /// A table as for `fit`; without one, standard input is read line by line, a header first.
    #[arg(long)]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,
    /// Where an anomaly begins: p-value:0.05 (at most this share of false alarms), quantile:0.99 of the held-out normal scores,
    /// contamination:0.01 of the rows scored here, or score:3.5.
    #[arg(long, default_value = "p-value:0.05")]
    pub threshold: String,
    /// The layout of what is written.
    #[arg(long, value_enum, default_value = "csv")]
    pub format: Format,
    /// Names the so many columns that contribute most to a score, for detectors that reconstruct.
    #[arg(long, default_value_t = 0)]
    pub explain: usize,
    /// Goes on after a row that cannot be scored: its score is left empty, the reason goes to standard error.
    #[arg(long)]
    pub keep_going: bool,
    /// Writes here, whole or not at all, not to standard output.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Runs several detectors on several tables and ranks them.
#[derive(Clone, Debug, Args)]
pub struct Compare {
    /// Tables, as for `fit`, all with the same --label: --data a.csv --data b.npz.
    #[arg(long, required = true)]
    pub data: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub reading: Reading,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub preparing: Preparing,
    /// Methods, as for `fit`.
    #[arg(long, value_delimiter = ',', default_value = "abc,autoencoder,isolation-forest,knn,ecod,hbos,pca")]
    pub detectors: Vec<String>,
    /// How many seeds; each cuts the tables anew.
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    /// Share of the rows that detectors are judged on.
    #[arg(long, default_value_t = 0.4)]
    pub test: f64,
    /// Known anomalies that training sees at most; without it, all in the training part.
    #[arg(long)]
    pub labelled: Option<usize>,
    /// A folder for finished cells, cells.json and the diagram; a comparison that was stopped goes on from it.
    #[arg(long)]
    pub out: PathBuf,
}

/// [`Scale`], or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScaleName {
    /// Mean 0 and standard deviation 1.
    Standard,
    /// Smallest value to 0, largest to 1.
    MinMax,
    /// As it is.
    None,
}

/// [`Missing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MissingName {
    /// They are an error.
    Refuse,
    /// The median of the column.
    Impute,
}

/// The layout of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A header, then a line a row.
    Csv,
    /// An object a line.
    Json,
}

impl Preparing {
    /// As the library has it.
    pub fn scale(&self) -> Option<Scale> {
        match self.scale {
            ScaleName::Standard => Some(Scale::Standard),
            ScaleName::MinMax => Some(Scale::MinMax),
            ScaleName::None => None,
        }
    }

    /// As the library has it.
    pub fn missing(&self) -> Missing {
        if self.missing == MissingName::Refuse { Missing::Refuse } else { Missing::Impute }
    }
}

/// `a.b=3` as `{"a": {"b": 3}}`; what is no JSON is a string.
pub(super) fn changes(set: &[String]) -> Result<Value> {
    let mut all = Map::new();
    for s in set {
        let bad = || Error::config("--set", format!("needs KEY=VALUE, got `{s}`"));
        let (key, text) = s.split_once('=').filter(|(k, _)| !k.is_empty()).ok_or_else(bad)?;
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        let parts: Vec<&str> = key.split('.').collect();
        let mut at = &mut all;
        for p in &parts[..parts.len() - 1] {
            let inner = at.entry(*p).or_insert_with(|| Value::Object(Map::new()));
            at = inner.as_object_mut().ok_or_else(|| Error::config("--set", format!("`{p}` has a value already")))?;
        }
        at.insert(parts[parts.len() - 1].to_owned(), value);
    }
    Ok(Value::Object(all))
}

/// Where an anomaly begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cut {
    PValue(f64),
    Quantile(f64),
    Contamination(f64),
    Score(f64),
}

impl Score {
    pub(super) fn cut(&self) -> Result<Cut> {
        let bad = || {
            let must = "must be p-value:A or quantile:A or contamination:A with A in (0, 1), or score:S";
            Error::config("--threshold", format!("{must}, got `{}`", self.threshold))
        };
        let (kind, number) = self.threshold.split_once(':').ok_or_else(bad)?;
        let value = number.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(bad)?;
        let share = if value > 0.0 && value < 1.0 { Ok(value) } else { Err(bad()) };
        Ok(match kind {
            "p-value" => Cut::PValue(share?),
            "quantile" => Cut::Quantile(share?),
            "contamination" => Cut::Contamination(share?),
            "score" => Cut::Score(value),
            _ => return Err(bad()),
        })
    }
}

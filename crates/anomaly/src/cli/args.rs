//! The command line.

use crate::{Error, Missing, Result, Scale};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// Detects anomalies in a table.
#[derive(Clone, Debug, Parser)]
#[command(name = "sconce-detect", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Fit a detector on a table and save it
    Fit(FitArgs),
    /// Score the rows of a table, or of standard input line by line
    Score(ScoreArgs),
    /// Run several detectors on several labelled tables and rank them
    Compare(CompareArgs),
}

/// How a table is read.
#[derive(Clone, Debug, Args)]
pub struct TableArgs {
    /// The column with the labels: 1 for an anomaly and 0 for a normal row, or names; --normal then lists the names of normal
    /// rows. A row with a missing label counts as normal in fitting, and is ignored in the evaluation
    #[arg(long)]
    pub label: Option<String>,
    /// Labels of normal rows: --normal ok,fine
    #[arg(long, value_delimiter = ',')]
    pub normal: Vec<String>,
    /// Columns to ignore: --drop id,time
    #[arg(long, value_delimiter = ',')]
    pub drop: Vec<String>,
}

/// How features are preprocessed.
#[derive(Clone, Debug, Args)]
pub struct PreprocessingArgs {
    /// Columns that hold categories although their values look like numbers: --category port,code
    #[arg(long, value_delimiter = ',')]
    pub category: Vec<String>,
    /// How to scale the features
    #[arg(long, value_enum, default_value = "standard")]
    pub scale: ScaleName,
    /// How to treat missing values (empty, ?, NA, NaN, null)
    #[arg(long, value_enum, default_value = "refuse")]
    pub missing: MissingName,
}

/// Arguments of `fit`.
#[derive(Clone, Debug, Args)]
pub struct FitArgs {
    /// A table with a header (.csv or .csv.gz), or an .npz archive with the arrays X and y
    #[arg(long)]
    pub data: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub table: TableArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub preprocessing: PreprocessingArgs,
    /// The method. These learn from labelled anomalies: abc, lrc, deep-sad, devnet, classifier. These learn from normal rows
    /// alone: autoencoder, denoising-autoencoder, vae, deep-svdd, isolation-forest, knn, lof, pca, mahalanobis, one-class-svm,
    /// ecod, copod, hbos
    #[arg(long, default_value = "abc")]
    pub detector: String,
    /// Set a value of the method's configuration: `--set network.epochs=20` `--set network.hidden=[32,8]`. By default the code of
    /// an autoencoder has a third as many units as there are features, at most 20
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Share of the rows to hold out and evaluate the detector on, if the table has labels; 0 for no evaluation
    #[arg(long, default_value_t = 0.25)]
    pub test: f64,
    /// Share of the normal training rows to hold out; their scores are saved for thresholds and p-values
    #[arg(long, default_value_t = 0.2)]
    pub calibration: f64,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Save the detector to this .safetensors file
    #[arg(long)]
    pub out: PathBuf,
}

/// Arguments of `score`.
#[derive(Clone, Debug, Args)]
pub struct ScoreArgs {
    /// A detector that `fit` saved
    #[arg(long)]
    pub model: PathBuf,
    /// A table as for `fit`; without one, rows are read from standard input line by line, after a header
    #[arg(long)]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub table: TableArgs,
    /// Which rows to flag as anomalies: p-value:0.05 (flags at most this share of normal rows), quantile:0.99 of the scores of
    /// held-out normal rows, contamination:0.01 (the share of the rows scored here with the highest scores), or score:3.5
    #[arg(long, default_value = "p-value:0.05")]
    pub threshold: String,
    /// Output format
    #[arg(long, value_enum, default_value = "csv")]
    pub format: Format,
    /// Print the N columns that contribute most to a score, for detectors that reconstruct
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub explain: usize,
    /// Continue after a row that cannot be scored: leave its score empty and print the reason to standard error
    #[arg(long)]
    pub keep_going: bool,
    /// Write to this file instead of standard output; the file is replaced only when all rows are done
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Arguments of `compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Tables as for `fit`, all with the same --label: --data a.csv --data b.npz
    #[arg(long, required = true)]
    pub data: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub table: TableArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub preprocessing: PreprocessingArgs,
    /// Methods as for `fit`
    #[arg(long, value_delimiter = ',', default_value = "abc,autoencoder,isolation-forest,knn,ecod,hbos,pca")]
    pub detectors: Vec<String>,
    /// Number of seeds; each seed splits the tables differently
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    /// Share of the rows in the test split
    #[arg(long, default_value_t = 0.4)]
    pub test: f64,
    /// Use at most this many labelled anomalies in training; by default all in the training split
    #[arg(long)]
    pub labelled: Option<usize>,
    /// A folder for finished cells, cells.json and the diagram; an interrupted comparison resumes from it
    #[arg(long)]
    pub out: PathBuf,
}

/// [`Scale`], or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScaleName {
    /// Mean 0 and standard deviation 1
    Standard,
    /// Smallest value 0, largest value 1
    MinMax,
    /// No scaling
    None,
}

/// [`Missing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MissingName {
    /// Stop with an error
    Refuse,
    /// Fill numbers with the median of the column
    Impute,
}

/// The output format of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A header, then one line a row
    Csv,
    /// One JSON object a row
    Json,
}

impl PreprocessingArgs {
    /// The library's [`Scale`], if features are scaled.
    pub fn scale(&self) -> Option<Scale> {
        match self.scale {
            ScaleName::Standard => Some(Scale::Standard),
            ScaleName::MinMax => Some(Scale::MinMax),
            ScaleName::None => None,
        }
    }

    /// The library's [`Missing`].
    pub fn missing(&self) -> Missing {
        if self.missing == MissingName::Refuse { Missing::Refuse } else { Missing::Impute }
    }
}

/// `a.b=3` as `{"a": {"b": 3}}`; a value that is not JSON is taken as a string.
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

/// What `--threshold` asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ThresholdRule {
    PValue(f64),
    Quantile(f64),
    Contamination(f64),
    Score(f64),
}

impl ScoreArgs {
    pub(super) fn threshold_rule(&self) -> Result<ThresholdRule> {
        let bad = || {
            let must = "must be p-value:A or quantile:A or contamination:A with A in (0, 1), or score:S";
            Error::config("--threshold", format!("{must}, got `{}`", self.threshold))
        };
        let (kind, number) = self.threshold.split_once(':').ok_or_else(bad)?;
        let value = number.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(bad)?;
        let share = if value > 0.0 && value < 1.0 { Ok(value) } else { Err(bad()) };
        Ok(match kind {
            "p-value" => ThresholdRule::PValue(share?),
            "quantile" => ThresholdRule::Quantile(share?),
            "contamination" => ThresholdRule::Contamination(share?),
            "score" => ThresholdRule::Score(value),
            _ => return Err(bad()),
        })
    }
}

//! `detect`.

use super::{Shard, share};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What to do with tables.
#[derive(Clone, Debug, Subcommand)]
pub enum Detect {
    /// Fit a detector on a table and save it
    Fit(Fit),
    /// Score the rows of a table, or of standard input line by line
    Score(Score),
    /// Run several detectors on several labelled tables and rank them
    Compare(Compare),
}

/// The columns of a table that are no features.
#[derive(Clone, Debug, Default, Args)]
pub struct TableColumns {
    /// The column with the labels: 1 for an anomaly and 0 for a normal row, or names; --normal then lists the names of normal rows. A row
    /// with a missing label counts as normal in fitting, and is ignored in the evaluation
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// Labels of normal rows: --normal ok,fine. Numbers are compared as numbers, so that 1 and 1.0 are the same, and have a
    /// decimal point here whatever the file has; names are compared as they are written. Each must occur
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "label", allow_negative_numbers = true)]
    pub normal: Vec<String>,
    /// Columns to ignore: --drop id,time. They are left out before anything else is read
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub drop: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub form: TableForm,
}

/// How the file of a table is written.
#[derive(Clone, Debug, Default, Args)]
pub struct TableForm {
    /// The character between two fields: comma, semicolon, tab, pipe, space, or the character itself. By default it is found in the
    /// file
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// The sign between the whole part of a number and its fraction. By default it is found in the file
    #[arg(long, value_enum)]
    pub decimal: Option<Decimal>,
    /// The array of features in an .npz archive; by default X, x, or another usual name
    #[arg(long, value_name = "NAME")]
    pub x_name: Option<String>,
    /// The array of labels in an .npz archive; by default the name of --label, or y or another usual name
    #[arg(long, value_name = "NAME", requires = "label")]
    pub y_name: Option<String>,
}

/// The decimal sign of numbers in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Decimal {
    /// 1.5
    #[value(alias = ".")]
    Point,
    /// 1,5
    #[value(alias = ",")]
    Comma,
}

/// Parses the character between fields.
fn delimiter(text: &str) -> Result<u8, String> {
    match (text, text.as_bytes()) {
        ("comma", _) => Ok(b','),
        ("semicolon", _) => Ok(b';'),
        ("tab" | "\\t", _) => Ok(b'\t'),
        ("pipe", _) => Ok(b'|'),
        ("space", _) => Ok(b' '),
        (_, [c]) if c.is_ascii() && !c.is_ascii_alphanumeric() && !b"\"\r\n".contains(c) => Ok(*c),
        _ => Err("must be comma, semicolon, tab, pipe, space, or one character that is neither a letter nor a digit"
            .to_owned()),
    }
}

/// How features are preprocessed.
#[derive(Clone, Debug, Args)]
pub struct Preprocessing {
    /// Columns that hold categories although their values look like numbers: --category port,code
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub category: Vec<String>,
    /// Columns that hold dates, to be read as three numbers: days since 1970-01-01, hour of the day, and weekday (0 is Monday):
    /// --dates time. Dates are written as 2024-01-31, 2024-01-31 10:00:00, 2024-01-31T10:00:00Z, 2024/01/31 or 31.01.2024
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub dates: Vec<String>,
    /// How to scale the features
    #[arg(long, value_enum, default_value = "standard")]
    pub scale: Scale,
    /// How to treat missing values: an empty cell, ?, NA, N/A, NaN, nan, null, NULL, `<NA>`, #N/A, #NA; among numbers also none, na,
    /// n/a, -nan and the others in upper or lower case, 1.#IND and 1.#QNAN
    #[arg(long, value_enum, default_value = "refuse")]
    pub missing: Missing,
}

/// Arguments of `fit`.
#[derive(Clone, Debug, Args)]
pub struct Fit {
    /// A table in text with a header, plain or compressed by gzip (- is standard input); an .npz archive with the arrays X and y, or an
    /// .npy file; or shuttle:embedded, whose labels are the column anomaly
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub columns: TableColumns,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub preprocessing: Preprocessing,
    /// The method. These learn from labelled anomalies: abc, lrc, deep-sad, devnet, classifier. These learn from normal rows alone:
    /// autoencoder, denoising-autoencoder, vae, deep-svdd, isolation-forest, knn, lof, pca, mahalanobis, one-class-svm, ecod, copod, hbos
    #[arg(long, value_name = "METHOD", default_value = "abc")]
    pub detector: String,
    /// Set a value of the method's configuration: `--set network.epochs=20` `--set network.hidden=[32,8]`. By default the code of an
    /// autoencoder has a third as many units as there are features, at most 20
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Share of the rows to hold out and evaluate the detector on, if the table has labels; 0 for no evaluation
    #[arg(long, value_name = "SHARE", default_value_t = 0.25, value_parser = share)]
    pub test: f64,
    /// Share of the normal training rows to hold out; their scores are saved for thresholds and p-values
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = share)]
    pub calibration: f64,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Save the detector to this .safetensors file
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write a summary as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Arguments of `score`.
#[derive(Clone, Debug, Args)]
pub struct Score {
    /// A detector that `fit` saved
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// A table as for `fit`. Without this option, or with -, rows are read from standard input line by line, after a header
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub columns: TableColumns,
    /// Which rows to flag as anomalies: p-value:0.05 (flags at most this share of normal rows), quantile:0.99 of the scores of held-out
    /// normal rows, contamination:0.01 (the share of the rows scored here with the highest scores), or score:3.5
    #[arg(long, value_name = "RULE", default_value = "p-value:0.05")]
    pub threshold: String,
    /// Format of the scores
    #[arg(long, value_enum, default_value = "csv")]
    pub format: ScoreFormat,
    /// Print the N columns that contribute most to a score, for ecod, copod, hbos, pca, mahalanobis, isolation-forest and the detectors
    /// that reconstruct (abc, lrc, autoencoder, denoising-autoencoder, vae)
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub explain: usize,
    /// Continue after a row that cannot be scored: leave its score empty and print the reason to standard error
    #[arg(long)]
    pub keep_going: bool,
    /// Write the scores to this file instead of standard output; the file is replaced only when all rows are done
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write a summary (counts, and the evaluation against labels) as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Arguments of `compare`.
#[derive(Clone, Debug, Args)]
pub struct Compare {
    /// Tables as for `fit`, all with the same --label: --data a.csv --data b.npz
    #[arg(long, value_name = "FILE", required = true)]
    pub data: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub columns: TableColumns,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub preprocessing: Preprocessing,
    /// Methods as for `fit`
    #[arg(
        long,
        value_name = "METHODS",
        value_delimiter = ',',
        default_value = "abc,autoencoder,isolation-forest,knn,ecod,hbos,pca"
    )]
    pub detectors: Vec<String>,
    /// Number of seeds; each seed splits the tables differently
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Share of the rows in the test split
    #[arg(long, value_name = "SHARE", default_value_t = 0.4, value_parser = share)]
    pub test: f64,
    /// Use at most this many labelled anomalies in training; by default all in the training split
    #[arg(long, value_name = "N")]
    pub labelled: Option<usize>,
    /// Folder for the finished cells, compare.json and report.html; an interrupted comparison continues from it
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Write the result as JSON to this file too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Measure only a share of the cells and write no report: I/N (2/8 is the second of eight), auto where a Slurm array says which one, or auto/N
    /// in a Kubernetes Indexed Job, a HyperQueue array or a PBS array. Shares may have one --out folder, or one each, which `sconce merge` joins
    #[arg(long, value_name = "I/N", conflicts_with = "json")]
    pub shard: Option<Shard>,
}

/// How features are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scale {
    /// Mean 0 and standard deviation 1
    Standard,
    /// Smallest value 0, largest value 1
    MinMax,
    /// No scaling
    None,
}

/// How missing values are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Missing {
    /// Stop with an error
    Refuse,
    /// Fill numbers with the median of the column
    Impute,
}

/// The output format of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScoreFormat {
    /// A header, then one line a row
    Csv,
    /// One JSON object a row
    Json,
}

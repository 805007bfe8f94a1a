//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The environment variable, with its value, that makes candle keep the graph of gradients, so that they can be differentiated again.
pub const KEEP_GRAPH: (&str, &str) = ("CANDLE_GRAD_DO_NOT_DETACH", "1");

/// Build, check, benchmark and reproduce.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run every check that must pass before a change lands, the cheapest first
    Ci,
    /// Check the repository's conventions: dependencies between crates, file sizes, docs, licences, recipes
    Tidy,
    /// Write REPRODUCTIONS.md and the verdicts in README.md from the results files under xtask/recipes
    Report {
        /// Compare only, and exit with code 1 if a file is out of date. Results files whose code has changed since are listed
        #[arg(long)]
        check: bool,
        /// First compute the verdicts again from the recorded metrics and the current claims.toml, and write them into the results
        /// files. No experiment is run
        #[arg(long, conflicts_with = "check")]
        rejudge: bool,
    },
    /// Reproduce a paper and write results.json and report.html
    Reproduce(Reproduce),
    /// Time training, attacks and single operations, in alternation with PyTorch or plain candle
    Bench(Bench),
    /// Evaluate the robustness of a model; `cargo xtask attack --help` lists the arguments. --data takes a file, the name of a data
    /// set in the catalog (its test split is used), or fashion-mnist:embedded
    #[command(disable_help_flag = true)]
    Attack {
        /// The arguments of sconce-attack.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Write one report on a checkpoint: robust accuracy with its trust flags, curvature, loss landscape, gradient smoothness and a
    /// Fourier heat map. It takes the arguments of `attack` and some more; `cargo xtask dossier --help` lists them
    #[command(disable_help_flag = true)]
    Dossier {
        /// The arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Detect anomalies in a table; `cargo xtask detect --help` lists the arguments. --data takes a file, or shuttle:embedded (its
    /// label column is `anomaly`)
    #[command(disable_help_flag = true)]
    Detect {
        /// The arguments of sconce-detect.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Sample text from a language model that `reproduce sigsoftmax` trained
    Generate(Generate),
    /// Compare our attacks with recorded results of other libraries on the same network and images; exit with code 1 if one differs
    Oracle(Oracle),
    /// List, verify and prepare data sets
    Datasets(Datasets),
}

/// Arguments of `reproduce`.
#[derive(Debug, Args)]
pub struct Reproduce {
    /// The paper: the name of a folder under xtask/recipes, for example absum
    pub slug: String,
    /// The size of the run
    #[arg(long, value_enum, default_value = "quick")]
    pub preset: Preset,
    /// Device: auto, cpu, cuda:N or metal
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Seeds as a range or a list: 0..3, or 0,1,2 (default: those of the recipe)
    #[arg(long)]
    pub seeds: Option<String>,
    /// Replace a value of the recipe: --set train.lr=0.01. May be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Look for data files in this folder first
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Folder for results and finished jobs (default: target/reproduce/SLUG/PRESET)
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Delete the results and finished jobs of earlier runs in that folder first
    #[arg(long, conflicts_with = "redo")]
    pub fresh: bool,
    /// Run jobs again whose outputs come from other code or another recipe. Without this option they are an error
    #[arg(long)]
    pub redo: bool,
    /// List the jobs in order with their state and an estimate of their time, and run nothing
    #[arg(long, conflicts_with_all = ["job", "collect", "fresh", "redo", "strict"])]
    pub list: bool,
    /// Run only this job, given by its key in --list. May be repeated. The jobs that it needs must be finished. Run jobs that measure
    /// time (cost/...) on an otherwise idle machine
    #[arg(long, value_name = "KEY", conflicts_with_all = ["collect", "fresh", "strict"])]
    pub job: Vec<String>,
    /// Run no job; write the results if all jobs are finished, and otherwise name those that are missing
    #[arg(long, conflicts_with_all = ["fresh", "redo"])]
    pub collect: bool,
    /// Exit with code 3 if a claim that this preset measures is not supported
    #[arg(long)]
    pub strict: bool,
    /// Download data that is not on this machine from the Hugging Face hub
    #[arg(long)]
    pub hub: bool,
}

/// The size of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Seconds, for tests of the program: the numbers mean nothing
    Smallest,
    /// Embedded data; minutes on a laptop
    Quick,
    /// Full data and more seeds; at most hours on a CPU
    Full,
    /// The paper's own setting where it is known; meant for a GPU
    Paper,
}

impl Preset {
    /// All presets.
    pub const ALL: [Self; 4] = [Self::Smallest, Self::Quick, Self::Full, Self::Paper];

    /// The preset that `claims.toml` names: the claims of smallest are those of quick.
    pub fn claims(self) -> Self {
        if self == Self::Smallest { Self::Quick } else { self }
    }

    /// The name in paths and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smallest => "smallest",
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Paper => "paper",
        }
    }
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// torch or candle; without one, only ours is measured.
    #[arg(long)]
    pub peer: Option<String>,
    /// The Python that has PyTorch.
    #[arg(long, default_value = "python3")]
    pub python: PathBuf,
    /// Only workloads whose names contain this; may be repeated.
    #[arg(long)]
    pub filter: Vec<String>,
    /// Turns of each side.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Threads of each side (default: all of the machine's).
    #[arg(long)]
    pub threads: Option<usize>,
    /// cpu, cuda:N or metal.
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

impl Bench {
    /// Threads of each side.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// The model: `train/<text>/<arm>/seed<n>.model.safetensors` in the `runs` folder of a reproduction.
    #[arg(long)]
    pub model: PathBuf,
    /// Its words (default: `seed<n>.vocabulary.txt` beside the model).
    #[arg(long)]
    pub vocabulary: Option<PathBuf>,
    /// Words to draw.
    #[arg(long, default_value_t = 100)]
    pub words: usize,
    /// Below 1 likelier words are drawn more often.
    #[arg(long, default_value_t = 1.0)]
    pub temperature: f64,
    /// The words before the first (default: the end of a line).
    #[arg(long)]
    pub start: Option<String>,
    /// Another seed, another text.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Arguments of `oracle`.
#[derive(Debug, Args)]
pub struct Oracle {
    /// Only rows whose library, attack or norm contains this; may be repeated.
    #[arg(long)]
    pub filter: Vec<String>,
    /// Leaves out rows of more images than this.
    #[arg(long)]
    pub at_most: Option<usize>,
}

/// Arguments of `datasets`.
#[derive(Debug, Args)]
pub struct Datasets {
    /// What to do.
    #[command(subcommand)]
    pub verb: DatasetsVerb,
}

/// What to do with data sets.
#[derive(Debug, Subcommand)]
pub enum DatasetsVerb {
    /// The catalog, and what of it is found on this machine.
    List {
        /// Folder with data files, looked into first.
        #[arg(long)]
        data_dir: Option<PathBuf>,
    },
    /// Compares found files with the catalog's sizes and SHA-256 sums; exit 1 where one differs.
    Verify {
        /// Only this data set.
        name: Option<String>,
        /// Folder with data files, looked into first.
        #[arg(long)]
        data_dir: Option<PathBuf>,
    },
    /// Writes the three parts of a text as words, those that are not in the vocabulary as `<unk>`: train.txt, valid.txt and
    /// test.txt; and vocabulary.txt, a word and its count a line.
    Words {
        /// austen, penn-treebank or wikitext-2.
        name: String,
        /// Words in the vocabulary; 0 for all.
        #[arg(long, default_value_t = 0)]
        vocabulary: usize,
        /// Where the files go.
        #[arg(long)]
        out: PathBuf,
        /// Folder with data files, looked into first.
        #[arg(long)]
        data_dir: Option<PathBuf>,
    },
    /// Makes the part of Fashion-MNIST that ships from the full files.
    Embed {
        /// Folder with the full files, looked into first.
        #[arg(long)]
        data_dir: Option<PathBuf>,
        /// Only compare with what ships; exit 1 where it differs.
        #[arg(long)]
        check: bool,
    },
}

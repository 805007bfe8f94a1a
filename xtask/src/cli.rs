//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use sconce::args::{Job, Places, Shard, Talk};
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
    #[command(flatten)]
    #[allow(missing_docs)]
    pub talk: Talk,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // one value in a process
pub enum Command {
    /// Run every check that must pass before a change lands, the cheapest first
    Ci {
        /// Run only the steps whose names contain this
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
    },
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
    /// Compare our attacks with recorded results of other libraries on the same network and images; exit with code 1 if one differs
    Oracle(Oracle),
    /// Prepare data: the embedded part of Fashion-MNIST, and texts as words
    Datasets(Datasets),
    // The commands of the program `sconce`, built here in release mode.
    #[command(flatten)]
    #[allow(missing_docs)]
    Sconce(Job),
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
    #[command(flatten)]
    #[allow(missing_docs)]
    pub places: Places,
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
    #[command(flatten)]
    #[allow(missing_docs)]
    pub fan: Fan,
}

/// Arguments of a reproduction that many processes share.
#[derive(Debug, Args)]
pub struct Fan {
    /// Where the jobs run: in this process, or as an array of a Slurm cluster, which is submitted with sbatch
    #[arg(long, value_enum, default_value = "none")]
    pub on: Engine,
    /// Run only a share of the jobs: I/N (2/8 is the second of eight), auto where a Slurm array says which one, or auto/N in a Kubernetes Indexed
    /// Job, a HyperQueue array or a PBS array. Then run --collect once. The number of shares may change between runs
    #[arg(long, value_name = "I/N", conflicts_with_all = ["list", "job", "collect", "fresh", "redo", "strict"])]
    pub shard: Option<Shard>,
    /// With --shard: start a job at most this many times without a new checkpoint or file of it in between
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub restarts: usize,
    /// Print which jobs are done, running, failed and missing, and the line that submits what is missing
    #[arg(long, conflicts_with_all = ["list", "job", "collect", "fresh", "redo", "strict", "shard"])]
    pub status: bool,
    /// Take the finished jobs of the --out folder of another machine, then do as --collect does. May be repeated
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["list", "job", "fresh", "redo", "shard", "status"])]
    pub merge: Vec<PathBuf>,
    /// With --on slurm: number of tasks of the array (default: one for each job, at most 64)
    #[arg(long, value_name = "N")]
    pub tasks: Option<usize>,
    /// With --on slurm: partition
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// With --on slurm: time limit of a task, as sbatch takes it, for example 2:00:00. A task that meets it goes on in another one
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// With --on slurm: at most this many tasks at once
    #[arg(long, value_name = "N")]
    pub throttle: Option<usize>,
    /// With --on slurm: processors of a task. Results do not depend on it
    #[arg(long, value_name = "N")]
    pub cpus: Option<usize>,
    /// With --on slurm: write the scripts and print the commands, and submit nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Use this program although the sources have changed since it was built; scripts of --on slurm use it with a copy of the program
    #[arg(long, hide = true)]
    pub as_built: bool,
    /// The digest that the plan must have
    #[arg(long, hide = true, value_name = "DIGEST")]
    pub expect: Option<String>,
}

/// What runs the jobs of a reproduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// This process
    None,
    /// A Slurm cluster
    Slurm,
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
    /// The peer to compare with: torch or candle (default: none, measure ours alone)
    #[arg(long)]
    pub peer: Option<String>,
    /// The Python interpreter that has PyTorch
    #[arg(long, default_value = "python3")]
    pub python: PathBuf,
    /// Only workloads whose names contain this; may be repeated
    #[arg(long)]
    pub filter: Vec<String>,
    /// Rounds, in which both sides and the peak take turns. From 6 on, the ratio has a 95 % interval
    #[arg(long, default_value_t = 9)]
    pub rounds: usize,
    /// Compare our times with those of an earlier results file, row by row
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Results file, written after each row (default: target/bench/PEER.json)
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Threads of each side (default: all of the machine)
    #[arg(long)]
    pub threads: Option<usize>,
    /// Device: cpu, cuda:N or metal
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

impl Bench {
    /// Threads of each side.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

/// Arguments of `oracle`.
#[derive(Debug, Args)]
pub struct Oracle {
    /// Only rows whose library, attack or norm contains this; may be repeated
    #[arg(long)]
    pub filter: Vec<String>,
    /// Leave out rows with more images than this
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
    /// Write the three parts of a text as words to train.txt, valid.txt and test.txt, words outside of the vocabulary as `<unk>`; and each word
    /// with its count to vocabulary.txt
    Words {
        /// The text: austen, penn-treebank or wikitext-2
        name: String,
        /// Number of words in the vocabulary; 0 for all
        #[arg(long, default_value_t = 0)]
        vocabulary: usize,
        /// Folder for the files
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        #[allow(missing_docs)]
        places: Places,
    },
    /// Make the embedded part of Fashion-MNIST from the full files
    Embed {
        #[command(flatten)]
        #[allow(missing_docs)]
        places: Places,
        /// Compare with the embedded files only, and exit with code 1 if one differs
        #[arg(long)]
        check: bool,
    },
}

impl DatasetsVerb {
    /// Whether data may be downloaded.
    pub fn hub(&self) -> bool {
        match self {
            Self::Words { places, .. } | Self::Embed { places, .. } => places.hub,
        }
    }
}

//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// The environment variable, and its value, that tells candle to keep the graph of gradients: they can be differentiated again then.
pub const KEEP_GRAPH: (&str, &str) = ("CANDLE_GRAD_DO_NOT_DETACH", "1");

/// Builds, checks and reproduces Sconce.
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
    /// Everything that must pass before a change lands, cheapest first.
    Ci,
    /// The house rules: arrows between crates, file sizes, docs, licences, recipes.
    Tidy,
    /// Writes REPRODUCTIONS.md, and the verdicts in README.md, from the results files under xtask/recipes.
    Report {
        /// Only compare; exit 1 where a file is out of date.
        #[arg(long)]
        check: bool,
        /// Before that, decide every claim again from the metrics in the results files and the current claims.toml, and write
        /// the verdicts into those files. Nothing is run again.
        #[arg(long, conflicts_with = "check")]
        rejudge: bool,
    },
    /// Reproduces a paper and writes results.json and report.html.
    Reproduce(Reproduce),
    /// Measures training and attacks against a peer, taking turns in the same call.
    Bench(Bench),
    /// Measures how robust a model is; `cargo xtask attack --help` lists the arguments. Beside files, --data takes the name
    /// of a data set of the catalog (its test split), or fashion-mnist:embedded.
    #[command(disable_help_flag = true)]
    Attack {
        /// The arguments of sconce-attack.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// One report on a checkpoint: robust accuracy with its trust flags, curvature, landscape, smoothness, Fourier heat map.
    /// Takes the arguments of attack and some more; `cargo xtask dossier --help` lists them.
    #[command(disable_help_flag = true)]
    Dossier {
        /// The arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Finds the rows of a table that are unlike the others; `cargo xtask detect --help` lists the arguments. Beside files,
    /// --data takes shuttle:embedded (labels: anomaly).
    #[command(disable_help_flag = true)]
    Detect {
        /// The arguments of sconce-detect.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Prints text drawn from a language model that `reproduce sigsoftmax` trained.
    Generate(Generate),
    /// Compares our attacks with what other libraries reached on the same network and images; exit 1 where one differs.
    Oracle(Oracle),
    /// Data sets: what there is, whether files are right, what ships.
    Datasets(Datasets),
}

/// Arguments of `reproduce`.
#[derive(Debug, Args)]
pub struct Reproduce {
    /// The paper, by the name of its folder under xtask/recipes (`absum`).
    pub slug: String,
    /// How much of it.
    #[arg(long, value_enum, default_value = "quick")]
    pub preset: Preset,
    /// auto, cpu, cuda:N or metal.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Seeds as a range, `0..3` is 0, 1, 2 (default: the recipe's).
    #[arg(long)]
    pub seeds: Option<String>,
    /// Overrides a value of the recipe, `train.lr=0.01`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder with data files, looked into first.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Where results go (default: target/reproduce/<slug>/<preset>).
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Throws away what an earlier run left in that folder.
    #[arg(long, conflicts_with = "redo")]
    pub fresh: bool,
    /// Does those jobs again that other code or another recipe did; without it they are refused.
    #[arg(long)]
    pub redo: bool,
    /// Prints the jobs in order, with what is done, and an estimate of the time of each on this machine; runs nothing.
    #[arg(long, conflicts_with_all = ["job", "collect", "fresh", "redo", "strict"])]
    pub list: bool,
    /// Does this job alone, a key as --list prints it; may be repeated. The jobs that it needs must be done. One that times (`cost/...`)
    /// needs a machine that does nothing else.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["collect", "fresh", "strict"])]
    pub job: Vec<String>,
    /// Does no job: writes the results of those that are done, and refuses where one is missing.
    #[arg(long, conflicts_with_all = ["fresh", "redo"])]
    pub collect: bool,
    /// Exit 3 where a claim that this preset measures is not supported.
    #[arg(long)]
    pub strict: bool,
    /// Downloads data that is not found on this machine from the Hugging Face hub.
    #[arg(long)]
    pub hub: bool,
}

/// How much of a paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// Quick cut down to seconds, for tests: its numbers mean nothing.
    Smallest,
    /// Embedded data, minutes on a laptop.
    Quick,
    /// Full data, several seeds, hours on a CPU at most.
    Full,
    /// The paper's own setting where known; meant for a GPU.
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

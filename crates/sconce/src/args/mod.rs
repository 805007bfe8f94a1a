//! The command line: what can be asked for, in its words and with its ranges. It has no candle in it, so that it answers at once.

mod attack;
mod augment;
mod data;
mod detect;
mod dossier;
mod fidelity;
mod generate;
mod merge;
mod model;
mod pretrain;
mod shard;
mod sides;

pub use attack::{Attack, AttackCommand, Layout, Suite};
pub use augment::{Arm, Augment, GanNet};
pub use data::{Data, DataVerb, Places};
pub use detect::{
    Compare, Decimal, Detect, Fit, Missing, Preprocessing, Scale, Score, ScoreFormat, TableColumns, TableForm,
};
pub use dossier::Dossier;
pub use fidelity::{Extractor, Fidelity};
pub use generate::Generate;
pub use merge::Merge;
pub use model::{Inspect, ModelVerb};
pub use pretrain::{Pretrain, Probe};
pub use shard::{Shard, Share};
pub use sides::Sides;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// The number of the schema of every `--json` output. It changes when a field changes its meaning or goes away; new fields may be added
/// without a change.
pub const SCHEMA: u32 = 1;

/// Evaluate the robustness of a model, detect anomalies in a table, report on a checkpoint, make images and measure them.
#[derive(Clone, Debug, Parser)]
#[command(name = "sconce", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub talk: Talk,
}

/// The meaning of the exit codes.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 an error, 2 a mistake in the arguments, 3 the result is not what was asked for \
(--at-least, data verify), 4 shares are missing (merge), 75 stopped by SIGTERM, SIGINT or SIGUSR1: the same command continues. Results go to standard output, progress and warnings to standard error; `-` as a file is standard input or output.";

/// How much the program says.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Talk {
    /// Print results, warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more: the choices that were made, and where files were found
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// All commands.
#[derive(Clone, Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // one value in a process
pub enum Command {
    #[command(flatten)]
    #[allow(missing_docs)]
    Job(Job),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write the pages of all commands
    Man {
        /// Write sconce.1 and one page per command to this folder
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
    },
}

/// The commands that work on models and data; `cargo xtask` forwards these.
#[derive(Clone, Debug, Subcommand)]
pub enum Job {
    /// Evaluate the robustness of a model
    Attack(AttackCommand),
    /// Join what shares of an evaluation or of a comparison found
    Merge(Merge),
    /// Detect anomalies in a table
    #[command(subcommand)]
    Detect(Detect),
    /// Write one report on a checkpoint: robust accuracy, curvature, loss landscape, gradient smoothness, Fourier heat map
    Dossier(Dossier),
    /// Look into a model's file
    #[command(subcommand)]
    Model(ModelVerb),
    /// List, download and verify data sets
    #[command(subcommand)]
    Data(DataVerb),
    /// Train a trunk on images without labels, by pretext tasks
    Pretrain(Pretrain),
    /// Measure what a frozen trunk knows about labels
    Probe(Probe),
    /// Compare generated images with real ones, and test whether the generator copies
    Fidelity(Fidelity),
    /// Train a GAN on a small set of images and a large one, and write new images of the small set's classes
    Augment(Augment),
    /// Sample text from a language model that `cargo xtask reproduce sigsoftmax` trained
    Generate(Generate),
}

impl Job {
    /// The device of the command, as it was written.
    pub fn device(&self) -> &str {
        match self {
            Self::Attack(a) => &a.attack.device,
            Self::Dossier(d) => &d.attack.device,
            Self::Pretrain(p) => &p.device,
            Self::Probe(p) => &p.device,
            Self::Fidelity(f) => &f.device,
            Self::Augment(a) => &a.device,
            Self::Detect(_) | Self::Merge(_) | Self::Model(_) | Self::Data(_) | Self::Generate(_) => "cpu",
        }
    }
}

/// A share in [0, 1].
fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err(format!("must be in [0, 1], got {text}")) }
}

/// A number above 0.
fn positive(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err(format!("must be above 0, got {text}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        assert_eq!((share("0"), share("0.5"), share("1")), (Ok(0.0), Ok(0.5), Ok(1.0)));
        for bad in ["1.01", "-0.1", "40", "NaN", "x"] {
            assert!(share(bad).is_err(), "{bad}");
        }
        assert_eq!(positive("1e-3"), Ok(1e-3));
        for bad in ["0", "-1", "inf", "NaN", "x"] {
            assert!(positive(bad).is_err(), "{bad}");
        }
    }

    /// Every option and command says what it does, in a sentence without a full stop at its end.
    #[test]
    fn everything_has_help() {
        fn check(c: &clap::Command) {
            assert!(c.get_about().is_some(), "{}", c.get_name());
            for a in c.get_arguments().filter(|a| !a.is_hide_set()) {
                let help = a.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty() && !help.ends_with('.'), "{} {}: {help}", c.get_name(), a.get_id());
            }
            c.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}

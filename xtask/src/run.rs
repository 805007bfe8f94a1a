//! One run of a reproduction: its folder, its finished stages, its progress.

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use sconce_datasets::Lookup;
use sconce_tensor_core::Device;
use sconce_tensor_core::store::{Fingerprint, Kept, Plain};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The file that says whose folder it is.
const MARK: &str = "fingerprint.json";

/// A run in its folder. Stages that were finished before a kill are read back, not done again.
pub struct Run {
    /// The folder of results.json and report.html.
    pub out: PathBuf,
    /// Seeds, in order.
    pub seeds: Vec<u64>,
    /// Where tensors live.
    pub device: Device,
    /// Where data is looked for.
    pub lookup: Lookup,
    fingerprint: Fingerprint,
    work: Cell<Work>,
}

/// How much is to be done, in units that the experiment chooses.
#[derive(Clone, Copy, Default)]
struct Work {
    total: f64,
    done: f64,
    /// Done in this process, and the time it took.
    fresh: f64,
    seconds: f64,
}

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    wall_s: f64,
    value: T,
}

/// The value of a stage, and the seconds that it took when it was made.
pub struct Stage<T> {
    /// The value.
    pub value: T,
    /// Seconds.
    pub wall_s: f64,
    /// Whether it was made just now, not read back.
    pub fresh: bool,
}

impl Run {
    /// Opens the folder. `fingerprint` names configuration, code and device; a folder of another is
    /// refused, or emptied where `fresh`.
    pub fn open(
        out: PathBuf,
        seeds: Vec<u64>,
        device: Device,
        lookup: Lookup,
        fingerprint: Fingerprint,
        fresh: bool,
    ) -> Result<Self> {
        let runs = out.join("runs");
        if fresh && runs.exists() {
            std::fs::remove_dir_all(&runs).with_context(|| format!("cannot empty {}", runs.display()))?;
        }
        std::fs::create_dir_all(&runs)
            .with_context(|| format!("cannot write to the output folder {}", out.display()))?;
        let mark = runs.join(MARK);
        if mark.exists() {
            let difference = Kept::<Plain<()>>::open(&mark)?.fingerprint.difference(&fingerprint);
            if !difference.is_empty() {
                bail!(
                    "{} holds a run of another configuration, code or device.\nAdd --fresh to throw it away, or --out DIR \
                     to write elsewhere. It differs in\n  {}",
                    out.display(),
                    difference.join("\n  ")
                );
            }
        }
        Ok(Self { out, seeds, device, lookup, fingerprint, work: Cell::default() })
    }

    /// The path of a file that belongs to a stage.
    pub fn path(&self, name: &str) -> PathBuf {
        self.out.join("runs").join(name)
    }

    /// What stands for this configuration in checkpoints.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Says how many units of work there are.
    pub fn plan(&self, total: f64) {
        self.work.set(Work { total, ..Work::default() });
    }

    /// Does a stage, or reads it back where it was finished before. `units` is its share of the plan;
    /// `f` gets a bar to move.
    pub fn stage<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        units: f64,
        f: impl FnOnce(&Bar) -> Result<T>,
    ) -> Result<Stage<T>> {
        let path = self.path(&format!("{name}.json"));
        if let Some(value) = self.read_back::<T>(&path)? {
            let mut w = self.work.get();
            w.done += units;
            self.work.set(w);
            return Ok(value);
        }
        let bar = Bar::new(name, self.work.get());
        let started = Instant::now();
        let value = f(&bar).with_context(|| format!("stage {name}"))?;
        let wall_s = started.elapsed().as_secs_f64();
        let kept = Kept::new(self.fingerprint.clone(), Plain(Stored { wall_s, value }));
        kept.save(&path)?;
        // The folder is this run's from its first result on: a run that failed before leaves no claim on it.
        Kept::new(self.fingerprint.clone(), Plain(())).save_once(&self.path(MARK))?;
        let mut w = self.work.get();
        w.done += units;
        w.fresh += units;
        w.seconds += wall_s;
        self.work.set(w);
        bar.finish(name, wall_s, w);
        Ok(Stage { value: kept.value.0.value, wall_s, fresh: true })
    }

    fn read_back<T: Serialize + DeserializeOwned>(&self, path: &Path) -> Result<Option<Stage<T>>> {
        let kept = Kept::<Plain<Stored<T>>>::load(path, &self.fingerprint)
            .context("start again with --fresh, or delete that file to do its stage again")?;
        Ok(kept.map(|k| Stage { value: k.value.0.value, wall_s: k.value.0.wall_s, fresh: false }))
    }
}

impl Work {
    fn left(&self) -> Option<Duration> {
        let rate = self.seconds / self.fresh;
        (self.fresh > 0.0).then(|| Duration::from_secs_f64(((self.total - self.done) * rate).max(0.0)))
    }
}

/// The bar of one stage, with an ETA; on a terminal it moves, elsewhere each stage is one line at its end.
pub struct Bar {
    bar: ProgressBar,
    last: Mutex<Instant>,
}

impl Bar {
    fn new(name: &str, work: Work) -> Self {
        let bar = ProgressBar::new(1);
        let share = 100.0 * work.done / work.total.max(1.0);
        let style = ProgressStyle::with_template("{prefix} {msg:<44} [{bar:24}] {percent:>3}%  this step {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(match work.left() {
            Some(left) => format!("{share:>3.0}% (all: {} left)", clock(left)),
            None => format!("{share:>3.0}%"),
        });
        bar.set_message(name.to_owned());
        Self { bar, last: Mutex::new(Instant::now()) }
    }

    /// `done` of `total` is done.
    pub fn at(&self, done: usize, total: usize) {
        // A redraw for each of thousands of short steps would cost more than the steps.
        let Ok(mut last) = self.last.lock() else { return };
        if done < total && last.elapsed() < Duration::from_millis(100) {
            return;
        }
        *last = Instant::now();
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }

    fn finish(&self, name: &str, wall_s: f64, work: Work) {
        self.bar.finish_and_clear();
        let share = 100.0 * work.done / work.total.max(1.0);
        let left = work.left().map_or_else(String::new, |l| format!("about {} left", clock(l)));
        say(&format!("{share:>4.0}%  {name:<44} {wall_s:>6.1} s  {left}"));
    }
}

fn clock(d: Duration) -> String {
    let s = d.as_secs();
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

/// One line to the user.
#[allow(clippy::print_stdout)]
pub fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path, print: &str, fresh: bool) -> Result<Run> {
        Run::open(dir.to_owned(), vec![0], Device::Cpu, Lookup::default(), print.into(), fresh)
    }

    #[test]
    fn a_finished_stage_is_not_done_again() {
        let dir = tempfile::tempdir().unwrap();
        let run = open(dir.path(), "a", false).unwrap();
        assert_eq!(run.stage("s", 1.0, |_| Ok(0.1 + 0.2)).unwrap().value, 0.1 + 0.2);
        let again = open(dir.path(), "a", false).unwrap();
        assert_eq!(again.stage::<f64>("s", 1.0, |_| bail!("done twice")).unwrap().value, 0.1 + 0.2);
    }

    #[test]
    fn another_configuration_is_refused_until_fresh() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), "a", false).unwrap().stage("s", 1.0, |_| Ok(1)).unwrap();
        let e = open(dir.path(), "b", false).err().unwrap().to_string();
        assert!(e.contains("--fresh") && e.contains("found \"a\", expected \"b\""), "{e}");
        let run = open(dir.path(), "b", true).unwrap();
        assert_eq!(run.stage("s", 1.0, |_| Ok(2)).unwrap().value, 2);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let e = format!("{:#}", open(&file.join("below"), "a", false).err().unwrap());
        assert!(e.contains("cannot write to the output folder") && e.contains("below"), "{e}");
    }
}

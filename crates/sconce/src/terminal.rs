//! What a user sees: results on standard output, progress and warnings on standard error; and files that are opened before the work starts.

use crate::args::Talk;
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How much is said, and where.
pub(crate) struct Terminal {
    talk: Talk,
    /// A file of results is `-`: standard output holds it, and nothing else.
    taken: bool,
    started: Instant,
    bar: Mutex<Option<ProgressBar>>,
    last: Mutex<String>,
    written: Mutex<Vec<PathBuf>>,
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Terminal {
    pub(crate) fn new(talk: Talk) -> Self {
        let (bar, last) = (Mutex::new(None), Mutex::default());
        Self { talk, taken: false, started: Instant::now(), bar, last, written: Mutex::default() }
    }

    /// Seconds since the program started.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Whether --verbose asks for all that is known.
    pub(crate) fn verbose(&self) -> bool {
        self.talk.verbose
    }

    /// A result: to standard output, or to standard error while a file of results is written to standard output.
    pub(crate) fn result(&self, text: &str) -> Result<()> {
        self.clear();
        let text = text.trim_end();
        let done = match (self.taken, self.talk.quiet) {
            (false, _) => writeln!(std::io::stdout(), "{text}"),
            (true, false) => writeln!(std::io::stderr(), "{text}"),
            (true, true) => Ok(()),
        };
        match done {
            // The reader has read enough; the files and the exit code still count.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            done => done.context("standard output"),
        }
    }

    /// A line about the progress.
    pub(crate) fn note(&self, text: &str) {
        if !self.talk.quiet {
            self.warn(text);
        }
    }

    /// A line that only --verbose shows.
    pub(crate) fn detail(&self, text: &str) {
        if self.talk.verbose {
            self.warn(text);
        }
    }

    /// A line that is always shown. A standard error that is closed is no reason to stop.
    pub(crate) fn warn(&self, text: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
    }

    /// `done` of `total` units of a step are done: a bar on a terminal, elsewhere one line when the step ends.
    pub(crate) fn progress(&self, step: &str, done: usize, total: usize) {
        if self.talk.quiet {
            return;
        }
        let mut last = lock(&self.last);
        if !std::io::stderr().is_terminal() {
            if done >= total && *last != step {
                step.clone_into(&mut last);
                drop(last);
                self.note(&format!("{:>7.1} s  {step}", self.seconds()));
            }
            return;
        }
        let mut bar = lock(&self.bar);
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr_with_hz(10));
            // 80 columns: 40 of text, 20 of bar, 18 of numbers.
            let style = ProgressStyle::with_template("{msg:40!} [{bar:16}] {percent:>3}%  {eta:>8} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar.set_message(step.to_owned());
            bar
        });
        if *last != step {
            step.clone_into(&mut last);
            bar.reset();
            bar.set_message(step.to_owned());
        }
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    }

    /// Takes the bar away.
    fn clear(&self) {
        if let Some(bar) = lock(&self.bar).take() {
            bar.finish_and_clear();
        }
    }

    /// Opens a file for a result, before the work that makes it; `-` is standard output.
    ///
    /// # Errors
    /// The folder cannot be written to, with the option's name; a second result for standard output.
    pub(crate) fn output(&mut self, option: &str, path: Option<&Path>) -> Result<Option<Output>> {
        let Some(path) = path else { return Ok(None) };
        if path == Path::new("-") {
            if self.taken {
                bail!("{option} -: another option writes to standard output already");
            }
            self.taken = true;
            return Ok(Some(Output { path: None }));
        }
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if path.is_dir() {
            bail!("{option} {}: this is a folder; name a file", path.display());
        }
        if !folder.is_dir() {
            bail!("{option} {}: the folder {} does not exist; create it first", path.display(), folder.display());
        }
        // The file is written whole at the end; whether that can be is known now.
        let probe = folder.join(format!(".sconce-{}.probe", std::process::id()));
        let tried = std::fs::File::create(&probe).and_then(|_| std::fs::remove_file(&probe));
        tried.with_context(|| format!("{option}: cannot write to the folder {}", folder.display()))?;
        Ok(Some(Output { path: Some(path.to_owned()) }))
    }

    /// Makes a folder for results.
    ///
    /// # Errors
    /// It cannot be made, with the option's name.
    pub(crate) fn folder(option: &str, path: &Path) -> Result<()> {
        std::fs::create_dir_all(path).with_context(|| format!("{option}: cannot create the folder {}", path.display()))
    }

    /// Writes a result, whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, output: Option<&Output>, content: impl FnOnce() -> Result<String>) -> Result<()> {
        let Some(output) = output else { return Ok(()) };
        let content = content()?;
        match &output.path {
            None => {
                self.clear();
                std::io::stdout().write_all(content.as_bytes()).context("standard output")?;
            }
            Some(path) => {
                sconce_tensor_core::store::write_whole(path, content.as_bytes())?;
                self.wrote(path);
            }
        }
        Ok(())
    }

    /// A file that another part has written, for the list at the end.
    pub(crate) fn wrote(&self, path: &Path) {
        lock(&self.written).push(path.to_owned());
    }

    /// Prints the paths of all files that were written.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub(crate) fn finish(&self) -> Result<()> {
        self.clear();
        let all = std::mem::take(&mut *lock(&self.written));
        all.iter().try_for_each(|path| self.result(&format!("wrote {}", path.display())))
    }
}

/// A file for a result.
pub(crate) struct Output {
    path: Option<PathBuf>,
}

impl Output {
    /// Whether it is standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        self.path.is_none()
    }
}

/// JSON as text: indented, with the number of its schema as the first field.
///
/// # Errors
/// A value that JSON does not have.
pub(crate) fn json(command: &str, fields: serde_json::Value) -> Result<String> {
    let mut all = serde_json::Map::new();
    all.insert("schema".to_owned(), crate::args::SCHEMA.into());
    all.insert("command".to_owned(), command.into());
    all.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
    if let serde_json::Value::Object(fields) = fields {
        all.extend(fields);
    }
    Ok(serde_json::to_string_pretty(&all)? + "\n")
}

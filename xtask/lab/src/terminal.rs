//! What a person sees while it runs: lines, and a bar with the time that is left.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whether progress is not told.
static QUIET: AtomicBool = AtomicBool::new(false);

/// With `true`, only results, warnings and errors are told.
pub fn quiet(yes: bool) {
    QUIET.store(yes, Ordering::Relaxed);
}

/// A line of a result, to standard output.
pub fn say(line: &str) {
    // Whoever closed the pipe has read enough.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line about the progress, to standard error.
pub fn note(line: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// The bar of one job: on a terminal it moves, elsewhere each job is one line at its end.
pub struct Bar {
    bar: ProgressBar,
    last: Mutex<Instant>,
}

/// Where a job stands among all of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// The share of the work that is done, from 0 to 1.
    pub share: f64,
    /// Seconds that the rest takes; none where no job was timed.
    pub left: Option<f64>,
}

impl Bar {
    /// The bar of a job that starts now.
    pub fn new(key: &str, place: Place) -> Self {
        let bar = if QUIET.load(Ordering::Relaxed) { ProgressBar::hidden() } else { ProgressBar::new(1) };
        // 80 columns: the share of all work, the job's key, its bar, its percentage and the time that it still needs.
        let style = ProgressStyle::with_template("{prefix} {msg:26!} [{bar:10}] {percent:>3}%  {eta:>4} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        let share = 100.0 * place.share;
        bar.set_prefix(match place.left {
            Some(left) => format!("{share:>3.0}% (all: {} left)", clock(left)),
            None => format!("{share:>3.0}%"),
        });
        bar.set_message(key.to_owned());
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

    /// Replaces the bar by a line.
    pub fn finish(&self, key: &str, seconds: f64, place: Place) {
        self.bar.finish_and_clear();
        let left = place.left.map_or_else(String::new, |l| format!("about {} left", clock(l)));
        note(&format!("{:>4.0}%  {key:<40} {seconds:>6.1} s  {left}", 100.0 * place.share));
    }
}

/// Seconds as `1:02:03` or `2:03`.
pub fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn clocks() {
        assert_eq!([0.4, 59.6, 61.0, 3723.0].map(super::clock), ["0:00", "1:00", "1:01", "1:02:03"]);
    }
}

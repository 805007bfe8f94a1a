//! Processes that run one workload on demand.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Pause between turns: threads of the other process go to sleep.
const PAUSE: Duration = Duration::from_millis(30);

/// What a process says before its first turn.
pub enum Started {
    /// It waits for turns; the operations of a step, where it says them.
    Ready(Runner, Option<f64>),
    /// It cannot run this workload here.
    Missing(String),
}

/// A process that waits for its turns.
pub struct Runner {
    name: String,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// Milliseconds of the timed steps, and the losses of all steps.
#[derive(Debug, Default)]
pub struct Turn {
    pub ms: Vec<f64>,
    pub loss: Vec<f64>,
}

impl Runner {
    pub fn start(name: &str, mut command: Command) -> Result<Started> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (Some(to), Some(from)) = (to, from) else { bail!("{name}: no pipes") };
        let mut runner = Self { name: name.to_owned(), child, to, from: BufReader::new(from) };
        let said = runner.read()?;
        Ok(match said["missing"].as_str() {
            Some(reason) => Started::Missing(reason.to_owned()),
            None => Started::Ready(runner, said["flops"].as_f64()),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        ensure!(!line.is_empty(), "{} ended early, see above", self.name);
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))
    }

    fn ask(&mut self, what: &str) -> Result<Value> {
        writeln!(self.to, "{what}")?;
        self.to.flush()?;
        self.read()
    }

    /// Some steps that are not timed, then `timed` ones that are.
    pub fn turn(&mut self, warm: usize, timed: usize) -> Result<Turn> {
        std::thread::sleep(PAUSE);
        let said = self.ask(&format!("run {warm} {timed}"))?;
        let list = |key: &str| -> Result<Vec<f64>> {
            let all = said[key].as_array().with_context(|| format!("{}: no {key}", self.name))?;
            // A loss that is no number is null in JSON.
            Ok(all.iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect())
        };
        Ok(Turn { ms: list("ms")?, loss: list("loss")? })
    }

    /// Ends the process; the memory in MiB that it needed above what it had before the workload.
    pub fn stop(mut self) -> Result<f64> {
        let peak = self.ask("stop")?["peak_mib"].as_f64().unwrap_or(f64::NAN);
        self.child.wait()?;
        Ok(peak)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Only after an error: `stop` waits for the child's own end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

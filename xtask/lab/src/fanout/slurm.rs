//! A reproduction as an array of Slurm, and a job that collects it.

use super::arguments::{line, text, whole, words};
use crate::jobs::Runner;
use crate::terminal::say;
use anyhow::{Context, Result, bail};
use sconce_tensor_core::store::{write_once, write_whole};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use xtask::cli::Reproduce;

/// Tasks of an array where nothing else is asked for.
const MOST_TASKS: usize = 64;

/// What was submitted: the plan, and in how many shares.
#[derive(Serialize, Deserialize)]
pub struct Submitted {
    /// The digest of the plan.
    pub plan: String,
    /// The number of shares.
    pub shares: usize,
    throttle: Option<usize>,
}

fn folder(out: &Path) -> PathBuf {
    out.join("slurm")
}

impl Submitted {
    /// What was submitted from a folder, if anything was.
    pub fn read(out: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder(out).join("plan.json")).ok()?).ok()
    }

    /// The lines that submit some tasks and, after them, the job that collects.
    pub fn lines(&self, out: &Path, tasks: &BTreeSet<usize>) -> String {
        let numbers: Vec<String> = tasks.iter().map(ToString::to_string).collect();
        let throttle = self.throttle.map_or_else(String::new, |t| format!("%{t}"));
        let script = |name: &str| line(&[folder(out).join(name).to_string_lossy().into_owned()]);
        format!(
            "  id=$(sbatch --parsable --array={}{throttle} {})\n  sbatch --dependency=afterany:${{id%%;*}} {}",
            numbers.join(","),
            script("array.sh"),
            script("collect.sh")
        )
    }
}

/// Writes the plan and the scripts to `OUT/slurm`, with a copy of this program, and submits them unless `--dry-run` is given.
///
/// # Errors
/// Files that cannot be written; no `sbatch`, or one that refuses.
pub fn submit(args: &Reproduce, runner: &Runner<'_>, out: &Path) -> Result<()> {
    let out = whole(out)?;
    let own = folder(&out);
    std::fs::create_dir_all(own.join("log")).with_context(|| format!("cannot write to {}", own.display()))?;
    let shares = args.fan.tasks.unwrap_or_else(|| runner.plan.jobs().len().clamp(1, MOST_TASKS));
    let submitted = Submitted { plan: runner.plan.digest(), shares, throttle: args.fan.throttle };
    let program = text(&program(&own)?)?;
    let mut call = vec![program];
    call.extend(words(args, &out)?);
    call.extend(["--as-built", "--expect", &submitted.plan].map(str::to_owned));
    write_whole(&own.join("plan.json"), &serde_json::to_vec_pretty(&submitted)?)?;
    let (array, collect) = (own.join("array.sh"), own.join("collect.sh"));
    write_whole(&array, array_script(args, &own, shares, &call)?.as_bytes())?;
    write_whole(&collect, collect_script(args, &own, &call)?.as_bytes())?;
    let all = (0..shares).collect();
    if args.fan.dry_run {
        say(&format!("{} jobs in {shares} tasks; nothing is submitted. To submit:", runner.plan.jobs().len()));
        say(&submitted.lines(&out, &all));
        return Ok(());
    }
    let id = sbatch(&[&text(&array)?])?;
    let last = sbatch(&[&format!("--dependency=afterany:{id}"), &text(&collect)?])?;
    say(&format!("{} jobs in {shares} tasks: array {id}, then {last} collects", runner.plan.jobs().len()));
    say(&format!("logs     {}", own.join("log").display()));
    say(&format!("status   cargo xtask {} --status", line(&words(args, &out)?)));
    Ok(())
}

/// Submits; the job's number.
fn sbatch(words: &[&str]) -> Result<String> {
    let mut command = Command::new("sbatch");
    command.arg("--parsable").args(words);
    let done =
        command.output().context("cannot start sbatch: on a machine without Slurm, --dry-run writes the scripts")?;
    if !done.status.success() {
        bail!("sbatch refused:\n{}", String::from_utf8_lossy(&done.stderr).trim_end());
    }
    // `ID` or `ID;CLUSTER`.
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let id = said.trim().split(';').next().unwrap_or_default().to_owned();
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) {
        bail!("sbatch said `{}`, which is no number of a job", said.trim());
    }
    Ok(id)
}

/// A copy of this program: what waits in the queue must not change with the next build.
fn program(own: &Path) -> Result<PathBuf> {
    let path = std::env::current_exe().context("where this program is")?;
    let bytes = std::fs::read(&path).with_context(|| format!("{}", path.display()))?;
    let digest: String = Sha256::digest(&bytes).iter().take(6).map(|b| format!("{b:02x}")).collect();
    let copy = own.join(format!("lab-{digest}"));
    if std::fs::read(&copy).is_ok_and(|there| there == bytes) {
        return Ok(copy);
    }
    write_once(&copy, &bytes)?;
    std::fs::set_permissions(&copy, std::fs::metadata(&path)?.permissions())
        .with_context(|| format!("{}", copy.display()))?;
    Ok(copy)
}

/// The lines for sbatch that both scripts have.
fn head(args: &Reproduce, name: &str, log: &str) -> String {
    let mut head = format!(
        "#!/bin/bash\n#SBATCH --job-name={name}\n#SBATCH --output={log}\n#SBATCH --open-mode=append\n#SBATCH --nodes=1\n#SBATCH --ntasks=1\n"
    );
    if let Some(partition) = &args.fan.partition {
        head += &format!("#SBATCH --partition={partition}\n");
    }
    head
}

/// The environment of both.
const ENVIRONMENT: &str = "export MIMALLOC_PURGE_DELAY=-1 CANDLE_NUM_THREADS=1\n\
    if [ -n \"${SLURM_CPUS_PER_TASK:-}\" ]; then export RAYON_NUM_THREADS=$SLURM_CPUS_PER_TASK; fi\n";

/// The path of a log: `#SBATCH` lines know no quotes.
fn log(own: &Path, name: &str) -> Result<String> {
    let path = text(&own.join("log").join(name))?;
    if path.chars().any(|c| c.is_whitespace() || "'\"\\".contains(c)) {
        bail!("{path}: sbatch reads no path with spaces or quotes: choose another --out");
    }
    Ok(path)
}

fn array_script(args: &Reproduce, own: &Path, shares: usize, call: &[String]) -> Result<String> {
    let mut script = head(args, &format!("sconce-{}", args.slug), &log(own, "%A_%a.txt")?);
    let throttle = args.fan.throttle.map_or_else(String::new, |t| format!("%{t}"));
    // USR1 a minute before the time limit; TERM comes where a job with more right takes the node.
    script += &format!("#SBATCH --array=0-{}{throttle}\n#SBATCH --requeue\n#SBATCH --signal=B:USR1@60\n", shares - 1);
    if let Some(time) = &args.fan.time {
        script += &format!("#SBATCH --time={time}\n");
    }
    if let Some(cpus) = args.fan.cpus {
        script += &format!("#SBATCH --cpus-per-task={cpus}\n");
    }
    script += ENVIRONMENT;
    // The number of a task stays what it is where a part of the array is submitted again, so the count is written out.
    script +=
        &format!("{} --restarts {} --shard $((SLURM_ARRAY_TASK_ID + 1))/{shares} &\n", line(call), args.fan.restarts);
    script += AFTER;
    Ok(script)
}

/// Signals reach the shell: it hands them on. A task that was asked to stop is queued again, itself alone: the plain number of the last task of an
/// array is the number of the whole array.
const AFTER: &str = r#"child=$!
trap 'kill -TERM "$child" 2>/dev/null' TERM INT USR1
while kill -0 "$child" 2>/dev/null; do wait "$child"; done
wait "$child"
code=$?
case $code in
# Asked to stop, or killed by a signal that came before the program listened.
75 | 130 | 138 | 143)
    echo "stopped with code $code; queued again"
    # Slurm ends this script then; one that ends by itself could be taken for the end of the task.
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" && sleep "${SCONCE_REQUEUE_WAIT:-60}" ;;
esac
exit "$code"
"#;

fn collect_script(args: &Reproduce, own: &Path, call: &[String]) -> Result<String> {
    let mut script = head(args, &format!("sconce-{}-collect", args.slug), &log(own, "collect.txt")?);
    script += ENVIRONMENT;
    script += &format!("exec {} --collect{}\n", line(call), if args.strict { " --strict" } else { "" });
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use xtask::cli::{Cli, Command as Asked};

    fn args(more: &[&str]) -> Reproduce {
        let words = [&["xtask", "reproduce", "absum", "--on", "slurm"], more].concat();
        match Cli::try_parse_from(words).unwrap().command {
            Asked::Reproduce(args) => args,
            _ => panic!("not a reproduction"),
        }
    }

    fn scripts(args: &Reproduce, own: &str) -> Result<[String; 2]> {
        let call = ["/x/lab", "reproduce", "--set", "a=[1, 2]"].map(str::to_owned);
        Ok([array_script(args, Path::new(own), 8, &call)?, collect_script(args, Path::new(own), &call)?])
    }

    #[test]
    fn scripts_are_bash_and_say_what_was_asked_for() {
        let asked = args(&["--partition", "p", "--time", "1:00:00", "--throttle", "3", "--cpus", "2", "--strict"]);
        let [array, collect] = scripts(&asked, "/o/slurm").unwrap();
        for line in [
            "#SBATCH --array=0-7%3",
            "#SBATCH --partition=p",
            "#SBATCH --time=1:00:00",
            "#SBATCH --cpus-per-task=2",
            "#SBATCH --requeue",
            "#SBATCH --output=/o/slurm/log/%A_%a.txt",
            "/x/lab reproduce --set 'a=[1, 2]' --restarts 10 --shard $((SLURM_ARRAY_TASK_ID + 1))/8 &",
        ] {
            assert!(array.lines().any(|l| l == line), "{line} is not in\n{array}");
        }
        assert!(array.contains("scontrol requeue \"${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}\" &&"), "{array}");
        assert!(collect.ends_with("exec /x/lab reproduce --set 'a=[1, 2]' --collect --strict\n"), "{collect}");
        assert!(!collect.contains("--time") && !collect.contains("--array"));
        let [plain, _] = scripts(&args(&[]), "/o/slurm").unwrap();
        assert!(plain.contains("--array=0-7\n") && !plain.contains("--partition") && !plain.contains("--time="));
        for script in [array, collect, plain] {
            let done = Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        let e = scripts(&asked, "/with space/slurm").unwrap_err().to_string();
        assert!(e.contains("choose another --out"), "{e}");
    }

    /// A task's exit code reaches the end of the script, whatever signals come while it runs; and 75 queues the task again.
    #[test]
    fn a_signal_to_the_shell_reaches_the_program_and_its_code_comes_back() {
        let run = |program: &str, signal: Option<&str>| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("scontrol");
            std::fs::write(&path, "#!/bin/sh\necho \"$@\"\n").unwrap();
            Command::new("chmod").arg("+x").arg(&path).status().unwrap();
            let paths = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
            let mut shell = Command::new("bash");
            shell
                .args(["-c", &format!("{program} &\n{AFTER}")])
                .env("PATH", paths)
                .stdout(std::process::Stdio::piped());
            shell.env("SLURM_ARRAY_JOB_ID", "5").env("SLURM_ARRAY_TASK_ID", "3").env("SCONCE_REQUEUE_WAIT", "0");
            let child = shell.spawn().unwrap();
            if let Some(signal) = signal {
                std::thread::sleep(std::time::Duration::from_millis(700));
                Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
            }
            let done = child.wait_with_output().unwrap();
            (done.status.code(), String::from_utf8(done.stdout).unwrap())
        };
        let asked = "bash -c 'trap \"sleep 0.3; exit 75\" TERM; for i in 1 2 3 4 5 6 7 8 9; do sleep 0.5; done'";
        for signal in ["-TERM", "-USR1"] {
            let (code, said) = run(asked, Some(signal));
            assert_eq!(code, Some(75));
            assert!(said.contains("stopped with code 75; queued again\nrequeue 5_3\n"), "{said}");
        }
        // It did not listen yet.
        let (code, said) = run("sleep 5", Some("-TERM"));
        assert!(code == Some(143) && said.contains("requeue 5_3"), "{code:?} {said}");
        for (program, code) in [("true", 0), ("sh -c 'exit 2'", 2), ("sh -c 'exit 1'", 1)] {
            assert_eq!(run(program, None), (Some(code), String::new()));
        }
    }
}

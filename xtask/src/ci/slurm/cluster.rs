//! A Slurm of one machine: a controller and three nodes on 127.0.0.1, started and ended as processes of this one.

use anyhow::{Context, Result, bail, ensure};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What must be there.
const PROGRAMS: [&str; 6] = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "setpriv"];

/// Why there can be no Slurm here, where there can be none.
pub fn missing() -> Option<String> {
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there =
        |p: &&str| std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|d: PathBuf| d.join(p).is_file());
    let lacks: Vec<&str> = PROGRAMS.into_iter().filter(|p| !there(p)).collect();
    match (lacks.is_empty(), root) {
        (false, _) => Some(format!("no {} here (Debian: apt-get install slurm-wlm munge)", lacks.join(", "))),
        (true, false) => Some("Slurm's daemons are started as root, and this is another user".to_owned()),
        (true, true) => None,
    }
}

/// The daemons; they end with it.
pub struct Cluster {
    folder: PathBuf,
    configuration: PathBuf,
    daemons: Vec<(String, Child)>,
}

impl Cluster {
    /// Starts it in a new folder, and waits until all nodes are idle.
    pub fn start() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("sconce-slurm-{}", std::process::id()));
        for below in ["run", "state", "log", "spool/n1", "spool/n2", "spool/n3"] {
            std::fs::create_dir_all(folder.join(below)).with_context(|| folder.display().to_string())?;
        }
        let mut cluster = Self { configuration: folder.join("slurm.conf"), folder, daemons: Vec::new() };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").context("the name of this machine")?;
        let mut text = include_str!("slurm.conf").replace("@HOST@", host.trim());
        text = text.replace("@D@", &cluster.folder.display().to_string());
        for (i, port) in ports()?.iter().enumerate() {
            text = text.replace(&format!("@PORT{i}@"), &port.to_string());
        }
        std::fs::write(&cluster.configuration, text)?;
        cluster.munge()?;
        let configuration = cluster.configuration.display().to_string();
        cluster.daemon("slurmctld", "slurmctld", &["-c", "-D", "-f", &configuration])?;
        for node in ["n1", "n2", "n3"] {
            cluster.node(node)?;
        }
        cluster
            .until("all nodes are idle", Duration::from_secs(60), |c| Ok(c.states()?.iter().all(|s| s == "idle")))?;
        Ok(cluster)
    }

    /// munge with a key and a socket of its own: what the system has stays as it is.
    fn munge(&mut self) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let run = self.folder.join("run");
        // Readable for every user, as the socket must be.
        for folder in [&self.folder, &run] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        }
        let key = run.join("munge.key");
        let mut bytes = vec![0; 128];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
        std::fs::write(&key, bytes)?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
        let file = |option: &str, name: &str| format!("--{option}={}", run.join(name).display());
        let files = [
            file("key-file", "munge.key"),
            file("socket", "munge.socket"),
            file("pid-file", "munged.pid"),
            file("log-file", "munged.log"),
            file("seed-file", "munged.seed"),
        ];
        let words: Vec<&str> =
            ["--foreground", "--force"].into_iter().chain(files.iter().map(String::as_str)).collect();
        self.daemon("munged", "munged", &words)?;
        self.until("munged listens", Duration::from_secs(20), |c| Ok(c.folder.join("run/munge.socket").exists()))
    }

    fn daemon(&mut self, name: &str, program: &str, words: &[&str]) -> Result<()> {
        let log = std::fs::File::create(self.folder.join("log").join(format!("{name}.out")))?;
        // Whoever kills this process ends them too.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", program])
            .args(words)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
        command.env("PATH", std::env::join_paths(paths)?).env("SLURM_CONF", &self.configuration);
        let child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        self.daemons.push((name.to_owned(), child));
        Ok(())
    }

    /// Starts the daemon of a node.
    pub fn node(&mut self, node: &str) -> Result<()> {
        let configuration = self.configuration.display().to_string();
        self.daemon(node, "slurmd", &["-N", node, "-D", "-f", &configuration])
    }

    /// Kills the daemon of a node. Its jobs go on: nobody ends them.
    pub fn kill(&mut self, node: &str) -> Result<()> {
        let at = self.daemons.iter().position(|d| d.0 == node).with_context(|| format!("no daemon {node}"))?;
        let (_, mut child) = self.daemons.remove(at);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// A command of Slurm's, or a program that uses them.
    pub fn command(&self, mut command: Command) -> Command {
        command.env("SLURM_CONF", &self.configuration);
        command
    }

    /// What a command of Slurm's prints.
    pub fn ask(&self, program: &str, words: &[&str]) -> Result<String> {
        let mut command = self.command(Command::new(program));
        let out = command.args(words).output().with_context(|| format!("cannot start {program}"))?;
        ensure!(out.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// The states of the nodes.
    pub fn states(&self) -> Result<Vec<String>> {
        let lines = self.ask("sinfo", &["-h", "-N", "-p", "low", "-o", "%t"])?;
        Ok(lines.lines().map(|l| l.trim().to_owned()).collect())
    }

    /// Waits until the queue is empty. Slurm lets a task that was queued again wait for two minutes, in which its first start can end; here that is
    /// five seconds.
    pub fn wait(&self, most: Duration) -> Result<()> {
        let since = RefCell::new(HashMap::<String, Instant>::new());
        self.until("the queue is empty", most, |c| {
            let queue = c.ask("squeue", &["-h", "-r", "-o", "%i %t %r"])?;
            let waits: Vec<&str> = queue.lines().filter_map(|l| l.strip_suffix(" PD BeginTime")).collect();
            let mut since = since.borrow_mut();
            since.retain(|id, _| waits.contains(&id.as_str()));
            for id in waits {
                if since.entry(id.to_owned()).or_insert_with(Instant::now).elapsed() > Duration::from_secs(5) {
                    // It may have started by itself by now.
                    let _ = c.ask("scontrol", &["update", &format!("JobId={id}"), "StartTime=now"]);
                }
            }
            Ok(queue.trim().is_empty())
        })
    }

    /// Waits until something holds; the error has what the queue was then.
    pub fn until(&self, what: &str, most: Duration, holds: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let started = Instant::now();
        let mut last = None;
        while started.elapsed() < most {
            // A controller that starts answers with an error.
            match holds(self) {
                Ok(true) => return Ok(()),
                Ok(false) => last = None,
                Err(e) => last = Some(e),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let queue = self.ask("squeue", &[]).unwrap_or_default();
        let log = std::fs::read_to_string(self.folder.join("log/slurmctld.out")).unwrap_or_default();
        let end: Vec<&str> = log.lines().rev().take(20).collect();
        let end: Vec<&str> = end.into_iter().rev().collect();
        bail!("{what}: not in {most:?} ({last:?})\n{queue}\n{}", end.join("\n"))
    }

    /// The log of the controller.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("log/slurmctld.out"))?)
    }
}

/// Four ports that are free.
fn ports() -> Result<Vec<u16>> {
    let bound = (0..4).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<std::io::Result<Vec<_>>>()?;
    bound.iter().map(|b| Ok(b.local_addr()?.port())).collect()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Jobs first, then nodes, the controller, and munge, in which all of them believe.
        let _ = self.command(Command::new("scancel")).args(["--user", "root"]).stderr(Stdio::null()).status();
        while let Some((_, mut child)) = self.daemons.pop() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_secs(10) && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

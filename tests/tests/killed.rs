//! Every kind of task, killed (SIGKILL) at 20 random moments: its result has the same bytes as an undisturbed run's. And 200 writes
//! of one path by processes at the same time.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_tensor_core::Rng;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KILLS: usize = 20;

fn start(kind: &str, checkpoint: &Path, out: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_training-worker"));
    command.arg(kind).arg(checkpoint).arg(out).env("RAYON_NUM_THREADS", "1").env("CANDLE_NUM_THREADS", "1");
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// Waits for the end of a child, up to a moment at which it is killed. Returns whether it ended by itself.
fn ends_before(child: &mut Child, moment: Duration) -> bool {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return true;
        }
        if started.elapsed() >= moment {
            child.kill().unwrap();
            child.wait().unwrap();
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn survives(kind: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let started = Instant::now();
    assert!(ends_before(&mut start(kind, &path("whole.checkpoint"), &path("whole")), Duration::from_secs(300)));
    let mut whole = started.elapsed();
    let want = std::fs::read(path("whole")).unwrap();
    let mut moments = Rng::new(11).stream(kind).uniforms(100 * KILLS).into_iter();
    let (mut kills, mut runs, mut resumed) = (0, 0, 0);
    while kills < KILLS {
        runs += 1;
        assert!(runs <= 10 * KILLS, "{kind}: runs end before they are killed");
        let (checkpoint, out) = (path(&format!("{runs}.checkpoint")), path(&format!("{runs}.out")));
        // Killed and started again until it ends; near the end of the kills it is left alone.
        loop {
            resumed += usize::from(checkpoint.exists());
            let share = if kills < KILLS { moments.next().unwrap() * 0.6 } else { 1e3 };
            let (fresh, started) = (!checkpoint.exists(), Instant::now());
            if ends_before(&mut start(kind, &checkpoint, &out), whole.mul_f64(share)) {
                if fresh {
                    // The first run may have been slowed down by other tests: moments go by the fastest.
                    whole = whole.min(started.elapsed());
                }
                break;
            }
            kills += 1;
        }
        assert!(std::fs::read(&out).unwrap() == want, "{kind}: other bytes after {kills} kills");
    }
    assert!(resumed >= KILLS / 4, "{kind}: only {resumed} starts found a checkpoint");
    // Nothing that a killed process left unfinished stays beside a checkpoint that was written again.
    let left = std::fs::read_dir(dir.path()).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
    let left: Vec<String> = left.filter(|n| n.ends_with(".partial")).collect();
    assert!(!cfg!(target_os = "linux") || left.is_empty(), "{left:?}");
}

#[test]
fn classification_by_sgd() {
    survives("sgd");
}

#[test]
fn classification_by_adam_with_average_augmentation_and_the_best_epoch() {
    survives("adam");
}

#[test]
fn adversarial_training() {
    survives("adversarial");
}

#[test]
fn a_language_model_that_averages() {
    survives("language");
}

#[test]
fn an_autoencoder_with_held_out_examples() {
    survives("autoencoder");
}

#[test]
fn two_networks() {
    survives("two-networks");
}

#[test]
fn two_hundred_writes_of_one_path_from_twenty_processes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("path");
    let start = |i: usize| start("writes", &dir.path().join(i.to_string()), &path);
    let mut children: Vec<Child> = (0..20).map(start).collect();
    assert!(children.iter_mut().all(|c| c.wait().unwrap().success()));
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() == 1 << 16 && bytes.iter().all(|b| *b == bytes[0]), "the file is one writer's, whole");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn many_processes_that_train_one_run_all_succeed() {
    // All write the same checkpoints and the same result at once: none fails, and the files are whole.
    let dir = tempfile::tempdir().unwrap();
    let (checkpoint, out) = (dir.path().join("checkpoint"), dir.path().join("out"));
    let mut children: Vec<Child> = (0..8).map(|_| start("autoencoder", &checkpoint, &out)).collect();
    assert!(children.iter_mut().all(|c| c.wait().unwrap().success()));
    let alone = dir.path().join("alone");
    assert!(start("autoencoder", &dir.path().join("other"), &alone).wait().unwrap().success());
    assert_eq!(std::fs::read(out).unwrap(), std::fs::read(alone).unwrap());
}

//! A reader that has read enough (`| head`) is no error.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::process::{Command, Stdio};

#[test]
fn a_closed_pipe_is_no_panic() {
    for words in [&["report", "--check"][..], &["tidy"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        let e = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!e.contains("panicked") && done.status.code() != Some(101), "{words:?}: {e}");
    }
}

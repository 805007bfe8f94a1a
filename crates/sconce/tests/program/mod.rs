//! Runs the program, and makes files for it.
#![allow(dead_code)] // not every test uses all of it

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A folder of files, removed at the end.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
}

/// What a run left.
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    /// It must have succeeded.
    pub(crate) fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self
    }

    /// It must have failed; the error.
    pub(crate) fn failed(self) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        self.err
    }

    /// The whole standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// Starts the program with pipes on all sides. `words` are separated by spaces; each `@` is the next of the paths.
pub(crate) fn start(words: &str, paths: &[&Path]) -> Child {
    let mut paths = paths.iter();
    let words = words.split_whitespace().map(|w| match w {
        "@" => paths.next().unwrap().as_os_str().to_owned(),
        _ => w.into(),
    });
    Command::new(env!("CARGO_BIN_EXE_sconce"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The same to its end, with a text on standard input.
pub(crate) fn sconce(words: &str, paths: &[&Path], input: &str) -> Done {
    let mut child = start(words, paths);
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    // A program that fails reads no input.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    Done { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

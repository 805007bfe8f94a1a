//! The program in a process of its own, and a small network with its data.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file takes what it needs; a test fails by panicking

pub mod numpy;

use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::optim::{Optimizer, Sgd, SgdConfig};
use sconce_tensor_core::{Mode, Module, Network, Rng, ops, store};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// What a run of the program left.
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// The standard output of a run that succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}", self.err);
        self.out
    }

    /// The standard error of a run that failed with a code.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self.err
    }

    /// It must have succeeded.
    #[track_caller]
    pub fn well(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.err);
        self
    }

    /// It must have failed with an error, which is returned.
    #[track_caller]
    pub fn failed(self) -> String {
        self.fails(1)
    }

    /// The standard output as JSON, of a run that succeeded.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap()
    }
}

/// The program, without what the tester's own environment says about data.
pub fn command(words: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_sconce"));
    c.args(words).env_remove("SCONCE_DATA").env("HOME", "/nonexistent").env("XDG_DATA_HOME", "/nonexistent");
    c.env("HF_HOME", "/nonexistent").env_remove("NO_COLOR").stdin(Stdio::null());
    c
}

fn run(done: std::process::Output) -> Run {
    let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
    Run { code: done.status.code().unwrap(), out: text(done.stdout), err: text(done.stderr) }
}

pub fn sconce(words: &[&str]) -> Run {
    run(command(words).output().unwrap())
}

/// Starts the program with pipes on all sides. `words` are separated by spaces; each `@` is the next of the paths.
pub fn start(words: &str, paths: &[&Path]) -> Child {
    let mut paths = paths.iter().map(|p| p.display().to_string());
    let words: Vec<String> =
        words.split_whitespace().map(|w| if w == "@" { paths.next().unwrap() } else { w.to_owned() }).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut c = command(&words);
    c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The same to its end, with a text on standard input.
pub fn piped(words: &str, paths: &[&Path], input: &str) -> Run {
    let mut child = start(words, paths);
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    // A program that fails reads no input.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap();
    run(done)
}

/// A folder that is deleted at the end.
pub struct Folder(pub tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

/// A network that has learnt which quarter of an image is bright, and `n` such images, as files `net.safetensors` and `data.safetensors`.
/// Its logits are multiplied by `scale`.
pub fn fixture(dir: &Path, n: usize, scale: f64) {
    let cfg =
        SmallCnnConfig { input: (1, 8, 8), classes: 4, channels: (3, 4), kernel: 3, hidden: 8, ..Default::default() };
    let net = SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu).unwrap();
    let many = 64usize;
    let noise = Rng::new(4).uniforms(many * 64);
    let pixel = |i: usize, r: usize, c: usize| {
        let bright = r / 4 * 2 + c / 4 == i % 4;
        (0.5 * noise[i * 64 + r * 8 + c] + if bright { 0.3 } else { 0.0 }) as f32
    };
    let values: Vec<f32> = (0..many * 64).map(|k| pixel(k / 64, k / 8 % 8, k % 8)).collect();
    let x = Tensor::from_vec(values, (many, 1, 8, 8), &Device::Cpu).unwrap();
    let y = Tensor::from_iter((0..many as u32).map(|i| i % 4), &Device::Cpu).unwrap();
    let mut sgd = Sgd::new(SgdConfig { lr: 0.1, ..SgdConfig::default() }).unwrap();
    for _ in 0..60 {
        let loss = ops::cross_entropy(&net.forward(&x, Mode::Train).unwrap(), &y).unwrap().mean_all().unwrap();
        sgd.step(net.params(), &ops::backward(&loss).unwrap()).unwrap();
    }
    let last = net.params().trainable().filter(|p| p.var().dims().first() == Some(&4)).collect::<Vec<_>>();
    for p in last.iter().rev().take(2) {
        p.var().set(&(p.var().as_tensor() * scale).unwrap()).unwrap();
    }
    net.params().save(&dir.join("net.safetensors")).unwrap();
    let (x, y) = (x.narrow(0, 0, n).unwrap(), y.narrow(0, 0, n).unwrap().to_dtype(DType::I64).unwrap());
    store::save(&dir.join("data.safetensors"), [("x", x), ("y", y)], "").unwrap();
}

/// 8x8 grey images of two classes, `a` bright on the left and `b` on the right, as PNG files in a subfolder each; the bytes of all, class after class.
pub fn images(folder: &Path, per_class: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (k, class) in ["a", "b"].iter().enumerate() {
        std::fs::create_dir_all(folder.join(class)).unwrap();
        for i in 0..per_class {
            let noise = Rng::new(seed).at((k * 10_000 + i) as u64).uniforms(64);
            let bright = |p: usize| if (p % 8 < 4) == (k == 0) { 90.0 } else { 0.0 };
            let bytes: Vec<u8> = noise.iter().enumerate().map(|(p, u)| (150.0 * u + bright(p)) as u8).collect();
            image::GrayImage::from_raw(8, 8, bytes.clone())
                .unwrap()
                .save(folder.join(class).join(format!("{i:04}.png")))
                .unwrap();
            all.push(bytes);
        }
    }
    all
}

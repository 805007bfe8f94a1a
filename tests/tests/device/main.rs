//! Operations, networks, training and attacks on a device against the same on the CPU.
//!
//! The environment variable `SCONCE_TEST_DEVICE` names the device (`cuda:0`). Without it the other side is the CPU too, with operations
//! that are composed of candle's, as they are on other devices, in the place of the kernels.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a test fails by panicking, and its tables are read by people

mod attacks;
mod cases;
mod large;
mod networks;
mod operations;
mod training;

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::DeviceSpec;
use sconce_tensor_core::ops::composed;
use std::time::Instant;

/// The name of the other device, if the environment has one.
fn named() -> Option<String> {
    std::env::var("SCONCE_TEST_DEVICE").ok()
}

/// The other device; the CPU where none is named.
fn device() -> Device {
    named().map_or(Device::Cpu, |name| name.parse::<DeviceSpec>().unwrap().open().unwrap())
}

/// Runs what belongs to the other side.
fn there<T>(f: impl FnOnce() -> T) -> T {
    if named().is_some() { f() } else { composed::alone(f) }
}

/// The elements, in f64.
fn host(t: &Tensor) -> Result<Vec<f64>> {
    Ok(t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

/// The largest difference over the largest element of `want`.
fn apart(got: &Tensor, want: &Tensor) -> Result<f64> {
    ensure!(got.dims() == want.dims(), "shapes {:?} and {:?}", got.dims(), want.dims());
    let (a, b) = (host(got)?, host(want)?);
    ensure!(a.iter().all(|v| v.is_finite()), "not finite");
    let scale = b.iter().fold(1e-6f64, |m, v| m.max(v.abs()));
    Ok(a.iter().zip(&b).fold(0f64, |m, (a, b)| m.max((a - b).abs())) / scale)
}

/// The result of a closure and how long it took in milliseconds.
fn timed<T>(f: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let start = Instant::now();
    let out = f()?;
    Ok((out, start.elapsed().as_secs_f64() * 1e3))
}

/// Rows that are compared one by one; all failures are told together.
struct Table {
    columns: usize,
    failed: Vec<String>,
}

impl Table {
    fn new(title: &str, columns: &[&str]) -> Self {
        eprintln!("\n{title}\n{:<44} {}", "", columns.iter().map(|c| format!("{c:>12}")).collect::<String>());
        Self { columns: columns.len(), failed: Vec::new() }
    }

    /// Adds a row of numbers. Each number with a limit must not be above it.
    fn row(&mut self, name: &str, found: Result<Vec<(f64, Option<f64>)>>) {
        let bad = match &found {
            Ok(all) => {
                let cells = all.iter().map(|(v, _)| format!("{v:>12.3e}")).collect::<String>();
                let bad =
                    all.len() != self.columns || all.iter().any(|(v, most)| most.is_some_and(|m| v.is_nan() || *v > m));
                eprintln!("{name:<44} {cells}{}", if bad { "  FAILED" } else { "" });
                bad.then(|| format!("{name}: {all:?}"))
            }
            Err(e) => {
                // The first line: candle's errors bring a backtrace.
                let text = format!("{e:#}");
                let text = text.lines().next().unwrap_or_default();
                eprintln!("{name:<44} FAILED: {text}");
                Some(format!("{name}: {text}"))
            }
        };
        self.failed.extend(bad);
    }

    fn finish(self) {
        assert!(self.failed.is_empty(), "{} rows failed:\n{}", self.failed.len(), self.failed.join("\n"));
    }
}

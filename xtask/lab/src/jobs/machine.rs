//! The machine that a result is from.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// A host, and what of it can reach the last digits of a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// System, instruction set and caches: what faer, and candle's own products, cut their sums by.
    pub class: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        Self { host: gethostname::gethostname().to_string_lossy().into_owned(), class: class() }
    }
}

#[cfg(target_arch = "x86_64")]
fn instructions() -> &'static str {
    let fused = std::is_x86_feature_detected!("fma") && std::is_x86_feature_detected!("avx2");
    match (fused, std::is_x86_feature_detected!("avx512f")) {
        (true, true) => "avx512",
        (true, false) => "avx2",
        (false, _) => "no fma",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn instructions() -> &'static str {
    "its only"
}

/// The sizes of the first processor's caches, as Linux tells them.
fn caches() -> Vec<String> {
    let cache = Path::new("/sys/devices/system/cpu/cpu0/cache");
    let read = |i: usize, what: &str| {
        let text = std::fs::read_to_string(cache.join(format!("index{i}")).join(what)).ok()?;
        Some(text.trim().to_owned())
    };
    let one = |i| Some((read(i, "level")?, read(i, "type")?, read(i, "size")?));
    let data = (0..8).map_while(one).filter(|c| c.1 != "Instruction");
    data.map(|(level, _, size)| format!("L{level} {size}")).collect()
}

fn class() -> String {
    let system = format!("{}-{} {}", std::env::consts::ARCH, std::env::consts::OS, instructions());
    std::iter::once(system).chain(caches()).collect::<Vec<_>>().join(", ")
}

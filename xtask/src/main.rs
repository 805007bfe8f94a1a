//! The light binary: builds, checks, and forwards to the heavy one. It has no candle in its build.

mod cli;

fn main() {}

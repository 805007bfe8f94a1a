//! Evaluates the robustness of a model: see `sconce-attack --help`. The exit code is 3 if the robust accuracy is below
//! `--at-least`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program reports on its output

use clap::Parser;
use sconce_attacks::{Result, cli};
use sconce_tensor_core::DeviceSpec;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn attack(args: &cli::Args) -> Result<bool> {
    let device = args.device.parse::<DeviceSpec>()?.open()?;
    let (x, y) = cli::read_data(args.data.as_ref())?;
    let mut last = String::new();
    let done = cli::run(args, &x, &y, &device, &mut |p| {
        let now =
            format!("{} at {}", p.attack, if p.eps.is_finite() { format!("{:.5}", p.eps) } else { "all radii".into() });
        if now != last || p.done == p.total {
            eprintln!("{now}: {} of {}, {} robust", p.done, p.total, p.robust);
        }
        last = now;
        Ok(())
    })?;
    print!("{}", cli::text(&done)?);
    cli::meets_threshold(args, &done)
}

fn main() -> ExitCode {
    let args = cli::Args::parse();
    // Inside rayon's pool, so that the tasks of an op start on this thread.
    match rayon::scope(|_| attack(&args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

//! Measures how robust a model is: `sconce-attack --help`. Exit 3 where it is below `--at-least`.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program that talks by its output

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
    let done = cli::run(args, &x, &y, &device, &mut |s| {
        let now =
            format!("{} at {}", s.attack, if s.eps.is_finite() { format!("{:.5}", s.eps) } else { "all radii".into() });
        if now != last || s.done == s.total {
            eprintln!("{now}: {} of {}, {} robust", s.done, s.total, s.robust);
        }
        last = now;
        Ok(())
    })?;
    print!("{}", cli::text(&done)?);
    cli::good_enough(args, &done)
}

fn main() -> ExitCode {
    let args = cli::Args::parse();
    // Inside the pool: an op's tasks then start on this very thread.
    match rayon::scope(|_| attack(&args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

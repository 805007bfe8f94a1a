//! `cargo xtask attack`: the command of the attacks crate, with the catalog's data sets at hand.

use crate::places;
use crate::terminal::say;
use anyhow::Result;
use candle_core::Tensor;
use clap::Parser;
use sconce_attacks::cli;
use sconce_datasets::{Split, catalog, embedded};
use sconce_tensor_core::{Device, DeviceSpec};
use std::path::Path;
use std::time::Instant;

/// Images and labels of a file, of a data set's test split, or what ships.
pub fn data(name: &str) -> Result<(Tensor, Tensor)> {
    if Path::new(name).exists() {
        return Ok(cli::read_data(name.as_ref())?);
    }
    let images = match name {
        "fashion-mnist:embedded" => embedded::fashion_mnist(Split::Test)?,
        name => places::lookup(None).load(&catalog::get(name)?, Split::Test)?,
    };
    let data = images.to_labelled(&Device::Cpu)?;
    Ok((data.x().clone(), data.y().clone()))
}

/// Runs the suite; 3 where the accuracy is below what was asked for.
pub fn main(words: &[String]) -> Result<u8> {
    let words = std::iter::once("cargo xtask attack").chain(words.iter().map(String::as_str));
    let args = match cli::Args::try_parse_from(words) {
        Ok(args) => args,
        // Help and mistakes, in clap's own words.
        Err(e) => {
            let code = e.exit_code();
            e.print()?;
            return Ok(u8::try_from(code).unwrap_or(2));
        }
    };
    let device = args.device.parse::<DeviceSpec>()?.open()?;
    let (x, y) = data(&args.data)?;
    let (started, mut last) = (Instant::now(), String::new());
    let done = cli::run(&args, &x, &y, &device, &mut |s| {
        let eps = if s.eps.is_finite() { format!("{:.5}", s.eps) } else { "all radii".to_owned() };
        let now = format!("{} at {eps}", s.attack);
        if now != last || s.done == s.total {
            say(&format!(
                "{:>7.1} s  {now}: {} of {}, {} robust",
                started.elapsed().as_secs_f64(),
                s.done,
                s.total,
                s.robust
            ));
        }
        last = now;
        Ok(())
    })?;
    say(cli::text(&done)?.trim_end());
    Ok(if cli::meets_threshold(&args, &done)? { 0 } else { 3 })
}

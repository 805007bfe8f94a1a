//! `cargo xtask dossier`: everything that is measured of a checkpoint, in one report.

mod measure;
mod page;

use crate::places;
use crate::terminal::say;
use crate::tools::attack;
use anyhow::{Context, Result, bail};
use candle_core::DType;
use clap::Parser;
use sconce_attacks::cli;
use sconce_tensor_core::Device;
use sconce_tensor_core::nets::load;
use sconce_tensor_core::nn::Normalize;
use sconce_tensor_core::store::write_whole;
use std::path::PathBuf;
use std::time::Instant;

/// One report on a checkpoint: robust accuracy with its trust flags, curvature, landscape, smoothness on the attacked ball, and the
/// Fourier heat map. Beside files, --data takes the name of a data set of the catalog, or fashion-mnist:embedded.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask dossier")]
pub struct Args {
    #[command(flatten)]
    pub attack: cli::Args,
    /// The first so many examples for curvature, landscape, smoothness and the heat map.
    #[arg(long, default_value_t = 200)]
    pub geometry_examples: usize,
    /// Eigenvalues.
    #[arg(long, default_value_t = 5)]
    pub eigenvalues: usize,
    /// Hessian-vector products at most for the eigenvalues; the trace takes 20 more, the density 100.
    #[arg(long, default_value_t = 200)]
    pub products: usize,
    /// Places a side of the landscape.
    #[arg(long, default_value_t = 15)]
    pub plane: usize,
    /// Where report.html and dossier.json go (default: target/dossier/<name of the model>).
    #[arg(long)]
    pub out: Option<PathBuf>,
}

impl Args {
    fn validate(&self) -> Result<()> {
        if self.geometry_examples == 0 || self.eigenvalues == 0 || self.products < self.eigenvalues {
            bail!("--geometry-examples and --eigenvalues: at least 1; --products: at least as many as eigenvalues");
        }
        if self.plane < 2 {
            bail!("--plane: at least 2 places a side, got {}", self.plane);
        }
        Ok(())
    }
}

/// Measures and writes; 3 where the accuracy is below what was asked for.
pub fn main(words: &[String]) -> Result<u8> {
    let words = std::iter::once("cargo xtask dossier").chain(words.iter().map(String::as_str));
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        // Help and mistakes, in clap's own words.
        Err(e) => {
            let code = e.exit_code();
            e.print()?;
            return Ok(u8::try_from(code).unwrap_or(2));
        }
    };
    args.validate()?;
    let device = args.attack.device.parse::<sconce_tensor_core::DeviceSpec>()?.open()?;
    let (x, y) = attack::data(&args.attack.data)?;
    let name = args.attack.model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let out = args.out.clone().unwrap_or_else(|| places::workspace().join("target/dossier").join(&name));
    std::fs::create_dir_all(&out).with_context(|| format!("cannot write to {}", out.display()))?;

    let started = Instant::now();
    let tell = |what: &str| say(&format!("{:>7.1} s  {what}", started.elapsed().as_secs_f64()));
    // The network is loaded first: a file that does not fit is told at once.
    let (_, c, h, w) = x.dims4()?;
    let normalize = match (&args.attack.mean, &args.attack.std) {
        (Some(m), Some(s)) => Some(Normalize::new(m.clone(), s.clone())?),
        _ => None,
    };
    let arch = args.attack.arch.parse()?;
    let net = load::load(arch, &args.attack.model, (c, h, w), normalize, DType::F64, &Device::Cpu)?;
    let evaluation = cli::run(&args.attack, &x, &y, &device, &mut |_| Ok(()))?;
    tell("robust accuracy");
    let n = args.geometry_examples.min(x.dim(0)?);
    let few = (x.narrow(0, 0, n)?.to_dtype(DType::F64)?, y.narrow(0, 0, n)?);
    let found = measure::all(&args, &*net, &few, &out, &tell)?;
    let report = out.join("report.html");
    write_whole(&report, page::html(&args, &evaluation, &found)?.as_bytes())?;
    let json = out.join("dossier.json");
    let attack: serde_json::Value = serde_json::from_str(&cli::json(&args.attack, &evaluation)?)?;
    let all = serde_json::json!({ "attack": attack, "geometry": found });
    write_whole(&json, format!("{}\n", serde_json::to_string_pretty(&all)?).as_bytes())?;
    say(&format!(
        "\n{}\nresults  {}\nreport   {}",
        cli::text(&evaluation)?.trim_end(),
        json.display(),
        report.display()
    ));
    Ok(if cli::meets_threshold(&args.attack, &evaluation)? { 0 } else { 3 })
}

//! `dossier`: robust accuracy, curvature, loss landscape, smoothness and a Fourier heat map of one checkpoint, in one report.

mod curvature;
mod measure;
mod page;
mod smoothness;
mod summary;

use crate::args::Dossier;
use crate::attack::{self, Opened, evaluate, judge, open};
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::{Context, Result, bail};
use candle_core::{DType, Var};
use sconce_tensor_core::Device;
use sconce_tensor_core::error::describe;
use sconce_tensor_core::ops::backward;
use serde_json::json;
use std::path::{Path, PathBuf};

fn out(args: &Dossier) -> PathBuf {
    let name = || Path::new("dossier").join(args.attack.model.file_stem().unwrap_or_default());
    args.out.clone().unwrap_or_else(name)
}

/// Refuses to start where candle would cut the graph of gradients, which the Hessian is made of: this is known before the attacks run.
fn second_derivatives() -> Result<()> {
    let x = Var::new(2f64, &Device::Cpu)?;
    let slope = backward(&(x.as_tensor().sqr()? * x.as_tensor())?)?.get(&x).context("x^3 has no gradient")?.clone();
    let twice = backward(&slope).ok().and_then(|g| g.get(&x)?.to_scalar::<f64>().ok());
    if twice != Some(12.0) {
        bail!(
            "this process cannot differentiate gradients, which the curvature needs: unset SCONCE_STARTED, or set CANDLE_GRAD_DO_NOT_DETACH=1, and \
             start again"
        );
    }
    Ok(())
}

/// Read, work, judge, write.
pub(crate) fn main(args: &Dossier, terminal: &mut Terminal) -> Result<Outcome> {
    if args.attack.vnnlib.is_some() {
        bail!("--vnnlib is for `sconce attack`");
    }
    if args.products < args.eigenvalues {
        bail!("--products {}: must be at least --eigenvalues {}", args.products, args.eigenvalues);
    }
    let extra = (
        terminal.output("--json", args.attack.json.as_deref())?,
        terminal.output("--html", args.attack.html.as_deref())?,
    );
    attack::check_ledger(&args.attack, terminal)?;
    let folder = out(args);
    Terminal::folder("--out", &folder)?;
    let report = terminal.output("--out", Some(&folder.join("report.html")))?;
    let results = terminal.output("--out", Some(&folder.join("dossier.json")))?;

    second_derivatives()?;
    let mut done = evaluate(&args.attack, true, terminal)?;
    // It took the longest, and is worth something without the rest.
    terminal.result(&attack::text(&args.attack, &done)?)?;
    let n = usize::try_from(args.geometry_examples)?.min(done.examples.len()?);
    let few = (done.examples.x.narrow(0, 0, n)?.to_dtype(DType::F64)?, done.examples.y.narrow(0, 0, n)?);
    let Opened { network: net, .. } = open(&args.attack, &few.0.dims()[1..], DType::F64, &Device::Cpu)?;
    let found = match measure::all(args, (&done.threats, &done.told), &*net, &few, &folder, terminal) {
        Ok(found) => found,
        Err(e) => {
            let fields = json!({ "attack": attack::fields(&args.attack, &done)?, "stopped": describe(e.as_ref()) });
            let text = json("dossier", fields)?;
            for file in [&results, &extra.0] {
                terminal.write(file.as_ref(), || Ok(text.clone()))?;
            }
            attack::wrote_ledger(&args.attack, terminal);
            terminal.finish()?;
            return Err(e);
        }
    };
    done.seconds = terminal.seconds();
    let readings = summary::readings(&done, &found)?;

    let outcome = judge(&args.attack, &done)?;
    terminal.result(&summary::text(&readings))?;
    let fields = json!({ "attack": attack::fields(&args.attack, &done)?, "summary": readings, "geometry": found });
    let text = json("dossier", fields)?;
    for file in [&results, &extra.0] {
        terminal.write(file.as_ref(), || Ok(text.clone()))?;
    }
    // The numbers first: a page that cannot be drawn does not lose them.
    let page = page::html(args, &done, &found, &readings)?;
    for file in [&report, &extra.1] {
        terminal.write(file.as_ref(), || Ok(page.clone()))?;
    }
    attack::wrote_ledger(&args.attack, terminal);
    Ok(outcome)
}

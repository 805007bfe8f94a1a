//! `attack --vnnlib`: a search for a counterexample of a verification property.

use super::input::device;
use crate::args::Attack;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::{Context, Result, bail};
use sconce_attacks::property::{Falsification, Falsifier, FalsifierConfig, Outcome as Found, Property};
use sconce_onnx::{Inspection, OnnxConfig, OnnxNet, Port};
use sconce_tensor_core::Error;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// Reads the property and the network, searches, and prints the answer in the words of the competition.
///
/// # Errors
/// A property or an ONNX file that cannot be read, or that do not fit each other.
pub(super) fn main(args: &Attack, path: &Path, terminal: &mut Terminal) -> Result<Outcome> {
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let property = Property::parse(&text).with_context(|| path.display().to_string())?;
    let device = device(&args.device)?;
    let ports = Inspection::read(&args.model)?.inputs;
    let [port] = &ports[..] else {
        bail!(
            "{}: a property is about a network with one input, but this one has {}",
            args.model.display(),
            ports.len()
        )
    };
    let example = example(port, &property)?;
    let cfg = OnnxConfig {
        example: example.clone(),
        output: args.output.clone(),
        layout: Some(sconce_onnx::Layout::Nchw),
        raw: true,
        device: device.clone(),
        ..OnnxConfig::default()
    };
    let net = OnnxNet::open(&args.model, &cfg)?;
    net.notes().iter().for_each(|n| terminal.note(&format!("model: {n}")));
    let plain = FalsifierConfig::default();
    // The clock ends it.
    let restarts = if args.timeout.is_some() { usize::MAX } else { plain.restarts };
    let batch = args.batch.map_or(Ok(plain.batch), usize::try_from)?;
    let falsifier = Falsifier::new(FalsifierConfig { restarts, batch, seed: args.seed, ..plain })?;
    let start = Instant::now();
    let mut keep_going = || args.timeout.is_none_or(|most| start.elapsed().as_secs_f64() < most);
    let found = falsifier.run(&net, &property, &example, &device, &mut keep_going)?;
    terminal.result(&format!("{}\n", found.outcome))?;
    if !matches!(found.outcome, Found::Violated(_)) {
        terminal.note(&format!(
            "no counterexample among {} inputs and {} gradients; the closest missed the unsafe set by {:.3e}. This proves nothing",
            found.forwards, found.gradients, found.closest
        ));
    }
    terminal.write(json_file.as_ref(), || json("attack --vnnlib", fields(args, path, &found)))?;
    Ok(Outcome::Done)
}

/// The shape of one input: that of the file, or all elements in one row where the file does not say.
fn example(port: &Port, property: &Property) -> Result<Vec<usize>> {
    let after = port.shape.get(1..).unwrap_or_default();
    let sizes: Option<Vec<usize>> = after.iter().map(|d| d.as_ref().ok().copied()).collect();
    match sizes {
        Some(s) if !s.is_empty() && s.iter().product::<usize>() == property.inputs() => Ok(s),
        Some(s) if !s.is_empty() => bail!(
            "the property has {} inputs, but `{}` of the network is {}, with {} for each example",
            property.inputs(),
            port.name,
            port.describe(),
            s.iter().product::<usize>()
        ),
        _ => Ok(vec![property.inputs()]),
    }
}

fn fields(args: &Attack, path: &Path, found: &Falsification) -> Value {
    let (answer, example) = match &found.outcome {
        Found::Violated(e) => ("sat", json!({ "inputs": e.inputs, "outputs": e.outputs, "region": e.region })),
        Found::Unknown => ("unknown", Value::Null),
        _ => ("timeout", Value::Null),
    };
    json!({
        "model": args.model, "property": path, "answer": answer, "counterexample": example, "forwards": found.forwards,
        "gradients": found.gradients, "closest": if found.closest.is_finite() { json!(found.closest) } else { Value::Null }, "seed": args.seed,
    })
}

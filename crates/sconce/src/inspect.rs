//! `model inspect`: what is in an ONNX file.

use crate::args::{Inspect, ModelVerb};
use crate::attack::sha256;
use crate::program::Outcome;
use crate::terminal::{Terminal, json};
use anyhow::Result;
use sconce_onnx::{Inspection, Port};
use sconce_tensor_core::classifier::Effect;
use serde_json::{Value, json};
use std::fmt::Write;

/// Reads the file, and writes what is in it.
///
/// # Errors
/// A file that is not a whole ONNX model; an output that cannot be written.
pub(crate) fn main(verb: &ModelVerb, terminal: &mut Terminal) -> Result<Outcome> {
    let ModelVerb::Inspect(args) = verb;
    let json_file = terminal.output("--json", args.json.as_deref())?;
    let found = Inspection::read(&args.model)?;
    terminal.result(&text(args, &found))?;
    let digest = sha256(&args.model)?;
    terminal.write(json_file.as_ref(), || json("model inspect", fields(args, &digest, &found)))?;
    Ok(Outcome::Done)
}

/// Domain and version of each operator set.
fn opsets(found: &Inspection) -> Vec<String> {
    let name = |domain: &str| if domain.is_empty() { "ai.onnx".to_owned() } else { domain.to_owned() };
    found.opsets.iter().map(|(domain, version)| format!("{} {version}", name(domain))).collect()
}

/// What the gradient suffers from.
fn caveats(found: &Inspection) -> Vec<String> {
    let said = |effect| match effect {
        Effect::Masked => "gradient masked by",
        Effect::Random => "gradient random because of",
    };
    found.caveats.iter().map(|c| format!("{} {}", said(c.effect), c.place)).collect()
}

fn text(args: &Inspect, found: &Inspection) -> String {
    let mut out = String::new();
    let producer = if found.producer.is_empty() { "an unnamed program" } else { &found.producer };
    let _ = writeln!(out, "{}: ONNX, IR version {}, written by {producer}", args.model.display(), found.ir_version);
    let _ = writeln!(out, "operator sets  {}", opsets(found).join(", "));
    let _ = writeln!(out, "parameters     {}", found.parameters);
    for (what, ports) in [("input", &found.inputs), ("output", &found.outputs)] {
        for p in ports {
            let _ = writeln!(out, "{what:<14} `{}` {}", p.name, p.describe());
        }
    }
    if let Some((output, peeled)) = &found.output {
        let left_out = peeled.map_or_else(String::new, |p| format!(", before the {} at the end", p.name()));
        let _ = writeln!(out, "attacked       `{output}`{left_out}");
    }
    let all: usize = found.operators.values().map(|(n, _)| n).sum();
    let _ = writeln!(out, "nodes          {all}");
    for (name, (n, supported)) in &found.operators {
        let _ = writeln!(out, "  {n:>5} {name}{}", if *supported { "" } else { "   not supported" });
    }
    for c in caveats(found) {
        let _ = writeln!(out, "flag: {c}");
    }
    if found.is_supported() {
        let _ = writeln!(out, "every node is supported");
    }
    for o in &found.obstacles {
        let _ = writeln!(out, "no classifier: {o}");
    }
    for r in &found.refused {
        let _ = writeln!(out, "not supported: {r}");
    }
    out
}

fn fields(args: &Inspect, digest: &str, found: &Inspection) -> Value {
    let ports = |ports: &[Port]| -> Vec<Value> {
        let size = |d: &Result<usize, String>| d.as_ref().map_or_else(|name| json!(name), |n| json!(n));
        ports.iter().map(|p| json!({ "name": p.name, "element": p.element, "shape": p.shape.iter().map(size).collect::<Vec<_>>() })).collect()
    };
    let operators: serde_json::Map<String, Value> = found
        .operators
        .iter()
        .map(|(name, (n, supported))| (name.clone(), json!({ "nodes": n, "supported": supported })))
        .collect();
    json!({
        "model": args.model, "sha256": digest, "ir_version": found.ir_version, "producer": found.producer, "opsets": opsets(found),
        "inputs": ports(&found.inputs), "outputs": ports(&found.outputs), "operators": operators, "parameters": found.parameters,
        "attacked": found.output.as_ref().map(|o| &o.0), "peeled": found.output.as_ref().and_then(|o| o.1).map(sconce_onnx::Peeled::name),
        "supported": found.is_supported(), "refused": found.refused, "obstacles": found.obstacles, "flags": caveats(found),
    })
}

//! A table of conformance cases: `cargo run --example conformance -- FOLDER`, with a folder of cases such as `onnx/backend/test/data/node` of
//! the wheel `onnx`. Without a folder it says how to get one.

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::PathBuf;
use support::{Outcome, case};

#[allow(clippy::print_stdout)] // a program
fn main() -> anyhow::Result<()> {
    let Some(folder) = std::env::args().nth(1).map(PathBuf::from) else {
        println!("pip download onnx==1.17.0 --no-deps && unzip onnx-*.whl; then give onnx/backend/test/data/node");
        return Ok(());
    };
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<anyhow::Result<_>>()?;
    cases.retain(|c| c.join("model.onnx").exists());
    cases.sort();
    let (mut passed, mut refused, mut failed) = (0, 0, 0);
    for c in cases {
        let name = c.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        match case(&c) {
            Outcome::Passed => passed += 1,
            Outcome::Refused(why) => {
                refused += 1;
                println!("refused  {name}: {why}");
            }
            Outcome::Failed(why) => {
                failed += 1;
                println!("FAILED   {name}: {why}");
            }
        }
    }
    println!("passed {passed}, refused {refused}, failed {failed}");
    Ok(())
}

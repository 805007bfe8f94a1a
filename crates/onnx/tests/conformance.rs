//! The conformance cases of ONNX: none may fail, and those that are refused are known.

mod support;

use sconce_tensor_core::candle_core::Device;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use support::{Outcome, case};

/// Unpacks the cases, one folder each.
fn unpack(into: &Path) -> Vec<String> {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/cases.safetensors.gz");
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(packed).unwrap()).read_to_end(&mut bytes).unwrap();
    let entries = sconce_tensor_core::candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    let mut cases = BTreeMap::new();
    for (name, bytes) in entries {
        let (folder, file) = name.rsplit_once('/').unwrap();
        std::fs::create_dir_all(into.join(folder)).unwrap();
        std::fs::write(into.join(folder).join(file), bytes.to_vec1::<u8>().unwrap()).unwrap();
        cases.insert(folder.to_owned(), ());
    }
    cases.into_keys().collect()
}

/// Cases that are refused although their operators are supported, with a part of the reason.
const REFUSED: &[(&str, &str)] = &[];

/// Cases whose expected values are wrong or random.
const EXCEPTIONS: &[&str] = &[];

#[test]
fn the_cases_of_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let (mut passed, mut faults) = (0, Vec::new());
    for name in unpack(folder.path()) {
        let known = REFUSED.iter().find(|(case, _)| name.ends_with(case));
        match (case(&folder.path().join(&name)), known) {
            (Outcome::Passed, None) => passed += 1,
            (Outcome::Refused(why), Some((_, part))) if why.contains(part) => {}
            (Outcome::Failed(_), _) if EXCEPTIONS.iter().any(|e| name.ends_with(e)) => {}
            (other, _) => faults.push(format!("{name}: {other:?}")),
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), passed + faults.len(), faults.join("\n"));
    assert!(passed > 0);
}

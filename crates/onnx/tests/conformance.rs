//! The conformance cases of ONNX: none may fail, and those that are refused are known.
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;

use support::{Outcome, case, unpack};

/// Why a case may be refused: a part of the reason.
const REASONS: [&str; 10] = [
    "elements of type ", // floats of 8 bits, integers of 4
    "elements of string",
    "elements of integer are not supported here", // a pool of bytes
    "images of three axes",
    "exported in training mode",
    "a drop rate of ", // training, with its mask
    "ArgMax",
    "tf_crop_and_resize",
    "reduction \"",
    "its output `z` is not supported", // the places of maxima
];

/// Cases that have no dense tensor as input.
const OTHERS: [&str; 2] = ["test_identity_opt", "test_identity_sequence"];

/// Cases whose expected values cannot be met: numpy's random numbers, bfloat16 that is stored as the integers of its bits, and a downsampling
/// where PyTorch and onnxruntime divide by the rounded length.
const EXCEPTIONS: [&str; 4] = ["test_training_dropout", "test_training_dropout_default", "BFLOAT16", "_align_corners"];

#[test]
fn the_cases_of_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let (mut passed, mut refused, mut faults) = (0, 0, Vec::new());
    for name in unpack(folder.path()) {
        match case(&folder.path().join(&name)) {
            Outcome::Passed => passed += 1,
            Outcome::Refused(why)
                if REASONS.iter().any(|r| why.contains(r)) || OTHERS.iter().any(|o| name.ends_with(o)) =>
            {
                refused += 1
            }
            Outcome::Failed(_)
                if EXCEPTIONS.iter().any(|e| name.ends_with(e) || (*e == "BFLOAT16" && name.contains(e))) => {}
            other => faults.push(format!("{name}: {other:?}")),
        }
    }
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
    assert_eq!((passed, refused), (816, 110), "of 936");
}

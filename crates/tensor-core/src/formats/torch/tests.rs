//! State dictionaries in both formats, and bytes that no one should have written.

use super::super::arrays::tests::archive;
use super::*;
use proptest::prelude::*;

/// A dictionary of two tensors of one storage, as PyTorch pickles it.
fn pickled() -> Vec<u8> {
    let text = |t: &str| [&[b'X'][..], &(t.len() as u32).to_le_bytes(), t.as_bytes()].concat();
    let tensor = |offset: u8, shape: [u8; 2], strides: [u8; 2]| {
        let mut p = b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec();
        p.extend(text("storage"));
        p.extend(b"ctorch\nFloatStorage\n");
        p.extend(text("0"));
        p.extend(text("cpu"));
        p.extend([b'K', 12, b't', b'Q', b'K', offset]);
        for pair in [shape, strides] {
            p.extend([b'K', pair[0], b'K', pair[1], 0x86]);
        }
        p.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        p
    };
    let mut p = b"\x80\x02}q\x00(".to_vec();
    p.extend(text("state_dict"));
    p.extend(b"ccollections\nOrderedDict\n)Rq\x01(");
    p.extend([text("a"), tensor(0, [2, 3], [3, 1]), text("b"), tensor(6, [2, 3], [1, 2])].concat());
    p.extend(b"u");
    p.extend(text("epoch"));
    p.extend(b"K\x07u.");
    p
}

fn storage() -> Vec<u8> {
    (0..12).flat_map(|v| (v as f32).to_le_bytes()).collect()
}

fn zipped(deflated: bool) -> Vec<u8> {
    archive(&[("net/data.pkl", &pickled()), ("net/byteorder", b"little"), ("net/data/0", &storage())], deflated)
}

fn old() -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\x0a".to_vec();
    out.extend(LEGACY);
    out.extend(b".\x80\x02M\xe9\x03.\x80\x02}.");
    out.extend(pickled());
    out.extend(b"\x80\x02]X\x01\x00\x00\x000a.");
    out.extend(12u64.to_le_bytes());
    out.extend(storage());
    out
}

#[test]
fn both_formats_give_the_same_tensors() {
    for bytes in [zipped(false), zipped(true), old()] {
        let file = Torch::open(&bytes).unwrap();
        let all = file.dictionaries();
        assert_eq!((all.len(), all[0].path.as_slice()), (1, &["state_dict".to_owned()][..]));
        let value = |i: usize| file.load(&all[0].tensors[i].1, &mut 0).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(
            (value(0), value(1)),
            (vec![vec![0., 1., 2.], vec![3., 4., 5.]], vec![vec![6., 8., 10.], vec![7., 9., 11.]])
        );
    }
}

/// Reads everything; whatever the bytes are, nothing panics and what is read is no larger than the bytes allow.
fn exhaust(bytes: &[u8]) {
    let Ok(file) = Torch::open(bytes) else { return };
    let (_, _) = (file.module(), file.describe());
    let (mut spent, mut read) = (0, 0);
    for d in file.dictionaries() {
        for (_, slot) in &d.tensors {
            file.is_integer(slot);
            if let Ok(t) = file.load(slot, &mut spent) {
                read += t.elem_count() * t.dtype().size_in_bytes();
            }
        }
    }
    // Repeated up to 16 times each, of storages that are counted up to 16 times, widened up to 8 times; deflate shrinks at most 1032 to 1.
    assert!(read <= (bytes.len() * 1032 + (1 << 20)) * 16 * 16 * 8);
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), any::<u8>());
    (0..4usize, prop::collection::vec(edit, 0..8), any::<prop::sample::Index>(), 0..4u8).prop_map(
        |(which, edits, at, cut)| {
            let mut bytes = vec![zipped(false), zipped(true), old(), pickled()].swap_remove(which);
            // Edits of the pickle, not only of the archive around it.
            if which == 0 {
                let mut inner = pickled();
                for (i, v) in &edits {
                    let i = i.index(inner.len());
                    inner[i] = *v;
                }
                bytes = archive(&[("net/data.pkl", &inner), ("net/data/0", &storage())], false);
            }
            for (i, v) in edits {
                let i = i.index(bytes.len());
                bytes[i] = if which == 0 { bytes[i] } else { v };
            }
            let at = at.index(bytes.len());
            match cut {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_within(at..),
                _ => {}
            }
            bytes
        },
    )
}

fn cases(n: u32) {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(n) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&mutated(), |bytes| {
            exhaust(&bytes);
            Ok(())
        })
        .unwrap();
    // Operations that the format has, in any order.
    let ops = prop::sample::select(
        b"(012NIJKMLFGSVUTX])ltaed}dsuccRiobPQpgqrhj.\x81\x85\x86\x87\x88\x8a\x8c\x8f\x90\x91\x93\x94\x95\x01\x00\n"
            .to_vec(),
    );
    runner
        .run(&prop::collection::vec(ops, 0..120), |mut bytes| {
            bytes.splice(..0, *b"\x80\x02");
            bytes.push(b'.');
            exhaust(&bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn damaged_files_are_errors() {
    cases(2000);
    // A list that holds itself, and one that doubles at every step: each value is visited once.
    exhaust(b"\x80\x02]q\x00h\x00a.");
    let mut doubling = b"\x80\x02]q\x00".to_vec();
    for i in 1..200u8 {
        doubling.extend([b']', b'q', i, b'(', b'h', i - 1, b'h', i - 1, b'e']);
    }
    doubling.push(b'.');
    exhaust(&doubling);
}

/// By hand: `cargo test --release -p sconce-tensor-core --lib million -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn a_million_damaged_pickles() {
    cases(500_000);
}

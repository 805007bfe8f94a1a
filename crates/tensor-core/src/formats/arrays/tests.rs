//! Arrays of every type and layout, and bytes that no one should have written.

use super::*;
use candle_core::{DType, Device};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;
use std::io::Write;

/// An array of numpy in bytes.
fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

/// An archive of entries, deflated or stored.
pub(crate) fn archive(entries: &[(&str, &[u8])], deflated: bool) -> Vec<u8> {
    let (mut out, mut list) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let packed = if deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let at = out.len() as u32;
        let mut common = vec![20, 0, 0, 0, if deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
        common.extend(crc.sum().to_le_bytes());
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend((content.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(&packed);
        list.extend(b"PK\x01\x02\x14\x00");
        list.extend(&common);
        list.extend([0; 10]);
        list.extend(at.to_le_bytes());
        list.extend(name.as_bytes());
    }
    let (at, n) = (out.len() as u32, entries.len() as u16);
    out.extend(&list);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(n.to_le_bytes());
    out.extend(n.to_le_bytes());
    out.extend((list.len() as u32).to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

fn parse(bytes: &[u8]) -> Read<Arrays> {
    Arrays::parse("file".as_ref(), bytes.to_vec())
}

fn values(t: &Tensor) -> Vec<f64> {
    t.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// The numbers 0 to 5 in every type and both byte orders.
#[test]
fn every_type_and_both_orders() {
    type Write = fn(u8) -> Vec<u8>;
    let types: [(&str, DType, Write); 11] = [
        ("u1", DType::U8, |v| vec![v]),
        ("i1", DType::I64, |v| vec![v]),
        ("u2", DType::U32, |v| u16::from(v).to_le_bytes().to_vec()),
        ("i2", DType::I64, |v| i16::from(v).to_le_bytes().to_vec()),
        ("u4", DType::U32, |v| u32::from(v).to_le_bytes().to_vec()),
        ("i4", DType::I64, |v| i32::from(v).to_le_bytes().to_vec()),
        ("u8", DType::I64, |v| u64::from(v).to_le_bytes().to_vec()),
        ("i8", DType::I64, |v| i64::from(v).to_le_bytes().to_vec()),
        ("f2", DType::F32, |v| [0u16, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500][usize::from(v)].to_le_bytes().to_vec()),
        ("f4", DType::F32, |v| f32::from(v).to_le_bytes().to_vec()),
        ("f8", DType::F64, |v| f64::from(v).to_le_bytes().to_vec()),
    ];
    for (name, dtype, write) in types {
        for order in ["<", ">"] {
            let data = (0..6u8).flat_map(|v| {
                let mut bytes = write(v);
                if order == ">" {
                    bytes.reverse();
                }
                bytes
            });
            let data: Vec<u8> = data.collect();
            let found = parse(&npy(&format!("{order}{name}"), false, "(2, 3)", &data)).unwrap().get("arr_0").unwrap();
            assert_eq!(
                (found.dtype(), found.dims(), values(&found)),
                (dtype, &[2, 3][..], vec![0., 1., 2., 3., 4., 5.]),
                "{order}{name}"
            );
            let turned = parse(&npy(&format!("{order}{name}"), true, "(2, 3)", &data)).unwrap().get("arr_0").unwrap();
            assert_eq!(values(&turned), [0., 2., 4., 1., 3., 5.], "{order}{name} in Fortran order");
        }
    }
    let truth = parse(&npy("|b1", false, "(2,)", &[1, 0])).unwrap().get("arr_0").unwrap();
    assert_eq!(values(&truth), [1., 0.]);
    let scalar = parse(&npy("<f4", false, "()", &2f32.to_le_bytes())).unwrap().get("arr_0").unwrap();
    assert!(scalar.rank() == 0 && values(&scalar) == [2.]);
}

#[test]
fn archives_stored_and_deflated_with_what_cannot_be_read_beside() {
    let (x, words) = (npy("<f4", false, "(2,)", &[0; 8]), npy("<U3", false, "(2,)", &[0; 24]));
    for deflated in [false, true] {
        let all = archive(&[("x.npy", &x), ("words.npy", &words), ("notes.txt", b"hello")], deflated);
        let arrays = parse(&all).unwrap();
        assert_eq!(arrays.names(), ["x", "words"]);
        assert_eq!(values(&arrays.get("x").unwrap()), [0.; 2]);
        let e = arrays.get("words").unwrap_err().to_string();
        assert!(e.contains("array `words`: it holds strings (numpy's `<U3`)"), "{e}");
        assert!(arrays.get("y").unwrap_err().to_string().contains(r#"["x", "words"]"#));
        // One bit of the content.
        let mut damaged = all.clone();
        let at = damaged.windows(2).position(|w| w == b"\x93N").unwrap_or(60);
        damaged[at + 70] ^= 1;
        assert!(parse(&damaged).unwrap().get("x").is_err(), "{deflated}");
    }
    for (bytes, why) in [
        (&b"PK\x03\x04 half of a file"[..], "not whole"),
        (b"\x80\x04]\x94.", "numpy.savez"),
        (b"\x1f\x8b....", "gunzip"),
        (b"hello", "no known format"),
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (&npy("<f4", false, "(3, 5)", &[0; 8]), "needs more than the 8 bytes"),
        (&npy("<f4", false, "(99999999999, 99999999999)", &[0; 8]), "needs more"),
        (&npy("|O", false, "(1,)", b"pickled"), "Python objects"),
        (&npy("<u8", false, "(1,)", &[255; 8]), "above 2^63"),
    ] {
        let e = parse(bytes).map_err(|f| f.reason).and_then(|a| a.get("arr_0").map_err(|e| e.to_string())).unwrap_err();
        assert!(e.contains(why), "{e}");
    }
}

/// Reads everything that bytes name; whatever they are, nothing panics and what is read is no larger than the bytes allow.
fn exhaust(bytes: &[u8]) {
    let Ok(arrays) = parse(bytes) else { return };
    for name in arrays.names().iter().take(20) {
        if let Ok(t) = arrays.get(name) {
            // Deflate shrinks at most 1032 to 1; an element may widen from one byte to eight.
            assert!(t.elem_count() * t.dtype().size_in_bytes() <= bytes.len() * 1032 * 8);
        }
    }
}

fn good() -> Vec<Vec<u8>> {
    let x: Vec<u8> = (0..48).flat_map(|v| (v as f32).to_le_bytes()).collect();
    let (x, y) = (npy("<f4", false, "(3, 4, 4)", &x), npy(">i2", true, "(3, 1)", &[0, 1, 0, 2, 0, 3]));
    let t = Tensor::arange(0f32, 24f32, &Device::Cpu).unwrap();
    let tensors = [("x".to_owned(), t.reshape((2, 3, 4)).unwrap()), ("y".to_owned(), t)];
    let safe = safetensors::serialize(tensors.iter().map(|(n, t)| (n, t)), None).unwrap();
    let both: [(&str, &[u8]); 2] = [("x.npy", &x), ("y.npy", &y)];
    vec![x.clone(), archive(&both, false), archive(&both, true), safe]
}

/// A good file with some bytes changed, cut or repeated.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), any::<u8>());
    (0..good().len(), prop::collection::vec(edit, 0..8), any::<prop::sample::Index>(), 0..4u8).prop_map(
        |(which, edits, at, cut)| {
            let mut bytes = good().swap_remove(which);
            for (i, v) in edits {
                let i = i.index(bytes.len());
                bytes[i] = v;
            }
            let at = at.index(bytes.len());
            match cut {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_within(at..),
                2 => drop(bytes.drain(..at / 4)),
                _ => {}
            }
            bytes
        },
    )
}

/// As many cases as `PROPTEST_CASES` says, 2,000 without it: `PROPTEST_CASES=500000 cargo test --release -p sconce-tensor-core --lib damaged` takes
/// minutes.
fn cases() {
    let n = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(n) };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&mutated(), |bytes| {
            exhaust(&bytes);
            Ok(())
        })
        .unwrap();
    runner
        .run(&prop::collection::vec(any::<u8>(), 0..300), |mut bytes| {
            exhaust(&bytes);
            // Behind each mark.
            for mark in [&b"\x93NUMPY\x01\x00"[..], b"PK\x03\x04"] {
                bytes.splice(..0, mark.iter().copied());
                exhaust(&bytes);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn damaged_files_are_errors() {
    good().iter().for_each(|g| exhaust(g));
    cases();
}

//! Against Pillow and torchvision: `tests/images/make.py` made the files and the values.

use super::decode::decode;
use super::frame::Framed;
use super::{Frame, Pixels};
use crate::args::Sides;
use candle_core::{Device, Tensor};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images"))
}

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("golden.json")).unwrap()).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The image of `make.py`.
fn picture(h: usize, w: usize) -> Pixels {
    let byte = |i: usize| {
        let line = i / (w * 3) == h / 3;
        if line { 255 } else { ((((i as u64) * 2_654_435_761) & 0xFFFF_FFFF) >> 13) as u8 }
    };
    Pixels::new(3, (h, w), (0..h * w * 3).map(byte).collect()).unwrap()
}

fn sides(v: &Value) -> Option<Sides> {
    let n = |v: &Value| v.as_u64().unwrap() as u32;
    match v {
        Value::Null => None,
        Value::Array(a) => Some(Sides::Both(n(&a[0]), n(&a[1]))),
        one => Some(Sides::One(n(one))),
    }
}

/// Every byte is torchvision's.
#[test]
fn frames_are_those_of_torchvision() {
    let all = golden();
    for case in all["frames"].as_array().unwrap() {
        let (h, w) = (case["from"][0].as_u64().unwrap() as usize, case["from"][1].as_u64().unwrap() as usize);
        let frame = Frame { resize: sides(&case["resize"]), crop: sides(&case["crop"]) };
        let Framed { image, .. } = frame.apply(picture(h, w)).unwrap();
        let shape = serde_json::json!([image.height, image.width, image.channels]);
        assert_eq!(
            (&shape, sha256(&image.bytes).as_str()),
            (&case["shape"], case["sha256"].as_str().unwrap()),
            "{case}"
        );
    }
}

/// Every byte of a PNG file is Pillow's. Decoders of JPEG may differ by rounding and in how they enlarge colours that were stored at half the size.
#[test]
fn files_are_those_of_pillow() {
    let all = golden();
    for (name, want) in all["files"].as_object().unwrap() {
        let found = decode(&folder().join(name)).unwrap();
        let image = &found.image;
        assert_eq!(serde_json::json!([image.height, image.width, image.channels]), want["shape"], "{name}");
        if let Some(sha) = want["sha256"].as_str() {
            assert_eq!(sha256(&image.bytes), sha, "{name}");
        } else {
            let hex = want["bytes"].as_str().unwrap();
            let theirs = (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
            let off: Vec<u8> = theirs.zip(&image.bytes).map(|(a, b)| a.abs_diff(*b)).collect();
            let mean = off.iter().map(|d| f64::from(*d)).sum::<f64>() / off.len() as f64;
            let most = *off.iter().max().unwrap();
            eprintln!("{name}: largest difference {most}, mean {mean:.4}");
            assert!(most <= 8 && mean < 0.5, "{name}: largest difference {most}, mean {mean}");
        }
        assert_eq!(found.turned, name == "turned.jpg", "{name}");
        assert_eq!(found.deep, name.contains("16_bit"), "{name}");
        assert_eq!(found.transparent, name.contains("alpha") || name.contains("transparent"), "{name}");
    }
}

/// A tensor of bytes is framed like the image, and one of other values is refused.
#[test]
fn tensors_are_framed_as_bytes() {
    let (frame, image) = (Frame { resize: Some(Sides::One(9)), crop: Some(Sides::Both(7, 12)) }, picture(13, 17));
    let planes = |p: &Pixels| p.planes().map(|v| f32::from(v) / 255.0).collect::<Vec<f32>>();
    let x = Tensor::from_vec(planes(&image), (1, 3, 13, 17), &Device::Cpu).unwrap();
    let (framed, padded) = frame.tensor(&x).unwrap();
    let want = planes(&frame.apply(image).unwrap().image);
    assert_eq!((framed.dims(), padded), (&[1, 3, 7, 12][..], true));
    assert_eq!(framed.flatten_all().unwrap().to_vec1::<f32>().unwrap(), want);
    let e = frame.tensor(&(x * 0.999).unwrap()).unwrap_err().to_string();
    assert!(e.contains("image 0") && e.contains("no byte"), "{e}");
    let frame = Frame { resize: Some(Sides::One(1000)), crop: None };
    assert_eq!(frame.apply(picture(1, 2)).unwrap().image.size(), (1000, 2000));
    let e = Frame { resize: Some(Sides::One(9000)), crop: None }.apply(picture(1, 200)).unwrap_err().to_string();
    assert!(e.contains("200 x 1 pixels would become 1800000 x 9000"), "{e}");
}

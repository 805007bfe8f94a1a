//! Enhancements against Pillow, byte for byte (`golden/make_pillow.py`), and the laws of transforms.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_ssl::transforms::{Enhancement, EnhancementKind, Image, Images};
use sconce_tensor_core::candle_core::{DType, Device, Tensor};

/// Image i of the script's `draw`.
fn draw(i: u64) -> Image {
    let (c, h, w) = (if i % 2 == 1 { 3 } else { 1 }, 1 + i % 23, 1 + i * 7 % 29);
    let span = [256, 100, 17, 2, 1][(i / 2 % 5) as usize];
    let base = (i * 37) % (257 - span);
    let mut state = i.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let bytes = (0..c * h * w).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (base + (state >> 56) % span) as u8
    });
    Image::new(c as usize, h as usize, w as usize, bytes.collect()).unwrap()
}

fn enhancement(kind: &str, magnitude: &str) -> Enhancement {
    kind.parse::<EnhancementKind>().unwrap().at(magnitude.parse().unwrap()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

#[test]
fn bytes_are_those_of_pillow() {
    let images: Vec<Image> = (0..1000).map(draw).collect();
    let (mut cases, mut digests) = (0, 0);
    for line in include_str!("golden/pillow.txt").lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["case", kind, magnitude, c, h, w, input, output] => {
                let [c, h, w] = [c, h, w].map(|n| n.parse().unwrap());
                let mut image = Image::new(c, h, w, bytes(input)).unwrap();
                enhancement(kind, magnitude).apply(&mut image);
                assert_eq!(image.bytes(), bytes(output), "{kind} {magnitude} {c}x{h}x{w}");
                cases += 1;
            }
            ["digest", kind, magnitude, want] => {
                let enhancement = enhancement(kind, magnitude);
                let mut hash = 0xCBF2_9CE4_8422_2325_u64;
                for image in &images {
                    let mut image = image.clone();
                    enhancement.apply(&mut image);
                    for b in image.bytes() {
                        hash = (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01B3);
                    }
                }
                assert_eq!(format!("{hash:016x}"), want, "{kind} {magnitude}");
                digests += 1;
            }
            _ => assert!(line.starts_with('#'), "{line}"),
        }
    }
    assert_eq!((cases, digests), (52 * 5, 52));
}

fn grid() -> Vec<Enhancement> {
    let magnitudes = |kind| match kind {
        EnhancementKind::Solarize => vec![0.0, 128.0, 204.0],
        EnhancementKind::Posterize => vec![1.0, 4.0],
        EnhancementKind::Equalize | EnhancementKind::AutoContrast => vec![1.0],
        _ => vec![0.0, 0.1, 1.3, 6.0],
    };
    EnhancementKind::ALL.into_iter().flat_map(|k| magnitudes(k).into_iter().map(move |m| k.at(m).unwrap())).collect()
}

#[test]
fn rotations_and_flips_commute_with_every_enhancement() {
    for enhancement in grid() {
        for i in 0..120 {
            let image = draw(i);
            let enhanced = |mut image: Image| {
                enhancement.apply(&mut image);
                image
            };
            let after = enhanced(image.clone());
            for k in 1..4 {
                assert_eq!(enhanced(image.rotated(k)), after.rotated(k), "{enhancement}, image {i}, {k} turns");
            }
            assert_eq!(enhanced(image.flipped_horizontally()), after.flipped_horizontally(), "{enhancement}");
        }
    }
}

#[test]
fn the_identity_of_each_kind() {
    for kind in EnhancementKind::ALL {
        let identity = match kind {
            EnhancementKind::Solarize => 256.0,
            EnhancementKind::Posterize => 8.0,
            EnhancementKind::Equalize | EnhancementKind::AutoContrast => 0.0,
            _ => 1.0,
        };
        for i in 0..50 {
            let mut image = draw(i);
            kind.at(identity).unwrap().apply(&mut image);
            assert_eq!(image, draw(i), "{}", kind.name());
        }
    }
    let order = |first: Enhancement, second: Enhancement| {
        let mut image = Image::new(1, 1, 1, vec![100]).unwrap();
        first.apply(&mut image);
        second.apply(&mut image);
        image.bytes()[0]
    };
    let (bright, solar) = (EnhancementKind::Brightness.at(1.5).unwrap(), EnhancementKind::Solarize.at(128.0).unwrap());
    assert_eq!((order(bright, solar), order(solar, bright)), (105, 150), "the order of enhancements matters");
}

#[test]
fn refuses() {
    for (kind, magnitude) in [
        (EnhancementKind::Brightness, -0.1),
        (EnhancementKind::Contrast, f64::NAN),
        (EnhancementKind::Color, 1e300),
        (EnhancementKind::Solarize, 257.0),
        (EnhancementKind::Posterize, 2.5),
        (EnhancementKind::Posterize, 0.0),
        (EnhancementKind::Equalize, 0.5),
    ] {
        let e = kind.at(magnitude).unwrap_err().to_string();
        assert!(e.contains("`Enhancement.magnitude`") && e.contains(kind.name()), "{e}");
    }
    let e = "colour".parse::<EnhancementKind>().unwrap_err().to_string();
    assert!(e.contains("color, contrast") && e.contains("`colour`"), "{e}");
    for (c, h, w, n) in [(2, 1, 1, 2), (3, 2, 2, 11), (1, 0, 4, 0), (3, usize::MAX, 2, 6)] {
        assert!(Image::new(c, h, w, vec![0; n]).is_err(), "{c} {h} {w}");
    }
    assert!(Images::new((1, 2, 2), vec![0; 6]).is_err() && Images::new((1, 2, 2), vec![]).is_err());
    assert!(Images::from_images(&[draw(0), draw(1)]).is_err() && Images::from_images([]).is_err());
}

#[test]
fn only_values_in_the_unit_interval_become_images() {
    let unit = Tensor::new(&[0f32, 0.5, 1.0 / 255.0, 1.0], &Device::Cpu).unwrap().reshape((1, 1, 2, 2)).unwrap();
    let images = Images::from_unit(&unit).unwrap();
    assert_eq!(images.bytes(), [0, 128, 1, 255]);
    let normalised = ((&unit - 0.5).unwrap() / 0.5).unwrap();
    let e = Images::from_unit(&normalised).unwrap_err().to_string();
    assert!(e.contains("value -1 at flat index 0") && e.contains("before normalising"), "{e}");
    assert!(Images::from_unit(&(unit * f64::NAN).unwrap()).is_err());
    // Every byte survives the way to a tensor and back.
    let all = Images::new((1, 16, 16), (0..=255).collect()).unwrap();
    for dtype in [DType::F32, DType::F64] {
        assert_eq!(Images::from_unit(&all.to_unit(dtype, &Device::Cpu).unwrap()).unwrap(), all);
    }
    assert!(all.get(1).unwrap_err().to_string().contains("no index 1 among 1 images"));
}

#[test]
fn a_map_keeps_order_and_reports_errors() {
    let images = Images::new((1, 1, 2), (0..200).collect()).unwrap();
    let mapped = images.map(|_, i| Ok(i.flipped_horizontally())).unwrap();
    assert_eq!(mapped.bytes()[..4], [1, 0, 3, 2]);
    assert_eq!(mapped.map(|_, i| Ok(i.flipped_horizontally())).unwrap(), images);
    assert!(images.map(|i, image| if i == 7 { image.cropped((1, 0), (1, 1)) } else { Ok(image) }).is_err());
}

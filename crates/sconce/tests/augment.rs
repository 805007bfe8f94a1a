//! `augment`: from two folders of images to a third one.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;
use candle_core::{DType, Device};
use sconce_gan::domain_fusion::{SampleConfig, sample};
use sconce_gan::nets::{DcganGenerator, GeneratorConfig};
use sconce_tensor_core::{Module, Rng, store};
use serde_json::Value;
use std::path::Path;
use support::{Folder, Run, command, images, sconce};

/// Two classes with 12 images each, and an outer set with the same names.
fn folders() -> Folder {
    let f = Folder::new();
    images(&f.path("target"), 12, 1);
    images(&f.path("outer"), 20, 2);
    f
}

const SMALL: [&str; 8] = ["--width", "2", "--batch", "4", "--per-class", "3", "--device", "cpu"];

fn augment(f: &Folder, out: &str, more: &[&str]) -> Run {
    let (target, outer, out) = (f.text("target"), f.text("outer"), f.text(out));
    sconce(&[&["augment", "--target", &target, "--outer", &outer, "--out", &out], &SMALL[..], more].concat())
}

/// The bytes of every image of a folder, by name.
fn pictures(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for class in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(class.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            all.push((name, image::open(&path).unwrap().into_luma8().into_raw()));
        }
    }
    all.sort();
    all
}

#[test]
fn images_are_made_by_class() {
    let f = folders();
    let (json, model) = (f.text("r.json"), f.text("g.safetensors"));
    let run = augment(&f, "made", &["--steps", "30", "--seed", "4", "--json", &json, "--model-out", &model]).well();
    let made = pictures(&f.path("made"));
    let names: Vec<&str> = made.iter().map(|p| p.0.as_str()).collect();
    assert_eq!(names, ["a/00000.png", "a/00001.png", "a/00002.png", "b/00000.png", "b/00001.png", "b/00002.png"]);
    let kind = image::open(f.path("made/a/00000.png")).unwrap();
    assert_eq!((kind.color(), kind.width(), kind.height()), (image::ColorType::L8, 8, 8));
    assert!(!f.path("made.partial").exists());
    for want in ["class", "held out", "KID", "distance ratio", "MS-SSIM of pairs", "wrote "] {
        assert!(run.out.contains(want), "{want}: {}", run.out);
    }
    for want in [
        "joint: step 30 of 30",
        "D is right on",
        "of held-out images",
        "learned as two classes each: a, b",
        "24 images of 2 classes, 2 of them held out",
    ] {
        assert!(run.err.contains(want), "{want}: {}", run.err);
    }
    let read: Value = serde_json::from_str(&f.read("r.json")).unwrap();
    assert_eq!(
        (read["schema"].as_u64(), read["command"].as_str(), read["arm"].as_str()),
        (Some(1), Some("augment"), Some("joint"))
    );
    let row = &read["classes"][1];
    assert_eq!(
        (row["class"].as_str(), row["target"].as_u64(), row["held_out"].as_u64()),
        (Some("b"), Some(12), Some(1))
    );
    assert_eq!(read["phases"][0]["report"]["epochs"].as_array().unwrap().len(), 15);
    assert!(read["fidelity"]["kid"]["generated"]["value"]["estimate"].is_number());

    // The saved generator gives the same images.
    let (tensors, meta) = store::load(model.as_ref(), &Device::Cpu).unwrap();
    let meta: Value = serde_json::from_str(&meta).unwrap();
    assert_eq!((meta["format"].as_str(), meta["classes"].as_u64()), (Some("sconce generator 1"), Some(4)));
    let cfg = GeneratorConfig { side: 8, classes: 4, width: 2, ..GeneratorConfig::default() };
    let g = DcganGenerator::new(cfg, Rng::new(9), DType::F32, &Device::Cpu).unwrap();
    g.params().restore(&tensors).unwrap();
    let drawn = sample(&g, SampleConfig { classes: 2, per_class: 3, batch: 4 }, &Rng::new(4)).unwrap();
    let first: Vec<f32> = drawn.x().get(1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let bytes: Vec<u8> = first.iter().map(|v| (v * 255.0).round() as u8).collect();
    assert_eq!(bytes, made[3].1, "the second sample is the first of class b");
}

/// Killed in the middle and started again, the run ends with the same images; until then there is no folder of the result.
#[test]
fn an_interrupted_run_continues() {
    let f = folders();
    let arm = ["--arm", "fine-tuned", "--steps", "120", "--outer-steps", "60"];
    augment(&f, "whole", &arm).well();
    let (target, outer, out) = (f.text("target"), f.text("outer"), f.text("parts"));
    let words = [&["augment", "--target", &target, "--outer", &outer, "--out", &out], &SMALL[..], &arm].concat();
    let mut child =
        command(&words).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let kept = f.path("parts.partial/target.checkpoint");
    while !kept.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!f.path("parts").exists() && kept.exists());
    // As if an earlier run had been killed while it wrote.
    std::fs::create_dir_all(f.path("parts.partial/images/a")).unwrap();
    f.write("parts.partial/images/a/99999.png", "half");
    // Other arguments do not continue it.
    let e = sconce(&[&words[..], &["--seed", "1"]].concat()).failed();
    assert!(e.contains("rng") && e.contains("parts.partial"), "{e}");
    let again = sconce(&words).well();
    assert!(!again.err.contains("outer: step"), "the first phase is done: {}", again.err);
    assert_eq!(pictures(&f.path("parts")), pictures(&f.path("whole")));
    assert!(!f.path("parts.partial").exists());
    // Nothing is overwritten.
    let e = sconce(&words).failed();
    assert!(e.contains("--out") && e.contains("none is overwritten"), "{e}");
}

#[test]
fn every_arm_trains() {
    let f = folders();
    for (arm, phases) in [("target-only", &["target"][..]), ("freeze-d", &["outer", "target"])] {
        let json = f.text("r.json");
        augment(&f, arm, &["--arm", arm, "--steps", "2", "--json", &json, "--net", "resnet", "-q"]).well();
        let read: Value = serde_json::from_str(&f.read("r.json")).unwrap();
        let names: Vec<&str> =
            read["phases"].as_array().unwrap().iter().map(|p| p["phase"].as_str().unwrap()).collect();
        assert_eq!(names, phases);
        assert_eq!(pictures(&f.path(arm)).len(), 6);
    }
    // As many steps as were asked for, in each phase; the share of the target is nothing to these arms.
    let json = f.text("r.json");
    let few = ["--steps", "41", "--outer-steps", "3", "--target-weight", "0", "--lr", "1e-4", "--json", &json, "-q"];
    augment(&f, "few", &[&["--arm", "fine-tuned"], &few[..]].concat()).well();
    let read: Value = serde_json::from_str(&f.read("r.json")).unwrap();
    let steps = |i: usize| read["phases"][i]["steps"].as_u64();
    assert_eq!((steps(0), steps(1), read["lr"].as_f64()), (Some(3), Some(42), Some(1e-4)));
    augment(&f, "alone", &["--arm", "target-only", "--steps", "1", "--target-weight", "0"]).well();
    let e = augment(&f, "x", &["--arm", "freeze-d", "--frozen-blocks", "8"]).failed();
    assert!(e.contains("--frozen-blocks 8: the discriminator has"), "{e}");
    let (target, out) = (f.text("target"), f.text("y"));
    let alone = ["augment", "--target", &target, "--out", &out];
    let e = sconce(&alone).failed();
    assert!(e.contains("--outer") && e.contains("--arm target-only"), "{e}");
}

/// Images in colour, of other sizes than squares, in a folder without classes.
#[test]
fn odd_images_are_resized_or_refused() {
    let f = folders();
    std::fs::create_dir(f.path("wide")).unwrap();
    for i in 0..3u8 {
        let fill = image::Rgb([20 * i, 60, 200]);
        image::RgbImage::from_pixel(12, 9, fill).save(f.path("wide").join(format!("{i}.png"))).unwrap();
    }
    let run = |more: &[&str]| {
        let words = [&["augment", "--arm", "target-only", "--steps", "2"], &SMALL[..], more].concat();
        sconce(&words)
    };
    let (wide, out) = (f.text("wide"), f.text("out"));
    let e = run(&["--target", &wide, "--out", &out]).failed();
    assert!(e.contains("--target: images of 12 x 9 pixels") && e.contains("--resize 32"), "{e}");
    assert!(!f.path("out.partial").exists(), "nothing is made before the input is known");
    run(&["--target", &wide, "--out", &out, "--resize", "8", "--held-out", "0.4"]).well();
    // Without subfolders there is one class, and none in the result.
    let made = image::open(f.path("out/00002.png")).unwrap();
    assert_eq!((made.color(), made.width()), (image::ColorType::Rgb8, 8));

    std::fs::create_dir_all(f.path("bright/c")).unwrap();
    // All pixels are light, which is no mistake.
    image::GrayImage::from_pixel(8, 8, image::Luma([130])).save(f.path("bright/c/1.png")).unwrap();
    let told = run(&["--target", &f.text("bright"), "--out", &f.text("o")]).well();
    assert!(
        told.err.contains("the class `c` of --target has one image") && told.err.contains("nothing is held out"),
        "{}",
        told.err
    );
    let e = run(&["--target", &f.text("target"), "--out", &f.text("p"), "--held-out", "1"]).failed();
    assert!(e.contains("nothing of the class `a` would be left"), "{e}");
    image::GrayImage::from_pixel(4, 4, image::Luma([100])).save(f.path("bright/c/1.png")).unwrap();
    let e = run(&["--target", &f.text("bright"), "--out", &f.text("p")]).failed();
    assert!(e.contains("sides of 8 to 128; --resize SIDE"), "{e}");
    assert!(run(&["--target", &wide, "--out", &f.text("p"), "--resize", "4"]).fails(2).contains("8..=128"));
}

#[test]
fn outputs_and_places_are_checked_first() {
    let f = folders();
    let e = augment(&f, "out", &["--model-out", "-"]).failed();
    assert!(e.contains("--model-out -: a generator is no text"), "{e}");
    assert!(
        augment(&f, "out", &["--json", &f.text("no/such/r.json")]).failed().contains("does not exist; create it first")
    );
    let e = augment(&f, "target", &[]).failed();
    assert!(e.contains("none is overwritten"), "{e}");
    let e = augment(&f, "outer/made", &[]).failed();
    assert!(
        e.contains("--outer") && e.contains("one inside the other") && !f.path("outer/made.partial").exists(),
        "{e}"
    );
    let e = augment(&f, "out", &["--target-weight", "0"]).failed();
    assert!(e.contains("--target-weight 0: the arm joint"), "{e}");
    assert!(augment(&f, "out", &["--lr", "0"]).fails(2).contains("--lr"));
    // Images are in place before they are measured: here the JSON cannot be written at the end.
    let json = f.text("r.json");
    let (target, outer, out) = (f.text("target"), f.text("outer"), f.text("late"));
    let words = ["augment", "--target", &target, "--outer", &outer, "--out", &out, "--json", &json, "--steps", "60"];
    let mut child = command(&[&words[..], &SMALL].concat()).stderr(std::process::Stdio::null()).spawn().unwrap();
    while !f.path("late.partial").exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::fs::create_dir(f.path("r.json")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(pictures(&f.path("late")).len(), 6);
    let e = augment(&f, "late", &["--steps", "60"]).failed();
    assert!(e.contains("none is overwritten") && e.contains("goes on from") && e.contains("late.partial"), "{e}");
    std::fs::rename(f.path("late"), f.path("moved")).unwrap();
    augment(&f, "late", &["--steps", "60"]).well();
    assert_eq!(pictures(&f.path("late")), pictures(&f.path("moved")));
    assert!(!f.path("late.partial").exists());
    std::fs::create_dir(f.path("out.partial")).unwrap();
    f.write("out.partial/thesis.txt", "mine");
    let e = augment(&f, "out", &["--steps", "2"]).failed();
    assert!(e.contains("out.partial") && e.contains("not of this command"), "{e}");
    assert_eq!(f.read("out.partial/thesis.txt"), "mine");
}

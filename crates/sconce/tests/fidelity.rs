//! `fidelity`: generated images against real ones.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;
use candle_core::{DType, Device, Tensor};
use sconce_gan::fidelity::{
    ClassWiseConfig, Features, FidConfig, Generated, HeldOut, KidConfig, Manifold, PrdcConfig, Real, Resize, Source,
    class_wise, fid, in_context, kid, memorisation, prdc,
};
use sconce_tensor_core::Rng;
use sconce_tensor_core::nets::load;
use serde_json::Value;
use support::{Folder, fixture, images, sconce};

/// Images (N, 1, 8, 8) in [0, 1].
fn tensor(bytes: &[Vec<u8>]) -> Tensor {
    let x = Tensor::from_vec(bytes.concat(), (bytes.len(), 1, 8, 8), &Device::Cpu).unwrap();
    (x.to_dtype(DType::F32).unwrap() / 255.0).unwrap()
}

fn features(rows: &Tensor) -> Features {
    let source = Source { extractor: "e".into(), resize: Resize::None, split: "s".into() };
    Features::new(rows, source).unwrap()
}

fn pixels(bytes: &[Vec<u8>]) -> Features {
    features(&tensor(bytes).flatten_from(1).unwrap())
}

fn number(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("{v}"))
}

/// The numbers are the library's, those beside them too.
#[test]
fn numbers_are_those_of_the_library() {
    let f = Folder::new();
    let [real, made, train] =
        [("real", 70, 1), ("made", 35, 2), ("train", 34, 3)].map(|(n, k, s)| images(&f.path(n), k, s));
    let words =
        ["fidelity", "--real", &f.text("real"), "--generated", &f.text("made"), "--device", "cpu", "--seed", "5"];
    let out = sconce(&[&words[..], &["--train", &f.text("train"), "--json", "-", "--batch", "7"]].concat()).json();
    assert_eq!((out["schema"].as_u64(), out["command"].as_str()), (Some(1), Some("fidelity")));
    assert_eq!((&out["extractor"], &out["resize"], &out["features"]), (&"pixels".into(), &"None".into(), &64.into()));
    let [real, made, train] = [&real, &made, &train].map(|b| pixels(b));
    let rng = Rng::new(5);
    let of_fid = |r: &Features, g: &Features| fid(Real(r), Generated(g), &FidConfig::default()).unwrap().value;
    assert_eq!(number(&out["fid"]["generated"]["value"]), of_fid(&real, &made));
    let rows: Vec<usize> = rng.stream("copies").below(70, 68).into_iter().map(|i| i as usize).collect();
    assert_eq!(number(&out["fid"]["training"]["value"]), of_fid(&real, &train.select(&rows, "copies").unwrap()));
    let all = in_context(Real(&real), Real(&train), Generated(&made), &rng, |r, g| {
        kid(r, g, &KidConfig::default(), &rng.stream("kid"))
    });
    for (name, score) in [("generated", all.generated), ("real", all.real_against_real), ("training", all.copies)] {
        let score = score.unwrap();
        assert_eq!(number(&out["kid"][name]["value"]["estimate"]), score.value.estimate, "{name}");
        assert_eq!(out["kid"][name]["value"]["standard_error"].as_f64(), score.value.standard_error, "{name}");
    }
    let balls = |f: &Features| Manifold::new(f, 5).unwrap();
    let score = prdc(Real(&balls(&real)), Generated(&balls(&made)), &PrdcConfig::default()).unwrap().value;
    let told = &out["prdc"]["generated"]["value"];
    let told = ["precision", "recall", "density", "coverage"].map(|n| number(&told[n]));
    assert_eq!(told, [score.precision, score.recall, score.density, score.coverage]);
    let score = memorisation(Real(&train), HeldOut(&real), Generated(&made)).unwrap().value;
    assert_eq!(number(&out["memorisation"]["value"]["median_ratio"]), score.median_ratio);
    let labels = |n: usize| (0..n).map(|i| u32::from(i >= n / 2)).collect::<Vec<_>>();
    let (yr, yg) = (labels(140), labels(70));
    let config = ClassWiseConfig::default();
    let by_class = class_wise(Real((&real, &yr)), Generated((&made, &yg)), &config, &rng).unwrap();
    for (row, want) in out["classes"].as_array().unwrap().iter().zip(&by_class.classes) {
        assert_eq!(number(&row["kid"]["value"]["estimate"]), want.kid.value.estimate);
        assert!(row["fid"].is_null() && want.fid.is_none(), "35 images of 64 features");
    }
    assert_eq!(out["classes"][1]["class"], "b");
    // Another batch, without the training images: the same numbers, and half of the real ones for memorisation.
    let again = sconce(&[&words[..], &["--json", "-"]].concat()).json();
    assert_eq!(
        (&again["kid"]["generated"], &again["ms_ssim"]["real"]),
        (&out["kid"]["generated"], &out["ms_ssim"]["real"])
    );
    assert_eq!(again["memorised"], "a random half of the real images");
    assert!(again["kid"].get("training").is_none());
}

#[test]
fn a_classifier_and_a_trunk_give_features() {
    let f = Folder::new();
    fixture(f.0.path(), 4, 1.0);
    let (real, made) = (images(&f.path("real"), 20, 1), images(&f.path("made"), 15, 2));
    let words = ["fidelity", "--real", &f.text("real"), "--generated", &f.text("made"), "--device", "cpu"];
    let file = f.text("net.safetensors");
    let model = ["--model", &file, "--arch", "smallcnn"];
    let out = sconce(&[&words[..], &model, &["--json", "-"]].concat()).json();
    let net =
        load::load("smallcnn".parse().unwrap(), file.as_ref(), (1, 8, 8), None, DType::F32, &Device::Cpu).unwrap();
    let of = |b: &[Vec<u8>]| features(&net.features(&tensor(b)).unwrap());
    let want = fid(Real(&of(&real)), Generated(&of(&made)), &FidConfig::default()).unwrap().value;
    assert_eq!((number(&out["fid"]["generated"]["value"]), out["features"].as_u64()), (want, Some(8)));
    let score = number(&out["inception_score"]["generated"]["value"]["mean"]);
    assert!((1.0..=4.0).contains(&score), "{score}");
    assert!(out["extractor"].as_str().unwrap().contains("sha256"), "{}", out["extractor"]);

    let trunk = f.text("trunk.safetensors");
    let train =
        ["pretrain", "--data", &f.text("real"), "--widths", "4,6", "--epochs", "1", "--batch", "20", "--out", &trunk];
    sconce(&train).well();
    // It takes images in colour, and grey ones as such.
    let out = sconce(&[&words[..], &["--trunk", &trunk, "--json", "-"]].concat()).json();
    assert_eq!(out["features"], 6);
    assert!(out["inception_score"].is_null());

    assert!(sconce(&[&words[..], &["--model", &file]].concat()).fails(2).contains("--arch"));
    assert!(sconce(&[&words[..], &model, &["--trunk", &trunk]].concat()).fails(2).contains("cannot be used with"));
    image::RgbImage::from_pixel(8, 8, image::Rgb([1, 2, 3])).save(f.path("made/a/0000.png")).unwrap();
    let e = sconce(&[&words[..], &model].concat()).failed();
    assert!(e.contains("--model: the network does not take these images of 3 channels and 8 x 8 pixels"), "{e}");
}

/// A generator that gives back its training images has the best numbers, and is told.
#[test]
fn copies_are_told() {
    let f = Folder::new();
    for (name, n, seed) in [("real", 60, 1), ("train", 60, 2), ("copied", 60, 2)] {
        images(&f.path(name), n, seed);
    }
    let words = ["fidelity", "--real", &f.text("real"), "--generated", &f.text("copied")];
    let run = sconce(&[&words[..], &["--train", &f.text("train")]].concat()).well();
    for want in [
        "120 of the 120 generated images are training images, byte by byte",
        "may be copies of the training images: 100 %",
        "raw pixels",
    ] {
        assert!(run.err.contains(want), "{want}: {}", run.err);
    }
    assert!(run.out.contains("distance ratio      0.0000"), "{}", run.out);
    for want in [
        "60 of them, chosen at random, are compared with the other 60",
        "at 60 against 60 images; the generated images are 120 against 120",
        "120 draws with replacement from the 120",
        "1st percentile of the 120 real distances; without copies a share of about 0.018",
        "take the images of the other side as given",
    ] {
        assert!(run.out.contains(want), "{want}: {}", run.out);
    }
    // The same images as real and as training ones.
    let run = sconce(&[&words[..], &["--train", &f.text("real")]].concat()).well();
    assert!(run.err.contains("120 of the 120 images of --real are in --train too"), "{}", run.err);
    assert!(run.out.contains("remove those from the held-out images"), "{}", run.out);
    images(&f.path("other"), 60, 9);
    let run = sconce(&["fidelity", "--real", &f.text("real"), "--generated", &f.text("other")]).well();
    assert!(!run.err.contains("copies"), "{}", run.err);
}

#[test]
fn a_metric_that_does_not_suit_leaves_the_others() {
    let f = Folder::new();
    images(&f.path("real"), 20, 1);
    images(&f.path("made"), 2, 2);
    let words = ["fidelity", "--real", &f.text("real"), "--generated", &f.text("made")];
    let run = sconce(&words).well();
    assert!(run.out.contains("64 features need 65 images on each side or more, and here are 4"), "{}", run.out);
    assert!(run.out.contains("it needs at least 6 images") && run.err.contains("read the KID"), "{}", run.out);
    let kid = run.out.lines().find(|l| l.starts_with("KID")).unwrap().to_owned();
    assert!(kid.contains('[') && !kid.contains("refused"), "{kid}");
    // Fewer pixels are fewer features.
    let out = sconce(&[&words[..], &["--resize", "2", "--json", "-"]].concat()).json();
    assert_eq!(out["features"], 4);
    assert!(out["resize"]["Rule"].as_str().unwrap().ends_with("8 x 8 to 2 x 2"), "{}", out["resize"]);
    assert!(out["ms_ssim"]["generated"]["refused"].as_str().unwrap().contains("7 pixels"), "{}", out["ms_ssim"]);
    // One image on each side.
    for name in ["one", "other"] {
        std::fs::create_dir(f.path(name)).unwrap();
        std::fs::copy(f.path("real/a/0000.png"), f.path(name).join("x.png")).unwrap();
    }
    let run = sconce(&["fidelity", "--real", &f.text("one"), "--generated", &f.text("other")]).well();
    assert!(run.out.contains("one real image has no two halves"), "{}", run.out);
    // Other classes than the real ones.
    std::fs::rename(f.path("made/b"), f.path("made/c")).unwrap();
    assert!(sconce(&words).well().out.contains("the class `c` of --generated is not one of --real"));
}

/// Classes of a data set, and those of a folder that `augment` made of it.
#[test]
fn classes_of_a_data_set_are_found_in_a_folder() {
    let f = Folder::new();
    for class in ["T-shirt-top", "Ankle boot"] {
        std::fs::create_dir_all(f.path("made").join(class)).unwrap();
        for i in 0..3 {
            image::GrayImage::from_pixel(28, 28, image::Luma([i]))
                .save(f.path("made").join(class).join(format!("{i}.png")))
                .unwrap();
        }
    }
    let words = ["fidelity", "--real", "fashion-mnist:embedded", "--generated", &f.text("made"), "--resize", "8"];
    let out = sconce(&[&words[..], &["--json", "-"]].concat()).json();
    let rows = out["classes"].as_array().unwrap();
    assert_eq!(
        (rows.len(), &rows[0]["class"], &rows[0]["generated"], &rows[1]["generated"]),
        (10, &"T-shirt/top".into(), &3.into(), &0.into())
    );
    assert!(rows[1]["kid"]["refused"].as_str().unwrap().contains("two images"), "{}", rows[1]);
}

#[test]
fn a_page_shows_the_nearest_images() {
    let f = Folder::new();
    images(&f.path("real"), 10, 1);
    images(&f.path("made"), 10, 2);
    let words =
        ["fidelity", "--real", &f.text("real"), "--generated", &f.text("made"), "-q", "--out", &f.text("p.html")];
    let run = sconce(&words).well();
    assert!(run.err.lines().all(|l| l.starts_with("warning: ")), "{}", run.err);
    assert!(run.out.lines().last().unwrap().starts_with("wrote "), "{}", run.out);
    let page = f.read("p.html");
    for want in ["The nearest of all", "good is", "By class", "raw pixels", "data:image/png", "Provenance"] {
        assert!(page.contains(want), "{want}");
    }
    assert!(!page.contains("src=\"http") && !page.contains("<script"));
}

#[test]
fn bad_inputs_are_named() {
    let f = Folder::new();
    images(&f.path("real"), 3, 1);
    images(&f.path("made"), 3, 2);
    let run =
        |real: &str, made: &str| sconce(&["fidelity", "--real", &f.text(real), "--generated", &f.text(made)]).failed();
    std::fs::create_dir(f.path("empty")).unwrap();
    let e = run("real", "empty");
    assert!(e.contains("--generated: ") && e.contains("empty: there are no .png, .jpg or .jpeg files"), "{e}");
    let e = run("nowhere", "made");
    assert!(e.contains("--real: no file") && e.contains("no data set of that name"), "{e}");
    let save = |name: &str, w, h| {
        std::fs::create_dir_all(f.path(name)).unwrap();
        image::GrayImage::new(w, h).save(f.path(name).join(format!("{w}.png"))).unwrap();
    };
    save("wide", 9, 8);
    let e = run("real", "wide");
    assert!(e.contains("--generated: images of 9 x 8 pixels, but --real has 8 x 8; --resize 8"), "{e}");
    save("wide", 8, 8);
    let e = run("real", "wide");
    assert!(e.contains("9.png: 9 x 8 pixels, but") && e.contains("--resize SIDE"), "{e}");
    f.write("made/a/0001.png", "no image");
    let e = run("real", "made");
    assert!(e.contains("made/a/0001.png: the image is damaged"), "{e}");
    let clear = image::RgbaImage::from_pixel(8, 8, image::Rgba([0, 0, 0, 9]));
    clear.save(f.path("made/a/0001.png")).unwrap();
    assert!(run("real", "made").contains("transparent pixels"));
}

//! `attack` and `dossier` on folders of images.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;
use candle_core::{DType, Device};
use sconce_tensor_core::formats::Arrays;
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::{Module, Rng};
use serde_json::Value;
use std::path::Path;
use support::numpy::{npy, npz};
use support::{Folder, Run, fixture, sconce};

const CLASSES: [&str; 4] = ["1 bottom", "0 top", "Z", "a"];

/// The network of `fixture`, and its images as files of grey, 8 x 8 pixels: class k in the folder whose name is the k-th by its bytes.
fn setup() -> (Folder, Vec<Vec<u8>>) {
    let f = Folder::new();
    fixture(f.0.path(), 16, 1.0);
    let arrays = Arrays::open(&f.path("data.safetensors")).unwrap();
    let x: Vec<f32> = arrays.get("x").unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let images: Vec<Vec<u8>> =
        x.chunks(64).map(|one| one.iter().map(|v| (v * 255.0).round() as u8).collect()).collect();
    let mut names = CLASSES;
    names.sort_unstable();
    for (i, bytes) in images.iter().enumerate() {
        let folder = f.path("images").join(names[i % 4]);
        std::fs::create_dir_all(&folder).unwrap();
        grey(&folder.join(format!("{i:02}.png")), bytes, (8, 8));
    }
    (f, images)
}

fn grey(path: &Path, bytes: &[u8], (w, h): (u32, u32)) {
    image::GrayImage::from_raw(w, h, bytes.to_vec()).unwrap().save(path).unwrap();
}

fn attack(f: &Folder, data: &str, more: &[&str]) -> Run {
    let model = f.text("net.safetensors");
    let first =
        ["attack", "--model", &model, "--arch", "smallcnn", "--data", data, "--device", "cpu", "--suite", "quick"];
    sconce(&[&first[..], more].concat())
}

/// At radius 0, where no attack runs: for what is read.
fn clean(f: &Folder, more: &[&str]) -> Run {
    let words = ["--threat", "linf:0", "--json", "-"];
    attack(f, &f.text("images"), &[&words[..], more].concat())
}

fn files(told: &Value) -> Vec<String> {
    told["files"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

/// A folder and an array of the same bytes in the order of the report give the same numbers, and one ledger, whose digest is of every value.
#[test]
fn a_folder_is_an_array_of_its_images() {
    let (f, images) = setup();
    let words = ["--threat", "linf:0.05", "--json", "-", "--ledger", &f.text("ledger")];
    let folder = attack(&f, &f.text("images"), &words);
    let told = folder.json();
    let order = files(&told);
    let row = |name: &String| name[name.len() - 6..name.len() - 4].parse::<usize>().unwrap();
    let rows: Vec<usize> = order.iter().map(row).collect();
    let mut sorted = rows.clone();
    sorted.sort_unstable();
    assert!(sorted == (0..16).collect::<Vec<_>>() && rows != sorted, "shuffled: {rows:?}");
    let notes = told["data_notes"][0].as_str().unwrap();
    assert_eq!(notes, "16 images of 4 classes, in a shuffled order with the fixed seed 0");
    let bytes: Vec<u8> = rows.iter().flat_map(|i| images[*i].clone()).collect();
    let labels: Vec<u8> = rows.iter().map(|i| (i % 4) as u8).collect();
    let arrays = [("x", npy("|u1", false, "(16, 1, 8, 8)", &bytes)), ("y", npy("|u1", false, "(16,)", &labels))];
    std::fs::write(f.path("a.npz"), npz(&arrays, false)).unwrap();
    let array = attack(&f, &f.text("a.npz"), &words).json();
    assert_eq!(
        (&array["robust"], &array["attacks"], &array["clean"]),
        (&told["robust"], &told["attacks"], &told["clean"])
    );
    assert!(told["clean"]["correct"].as_u64().unwrap() >= 14, "{}", told["clean"]);
    // Resized and cropped, both give the same values too.
    let words =
        ["--threat", "linf:0.05", "--json", "-", "--resize", "12x9", "--crop", "8", "--ledger", &f.text("other")];
    let told = attack(&f, &f.text("images"), &words).json();
    assert_eq!(attack(&f, &f.text("a.npz"), &words).json()["attacks"], told["attacks"]);
    assert!(told["data_notes"][1].as_str().unwrap().contains("resized to 9 x 12 pixels (bilinear with antialiasing"));
    // Some examples are the first of all, and the page says which they were.
    let words = ["--threat", "linf:0.1", "--json", "-", "--examples", "5", "--html", &f.text("r.html")];
    let some = attack(&f, &f.text("images"), &words).json();
    assert_eq!((files(&some), some["clean"]["examples"].as_u64()), (order[..5].to_vec(), Some(5)));
    let page = f.read("r.html");
    assert!(page.contains("5 of 16 images of 4 classes, in a shuffled order") && page.contains(".png)"), "{page}");
    assert!(CLASSES.iter().filter(|c| page.contains(*c)).count() >= 3, "the folders name the classes");
}

#[test]
fn a_file_numbers_the_classes() {
    let (f, _) = setup();
    let right = clean(&f, &[]).json()["clean"]["correct"].as_u64().unwrap();
    let classes = f.text("classes.txt");
    let with = |text: &str| {
        f.write("classes.txt", text);
        clean(&f, &["--classes", &classes])
    };
    assert_eq!(with("0 top\n1 bottom\nZ\na\n\n").json()["clean"]["correct"], right);
    // With two names changed, the images of two classes have the wrong label.
    assert!(with("1 bottom\r\n0 top\r\nZ\r\na\r\n").json()["clean"]["correct"].as_u64().unwrap() <= right / 2 + 1);
    for (text, want) in [
        ("0 top\n1 bottom\nZ\nb\n", r#"the folders ["a"] are on none of its 4 lines"#),
        ("0 top\n1 bottom\nZ\na\nZ\n", "`Z` is on the lines 3 and 5"),
        ("0 top\n\n1 bottom\nZ\na\n", "line 2 is empty"),
        ("\n", "the file is empty"),
        ("0 top\n1 bottom\nZ\na\nb\n", "5 lines of --classes, but the network has 4 outputs"),
    ] {
        let e = with(text).fails(1);
        assert!(e.contains(want) && e.lines().count() == 1, "{want}: {e}");
    }
    let e = attack(&f, &f.text("data.safetensors"), &["--classes", &classes]).fails(1);
    assert!(e.contains("--classes numbers the folders of a folder of images"), "{e}");
    let e = clean(&f, &["--x-name", "x"]).fails(1);
    assert!(e.contains("--x-name and --y-name name arrays of a file"), "{e}");
    let e = clean(&f, &["--resize", "8x"]).fails(2);
    assert!(e.contains("must be N or HxW"), "{e}");
    // A folder without images keeps its number; one more than the outputs is too many.
    std::fs::remove_dir_all(f.path("images/a")).unwrap();
    let told = clean(&f, &[]).json();
    assert!(told["data_notes"].to_string().contains("3 folders of classes for 4 outputs of the network"), "{told}");
    std::fs::create_dir(f.path("images/0 to")).unwrap();
    let shifted = clean(&f, &[]).json();
    let notes = shifted["data_notes"].to_string().replace('\\', "");
    assert!(notes.contains(r#"class folders without images, which keep their numbers: ["0 to"]"#), "{notes}");
    assert!(shifted["clean"]["correct"].as_u64() < told["clean"]["correct"].as_u64());
    ["b", "c"].iter().for_each(|c| std::fs::create_dir(f.path("images").join(c)).unwrap());
    let e = clean(&f, &[]).fails(1);
    assert!(e.contains("6 folders of classes, but the network has 4 outputs") && e.contains("--classes FILE"), "{e}");
}

#[test]
fn what_is_no_image_is_an_error_or_a_note() {
    let (f, images) = setup();
    let before = clean(&f, &[]).json();
    let at = |name: &str| f.path("images").join(name);
    for (name, bytes) in [
        ("Z/.hidden.png", &b"no image"[..]),
        ("Z/.DS_Store", b"x"),
        (".git/01.png", b"x"),
        ("Z/notes.txt", b"x"),
        ("Z/Thumbs.db", b"x"),
        ("loose.png", b"x"),
        ("README.md", b"x"),
    ] {
        std::fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        std::fs::write(at(name), bytes).unwrap();
    }
    let told = clean(&f, &[]).json();
    assert_eq!((&told["clean"], &told["files"]), (&before["clean"], &before["files"]));
    let notes = told["data_notes"].to_string();
    for want in [
        "images outside of the folders of the classes, which are ignored: 1",
        "(their names start with a point), which are ignored: 2",
        "neither .png, .jpg nor .jpeg, which are ignored: 2",
    ] {
        assert!(notes.contains(want), "{want}: {notes}");
    }
    let png = std::fs::read(at("Z/02.png")).unwrap();
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/images/");
    let jpeg = std::fs::read(format!("{cases}420.jpg")).unwrap();
    let wrong = |name: &str, bytes: &[u8]| {
        std::fs::write(at(name), bytes).unwrap();
        let e = clean(&f, &["--resize", "8x8"]).fails(1);
        std::fs::remove_file(at(name)).unwrap();
        assert!(e.contains(name) && e.lines().count() == 1, "{name}: {e}");
        e
    };
    for (name, bytes, want) in [
        ("Z/cut.png", &png[..png.len() - 20], "damaged or cut short"),
        ("Z/cut.jpg", &jpeg[..jpeg.len() - 40], "ends before its image does"),
        ("Z/text.jpeg", b"no image", "neither PNG nor JPEG"),
        ("Z/empty.png", b"", "the file is empty"),
        ("Z/x.bmp", b"BM", "magick mogrify -format png *.bmp"),
        ("Z/gif.png", b"GIF89a........", "neither PNG nor JPEG"),
    ] {
        let e = wrong(name, bytes);
        assert!(e.contains(want), "{name}: {e}");
    }
    let e = wrong("Z/deep.png", &std::fs::read(format!("{cases}grey_16_bit.png")).unwrap());
    assert!(e.contains("a grey image of 16 bits") && e.contains("-depth 8"), "{e}");
    // JPEG under the name of PNG is what it is; and a size of its own needs an option.
    std::fs::write(at("Z/jpeg.png"), std::fs::read(format!("{cases}grey.jpg")).unwrap()).unwrap();
    let e = clean(&f, &[]).fails(1);
    let both = e.contains("40 x 24 pixels, but ") && e.contains("has 8 x 8")
        || e.contains("8 x 8 pixels, but ") && e.contains("has 40 x 24");
    assert!(both && e.contains("jpeg.png") && e.contains("--resize N (the shorter side) with --crop N"), "{e}");
    let e = clean(&f, &["--resize", "8"]).fails(1);
    assert!(e.contains("13 x 8") && e.contains("after resizing") && e.contains("--crop N takes the central"), "{e}");
    assert_eq!(clean(&f, &["--resize", "8", "--crop", "8"]).json()["clean"]["examples"], 17);
    std::fs::remove_file(at("Z/jpeg.png")).unwrap();
    // In several sizes, what is smaller than the crop has black around it, and that is said.
    grey(&at("Z/small.png"), &images[2][..48], (8, 6));
    let told = clean(&f, &["--crop", "8"]).json();
    assert!(told["data_notes"].to_string().contains("black surrounds them: 1 images, the first is"), "{told}");
}

#[test]
fn folders_that_hold_no_classes() {
    let (f, images) = setup();
    let at = |name: &str| {
        std::fs::create_dir_all(f.path(name)).unwrap();
        attack(&f, &f.text(name), &[]).fails(1)
    };
    let e = at("none");
    assert!(e.contains("none: there is no folder in it; a folder for each class is needed"), "{e}");
    std::fs::create_dir_all(f.path("flat")).unwrap();
    grey(&f.path("flat").join("a.png"), &images[0], (8, 8));
    let e = at("flat");
    assert!(e.contains("(1 images lie in it without a class)"), "{e}");
    std::fs::create_dir_all(f.path("bare/a")).unwrap();
    let e = at("bare");
    assert!(e.contains("no .png, .jpg or .jpeg files in its 1 folders"), "{e}");
    std::fs::create_dir_all(f.path("splits/test/a")).unwrap();
    std::fs::create_dir_all(f.path("splits/train/a")).unwrap();
    grey(&f.path("splits/test/a/a.png"), &images[0], (8, 8));
    let e = at("splits");
    assert!(e.contains(r#"its folders ["test", "train"] are splits, not classes"#) && e.contains("splits/test"), "{e}");
    #[cfg(unix)]
    {
        std::fs::create_dir_all(f.path("loop/a")).unwrap();
        std::os::unix::fs::symlink(f.path("loop"), f.path("loop/a/b")).unwrap();
        let e = at("loop");
        assert!(e.contains("is one of them a link to a folder above?"), "{e}");
    }
}

#[test]
fn grey_images_get_the_channels_of_a_network() {
    let (f, images) = setup();
    let colour = |f: &Folder, name: &str| {
        let all: Vec<u8> = images[0].iter().flat_map(|v| [*v, 255 - *v, 7]).collect();
        image::RgbImage::from_raw(8, 8, all).unwrap().save(f.path("images").join(name)).unwrap();
    };
    // Grey pixels in three channels are grey.
    let same: Vec<u8> = images[0].iter().flat_map(|v| [*v; 3]).collect();
    image::RgbImage::from_raw(8, 8, same).unwrap().save(f.path("images/0 top/00.png")).unwrap();
    assert!(clean(&f, &[]).json()["clean"]["correct"].as_u64().unwrap() >= 14);
    colour(&f, "a/colour.png");
    let e = clean(&f, &[]).fails(1);
    assert!(
        e.contains("the images have 3 channels, the first is a/colour.png, but the network takes 1; make them grey"),
        "{e}"
    );
    std::fs::remove_file(f.path("images/a/colour.png")).unwrap();
    let cfg =
        SmallCnnConfig { input: (3, 8, 8), classes: 4, channels: (3, 4), kernel: 3, hidden: 8, ..Default::default() };
    let net = SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu).unwrap();
    net.params().save(&f.path("net.safetensors")).unwrap();
    let told = clean(&f, &[]).json();
    let note = "the images are grey and the network takes 3 channels: the one is repeated";
    assert!(told["data_notes"].to_string().contains(note), "{told}");
    let array = attack(&f, &f.text("data.safetensors"), &["--threat", "linf:0", "--json", "-"]).json();
    assert!(array["data_notes"].to_string().contains(note), "{array}");
    colour(&f, "a/colour.png");
    assert_eq!(clean(&f, &[]).json()["clean"]["examples"], 17);
    // What fits no network is told as before.
    let e = clean(&f, &["--crop", "12"]).fails(1);
    assert!(e.contains("fc1.weight") && e.contains("12x12"), "{e}");
}

#[test]
fn a_dossier_reads_a_folder() {
    let (f, _) = setup();
    let (model, data, out) = (f.text("net.safetensors"), f.text("images"), f.text("dossier"));
    let words =
        ["dossier", "--model", &model, "--arch", "smallcnn", "--data", &data, "--suite", "quick", "--out", &out];
    let more = ["--threat", "linf:0.05", "--plane", "2", "--eigenvalues", "1", "--resize", "10", "--crop", "8"];
    sconce(&[&words[..], &more[..]].concat()).ok();
    let told: Value = serde_json::from_str(&f.read("dossier/dossier.json")).unwrap();
    assert_eq!((files(&told["attack"]).len(), told["geometry"]["examples"].as_u64()), (16, Some(16)));
    assert!(f.read("dossier/report.html").contains("cropped to the central 8 x 8"));
}

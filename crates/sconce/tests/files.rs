//! Files as people bring them, from a path to an accuracy. `cases/make.py` made them with PyTorch and numpy.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::formats::Arrays;
use sconce_tensor_core::store;
use serde_json::Value;
use support::numpy::{npy, npz};
use support::{Folder, Run, sconce};

fn case(name: &str) -> String {
    format!("{}/tests/cases/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The clean accuracy and all else that one evaluation tells: at radius 0, where no attack runs.
fn evaluate(model: &str, data: &str, more: &[&str]) -> Run {
    evaluate_at(&case(model), &case(data), more)
}

fn evaluate_at(model: &str, data: &str, more: &[&str]) -> Run {
    let words =
        ["attack", "--arch", "smallcnn", "--suite", "quick", "--threat", "linf:0", "--device", "cpu", "--json", "-"];
    sconce(&[&words[..], &["--model", model, "--data", data], more].concat())
}

#[track_caller]
fn correct(run: &Run) -> (u64, Value) {
    let told = run.json();
    assert_eq!(told["clean"]["examples"], 12);
    (told["clean"]["correct"].as_u64().unwrap(), told)
}

/// Every way to save the same weights gives the same accuracy, whatever the file is called.
#[test]
fn weights_are_found_in_every_file_that_holds_them() {
    for (model, key, prefix) in [
        ("good.safetensors", "", ""),
        ("model_best.pth.tar", "state_dict", ""),
        ("weights.pkl", "", ""),
        ("weights_without_ending", "", ""),
        ("legacy.pth", "", ""),
        ("channels_last.pth", "", ""),
        ("tensor_beside_state_dict.pth", "state_dict", ""),
        ("compiled.pth", "", ""),
        ("compiled_ddp.pth", "", ""),
        ("averaged.pth", "", ""),
        ("lightning.ckpt", "state_dict", "model"),
        ("nested.pth", "0.checkpoint.state.net", "0"),
        ("half.pth", "", ""),
        ("bfloat16.pth", "", ""),
        ("double.pth", "", ""),
        ("parameters.pth", "", ""),
        ("protocol4.pth", "", ""),
        ("views.pth", "", ""),
        ("python.pkl", "", ""),
    ] {
        let run = evaluate(model, "good.npz", &[]);
        let (right, told) = correct(&run);
        assert_eq!(right, 12, "{model}: {}", run.err);
        assert_eq!(
            (told["weights"]["key"].as_str(), told["weights"]["prefix"].as_str()),
            (Some(key), Some(prefix)),
            "{model}"
        );
    }
    let counter = evaluate("averaged.pth", "good.npz", &[]).json();
    assert_eq!(counter["weights"]["left_out"], serde_json::json!(["n_averaged"]));
}

/// Where a file has several, what was taken is said, and an option chooses. The averages of these files are wrong on purpose.
#[test]
fn trained_weights_are_taken_before_averages_and_it_is_said() {
    for (model, key, ema) in [
        ("ema_beside.pth", "model", "model_ema"),
        ("legacy_everything.pth", "model", "model_ema"),
        ("ema_in_one.pth", "model", "model_ema"),
    ] {
        let run = evaluate(model, "good.npz", &[]);
        let (right, told) = correct(&run);
        assert_eq!(
            (right, &told["weights"]["key"], &told["weights"]["others"]),
            (12, &Value::from(key), &serde_json::json!([ema])),
            "{model}"
        );
        assert!(
            run.err.contains("those of `model` were taken") && run.err.contains("--weights-key chooses"),
            "{}",
            run.err
        );
        let run = evaluate(model, "good.npz", &["--weights-key", ema]);
        let (right, told) = correct(&run);
        assert!(right == 0 && told["weights"]["key"] == ema && told["status"] == "flagged", "{model}: {told}");
        assert!(run.err.contains("an average over the training"), "{}", run.err);
        let e = evaluate(model, "good.npz", &["--weights-key", "swa"]).fails(1);
        assert!(
            e.contains(
                r#"no weights of SmallCnn under the key `swa`; the keys of those that fit are ["model", "model_ema"]"#
            ),
            "{e}"
        );
    }
    let run = evaluate("ema_only.pth", "good.npz", &[]);
    assert_eq!(correct(&run).0, 12);
    assert!(run.err.contains("those of `ema_state_dict` were taken, an average over the training"), "{}", run.err);
}

/// A normalising layer in front gives mean and deviation: right on 9 of 12 with them, as PyTorch is, and on 12 without.
#[test]
fn a_normalising_layer_is_applied() {
    for model in ["normalize_and_model.pth", "sequential_255.pth"] {
        let run = evaluate(model, "good.npz", &[]);
        let (right, told) = correct(&run);
        assert_eq!(
            (right, &told["weights"]["mean"], &told["weights"]["std"]),
            (9, &serde_json::json!([0.5]), &serde_json::json!([0.25])),
            "{model}"
        );
        assert!(
            run.err.contains("the file has a normalising layer, mean [0.5] and standard deviation [0.25]"),
            "{}",
            run.err
        );
        assert_eq!(
            correct(&evaluate(model, "good.npz", &["--mean", "0.5", "--std", "0.25"])).0,
            9,
            "the same is no contradiction"
        );
        let e = evaluate(model, "good.npz", &["--mean", "0.4", "--std", "0.25"]).fails(1);
        assert!(e.contains("the file has a normalising layer of its own"), "{e}");
    }
    assert_eq!(correct(&evaluate("good.safetensors", "good.npz", &["--mean", "0.5", "--std", "0.25"])).0, 9);
}

#[test]
fn what_holds_no_weights_is_named_with_the_line_that_saves_them() {
    for (model, want) in [
        (
            "whole_module.pth",
            &[
                "whole module",
                "`__main__.Small`",
                "weights_only=False).state_dict(), \"weights.pth\")",
                "whole_module.pth",
            ][..],
        ),
        ("module_inside.pth", &["whole module", "weights_only=False)[\"model\"].state_dict()"]),
        ("scripted.pt", &["TorchScript", "torch.jit.load(", "scripted.pt", ".state_dict(), \"weights.pth\")"]),
        ("good.npz", &["not PyTorch's", "x.npy"]),
        ("x_test.npy", &["one array of numpy", "torch.save(model.state_dict()"]),
        ("make.py", &["no known format", "safetensors", "torch.save(model.state_dict()"]),
    ] {
        let e = evaluate(model, "good.npz", &[]).fails(1);
        assert!(want.iter().all(|w| e.contains(w)), "{model}: {e}");
        assert!(e.lines().count() == 1 && !e.contains("backtrace"), "{model}: {e}");
    }
}

/// Every way to save the same arrays gives the same accuracy.
#[test]
fn arrays_of_every_layout_type_and_name() {
    for (data, note) in [
        ("good.npz", ""),
        ("compressed.npz", ""),
        ("fortran.npz", ""),
        ("bigendian.npz", ""),
        ("labels_i8.npz", ""),
        ("labels_n1.npz", ""),
        ("strings_beside.npz", ""),
        ("bytes.npz", ""),
        ("half.npz", ""),
        ("x_test_y_test.npz", "the images are `x_test`, the labels are `y_test`"),
        ("images_labels.npz", "the images are `images`, the labels are `labels`"),
        ("train_and_test.npz", "the images are `x_test`, the labels are `y_test`"),
        ("everything.npz", "the images are `Images`, the labels are `TARGETS`"),
        ("integers.npz", "the images are integers from 0 to"),
        ("ulp_above_1.npz", "1 values of the images are outside of [0, 1] by at most 1.2e-7: they are clipped"),
        ("x_test.npy", "the labels are from "),
    ] {
        let run = evaluate("good.safetensors", data, &[]);
        let (right, told) = correct(&run);
        assert_eq!(right, 12, "{data}");
        let notes = told["data_notes"].to_string();
        assert!(
            if note.is_empty() { notes == "[]" } else { notes.contains(note) && run.err.contains(note) },
            "{data}: {notes}"
        );
    }
    let named = ["--x-name", "images", "--y-name", "labels"];
    assert_eq!(correct(&evaluate("good.safetensors", "images_labels.npz", &named)).1["data_notes"].to_string(), "[]");
    assert_eq!(correct(&evaluate("good.safetensors", "x_test.npy", &["--y-name", "y_test.npy"])).0, 12);
}

#[test]
fn arrays_that_a_network_cannot_take_are_refused_with_what_to_do() {
    for (data, more, want) in [
        ("float_0_255.npz", &[][..], &["`x`", "0 to 255", "x = x / 255"][..]),
        ("hwc.npz", &[], &["[12, 8, 8, 1]", "channels are last", "x.transpose(0, 3, 1, 2)"]),
        ("standardised.npz", &[], &["standardised", "x * std + mean", "--mean and --std"]),
        ("minus_1_to_1.npz", &[], &["-1 to 1", "(x + 1) / 2", "--mean 0.5 --std 0.5"]),
        ("u16.npz", &[], &["integers from", "x / "]),
        ("binary.npz", &[], &["every value is 0 or 1", "astype"]),
        ("one_hot.npz", &[], &["`y`", "one-hot", "y.argmax(1)"]),
        ("flat.npz", &[], &["x.reshape(-1, 1, 8, 8)"]),
        ("no_channel.npz", &[], &["x = x[:, None]"]),
        ("good.npz", &["--x-name", "images"], &["--x-name images", r#"["x", "y"]"#]),
        ("strings_beside.npz", &["--y-name", "names"], &["array `names`", "strings"]),
        ("images_labels.npz", &["--y-name", "images"], &["`images`", "must be (12,)"]),
        ("good.safetensors", &[], &["no images among the arrays", "--x-name"]),
        ("weights.pkl", &[], &["zip archive without arrays of numpy"]),
        ("y_test.npy", &["--y-name", "none.npy"], &["--y-name none.npy", "file of labels"]),
    ] {
        let e = evaluate("good.safetensors", data, more).fails(1);
        assert!(want.iter().all(|w| e.contains(w)), "{data}: {e}");
    }
}

/// Labels that are shifted: a number, and a flag beside it that --at-least heeds.
#[test]
fn an_accuracy_below_chance_is_flagged() {
    let run = evaluate("good.safetensors", "all_labels_wrong.npz", &[]);
    let (right, told) = correct(&run);
    assert_eq!((right, told["status"].as_str()), (0, Some("flagged")));
    assert_eq!(told["flags"][0]["name"], "chance-accuracy");
    assert!(
        run.err.contains("FLAGGED: chance-accuracy") && run.err.contains("below chance: 0 of 12 correct"),
        "{}",
        run.err
    );
    let e = evaluate("good.safetensors", "all_labels_wrong.npz", &["--at-least", "0"]).fails(3);
    assert!(e.contains("it has flags (chance-accuracy)"), "{e}");
    evaluate("good.safetensors", "all_labels_wrong.npz", &["--at-least", "0", "--allow-flags"]).ok();
    assert_eq!(correct(&evaluate("good.safetensors", "good.npz", &[])).1["status"], "no flags");
}

/// With what candle prints for its developers switched on, the user sees one line.
#[test]
fn errors_are_one_line() {
    let f = Folder::new();
    std::fs::write(f.path("cut.safetensors"), &std::fs::read(case("good.safetensors")).unwrap()[..300]).unwrap();
    for (model, data) in
        [(f.text("cut.safetensors"), case("good.npz")), (case("good.safetensors"), f.text("cut.safetensors"))]
    {
        let words = ["attack", "--arch", "smallcnn", "--model", &model, "--data", &data, "-q"];
        let run = support::command(&words).env("RUST_BACKTRACE", "1").output().unwrap();
        let e = String::from_utf8(run.stderr).unwrap();
        assert!(e.contains("cut.safetensors") && e.lines().count() == 1, "{e}");
    }
}

/// What is left out, divided or an average is said in words and in the JSON.
#[test]
fn what_was_taken_is_said() {
    let f = Folder::new();
    let good = Arrays::open(case("good.safetensors").as_ref()).unwrap();
    let save = |name: &str, prefix: &str, more: &[(&str, f32)]| {
        let own = good.names().iter().map(|n| (format!("{prefix}{n}"), good.get(n).unwrap()));
        let more = more.iter().map(|(n, v)| ((*n).to_owned(), Tensor::new(&[*v], &Device::Cpu).unwrap()));
        let all: Vec<(String, Tensor)> = own.chain(more).collect();
        store::save(&f.path(name), all.iter().map(|(n, t)| (n.as_str(), t.clone())), "").unwrap();
        evaluate_at(&f.text(name), &case("good.npz"), &[])
    };
    for (run, want) in [
        (
            save("a", "model.", &[("projector.weight", 1.0)]),
            r#"["projector.weight"] were left out, because they are no part"#,
        ),
        (
            save("b", "model.", &[("normalize.mean", 0.0), ("normalize.std", 255.0)]),
            "mean [0.0] and standard deviation [1.0], which is applied, after a division by 255",
        ),
        (save("c", "ema_model.", &[]), "those of `ema_model` were taken, an average over the training"),
    ] {
        let (right, told) = correct(&run);
        assert_eq!(right, 12, "{want}");
        assert!(
            run.err.contains(want) && told["weights"]["notes"].to_string().replace("\\", "").contains(want),
            "{}",
            run.err
        );
    }
    let e = save("d", "", &[("criterion.weight", 1.0)]).fails(1);
    assert!(e.contains("safetensors.torch.load_file(") && e.contains(r#"if k not in ["criterion.weight"]"#), "{e}");
}

/// Arrays made from those of the good file.
#[test]
fn arrays_that_may_be_read_in_two_ways() {
    let f = Folder::new();
    let good = Arrays::open(case("good.npz").as_ref()).unwrap();
    let x: Vec<f32> = good.get("x").unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let y: Vec<f32> = good.get("y").unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap();
    let floats =
        |shape: &str, v: &[f32]| npy("<f4", false, shape, &v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    let run = |arrays: &[(&str, Vec<u8>)]| {
        std::fs::write(f.path("a.npz"), npz(arrays, false)).unwrap();
        evaluate_at(&case("good.safetensors"), &f.text("a.npz"), &[])
    };
    const SHAPE: &str = "(12, 1, 8, 8)";
    let wrong: Vec<f32> = y.iter().map(|v| (v + 1.0) % 4.0).collect();
    let (right, wrong) = (floats("(12,)", &y), floats("(12,)", &wrong));
    // The labels of the same split.
    for (images, labels) in [("x_test", "y_test"), ("data", "targets"), ("Images", "Labels"), ("arr_0", "arr_1")] {
        let mut all = vec![(images, floats(SHAPE, &x)), (labels, right.clone())];
        if images != "arr_0" {
            all.splice(0..0, [("label", wrong.clone()), ("y", wrong.clone())]);
        }
        assert_eq!(correct(&run(&all)).0, 12, "{images}");
    }
    // Bytes of a small range, as in scikit-learn's digits.
    let digits: Vec<u8> = x.iter().map(|v| (v * 16.0).round() as u8).collect();
    let told = run(&[("x", npy("|u1", false, SHAPE, &digits)), ("y", right.clone())]);
    assert!(told.err.contains("the largest value of the images is 16, less than half"), "{}", told.err);
    let digits: Vec<f32> = digits.into_iter().map(f32::from).collect();
    let names = npy("<U1", false, "(12,)", &[0; 48]);
    for (x, y, want) in [
        (floats(SHAPE, &digits), &right, "if 16 is white, x = x / 16"),
        (floats(SHAPE, &x), &names, "y = numpy.unique(names, return_inverse=True)[1]"),
        (
            floats("(12, 1, 1, 8, 8)", &x),
            &right,
            "there are 5 axes; if the first ones count images, x = x.reshape(-1, 1, 8, 8)",
        ),
        (floats("(12,)", &x[..12]), &right, "there are 1 axes instead of four"),
        (
            floats("(1, 8, 8)", &x[..64]),
            &right,
            "if the first one counts images, x = x[:, None]; if it is the 1 channels of one image, x = x[None]",
        ),
        (floats("(0, 1, 8, 8)", &[]), &right, "at least one image is needed"),
    ] {
        let e = run(&[("x", x), ("y", y.clone())]).fails(1);
        assert!(e.contains(want), "{want}: {e}");
    }
}

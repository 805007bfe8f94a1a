//! `attack` and `dossier`, from files to a verdict.
#![cfg(feature = "program")]
#![allow(clippy::unwrap_used)] // a test fails by panicking

mod support;
use support::{Folder, Run, fixture, sconce};

fn attack(f: &Folder, command: &str, more: &[&str]) -> Run {
    let (model, data) = (f.text("net.safetensors"), f.text("data.safetensors"));
    let first = [command, "--model", &model, "--arch", "smallcnn", "--data", &data, "--device", "cpu"];
    sconce(&[&first[..], more].concat())
}

#[test]
fn from_files_to_a_verdict() {
    let f = Folder::new();
    fixture(f.0.path(), 16, 1.0);
    let words = ["--threat", "linf:5/255,0.1", "--suite", "quick"];
    let (json, html) = (f.text("r.json"), f.text("r.html"));
    let done = attack(&f, "attack", &[&words[..], &["--json", &json, "--html", &html]].concat());
    let (out, err) = (done.out.clone(), done.err.clone());
    done.ok();
    let read: serde_json::Value = serde_json::from_str(&f.read("r.json")).unwrap();
    assert_eq!((read["schema"].as_u64(), read["command"].as_str()), (Some(1), Some("attack")));
    let robust = read["robust"].as_array().unwrap();
    assert_eq!(
        (robust.len(), robust[1]["norm"].as_str(), read["sha256"].as_str().unwrap().len()),
        (2, Some("linf"), 64)
    );
    // Each number has its status and its interval, in all three formats.
    assert!(robust.iter().all(|r| r["status"] == read["status"] && r["ci95"][0].as_f64() <= r["accuracy"].as_f64()));
    let rate = robust[0]["accuracy"].as_f64().unwrap();
    assert!(out.contains(&format!("linf 5/255         {rate:.4}")) && out.contains("status: "), "{out}");
    assert!(out.contains("upper bound") && out.lines().rev().take(2).all(|l| l.starts_with("wrote ")), "{out}");
    assert!(err.contains("at linf 5/255") && !err.contains("wrote"), "progress is on standard error: {err}");
    let page = f.read("r.html");
    for want in [
        "radius of the perturbation, L-infinity (n/255)",
        "upper bound",
        "adversarial",
        "By class",
        "sha256",
        "forward passes",
        "<svg",
    ] {
        assert!(page.contains(want), "{want}");
    }
    assert!(
        !page.contains("src=\"http") && !page.contains("<link") && !page.contains("<script"),
        "the page needs no other file"
    );
    // The same bytes of numbers for another batch size.
    let again = attack(&f, "attack", &[&words[..], &["--json", "-", "--batch", "3"]].concat()).json();
    assert_eq!((&again["robust"], &again["attacks"]), (&read["robust"], &read["attacks"]));
}

#[test]
fn a_threshold_fails_below_it_and_for_flags() {
    let f = Folder::new();
    fixture(f.0.path(), 16, 1.0);
    let words = ["--threat", "linf:0.3", "--suite", "quick", "--no-checks", "--examples", "8", "-q"];
    let below = attack(&f, "attack", &[&words[..], &["--at-least", "0.9"]].concat());
    assert!(below.out.contains("not checked") && below.out.contains("of 8"), "{}", below.out);
    let why = below.fails(3);
    assert!(
        why.starts_with("--at-least 0.9: the robust accuracy at linf 0.3 is ") && why.lines().count() == 1,
        "{why}"
    );
    assert!(attack(&f, "attack", &["--at-least", "40"]).fails(2).contains("[0, 1]"));
    assert!(attack(&f, "attack", &["--allow-flags"]).fails(2).contains("--at-least"));
    // Logits so large that the softmax saturates.
    fixture(f.0.path(), 16, 1e5);
    let words = ["--threat", "linf:1/255", "--suite", "quick", "--at-least", "0"];
    let why = attack(&f, "attack", &words).fails(3);
    assert!(why.contains("it has flags (") && why.contains("--allow-flags lets it pass"), "{why}");
    assert!(attack(&f, "attack", &[&words[..], &["--allow-flags"]].concat()).ok().contains("FLAGGED"));
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let f = Folder::new();
    fixture(f.0.path(), 4, 1.0);
    let model = f.text("net.safetensors");
    let with = |data: &str, more: &[&str]| {
        let first = ["attack", "--model", &model, "--arch", "smallcnn", "--data", data, "-q"];
        sconce(&[&first[..], more].concat()).fails(1)
    };
    let e = with("nofile.npz", &[]);
    assert!(
        e.contains("no file `nofile.npz`, and no data set of that name") && e.contains("fashion-mnist:embedded"),
        "{e}"
    );
    let folder = f.0.path().display().to_string();
    let e = with("cifar10", &["--data-dir", &folder]);
    for want in ["test_batch.bin", &folder, "sconce data fetch cifar10", "--data-dir or $SCONCE_DATA", "Licence"] {
        assert!(e.contains(want), "{want}: {e}");
    }
    assert!(with("cifar10", &["--data-dir", "/no/such"]).contains("--data-dir /no/such: there is no such folder"));
    let e = with("fashion-mnist:embedded", &["--suite", "fourier", "--threat", "l2:1"]);
    assert!(e.contains("net.safetensors"), "28 pixels for a network of 8: {e}");
    let e = attack(&f, "attack", &["--suite", "fourier", "--threat", "l2:1"]).fails(1);
    assert!(e.contains("needs a threat in linf"), "{e}");
    let e = attack(&f, "attack", &["--threat", "linf:8"]).fails(1);
    assert!(e.contains("write 8/255, not 8"), "{e}");
    let e = sconce(&[
        "attack",
        "--model",
        &model,
        "--arch",
        "smallcnn",
        "--data",
        &f.text("data.safetensors"),
        "--device",
        "cuda:0",
    ]);
    assert!(e.fails(1).contains("--features cuda"));
}

#[test]
fn a_dossier_has_all_its_parts() {
    let f = Folder::new();
    fixture(f.0.path(), 16, 1.0);
    let out = f.text("dossier");
    let words = ["--threat", "linf:0.05", "--suite", "quick", "--plane", "3", "--eigenvalues", "1", "--out", &out];
    let run = attack(&f, "dossier", &words);
    let (text, err) = (run.out.clone(), run.err.clone());
    run.ok();
    assert!(text.contains("Sharpness: ") && text.contains("Fourier: ") && text.contains("low below"), "{text}");
    assert!(["loss landscape", "Fourier heat map", "smoothness"].iter().all(|w| err.contains(w)), "{err}");
    let page = f.read("dossier/report.html");
    for want in [
        "in five lines",
        "95 % t-interval",
        "log10 of the spectral density",
        "vertical frequency (cycles per image)",
        "second direction (filter norms)",
        "Lipschitz constant at most",
        "sha256",
    ] {
        assert!(page.contains(want), "{want}");
    }
    let read: serde_json::Value = serde_json::from_str(&f.read("dossier/dossier.json")).unwrap();
    assert_eq!((read["command"].as_str(), read["summary"].as_array().unwrap().len()), (Some("dossier"), 5));
    assert!(
        read["geometry"]["adversarial"]["trace_ci95"][0].as_f64()
            < read["geometry"]["adversarial"]["trace_ci95"][1].as_f64()
    );
}

/// What cannot work is found before the attacks run; what was computed before an error is printed and written.
#[test]
fn a_dossier_fails_early_or_keeps_what_it_has() {
    let f = Folder::new();
    fixture(f.0.path(), 8, 1.0);
    let (model, data, out) = (f.text("net.safetensors"), f.text("data.safetensors"), f.text("dossier"));
    let words =
        ["dossier", "--model", &model, "--arch", "smallcnn", "--data", &data, "--suite", "quick", "--out", &out];
    // A process in which candle cuts the graph of gradients.
    let cut = support::command(&words).env("SCONCE_STARTED", "1").output().unwrap();
    let e = String::from_utf8(cut.stderr).unwrap();
    assert!(e.contains("cannot differentiate gradients") && !e.contains("robust"), "{e}");
    assert!(cut.stdout.is_empty());
    // Eigenvalues that two products cannot find.
    let run = sconce(
        &[&words[..], &["--eigenvalues", "2", "--products", "2", "--plane", "2", "--geometry-examples", "4"]].concat(),
    );
    assert_eq!(run.code, 1);
    assert!(run.err.contains("more --products may help"), "{}", run.err);
    assert!(
        run.out.contains("clean ") && run.out.contains("status: ") && run.out.contains("dossier.json"),
        "{}",
        run.out
    );
    let read: serde_json::Value = serde_json::from_str(&f.read("dossier/dossier.json")).unwrap();
    assert!(
        read["attack"]["robust"][0]["accuracy"].is_number()
            && read["stopped"].as_str().unwrap().contains("eigenvalues"),
        "{read}"
    );
}

/// Weights do not say the activation; a published name says sizes.
#[test]
fn a_wide_network_by_its_name_and_activation() {
    use candle_core::{DType, Device, Tensor};
    use sconce_tensor_core::nets::{WideResNet, WideResNetConfig};
    use sconce_tensor_core::{Classifier, Module, Rng, classifier, nn::Activation, store};
    let f = Folder::new();
    let cfg = WideResNetConfig { depth: 16, widen: 2, base: 2, classes: 5, ..WideResNetConfig::default() };
    let net = |activation| {
        let cfg = WideResNetConfig { activation, ..cfg.clone() };
        WideResNet::new(cfg, Rng::new(3), DType::F32, &Device::Cpu).unwrap()
    };
    // Images of one colour each, which differ more than noise does.
    let x = Rng::new(1).uniform((40, 3, 1, 1), 0.0..1.0, DType::F32, &Device::Cpu).unwrap();
    let x = x.broadcast_as((40, 3, 8, 8)).unwrap().contiguous().unwrap();
    let (silu, relu) = (net(Activation::Silu), net(Activation::Relu));
    // No class is preferred on average.
    let mean = silu.logits(&x).unwrap().mean(0).unwrap();
    for n in [&silu, &relu] {
        let bias = n.params().get("fc.bias").unwrap().var();
        bias.set(&(bias.as_detached_tensor() - &mean).unwrap()).unwrap();
    }
    let labels = classifier::predict(&silu, &x, 40).unwrap();
    let others = classifier::predict(&relu, &x, 40).unwrap();
    let same = labels.iter().zip(&others).filter(|(a, b)| a == b).count();
    assert!(same < 40, "the activation matters");
    let y = Tensor::from_iter(labels.into_iter().map(i64::from), &Device::Cpu).unwrap();
    store::save(&f.path("data.safetensors"), [("x", x), ("y", y)], "").unwrap();
    relu.params().save(&f.path("wrn.safetensors")).unwrap();

    let (model, data) = (f.text("wrn.safetensors"), f.text("data.safetensors"));
    let run = |more: &[&str]| {
        let first = ["attack", "--model", &model, "--data", &data, "--suite", "quick", "--threat", "linf:0"];
        sconce(&[&first[..], &["--device", "cpu", "--json", "-"], more].concat())
    };
    let told = run(&["--arch", "WRN-16-2", "--activation", "silu"]).json();
    assert_eq!((told["clean"]["correct"].as_u64(), &told["activation"]), (Some(40), &"silu".into()));
    let told = run(&["--arch", "wideresnet"]).json();
    assert_eq!((told["clean"]["correct"].as_u64(), &told["activation"]), (Some(same as u64), &().into()));
    let e = run(&["--arch", "wrn-28-10"]).fails(1);
    assert!(e.contains("`wrn-28-10` was asked for, but the weights are those of `wrn-16-2`"), "{e}");
    let e = run(&["--arch", "wrn-16-2", "--activation", "swoosh"]).fails(1);
    assert!(e.contains("--activation swoosh") && e.contains("relu, relu6, leaky-relu, silu, gelu"), "{e}");
    let e = run(&["--arch", "inception"]).fails(1);
    assert!(e.contains("--arch inception") && e.contains("vgg16_bn") && e.contains("mobilenet_v2"), "{e}");
}

#[test]
fn shares_on_several_machines_are_merged_to_the_ledger_of_one() {
    let f = Folder::new();
    fixture(f.0.path(), 13, 1.0);
    let words = ["--threat", "linf:5/255,0.1", "--suite", "quick", "-q"];
    let with = |more: &[&str]| attack(&f, "attack", &[&words[..], more].concat());
    let single = f.text("single.ledger");
    let want = with(&["--ledger", &single, "--json", "-"]).json();
    let share = |i: usize| f.text(&format!("{i}.ledger"));
    for i in 1..=3 {
        let said = with(&["--shard", &format!("{i}/3"), "--out", &share(i)]).ok();
        assert!(said.contains(&format!("share {i}/3: {} of 13 examples", [5, 4, 4][i - 1])), "{said}");
    }
    assert!(!f.path("1.ledger.growing").exists());
    // A second writer of a share is fine.
    with(&["--shard", "2/3", "--out", &share(2)]).ok();
    let (all, merged) = ([share(3), share(1), share(2)], f.text("merged.ledger"));
    let merge = |files: &[String], out: &str| {
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        sconce(&[&["merge"], &files[..], &["--out", out]].concat())
    };
    let e = merge(&all[..2], &merged).fails(4);
    assert!(e.contains("shares are missing: 2/3") && !f.path("merged.ledger").exists(), "{e}");
    merge(&all, &merged).ok();
    assert_eq!(std::fs::read(&merged).unwrap(), std::fs::read(&single).unwrap(), "byte for byte");
    // It answers as the single run does, without an attack.
    let again = with(&["--ledger", &merged, "--json", "-"]).json();
    assert_eq!(
        (&again["robust"], &again["attacks"], &again["flags"]),
        (&want["robust"], &want["attacks"], &want["flags"])
    );
    assert_eq!(std::fs::read(&merged).unwrap(), std::fs::read(&single).unwrap());
    // What must not pass: a part for the whole, another seed, a damaged file, another ledger at the same place.
    let e = with(&["--ledger", &share(1)]).fails(1);
    assert!(e.contains("`part`: found \"1/3\", expected nothing"), "{e}");
    let e = merge(std::slice::from_ref(&single), &f.text("x")).fails(1);
    assert!(e.contains("a ledger of all examples"), "{e}");
    with(&["--seed", "5", "--shard", "1/3", "--out", &f.text("seed")]).ok();
    let e = merge(&[f.text("seed"), share(2), share(3)], &f.text("x")).fails(1);
    assert!(e.contains("is of another evaluation") && e.contains("`seed`"), "{e}");
    let e = with(&["--seed", "5", "--shard", "2/3", "--out", &share(2)]).fails(1);
    assert!(e.contains("2.ledger") && e.contains("`seed`: found 0, expected 5"), "{e}");
    let e = merge(&all, &share(1)).fails(1);
    assert!(e.contains("another writer left other content there"), "{e}");
    let bytes = std::fs::read(share(3)).unwrap();
    std::fs::write(share(3), &bytes[..bytes.len() / 2]).unwrap();
    let e = merge(&all, &f.text("x")).fails(1);
    assert!(e.contains("3.ledger") && !f.path("x").exists(), "{e}");
    let e = with(&["--shard", "4/3", "--out", &share(2)]).fails(2);
    assert!(e.contains("the shares are 1/3 to 3/3"), "{e}");
    assert!(with(&["--shard", "1/3"]).fails(2).contains("--out"));
    assert!(with(&["--shard", "auto", "--out", &share(2)]).fails(1).contains("none of SLURM_ARRAY_TASK_ID"));
}

#[cfg(unix)]
#[test]
fn a_share_that_is_asked_to_stop_continues() {
    let f = Folder::new();
    fixture(f.0.path(), 12, 1.0);
    let (model, data) = (f.text("net.safetensors"), f.text("data.safetensors"));
    let (single, out) = (f.text("single.ledger"), f.text("share.ledger"));
    let words = |more: &[&str]| -> Vec<String> {
        let first = ["attack", "--model", &model, "--arch", "smallcnn", "--data", &data, "--device", "cpu", "-q"];
        let rest = ["--threat", "linf:5/255", "--suite", "standard", "--batch", "1"];
        [&first[..], &rest, more].concat().iter().map(|w| (*w).to_owned()).collect()
    };
    let run = |more: &[&str]| support::command(&words(more).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(run(&["--no-checks", "--ledger", &single]).status().unwrap().success());
    let mut stops = 0;
    for signal in ["-TERM", "-USR1", "-INT", "-TERM"] {
        let mut child = run(&["--shard", "1/1", "--out", &out]).spawn().unwrap();
        let growing = || std::fs::metadata(f.path("share.ledger.growing")).and_then(|m| m.modified()).ok();
        let before = growing();
        // It has attacked an example more.
        while growing() == before && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        match child.wait().unwrap().code() {
            Some(75) => stops += 1,
            code => assert_eq!(code, Some(0)),
        }
    }
    assert!(stops >= 1, "no signal met a worker");
    assert!(run(&["--shard", "1/1", "--out", &out]).status().unwrap().success());
    let merged = f.text("merged.ledger");
    sconce(&["merge", &out, "--out", &merged]).ok();
    assert_eq!(std::fs::read(&merged).unwrap(), std::fs::read(&single).unwrap(), "stopped {stops} times");
}

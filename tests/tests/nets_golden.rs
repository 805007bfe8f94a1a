//! Networks of every family, written by PyTorch under the names of published code: logits and gradients, and what is refused.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::Result;
use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::nets::load::{self, Arch, LoadConfig, Loaded};
use sconce_tensor_core::nn::Activation;
use sconce_tensor_core::{Classifier, Mode, Module, Network, Role};
use sconce_tests::{Golden, golden};
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

fn cases() -> Vec<Value> {
    let all: Value = serde_json::from_str(&std::fs::read_to_string(golden("nets.json")).unwrap()).unwrap();
    all["cases"].as_array().unwrap().clone()
}

fn read(path: &Path, case: &Value, arch: &str, dtype: DType) -> sconce_tensor_core::Result<Loaded> {
    let side = case["side"].as_u64().unwrap() as usize;
    let activation = case["activation"].as_str().map(|a| a.parse::<Activation>()).transpose()?;
    let heads = case["heads"].as_u64().map(|h| h as usize);
    let cfg = LoadConfig {
        input: (3, side, side),
        normalize: None,
        key: None,
        activation,
        heads,
        dtype,
        device: &Device::Cpu,
    };
    load::read(arch.parse::<Arch>()?, path, &cfg)
}

fn file(case: &Value) -> std::path::PathBuf {
    golden("nets").join(case["file"].as_str().unwrap())
}

fn case(name: &str) -> Value {
    cases().into_iter().find(|c| c["name"] == name).unwrap()
}

/// The largest difference, relative to the largest golden value.
fn off(ours: &Tensor, golden: &Tensor) -> f64 {
    assert_eq!(ours.dims(), golden.dims());
    let wide = |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let (a, b) = (wide(ours), wide(golden));
    let largest = b.iter().fold(0f64, |m, v| m.max(v.abs()));
    let worst = a.iter().zip(&b).fold(0f64, |m, (a, b)| if (a - b).is_nan() { f64::NAN } else { m.max((a - b).abs()) });
    worst / largest
}

#[test]
fn logits_and_input_gradients_are_those_of_pytorch() -> Result<()> {
    let g = Golden::load("nets.safetensors")?;
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        // In f64 only the golden gradient is rounded to f32.
        for (dtype, tolerance) in [(DType::F64, 2e-7), (DType::F32, 2e-5)] {
            let Loaded { network, .. } = read(&file(&case), &case, case["arch"].as_str().unwrap(), dtype)?;
            let at = |part: &str| Ok::<_, anyhow::Error>(g.get(&format!("{name}.{part}"))?.to_dtype(dtype)?);
            let x = Var::from_tensor(&at("x")?)?;
            let y = network.logits(x.as_tensor())?;
            let grads = (&y * at("u")?)?.sum_all()?.backward()?;
            let (value, gradient) = (off(&y, &at("y")?), off(grads.get(&x).unwrap(), &at("gx")?));
            assert!(value < tolerance && gradient < tolerance, "{name} {dtype:?}: {value:.1e} and {gradient:.1e}");
            assert_eq!(network.classes(), 4, "{name}");
        }
    }
    Ok(())
}

/// The last layer, a linear map, makes the logits from the features; an example's are the same in every batch.
#[test]
fn features_and_batches() -> Result<()> {
    let g = Golden::load("nets.safetensors")?;
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let Loaded { network, .. } = read(&file(&case), &case, case["arch"].as_str().unwrap(), DType::F32)?;
        let x = g.get(&format!("{name}.x"))?;
        let y = network.logits(x)?;
        let features = network.features(x)?;
        assert_eq!((features.rank(), features.dim(0)?), (2, 3), "{name}");
        let last: Vec<_> = network.params().with_role(Role::Weight).collect();
        let weight = last.last().unwrap();
        let bias = network.params().get(&weight.name().replace(".weight", ".bias")).unwrap();
        let made = sconce_tensor_core::ops::linear(&features, weight.var().as_tensor(), Some(bias.var().as_tensor()))?;
        assert_eq!(made.to_vec2::<f32>()?, y.to_vec2::<f32>()?, "{name}");
        let one = network.logits(&x.narrow(0, 1, 1)?)?;
        assert_eq!(one.to_vec2::<f32>()?[0], y.to_vec2::<f32>()?[1], "{name}");
    }
    Ok(())
}

#[test]
fn training_is_that_of_pytorch() -> Result<()> {
    let g = Golden::load("nets.safetensors")?;
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let Loaded { network, .. } = read(&file(&case), &case, case["arch"].as_str().unwrap(), DType::F64)?;
        let at = |part: &str| Ok::<_, anyhow::Error>(g.get(&format!("{name}.{part}"))?.to_dtype(DType::F64)?);
        let y = network.forward(&at("x")?, Mode::Train)?;
        let grads = (&y * at("u")?)?.sum_all()?.backward()?;
        let mut squared = 0.0;
        for p in network.params().trainable() {
            let grad = grads.get(p.var()).unwrap_or_else(|| panic!("{name}: no gradient to {}", p.name()));
            squared += grad.sqr()?.sum_all()?.to_scalar::<f64>()?;
        }
        let sum = |end: &str| -> Result<f64> {
            let buffers = network.params().with_role(Role::Buffer).filter(|p| p.name().ends_with(end));
            buffers.map(|p| Ok(p.var().as_tensor().sum_all()?.to_scalar::<f64>()?)).sum()
        };
        assert!(off(&y, &at("yt")?) < 1e-8, "{name}: {}", off(&y, &at("yt")?));
        let ours = [squared, sum("running_mean")?, sum("running_var")?];
        for (ours, golden) in ours.into_iter().zip(at("sums")?.to_vec1::<f64>()?) {
            assert!((ours - golden).abs() <= 1e-7 * golden.abs(), "{name}: {ours} and {golden}");
        }
    }
    Ok(())
}

/// What a network of ours saves under our names is read again.
#[test]
fn our_own_files_are_read() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let g = Golden::load("nets.safetensors")?;
    for case in cases() {
        let (name, arch) = (case["name"].as_str().unwrap(), case["arch"].as_str().unwrap());
        // Our names are those of the first form, whose paddings are others.
        if name.ends_with("deepmind") || name.ends_with("cifar") && !name.starts_with("vgg") {
            continue;
        }
        let Loaded { network, .. } = read(&file(&case), &case, arch, DType::F32)?;
        let path = dir.path().join("own.safetensors");
        network.params().save(&path)?;
        let back = read(&path, &case, arch, DType::F32)?.network;
        let x = g.get(&format!("{name}.x"))?;
        assert_eq!(back.logits(x)?.to_vec2::<f32>()?, network.logits(x)?.to_vec2::<f32>()?, "{name}");
    }
    Ok(())
}

fn refusal(path: &Path, case: &Value, arch: &str) -> String {
    read(path, case, arch, DType::F32)
        .err()
        .map_or_else(|| format!("no refusal of {case} as {arch}"), |e| e.to_string())
}

/// A name that says other sizes than the weights.
#[test]
fn a_misfit_is_told_by_the_name_of_what_it_is() {
    for (name, arch, want) in [
        ("wrn", "wrn-28-10", "`wrn-28-10` was asked for, but the weights are those of `wrn-10-2`"),
        ("resnet20", "resnet56", "`resnet56` was asked for, but the weights are those of `resnet20`"),
        ("resnext", "resnet50", "those of bottlenecks [2, 1] of 6 channels in 3 groups"),
        ("preact_raw", "preactresnet34", "those of `preactresnet18`"),
        ("vgg_cifar", "vgg16", "those of `vgg11_bn` (stages of [1, 1, 2, 2, 2] convolutions with batch norm)"),
        ("vgg", "vgg16_bn", "those of stages of [2, 1, 1] convolutions without batch norm"),
        ("densenet", "densenet121", "those of blocks of [2, 3] layers, growth 4"),
        // Another family altogether.
        ("wrn", "resnet18", "no ResNet: missing"),
        ("wrn", "resnet18", "the names are those of wideresnet"),
        ("resnet20", "preactresnet18", "a residual network without pre-activation: `resnet`"),
        ("densenet_cifar", "vgg16", "the names are those of densenet"),
        ("mobilenet_cifar", "mlp", "the names are those of mobilenet_v2"),
    ] {
        let case = case(name);
        let e = refusal(&file(&case), &case, arch);
        assert!(e.contains(want) && e.contains(case["file"].as_str().unwrap()), "{name} as {arch}: {e}");
    }
    let e = refusal(&file(&case("wrn")), &case("wrn"), "inception").to_lowercase();
    assert!(e.contains("inception") && e.contains("wrn-28-10") && e.contains("vgg16_bn"), "{e}");
}

/// A weight that is missing, one that is too much, one of another shape, images of other channels.
#[test]
fn weights_that_do_not_fit_are_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("net.safetensors");
    for (name, weight) in [
        ("wrn_deepmind", "layer.1.block.0.conv_1.weight"),
        ("preact_raw", "layer3.1.bn2.bias"),
        ("resnet20", "layer2.1.bn2.running_var"),
        ("resnext", "layer1.1.conv2.weight"),
        ("vgg_bn", "features.4.bias"),
        ("densenet_cifar", "trans1.conv.weight"),
        ("mobilenet", "features.3.conv.1.1.running_mean"),
        ("mlp_named", "fc2.bias"),
    ] {
        let case = case(name);
        let arch = case["arch"].as_str().unwrap();
        let all: HashMap<String, Tensor> = candle_core::safetensors::load(file(&case), &Device::Cpu)?;
        let with = |edit: &dyn Fn(&mut HashMap<String, Tensor>)| -> Result<String> {
            let mut all = all.clone();
            edit(&mut all);
            candle_core::safetensors::save(&all, &path)?;
            Ok(refusal(&path, &case, arch))
        };
        let e = with(&|all| drop(all.remove(weight).unwrap()))?;
        assert!(e.contains("missing [\"") && e.contains("unexpected []"), "{name}: {e}");
        let extra = format!("{weight}.more");
        let e = with(&|all| drop(all.insert(extra.clone(), all[weight].clone())))?;
        assert!(e.contains("unexpected [\"") && e.contains(".more"), "{name}: {e}");
        let e = with(&|all| {
            let more = Tensor::cat(&[&all[weight], &all[weight]], 0).unwrap();
            all.insert(weight.to_owned(), more);
        })?;
        assert!(e.contains("weight `") && e.contains("expected shape"), "{name}: {e}");
    }
    let mut gray = case("wrn");
    gray["side"] = 16.into();
    let cfg = LoadConfig {
        input: (1, 16, 16),
        normalize: None,
        key: None,
        activation: None,
        heads: None,
        dtype: DType::F32,
        device: &Device::Cpu,
    };
    let e = load::read("wrn".parse()?, &file(&gray), &cfg).err().unwrap().to_string();
    assert!(e.contains("weight `conv1.weight`") && e.contains("for images of 1 channels"), "{e}");
    Ok(())
}

/// What a file has and a network does not use, and what is applied.
#[test]
fn what_was_taken_is_said() -> Result<()> {
    let of = |name: &str| read(&file(&case(name)), &case(name), case(name)["arch"].as_str().unwrap(), DType::F32);
    let trades = of("wrn_trades")?;
    assert!(trades.choice.outside.iter().all(|n| n.starts_with("module.sub_block1.")), "{:?}", trades.choice);
    assert!(!trades.choice.outside.is_empty() && trades.network.params().iter().all(|p| !p.name().contains("sub_")));
    let (mean, std) = of("wrn_deepmind")?.choice.normalize.unwrap();
    assert!((mean[0] - 0.4914).abs() < 1e-7 && (std[2] - 0.2616).abs() < 1e-7);
    Ok(())
}

/// Networks of full size, which `make_golden_nets.py --full` wrote into the folder that the variable names: run by hand.
#[test]
fn full_size() -> Result<()> {
    let Ok(folder) = std::env::var("SCONCE_FULL_NETS") else { return Ok(()) };
    let folder = Path::new(&folder);
    let all: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("nets.json"))?)?;
    let values = candle_core::safetensors::load(folder.join("nets.safetensors"), &Device::Cpu)?;
    for case in all["cases"].as_array().unwrap() {
        let (name, arch) = (case["name"].as_str().unwrap(), case["arch"].as_str().unwrap());
        // In f32 a ReLU whose input is near 0 may be on where it is off in f64; the gradient then differs, as PyTorch's own does.
        for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 2e-5)] {
            let start = std::time::Instant::now();
            let network = read(&folder.join(case["file"].as_str().unwrap()), case, arch, dtype)?.network;
            let loaded = start.elapsed();
            let at = |part: &str| values[&format!("{name}.{part}")].to_dtype(dtype);
            let x = Var::from_tensor(&at("x")?)?;
            let y = network.logits(x.as_tensor())?;
            let grads = sconce_tensor_core::ops::backward(&(&y * at("u")?)?.sum_all()?)?;
            let (value, gradient) = (off(&y, &at("y")?), off(grads.get(&x).unwrap(), &at("gx")?));
            let seconds = start.elapsed() - loaded;
            let count = network.params().count();
            eprintln!(
                "{name} {dtype:?}: {count} parameters, logits {value:.1e}, gradient {gradient:.1e}; {loaded:.1?}, {seconds:.1?}"
            );
            assert!(value < tolerance && (dtype == DType::F32 || gradient < tolerance), "{name}");
        }
    }
    Ok(())
}

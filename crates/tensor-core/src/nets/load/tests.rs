//! Files that this workspace writes, and what is refused. What PyTorch writes is tested in `sconce`, from files to an accuracy.

use super::*;
use crate::formats::torch::tests::Item;
use crate::nets::*;
use crate::{Module, Rng};
use candle_core::Tensor;
use std::collections::HashMap;

fn arch(name: &str) -> Arch {
    name.parse().unwrap()
}

#[test]
fn sizes_are_read_off_the_weights_and_what_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (d, f) = (&Device::Cpu, DType::F32);
    let path = dir.path().join("net.safetensors");
    let cfg = ResNetConfig { width: 4, blocks: vec![1, 2], classes: 7, ..ResNetConfig::default() };
    let net = ResNet::new(cfg, Rng::new(3), f, d).unwrap();
    net.params().save(&path).unwrap();
    let x = Rng::new(1).uniform((2, 3, 16, 16), 0.0..1.0, f, d).unwrap();
    let back = load(arch("resnet"), &path, (3, 16, 16), None, f, d).unwrap();
    let bits = |n: &dyn Network| n.logits(&x).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(bits(&*back), bits(&net));
    let e = load(arch("smallcnn"), &path, (3, 16, 16), None, f, d).err().unwrap().to_string();
    assert!(
        e.contains("net.safetensors") && e.contains("missing `conv1.weight`") && e.contains("stem.conv.weight"),
        "{e}"
    );

    let small = SmallCnn::new(SmallCnnConfig { batch_norm: true, ..Default::default() }, Rng::new(0), f, d).unwrap();
    let path = dir.path().join("small.safetensors");
    small.params().save(&path).unwrap();
    assert!(load(arch("smallcnn"), &path, (1, 28, 28), None, f, d).is_ok());
    // Weights for images of another size, an extra name, a NaN.
    assert!(load(arch("smallcnn"), &path, (1, 32, 32), None, f, d).err().unwrap().to_string().contains("fc1.weight"));
    let (mut all, _) = crate::store::load(&path, d).unwrap();
    all.insert("fc9.weight".into(), Tensor::zeros(2, f, d).unwrap());
    all.remove("fc1.bias");
    let save = |all: &HashMap<String, Tensor>| {
        crate::store::save(&path, all.iter().map(|(n, t)| (n.as_str(), t.clone())), "").unwrap();
    };
    save(&all);
    let e = load(arch("smallcnn"), &path, (1, 28, 28), None, f, d).err().unwrap().to_string();
    assert!(e.contains(r#"missing ["fc1.bias"], unexpected ["fc9.weight"]"#), "{e}");
    all.insert("fc1.bias".into(), Tensor::new(&[f32::NAN], d).unwrap());
    save(&all);
    let e = load(arch("smallcnn"), &path, (1, 28, 28), None, f, d).err().unwrap().to_string();
    assert!(e.contains("weight `fc1.bias`") && e.contains("NaN"), "{e}");
    std::fs::write(dir.path().join("no.pth"), b"hello").unwrap();
    let e = load(arch("smallcnn"), &dir.path().join("no.pth"), (1, 28, 28), None, f, d).err().unwrap().to_string();
    assert!(e.contains("no.pth") && e.contains("PyTorch"), "{e}");
}

/// The smallest network of every family, for images of 1x4x4.
fn networks() -> Vec<(&'static str, Box<dyn Network>)> {
    let (rng, f, d) = (Rng::new(0), DType::F32, &Device::Cpu);
    let (channels, classes, width) = (1, 2, 1);
    let small =
        SmallCnnConfig { input: (1, 4, 4), classes, channels: (1, 1), kernel: 1, hidden: 2, ..Default::default() };
    let resnet = ResNetConfig { width, blocks: vec![1, 1], classes, channels, ..Default::default() };
    let bottleneck = ResNetBlock::Bottleneck { inner: 2, groups: 2 };
    let resnext = ResNetConfig { block: bottleneck, ..resnet.clone() };
    let wide = WideResNetConfig { depth: 10, widen: 2, base: 1, classes, channels, ..Default::default() };
    let preact = PreActResNetConfig { width, blocks: vec![1, 1], classes, channels, ..Default::default() };
    let stages = vec![vec![1, 2], vec![1]];
    let vgg = VggConfig { stages, hidden: vec![2], classes, channels, ..Default::default() };
    let dense =
        DenseNetConfig { width, growth: 1, inner: 1, blocks: vec![1, 1], classes, channels, ..Default::default() };
    let mut mobile = MobileNetV2Config { width, last_width: 1, classes, channels, ..Default::default() };
    for (i, stage) in mobile.stages.iter_mut().enumerate() {
        (stage.channels, stage.expansion, stage.blocks) = (1 + i % 2, 1, 1);
    }
    let vit =
        VitConfig { input: (1, 4, 4), patch: 2, dim: 64, depth: 1, heads: 1, hidden: 1, classes, ..Default::default() };
    let mlp = MlpConfig { input: (1, 4, 4), hidden: vec![2], classes, ..Default::default() };
    vec![
        ("smallcnn", Box::new(SmallCnn::new(small, rng, f, d).unwrap())),
        ("resnet", Box::new(ResNet::new(resnet, rng, f, d).unwrap())),
        ("resnet", Box::new(ResNet::new(resnext, rng, f, d).unwrap())),
        ("wrn", Box::new(WideResNet::new(wide, rng, f, d).unwrap())),
        ("preactresnet", Box::new(PreActResNet::new(preact, rng, f, d).unwrap())),
        ("vgg", Box::new(Vgg::new(vgg, rng, f, d).unwrap())),
        ("densenet", Box::new(DenseNet::new(dense, rng, f, d).unwrap())),
        ("mobilenet_v2", Box::new(MobileNetV2::new(mobile, rng, f, d).unwrap())),
        ("vit", Box::new(Vit::new(vit, rng, f, d).unwrap())),
        ("mlp", Box::new(Mlp::new(mlp, rng, f, d).unwrap())),
    ]
}

/// Networks with initial values of ours are saved and read again, to the same bytes.
#[test]
fn every_family_is_read_as_it_was_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    for (name, net) in networks() {
        net.params().save(&path).unwrap();
        let back = load(arch(name), &path, (1, 4, 4), None, DType::F32, &Device::Cpu).unwrap();
        let values = |n: &dyn Network| -> Vec<(String, Vec<f32>)> {
            let flat = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            n.params().snapshot().unwrap().into_iter().map(|(n, t)| (n, flat(t))).collect()
        };
        assert!(values(&*back) == values(&*net), "{name}");
    }
}

/// Files with some bytes changed or cut: nothing panics, and no network is made that is larger than its file.
#[test]
fn damaged_weights_are_errors() {
    use proptest::prelude::*;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    // Without the checksum of this workspace, so that what is behind it is reached.
    let bytes = |params: &crate::Params| {
        let all: Vec<(String, Tensor)> = params.snapshot().unwrap();
        safetensors::serialize(all.iter().map(|(n, t)| (n, t)), None).unwrap()
    };
    let good: Vec<(Arch, Vec<u8>)> = networks().into_iter().map(|(a, n)| (arch(a), bytes(n.params()))).collect();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(3000) };
    let edits = prop::collection::vec(
        (any::<prop::sample::Index>(), prop::sample::select(b"0123456789[],:{}\"wF4.\x00\xff".to_vec())),
        0..4,
    );
    proptest::test_runner::TestRunner::new(config)
        .run(&(0..good.len(), edits, any::<bool>()), |(which, edits, header)| {
            let (arch, mut bytes) = (good[which].0, good[which].1.clone());
            let end =
                if header { 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize } else { bytes.len() };
            for (i, v) in edits {
                let i = 8 + i.index(end - 8);
                bytes[i] = v;
            }
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(net) = load(arch, &path, (1, 4, 4), None, DType::F32, &Device::Cpu) {
                prop_assert!(net.params().count() * 4 <= bytes.len());
            }
            Ok(())
        })
        .unwrap();
}

/// The weights of a small network for images of some channels, all of one value.
fn weights(prefix: &str, channels: usize, value: f32) -> Vec<(String, Item)> {
    let cfg = SmallCnnConfig {
        input: (channels, 4, 4),
        classes: 2,
        channels: (1, 1),
        kernel: 1,
        hidden: 2,
        ..Default::default()
    };
    let net = SmallCnn::new(cfg, Rng::new(0), DType::F32, &Device::Cpu).unwrap();
    let tensor = |t: Tensor| Item::Tensor(t.dims().to_vec(), vec![value; t.elem_count()]);
    net.params().snapshot().unwrap().into_iter().map(|(n, t)| (format!("{prefix}{n}"), tensor(t))).collect()
}

fn named(name: &str, item: Item) -> (String, Item) {
    (name.to_owned(), item)
}

fn vector(name: &str, values: &[f32]) -> (String, Item) {
    named(name, Item::Tensor(vec![values.len()], values.to_vec()))
}

/// What is read of a file of PyTorch for images of some channels: a weight, which tells the sets apart, and what was chosen.
fn chosen(root: &Item, channels: usize, key: Option<&str>) -> std::result::Result<(f32, Choice), String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.pth");
    std::fs::write(&path, root.saved(&[0.5; 8], false)).unwrap();
    let cfg = LoadConfig {
        input: (channels, 4, 4),
        normalize: None,
        key,
        activation: None,
        heads: None,
        dtype: DType::F32,
        device: &Device::Cpu,
    };
    let Loaded { network, choice } = read(arch("smallcnn"), &path, &cfg).map_err(|e| e.to_string())?;
    let all: HashMap<String, Tensor> = network.params().snapshot().unwrap().into_iter().collect();
    Ok((all["fc2.bias"].to_vec1::<f32>().unwrap()[0], choice))
}

/// An average is no answer to a question about weights that cannot be read.
#[test]
fn no_other_weights_are_taken_in_the_place_of_those_that_fail() {
    let mut trained = weights("", 1, 1.0);
    trained.push(vector("criterion.weight", &[1.0; 4]));
    let both = Item::Dict(vec![
        named("state_dict", Item::Dict(trained)),
        named("ema_state_dict", Item::Dict(weights("", 1, 2.0))),
    ]);
    let e = chosen(&both, 1, None).unwrap_err();
    for want in [
        r#"unexpected ["criterion.weight"]"#,
        "import torch; torch.save({k: v for k, v in torch.load(",
        r#"map_location="cpu")["state_dict"].items() if k not in ["criterion.weight"]}, "weights.pth")"#,
        r#"the keys to choose among are ["state_dict", "ema_state_dict"]"#,
    ] {
        assert!(e.contains(want), "{want}: {e}");
    }
    // Who names the weights says that the rest is something else.
    let (value, choice) = chosen(&both, 1, Some("state_dict")).unwrap();
    assert_eq!((value, &choice.outside[..]), (1.0, &["criterion.weight".to_owned()][..]));
    assert_eq!(chosen(&both, 1, Some("ema_state_dict")).unwrap().0, 2.0);
    // Where the names are those of another network, others are taken, and it is said.
    let other = (0..8).map(|i| vector(&format!("encoder.{i}.weight"), &[1.0])).collect();
    let both = Item::Dict(vec![
        named("state_dict", Item::Dict(other)),
        named("ema_state_dict", Item::Dict(weights("", 1, 2.0))),
    ]);
    let (value, choice) = chosen(&both, 1, None).unwrap();
    assert!(value == 2.0 && choice.is_average());
    assert_eq!(choice.passed, [("state_dict".to_owned(), "conv1.weight".to_owned())]);
}

#[test]
fn what_stands_outside_of_the_prefix_is_left_out_and_named() {
    let mut items = weights("model.", 1, 1.0);
    items.push(vector("projector.weight", &[1.0; 4]));
    items.push(vector("initted", &[1.0]));
    let (value, choice) = chosen(&Item::Dict(items), 1, None).unwrap();
    assert_eq!((value, &choice.prefix[..]), (1.0, "model"));
    assert_eq!((choice.outside, choice.dropped), (vec!["projector.weight".to_owned()], vec!["initted".to_owned()]));
    let (_, choice) = chosen(&Item::Dict(weights("ema_model.", 1, 1.0)), 1, None).unwrap();
    assert!(choice.is_average(), "by its prefix");
    // Gradients have the names and the shapes of weights.
    let both = vec![
        named("grads", Item::Dict(weights("", 1, 2.0))),
        named("optimizer_init", Item::Dict(weights("", 1, 3.0))),
        named("final", Item::Dict(weights("", 1, 1.0))),
    ];
    let (value, choice) = chosen(&Item::Dict(both), 1, None).unwrap();
    assert_eq!((value, &choice.key[..], choice.others.len()), (1.0, "final", 2));
}

#[test]
fn a_normalising_layer_of_bytes_of_one_number_or_outside_of_the_network() {
    let layer = |mean: &[f32], std: &[f32], channels| {
        let mut items = weights("1.", channels, 1.0);
        items.extend([vector("0.mean", mean), vector("0.std", std)]);
        chosen(&Item::Dict(items), channels, None).map(|(_, c)| (c.normalize, c.divided))
    };
    assert_eq!(layer(&[0.0], &[255.0], 1).unwrap(), (Some((vec![0.0], vec![1.0])), true));
    assert_eq!(layer(&[0.5], &[0.25], 3).unwrap(), (Some((vec![0.5; 3], vec![0.25; 3])), false));
    let e = layer(&[0.5; 2], &[0.25; 2], 3).unwrap_err();
    assert!(e.contains(r#"["0.mean", "0.std"] are a normalising layer, but not one of 3 channels"#), "{e}");
    for numbers in [|| Item::Floats(vec![0.5]), || Item::Tensor(vec![1], vec![0.5])] {
        let items = vec![
            named("state_dict", Item::Dict(weights("", 1, 1.0))),
            named("mean", numbers()),
            named("std", numbers()),
        ];
        let (_, choice) = chosen(&Item::Dict(items), 1, None).unwrap();
        assert_eq!((choice.normalize, choice.unused), (None, Some(("mean".to_owned(), "std".to_owned()))));
    }
}

#[test]
fn a_tensor_of_nothing_and_an_unknown_stem_are_errors() {
    let mut items = weights("", 1, 1.0);
    items.iter_mut().filter(|(n, _)| n == "fc1.bias").for_each(|i| i.1 = Item::Part(1_000_000, vec![0]));
    let e = chosen(&Item::Dict(items), 1, None).unwrap_err();
    assert!(e.contains("weight `fc1.bias`: expected shape one with elements"), "{e}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("resnet.pth");
    let shapes =
        [("conv1.weight", vec![1, 1, 5, 5]), ("layer1.0.conv1.weight", vec![1, 1, 3, 3]), ("fc.weight", vec![2, 1])];
    let tensor = |(n, s): (&str, Vec<usize>)| named(n, Item::Tensor(s.clone(), vec![0.0; s.iter().product()]));
    std::fs::write(&path, Item::Dict(shapes.into_iter().map(tensor).collect()).saved(&[], false)).unwrap();
    let e = load(arch("resnet"), &path, (1, 4, 4), None, DType::F32, &Device::Cpu).err().unwrap().to_string();
    assert!(e.contains("a kernel of 5x5") && e.contains("7x7"), "{e}");
}

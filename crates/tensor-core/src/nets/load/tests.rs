//! Files that this workspace writes, and what is refused. What PyTorch writes is tested in `sconce`, from files to an accuracy.

use super::*;
use crate::nets::{ResNet, ResNetConfig, SmallCnn, SmallCnnConfig};
use crate::{Module, Rng};
use candle_core::Tensor;
use std::collections::HashMap;

#[test]
fn sizes_are_read_off_the_weights_and_what_does_not_fit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (d, f) = (&Device::Cpu, DType::F32);
    let path = dir.path().join("net.safetensors");
    let cfg = ResNetConfig { width: 4, blocks: vec![1, 2], classes: 7, ..ResNetConfig::default() };
    let net = ResNet::new(cfg, Rng::new(3), f, d).unwrap();
    net.params().save(&path).unwrap();
    let x = Rng::new(1).uniform((2, 3, 16, 16), 0.0..1.0, f, d).unwrap();
    let back = load(Arch::ResNet, &path, (3, 16, 16), None, f, d).unwrap();
    let bits = |n: &dyn Network| n.logits(&x).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(bits(&*back), bits(&net));
    let e = load(Arch::SmallCnn, &path, (3, 16, 16), None, f, d).err().unwrap().to_string();
    assert!(
        e.contains("net.safetensors") && e.contains("missing `conv1.weight`") && e.contains("stem.conv.weight"),
        "{e}"
    );

    let small = SmallCnn::new(SmallCnnConfig { batch_norm: true, ..Default::default() }, Rng::new(0), f, d).unwrap();
    let path = dir.path().join("small.safetensors");
    small.params().save(&path).unwrap();
    assert!(load(Arch::SmallCnn, &path, (1, 28, 28), None, f, d).is_ok());
    // Weights for images of another size, an extra name, a NaN.
    assert!(load(Arch::SmallCnn, &path, (1, 32, 32), None, f, d).err().unwrap().to_string().contains("fc1.weight"));
    let (mut all, _) = crate::store::load(&path, d).unwrap();
    all.insert("fc9.weight".into(), Tensor::zeros(2, f, d).unwrap());
    all.remove("fc1.bias");
    let save = |all: &HashMap<String, Tensor>| {
        crate::store::save(&path, all.iter().map(|(n, t)| (n.as_str(), t.clone())), "").unwrap();
    };
    save(&all);
    let e = load(Arch::SmallCnn, &path, (1, 28, 28), None, f, d).err().unwrap().to_string();
    assert!(e.contains(r#"missing ["fc1.bias"], unexpected ["fc9.weight"]"#), "{e}");
    all.insert("fc1.bias".into(), Tensor::new(&[f32::NAN], d).unwrap());
    save(&all);
    let e = load(Arch::SmallCnn, &path, (1, 28, 28), None, f, d).err().unwrap().to_string();
    assert!(e.contains("weight `fc1.bias`") && e.contains("NaN"), "{e}");
    std::fs::write(dir.path().join("no.pth"), b"hello").unwrap();
    let e = load(Arch::SmallCnn, &dir.path().join("no.pth"), (1, 28, 28), None, f, d).err().unwrap().to_string();
    assert!(e.contains("no.pth") && e.contains("PyTorch"), "{e}");
}

/// Files with some bytes changed or cut: nothing panics, and no network is made that is larger than its file.
#[test]
fn damaged_weights_are_errors() {
    use proptest::prelude::*;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    let cfg =
        SmallCnnConfig { input: (1, 4, 4), classes: 2, channels: (1, 1), kernel: 1, hidden: 2, ..Default::default() };
    let small = SmallCnn::new(cfg, crate::Rng::new(0), DType::F32, &Device::Cpu).unwrap();
    let resnet = ResNetConfig { width: 1, blocks: vec![1], classes: 2, channels: 1, ..ResNetConfig::default() };
    let resnet = ResNet::new(resnet, crate::Rng::new(0), DType::F32, &Device::Cpu).unwrap();
    // Without the checksum of this workspace, so that what is behind it is reached.
    let bytes = |params: &crate::Params| {
        let all: Vec<(String, Tensor)> = params.snapshot().unwrap();
        safetensors::serialize(all.iter().map(|(n, t)| (n, t)), None).unwrap()
    };
    let good = [(Arch::SmallCnn, bytes(small.params())), (Arch::ResNet, bytes(resnet.params()))];
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) };
    let edits = prop::collection::vec(
        (any::<prop::sample::Index>(), prop::sample::select(b"0123456789[],:{}\"wF4.\x00\xff".to_vec())),
        0..4,
    );
    proptest::test_runner::TestRunner::new(config)
        .run(&(0..2usize, edits, any::<bool>()), |(which, edits, header)| {
            let (arch, mut bytes) = good[which].clone();
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

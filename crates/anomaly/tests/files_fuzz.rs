//! Files of detectors that were changed: an error, or a detector that scores without a panic.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use sconce_anomaly::{
    Calibrated, Copod, Detector, Ecod, Encoded, Hbos, IsolationForest, IsolationForestConfig, Knn, Lof, Mahalanobis,
    Method, Missing, OneClassSvm, Pca, Scale, Scaled, State, TrainingRows, load, save,
};
use sconce_tensor_core::Rng;
use sconce_tensor_core::store::{Fingerprint, Kept};
use sconce_tensor_core::table::{Column, Kind, Schema};
use std::sync::LazyLock;

fn detectors() -> Vec<Box<dyn Detector>> {
    let forest = IsolationForest::new(IsolationForestConfig { trees: 3, sample: 16 }).unwrap();
    let names = ["u", "v"].map(str::to_owned).to_vec();
    let columns = vec![
        Column { name: "a".to_owned(), kind: Kind::Number },
        Column { name: "b".to_owned(), kind: Kind::Category(names) },
        Column { name: "c".to_owned(), kind: Kind::Date },
    ];
    let encoded =
        Encoded::new(Scaled::new(Hbos::default(), Scale::Standard), Schema::new(columns).unwrap(), Missing::Impute);
    let methods: Vec<Box<dyn Method>> = vec![
        Box::new(Ecod),
        Box::new(Copod),
        Box::new(Hbos::default()),
        Box::new(forest),
        Box::new(Knn::default()),
        Box::new(Lof::default()),
        Box::new(Mahalanobis::default()),
        Box::new(Pca::default()),
        Box::new(OneClassSvm::default()),
        Box::new(Calibrated::new(encoded, 0.3).unwrap()),
    ];
    let values = Rng::new(0)
        .normals(120)
        .into_iter()
        .enumerate()
        .map(|(i, v)| if i % 3 == 1 { f64::from(i % 2 == 0) } else { v });
    let x = Tensor::from_vec(values.collect(), (40, 3), &Device::Cpu).unwrap();
    methods.iter().map(|m| m.fit(&TrainingRows::normal(&x), &Rng::new(0)).unwrap()).collect()
}

static DETECTORS: LazyLock<Vec<Box<dyn Detector>>> = LazyLock::new(detectors);

/// Loads a file and, where that succeeds, scores and explains.
fn try_out(path: &std::path::Path) {
    let Ok(found) = load(path) else { return };
    let d = found.features();
    if d <= 64 {
        let x = Tensor::zeros((3, d), DType::F64, &Device::Cpu).unwrap();
        let _ = found.score(&x);
        let _ = found.contributions(&x);
        let _ = found.state();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn changed_bytes(which in 0usize..10, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.safetensors");
        save(&*DETECTORS[which], &path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        std::fs::write(&path, bytes).unwrap();
        try_out(&path);
    }

    /// The checksum is right, and the content is not that of a detector.
    #[test]
    fn changed_states(
        which in 0usize..10,
        tensor in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300, 1e9, 3.0]),
        how in 0usize..4,
    ) {
        let detector = &DETECTORS[which];
        let State { mut tensors, mut values } = detector.state().unwrap();
        let k = tensor.index(tensors.len().max(1));
        if let Some((_, t)) = tensors.get_mut(k).filter(|_| how < 3) {
            let mut all = t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let i = at.index(all.len());
            match how {
                0 => all[i] = value,
                1 => all.truncate(i),
                _ => all.extend_from_within(..i),
            }
            let n = all.len();
            *t = Tensor::from_vec(all, n, &Device::Cpu).unwrap();
        } else {
            // One number of the configuration.
            let text = values.to_string();
            let digits: Vec<usize> = text.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(i, _)| i).collect();
            if !digits.is_empty() {
                let i = digits[at.index(digits.len())];
                let changed = format!("{}{}{}", &text[..i], value.abs().min(1e9) as u64, &text[i + 1..]);
                values = serde_json::from_str(&changed).unwrap_or(values);
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.safetensors");
        Kept::new(Fingerprint::new().with("detector", detector.name()), State { tensors, values }).save(&path).unwrap();
        try_out(&path);
    }
}

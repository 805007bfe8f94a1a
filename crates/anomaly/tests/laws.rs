//! Properties that every detector has.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_anomaly::metrics::auroc;
use sconce_anomaly::{
    Calibrated, Copod, Detector, Ecod, Encoded, Error, Hbos, HbosConfig, IsolationForest, IsolationForestConfig, Knn,
    KnnConfig, KnnScore, Lof, LofConfig, Mahalanobis, MahalanobisConfig, Method, Missing, NetworkConfig, OneClassSvm,
    OneClassSvmConfig, Pca, PcaConfig, PcaScore, Reconstruction, ReconstructionConfig, ReconstructionObjective, Scale,
    Scaled, TrainingRows, load, save,
};
use sconce_tensor_core::Rng;
use sconce_tensor_core::store::{Fingerprint, Kept, State};
use sconce_tensor_core::table::{Column, Kind, Schema};

fn methods() -> Vec<Box<dyn Method>> {
    vec![
        Box::new(Ecod),
        Box::new(Copod),
        Box::new(Hbos::default()),
        Box::new(IsolationForest::default()),
        Box::new(Knn::default()),
        Box::new(Knn::new(KnnConfig { neighbours: 4, score: KnnScore::Median }).unwrap()),
        Box::new(Lof::default()),
        Box::new(Mahalanobis::default()),
        Box::new(Mahalanobis::new(MahalanobisConfig { ridge: 0.1 }).unwrap()),
        Box::new(Pca::default()),
        Box::new(Pca::new(PcaConfig { score: PcaScore::Weighted, ..Default::default() }).unwrap()),
        Box::new(OneClassSvm::default()),
        Box::new(Scaled::new(Knn::default(), Scale::Standard)),
        Box::new(Encoded::new(Scaled::new(Knn::default(), Scale::Standard), numbers_only(), Missing::Impute)),
        Box::new(Scaled::new(Scaled::new(IsolationForest::default(), Scale::MinMax), Scale::Standard)),
    ]
}

fn numbers_only() -> Schema {
    let column = |n: &str| Column { name: n.to_owned(), kind: Kind::Number };
    Schema::new(["a", "b", "c"].map(column).to_vec()).unwrap()
}

/// Correlated normal rows around 0 (rows 0..n), and anomalies around 6.
fn data(n: usize, anomalies: usize) -> (Tensor, Vec<bool>) {
    let z = Rng::new(1).normals((n + anomalies) * 3);
    let row = |i: usize| {
        let z = &z[i * 3..][..3];
        let far = if i < n { 0.0 } else { 6.0 };
        [z[0] + far, 0.8 * z[0] + 0.6 * z[1] - far, z[2]]
    };
    let values: Vec<f64> = (0..n + anomalies).flat_map(row).collect();
    let x = Tensor::from_vec(values, (n + anomalies, 3), &Device::Cpu).unwrap();
    (x, (0..n + anomalies).map(|i| i >= n).collect())
}

fn numbers(t: Tensor) -> Vec<f64> {
    t.to_vec1().unwrap()
}

#[test]
fn anomalies_score_higher_and_known_ones_are_excluded_from_training() {
    let (all, truth) = data(200, 20);
    let normal = all.narrow(0, 0, 200).unwrap();
    for m in methods() {
        let fitted = m.fit(&TrainingRows::normal(&normal), &Rng::new(0)).unwrap();
        let scores = numbers(fitted.score(&all).unwrap());
        let area = auroc(&scores, &truth).unwrap();
        // The residual of PCA at 90 % of the variance is that along the third axis only.
        assert!(area > if format!("{m:?}").contains("Residual") { 0.6 } else { 0.9 }, "{m:?}: {area}");
        let labelled = m.fit(&TrainingRows::new(&all, Some(&truth)), &Rng::new(0)).unwrap();
        assert_eq!(numbers(labelled.score(&all).unwrap()), scores, "{m:?}: known anomalies were learned as normal");
        assert_eq!(fitted.features(), 3);
    }
}

#[test]
fn a_score_depends_on_the_example_and_the_seed_only() {
    let (all, _) = data(60, 4);
    for m in methods() {
        let fitted = m.fit(&TrainingRows::normal(&all), &Rng::new(3)).unwrap();
        let together = numbers(fitted.score(&all).unwrap());
        let alone: Vec<f64> =
            (0..64).flat_map(|i| numbers(fitted.score(&all.narrow(0, i, 1).unwrap()).unwrap())).collect();
        assert_eq!(together, alone, "{m:?}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let again = pool.install(|| m.fit(&TrainingRows::normal(&all), &Rng::new(3)).unwrap().score(&all).unwrap());
        assert_eq!(numbers(again), together, "{m:?} on one thread");
        let narrow = all.to_dtype(DType::F32).unwrap();
        assert!(fitted.score(&narrow).unwrap().dtype() == DType::F64);
    }
    let forest = |seed| {
        let f = IsolationForest::default().fit(&TrainingRows::normal(&all), &Rng::new(seed)).unwrap();
        numbers(f.score(&all).unwrap())
    };
    assert_ne!(forest(0), forest(1));
}

#[test]
fn bad_input_is_named() {
    let (x, truth) = data(60, 4);
    let bad = Tensor::new(&[[0.0, 1.0, 2.0], [0.0, f64::NAN, 2.0]], &Device::Cpu).unwrap();
    let wide = Tensor::zeros((2, 4), DType::F64, &Device::Cpu).unwrap();
    for m in methods() {
        let fitted = m.fit(&TrainingRows::normal(&x), &Rng::new(0)).unwrap();
        let message = |t: &Tensor| fitted.score(t).unwrap_err().to_string();
        // A detector that imputes missing values accepts a NaN.
        if fitted.name() == "encoded" {
            assert!(fitted.score(&bad).is_ok());
            continue;
        }
        assert!(message(&bad).contains("NaN at row 1, column 1"), "{m:?}: {}", message(&bad));
        assert!(message(&wide).contains("(N, 3)") && message(&wide).contains("[2, 4]"), "{m:?}: {}", message(&wide));
        assert!(fitted.score(&x.flatten_all().unwrap()).is_err());
        let message = |t: &TrainingRows<'_>| m.fit(t, &Rng::new(0)).unwrap_err().to_string();
        assert!(message(&TrainingRows::normal(&bad)).contains("row 1, column 1"));
        assert!(message(&TrainingRows::new(&x, Some(&[true; 64]))).contains("all 64 examples are anomalies"));
        assert!(message(&TrainingRows::new(&x, Some(&truth[1..]))).contains("(63, D)"));
    }
}

/// A single example, and constant features: an error that names the problem, or finite scores.
#[test]
fn almost_no_data() {
    let one = Tensor::new(&[[1.0, 2.0, 3.0]], &Device::Cpu).unwrap();
    let same = Tensor::ones((50, 3), DType::F64, &Device::Cpu).unwrap();
    for m in methods() {
        match m.fit(&TrainingRows::normal(&one), &Rng::new(0)) {
            Ok(f) => assert!(numbers(f.score(&one).unwrap())[0].is_finite(), "{m:?}"),
            Err(e) => {
                assert!(e.to_string().contains("1 training examples") || e.to_string().contains("at least 2"), "{e}")
            }
        }
        let fitted = m.fit(&TrainingRows::normal(&same), &Rng::new(0)).unwrap();
        let scores = numbers(fitted.score(&Tensor::cat(&[&same, &one], 0).unwrap()).unwrap());
        assert!(scores.iter().all(|s| s.is_finite()), "{m:?}: {scores:?}");
    }
}

/// Categories, missing values, and names that did not occur in training; one contribution per column; the same after saving and
/// loading.
#[test]
fn a_table_with_categories_and_gaps() {
    let colour = Kind::Category(["blue", "green", "red"].map(String::from).to_vec());
    let schema = Schema::new(vec![
        Column { name: "size".into(), kind: Kind::Number },
        Column { name: "colour".into(), kind: colour },
    ])
    .unwrap();
    // Small ones are blue, large ones red; green is rare.
    let row = |i: usize| match i {
        0 => [f64::NAN, 0.0],
        1 => [5.0, f64::NAN],
        2 => [5.0, 1.0],
        _ if i.is_multiple_of(2) => [1.0 + 0.01 * i as f64, 0.0],
        _ => [9.0 + 0.01 * i as f64, 2.0],
    };
    let table = |rows: &[[f64; 2]]| Tensor::from_slice(&rows.concat(), (rows.len(), 2), &Device::Cpu).unwrap();
    let x = table(&(0..60).map(row).collect::<Vec<_>>());
    let known: Vec<bool> = (0..60).map(|i| i == 2).collect();
    let train = TrainingRows::new(&x, Some(&known));
    let pca = || Scaled::new(Mahalanobis::new(MahalanobisConfig { ridge: 0.01 }).unwrap(), Scale::Standard);
    let method = Calibrated::new(Encoded::new(pca(), schema.clone(), Missing::Impute), 0.25).unwrap();
    let fitted = method.fit(&train, &Rng::new(0)).unwrap();
    assert_eq!((fitted.features(), fitted.schema()), (2, Some(&schema)));
    assert_eq!(fitted.calibration().unwrap().scores().len(), 14);
    let asked = table(&[[1.2, 0.0], [9.3, 2.0], [9.3, 0.0], [1.2, 3.0], [f64::NAN, f64::NAN]]);
    let s = numbers(fitted.score(&asked).unwrap());
    assert!(s[2] > 3.0 * s[0].max(s[1]) && s[3] > 2.0 * s[0] && s[4].is_finite(), "{s:?}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.safetensors");
    save(&*fitted, &path).unwrap();
    let again = load(&path).unwrap();
    assert_eq!((numbers(again.score(&asked).unwrap()), again.schema()), (s, Some(&schema)));
    assert_eq!(again.calibration(), fitted.calibration());

    let net = NetworkConfig { hidden: vec![2], epochs: 1, ..Default::default() };
    let auto = Reconstruction::new(
        ReconstructionObjective::Autoencoder,
        ReconstructionConfig { network: net, ..Default::default() },
    );
    let auto = Encoded::new(auto.unwrap(), schema.clone(), Missing::Impute).fit(&train, &Rng::new(0)).unwrap();
    let parts = auto.contributions(&asked).unwrap().unwrap();
    assert_eq!(parts.dims(), [5, 2]);
    let r = numbers(auto.score(&asked).unwrap());
    let mean = numbers((parts.sum(1).unwrap() / 4.0).unwrap());
    assert!(r.iter().zip(mean).all(|(r, m)| (r - m.sqrt()).abs() < 1e-5), "the root mean square over four features");

    let strict = Encoded::new(pca(), schema.clone(), Missing::Refuse);
    let message = |e: Result<Box<dyn Detector>, Error>| e.unwrap_err().to_string();
    assert!(message(strict.fit(&train, &Rng::new(0))).contains("(NaN) at row 0, column `size`"));
    let gap = table(&[[f64::NAN, 0.0], [f64::NAN, 1.0]]);
    let imputed = Encoded::new(pca(), schema.clone(), Missing::Impute).fit(&TrainingRows::normal(&gap), &Rng::new(0));
    assert!(message(imputed).contains("column `size`: no normal example has a value"));
    let wrong = fitted.score(&table(&[[1.0, 0.5]])).unwrap_err().to_string();
    assert!(wrong.contains("0.5 is not an index of 3 categories, at row 0, column `colour`"), "{wrong}");
    let one = Calibrated::new(pca(), 0.5).unwrap().fit(&TrainingRows::normal(&table(&[[1.0, 1.0]])), &Rng::new(0));
    assert!(message(one).contains("1 normal examples"));
}

#[test]
fn configurations_and_files() {
    for e in [
        Hbos::new(HbosConfig { bins: 0, ..Default::default() }).err(),
        Knn::new(KnnConfig { neighbours: 0, ..Default::default() }).err(),
        Lof::new(LofConfig { neighbours: 0 }).err(),
        IsolationForest::new(IsolationForestConfig { sample: 1, ..Default::default() }).err(),
        Mahalanobis::new(MahalanobisConfig { ridge: f64::NAN }).err(),
        Pca::new(PcaConfig { variance: 0.0, ..Default::default() }).err(),
        OneClassSvm::new(OneClassSvmConfig { nu: 0.0, ..Default::default() }).err(),
    ] {
        assert!(e.unwrap().to_string().contains("must be"));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.safetensors");
    let (x, _) = data(60, 0);
    for m in methods() {
        let fitted = m.fit(&TrainingRows::normal(&x), &Rng::new(0)).unwrap();
        save(&*fitted, &path).unwrap();
        let again = load(&path).unwrap();
        assert_eq!(numbers(again.score(&x).unwrap()), numbers(fitted.score(&x).unwrap()), "{m:?}");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(load(&path).unwrap_err().to_string().contains("not a whole"), "{m:?}");
    }
    let file = |name: &str, values: serde_json::Value| {
        let state = State { tensors: Vec::new(), values };
        Kept::new(Fingerprint::new().with("detector", name), state).save(&path).unwrap();
    };
    file("oracle", serde_json::Value::Null);
    assert!(load(&path).unwrap_err().to_string().contains("no detector `oracle`"));
    file("ecod", serde_json::json!({ "skewness": [1.0] }));
    assert!(load(&path).unwrap_err().to_string().contains("no tensor `sorted`"));
}

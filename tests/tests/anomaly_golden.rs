//! Detectors without a network against scikit-learn and PyOD on three data sets: scores where the algorithm is the same, the
//! area under the curve where it is not.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use anyhow::Result;
use candle_core::Tensor;
use sconce_anomaly::metrics::{auroc, average_precision};
use sconce_anomaly::{
    Copod, Ecod, Hbos, IsolationForest, Knn, Lof, Mahalanobis, Method, OneClassSvm, OneClassSvmConfig, Pca, PcaConfig,
    PcaScore, TrainingRows, load, save,
};
use sconce_tensor_core::{Rng, stats::Summary};
use sconce_tests::{Golden, golden};

const SETS: [&str; 3] = ["cancer", "digits", "shuttle"];

fn figures() -> Result<serde_json::Value> {
    Ok(serde_json::from_slice(&std::fs::read(golden("anomaly.json"))?)?)
}

fn truth(g: &Golden, set: &str) -> Result<Vec<bool>> {
    Ok(g.get(&format!("{set}.truth"))?.to_vec1::<i64>()?.into_iter().map(|t| t == 1).collect())
}

/// Fits, saves, loads, scores.
fn scores(method: &dyn Method, train: &Tensor, test: &Tensor, seed: u64) -> Result<Vec<f64>> {
    let fitted = method.fit(&TrainingRows::normal(train), &Rng::new(seed))?;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("detector.safetensors");
    save(&*fitted, &path)?;
    let again = load(&path)?;
    assert_eq!((again.name(), again.features()), (fitted.name(), fitted.features()));
    let found = fitted.score(test)?.to_vec1::<f64>()?;
    assert_eq!(again.score(test)?.to_vec1::<f64>()?, found, "{} is another after loading", fitted.name());
    Ok(found)
}

#[test]
fn the_same_scores() -> Result<()> {
    let g = Golden::load("anomaly.safetensors")?;
    let figures = figures()?;
    let knn = Knn::default();
    let svm = OneClassSvm::new(OneClassSvmConfig { tolerance: 1e-10, ..Default::default() })?;
    let (lof, mahalanobis, hbos) = (Lof::default(), Mahalanobis::default(), Hbos::default());
    let pca = |score| Pca::new(PcaConfig { score, ..Default::default() });
    let (residual, weighted) = (pca(PcaScore::Residual)?, pca(PcaScore::Weighted)?);
    for set in SETS {
        let cases: [(&str, &dyn Method, &str, &str); 10] = [
            ("ecod.train", &Ecod, "train", "train"),
            ("copod.train", &Copod, "train", "train"),
            ("hbos.train", &hbos, "train", "train"),
            ("hbos", &hbos, "train", "test"),
            ("knn", &knn, "train_std", "test_std"),
            ("lof", &lof, "train_std", "test_std"),
            ("mahalanobis", &mahalanobis, "train_std", "test_std"),
            ("one-class-svm", &svm, "train_std", "test_std"),
            ("pca", &residual, "train_std", "test_std"),
            ("pca-weighted", &weighted, "train_std", "test_std"),
        ];
        // Some pixels of the digits do not vary: PyOD divides by a variance that is rounding error.
        for (name, method, train, test) in cases.into_iter().filter(|c| (set, c.0) != ("digits", "pca-weighted")) {
            let ours = scores(method, g.get(&format!("{set}.{train}"))?, g.get(&format!("{set}.{test}"))?, 0)?;
            let want = g.get(&format!("{set}.{name}"))?.to_vec1::<f64>()?;
            for (i, (a, b)) in ours.iter().zip(&want).enumerate() {
                assert!((a - b).abs() <= 1e-6 * (1.0 + b.abs()), "{set} {name}: row {i}: ours {a}, theirs {b}");
            }
            if let Some(theirs) = figures[format!("{set}.{name}")].as_array() {
                let t = truth(&g, set)?;
                assert!((auroc(&ours, &t)? - theirs[0].as_f64().unwrap()).abs() < 1e-9, "{set} {name}");
                assert!((average_precision(&ours, &t)? - theirs[1].as_f64().unwrap()).abs() < 1e-9, "{set} {name}");
            }
        }
    }
    Ok(())
}

/// PyOD scores new examples by ECOD and COPOD among the training examples and each other: our scores, fitted on all of them.
#[test]
fn new_examples_by_tails() -> Result<()> {
    let g = Golden::load("anomaly.safetensors")?;
    for set in SETS {
        let (train, test) = (g.get(&format!("{set}.train"))?, g.get(&format!("{set}.test"))?);
        let pool = Tensor::cat(&[train, test], 0)?;
        for (name, method) in [("ecod", &Ecod as &dyn Method), ("copod", &Copod)] {
            let ours = scores(method, &pool, test, 0)?;
            let theirs = g.get(&format!("{set}.{name}"))?.to_vec1::<f64>()?;
            let far = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max);
            assert!(far < 1e-6, "{set} {name}: {far}");
        }
    }
    Ok(())
}

/// The mean over ten seeds is within the spread of scikit-learn's ten.
#[test]
fn isolation_forests_within_their_spread() -> Result<()> {
    let g = Golden::load("anomaly.safetensors")?;
    let figures = figures()?;
    for set in SETS {
        let (train, test) = (g.get(&format!("{set}.train"))?, g.get(&format!("{set}.test"))?);
        let t = truth(&g, set)?;
        let each = |seed| auroc(&scores(&IsolationForest::default(), train, test, seed)?, &t).map_err(Into::into);
        let ours = Summary::new((0..10).map(each).collect::<Result<_>>()?)?;
        let theirs: Vec<f64> = serde_json::from_value(figures[format!("{set}.isolation-forest")].clone())?;
        let theirs = Summary::new(theirs)?;
        let (a, b) = (ours.std.unwrap(), theirs.std.unwrap());
        // Three standard errors of the difference of two means of ten.
        let room = 3.0 * ((a * a + b * b) / 10.0).sqrt() + 1e-3;
        assert!(
            (ours.mean - theirs.mean).abs() < room,
            "{set}: ours {} ({a}), theirs {} ({b})",
            ours.mean,
            theirs.mean
        );
    }
    Ok(())
}

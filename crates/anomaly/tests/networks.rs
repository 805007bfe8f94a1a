//! Detectors based on neural networks: the claims A5, A6 and A8 of the specification, and files.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use sconce_anomaly::metrics::auroc;
use sconce_anomaly::{
    DeepSad, DeepSadConfig, Detector, DevNet, DevNetConfig, Method, NetworkConfig, NeuralClassifier, Reconstruction,
    ReconstructionConfig, ReconstructionObjective, Residual, TrainingRows, Variational, VariationalConfig, load, save,
};
use sconce_tensor_core::Rng;

fn network(epochs: usize) -> NetworkConfig {
    NetworkConfig { hidden: vec![32, 16, 1], epochs, batch: 50, lr: 3e-3, ..Default::default() }
}

fn reconstruction(objective: ReconstructionObjective, network: NetworkConfig) -> Reconstruction {
    Reconstruction::new(objective, ReconstructionConfig { network, ..Default::default() }).unwrap()
}

/// `n` points from a normal distribution around (x, y) with the given standard deviation.
fn cluster(seed: u64, n: usize, (x, y): (f64, f64), spread: f64) -> Tensor {
    let c = Tensor::new(&[x, y], &Device::Cpu).unwrap();
    let z = Rng::new(seed).normal((n, 2), 0.0, spread, DType::F64, &Device::Cpu).unwrap();
    z.broadcast_add(&c).unwrap()
}

/// Normal points on an arc, known anomalies on one side of it, unknown ones on the other side, following the description of the
/// paper's toy data.
fn toy() -> (Tensor, Vec<bool>, Tensor) {
    let t = Rng::new(0).uniforms(400);
    let noise = Rng::new(1).normals(800);
    let arc: Vec<f64> = (0..400)
        .flat_map(|i| {
            let a = 3.0 * t[i] + 0.07;
            [2.0 * a.cos() + 0.1 * noise[2 * i], 2.0 * a.sin() - 1.0 + 0.1 * noise[2 * i + 1]]
        })
        .collect();
    let normal = Tensor::from_vec(arc, (400, 2), &Device::Cpu).unwrap();
    let known = cluster(2, 40, (0.0, 2.4), 0.2);
    let x = Tensor::cat(&[&normal, &known], 0).unwrap();
    (x, (0..440).map(|i| i >= 400).collect(), cluster(3, 100, (0.0, -1.5), 0.2))
}

fn area(d: &dyn Detector, normal: &Tensor, anomalies: &Tensor) -> f64 {
    let both = Tensor::cat(&[normal, anomalies], 0).unwrap();
    let truth: Vec<bool> = (0..both.dims()[0]).map(|i| i >= normal.dims()[0]).collect();
    auroc(&d.score(&both).unwrap().to_vec1::<f64>().unwrap(), &truth).unwrap()
}

#[test]
fn abc_finds_known_anomalies_like_a_classifier_and_unknown_ones_better() {
    let (x, known, unknown) = toy();
    let train = TrainingRows::new(&x, Some(&known));
    let (normal, anomalies) = (x.narrow(0, 0, 400).unwrap(), x.narrow(0, 400, 40).unwrap());
    let abc = reconstruction(ReconstructionObjective::Abc, network(80)).fit(&train, &Rng::new(0)).unwrap();
    let net = NetworkConfig { hidden: vec![32, 16], ..network(80) };
    let classifier = NeuralClassifier::new(net).unwrap().fit(&train, &Rng::new(0)).unwrap();
    let known_area = |d: &dyn Detector| area(d, &normal, &anomalies);
    let unknown_area = |d: &dyn Detector| area(d, &normal, &unknown);
    assert!(
        known_area(&*abc) > 0.97 && known_area(&*classifier) > 0.97,
        "{} {}",
        known_area(&*abc),
        known_area(&*classifier)
    );
    assert!(
        unknown_area(&*abc) > 0.9 && unknown_area(&*classifier) < 0.6,
        "{} {}",
        unknown_area(&*abc),
        unknown_area(&*classifier)
    );
}

/// A7: r and 1 - e^-r give the same ranking in f64, while the latter rounds to 1 in f32. A8: far from all examples r grows with
/// the distance in every direction, because the code after tanh is bounded.
#[test]
fn ranks_by_r_which_grows_far_away() {
    let (x, known, _) = toy();
    let abc = reconstruction(ReconstructionObjective::Abc, network(40));
    let abc = abc.fit(&TrainingRows::new(&x, Some(&known)), &Rng::new(0)).unwrap();
    let r = abc.score(&x).unwrap().to_vec1::<f64>().unwrap();
    let p: Vec<f64> = r.iter().map(|r| -(-r).exp_m1()).collect();
    assert_eq!(auroc(&r, &known).unwrap(), auroc(&p, &known).unwrap());
    assert!([20f32, 30.0].map(|r| 1.0 - (-r).exp()) == [1.0, 1.0]);
    let most = r[..400].iter().copied().fold(0.0, f64::max);
    for turn in 0..8 {
        let a = f64::from(turn) * std::f64::consts::FRAC_PI_4;
        let at = |d: f64| {
            let far = Tensor::new(&[[d * a.cos(), d * a.sin()]], &Device::Cpu).unwrap();
            abc.score(&far).unwrap().to_vec1::<f64>().unwrap()[0]
        };
        let (near, far) = (at(20.0), at(200.0));
        assert!(near > 5.0 * most && far > 8.0 * near, "{turn}: {near} {far} {most}");
    }
}

/// Deep SAD maps normal examples close to its centre and known anomalies away from it; deep SVDD does not use the latter.
#[test]
fn distances_to_a_centre() {
    let (x, known, _) = toy();
    let (normal, anomalies) = (x.narrow(0, 0, 400).unwrap(), x.narrow(0, 400, 40).unwrap());
    let net = NetworkConfig { hidden: vec![32, 16, 4], ..network(60) };
    let fit = |eta, labels| {
        let m = DeepSad::new(DeepSadConfig { network: net.clone(), eta }).unwrap();
        m.fit(&TrainingRows::new(&x, labels), &Rng::new(0)).unwrap()
    };
    let sad = fit(1.0, Some(&known[..]));
    assert!(area(&*sad, &normal, &anomalies) > 0.97, "{}", area(&*sad, &normal, &anomalies));
    // With weight 0 they are excluded: the detector is that of the normal examples.
    let svdd = fit(0.0, Some(&known[..])).score(&x).unwrap().to_vec1::<f64>().unwrap();
    let alone = DeepSad::new(DeepSadConfig { network: net.clone(), eta: 1.0 }).unwrap();
    let alone = alone.fit(&TrainingRows::normal(&normal), &Rng::new(0)).unwrap();
    assert_eq!(alone.score(&x).unwrap().to_vec1::<f64>().unwrap(), svdd);
    assert!(DeepSad::new(DeepSadConfig { eta: -1.0, ..Default::default() }).is_err());
}

/// A deviation network scores known anomalies a margin above the normal examples, although there are ten times fewer of them.
#[test]
fn scores_in_deviations_of_a_prior() {
    let (x, known, _) = toy();
    let train = TrainingRows::new(&x, Some(&known));
    let cfg = DevNetConfig { network: NetworkConfig { hidden: vec![16], ..network(60) }, ..Default::default() };
    let fitted = DevNet::new(cfg.clone()).unwrap().fit(&train, &Rng::new(0)).unwrap();
    let scores = fitted.score(&x).unwrap().to_vec1::<f64>().unwrap();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    assert!(mean(&scores[..400]).abs() < 0.5 && mean(&scores[400..]) > 4.5, "{:?}", mean(&scores[400..]));
    let none = DevNet::new(cfg.clone()).unwrap().fit(&TrainingRows::normal(&x), &Rng::new(0));
    assert!(none.unwrap_err().to_string().contains("needs known anomalies"));
    assert!(DevNet::new(DevNetConfig { margin: 0.0, ..cfg }).is_err());
}

/// A variational autoencoder of normal examples N(0, diag(9, 1, 1)) with a one-dimensional code behaves like probabilistic PCA:
/// the bound is higher away from the wide axis than along it. The KL divergence raises the bound above the loss of an
/// autoencoder.
#[test]
fn the_bound_of_a_variational_autoencoder_follows_the_wide_axis() {
    let z = Rng::new(5).normals(900);
    let x: Vec<f64> = z.chunks(3).flat_map(|z| [3.0 * z[0], z[1], z[2]]).collect();
    let x = Tensor::from_vec(x, (300, 3), &Device::Cpu).unwrap();
    let net = NetworkConfig { hidden: vec![16, 1], ..network(150) };
    let fit = |beta| {
        let v = Variational::new(VariationalConfig { network: net.clone(), beta }).unwrap();
        v.fit(&TrainingRows::normal(&x), &Rng::new(0)).unwrap()
    };
    let at = Tensor::new(&[[0.0, 0.0, 0.0], [4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, -4.0]], &Device::Cpu).unwrap();
    let s = fit(1.0).score(&at).unwrap().to_vec1::<f64>().unwrap();
    assert!(s[1] - s[0] < 3.0 && s[2] - s[0] > 5.0 && s[3] - s[0] > 5.0, "{s:?}");
    let free = fit(0.0).score(&x).unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap();
    let bound = fit(1.0).score(&x).unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(free < bound, "{free} {bound}");
    assert!(Variational::new(VariationalConfig { beta: f64::NAN, network: net }).is_err());
}

/// The epoch with the lowest loss on held-out examples is kept: with a learning rate that is too high it is an early one, and
/// the result is the same as stopping there.
#[test]
fn the_best_epoch_is_kept() {
    let (x, ..) = toy();
    let x = x.narrow(0, 0, 400).unwrap();
    let fit = |epochs, held_out| {
        let cfg = NetworkConfig { held_out, lr: 0.3, ..network(epochs) };
        let d = reconstruction(ReconstructionObjective::Autoencoder, cfg)
            .fit(&TrainingRows::normal(&x), &Rng::new(0))
            .unwrap();
        d.score(&x).unwrap().to_vec1::<f64>().unwrap()
    };
    let mean = |s: &[f64]| s.iter().sum::<f64>() / 400.0;
    let kept = fit(20, 0.25);
    assert!((1..20).any(|e| fit(e, 0.25) == kept), "an earlier stop gives the same");
    assert!(mean(&kept) <= mean(&fit(20, 0.0)) + 0.05);
    let bad = NetworkConfig { held_out: 1.0, ..network(1) };
    assert!(NeuralClassifier::new(bad).unwrap_err().to_string().contains("held_out"));
}

/// A6: without known anomalies ABC and LRC equal the autoencoder bit by bit.
#[test]
fn without_labels_all_are_the_autoencoder() {
    let (x, ..) = toy();
    let x = x.narrow(0, 0, 400).unwrap();
    let scores = |o| {
        let d = reconstruction(o, network(3)).fit(&TrainingRows::normal(&x), &Rng::new(1)).unwrap();
        d.score(&x).unwrap().to_vec1::<f64>().unwrap()
    };
    let plain = scores(ReconstructionObjective::Autoencoder);
    assert_eq!((scores(ReconstructionObjective::Abc), scores(ReconstructionObjective::Lrc)), (plain.clone(), plain));
}

/// A5: the residual of LRC on known anomalies grows with training, far above that of ABC, which stops growing once they are
/// classified as anomalies.
#[test]
fn the_residual_of_lrc_is_unbounded() {
    let (x, known, _) = toy();
    let train = TrainingRows::new(&x, Some(&known));
    let far = |o, epochs| {
        let cfg = NetworkConfig { lr: 1e-2, ..network(epochs) };
        let d = reconstruction(o, cfg).fit(&train, &Rng::new(0)).unwrap();
        let scores = d.score(&x.narrow(0, 400, 40).unwrap()).unwrap().to_vec1::<f64>().unwrap();
        scores.iter().sum::<f64>() / 40.0
    };
    let (early, late) = (far(ReconstructionObjective::Lrc, 20), far(ReconstructionObjective::Lrc, 80));
    assert!(
        late > 2.0 * early && late > 3.0 * far(ReconstructionObjective::Abc, 80),
        "{early} {late} {}",
        far(ReconstructionObjective::Abc, 80)
    );
}

#[test]
fn files_contributions_and_what_is_refused() {
    let (x, known, _) = toy();
    let train = TrainingRows::new(&x, Some(&known));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.safetensors");
    let noisy = ReconstructionConfig { network: network(2), noise: 0.1, residual: Residual::Norm };
    let methods: Vec<Box<dyn Method>> = vec![
        Box::new(reconstruction(ReconstructionObjective::Autoencoder, network(2))),
        Box::new(reconstruction(ReconstructionObjective::Lrc, NetworkConfig { clip: Some(1.0), ..network(2) })),
        Box::new(reconstruction(ReconstructionObjective::Abc, network(2))),
        Box::new(Reconstruction::new(ReconstructionObjective::Autoencoder, noisy).unwrap()),
        Box::new(NeuralClassifier::new(network(2)).unwrap()),
        Box::new(DevNet::new(DevNetConfig { network: network(2), ..Default::default() }).unwrap()),
        Box::new(Variational::new(VariationalConfig { network: network(2), beta: 1.0 }).unwrap()),
        Box::new(DeepSad::new(DeepSadConfig { network: network(2), eta: 1.0 }).unwrap()),
        Box::new(DeepSad::new(DeepSadConfig { network: network(2), eta: 0.0 }).unwrap()),
    ];
    for m in methods {
        let fitted = m.fit(&train, &Rng::new(0)).unwrap();
        save(&*fitted, &path).unwrap();
        let again = load(&path).unwrap();
        let scores = fitted.score(&x).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!((again.name(), again.score(&x).unwrap().to_vec1::<f64>().unwrap()), (fitted.name(), scores.clone()));
        assert!(scores.iter().all(|s| s.is_finite()));
        let same = m.fit(&train, &Rng::new(0)).unwrap().score(&x).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(same, scores, "{m:?}");
        if let Some(parts) = fitted.contributions(&x).unwrap() {
            assert_eq!(parts.dims(), x.dims());
            let square = parts.sum(1).unwrap().to_vec1::<f64>().unwrap();
            let r = |i: usize| if m_is_norm(&m) { square[i].sqrt() } else { (square[i] / 2.0).sqrt() };
            // A variational score also contains the KL divergence.
            assert!(
                fitted.name() == "vae" || (0..440).all(|i| (r(i) - scores[i]).abs() < 1e-5 * (1.0 + scores[i])),
                "{m:?}"
            );
        }
        let wide = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        assert!(fitted.score(&wide).unwrap_err().to_string().contains("(N, 2)"));
        let all = TrainingRows::new(&x, Some(&[true; 440]));
        assert!(m.fit(&all, &Rng::new(0)).unwrap_err().to_string().contains("all 440 examples"));
    }
    let none = NeuralClassifier::new(network(1)).unwrap().fit(&TrainingRows::normal(&x), &Rng::new(0));
    assert!(none.unwrap_err().to_string().contains("needs known anomalies"));
    for cfg in [
        NetworkConfig { hidden: vec![], ..network(1) },
        NetworkConfig { lr: f64::NAN, ..network(1) },
        NetworkConfig { clip: Some(0.0), ..network(1) },
    ] {
        assert!(NeuralClassifier::new(cfg).unwrap_err().to_string().contains("`NetworkConfig."));
    }
}

fn m_is_norm(m: &dyn std::fmt::Debug) -> bool {
    format!("{m:?}").contains("residual: Norm")
}

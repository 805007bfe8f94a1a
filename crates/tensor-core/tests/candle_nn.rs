//! Networks of candle-nn layers as networks of this crate.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor};
use candle_nn::{BatchNorm, Conv2dConfig, Linear, Module, ModuleT, VarBuilder, VarMap, batch_norm, conv2d, linear};
use sconce_tensor_core::attack::input_gradient;
use sconce_tensor_core::nn::{CandleModule, GradientFault, Mode};
use sconce_tensor_core::{Bounds, Classifier, Network, Result, Rng, Role, ops};

const CPU: &Device = &Device::Cpu;

fn builder(vars: &VarMap, dtype: DType) -> VarBuilder<'static> {
    VarBuilder::from_varmap(vars, dtype, CPU)
}

fn images(dtype: DType) -> Tensor {
    Rng::new(5).uniform((3, 1, 10, 10), 0.0..1.0, dtype, CPU).unwrap()
}

/// The network with values from a seed: candle-nn's own cannot be seeded.
fn seeded(net: CandleModule, seed: u64) -> CandleModule {
    net.draw_initial_values(&Rng::new(seed)).unwrap();
    net
}

fn bits(net: &dyn Classifier, x: &Tensor) -> Vec<Vec<f32>> {
    net.logits(x).unwrap().to_vec2().unwrap()
}

/// conv - pool - relu - linear with the given pooling.
fn conv_net(
    dtype: DType,
    pool: impl Fn(&Tensor) -> candle_core::Result<Tensor> + Send + Sync + 'static,
) -> CandleModule {
    let vars = VarMap::new();
    let vb = builder(&vars, dtype);
    let conv = conv2d(1, 4, 3, Conv2dConfig::default(), vb.pp("conv")).unwrap();
    let fc = linear(4 * 4 * 4, 3, vb.pp("fc")).unwrap();
    let forward = move |x: &Tensor, _| fc.forward(&pool(&conv.forward(x)?)?.relu()?.flatten_from(1)?);
    seeded(CandleModule::new(&vars, 3, forward).unwrap(), 1)
}

struct BatchNormNet {
    conv: candle_nn::Conv2d,
    bn: BatchNorm,
    fc: Linear,
}

impl ModuleT for BatchNormNet {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        let x = self.bn.forward_t(&self.conv.forward(x)?, train)?;
        self.fc.forward(&ops::max_pool2d(&x.relu()?, ops::Pool2dSpec::default())?.flatten_from(1)?)
    }
}

fn batch_norm_net(seed: u64) -> (VarMap, CandleModule) {
    let vars = VarMap::new();
    let vb = builder(&vars, DType::F32);
    let net = BatchNormNet {
        conv: conv2d(1, 4, 3, Conv2dConfig::default(), vb.pp("conv")).unwrap(),
        bn: batch_norm(4, 1e-5, vb.pp("bn")).unwrap(),
        fc: linear(4 * 4 * 4, 3, vb.pp("fc")).unwrap(),
    };
    let net = seeded(CandleModule::from_module(&vars, 3, net).unwrap(), seed);
    (vars, net)
}

fn statistics(net: &CandleModule) -> Vec<f32> {
    net.params().with_role(Role::Buffer).flat_map(|p| p.var().to_vec1::<f32>().unwrap()).collect()
}

#[test]
fn candles_max_pool_is_named_and_ours_passes() {
    for dtype in [DType::F32, DType::F64] {
        for seed in 0..8 {
            let rng = Rng::new(seed);
            let net = seeded(conv_net(dtype, |x| x.max_pool2d(2)), seed);
            let warnings = net.check_gradients(&images(dtype), &rng).unwrap();
            let names: Vec<&str> = warnings.iter().map(|w| w.name.as_str()).collect();
            assert_eq!(names, ["input", "conv.bias", "conv.weight"]);
            for w in &warnings {
                assert!((w.ratio().unwrap() - 0.25).abs() < 0.02, "{w}");
                assert_eq!((w.pooling(), w.mode), (Some(2), Mode::Eval));
                let text = w.to_string();
                assert!(text.contains("max_pool2d with 2x2 windows") && text.contains("ops::max_pool2d"), "{text}");
            }
            let ours = seeded(conv_net(dtype, |x| Ok(ops::max_pool2d(x, ops::Pool2dSpec::default())?)), seed);
            assert_eq!(ours.check_gradients(&images(dtype), &rng).unwrap(), []);
        }
    }
}

#[test]
fn a_cut_graph_and_a_missing_backward_pass_are_named() {
    let vars = VarMap::new();
    let vb = builder(&vars, DType::F32);
    let (one, two) = (linear(6, 8, vb.pp("one")).unwrap(), linear(8, 3, vb.pp("two")).unwrap());
    let net =
        CandleModule::new(&vars, 3, move |x, _| two.forward(&candle_nn::ops::softmax_last_dim(&one.forward(x)?)?))
            .unwrap();
    let net = seeded(net, 1);
    let x = Rng::new(1).uniform((3, 6), 0.0..1.0, DType::F32, CPU).unwrap();
    let warnings = net.check_gradients(&x, &Rng::new(0)).unwrap();
    assert_eq!(warnings.iter().map(|w| w.name.as_str()).collect::<Vec<_>>(), ["input", "one.bias", "one.weight"]);
    for w in &warnings {
        let text = w.to_string();
        assert_eq!(w.fault, GradientFault::Cut);
        assert!(text.contains("softmax_last_dim") && text.contains("candle_nn::ops::softmax"), "{text}");
    }

    // The derivative of a square root at 0; ReLU is 0 somewhere.
    let root = conv_net(DType::F32, |x| x.avg_pool2d(2)?.relu()?.sqrt());
    let warnings = root.check_gradients(&images(DType::F32), &Rng::new(0)).unwrap();
    assert!(
        warnings.iter().any(|w| w.fault == GradientFault::NotFinite && w.to_string().contains("NaN")),
        "{warnings:?}"
    );

    let up = conv_net(DType::F32, |x| x.upsample_bilinear2d(4, 4, false));
    let warnings = up.check_gradients(&images(DType::F32), &Rng::new(0)).unwrap();
    let text = warnings[0].to_string();
    assert!(warnings.len() == 1 && text.contains("`sconce_tensor_core::ops::upsample_bilinear2d`"), "{text}");
    // Ours resizes to the same values.
    let ours = conv_net(DType::F32, |x| Ok(ops::upsample_bilinear2d(x, (4, 4), false)?));
    assert_eq!(ours.check_gradients(&images(DType::F32), &Rng::new(0)).unwrap(), []);
}

#[test]
fn clean_networks_have_no_warning_and_keep_their_values() {
    for (seed, dtype) in (0..6).flat_map(|s| [(s, DType::F32), (s, DType::F64)]) {
        let vars = VarMap::new();
        let vb = builder(&vars, dtype);
        let layers: Vec<Linear> = [(6, 16), (16, 16), (16, 3)]
            .iter()
            .enumerate()
            .map(|(i, (a, b))| linear(*a, *b, vb.pp(format!("layer{i}"))).unwrap())
            .collect();
        let net = CandleModule::new(&vars, 3, move |x, _| {
            layers[2].forward(&layers[1].forward(&layers[0].forward(x)?.relu()?)?.gelu()?)
        })
        .unwrap();
        let net = seeded(net, seed);
        let x = Rng::new(seed).uniform((4, 6), 0.0..1.0, dtype, CPU).unwrap();
        assert_eq!(net.check_gradients(&x, &Rng::new(seed)).unwrap(), [], "{seed} {dtype:?}");
    }
    for seed in 0..6 {
        let (_, net) = batch_norm_net(seed);
        net.forward(&images(DType::F32), Mode::Train).unwrap();
        let before = (statistics(&net), bits(&net, &images(DType::F32)));
        assert_eq!(net.check_gradients(&images(DType::F32), &Rng::new(seed)).unwrap(), [], "{seed}");
        assert_eq!((statistics(&net), bits(&net, &images(DType::F32))), before);
    }
}

#[test]
fn parameters_are_in_natural_order_with_their_roles() {
    for _ in 0..5 {
        let vars = VarMap::new();
        let vb = builder(&vars, DType::F32);
        for i in [10, 2, 1] {
            linear(2, 2, vb.pp(format!("l{i}"))).unwrap();
        }
        let net = CandleModule::new(&vars, 2, |x, _| Ok(x.clone())).unwrap();
        let names: Vec<&str> = net.params().iter().map(|p| p.name()).collect();
        assert_eq!(names, ["l1.bias", "l1.weight", "l2.bias", "l2.weight", "l10.bias", "l10.weight"]);
        let net = net.with_roles(|name, _| name.starts_with("l1.").then_some(Role::Buffer)).unwrap();
        assert_eq!((net.params().trainable().count(), net.params().with_role(Role::Weight).count()), (4, 2));
    }
    let (_, net) = batch_norm_net(1);
    let roles: Vec<_> = net.params().iter().map(|p| (p.name(), p.role())).collect();
    assert_eq!(
        roles,
        [
            ("bn.bias", Role::Shift),
            ("bn.running_mean", Role::Buffer),
            ("bn.running_var", Role::Buffer),
            ("bn.weight", Role::Scale),
            ("conv.bias", Role::Bias),
            ("conv.weight", Role::Kernel),
            ("fc.bias", Role::Bias),
            ("fc.weight", Role::Weight),
        ]
    );
}

#[test]
fn training_moves_running_statistics_and_files_hold_them() {
    let (_, net) = batch_norm_net(1);
    let x = images(DType::F32);
    let first = statistics(&net);
    for mode in [Mode::Eval, Mode::Frozen] {
        net.forward(&x, mode).unwrap();
        assert_eq!(statistics(&net), first);
    }
    net.forward(&x, Mode::Train).unwrap();
    assert_ne!(statistics(&net), first);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.safetensors");
    net.params().save(&path).unwrap();
    let (mut vars, other) = batch_norm_net(2);
    assert_ne!(bits(&other, &x), bits(&net, &x));
    other.params().load(&path).unwrap();
    assert_eq!((statistics(&other), bits(&other, &x)), (statistics(&net), bits(&net, &x)));
    // A second training pass goes on from the loaded statistics.
    for n in [&net, &other] {
        n.forward(&x, Mode::Train).unwrap();
    }
    assert_eq!((statistics(&other), bits(&other, &x)), (statistics(&net), bits(&net, &x)));
    // What the map loads is seen too.
    vars.load(&path).unwrap();
    let (_, third) = batch_norm_net(3);
    third.params().load(&path).unwrap();
    assert_eq!(bits(&other, &x), bits(&third, &x));
}

#[test]
fn state_outside_of_the_map_is_refused() {
    let vars = VarMap::new();
    let fc = linear(4, 3, builder(&vars, DType::F32).pp("fc")).unwrap();
    let (zeros, ones) = (Tensor::zeros(4, DType::F32, CPU).unwrap(), Tensor::ones(4, DType::F32, CPU).unwrap());
    let private = BatchNorm::new(4, zeros.clone(), ones.clone(), ones, zeros, 1e-5).unwrap();
    let net = CandleModule::new(&vars, 3, move |x, train| fc.forward(&private.forward_t(x, train)?)).unwrap();
    let x = Rng::new(2).uniform((5, 4), 0.0..1.0, DType::F32, CPU).unwrap();
    let e = net.check_gradients(&x, &Rng::new(0)).unwrap_err().to_string();
    assert!(e.contains("outside of the VarMap"), "{e}");

    // Layers that always train.
    let vars = VarMap::new();
    let vb = builder(&vars, DType::F32);
    let (fc, bn) = (linear(4, 3, vb.pp("fc")).unwrap(), batch_norm(4, 1e-5, vb.pp("bn")).unwrap());
    let net = CandleModule::new(&vars, 3, move |x, _| fc.forward(&bn.forward_t(x, true)?)).unwrap();
    let before = statistics(&net);
    let e = net.check_gradients(&x, &Rng::new(0)).unwrap_err().to_string();
    assert!(e.contains("evaluation changes `bn.running_mean`"), "{e}");
    assert_eq!(statistics(&net), before);

    // Layers that are added later, a map without variables, wrong logits, one example.
    linear(3, 3, vb.pp("late")).unwrap();
    assert!(net.logits(&x).unwrap_err().to_string().contains("build all layers first"));
    assert!(
        CandleModule::new(&VarMap::new(), 3, |x, _| Ok(x.clone())).unwrap_err().to_string().contains("from_varmap")
    );
    let net = conv_net(DType::F32, |x| x.avg_pool2d(2));
    assert!(net.check_gradients(&images(DType::F32).narrow(0, 0, 1).unwrap(), &Rng::new(0)).is_err());
    let vars = VarMap::new();
    let fc = linear(4, 3, builder(&vars, DType::F32).pp("fc")).unwrap();
    let net = CandleModule::new(&vars, 7, move |x, _| fc.forward(x)).unwrap();
    assert!(net.logits(&x).unwrap_err().to_string().contains("(5, 7)"));
}

#[test]
fn an_attack_sees_a_classifier() {
    let net = conv_net(DType::F64, |x| Ok(ops::max_pool2d(x, ops::Pool2dSpec::default())?));
    let net = net.with_bounds(Bounds::new(-1.0, 2.0).unwrap());
    let model: &dyn Classifier = &net;
    assert_eq!((model.classes(), model.bounds().lo()), (3, -1.0));
    let (x, y) = (images(DType::F64), Tensor::new(&[0u32, 1, 2], CPU).unwrap());
    let loss = |x: &Tensor| -> Result<Tensor> { Ok(ops::cross_entropy(&model.logits(x)?, &y)?.sum_all()?) };
    let g = input_gradient(&x, loss).unwrap();
    let at = |t: f64| loss(&(&x + (&g * t).unwrap()).unwrap()).unwrap().to_scalar::<f64>().unwrap();
    let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
    let square = g.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
    assert!(square > 0.0 && (slope / square - 1.0).abs() < 1e-5, "{slope} {square}");
}

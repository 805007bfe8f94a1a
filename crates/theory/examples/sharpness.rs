//! Measures the largest Hessian eigenvalue and the trace of a small network, and checks both against the full Hessian.
//!
//! `cargo run --release -p sconce-theory --example sharpness`
#![allow(clippy::print_stdout)] // an example prints

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use sconce_tensor_core::nets::{SmallCnn, SmallCnnConfig};
use sconce_tensor_core::{Mode, Module, Network, Rng, ops};
use sconce_theory::eigenvalues;
use sconce_theory::hessian::{
    Curvature, HvpMethod, LanczosConfig, Operator, Rescaled, hutch_plus_plus, hutchinson, top_eigenpairs,
};

fn main() -> Result<()> {
    let cfg = SmallCnnConfig { input: (1, 8, 8), channels: (2, 4), kernel: 3, hidden: 8, ..Default::default() };
    let net = SmallCnn::new(cfg, Rng::new(0), DType::F64, &Device::Cpu)?;
    let x = Rng::new(1).uniform((20, 1, 8, 8), 0.0..1.0, DType::F64, &Device::Cpu)?;
    let y = Tensor::from_iter((0..20u32).map(|i| i % 10), &Device::Cpu)?;
    let loss = |_part: usize| Ok(ops::cross_entropy(&net.forward(&x, Mode::Eval)?, &y)?.mean_all()?);

    // The Hessian is never formed: each product takes two gradients.
    let hessian = Curvature::new(net.params(), 1, &loss, HvpMethod::finite_differences(DType::F64))?;
    let lanczos = LanczosConfig { count: 1, tolerance: 1e-6, ..Default::default() };
    let top = &top_eigenpairs(&hessian, &lanczos, &Rng::new(2))?[0];
    let plain = hutchinson(&hessian, 60, &Rng::new(3))?;
    let better = hutch_plus_plus(&hessian, 60, &Rng::new(3))?;
    println!("{} parameters, loss {:.4}", hessian.dim(), hessian.loss()?);
    println!("largest eigenvalue {:.6} (residual {:.0e})", top.value, top.residual);
    println!("trace {:.4} +- {:.4} (Hutchinson)", plain.value, plain.standard_error);
    println!("trace {:.4} +- {:.4} (Hutch++)", better.value, better.standard_error);

    // Sharpness in units of the filters is invariant to rescalings that do not change the network.
    let units = Rescaled::by_filters(&hessian, hessian.weights())?;
    println!(
        "largest eigenvalue in units of the filters {:.6}",
        top_eigenpairs(&units, &lanczos, &Rng::new(2))?[0].value
    );

    // The network is small enough for the full Hessian, column by column.
    let d = hessian.dim();
    let mut full = Vec::with_capacity(d * d);
    for i in 0..d {
        full.extend(hessian.apply(&(0..d).map(|j| f64::from(u8::from(i == j))).collect::<Vec<f64>>())?);
    }
    let exact = eigenvalues(&full, d)?;
    let (largest, trace) = (exact[d - 1], exact.iter().sum::<f64>());
    println!("full Hessian: largest eigenvalue {largest:.6}, trace {trace:.4}");
    ensure!((top.value - largest).abs() < 1e-4 * largest, "{} differs from {largest}", top.value);
    for estimate in [plain, better] {
        ensure!((estimate.value - trace).abs() < 5.0 * estimate.standard_error, "{estimate:?} differs from {trace}");
    }
    Ok(())
}

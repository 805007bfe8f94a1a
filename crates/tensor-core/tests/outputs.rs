//! Output functions: gradients, extremes, and blocks of logits.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use candle_core::{DType, Device, Tensor, Var};
use sconce_tensor_core::gradcheck::GradCheck;
use sconce_tensor_core::ops::{self, Output};
use sconce_tensor_core::{Result, Rng};

fn normal(seed: u64, shape: &[usize]) -> Tensor {
    Rng::new(seed).normal(shape, 0.0, 1.0, DType::F64, &Device::Cpu).unwrap()
}

fn check(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let weighted = |y: Tensor| -> Result<Tensor> { Ok((&y * normal(99, y.dims()))?.sum_all()?) };
    GradCheck::default().check(inputs, |t| weighted(f(t)?)).unwrap();
}

/// All output functions.
const OUTPUTS: [Output; 4] = [Output::Softmax, Output::Sigsoftmax, Output::Sigmoid, Output::Relu { eps: 1e-2 }];

#[test]
fn output_functions() {
    let labels = Tensor::new(&[1u32, 5, 0, 3], &Device::Cpu).unwrap();
    for o in OUTPUTS {
        check(&[normal(1, &[4, 6])], |t| ops::log_output(&t[0], o));
        check(&[normal(1, &[4, 6])], |t| ops::output_nll(&t[0], &labels, o));
        let parts = [normal(1, &[4, 3]), normal(2, &[6, 3]), normal(3, &[6])];
        check(&parts, |t| ops::linear_nll(&t[0], &t[1], Some(&t[2]), &labels, o));
    }
}

/// Enough logits that they are computed in blocks and not kept: the same as all at once, values and gradients.
#[test]
fn blocks_of_logits_are_the_same_as_all_of_them() {
    let (n, k, d) = (1030, 33_000, 2);
    let labels: Vec<u32> = Rng::new(0).below(n, k as u64).into_iter().map(|v| v as u32).collect();
    let labels = Tensor::new(labels, &Device::Cpu).unwrap();
    let parts = [normal(1, &[n, d]), normal(2, &[k, d]), normal(3, &[k])];
    let vars = parts.map(|t| Var::from_tensor(&t.to_dtype(DType::F32).unwrap()).unwrap());
    let [h, w, b] = vars.each_ref().map(Var::as_tensor);
    let in_blocks = ops::linear_nll(h, w, Some(b), &labels, Output::Sigsoftmax).unwrap();
    let at_once = ops::output_nll(&ops::linear(h, w, Some(b)).unwrap(), &labels, Output::Sigsoftmax).unwrap();
    let wide = |t: &Tensor| t.detach().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(wide(&in_blocks), wide(&at_once));
    let weights = normal(4, &[n]).to_dtype(DType::F32).unwrap();
    let [a, b] = [in_blocks, at_once].map(|l| ops::backward(&(l * &weights).unwrap().sum_all().unwrap()).unwrap());
    for v in &vars {
        let (a, b) = (wide(a.get(v).unwrap()), wide(b.get(v).unwrap()));
        let far = a.iter().zip(&b).map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f32::max);
        assert!(far < 2e-5, "{far}");
    }
}

#[test]
fn output_functions_survive_extreme_logits() {
    for dtype in [DType::F32, DType::F64] {
        let rows = [[1e4, -1e4, 0.0], [-300.0, -200.0, -150.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4], [0.0, 0.0, 0.0]];
        let z = Var::from_tensor(&Tensor::new(&rows, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()).unwrap();
        let labels = Tensor::new(&[1u32, 0, 2, 0, 1], &Device::Cpu).unwrap();
        for o in OUTPUTS {
            let log = ops::log_output(&z, o).unwrap().to_dtype(DType::F64).unwrap();
            let sums = log.exp().unwrap().sum(1).unwrap().to_vec1::<f64>().unwrap();
            assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-6), "{o:?} {sums:?}");
            let loss = ops::output_nll(&z, &labels, o).unwrap();
            let grads = ops::backward(&loss.sum_all().unwrap()).unwrap();
            let g =
                grads.get(&z).unwrap().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let loss = loss.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
            assert!(loss.iter().chain(&g).all(|v| v.is_finite()), "{o:?} {dtype:?}: {loss:?} {g:?}");
            let own =
                log.gather(&labels.unsqueeze(1).unwrap(), 1).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            assert!(loss.iter().zip(own).all(|(l, o)| (l + o).abs() <= 1e-6 * (1.0 + l.abs())), "{o:?}");
        }
        let f =
            ops::log_output(&z, Output::Sigsoftmax).unwrap().to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
        assert_eq!(f[1], [-300.0, -100.0, 0.0]);
        let want = [0.0, -3e4, -1e4 - 2f64.ln()];
        assert!(f[0].iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-3), "{:?}", f[0]);
    }
}

//! Weighting methods against the values of shared/specs/scripts/ssl_golden.py (numpy and scipy), and against rational solutions.
#![allow(clippy::unwrap_used)] // a test fails by panicking

use sconce_ssl::weighting::*;
use sconce_tensor_core::Rng;
use sconce_tensor_core::store::State;
use serde_json::json;

const LOSSES: [f64; 3] = [0.5, 1.2, 3.0];

fn g() -> Vec<Vec<f64>> {
    vec![vec![1.0, 2.0, 0.0, -1.0], vec![-2.0, 0.5, 1.0, 0.0], vec![3.0, -4.0, 2.0, 5.0]]
}

fn h() -> Vec<Vec<f64>> {
    vec![vec![1.0, 0.0, 0.0, 0.0], vec![-0.5, 1.0, 0.0, 0.0], vec![0.0, 0.0, 2.0, 0.0]]
}

fn gram(rows: &[Vec<f64>]) -> Gram {
    Gram::of_rows(Space::Parameters, rows).unwrap()
}

fn combine(rows: &[Vec<f64>], w: &[f64]) -> Vec<f64> {
    (0..rows[0].len()).map(|k| rows.iter().zip(w).map(|(r, w)| r[k] * w).sum()).collect()
}

fn weigh(method: &mut dyn Weighting, rows: &[Vec<f64>]) -> Weights {
    method.weights(&Step::new(&LOSSES, Some(&gram(rows)), Rng::new(0)).unwrap()).unwrap()
}

/// The values of the script have nine decimals.
fn close(got: &[f64], want: &[f64], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-8), "{what}: {got:?} {want:?}");
}

fn state(values: serde_json::Value) -> State {
    State { tensors: Vec::new(), values }
}

/// (name, weights on G and H as far as the table has them, direction on G and on H).
type Row = (&'static str, Box<dyn Weighting>, [&'static [f64]; 4]);

fn table() -> Vec<Row> {
    let named = |n: &str| n.parse::<WeightingConfig>().unwrap().build().unwrap();
    let pcgrad = |order| -> Box<dyn Weighting> { Box::new(PcGrad::new(PcGradConfig { order }).unwrap()) };
    let cagrad = |c| -> Box<dyn Weighting> { Box::new(CaGrad::new(CaGradConfig { c, rescale: false }).unwrap()) };
    let nash = |max_norm| -> Box<dyn Weighting> { Box::new(NashMtl::new(NashMtlConfig { max_norm }).unwrap()) };
    let third = &[1.0 / 3.0; 3];
    vec![
        (
            "equal",
            named("equal"),
            [third, third, &[2.0 / 3.0, -0.5, 1.0, 4.0 / 3.0], &[1.0 / 6.0, 1.0 / 3.0, 2.0 / 3.0, 0.0]],
        ),
        (
            "mgda",
            named("mgda"),
            [
                &[0.447284345, 0.408945687, 0.143769968],
                &[0.5, 3.0 / 7.0, 1.0 / 14.0],
                &[0.060702875, 0.523961661, 0.696485623, 0.271565495],
                &[2.0 / 7.0, 3.0 / 7.0, 1.0 / 7.0, 0.0],
            ],
        ),
        (
            "pcgrad ascending",
            pcgrad(ProjectionOrder::Ascending),
            [
                &[2.833333333, 2.650793651, 1.348324515],
                &[1.5, 1.4, 1.0],
                &[1.576719577, 1.598765432, 5.347442681, 3.908289242],
                &[0.8, 1.4, 2.0, 0.0],
            ],
        ),
        (
            "pcgrad descending",
            pcgrad(ProjectionOrder::Descending),
            [&[3.208994709, 2.544973545, 1.296296296], &[], &[2.007936508, 2.505291005, 5.137566138, 3.272486772], &[]],
        ),
        (
            "cagrad .4",
            cagrad(0.4),
            [
                &[0.627551722, 0.489524595, 0.333333333],
                &[],
                &[0.648502532, 0.166532407, 1.156191261, 1.039114945],
                &[0.372640851, 0.558961277, 0.666666667, 0.0],
            ],
        ),
        (
            "cagrad .5",
            cagrad(0.5),
            [
                &[],
                &[],
                &[0.571583312, 0.325333377, 1.225666686, 0.977083316],
                &[0.415400250, 0.623100374, 0.666666667, 0.0],
            ],
        ),
        (
            "cagrad 1",
            cagrad(1.0),
            [
                &[],
                &[],
                &[0.202802442, 1.086687432, 1.558759085, 0.679679388],
                &[0.628010833, 0.942016250, 0.666666667, 0.0],
            ],
        ),
        (
            "imtl-g",
            named("imtl-g"),
            [
                &[0.447253533, 0.389742578, 0.163003889],
                &[0.460655337, 0.412022659, 0.127322004],
                &[0.156780044, 0.437362800, 0.715750356, 0.367765911],
                &[],
            ],
        ),
        (
            "nash",
            nash(None),
            [
                &[0.824481185, 0.751405532, 0.298259762],
                &[1.344997024, 1.203001910, 0.5],
                &[0.216449408, 0.831626087, 1.347925057, 0.666817627],
                &[],
            ],
        ),
        (
            "nash norm 1",
            nash(Some(1.0)),
            [&[0.476014434, 0.433824186, 0.172200354], &[0.776534394, 0.694553477, 0.288675135], &[], &[]],
        ),
        (
            "fairgrad 2",
            named("fairgrad"),
            [
                &[0.706743960, 0.646351749, 0.240459969],
                &[1.470635235, 1.292054573, 0.396850263],
                &[0.135420368, 0.774823921, 1.127271687, 0.495555883],
                &[],
            ],
        ),
        (
            "aligned min",
            named("aligned-mtl"),
            [
                &[0.372395667, 0.348109320, 0.156904552],
                &[0.347171172, 0.315610156, 0.130129401],
                &[0.146890682, 0.291227788, 0.661918423, 0.412127091],
                &[0.189366094, 0.315610156, 0.260258802, 0.0],
            ],
        ),
        (
            "aligned median",
            named("aligned-mtl-median"),
            [&[0.647355093, 0.605136851, 0.272755485], &[0.569495495, 0.517723177, 0.213462734], &[], &[]],
        ),
        (
            "aligned rmse",
            named("aligned-mtl-rmse"),
            [&[1.186343424, 1.108974242, 0.499851903], &[0.641795039, 0.583450035, 0.240562612], &[], &[]],
        ),
        (
            "upgrad",
            named("upgrad"),
            [
                &[1.142320453, 0.989600927, 0.480573593],
                &[0.5, 7.0 / 15.0, 1.0 / 3.0],
                &[0.604839377, 0.857146997, 1.950748114, 1.260547513],
                &[4.0 / 15.0, 7.0 / 15.0, 2.0 / 3.0, 0.0],
            ],
        ),
        (
            "dualproj",
            named("dualproj"),
            [
                &[0.639344262, 0.502732240, 0.333333333],
                third,
                &[0.633879781, 0.196721311, 1.169398907, 1.027322404],
                &[],
            ],
        ),
    ]
}

#[test]
fn gradient_methods() {
    for (what, mut method, [on_g, on_h, d_g, d_h]) in table() {
        for (rows, w, d) in [(g(), on_g, d_g), (h(), on_h, d_h)] {
            let got = weigh(&mut *method, &rows).values;
            if !w.is_empty() {
                close(&got, w, what);
            }
            if !d.is_empty() {
                close(&combine(&rows, &got), d, what);
            }
        }
    }
    // CAGrad's inner solutions, and the division of LibMTL.
    for (c, rows, u) in [
        (0.4, g(), [0.653223989, 0.346776011, 0.0]),
        (0.5, g(), [0.612201051, 0.387798949, 0.0]),
        (0.4, h(), [0.585559752, 0.414440248, 0.0]),
    ] {
        let plain = weigh(&mut CaGrad::new(CaGradConfig { c, rescale: false }).unwrap(), &rows);
        close(plain.alpha.as_deref().unwrap(), &u, "inner");
        let divided = weigh(&mut CaGrad::new(CaGradConfig { c, rescale: true }).unwrap(), &rows);
        close(&divided.values, &plain.values.iter().map(|w| w / (1.0 + c * c)).collect::<Vec<_>>(), "rescaled");
    }
    // FairGrad of order 1 is Nash-MTL.
    let fair = weigh(&mut FairGrad::new(FairGradConfig { alpha: 1.0 }).unwrap(), &g());
    close(&fair.values, &[0.824481185, 0.751405532, 0.298259762], "fairgrad 1");
}

/// Section 3.2 of the specification: the direction of the released code raises two losses, ours raises none.
#[test]
fn mgda_scalings() {
    let m = gram(&g());
    let cases: [(Scaling, [&[f64]; 3]); 3] = [
        (
            Scaling::L2,
            [
                &[0.343820077, 0.280258848, 0.375921075],
                &[-1.976549, -1.127988, 15.179984],
                &[0.208305, 0.194851, 0.624915],
            ],
        ),
        (Scaling::Loss, [&[], &[-3.475728, -0.355630, 17.647169], &[]]),
        (Scaling::LossPlus, [&[], &[-6.925288, -3.483563, 37.276363], &[]]),
    ];
    for (scaling, [alpha, raw_descent, scaled_descent]) in cases {
        let cfg = MgdaConfig { scaling, ..MgdaConfig::default() };
        let ours = weigh(&mut Mgda::new(cfg).unwrap(), &g());
        let raw = weigh(&mut Mgda::new(MgdaConfig { raw: true, ..cfg }).unwrap(), &g());
        assert_eq!(ours.alpha.as_ref(), Some(&raw.values));
        let near = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(&m.times(&raw.values), raw_descent), "{scaling:?} {:?}", m.times(&raw.values));
        assert!((ours.values.iter().sum::<f64>() - 3.0).abs() < 1e-12);
        assert!(m.times(&ours.values).iter().all(|d| *d >= 0.0), "{scaling:?}");
        if !alpha.is_empty() {
            close(&raw.values, alpha, "l2");
            let unit: Vec<f64> = raw.values.iter().zip(m.norms()).map(|(a, n)| a / n).collect();
            assert!(near(&m.times(&unit), scaled_descent), "{:?}", m.times(&unit));
            let sum: f64 = unit.iter().sum();
            close(&ours.values, &unit.iter().map(|w| 3.0 * w / sum).collect::<Vec<_>>(), "rescaled");
        }
    }
}

/// Gradients, the coefficients and the squared norm of their minimum-norm point.
type Problem = (&'static [&'static [f64]], &'static [f64], f64);

/// mp-ssl-and-domain-fusion.md, section 1.8, T1 and T2.
#[test]
fn minimum_norm_points() {
    let cases: [Problem; 9] = [
        (&[&[2.0, 0.0], &[0.0, 1.0]], &[0.2, 0.8], 0.8),
        (&[&[1.0, 2.0], &[-1.0, 1.0]], &[0.2, 0.8], 1.8),
        (&[&[1.0, 0.0], &[2.0, 1.0]], &[1.0, 0.0], 1.0),
        (&[&[3.0, 0.0], &[1.0, 1.0]], &[0.0, 1.0], 2.0),
        (&[&[1.0, 2.0], &[1.0, 2.0]], &[1.0, 0.0], 5.0),
        (&[&[1.0, 0.0, 0.0], &[0.0, 2.0, 0.0], &[0.0, 0.0, 4.0]], &[16.0 / 21.0, 4.0 / 21.0, 1.0 / 21.0], 16.0 / 21.0),
        (&[&[1.0, 2.0, 3.0], &[2.0, -1.0, 0.0], &[0.0, 1.0, -2.0]], &[3.0 / 14.0, 9.0 / 28.0, 13.0 / 28.0], 8.0 / 7.0),
        (&[&[4.0, 1.0], &[3.0, 2.0], &[5.0, -1.0]], &[0.0, 1.0, 0.0], 13.0),
        (
            &[&[1.0, 1.0, 0.0], &[1.0, -1.0, 0.0], &[-1.0, 0.0, 0.5], &[0.0, 0.0, 1.0]],
            &[9.0 / 34.0, 9.0 / 34.0, 16.0 / 34.0, 0.0],
            1.0 / 17.0,
        ),
    ];
    for (rows, alpha, norm) in cases {
        let m = gram(&rows.iter().map(|r| r.to_vec()).collect::<Vec<_>>());
        let found = MinNorm::exact(&m).unwrap();
        assert!(found.alpha.iter().zip(alpha).all(|(a, b)| (a - b).abs() < 1e-14), "{found:?}");
        assert!((found.norm_squared - norm).abs() < 1e-13 && found.relative_gap().abs() < 1e-14, "{found:?}");
    }
    let m = MinNorm::exact(&gram(&g())).unwrap();
    assert!((m.norm_squared - 0.837060703).abs() < 1e-9 && (m.pareto_residual() - 0.837060703 / 54.0).abs() < 1e-10);
}

#[test]
fn frank_wolfe_step_by_step() {
    let cases: [(Vec<Vec<f64>>, usize, [f64; 3]); 6] = [
        (g(), 1, [0.600867679, 0.199566161, 0.199566161]),
        (g(), 2, [0.441796855, 0.411469172, 0.146733973]),
        (g(), 10, [0.447281940, 0.408946756, 0.143771304]),
        (h(), 1, [5.0 / 9.0, 2.0 / 9.0, 2.0 / 9.0]),
        (h(), 2, [0.409836066, 0.426229508, 0.163934426]),
        (h(), 10, [0.479828346, 0.422905251, 0.097266403]),
    ];
    for (rows, steps, want) in cases {
        close(&MinNorm::frank_wolfe(&gram(&rows), steps, 0.0).alpha, &want, "Frank-Wolfe");
    }
    let found = MinNorm::frank_wolfe(&gram(&h()), 100, 0.0);
    assert!((found.gap - 6.0e-5).abs() < 5e-7 && found.steps == 100, "{}", found.gap);
    // A tolerance that is not reached is an error, which says what to do.
    let solver = MgdaSolver::FrankWolfe { steps: 100, tolerance: 1e-10 };
    let mut mgda = Mgda::new(MgdaConfig { solver, ..MgdaConfig::default() }).unwrap();
    let e = mgda.weights(&Step::new(&LOSSES, Some(&gram(&h())), Rng::new(0)).unwrap()).unwrap_err().to_string();
    assert!(e.contains("after 100 steps") && e.contains("use the exact solver"), "{e}");
}

#[test]
fn loss_methods() {
    let step = |losses: &'static [f64]| Step::new(losses, None, Rng::new(0)).unwrap();
    let mut dwa = Dwa::new(DwaConfig::default()).unwrap();
    for losses in [&[2.0, 1.0, 0.5], &[1.0, 0.9, 0.45]] {
        // Two steps with this mean.
        for part in [0.5, 1.5] {
            let losses: Vec<f64> = losses.iter().map(|l| l * part).collect();
            assert_eq!(dwa.weights(&Step::new(&losses, None, Rng::new(0)).unwrap()).unwrap().values, [1.0; 3]);
        }
        dwa.end_epoch().unwrap();
    }
    close(&dwa.weights(&step(&LOSSES)).unwrap().values, &[0.871382361, 1.064308819, 1.064308819], "dwa");

    let gls = Gls.weights(&step(&LOSSES)).unwrap().values;
    close(&gls, &[0.810960266, 0.337900111, 0.135160044], "gls");

    // s = (0, .5, -1) and the weights that it gives.
    let s = json!({"values": [0.0, 0.5, -1.0], "mean": [0, 0, 0], "square": [0, 0, 0], "steps": 0});
    let mut uw = Uncertainty::new(UncertaintyConfig::default()).unwrap();
    uw.restore(state(s.clone())).unwrap();
    let w = uw.weights(&step(&LOSSES)).unwrap().values;
    let objective: f64 = w.iter().zip(LOSSES).map(|(w, l)| w * l).sum::<f64>() - 0.25;
    assert!((objective - 4.441341138516).abs() < 1e-11, "{objective}");
    let mut imtl = ImtlL::new(ImtlLConfig::default()).unwrap();
    imtl.restore(state(s)).unwrap();
    let w = imtl.weights(&step(&LOSSES)).unwrap().values;
    let objective: f64 = w.iter().zip(LOSSES).map(|(w, l)| w * l).sum::<f64>() + 0.5;
    assert!((objective - 4.082103848354).abs() < 1e-11, "{objective}");
    // Constant losses: s arrives at log L and at -log L.
    let mut uw = Uncertainty::new(UncertaintyConfig { lr: 0.05, initial: 0.0 }).unwrap();
    let mut imtl = ImtlL::new(ImtlLConfig { lr: 0.05, initial: 0.0 }).unwrap();
    for _ in 0..2000 {
        uw.weights(&step(&LOSSES)).unwrap();
        imtl.weights(&step(&LOSSES)).unwrap();
    }
    let (w, v) = (uw.weights(&step(&LOSSES)).unwrap().values, imtl.weights(&step(&LOSSES)).unwrap().values);
    for i in 0..3 {
        assert!((w[i] * LOSSES[i] - 0.5).abs() < 1e-4 && (v[i] * LOSSES[i] - 1.0).abs() < 1e-4, "{w:?} {v:?}");
    }
}

#[test]
fn famo() {
    let mut famo = Famo::new(FamoConfig { weight_decay: 0.0, ..FamoConfig::default() }).unwrap();
    let step = |losses: &'static [f64]| Step::new(losses, None, Rng::new(0)).unwrap();
    close(&famo.weights(&step(&LOSSES)).unwrap().values, &[0.631578944, 0.263157897, 0.105263159], "first");
    famo.after_update(&[0.45, 1.15, 2.0]).unwrap();
    // The script's softmax after the step, times 1 / L and normalised.
    close(&famo.weights(&step(&LOSSES)).unwrap().values, &[0.634838039, 0.264515854, 0.100646107], "second");
    // delta - mean(delta) times z: the gradient that the first step of Adam scales to lr. Its first moment is a tenth of it.
    let mean = famo.state().unwrap().values["logits"]["mean"].clone();
    let mean: Vec<f64> = serde_json::from_value(mean).unwrap();
    let gradient: Vec<f64> = mean.iter().map(|m| 10.0 * m).collect();
    close(&gradient, &[-0.026367077, -0.047300710, 0.073667787], "gradient");
}

#[test]
fn gradnorm() {
    let cfg = GradNormConfig { initial_losses: vec![1.0, 2.0, 4.0], ..GradNormConfig::default() };
    let mut method = GradNorm::new(cfg).unwrap();
    assert_eq!(weigh(&mut method, &g()).values, [1.0; 3]);
    close(&weigh(&mut method, &g()).values, &[1.084811015, 1.080768113, 0.834420872], "second step");
}

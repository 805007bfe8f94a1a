//! Norms, projections and hyperplanes for one example on the host, as slices of `f64`.

use candle_core::DType;
use sconce_tensor_core::{Bounds, Norm};

/// The norm of a perturbation.
pub(crate) fn norm(delta: impl Iterator<Item = f64>, norm: Norm) -> f64 {
    match norm {
        Norm::Linf => delta.fold(0.0, |m, d| f64::max(m, d.abs())),
        Norm::L2 => delta.map(|d| d * d).sum::<f64>().sqrt(),
        Norm::L1 => delta.map(f64::abs).sum(),
    }
}

/// The norm of `a - b`.
pub(crate) fn distance(a: &[f64], b: &[f64], n: Norm) -> f64 {
    norm(a.iter().zip(b).map(|(a, b)| a - b), n)
}

/// The dual norm of a gradient, where `n` measures perturbations.
pub(crate) fn dual(gradient: &[f64], n: Norm) -> f64 {
    let dual = match n {
        Norm::Linf => Norm::L1,
        Norm::L2 => Norm::L2,
        Norm::L1 => Norm::Linf,
    };
    norm(gradient.iter().copied(), dual)
}

/// The interval of one element in an Linf ball, rounded like a tensor of this type, so that a value inside it is also
/// inside the tensor's interval, to the last bit.
fn ends(x: f64, eps: f64, bounds: Bounds, dtype: DType) -> (f64, f64) {
    let (lo, hi) = if dtype == DType::F64 {
        (x - eps, x + eps)
    } else {
        let (x, eps) = (x as f32, eps as f32);
        (f64::from(x - eps), f64::from(x + eps))
    };
    (lo.max(bounds.lo()), hi.min(bounds.hi()))
}

/// Projects `at` onto the intersection of the ball of radius `eps` around `x` and the box. For Linf and L1 the result is
/// the nearest point of the intersection; for L2 the ball comes first, then the box (clipping does not leave the ball,
/// because `x` is in the box).
pub(crate) fn project(at: &mut [f64], x: &[f64], n: Norm, eps: f64, bounds: Bounds, dtype: DType) {
    let (lo, hi) = (bounds.lo(), bounds.hi());
    if eps == f64::INFINITY {
        at.iter_mut().for_each(|a| *a = a.clamp(lo, hi));
        return;
    }
    match n {
        Norm::Linf => {
            for (a, x) in at.iter_mut().zip(x) {
                let (lo, hi) = ends(*x, eps, bounds, dtype);
                *a = a.max(lo).min(hi);
            }
        }
        Norm::L2 => {
            let length = distance(at, x, n);
            let scale = if length > eps { eps / length } else { 1.0 };
            for (a, x) in at.iter_mut().zip(x) {
                let moved = if length > eps { x + (*a - x) * scale } else { *a };
                *a = moved.clamp(lo, hi);
            }
        }
        Norm::L1 => l1_ball_and_box(at, x, eps, bounds),
    }
}

/// The nearest point of the intersection of an L1 ball and the box. Each element moves towards `x` by the same threshold,
/// which is found by bisection, and is clipped to the box (the optimality conditions of the projection).
fn l1_ball_and_box(at: &mut [f64], x: &[f64], eps: f64, bounds: Bounds) {
    let moved = |a: f64, x: f64, threshold: f64| {
        let d = a - x;
        let room = if d > 0.0 { bounds.hi() - x } else { x - bounds.lo() };
        (d.abs() - threshold).clamp(0.0, room.max(0.0)) * d.signum()
    };
    let length = |t: f64| at.iter().zip(x).map(|(a, x)| moved(*a, *x, t).abs()).sum::<f64>();
    let mut threshold = 0.0;
    if length(0.0) > eps {
        let (mut low, mut high) = (0.0, at.iter().zip(x).fold(0f64, |m, (a, x)| m.max((a - x).abs())));
        // 60 bisections reach the resolution of f64; `high` always gives a point inside.
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if length(middle) > eps { low = middle } else { high = middle }
        }
        threshold = high;
    }
    at.iter_mut().zip(x).for_each(|(a, x)| *a = x + moved(*a, *x, threshold));
}

/// The smallest step (in norm `n`) from `at`, inside the box, to the hyperplane `w . (at + step) = w . at + rise`. If the
/// box does not reach the hyperplane, the result is the step that comes nearest to it.
///
/// Let `c = |rise|`, and let `room_i` be the distance of element `i` to the end of the box in the useful direction. For
/// Linf every element moves by `min(t, room_i)`, for L2 by `min(t |w_i|, room_i)`, with `t` such that `|w . step|` is `c`;
/// for L1 the elements with the largest `|w_i|` move as far as the box allows. Source: Croce and Hein (2020, FAB), section 3.1.
pub(crate) fn to_hyperplane(at: &[f64], w: &[f64], rise: f64, n: Norm, bounds: Bounds) -> Vec<f64> {
    let direction = if rise < 0.0 { -1.0 } else { 1.0 };
    let (c, up) = (rise.abs(), |w: f64| w * direction > 0.0);
    let room: Vec<f64> = at
        .iter()
        .zip(w)
        .map(|(a, w)| if up(*w) { (bounds.hi() - a).max(0.0) } else { (a - bounds.lo()).max(0.0) })
        .collect();
    let signed = |w: f64, step: f64| if up(w) { step } else { -step };
    if n == Norm::L1 {
        let mut order: Vec<usize> = (0..w.len()).filter(|&i| w[i] != 0.0).collect();
        order.sort_unstable_by(|&a, &b| w[b].abs().total_cmp(&w[a].abs()).then(a.cmp(&b)));
        let (mut step, mut left) = (vec![0.0; w.len()], c);
        for i in order {
            let take = (left / w[i].abs()).min(room[i]);
            step[i] = signed(w[i], take);
            left -= take * w[i].abs();
            if left <= 0.0 {
                break;
            }
        }
        return step;
    }
    let rate = |w: f64| if n == Norm::Linf { f64::from(u8::from(w != 0.0)) } else { w.abs() };
    // Elements at the end of the box contribute all their room; the others share the rest. `t` only grows, and each
    // round puts more elements at the end of the box, so the loop ends, after a few rounds in practice.
    let mut t = 0.0;
    loop {
        let (mut given, mut slope) = (0.0, 0.0);
        for (w, room) in w.iter().zip(&room) {
            let r = rate(*w);
            if r * t >= *room && t > 0.0 { given += w.abs() * room } else { slope += w.abs() * r }
        }
        if slope <= 0.0 {
            t = f64::INFINITY;
            break;
        }
        let next = ((c - given) / slope).max(0.0);
        if next <= t * (1.0 + 1e-14) {
            break;
        }
        t = next;
    }
    let step = |(w, room): (&f64, &f64)| match rate(*w) {
        0.0 => 0.0,
        r => signed(*w, (r * t).min(*room)),
    };
    w.iter().zip(&room).map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sconce_tensor_core::Rng;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// The step reaches the plane, and no random step that stays in the box and reaches the plane is shorter.
    #[test]
    fn the_shortest_move_to_a_plane() {
        for seed in 0..40 {
            let r = Rng::new(seed);
            let (at, w) = (r.uniforms(9), r.stream("w").normals(9));
            let most: f64 = at.iter().zip(&w).map(|(a, w)| (w * (1.0 - a)).max(-w * a)).sum();
            let rise = most * (0.1 + 0.8 * r.stream("rise").uniforms(1)[0]);
            for n in [Norm::Linf, Norm::L2, Norm::L1] {
                let step = to_hyperplane(&at, &w, rise, n, Bounds::UNIT);
                assert!((dot(&step, &w) - rise).abs() < 1e-9, "{n:?}: {} for {rise}", dot(&step, &w));
                assert!(step.iter().zip(&at).all(|(s, a)| (-1e-12..=1.0 + 1e-12).contains(&(a + s))));
                let length = norm(step.iter().copied(), n);
                // Other feasible steps: this one plus a move along the plane, if it stays in the box.
                for k in 0..200u64 {
                    let v = r.stream("other").at(k).normals(9);
                    let off = dot(&v, &w) / dot(&w, &w);
                    let along = v.iter().zip(&w).map(|(v, w)| v - w * off);
                    let other: Vec<f64> = step.iter().zip(along).map(|(s, v)| s + 0.05 * v).collect();
                    if other.iter().zip(&at).all(|(s, a)| (0.0..=1.0).contains(&(a + s))) {
                        assert!(norm(other.iter().copied(), n) >= length - 1e-9, "{n:?}");
                    }
                }
                let far = to_hyperplane(&at, &w, most * 2.0, n, Bounds::UNIT);
                assert!((dot(&far, &w) - most).abs() < 1e-9, "the box limits the step");
                let back = to_hyperplane(&at, &w, -0.01, n, Bounds::UNIT);
                assert!((dot(&back, &w) + 0.01).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_projection_in_f32_is_inside_in_f32() {
        for seed in 0..200 {
            let r = Rng::new(seed);
            let x: Vec<f64> = r.uniforms(5).into_iter().map(|v| f64::from(v as f32)).collect();
            let mut at: Vec<f64> = r.stream("far").normals(5);
            project(&mut at, &x, Norm::Linf, 0.1, Bounds::UNIT, DType::F32);
            for (a, x) in at.iter().zip(&x) {
                let (a, x) = (*a as f32, *x as f32);
                assert!(a <= x + 0.1f32 && a >= x - 0.1f32 && (0.0..=1.0).contains(&a));
            }
        }
    }
}

//! Eigenvalues of symmetric matrices, cut by nothing but their size.
//!
//! A library of dense algebra cuts its sums by the caches and the vectors of the machine, so that the last digits of an eigenvalue are the machine's.
//! Here every sum is in one order and every operation is one that IEEE 754 rounds exactly (`+ - * /` and the square root): the same matrix has the same
//! bits everywhere.

use crate::{Error, Result};

/// Steps of one eigenvalue; two or three are usual.
const MOST_STEPS: usize = 60;

/// Ascending eigenvalues of a symmetric matrix (D x D, row-major, the lower triangle is read) and, where asked for, their eigenvectors, one after the
/// other. Householder's tridiagonal form, then the QL algorithm with implicit shifts (EISPACK's tred2 and tql2).
pub(crate) fn symmetric(h: &[f64], n: usize, vectors: bool) -> Result<(Vec<f64>, Vec<f64>)> {
    if n == 0 {
        return Ok((Vec::new(), Vec::new()));
    }
    // By columns: v[j n + k] is row k of column j.
    let mut v: Vec<f64> = (0..n * n).map(|i| h[(i / n).max(i % n) * n + (i / n).min(i % n)]).collect();
    let (mut d, mut e) = (vec![0.0; n], vec![0.0; n]);
    tridiagonal(&mut v, &mut d, &mut e, vectors);
    diagonal(&mut v, &mut d, &mut e, vectors)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| d[*a].total_cmp(&d[*b]));
    let columns = if vectors { order.iter().flat_map(|j| v[j * n..][..n].to_vec()).collect() } else { Vec::new() };
    Ok((order.iter().map(|j| d[*j]).collect(), columns))
}

/// Makes the matrix tridiagonal: `d` its diagonal, `e[1..]` what is beside it, `v` the product of the reflections.
fn tridiagonal(v: &mut [f64], d: &mut [f64], e: &mut [f64], vectors: bool) {
    let n = d.len();
    let at = |k: usize, j: usize| j * n + k;
    for j in 0..n {
        d[j] = v[at(n - 1, j)];
    }
    for i in (1..n).rev() {
        let scale: f64 = d[..i].iter().fold(0.0, |s, x| s + x.abs());
        let mut h = 0.0;
        if scale == 0.0 {
            e[i] = d[i - 1];
            for j in 0..i {
                d[j] = v[at(i - 1, j)];
                v[at(i, j)] = 0.0;
                v[at(j, i)] = 0.0;
            }
        } else {
            for x in &mut d[..i] {
                *x /= scale;
                h += *x * *x;
            }
            let f = d[i - 1];
            let g = if f > 0.0 { -h.sqrt() } else { h.sqrt() };
            e[i] = scale * g;
            h -= f * g;
            d[i - 1] = f - g;
            e[..i].fill(0.0);
            for j in 0..i {
                let f = d[j];
                v[at(j, i)] = f;
                let mut g = e[j] + v[at(j, j)] * f;
                for k in j + 1..i {
                    g += v[at(k, j)] * d[k];
                    e[k] += v[at(k, j)] * f;
                }
                e[j] = g;
            }
            let mut f = 0.0;
            for j in 0..i {
                e[j] /= h;
                f += e[j] * d[j];
            }
            let half = f / (h + h);
            for j in 0..i {
                e[j] -= half * d[j];
            }
            for j in 0..i {
                let (f, g) = (d[j], e[j]);
                for k in j..i {
                    v[at(k, j)] -= f * e[k] + g * d[k];
                }
                d[j] = v[at(i - 1, j)];
                v[at(i, j)] = 0.0;
            }
        }
        d[i] = h;
    }
    if vectors {
        reflections(v, d);
    } else {
        for j in 0..n {
            d[j] = v[at(j, j)];
        }
    }
    e[0] = 0.0;
}

/// Multiplies the reflections that `v` holds; `d` becomes the diagonal.
fn reflections(v: &mut [f64], d: &mut [f64]) {
    let n = d.len();
    let at = |k: usize, j: usize| j * n + k;
    for i in 0..n - 1 {
        v[at(n - 1, i)] = v[at(i, i)];
        v[at(i, i)] = 1.0;
        let h = d[i + 1];
        if h != 0.0 {
            for k in 0..=i {
                d[k] = v[at(k, i + 1)] / h;
            }
            for j in 0..=i {
                let mut g = 0.0;
                for k in 0..=i {
                    g += v[at(k, i + 1)] * v[at(k, j)];
                }
                for k in 0..=i {
                    v[at(k, j)] -= g * d[k];
                }
            }
        }
        for k in 0..=i {
            v[at(k, i + 1)] = 0.0;
        }
    }
    for j in 0..n {
        d[j] = v[at(n - 1, j)];
        v[at(n - 1, j)] = 0.0;
    }
    v[at(n - 1, n - 1)] = 1.0;
}

/// The length of (a, b), without overflow and without a library's idea of rounding.
fn length(a: f64, b: f64) -> f64 {
    let (a, b) = (a.abs(), b.abs());
    let (large, small) = if a > b { (a, b) } else { (b, a) };
    if large == 0.0 {
        return 0.0;
    }
    let r = small / large;
    large * (1.0 + r * r).sqrt()
}

/// Makes a tridiagonal matrix diagonal, and turns the columns of `v` with it.
fn diagonal(v: &mut [f64], d: &mut [f64], e: &mut [f64], vectors: bool) -> Result<()> {
    let n = d.len();
    e.rotate_left(1);
    e[n - 1] = 0.0;
    let (mut shift, mut largest) = (0.0, 0.0f64);
    for l in 0..n {
        largest = largest.max(d[l].abs() + e[l].abs());
        let small = f64::EPSILON * largest;
        let m = (l..n).find(|m| e[*m].abs() <= small).unwrap_or(n - 1);
        let mut steps = 0;
        while m > l && (steps == 0 || e[l].abs() > small) {
            steps += 1;
            if steps > MOST_STEPS {
                return Err(Error::value("eigenvalues", format!("one was not found in {MOST_STEPS} steps")));
            }
            let g = d[l];
            let mut p = (d[l + 1] - g) / (2.0 * e[l]);
            let r = if p < 0.0 { -length(p, 1.0) } else { length(p, 1.0) };
            d[l] = e[l] / (p + r);
            d[l + 1] = e[l] * (p + r);
            let (next, h) = (d[l + 1], g - d[l]);
            for x in &mut d[l + 2..] {
                *x -= h;
            }
            shift += h;
            p = d[m];
            let (mut c, mut c2, mut c3) = (1.0, 1.0, 1.0);
            let (mut s, mut s2) = (0.0, 0.0);
            let beside = e[l + 1];
            for i in (l..m).rev() {
                (c3, c2, s2) = (c2, c, s);
                let (g, h) = (c * e[i], c * p);
                let r = length(p, e[i]);
                e[i + 1] = s * r;
                (s, c) = (e[i] / r, p / r);
                p = c * d[i] - s * g;
                d[i + 1] = h + s * (c * g + s * d[i]);
                if vectors {
                    let (left, right) = v.split_at_mut((i + 1) * n);
                    for (a, b) in left[i * n..].iter_mut().zip(&mut right[..n]) {
                        (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
                    }
                }
            }
            p = -s * s2 * c3 * beside * e[l] / next;
            e[l] = s * p;
            d[l] = c * p;
        }
        d[l] += shift;
        e[l] = 0.0;
    }
    Ok(())
}

/// The solution of h x = v for a symmetric positive definite h, by Cholesky's factor; `None` where h is not.
pub(crate) fn solve(h: &[f64], v: &[f64]) -> Option<Vec<f64>> {
    let n = v.len();
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let dot = (0..j).fold(0.0, |s, k| s + l[i * n + k] * l[j * n + k]);
            let rest = h[i * n + j] - dot;
            l[i * n + j] = if i > j {
                rest / l[j * n + j]
            } else if rest > 0.0 {
                rest.sqrt()
            } else {
                return None;
            };
        }
    }
    let mut x = v.to_vec();
    for i in 0..n {
        x[i] = (0..i).fold(x[i], |s, k| s - l[i * n + k] * x[k]) / l[i * n + i];
    }
    for i in (0..n).rev() {
        x[i] = (i + 1..n).fold(x[i], |s, k| s - l[k * n + i] * x[k]) / l[i * n + i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sconce_tensor_core::Rng;

    fn matrix(n: usize, seed: u64) -> Vec<f64> {
        let u = Rng::new(seed).uniforms(n * n);
        (0..n * n).map(|i| u[(i / n).max(i % n) * n + (i / n).min(i % n)] - 0.5).collect()
    }

    #[test]
    fn eigenpairs_solve_their_equation_and_are_orthogonal() {
        for n in [1, 2, 3, 5, 16, 61] {
            let h = matrix(n, n as u64);
            let (values, vectors) = symmetric(&h, n, true).unwrap();
            let alone = symmetric(&h, n, false).unwrap().0;
            assert!(values.is_sorted());
            for i in 0..n {
                let v = &vectors[i * n..][..n];
                for r in 0..n {
                    let hv: f64 = (0..n).map(|c| h[r * n + c] * v[c]).sum();
                    assert!((hv - values[i] * v[r]).abs() < 1e-13 * n as f64, "{n}: pair {i}");
                }
                for j in 0..n {
                    let dot: f64 = v.iter().zip(&vectors[j * n..][..n]).map(|(a, b)| a * b).sum();
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-13 * n as f64, "{n}: {i} and {j}");
                }
                assert!((values[i] - alone[i]).abs() < 1e-13 * n as f64);
            }
        }
    }

    #[test]
    fn matrices_with_equal_values_zeros_and_large_numbers() {
        let n = 6;
        let diagonal = |values: &[f64]| {
            let mut h = vec![0.0; n * n];
            (0..n).for_each(|i| h[i * n + i] = values[i]);
            h
        };
        for values in [[0.0; 6], [1.0; 6], [-1e300, -2.0, -2.0, 0.0, 3.0, 1e300]] {
            let (found, vectors) = symmetric(&diagonal(&values), n, true).unwrap();
            assert_eq!(found, values);
            assert!(vectors.iter().all(|v| v.is_finite()));
        }
        // The path graph: 2 - 2 cos(pi k / 6), k from 0.
        let h: Vec<f64> = (0..36usize)
            .map(|i| match (i / 6, i % 6) {
                (0, 0) | (5, 5) => 1.0,
                (a, b) if a == b => 2.0,
                (a, b) if a.abs_diff(b) == 1 => -1.0,
                _ => 0.0,
            })
            .collect();
        let found = symmetric(&h, 6, false).unwrap().0;
        for (k, f) in found.iter().enumerate() {
            let want = 2.0 - 2.0 * (std::f64::consts::PI * k as f64 / 6.0).cos();
            assert!((f - want).abs() < 1e-14, "{k}: {f} and {want}");
        }
        assert!(symmetric(&[], 0, true).unwrap().0.is_empty());
    }

    /// The bits of one matrix's eigenvalues and of one solution, as they were found on the first machine: another machine, compiler or number of threads
    /// must find the same.
    #[test]
    fn the_same_bits_on_every_machine() {
        let n = 40;
        let (values, vectors) = symmetric(&matrix(n, 7), n, true).unwrap();
        let mut h = matrix(n, 8);
        (0..n).for_each(|i| h[i * n + i] += 20.0);
        let x = solve(&h, &vectors[..n]).unwrap();
        let digest = sconce_tensor_core::store::Digest::new().numbers(&values).numbers(&vectors).numbers(&x).hex();
        assert_eq!(&digest[..16], "94be29ca022317ef");
        for r in 0..n {
            let hx: f64 = (0..n).map(|c| h[r * n + c] * x[c]).sum();
            assert!((hx - vectors[r]).abs() < 1e-14);
        }
        assert!(solve(&[1.0, 2.0, 2.0, 1.0], &[1.0, 1.0]).is_none() && solve(&[0.0], &[1.0]).is_none());
    }
}

//! The Gram matrix of the tasks' gradients.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What the gradients of a Gram matrix are taken with respect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Space {
    /// The parameters that all tasks share.
    Parameters,
    /// The representation of the whole batch (MGDA-UB of Sener and Koltun 2018).
    Representation,
}

/// `M = J J'` (T x T), where row i of J is the gradient of task i. Every method sees the gradients only through M.
///
/// Entries are f64 and finite, M is symmetric, and `M_ii >= 0`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    space: Space,
    numbers: usize,
    tasks: usize,
    values: Vec<f64>,
}

impl Gram {
    /// A Gram matrix in row-major order; `numbers` is the length of one task's gradient.
    ///
    /// # Errors
    /// [`Error::Value`] for no tasks, a wrong number of values, a negative diagonal, a matrix that is not symmetric or breaks
    /// `M_ij^2 <= M_ii M_jj`; [`Error::NotFinite`] for a NaN or an infinity.
    pub fn new(space: Space, numbers: usize, tasks: usize, values: Vec<f64>) -> Result<Self> {
        let refuse = |reason: String| Err(Error::value("Gram matrix", reason));
        if tasks == 0 || values.len() != tasks * tasks {
            return refuse(format!("{} values for {tasks} tasks: pass T x T values, T at least 1", values.len()));
        }
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            let (i, j, v) = (at / tasks, at % tasks, values[at]);
            return Err(Error::not_finite("Gram matrix", format!("{v} at tasks ({i}, {j})")));
        }
        for i in 0..tasks {
            for j in 0..=i {
                let (a, b) = (values[i * tasks + j], values[j * tasks + i]);
                let bound = values[i * tasks + i].max(0.0).sqrt() * values[j * tasks + j].max(0.0).sqrt();
                if a != b || (i == j && a < 0.0) || a.abs() > bound * (1.0 + 1e-9) {
                    return refuse(format!("entries {a} and {b} of tasks ({i}, {j}) are not products of gradients"));
                }
            }
        }
        Ok(Self { space, numbers, tasks, values })
    }

    /// The Gram matrix of gradients on the host, one row per task.
    ///
    /// # Errors
    /// [`Error::Value`] for no tasks, or rows of different lengths; [`Error::NotFinite`] naming the task.
    pub fn of_rows(space: Space, rows: &[Vec<f64>]) -> Result<Self> {
        let numbers = rows.first().map_or(0, Vec::len);
        for (i, row) in rows.iter().enumerate() {
            if row.len() != numbers {
                let reason = format!("task {i} has {} numbers, task 0 has {numbers}", row.len());
                return Err(Error::value("gradients", reason));
            }
            if let Some(at) = row.iter().position(|v| !v.is_finite()) {
                return Err(Error::not_finite(format!("gradient of task {i}"), format!("{} at {at}", row[at])));
            }
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let values = rows.iter().flat_map(|a| rows.iter().map(|b| dot(a, b))).collect();
        Self::new(space, numbers, rows.len(), values)
    }

    /// What the gradients are taken with respect to.
    pub fn space(&self) -> Space {
        self.space
    }

    /// The length of one task's gradient.
    pub fn numbers(&self) -> usize {
        self.numbers
    }

    /// T.
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// `<g_i, g_j>`.
    pub fn at(&self, i: usize, j: usize) -> f64 {
        self.values[i * self.tasks + j]
    }

    /// `|g_i|` of each task.
    pub fn norms(&self) -> Vec<f64> {
        (0..self.tasks).map(|i| self.at(i, i).sqrt()).collect()
    }

    /// The largest squared norm.
    pub fn largest(&self) -> f64 {
        (0..self.tasks).map(|i| self.at(i, i)).fold(0.0, f64::max)
    }

    /// The cosine of the angle between two gradients; 0 where one of them is 0.
    pub fn cosine(&self, i: usize, j: usize) -> f64 {
        // The roots apart: the product of two small squares would underflow.
        let norms = self.at(i, i).sqrt() * self.at(j, j).sqrt();
        if norms == 0.0 {
            0.0
        } else if i == j {
            1.0
        } else {
            (self.at(i, j) / norms).clamp(-1.0, 1.0)
        }
    }

    /// `M w`: the inner product of each gradient with the direction `d = sum w_i g_i`. A step `-lr d` lowers loss i at the rate
    /// `(M w)_i`.
    pub fn times(&self, w: &[f64]) -> Vec<f64> {
        self.values.chunks(self.tasks).map(|row| row.iter().zip(w).map(|(m, w)| m * w).sum()).collect()
    }

    /// `w' M w = |d|^2`.
    pub fn quadratic(&self, w: &[f64]) -> f64 {
        self.times(w).iter().zip(w).map(|(m, w)| m * w).sum::<f64>().max(0.0)
    }

    /// The rounding error to expect in [`Gram::quadratic`]: a few units in the last place of its largest terms.
    pub(super) fn rounding(&self, w: &[f64]) -> f64 {
        let size: f64 = w.iter().zip(self.norms()).map(|(w, n)| w.abs() * n).sum();
        16.0 * f64::EPSILON * size * size
    }

    /// The Gram matrix of the gradients `g_i / s_i`.
    pub(super) fn divided(&self, s: &[f64]) -> Self {
        let t = self.tasks;
        let values = (0..t * t).map(|k| self.values[k] / (s[k / t] * s[k % t])).collect();
        Self { values, ..*self }
    }

    /// The first task whose gradient is 0.
    pub(super) fn zero(&self) -> Option<usize> {
        (0..self.tasks).find(|i| self.at(*i, *i) == 0.0)
    }

    /// Refuses gradients of which one is 0, where a method has no direction then.
    pub(super) fn require_nonzero(&self, method: &str) -> Result<()> {
        match self.zero() {
            None => Ok(()),
            Some(i) => Err(Error::value(
                method,
                format!("is undefined: the gradient of task {i} is 0; leave this task out, or use MGDA or UPGrad"),
            )),
        }
    }
}

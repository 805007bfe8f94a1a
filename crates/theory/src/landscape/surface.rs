//! Loss surfaces: losses on a grid along one or two directions, saved point by point.

use super::direction::Direction;
use crate::{Error, Result, Weights};
use sconce_tensor_core::store::{Digest, Fingerprint, Keep, Kept, State};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A grid along one or two directions.
#[derive(Clone, Debug)]
pub struct Grid {
    axes: Vec<Axis>,
}

/// Steps along a direction.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The direction.
    pub direction: Direction,
    /// Multiples of the direction that are added to the weights.
    pub steps: Vec<f64>,
}

/// Losses on a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// Names of the directions.
    pub directions: Vec<String>,
    /// Steps along each.
    pub steps: Vec<Vec<f64>>,
    /// Names of the measures: `clean loss`, `adversarial loss`.
    pub measures: Vec<String>,
    /// Notes on the measurement, for instance the examples and the treatment of batch-norm statistics.
    pub note: String,
    /// One row per grid point (the first direction is the outer loop), one number per measure; NaN, stored as null, where a
    /// loss is not finite.
    #[serde(with = "places")]
    pub values: Vec<Vec<f64>>,
    /// Identifies the weights and the directions.
    pub fingerprint: String,
}

/// JSON has no NaN.
mod places {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(v: &[Vec<f64>], s: S) -> Result<S::Ok, S::Error> {
        let all: Vec<Vec<Option<f64>>> =
            v.iter().map(|row| row.iter().map(|v| v.is_finite().then_some(*v)).collect()).collect();
        all.serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Vec<f64>>, D::Error> {
        let all = Vec::<Vec<Option<f64>>>::deserialize(d)?;
        Ok(all.into_iter().map(|row| row.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect()).collect())
    }
}

impl Grid {
    /// A line along one direction.
    ///
    /// # Errors
    /// No steps, or a step that is not finite.
    pub fn line(direction: Direction, steps: Vec<f64>) -> Result<Self> {
        Self::new(vec![Axis { direction, steps }])
    }

    /// A plane along two directions.
    ///
    /// # Errors
    /// As [`Grid::line`]; directions with different numbers of values.
    pub fn plane(first: Axis, second: Axis) -> Result<Self> {
        Self::new(vec![first, second])
    }

    fn new(axes: Vec<Axis>) -> Result<Self> {
        let dim = axes[0].direction.values().len();
        for Axis { direction: d, steps } in &axes {
            if steps.is_empty() || steps.iter().any(|s| !s.is_finite()) {
                return Err(Error::value("steps", format!("along `{}` must be finite, at least one", d.name())));
            }
            if d.values().len() != dim {
                return Err(Error::value("directions", format!("have {dim} and {} values", d.values().len())));
            }
        }
        Ok(Self { axes })
    }

    fn places(&self) -> usize {
        self.axes.iter().map(|a| a.steps.len()).product()
    }

    /// The weights at a grid point.
    fn place(&self, w: &[f64], i: usize) -> Vec<f64> {
        let mut at = w.to_vec();
        let inner = self.axes.get(1).map_or(1, |a| a.steps.len());
        for (axis, k) in self.axes.iter().zip([i / inner, i % inner]) {
            at.iter_mut().zip(axis.direction.values()).for_each(|(w, v)| *w += axis.steps[k] * v);
        }
        at
    }

    /// Measures every grid point; the weights are restored afterwards. With a `file`, each point is saved atomically once it is
    /// measured, and points that are in the file are not measured again. `f` returns one number per measure, which may be NaN
    /// or infinite.
    ///
    /// # Errors
    /// Those of `f`; directions that do not match the weights; [`Error::Checkpoint`] for a broken file, or one with different
    /// weights, directions, steps or measures.
    pub fn measure(
        &self,
        weights: &Weights<'_>,
        measures: &[&str],
        note: &str,
        file: Option<&Path>,
        mut f: impl FnMut() -> Result<Vec<f64>>,
    ) -> Result<Surface> {
        let w = weights.values()?;
        if self.axes[0].direction.values().len() != w.len() {
            let reason =
                format!("directions have {} values, the weights {}", self.axes[0].direction.values().len(), w.len());
            return Err(Error::value("directions", reason));
        }
        let digest = self.axes.iter().fold(Digest::new().numbers(&w), |d, a| d.numbers(a.direction.values()));
        let mut surface = Surface {
            directions: self.axes.iter().map(|a| a.direction.name().to_owned()).collect(),
            steps: self.axes.iter().map(|a| a.steps.clone()).collect(),
            measures: measures.iter().map(|m| (*m).to_owned()).collect(),
            note: note.to_owned(),
            values: Vec::new(),
            fingerprint: digest.hex(),
        };
        if let Some(kept) = file.map_or(Ok(None), |f| Kept::<Surface>::load(f, &surface.print()))? {
            surface.values = kept.value.values;
        }
        for i in surface.values.len()..self.places() {
            let row = weights.evaluate_at([self.place(&w, i)], &mut f)?.pop().unwrap_or_default();
            if row.len() != measures.len() {
                return Err(Error::value("measures", format!("{} numbers for {measures:?}", row.len())));
            }
            // What is not finite is kept as null: the same here as after a restart.
            surface.values.push(row.into_iter().map(|v| if v.is_finite() { v } else { f64::NAN }).collect());
            if let Some(file) = file {
                surface.save(file)?;
            }
        }
        Ok(surface)
    }
}

impl Surface {
    /// One measure at all grid points.
    ///
    /// # Errors
    /// [`Error::Value`] with the names of the measures.
    pub fn measure(&self, name: &str) -> Result<Vec<f64>> {
        let at = self.measures.iter().position(|m| m == name);
        let at = at.ok_or_else(|| Error::value("measure", format!("`{name}` is not among {:?}", self.measures)))?;
        Ok(self.values.iter().map(|row| row[at]).collect())
    }

    /// What the surface is of: all but its values.
    fn print(&self) -> Fingerprint {
        Fingerprint::new()
            .with("directions", &self.directions)
            .with("steps", &self.steps)
            .with("measures", &self.measures)
            .with("note", &self.note)
            .with("weights and directions", &self.fingerprint)
    }

    /// Saves it, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn save(&self, path: &Path) -> Result<()> {
        Kept::new(self.print(), self.clone()).save(path)
    }

    /// Loads what [`Surface::save`] wrote.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Checkpoint`] with the path where the file is damaged.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(Kept::open(path)?.value)
    }
}

impl Keep for Surface {
    fn to_state(&self) -> Result<State> {
        State::new(self, Vec::<(String, candle_core::Tensor)>::new())
    }

    fn from_state(state: State) -> Result<Self> {
        let it: Self = state.values()?;
        let places = it.steps.iter().map(Vec::len).product();
        if it.values.len() > places || it.values.iter().any(|row| row.len() != it.measures.len()) {
            return Err(Error::value("surface", format!("its values do not fit {places} places")));
        }
        Ok(it)
    }
}

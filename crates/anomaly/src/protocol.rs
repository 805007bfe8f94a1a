//! Known and unknown anomalies: which classes are normal, which are seen in training, and what is tested.

use crate::{Error, Result};
use sconce_tensor_core::Rng;
use sconce_tensor_core::error::require;
use serde::{Deserialize, Serialize};

/// What each class of a labelled data set is taken for.
///
/// ```
/// use sconce_anomaly::protocol::Roles;
/// let turns = Roles::in_turn(&[1, 3], &[0, 2, 4])?;
/// assert_eq!((turns.len(), &turns[1].known[..], &turns[1].unknown[..]), (3, &[0, 4][..], &[2][..]));
/// # Ok::<(), sconce_anomaly::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Classes of normal examples.
    pub normal: Vec<u32>,
    /// Classes of anomalies of which training sees some.
    pub known: Vec<u32>,
    /// Classes of anomalies that only the test has.
    pub unknown: Vec<u32>,
}

/// How much of what training sees.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `normals` | all | examples taken as normal | >= 1 |
/// | `labelled` | 200 | known anomalies, as many of each class as of every other, or one more | |
/// | `contamination` | 0 | share of the examples taken as normal that are anomalies of the known classes | [0, 1) |
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amounts {
    /// Examples taken as normal.
    pub normals: Option<usize>,
    /// Known anomalies.
    pub labelled: usize,
    /// Share of anomalies among the examples taken as normal.
    pub contamination: f64,
}

impl Default for Amounts {
    fn default() -> Self {
        Self { normals: None, labelled: 200, contamination: 0.0 }
    }
}

/// The rows that training sees, and which of them are known to be anomalies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Rows of the table of classes.
    pub rows: Vec<u32>,
    /// For each of them whether it is a known anomaly.
    pub known: Vec<bool>,
}

/// The rows that are tested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tested {
    /// Normal examples.
    pub normal: Vec<u32>,
    /// Anomalies of known classes.
    pub known: Vec<u32>,
    /// Anomalies of unknown classes.
    pub unknown: Vec<u32>,
}

impl Roles {
    /// Each class of anomalies held out in turn as the unknown one, the others known.
    ///
    /// # Errors
    /// As [`Roles::validate`], and fewer than two classes of anomalies.
    pub fn in_turn(normal: &[u32], anomalies: &[u32]) -> Result<Vec<Self>> {
        require("Roles anomalies", anomalies.len() >= 2, "at least 2 classes, one of them held out", anomalies.len())?;
        let turn = |out: &u32| {
            let known = anomalies.iter().copied().filter(|c| c != out).collect();
            let roles = Self { normal: normal.to_vec(), known, unknown: vec![*out] };
            roles.validate()?;
            Ok(roles)
        };
        anomalies.iter().map(turn).collect()
    }

    /// Checks that there are normal classes, and that no class has two roles.
    ///
    /// # Errors
    /// [`Error::Config`] naming the class.
    pub fn validate(&self) -> Result<()> {
        require("Roles.normal", !self.normal.is_empty(), "at least one class", "none")?;
        let mut all = [&self.normal[..], &self.known, &self.unknown].concat();
        all.sort_unstable();
        match all.windows(2).find(|w| w[0] == w[1]) {
            Some(w) => Err(Error::config("Roles", format!("class {} has two roles, or one of them twice", w[0]))),
            None => Ok(()),
        }
    }

    /// Draws what training sees from the rows of a table, by their classes. Rows of unknown or other classes are not among
    /// them. Fewer labelled anomalies than asked for are an error, not a smaller experiment.
    ///
    /// # Errors
    /// As [`Roles::validate`]; amounts out of range; a class with fewer rows than needed.
    pub fn seen(&self, classes: &[u32], amounts: &Amounts, rng: &Rng) -> Result<Seen> {
        self.validate()?;
        let c = amounts.contamination;
        require("Amounts.contamination", (0.0..1.0).contains(&c), "in [0, 1)", c)?;
        let drawn = |of: &[u32], stream: &str| -> Vec<u32> {
            let rows: Vec<u32> = (0..classes.len() as u32).filter(|i| of.contains(&classes[*i as usize])).collect();
            rng.stream(stream).permutation(rows.len()).into_iter().map(|i| rows[i]).collect()
        };
        let normals = drawn(&self.normal, "normals");
        let each: Vec<Vec<u32>> = self.known.iter().map(|k| drawn(&[*k], &format!("class {k}"))).collect();
        // Round after round one of each class: first those with labels, then those that hide among the normals.
        let rounds = each.iter().map(Vec::len).max().unwrap_or(0);
        let mut strange = (0..rounds).flat_map(|r| each.iter().filter_map(move |e| e.get(r).copied()));
        let n = amounts.normals.unwrap_or_else(|| (normals.len() as f64 / (1.0 - c)) as usize);
        let hidden = (n as f64 * c).round() as usize;
        let take = |what: &'static str, want: usize, there: usize| {
            require(what, want <= there, &format!("at most the {there} that there are"), want)
        };
        require("Amounts.normals", n > hidden, "more than the anomalies hidden among them", n)?;
        take("Amounts.normals", n - hidden, normals.len())?;
        take("Amounts.labelled (with those hidden)", amounts.labelled + hidden, each.iter().map(Vec::len).sum())?;
        let mut rows: Vec<u32> = normals[..n - hidden].to_vec();
        let labelled: Vec<u32> = strange.by_ref().take(amounts.labelled).collect();
        rows.extend(strange.take(hidden));
        let known = (0..rows.len() + labelled.len()).map(|i| i >= rows.len()).collect();
        rows.extend(labelled);
        Ok(Seen { rows, known })
    }

    /// All rows of a table by role; rows of other classes are left out.
    ///
    /// # Errors
    /// As [`Roles::validate`], and no normal rows.
    pub fn tested(&self, classes: &[u32]) -> Result<Tested> {
        self.validate()?;
        let of = |role: &[u32]| (0..classes.len() as u32).filter(|i| role.contains(&classes[*i as usize])).collect();
        let tested = Tested { normal: of(&self.normal), known: of(&self.known), unknown: of(&self.unknown) };
        match tested.normal.is_empty() {
            true => Err(Error::value("classes", format!("no row of the normal classes {:?}", self.normal))),
            false => Ok(tested),
        }
    }
}

/// Cuts `n` rows in two: the first part has the share `first` of them, rounded down; both are in order.
///
/// # Errors
/// A share outside [0, 1].
pub fn halves(n: usize, first: f64, rng: &Rng) -> Result<(Vec<u32>, Vec<u32>)> {
    require("share", (0.0..=1.0).contains(&first), "in [0, 1]", first)?;
    let order = rng.permutation(n);
    let (a, b) = order.split_at((n as f64 * first) as usize);
    let sorted = |part: &[usize]| {
        let mut rows: Vec<u32> = part.iter().map(|i| *i as u32).collect();
        rows.sort_unstable();
        rows
    };
    Ok((sorted(a), sorted(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles() -> Roles {
        Roles { normal: vec![1, 3], known: vec![0, 2], unknown: vec![4] }
    }

    /// Class of row i: i mod 6; class 5 has no role.
    fn classes() -> Vec<u32> {
        (0..600).map(|i| i % 6).collect()
    }

    #[test]
    fn training_sees_what_it_should_and_nothing_else() {
        let amounts = Amounts { normals: Some(100), labelled: 21, contamination: 0.1 };
        let seen = roles().seen(&classes(), &amounts, &Rng::new(3)).unwrap();
        let count = |known: bool, of: &[u32]| {
            let hit = |(r, k): &(&u32, &bool)| **k == known && of.contains(&(**r % 6));
            seen.rows.iter().zip(&seen.known).filter(hit).count()
        };
        assert_eq!((count(false, &[1, 3]), count(false, &[0, 2]), seen.rows.len()), (90, 10, 121));
        assert_eq!((count(true, &[0]), count(true, &[2]), count(true, &[1, 3, 4, 5])), (11, 10, 0));
        let mut unique = seen.rows.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 121, "an example is seen once");
        assert_eq!(seen, roles().seen(&classes(), &amounts, &Rng::new(3)).unwrap());
        assert_ne!(seen, roles().seen(&classes(), &amounts, &Rng::new(4)).unwrap());
        let all = roles().seen(&classes(), &Amounts { labelled: 0, ..Default::default() }, &Rng::new(0)).unwrap();
        assert!(all.rows.len() == 200 && !all.known.contains(&true));
    }

    #[test]
    fn the_test_has_all_roles() {
        let t = roles().tested(&classes()).unwrap();
        assert_eq!((t.normal.len(), t.known.len(), t.unknown.len(), t.unknown[1]), (200, 200, 100, 10));
        let (a, b) = halves(11, 0.5, &Rng::new(0)).unwrap();
        let mut both = [a.clone(), b].concat();
        both.sort_unstable();
        assert_eq!((a.len(), both), (5, (0..11).collect()));
    }

    #[test]
    fn what_cannot_be_drawn() {
        let message = |r: Roles, a: Amounts| r.seen(&classes(), &a, &Rng::new(0)).unwrap_err().to_string();
        assert!(message(roles(), Amounts { labelled: 201, ..Default::default() }).contains("at most the 200"));
        assert!(message(roles(), Amounts { normals: Some(201), ..Default::default() }).contains("at most the 200"));
        assert!(message(roles(), Amounts { contamination: 1.0, ..Default::default() }).contains("[0, 1)"));
        let twice = Roles { known: vec![1], ..roles() };
        assert!(message(twice, Amounts::default()).contains("class 1 has two roles"));
        assert!(Roles::in_turn(&[1], &[2]).is_err() && Roles::in_turn(&[1], &[1, 2]).is_err());
        assert!(roles().tested(&[0, 0]).unwrap_err().to_string().contains("no row of the normal"));
        assert!(halves(3, 1.5, &Rng::new(0)).is_err());
    }
}

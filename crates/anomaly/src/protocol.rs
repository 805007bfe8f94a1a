//! The evaluation protocol with known and unknown anomalies: which classes are normal, which anomalies training contains, and
//! the test split.

use crate::{Error, Result};
use sconce_tensor_core::Rng;
use sconce_tensor_core::error::require;
use serde::{Deserialize, Serialize};

/// The role of each class of a labelled data set.
///
/// ```
/// use sconce_anomaly::protocol::Roles;
/// let all = Roles::leave_one_class_out(&[1, 3], &[0, 2, 4])?;
/// assert_eq!((all.len(), &all[1].known[..], &all[1].unknown[..]), (3, &[0, 4][..], &[2][..]));
/// # Ok::<(), sconce_anomaly::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// Classes of normal examples.
    pub normal: Vec<u32>,
    /// Classes of anomalies that occur in training.
    pub known: Vec<u32>,
    /// Classes of anomalies that occur in the test split only.
    pub unknown: Vec<u32>,
}

/// The numbers of examples in the training split.
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `normals` | all | examples taken as normal | >= 1 |
/// | `labelled` | 200 | known anomalies, divided evenly among the classes (up to one) | |
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

/// The rows of the training split, and which of them are known anomalies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainingSplit {
    /// Rows of the table of classes.
    pub rows: Vec<u32>,
    /// Whether each row is a known anomaly.
    pub known: Vec<bool>,
}

/// The rows of the test split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestSplit {
    /// Normal examples.
    pub normal: Vec<u32>,
    /// Anomalies of known classes.
    pub known: Vec<u32>,
    /// Anomalies of unknown classes.
    pub unknown: Vec<u32>,
}

impl Roles {
    /// One set of roles for each class of anomalies: that class is unknown, the others are known.
    ///
    /// # Errors
    /// As [`Roles::validate`]; fewer than two classes of anomalies.
    pub fn leave_one_class_out(normal: &[u32], anomalies: &[u32]) -> Result<Vec<Self>> {
        require("Roles anomalies", anomalies.len() >= 2, "at least 2 classes, one of them held out", anomalies.len())?;
        let hold_out = |out: &u32| {
            let known = anomalies.iter().copied().filter(|c| c != out).collect();
            let roles = Self { normal: normal.to_vec(), known, unknown: vec![*out] };
            roles.validate()?;
            Ok(roles)
        };
        anomalies.iter().map(hold_out).collect()
    }

    /// Checks that there is a normal class, and that no class has two roles.
    ///
    /// # Errors
    /// [`Error::Config`] naming the class.
    pub fn validate(&self) -> Result<()> {
        require("Roles.normal", !self.normal.is_empty(), "at least one class", "none")?;
        let mut all = [&self.normal[..], &self.known, &self.unknown].concat();
        all.sort_unstable();
        match all.windows(2).find(|w| w[0] == w[1]) {
            Some(w) => Err(Error::config("Roles", format!("class {} has two roles, or is listed twice", w[0]))),
            None => Ok(()),
        }
    }

    /// Draws the training split from the rows of a table, by their classes; rows of unknown classes and of classes without a
    /// role are excluded. If there are fewer anomalies than `amounts` asks for, that is an error: the experiment does not
    /// silently become smaller.
    ///
    /// # Errors
    /// As [`Roles::validate`]; amounts out of range; too few rows of a class.
    pub fn training_split(&self, classes: &[u32], amounts: &Amounts, rng: &Rng) -> Result<TrainingSplit> {
        self.validate()?;
        let c = amounts.contamination;
        require("Amounts.contamination", (0.0..1.0).contains(&c), "in [0, 1)", c)?;
        let drawn = |of: &[u32], stream: &str| -> Vec<u32> {
            let rows: Vec<u32> = (0..classes.len() as u32).filter(|i| of.contains(&classes[*i as usize])).collect();
            rng.stream(stream).permutation(rows.len()).into_iter().map(|i| rows[i]).collect()
        };
        let normals = drawn(&self.normal, "normals");
        let each: Vec<Vec<u32>> = self.known.iter().map(|k| drawn(&[*k], &format!("class {k}"))).collect();
        // Round robin over the classes: first the labelled anomalies, then those hidden among the normal rows.
        let rounds = each.iter().map(Vec::len).max().unwrap_or(0);
        let mut anomalies = (0..rounds).flat_map(|r| each.iter().filter_map(move |e| e.get(r).copied()));
        let n = amounts.normals.unwrap_or_else(|| (normals.len() as f64 / (1.0 - c)) as usize);
        let hidden = (n as f64 * c).round() as usize;
        let take = |what: &'static str, want: usize, there: usize| {
            require(what, want <= there, &format!("at most {there}, the number of rows available"), want)
        };
        require("Amounts.normals", n > hidden, "more than the number of anomalies hidden among them", n)?;
        take("Amounts.normals", n - hidden, normals.len())?;
        take("Amounts.labelled (with those hidden)", amounts.labelled + hidden, each.iter().map(Vec::len).sum())?;
        let mut rows: Vec<u32> = normals[..n - hidden].to_vec();
        let labelled: Vec<u32> = anomalies.by_ref().take(amounts.labelled).collect();
        rows.extend(anomalies.take(hidden));
        let known = (0..rows.len() + labelled.len()).map(|i| i >= rows.len()).collect();
        rows.extend(labelled);
        Ok(TrainingSplit { rows, known })
    }

    /// The test split: all rows of a table by role; rows of classes without a role are excluded.
    ///
    /// # Errors
    /// As [`Roles::validate`]; no normal rows.
    pub fn test_split(&self, classes: &[u32]) -> Result<TestSplit> {
        self.validate()?;
        let of = |role: &[u32]| (0..classes.len() as u32).filter(|i| role.contains(&classes[*i as usize])).collect();
        let tested = TestSplit { normal: of(&self.normal), known: of(&self.known), unknown: of(&self.unknown) };
        match tested.normal.is_empty() {
            true => Err(Error::value("classes", format!("no row of the normal classes {:?}", self.normal))),
            false => Ok(tested),
        }
    }
}

/// Splits `n` rows at random in two: the first part has a share `first` of them, rounded down. Both parts are in ascending
/// order.
///
/// # Errors
/// A share outside [0, 1].
pub fn random_split(n: usize, first: f64, rng: &Rng) -> Result<(Vec<u32>, Vec<u32>)> {
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

/// Splits rows at random in two, anomalies and other rows by themselves, so that both parts have about the same share of anomalies.
/// The first part has a share `first` of either, rounded to the nearest number; of two or more anomalies each part has at least
/// one, and a single one is in the first. Both parts are in ascending order.
///
/// # Errors
/// A share outside [0, 1].
pub fn stratified_split(anomaly: &[bool], first: f64, rng: &Rng) -> Result<(Vec<u32>, Vec<u32>)> {
    require("share", (0.0..=1.0).contains(&first), "in [0, 1]", first)?;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for (class, stream) in [(false, "normal"), (true, "anomalous")] {
        let own: Vec<u32> = (0..anomaly.len() as u32).filter(|i| anomaly[*i as usize] == class).collect();
        let share = (own.len() as f64 * first).round() as usize;
        let size = match own.len() {
            n @ 1.. if class && first > 0.0 && first < 1.0 => share.clamp(1, (n - 1).max(1)),
            _ => share,
        };
        let order = rng.stream(stream).permutation(own.len());
        a.extend(order[..size].iter().map(|i| own[*i]));
        b.extend(order[size..].iter().map(|i| own[*i]));
    }
    a.sort_unstable();
    b.sort_unstable();
    Ok((a, b))
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
    fn the_training_split_has_the_known_classes_only() {
        let amounts = Amounts { normals: Some(100), labelled: 21, contamination: 0.1 };
        let split = roles().training_split(&classes(), &amounts, &Rng::new(3)).unwrap();
        let count = |known: bool, of: &[u32]| {
            let hit = |(r, k): &(&u32, &bool)| **k == known && of.contains(&(**r % 6));
            split.rows.iter().zip(&split.known).filter(hit).count()
        };
        assert_eq!((count(false, &[1, 3]), count(false, &[0, 2]), split.rows.len()), (90, 10, 121));
        assert_eq!((count(true, &[0]), count(true, &[2]), count(true, &[1, 3, 4, 5])), (11, 10, 0));
        let mut unique = split.rows.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), 121, "a row occurs once");
        assert_eq!(split, roles().training_split(&classes(), &amounts, &Rng::new(3)).unwrap());
        assert_ne!(split, roles().training_split(&classes(), &amounts, &Rng::new(4)).unwrap());
        let all =
            roles().training_split(&classes(), &Amounts { labelled: 0, ..Default::default() }, &Rng::new(0)).unwrap();
        assert!(all.rows.len() == 200 && !all.known.contains(&true));
    }

    #[test]
    fn the_test_split_has_all_roles() {
        let t = roles().test_split(&classes()).unwrap();
        assert_eq!((t.normal.len(), t.known.len(), t.unknown.len(), t.unknown[1]), (200, 200, 100, 10));
        let (a, b) = random_split(11, 0.5, &Rng::new(0)).unwrap();
        let mut both = [a.clone(), b].concat();
        both.sort_unstable();
        assert_eq!((a.len(), both), (5, (0..11).collect()));
    }

    #[test]
    fn both_parts_have_anomalies() {
        let split = |n: usize, anomalies: usize, share: f64, seed: u64| {
            let anomaly: Vec<bool> = (0..n).map(|i| i < anomalies).collect();
            let (a, b) = stratified_split(&anomaly, share, &Rng::new(seed)).unwrap();
            let mut both = [a.clone(), b.clone()].concat();
            both.sort_unstable();
            assert!(both == (0..n as u32).collect::<Vec<_>>() && a.is_sorted() && b.is_sorted());
            let count = |part: &[u32]| part.iter().filter(|i| (**i as usize) < anomalies).count();
            (a.len(), count(&a), count(&b))
        };
        for seed in 0..5 {
            assert_eq!(split(100, 10, 0.4, seed), (40, 4, 6));
            assert_eq!(split(51, 1, 0.4, seed), (21, 1, 0), "a single one can be evaluated");
            assert_eq!(split(50, 2, 0.1, seed), (6, 1, 1));
            assert_eq!(split(50, 2, 0.9, seed), (44, 1, 1));
            assert_eq!(split(10, 5, 0.0, seed), (0, 0, 5));
        }
        let parts = |seed| stratified_split(&[false; 40], 0.5, &Rng::new(seed)).unwrap();
        assert!(parts(0) == parts(0) && parts(0) != parts(1));
        assert!(stratified_split(&[true], 1.5, &Rng::new(0)).is_err());
    }

    #[test]
    fn what_cannot_be_drawn() {
        let message = |r: Roles, a: Amounts| r.training_split(&classes(), &a, &Rng::new(0)).unwrap_err().to_string();
        assert!(
            message(roles(), Amounts { labelled: 201, ..Default::default() })
                .contains("at most 200, the number of rows available")
        );
        assert!(
            message(roles(), Amounts { normals: Some(201), ..Default::default() })
                .contains("at most 200, the number of rows available")
        );
        assert!(message(roles(), Amounts { contamination: 1.0, ..Default::default() }).contains("[0, 1)"));
        let twice = Roles { known: vec![1], ..roles() };
        assert!(message(twice, Amounts::default()).contains("class 1 has two roles"));
        assert!(Roles::leave_one_class_out(&[1], &[2]).is_err() && Roles::leave_one_class_out(&[1], &[1, 2]).is_err());
        assert!(roles().test_split(&[0, 0]).unwrap_err().to_string().contains("no row of the normal"));
        assert!(random_split(3, 1.5, &Rng::new(0)).is_err());
    }
}

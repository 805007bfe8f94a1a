//! The recipe of `abc`.

use crate::pieces::data::Source;
use anyhow::{Context, Result, bail};
use sconce_anomaly::protocol::{Amounts, Roles};
use sconce_anomaly::{Encoded, Method, Missing, Scale, Scaled, methods};
use sconce_tensor_core::table::Schema;
use serde::{Deserialize, Serialize};

/// `xtask/recipes/abc/<preset>.toml`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub seeds: Vec<u64>,
    pub images: Vec<ImageSet>,
    pub tables: Vec<TableSet>,
    pub divergence: Divergence,
    pub toy: Toy,
}

/// A method under a name of this report.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    pub name: String,
    /// One of [`methods::NAMES`].
    pub method: String,
    /// What differs from the method's defaults.
    pub config: serde_json::Value,
}

/// Images by class, each class of anomalies held out in turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSet {
    pub name: String,
    pub source: Source,
    pub normal: Vec<u32>,
    pub anomalies: Vec<u32>,
    /// Which of the anomalies are unknown in turn.
    pub held_out: Vec<u32>,
    /// Normal examples in training; 0: all.
    pub normals: usize,
    pub labelled: usize,
    pub contamination: f64,
    pub arms: Vec<Arm>,
    pub sweep: Sweep,
}

/// Other amounts, for some of the arms, each from the main setting.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    pub arms: Vec<String>,
    pub labelled: Vec<usize>,
    pub contamination: Vec<f64>,
    /// How many of the turns.
    pub turns: usize,
}

/// A table whose rows are cut in a training and a test part.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSet {
    pub name: String,
    pub source: TableSource,
    /// Columns that are left out.
    pub drop: Vec<String>,
    /// Whether rows that are the same, label and all, are taken once.
    pub distinct: bool,
    /// Names of classes.
    pub normal: Vec<String>,
    pub known: Vec<String>,
    pub unknown: Vec<String>,
    /// Share of the rows in training.
    pub train: f64,
    pub normals: usize,
    pub labelled: usize,
    pub scale: Scale,
    pub arms: Vec<Arm>,
}

/// Where a table comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum TableSource {
    /// Shuttle: classes `normal` and `anomaly`.
    Shuttle,
    /// KDD'99, ten per cent and the corrected test, in the data folder; left out where they are not there.
    Kdd99,
}

/// Training for longer and longer, seen from the known anomalies' residuals; the first image set's first turn.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Divergence {
    pub epochs: Vec<usize>,
    pub arms: Vec<Arm>,
}

/// Two dimensions: normals on an arc, known anomalies in a gap of it, unknown ones outside.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toy {
    pub normals: usize,
    pub known: usize,
    pub unknown: usize,
    pub spread: f64,
    /// Pixels of a side of the maps.
    pub pixels: usize,
    pub arms: Vec<Arm>,
}

impl Arm {
    pub fn method(&self) -> Result<Box<dyn Method>> {
        methods::method(&self.method, &self.config).with_context(|| format!("arm `{}`", self.name))
    }

    /// Whether its fit depends on known anomalies.
    pub fn uses_known(&self) -> bool {
        methods::uses_known(&self.method)
    }
}

impl ImageSet {
    pub fn turns(&self) -> Result<Vec<Roles>> {
        let all = Roles::leave_one_class_out(&self.normal, &self.anomalies)
            .with_context(|| format!("images.{}", self.name))?;
        if let Some(c) = self.held_out.iter().find(|c| !self.anomalies.contains(c)) {
            bail!("images.{}.held_out: {c} is not among the anomalies", self.name);
        }
        let turns: Vec<Roles> = all.into_iter().filter(|r| self.held_out.contains(&r.unknown[0])).collect();
        if turns.is_empty() {
            bail!("images.{}.held_out: needs at least one class", self.name);
        }
        Ok(turns)
    }

    pub fn amounts(&self) -> Amounts {
        Amounts {
            normals: Some(self.normals).filter(|n| *n > 0),
            labelled: self.labelled,
            contamination: self.contamination,
        }
    }
}

impl TableSet {
    /// The method behind the table's encoding and scale.
    pub fn method(&self, arm: &Arm, schema: &Schema) -> Result<Box<dyn Method>> {
        let scaled = Scaled::new(arm.method()?, self.scale);
        Ok(Box::new(Encoded::new(scaled, schema.clone(), Missing::Refuse)))
    }

    pub fn amounts(&self) -> Amounts {
        Amounts { normals: Some(self.normals).filter(|n| *n > 0), labelled: self.labelled, contamination: 0.0 }
    }
}

impl Config {
    /// What the types do not say.
    pub fn validate(&self) -> Result<()> {
        if self.seeds.is_empty() || self.images.is_empty() {
            bail!("seeds and images: need at least one each");
        }
        let lists = self.images.iter().map(|s| (&s.name, &s.arms));
        let lists = lists.chain(self.tables.iter().map(|s| (&s.name, &s.arms)));
        let (toy, divergence) = ("toy".to_owned(), "divergence".to_owned());
        let lists: Vec<_> = lists.chain([(&toy, &self.toy.arms), (&divergence, &self.divergence.arms)]).collect();
        for (place, arms) in lists {
            for (i, a) in arms.iter().enumerate() {
                a.method().with_context(|| place.clone())?;
                if arms[..i].iter().any(|b| b.name == a.name) {
                    bail!("{place}: two arms are named `{}`", a.name);
                }
            }
        }
        for s in &self.images {
            s.turns()?;
            if let Some(a) = s.sweep.arms.iter().find(|a| s.arms.iter().all(|b| b.name != **a)) {
                bail!("images.{}.sweep.arms: no arm `{a}`", s.name);
            }
            if s.sweep.turns == 0 && s.sweep.labelled.len() + s.sweep.contamination.len() > 0 {
                bail!("images.{}.sweep.turns: at least 1 where there are other amounts", s.name);
            }
        }
        if self.divergence.epochs.windows(2).any(|w| w[0] >= w[1]) || self.divergence.epochs.is_empty() {
            bail!("divergence.epochs: must rise");
        }
        for a in &self.divergence.arms {
            if a.config.get("network").is_none() {
                bail!("divergence.arms: `{}` needs a network, whose epochs are set", a.name);
            }
        }
        if self.toy.normals < 2 || self.toy.known == 0 || self.toy.unknown == 0 || self.toy.pixels < 2 {
            bail!("toy: needs at least 2 normals, 1 known and 1 unknown anomaly and 2 pixels");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use xtask::cli::Preset;

    #[test]
    fn bad_values_are_refused() {
        let folder = crate::places::workspace().join("xtask/recipes/abc");
        let refused = |set: &str| {
            let cfg = Recipe::read(&folder, Preset::Quick, &[set.to_owned()]).unwrap().open::<Config>().unwrap();
            format!("{:#}", cfg.validate().unwrap_err())
        };
        assert!(refused("images.0.arms.0.method=oracle").contains("no method `oracle`"));
        assert!(refused("images.0.anomalies=[3]").contains("at least 2 classes"));
        assert!(refused("images.0.sweep.arms=[\"nobody\"]").contains("no arm `nobody`"));
        assert!(refused("images.0.sweep.labelled=[10]").contains("sweep.turns: at least 1"));
    }
}

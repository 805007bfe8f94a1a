//! Images of a recipe, in three parts.

use crate::jobs::Site;
use anyhow::{Result, bail};
use sconce_datasets::{Images, Split, catalog, embedded};
use sconce_tensor_core::data::Labelled;
use sconce_tensor_core::store::Digest;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// A data set and how it is cut.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The name in the catalog.
    pub name: String,
    /// What ships, or files.
    pub source: Source,
    /// Images of the training split to train on.
    pub train: usize,
    /// Images after those, to choose by.
    pub validation: usize,
    /// Images of the test split.
    pub test: usize,
}

/// Where a data set comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The part that ships.
    Embedded,
    /// Files on this machine.
    Files,
}

/// The three parts that a setting works on.
pub struct Parts {
    /// To train on.
    pub train: Labelled,
    /// To choose by.
    pub validation: Labelled,
    /// To report.
    pub test: Labelled,
}

impl Source {
    /// A split of a data set.
    pub fn read(self, name: &str, split: Split, site: &Site) -> Result<Images> {
        Ok(match (self, name) {
            (Self::Embedded, "fashion-mnist") => embedded::fashion_mnist(split)?,
            (Self::Embedded, other) => bail!("data.source: only fashion-mnist is embedded, not `{other}`"),
            (Self::Files, name) => {
                let images = site.lookup.load(&catalog::get(name)?, split)?;
                let digest = Digest::new().bytes(&images.pixels).bytes(&images.labels);
                site.same(&format!("{name}-{split:?}").to_lowercase(), digest)?;
                images
            }
        })
    }
}

impl Data {
    /// The parts, read once in a process.
    pub fn load(&self, site: &Site) -> Result<Rc<Parts>> {
        site.once(&format!("{self:?}"), || {
            let all = self.source.read(&self.name, Split::Train, site)?.to_labelled(&site.device)?;
            let test = self.source.read(&self.name, Split::Test, site)?.to_labelled(&site.device)?;
            Ok(Parts {
                train: all.slice(0, self.train)?,
                validation: all.slice(self.train, self.validation)?,
                test: test.slice(0, self.test)?,
            })
        })
    }

    /// The classes' names, or their numbers.
    pub fn class_names(&self, classes: usize) -> Vec<String> {
        let known = catalog::get(&self.name).map(|d| d.classes).unwrap_or_default();
        if known.len() == classes { known } else { (0..classes).map(|i| i.to_string()).collect() }
    }

    /// What a reader must know of embedded data.
    pub fn flag(&self) -> Option<String> {
        let text = "Trained and tested on the embedded part of Fashion-MNIST; the full preset uses all of it.";
        (self.source == Source::Embedded).then(|| text.to_owned())
    }
}

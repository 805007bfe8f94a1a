//! Images with one or several sets of labels.

use super::config::{Data, DataName};
use crate::jobs::Site;
use anyhow::{Result, bail};
use sconce_datasets::garments::{Garments, Label};
use sconce_datasets::{Split, catalog};
use sconce_ssl::transforms::Images;
use sconce_tensor_core::Rng;
use sconce_tensor_core::candle_core::{DType, Tensor};
use sconce_tensor_core::data::Labelled;
use std::rc::Rc;

/// The parts, with all labels.
pub struct Sets {
    pub train: Images,
    pub validation: Images,
    pub test: Images,
    pub labels: Vec<LabelSet>,
}

/// One kind of label.
pub struct LabelSet {
    pub name: String,
    pub classes: Vec<String>,
    pub train: Vec<u32>,
    pub validation: Vec<u32>,
    pub test: Vec<u32>,
}

/// The bytes of the images `from..from + n` of a split.
fn cut(pixels: &[u8], shape: (usize, usize, usize), from: usize, n: usize) -> Result<Images> {
    let size = shape.0 * shape.1 * shape.2;
    let (all, to) = (pixels.len() / size, from + n);
    if to > all {
        bail!("data: {to} images are asked for, there are {all}");
    }
    Ok(Images::new(shape, pixels[from * size..to * size].to_vec())?)
}

impl Data {
    /// The names of the sets of labels.
    pub fn label_names(&self) -> Vec<&'static str> {
        match self.name {
            DataName::GarmentsInCloth => Label::ALL.iter().map(|l| l.name()).collect(),
            DataName::Cifar10 => vec!["class"],
        }
    }

    /// The parts, read once in a process for each seed.
    pub fn load(&self, seed: u64, site: &Site) -> Result<Rc<Sets>> {
        match self.name {
            DataName::GarmentsInCloth => site.once(&format!("{self:?} {seed}"), || self.garments(seed, site)),
            DataName::Cifar10 => site.once(&format!("{self:?}"), || self.cifar(site)),
        }
    }

    fn garments(&self, seed: u64, site: &Site) -> Result<Sets> {
        let rng = Rng::new(seed).stream("garments");
        let cloth = |split, name: &str| -> Result<Garments> {
            let grey = self.source.read("fashion-mnist", split, site)?;
            Ok(Garments::new(&grey, 0, &rng.stream(name))?)
        };
        let (train, test) = (cloth(Split::Train, "train")?, cloth(Split::Test, "test")?);
        let described = catalog::made_set("garments-in-cloth")?;
        let mut labels = Vec::new();
        for (set, entry) in Label::ALL.into_iter().zip(&described.labels) {
            labels.push(self.label_set(set.name(), entry.classes.clone(), (train.labels(set), test.labels(set)))?);
        }
        let (a, b) = (train.images(Label::Shape)?, test.images(Label::Shape)?);
        self.sets((&a.pixels, &b.pixels), a.shape, labels)
    }

    fn cifar(&self, site: &Site) -> Result<Sets> {
        let (train, test) =
            (self.source.read("cifar10", Split::Train, site)?, self.source.read("cifar10", Split::Test, site)?);
        let classes = catalog::get("cifar10")?.classes;
        let labels = vec![self.label_set("class", classes, (&train.labels, &test.labels))?];
        self.sets((&train.pixels, &test.pixels), train.shape, labels)
    }

    fn label_set(&self, name: &str, classes: Vec<String>, (train, test): (&[u8], &[u8])) -> Result<LabelSet> {
        let (n, to) = (self.train, self.train + self.validation);
        if to > train.len() || self.test > test.len() {
            bail!("data: {to} and {} images are asked for, there are {} and {}", self.test, train.len(), test.len());
        }
        let words = |l: &[u8]| l.iter().map(|l| u32::from(*l)).collect();
        let (validation, test) = (words(&train[n..to]), words(&test[..self.test]));
        Ok(LabelSet { name: name.to_owned(), classes, train: words(&train[..n]), validation, test })
    }

    fn sets(&self, (train, test): (&[u8], &[u8]), shape: (usize, usize, usize), labels: Vec<LabelSet>) -> Result<Sets> {
        Ok(Sets {
            train: cut(train, shape, 0, self.train)?,
            validation: cut(train, shape, self.train, self.validation)?,
            test: cut(test, shape, 0, self.test)?,
            labels,
        })
    }
}

/// Images as values in [0, 1] with labels.
pub fn labelled(images: &Images, labels: &[u32], classes: usize, site: &Site) -> Result<Labelled> {
    Ok(Labelled::new(unit(images, site)?, labels, classes)?)
}

/// Images as values in [0, 1].
pub fn unit(images: &Images, site: &Site) -> Result<Tensor> {
    Ok(images.to_unit(DType::F32, &site.device)?)
}

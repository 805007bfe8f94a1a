//! Several pretext tasks on one image.

use super::{Head, Pretext};
use crate::transforms::{Image, Images};
use rayon::prelude::*;
use sconce_tensor_core::candle_core::{DType, Device, Tensor};
use sconce_tensor_core::{Error, ExampleRng, Result, Rng, error::require};

/// Pretext tasks that change one image in turn, each of which is predicted: one input of the network carries the labels of all.
///
/// Augmentations come first, then the tasks in their order. A flip therefore comes before a rotation always (a mirrored rotated
/// image would be of another class). Rotations commute with all enhancements, so only the order among enhancements matters. A
/// task with several views, or with labels in cells, is the last one.
///
/// # Randomness
/// Each task draws from the stream of its own name, keyed by the example. What an image looks like does not depend on the batch, on
/// the number of threads, or on which of its changes are predicted: rotation with sharpness as an augmentation, and rotation
/// with sharpness as a second task, see the same inputs.
///
/// ```
/// use sconce_ssl::pretext::{Flip, Magnitudes, Mixture, Rotation};
/// use sconce_ssl::transforms::EnhancementKind;
/// let color = || Magnitudes::of(EnhancementKind::Color).map(|m| Box::new(m) as _);
/// // Rotation alone, IE-Rot with colour, and the control that sees the same inputs and does not predict the colour.
/// let rotation = Mixture::new(vec![Box::new(Rotation)])?.augmented_by(vec![Box::new(Flip)])?;
/// let ie_rot = Mixture::new(vec![Box::new(Rotation), color()?])?.augmented_by(vec![Box::new(Flip)])?;
/// let control = Mixture::new(vec![Box::new(Rotation)])?.augmented_by(vec![Box::new(Flip), color()?])?;
/// assert_eq!(ie_rot.names(), ["rotation", "color"]);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Mixture {
    augmentations: Vec<Box<dyn Pretext>>,
    tasks: Vec<Box<dyn Pretext>>,
    /// The task of which every image has all variants.
    all_of: Option<usize>,
}

/// The inputs and labels of some examples.
#[derive(Clone, Debug)]
pub struct MixedBatch {
    /// Values in [0, 1], (R V, C, H, W): the V views of each of R mixed images one after the other.
    pub x: Tensor,
    /// For each task, the labels (R L,) of u32, with L its [`Head::labels`].
    pub labels: Vec<Tensor>,
}

/// A mixed image.
struct Mixed {
    views: Vec<Image>,
    labels: Vec<Vec<u32>>,
}

impl Mixture {
    /// Tasks that are predicted, in the order in which they change an image.
    ///
    /// # Errors
    /// [`Error::Config`] for no task, a name that occurs twice, or a task with several views or with labels in cells that is not the
    /// last one.
    pub fn new(tasks: Vec<Box<dyn Pretext>>) -> Result<Self> {
        require("Mixture.tasks", !tasks.is_empty(), "at least one", 0)?;
        let last = tasks.len() - 1;
        let ends = |t: &dyn Pretext| t.views() != 1 || matches!(t.head(), Head::Cells { .. });
        if let Some(t) = tasks[..last].iter().find(|t| ends(t.as_ref())) {
            let reason = format!("`{}` has several views or labels in cells: it must be the last task", t.name());
            return Err(Error::config("Mixture.tasks", reason));
        }
        let mixture = Self { augmentations: Vec::new(), tasks, all_of: None };
        mixture.require_names()?;
        Ok(mixture)
    }

    /// Changes each image by tasks that are not predicted, in their order, before those that are. They replace earlier ones.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that occurs twice, also among the tasks, or a task with several views.
    pub fn augmented_by(mut self, augmentations: Vec<Box<dyn Pretext>>) -> Result<Self> {
        if let Some(a) = augmentations.iter().find(|a| a.views() != 1) {
            return Err(Error::config("Mixture.augmentations", format!("`{}` has {} views", a.name(), a.views())));
        }
        self.augmentations = augmentations;
        self.require_names()?;
        Ok(self)
    }

    /// Takes every image in all variants of one of the tasks: a batch of B examples becomes one of B times as many images. The other tasks
    /// are drawn for each of them.
    ///
    /// # Errors
    /// [`Error::Config`] where there is no task of that name.
    pub fn all_of(mut self, name: &str) -> Result<Self> {
        let found = self.tasks.iter().position(|t| t.name() == name);
        if found.is_none() {
            let reason = format!("no task `{name}`; there are {:?}", self.names());
            return Err(Error::config("Mixture.all_of", reason));
        }
        self.all_of = found;
        Ok(self)
    }

    fn require_names(&self) -> Result<()> {
        let names: Vec<String> = self.augmentations.iter().chain(&self.tasks).map(|t| t.name()).collect();
        match names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)) {
            Some((_, n)) => Err(Error::config("Mixture.tasks", format!("`{n}` occurs twice"))),
            None => Ok(()),
        }
    }

    /// The tasks that are predicted.
    pub fn tasks(&self) -> impl Iterator<Item = &dyn Pretext> {
        self.tasks.iter().map(Box::as_ref)
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.tasks().map(Pretext::name).collect()
    }

    /// Views of each mixed image.
    pub fn views(&self) -> usize {
        self.tasks.last().map_or(1, |t| t.views())
    }

    /// Mixed images of each example.
    pub fn copies(&self) -> usize {
        self.all_of.map_or(1, |i| self.tasks[i].variants())
    }

    /// The mixed images of some examples of a data set, in parallel over examples; `rng` has one stream for each.
    ///
    /// # Shapes
    /// B examples -> R = B [`Mixture::copies`] mixed images; an example's copies stand one after the other.
    ///
    /// # Errors
    /// [`Error::Shape`] where the number of streams is another one; an example that does not exist; those of the tasks; mixed images of
    /// different shapes.
    pub fn batch(
        &self,
        images: &Images,
        examples: &[usize],
        rng: &ExampleRng,
        dtype: DType,
        device: &Device,
    ) -> Result<MixedBatch> {
        if rng.examples().len() != examples.len() {
            return Err(Error::shape(
                "streams",
                format!("({},), one an example", examples.len()),
                &[rng.examples().len()],
            ));
        }
        let mixed: Vec<Result<Vec<Mixed>>> =
            (0..examples.len()).into_par_iter().map(|i| self.mix(images.get(examples[i])?, &rng.row(i))).collect();
        let mixed: Vec<Mixed> = mixed.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let labels = (0..self.tasks.len()).map(|t| {
            let all: Vec<u32> = mixed.iter().flat_map(|m| &m.labels[t]).copied().collect();
            let count = all.len();
            Ok(Tensor::from_vec(all, count, device)?)
        });
        let labels = labels.collect::<Result<_>>()?;
        let x = Images::from_images(mixed.iter().flat_map(|m| &m.views))?.to_unit(dtype, device)?;
        Ok(MixedBatch { x, labels })
    }

    /// All copies of one image.
    fn mix(&self, image: Image, rng: &Rng) -> Result<Vec<Mixed>> {
        (0..self.copies()).map(|copy| self.copy(image.clone(), copy, rng)).collect()
    }

    /// The stream of a change, whether it is predicted or not: arms with other heads see the same inputs.
    fn stream(&self, name: &str, copy: usize, rng: &Rng) -> Rng {
        let own = rng.stream(name);
        if self.all_of.is_some() { own.stream(&format!("copy {copy}")) } else { own }
    }

    fn copy(&self, mut image: Image, copy: usize, rng: &Rng) -> Result<Mixed> {
        for a in &self.augmentations {
            let own = self.stream(&a.name(), copy, rng);
            image = single(a.change(image, draw(&own, a.variants()), &own.stream("change"))?, a.as_ref())?;
        }
        let mut labels = Vec::with_capacity(self.tasks.len());
        for (i, task) in self.tasks.iter().enumerate() {
            let own = self.stream(&task.name(), copy, rng);
            let variant = if self.all_of == Some(i) { copy } else { draw(&own, task.variants()) };
            labels.push(task.labels(&image, variant)?);
            let views = task.change(image, variant, &own.stream("change"))?;
            if i + 1 == self.tasks.len() {
                return Ok(Mixed { views, labels });
            }
            image = single(views, task.as_ref())?;
        }
        Ok(Mixed { views: vec![image], labels })
    }
}

fn draw(rng: &Rng, variants: usize) -> usize {
    rng.below(1, variants as u64)[0] as usize
}

fn single(mut views: Vec<Image>, task: &dyn Pretext) -> Result<Image> {
    match (views.pop(), views.len()) {
        (Some(image), 0) => Ok(image),
        _ => Err(Error::value(format!("views of `{}`", task.name()), "expected one".to_owned())),
    }
}

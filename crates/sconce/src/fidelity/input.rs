//! The images that are compared.

use crate::args::Fidelity;
use crate::sets::{Set, agree};
use anyhow::Result;
use sconce_datasets::Split;
use sconce_gan::fidelity::Resize;

/// Sets of one size.
pub(crate) struct Compared {
    pub(crate) real: Set,
    pub(crate) generated: Set,
    /// What the generator was trained on, where that is known.
    pub(crate) train: Option<Set>,
    pub(crate) resize: Resize,
}

impl Compared {
    /// The sets of the arguments.
    ///
    /// # Errors
    /// As [`Set::read`] and [`agree`].
    pub(super) fn read(args: &Fidelity) -> Result<Self> {
        let side = args.resize.map(usize::try_from).transpose()?;
        let read = |option, name: &str, split| Set::read(option, name, split, &args.places, side);
        let mut real = read("--real", &args.real, Split::Test)?;
        let mut generated = read("--generated", &args.generated, Split::Test)?;
        let mut train = args.train.as_ref().map(|t| read("--train", t, Split::Train)).transpose()?;
        let mut all = vec![&mut real, &mut generated];
        all.extend(train.as_mut());
        let rule = agree(&mut all, side)?;
        Ok(Self { real, generated, train, resize: rule.map_or(Resize::None, Resize::Rule) })
    }
}

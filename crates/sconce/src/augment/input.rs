//! The images that the GAN learns from.

use crate::args::{Arm, Augment};
use crate::sets::{Set, agree};
use crate::terminal::Terminal;
use anyhow::{Result, bail};
use sconce_datasets::Split;
use sconce_gan::fidelity::Resize;
use sconce_tensor_core::Rng;

/// The target, the outer set, and which target images are trained on.
pub(super) struct Input {
    pub(super) target: Set,
    /// None where the arm has no outer images.
    pub(super) outer: Option<Set>,
    pub(super) resize: Resize,
    /// The target images that are trained on.
    pub(super) trained: Set,
    /// The others; none where no class has enough.
    pub(super) held_out: Option<Set>,
}

impl Input {
    /// Reads the sets of the arguments.
    ///
    /// # Errors
    /// As [`Set::read`] and [`agree`]; images that the networks do not take; a class without images to train on.
    pub(super) fn read(args: &Augment) -> Result<Self> {
        let side = args.resize.map(usize::try_from).transpose()?;
        let read = |option, name: &str| Set::read(option, name, Split::Train, &args.places, side);
        let outer = match (&args.outer, args.arm) {
            (_, Arm::TargetOnly) => None,
            (Some(name), _) => Some(read("--outer", name)?),
            (None, _) => bail!("--outer: this arm learns from outer images too; name some, or use --arm target-only"),
        };
        if args.arm == Arm::Joint && args.target_weight == 0.0 {
            bail!("--target-weight 0: the arm joint would not learn the target; give a share above 0, up to 1");
        }
        let (mut target, mut outer) = (read("--target", &args.target)?, outer);
        let rule = agree(&mut std::iter::once(&mut target).chain(outer.as_mut()).collect::<Vec<_>>(), side)?;
        for set in std::iter::once(&target).chain(outer.as_ref()) {
            check(set)?;
        }
        let (trained, held_out) = split(&target, args.held_out, &Rng::new(args.seed).stream("held out"))?;
        Ok(Self { target, outer, resize: rule.map_or(Resize::None, Resize::Rule), trained, held_out })
    }

    /// Says what was found, and what is odd about it.
    pub(super) fn describe(&self, args: &Augment, terminal: &Terminal) {
        let (c, h, w) = self.target.images.shape;
        let of = |s: &Set| format!("{} images of {} classes", s.images.len(), s.classes.len());
        let held = self.held_out.as_ref().map_or(0, |s| s.images.len());
        let outer = self.outer.as_ref().map_or_else(String::new, |o| format!("; outer: {}", of(o)));
        terminal
            .note(&format!("images of {c} x {h} x {w}; target: {}, {held} of them held out{outer}", of(&self.target)));
        let counts = self.target.counts();
        for (class, _) in self.target.classes.iter().zip(&counts).filter(|(_, n)| **n == 1) {
            terminal.warn(&format!(
                "warning: the class `{class}` of --target has one image: what is made of it can be little but copies"
            ));
        }
        if held == 0 && args.held_out > 0.0 {
            terminal.warn(&format!(
                "warning: no class of --target has enough images for --held-out {}, so nothing is held out and what the networks memorise is \
                 measured poorly; --held-out 0.2 or more holds out some",
                args.held_out
            ));
        }
        let known = |c: &&String| self.outer.as_ref().is_some_and(|o| o.classes.contains(c));
        let both: Vec<&str> =
            self.target.classes.iter().filter(known).filter(|c| *c != ".").map(String::as_str).collect();
        if !both.is_empty() {
            terminal.note(&format!("in both sets, and learned as two classes each: {}", both.join(", ")));
        }
    }
}

/// Whether the networks take the images.
fn check(set: &Set) -> Result<()> {
    let (option, (c, h, w)) = (set.option, set.images.shape);
    if h != w {
        bail!("{option}: images of {w} x {h} pixels, and the networks take squares; --resize 32 makes them 32 x 32");
    }
    if !(8..=128).contains(&h) {
        bail!(
            "{option}: images of {w} x {h} pixels, and the networks take sides of 8 to 128; --resize SIDE changes them"
        );
    }
    if ![1, 3].contains(&c) {
        bail!("{option}: images of {c} channels; only grey images and images in colour can be written as PNG");
    }
    if let Some(k) = set.counts().iter().position(|n| *n == 0) {
        bail!("{option}: the class `{}` has no images; labels must be 0 to K - 1 without gaps", set.classes[k]);
    }
    Ok(())
}

/// A share of each class, rounded down, apart from the rest.
fn split(target: &Set, share: f64, rng: &Rng) -> Result<(Set, Option<Set>)> {
    let labels = target.labels();
    let (mut trained, mut held) = (Vec::new(), Vec::new());
    for k in 0..target.classes.len() as u32 {
        let members: Vec<usize> = (0..labels.len()).filter(|i| labels[*i] == k).collect();
        let order = rng.at(u64::from(k)).permutation(members.len());
        let out = (share * members.len() as f64).floor() as usize;
        if out == members.len() {
            bail!(
                "--held-out {share}: nothing of the class `{}` would be left to train on",
                target.classes[k as usize]
            );
        }
        held.extend(order[..out].iter().map(|i| members[*i]));
        trained.extend(order[out..].iter().map(|i| members[*i]));
    }
    trained.sort_unstable();
    held.sort_unstable();
    let of = |rows: &[usize], what: &str| target.some(rows, format!("{}, {what}", target.name));
    let held_out = if held.is_empty() { None } else { Some(of(&held, "held out")?) };
    Ok((of(&trained, "trained on")?, held_out))
}

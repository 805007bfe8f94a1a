//! Lists of attacks that are run one after the other.

use crate::fourier::{AnyWave, Directions, Normalisation};
use crate::{
    Apgd, ApgdConfig, Fab, FabConfig, Loss, Momentum, MomentumConfig, Pgd, PgdConfig, Square, SquareConfig, Transfer,
};
use sconce_tensor_core::{Attack, Classifier, Norm, Result, Threat};

/// What an attack sees of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Gradients.
    WhiteBox,
    /// Scores alone.
    Scores,
    /// Nothing: made on another model.
    Transfer,
}

/// Makes an attack for a threat. One that looks for the smallest perturbation takes its norm alone.
type Make<'a> = Box<dyn Fn(Threat) -> Result<Box<dyn Attack + 'a>> + 'a>;

/// One attack of a suite.
pub struct Entry<'a> {
    /// Its name in ledgers and reports.
    pub name: String,
    /// What it sees.
    pub access: Access,
    make: Make<'a>,
}

impl<'a> Entry<'a> {
    /// An attack by name.
    pub fn new(
        name: impl Into<String>,
        access: Access,
        make: impl Fn(Threat) -> Result<Box<dyn Attack + 'a>> + 'a,
    ) -> Self {
        Self { name: name.into(), access, make: Box::new(make) }
    }

    /// The attack for a threat.
    ///
    /// # Errors
    /// The attack's configuration.
    pub fn attack(&self, threat: Threat) -> Result<Box<dyn Attack + 'a>> {
        (self.make)(threat)
    }
}

/// Attacks in the order in which they are run, and what a reader of the result must know about them. A ledger knows
/// them by name: give another configuration another name.
pub struct Suite<'a> {
    /// Its name in reports.
    pub name: String,
    /// The attacks.
    pub attacks: Vec<Entry<'a>>,
    /// What differs from the suite as published, and why.
    pub notes: Vec<String>,
}

/// The versions of AutoAttack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoAttack {
    /// APGD on cross-entropy, targeted APGD on the DLR loss, targeted FAB, Square.
    Standard,
    /// APGD on both losses with 5 restarts, FAB with 5 restarts, Square, targeted APGD, targeted FAB.
    Plus,
    /// For randomised models: APGD on both losses, each gradient the mean of 20.
    Rand,
}

fn apgd<'a>(name: &str, cfg: ApgdConfig) -> Entry<'a> {
    Entry::new(name, Access::WhiteBox, move |t: Threat| {
        Ok(Box::new(Apgd::new(ApgdConfig { norm: t.norm(), eps: t.eps(), ..cfg })?))
    })
}

fn fab<'a>(name: &str, restarts: usize, targets: Option<usize>) -> Entry<'a> {
    Entry::new(name, Access::WhiteBox, move |t: Threat| {
        let cfg = FabConfig { norm: t.norm(), radius: t.eps().max(1e-6), restarts, targets, ..FabConfig::default() };
        Ok(Box::new(Fab::new(cfg)?))
    })
}

impl<'a> Suite<'a> {
    /// No attacks yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), attacks: Vec::new(), notes: Vec::new() }
    }

    /// The same with one attack more.
    #[must_use]
    pub fn and(mut self, entry: Entry<'a>) -> Self {
        self.attacks.push(entry);
        self
    }

    /// AutoAttack for a norm and a number of classes: 100 steps, 9 target classes (5 for L1 in APGD, at most K - 1),
    /// 5,000 queries. With fewer than 4 classes the targeted DLR loss has no value, with fewer than 3 neither has the
    /// plain one: the margin takes its place, and a note says so.
    ///
    /// Source: Croce and Hein (2020), section 5; the versions, and L1, as in their code (`autoattack.py`).
    pub fn auto_attack(version: AutoAttack, norm: Norm, classes: usize) -> Self {
        let others = classes.saturating_sub(1).max(1);
        let (restarts, l1) = (if version == AutoAttack::Plus { 5 } else { 1 }, norm == Norm::L1);
        let word = match version {
            AutoAttack::Standard => "standard",
            AutoAttack::Plus => "plus",
            AutoAttack::Rand => "rand",
        };
        let mut suite = Self::new(format!("AutoAttack {word}"));
        let (dlr, targeted) = match classes {
            0..=2 => (Loss::Margin, Loss::Margin),
            3 => (Loss::Dlr, Loss::Margin),
            _ => (Loss::Dlr, Loss::Dlr),
        };
        if version != AutoAttack::Rand && targeted != Loss::Dlr {
            suite.notes.push(format!(
                "with {classes} classes the targeted DLR loss is not defined; APGD-T climbs the margin instead"
            ));
        }
        if version != AutoAttack::Standard && dlr != Loss::Dlr {
            suite
                .notes
                .push("with 2 classes the DLR loss is not defined; APGD-DLR climbs the margin instead".to_owned());
        }
        let targets = 9.min(others);
        if targets < 9 && version != AutoAttack::Rand {
            suite.notes.push(format!("{targets} target classes, all there are"));
        }
        let draws = if version == AutoAttack::Rand { 20 } else { 1 };
        let ce_restarts = if l1 { 5 } else { restarts };
        suite.attacks.push(apgd("apgd-ce", ApgdConfig { restarts: ce_restarts, draws, ..ApgdConfig::default() }));
        if version != AutoAttack::Standard {
            suite.attacks.push(apgd("apgd-dlr", ApgdConfig { restarts, draws, loss: dlr, ..ApgdConfig::default() }));
        }
        if version == AutoAttack::Plus {
            suite.attacks.push(fab("fab", 5, None));
            suite.attacks.push(Self::square(5000));
        }
        if version != AutoAttack::Rand {
            let few = if l1 && version == AutoAttack::Standard { 5.min(others) } else { targets };
            let cfg = ApgdConfig { loss: targeted, targets: Some(few), ..ApgdConfig::default() };
            suite.attacks.push(apgd("apgd-t", cfg));
            suite.attacks.push(fab("fab-t", 1, Some(targets)));
        }
        if version == AutoAttack::Standard {
            suite.attacks.push(Self::square(5000));
        }
        suite
    }

    /// Square with a number of queries, as an entry.
    pub fn square(queries: usize) -> Entry<'a> {
        Entry::new("square", Access::Scores, move |t: Threat| {
            Ok(Box::new(Square::new(SquareConfig {
                norm: t.norm(),
                eps: t.eps(),
                queries,
                ..SquareConfig::default()
            })?))
        })
    }

    /// PGD with a loss, steps and restarts, as an entry.
    pub fn pgd(name: &str, loss: Loss, steps: usize, restarts: usize) -> Entry<'a> {
        Entry::new(name, Access::WhiteBox, move |t: Threat| {
            let cfg = PgdConfig { norm: t.norm(), eps: t.eps(), loss, steps, restarts, ..PgdConfig::default() };
            Ok(Box::new(Pgd::new(cfg)?))
        })
    }

    /// MI-FGSM on another model (PGD for L1), as an entry.
    pub fn transfer(name: &str, source: &'a dyn Classifier) -> Entry<'a> {
        Entry::new(name, Access::Transfer, move |t: Threat| {
            let attack: Box<dyn Attack> = if t.norm() == Norm::L1 {
                Box::new(Pgd::new(PgdConfig { norm: Norm::L1, eps: t.eps(), steps: 40, ..PgdConfig::default() })?)
            } else {
                let cfg = MomentumConfig { norm: t.norm(), eps: t.eps(), steps: 20, ..MomentumConfig::default() };
                Box::new(Momentum::new(cfg)?)
            };
            Ok(Box::new(Transfer::new(source, attack)))
        })
    }

    /// The Single Fourier Attack along every frequency (see [`crate::fourier::AnyWave`]), by the wave's peak; for Linf.
    pub fn fourier() -> Self {
        Self::new("fourier").and(Entry::new("sfa", Access::Scores, |t: Threat| {
            let (peak, half) = (Normalisation::Peak, Directions::HalfPlane);
            Ok(Box::new(AnyWave::new(t.eps(), peak, half)?))
        }))
    }

    /// A first look: PGD with 20 steps on cross-entropy and on the margin, then Square with 500 queries (chosen by us).
    /// Its accuracy is an upper bound that [`Suite::auto_attack`] will mostly lower.
    pub fn quick() -> Self {
        let mut suite = Self::new("quick")
            .and(Self::pgd("pgd-ce", Loss::CrossEntropy, 20, 1))
            .and(Self::pgd("pgd-margin", Loss::Margin, 20, 1))
            .and(Self::square(500));
        suite.notes.push("a first look: an upper bound that the standard suite will mostly lower".to_owned());
        suite
    }
}

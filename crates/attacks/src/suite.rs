//! Suites: lists of attacks that run one after the other.

use crate::fourier::{Directions, FourierSearch, Normalisation};
use crate::{
    Apgd, ApgdConfig, Fab, FabConfig, Loss, Momentum, MomentumConfig, Pgd, PgdConfig, Square, SquareConfig, Transfer,
};
use sconce_tensor_core::{Attack, Classifier, Norm, Result, Threat};

/// The access to the model that an attack needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The attack uses gradients.
    WhiteBox,
    /// The attack uses only the scores (logits).
    Scores,
    /// The attack does not query the model: the perturbation is computed on another model.
    Transfer,
}

/// Builds an attack for a threat. A minimum-norm attack uses only the norm.
type AttackBuilder<'a> = Box<dyn Fn(Threat) -> Result<Box<dyn Attack + 'a>> + 'a>;

/// One attack of a suite.
pub struct SuiteEntry<'a> {
    /// The name of the attack in ledgers and reports.
    pub name: String,
    /// The access to the model that it needs.
    pub access: Access,
    build: AttackBuilder<'a>,
}

impl<'a> SuiteEntry<'a> {
    /// An attack under a name.
    pub fn new(
        name: impl Into<String>,
        access: Access,
        build: impl Fn(Threat) -> Result<Box<dyn Attack + 'a>> + 'a,
    ) -> Self {
        Self { name: name.into(), access, build: Box::new(build) }
    }

    /// Builds the attack for a threat.
    ///
    /// # Errors
    /// The attack's configuration is invalid.
    pub fn attack(&self, threat: Threat) -> Result<Box<dyn Attack + 'a>> {
        (self.build)(threat)
    }
}

/// Attacks in the order in which they run, with notes for the reader of the result.
///
/// A ledger identifies attacks by name, so give each configuration its own name.
pub struct Suite<'a> {
    /// The name of the suite in reports.
    pub name: String,
    /// The attacks.
    pub attacks: Vec<SuiteEntry<'a>>,
    /// Differences from the published suite, with the reason.
    pub notes: Vec<String>,
}

/// The versions of AutoAttack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoAttack {
    /// APGD on cross-entropy, targeted APGD on the DLR loss, targeted FAB, Square.
    Standard,
    /// APGD on both losses with 5 restarts, FAB with 5 restarts, Square, targeted APGD, targeted FAB.
    Plus,
    /// For randomised models: APGD on both losses; each gradient is the mean of 20 passes.
    Rand,
}

fn apgd<'a>(name: &str, cfg: ApgdConfig) -> SuiteEntry<'a> {
    SuiteEntry::new(name, Access::WhiteBox, move |t: Threat| {
        Ok(Box::new(Apgd::new(ApgdConfig { norm: t.norm(), eps: t.eps(), ..cfg })?))
    })
}

fn fab<'a>(name: &str, restarts: usize, targets: Option<usize>) -> SuiteEntry<'a> {
    SuiteEntry::new(name, Access::WhiteBox, move |t: Threat| {
        let cfg = FabConfig { norm: t.norm(), radius: t.eps().max(1e-6), restarts, targets, ..FabConfig::default() };
        Ok(Box::new(Fab::new(cfg)?))
    })
}

impl<'a> Suite<'a> {
    /// A suite without attacks.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), attacks: Vec::new(), notes: Vec::new() }
    }

    /// Adds an attack at the end.
    #[must_use]
    pub fn with_attack(mut self, entry: SuiteEntry<'a>) -> Self {
        self.attacks.push(entry);
        self
    }

    /// AutoAttack for a norm and a number of classes: 100 steps, 9 target classes (5 for L1 in APGD, at most K - 1),
    /// 5,000 queries. The targeted DLR loss needs at least 4 classes and the untargeted one at least 3. With fewer
    /// classes the margin loss replaces them, and a note says so.
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
                "with {classes} classes the targeted DLR loss is not defined; APGD-T maximises the margin loss instead"
            ));
        }
        if version != AutoAttack::Standard && dlr != Loss::Dlr {
            suite.notes.push(
                "with 2 classes the DLR loss is not defined; APGD-DLR maximises the margin loss instead".to_owned(),
            );
        }
        let targets = 9.min(others);
        if targets < 9 && version != AutoAttack::Rand {
            suite
                .notes
                .push(format!("the suite uses all {targets} wrong classes as targets, the published suite uses 9"));
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
            let targets = if l1 && version == AutoAttack::Standard { 5.min(others) } else { targets };
            let cfg = ApgdConfig { loss: targeted, targets: Some(targets), ..ApgdConfig::default() };
            suite.attacks.push(apgd("apgd-t", cfg));
            suite.attacks.push(fab("fab-t", 1, Some(targets)));
        }
        if version == AutoAttack::Standard {
            suite.attacks.push(Self::square(5000));
        }
        suite
    }

    /// An entry with the Square Attack and its number of queries.
    pub fn square(queries: usize) -> SuiteEntry<'a> {
        SuiteEntry::new("square", Access::Scores, move |t: Threat| {
            Ok(Box::new(Square::new(SquareConfig {
                norm: t.norm(),
                eps: t.eps(),
                queries,
                ..SquareConfig::default()
            })?))
        })
    }

    /// An entry with PGD: its loss, steps and restarts.
    pub fn pgd(name: &str, loss: Loss, steps: usize, restarts: usize) -> SuiteEntry<'a> {
        SuiteEntry::new(name, Access::WhiteBox, move |t: Threat| {
            let cfg = PgdConfig { norm: t.norm(), eps: t.eps(), loss, steps, restarts, ..PgdConfig::default() };
            Ok(Box::new(Pgd::new(cfg)?))
        })
    }

    /// An entry with a transfer attack: MI-FGSM on another model (PGD for L1).
    pub fn transfer(name: &str, source: &'a dyn Classifier) -> SuiteEntry<'a> {
        SuiteEntry::new(name, Access::Transfer, move |t: Threat| {
            let attack: Box<dyn Attack> = if t.norm() == Norm::L1 {
                Box::new(Pgd::new(PgdConfig { norm: Norm::L1, eps: t.eps(), steps: 40, ..PgdConfig::default() })?)
            } else {
                let cfg = MomentumConfig { norm: t.norm(), eps: t.eps(), steps: 20, ..MomentumConfig::default() };
                Box::new(Momentum::new(cfg)?)
            };
            Ok(Box::new(Transfer::new(source, attack)))
        })
    }

    /// The Single Fourier Attack along every frequency (see [`crate::fourier::FourierSearch`]), for Linf: the radius is
    /// the peak of the wave.
    pub fn fourier() -> Self {
        Self::new("fourier").with_attack(SuiteEntry::new("sfa", Access::Scores, |t: Threat| {
            let (peak, half) = (Normalisation::Peak, Directions::HalfPlane);
            Ok(Box::new(FourierSearch::new(t.eps(), peak, half)?))
        }))
    }

    /// A quick suite: PGD with 20 steps on the cross-entropy and on the margin loss, then Square with 500 queries
    /// (chosen by us). The true robust accuracy is probably lower; use [`Suite::auto_attack`] to report a number.
    pub fn quick() -> Self {
        let mut suite = Self::new("quick")
            .with_attack(Self::pgd("pgd-ce", Loss::CrossEntropy, 20, 1))
            .with_attack(Self::pgd("pgd-margin", Loss::Margin, 20, 1))
            .with_attack(Self::square(500));
        suite.notes.push("quick suite: the true robust accuracy is probably lower".to_owned());
        suite
    }
}

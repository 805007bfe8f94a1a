//! Parameters that are treated in their own way.

use crate::error::require;
use crate::{Param, Result, Role};

/// Which parameters a [`Group`] is for.
#[derive(Clone, Debug, PartialEq)]
enum Select {
    Roles(Vec<Role>),
    Under(String),
}

/// A rule for some of the parameters: a factor on the learning rate, a weight decay of their own. Of the rules that fit a
/// parameter, the first one that sets a property counts for that property.
///
/// ```
/// use sconce_tensor_core::optim::{Adam, AdamConfig, Group};
/// let adam = Adam::new(AdamConfig::adamw())?
///     .with_group(Group::under("trunk").lr_factor(0.1)?)
///     .with_group(Group::biases_and_norms().weight_decay(0.0)?);
/// # Ok::<(), sconce_tensor_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    select: Select,
    lr_factor: Option<f64>,
    weight_decay: Option<f64>,
}

impl Group {
    /// The parameters of some roles.
    pub fn roles(roles: impl Into<Vec<Role>>) -> Self {
        Self { select: Select::Roles(roles.into()), lr_factor: None, weight_decay: None }
    }

    /// Biases, and the scales and shifts of normalisations: the usual exceptions from weight decay.
    pub fn biases_and_norms() -> Self {
        Self::roles([Role::Bias, Role::Scale, Role::Shift])
    }

    /// The parameters whose name is `prefix` or starts with `prefix.`.
    pub fn under(prefix: impl Into<String>) -> Self {
        Self { select: Select::Under(prefix.into()), lr_factor: None, weight_decay: None }
    }

    /// Their learning rate is this many times the optimizer's; 0 keeps them as they are, but for momentum and weight decay of
    /// earlier steps.
    ///
    /// # Errors
    /// A factor that is negative or not finite.
    pub fn lr_factor(mut self, factor: f64) -> Result<Self> {
        require("Group.lr_factor", factor.is_finite() && factor >= 0.0, "finite and >= 0", factor)?;
        self.lr_factor = Some(factor);
        Ok(self)
    }

    /// Their weight decay, in the place of the optimizer's.
    ///
    /// # Errors
    /// A decay that is negative or not finite.
    pub fn weight_decay(mut self, decay: f64) -> Result<Self> {
        require("Group.weight_decay", decay.is_finite() && decay >= 0.0, "finite and >= 0", decay)?;
        self.weight_decay = Some(decay);
        Ok(self)
    }

    fn fits(&self, p: &Param) -> bool {
        match &self.select {
            Select::Roles(roles) => roles.contains(&p.role()),
            Select::Under(prefix) => {
                p.name().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
        }
    }
}

/// All rules of an optimizer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Groups(Vec<Group>);

impl Groups {
    pub(super) fn push(&mut self, group: Group) {
        self.0.push(group);
    }

    /// The learning rate and the weight decay of a parameter.
    pub(super) fn of(&self, p: &Param, lr: f64, decay: f64) -> (f64, f64) {
        let fitting = || self.0.iter().filter(|g| g.fits(p));
        let factor = fitting().find_map(|g| g.lr_factor).unwrap_or(1.0);
        (lr * factor, fitting().find_map(|g| g.weight_decay).unwrap_or(decay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Params;
    use candle_core::{Device, Tensor};

    #[test]
    fn the_first_rule_that_sets_a_property_counts() -> Result<()> {
        let mut params = Params::new();
        let t = Tensor::new(&[1f32], &Device::Cpu)?;
        for (name, role) in [("trunk.w", Role::Weight), ("trunk.b", Role::Bias), ("trunks.b", Role::Bias)] {
            params.add(name, role, &t)?;
        }
        let mut groups = Groups::default();
        groups.push(Group::under("trunk").lr_factor(0.5)?);
        groups.push(Group::biases_and_norms().weight_decay(0.0)?.lr_factor(3.0)?);
        let found: Vec<(f64, f64)> = params.iter().map(|p| groups.of(p, 0.1, 0.01)).collect();
        assert_eq!(found, [(0.05, 0.01), (0.05, 0.0), (0.1 * 3.0, 0.0)]);
        assert!(Group::under("x").lr_factor(f64::NAN).is_err() && Group::under("x").weight_decay(-1.0).is_err());
        Ok(())
    }
}

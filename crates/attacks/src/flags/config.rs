//! What the checks cost.

/// Configuration of [`super::diagnose()`].
///
/// | Name | Default | Purpose | Range |
/// |---|---|---|---|
/// | `examples` | 64 | number of examples for the checks: the first that are classified correctly, among the first 4 * `examples` | >= 8 |
/// | `steps` | 20 | steps of each gradient attack | >= 1 |
/// | `restarts` | 10 | restarts of the attack that is compared with a single start | >= 2 |
/// | `queries` | 500 | queries of Square | >= 1 |
/// | `seed` | 0 | seed of all checks | |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiagnosisConfig {
    /// Number of examples for the checks.
    pub examples: usize,
    /// Steps of each gradient attack.
    pub steps: usize,
    /// Restarts of the attack that is compared with a single start.
    pub restarts: usize,
    /// Queries of Square.
    pub queries: usize,
    /// Seed of all checks.
    pub seed: u64,
}

impl Default for DiagnosisConfig {
    fn default() -> Self {
        Self { examples: 64, steps: 20, restarts: 10, queries: 500, seed: 0 }
    }
}

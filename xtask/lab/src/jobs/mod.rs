//! A reproduction as jobs: each is a value with a key, the jobs that it needs, and a fingerprint of its own.
//!
//! A [`Job`] is a struct of all that it reads from the recipe, and nothing else reaches it but the [`Site`] (data, device) and the
//! outputs of the jobs that it needs. So the struct, written out, is its fingerprint: a job whose recipe values, code, device or
//! needs changed is never taken for the one that was done. The list of seeds is in no fingerprint: more seeds are more jobs.

mod folder;
mod machine;
mod plan;
mod run;
mod site;
mod work;

#[cfg(test)]
pub use folder::Stored;
pub use folder::{CLAIM, FAILED, Folder, Id, SCRATCH, STARTS, remove};
pub use machine::Machine;
pub use plan::{Plan, Planned, Rates};
pub use run::{Done, Runner};
pub use site::Site;
pub use work::Work;

use anyhow::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One piece of a paper's work: what it reads, and what it does.
pub trait Job: Serialize {
    /// What it finds out. It is kept as JSON; tensors go to files beside it ([`Work::file`]).
    type Output: Serialize + DeserializeOwned;

    /// Its name: a kind, then what tells it from others of its kind, `train/plain/absum-0.1/seed3`. It names files too.
    fn key(&self) -> String;

    /// The keys of the jobs whose outputs or files it reads.
    fn needs(&self) -> Vec<String> {
        Vec::new()
    }

    /// Its work, in any unit that all jobs of its kind share: a kind's seconds per unit are measured.
    fn cost(&self) -> f64;

    /// Does it. The output is the same on every run, but for seconds.
    fn run(&self, work: &Work<'_>) -> Result<Self::Output>;

    /// What two runs of it must agree on: the output without seconds. Where two hosts do one job, this is compared.
    fn agreed(&self, output: Value) -> Value {
        output
    }
}

#[cfg(test)]
mod tests;

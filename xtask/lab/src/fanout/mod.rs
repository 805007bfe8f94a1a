//! One reproduction by many processes: on a cluster, on a few machines with a folder in common, or on machines that have nothing in common.
//!
//! Every process makes the whole plan and does a share of it ([`share`]). Results are files whose names say what they are made of, so that no process
//! needs to know of another, and no lock is needed: at worst a job is done twice, and both must find the same. What is written about work in
//! progress ([`claims`]) saves time, and nothing depends on it.

mod arguments;
mod claims;
mod merge;
mod share;
mod slurm;
mod starts;
mod status;
mod worker;

pub use arguments::check;
pub use merge::merge;
pub use share::on_paper;
pub use slurm::submit;
pub use status::status;
pub use worker::work;

#[cfg(test)]
mod tests;

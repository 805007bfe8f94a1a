//! Training of a generator and a discriminator: a task of the engine.
//!
//! [`Gan`] is a [`Task`](sconce_tensor_core::train::Task): the engine gives it epochs, checkpoints and exact resume. [`Domains`] are the
//! labelled data sets that it mixes; one domain is an ordinary conditional GAN.

mod balance;
mod config;
mod domains;
mod task;
mod updates;

pub use config::{GanConfig, ema_decay};
pub use domains::{Domain, Domains};
pub use task::Gan;

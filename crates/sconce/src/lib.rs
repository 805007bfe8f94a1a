#![doc = include_str!("../README.md")]

pub mod args;

#[cfg(feature = "program")]
mod attack;
#[cfg(feature = "program")]
mod augment;
#[cfg(feature = "program")]
mod data;
#[cfg(feature = "program")]
mod detect;
#[cfg(feature = "program")]
mod dossier;
#[cfg(feature = "program")]
mod fidelity;
#[cfg(feature = "program")]
mod folder;
#[cfg(feature = "program")]
mod generate;
#[cfg(feature = "program")]
mod imagefolder;
#[cfg(feature = "program")]
mod inspect;
#[cfg(feature = "program")]
mod merge;
#[cfg(feature = "places")]
pub mod places;
#[cfg(feature = "program")]
mod pretrain;
#[cfg(feature = "program")]
mod program;
#[cfg(feature = "program")]
mod provenance;
#[cfg(feature = "program")]
mod sets;
#[cfg(feature = "program")]
mod shell;
#[cfg(feature = "places")]
pub mod stop;
#[cfg(feature = "program")]
mod terminal;

#[cfg(feature = "program")]
pub use program::main;

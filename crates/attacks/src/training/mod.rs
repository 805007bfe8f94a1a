//! Training against an attacker.

mod madry;

pub use madry::Madry;

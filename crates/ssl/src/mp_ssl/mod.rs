//! MP-SSL: one trunk, several pretext tasks on one mixed batch.

mod net;

pub use net::PretextNet;

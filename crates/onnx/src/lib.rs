#![doc = include_str!("../README.md")]

mod array;
mod file;
mod form;
mod fuse;
mod graph;
mod inspect;
mod masked;
mod model;
mod net;
mod node;
mod ops;
mod output;
mod program;
mod proto;
mod scores;
mod value;

pub use array::{Array, Data};
pub use file::read_value;
pub use graph::Port;
pub use inspect::Inspection;
pub use model::{Model, ModelConfig};
pub use net::{Layout, OnnxConfig, OnnxNet};
pub use output::Peeled;
pub use sconce_tensor_core::{Error, Result};
pub use value::Value;

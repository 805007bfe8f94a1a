#![doc = include_str!("../README.md")]

mod logit_function;

pub use logit_function::{BoundedLogits, Form, LogitFunction, LogitFunctionConfig};
pub use sconce_tensor_core::{Error, Result};

//! A word-level language model, a task with a softmax bottleneck: AWD-LSTM with any output function or mixture, its training,
//! dynamic evaluation and sampling.

mod awd_lstm;
mod dynamic;
mod evaluate;
mod model;
mod sample;
mod streams;
mod train;

pub use awd_lstm::{AwdLstmConfig, Dropout, Hidden, State};
pub use dynamic::{DynamicConfig, GradientScale, dynamic_evaluation};
pub use evaluate::{Likelihood, evaluate};
pub use model::{Head, LanguageModel, LanguageModelConfig};
pub use sample::{SampleConfig, sample};
pub use streams::Streams;
pub use train::{EpochRecord, History, LanguageTrainConfig, LanguageTrainer};

//! The pieces that recipes share. The digest of a paper's code takes in a piece where the paper names it by its file (`net::`).

pub mod bytes_text;
pub mod choice;
pub mod data;
pub mod net;
pub mod train;

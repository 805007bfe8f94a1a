//! Pages for people: HTML, plots, maps.

pub mod forest;
pub mod html;
pub mod maps;
pub mod plot;

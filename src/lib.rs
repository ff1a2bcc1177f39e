//! skeleton

pub mod clock;
pub mod config;
pub mod engine;
pub mod transport;

//! An edge gate for HTTP APIs.
//!
//! skeleton

pub mod clock;
pub mod config;
pub mod engine;
pub mod error;
pub mod gateway;
pub mod redis;
pub mod shell;
pub mod transport;

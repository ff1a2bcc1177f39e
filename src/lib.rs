//! An edge gate for HTTP APIs.
#![doc = "skeleton"]

pub mod clock;
pub mod error;
pub mod redis;
pub mod shell;
pub mod transport;

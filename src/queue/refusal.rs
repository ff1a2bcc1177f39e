//! The errors of jobs that are refused before anything is sent.

use std::borrow::Cow;

use crate::error::{Error, ErrorKind};

/// An error that names an option and what was expected, not what was found.
pub fn expected(option: &str, what: &str) -> Error {
    refused(format!("`{option}`: expected {what}"))
}

/// An error that says why.
pub fn refused(why: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Config, false, why)
}

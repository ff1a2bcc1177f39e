//! A cache of values for programs.

#[doc(hidden)]
pub mod machine;

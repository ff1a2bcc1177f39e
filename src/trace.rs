//! What is told of the work, to whatever subscribes to [`tracing`](https://docs.rs/tracing): with
//! the feature `tracing`. Without it, all of this compiles to nothing.
//!
//! Nothing that is recorded holds an address, a token, a key, an argument or a value.

#[cfg(feature = "tracing")]
mod enabled;
#[cfg(feature = "tracing")]
pub(crate) use enabled::*;

#[cfg(not(feature = "tracing"))]
mod disabled;
#[cfg(not(feature = "tracing"))]
pub(crate) use disabled::*;

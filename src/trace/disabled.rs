//! What is told without the feature `tracing`: nothing.

use std::time::Duration;

use crate::error::Error;

/// Work in the span of whoever it is for.
pub(crate) const fn in_current_span<F: Future>(work: F) -> F {
    work
}

/// A call of the store.
#[derive(Clone)]
pub(crate) struct StoreCall;

impl StoreCall {
    pub(crate) const fn command(_name: &str) -> Self {
        Self
    }

    pub(crate) const fn script(_sha: &str) -> Self {
        Self
    }

    pub(crate) fn several<'a>(_together: &str, _names: impl Iterator<Item = &'a str>) -> Self {
        Self
    }

    pub(crate) fn within<F: Future>(&self, work: F) -> F {
        work
    }

    pub(crate) const fn retried(&self, _attempt: u32, _error: &Error, _wait: Duration) {}

    pub(crate) const fn ended(&self, _attempts: u32, _error: Option<&Error>) {}
}

#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
pub(crate) const fn connected() {}

#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
pub(crate) const fn not_connected(_error: &Error) {}

#[cfg(all(not(target_arch = "wasm32"), feature = "redis-tcp"))]
pub(crate) const fn connection_lost() {}

//! The state of the store as it was seen last.

use crate::clock::Timestamp;
use crate::engine::breaker::Status;

use super::labels::CallResult;

/// The state of the store, as it was seen last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSeen {
    /// That of its circuit breaker; `None` without a store, or before the first request.
    pub status: Option<Status>,
    /// Since when the breaker is not closed.
    pub down_since: Option<Timestamp>,
    /// When it failed last, while the breaker is not closed.
    pub failed_at: Option<Timestamp>,
    /// The failure that opened it.
    pub reason: Option<CallResult>,
}

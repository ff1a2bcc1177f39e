//! What operators are told.

use std::time::Duration;

use super::read::tables;

/// Where metrics of all isolates come together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Metrics {
    /// The binding of a Workers Analytics Engine dataset, if one is written to.
    pub analytics: Option<String>,
    /// How often an isolate writes to it, at most.
    pub every: Duration,
}

/// When the webhook is called.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Alerts {
    /// How long the store must have failed.
    pub store_open_for: Duration,
}

tables! {
    Metrics { analytics, every }
    Alerts { store_open_for }
}

//! How long a request has waited before it was decided: for the issuer's keys, or for permits.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::crowd::Patience;

use super::tokens::Holder;

/// How long a request has waited for the issuer's keys.
#[derive(Debug, Clone, Copy)]
pub struct Awaited {
    since: Timestamp,
    /// The pauses that it has made.
    paused: Duration,
}

impl Awaited {
    /// It begins to wait.
    pub const fn from(since: Timestamp) -> Self {
        let paused = Duration::ZERO;
        Self { since, paused }
    }

    /// How long it has waited. The pauses count too, so that a request goes on even if the clock is
    /// set back meanwhile.
    pub fn until(self, now: Timestamp) -> Duration {
        now.since(self.since).max(self.paused)
    }

    /// It waits for another pause.
    #[must_use]
    pub const fn and(self, pause: Duration) -> Self {
        let paused = self.paused.saturating_add(pause);
        Self { paused, ..self }
    }
}

/// A request whose client is known, and that may wait for permits for which another request of the
/// client has asked.
#[derive(Debug)]
pub struct Patient {
    /// Whom its token stands for.
    pub holder: Option<Arc<Holder>>,
    /// How it waits for permits.
    pub patience: Patience,
}

impl Patient {
    /// It has not waited yet.
    pub fn new(holder: Option<Arc<Holder>>) -> Self {
        let patience = Patience::default();
        Self { holder, patience }
    }

    /// It waits for another pause.
    #[must_use]
    pub fn after(self, patience: Patience) -> Self {
        let patience = patience.after(patience.pause());
        Self { patience, ..self }
    }
}

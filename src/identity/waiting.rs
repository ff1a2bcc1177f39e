//! How long a request has waited before it was decided: for the issuer's keys, or for permits.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;

use super::tokens::Holder;

/// The longest that a request waits for the first permits of its client, but for the last pause.
const LONGEST: Duration = Duration::from_millis(60);

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
    waited: Duration,
}

impl Patient {
    /// It has not waited yet.
    pub const fn new(holder: Option<Arc<Holder>>) -> Self {
        let waited = Duration::ZERO;
        Self { holder, waited }
    }

    /// How long it waits before it looks again. `None`: it has waited enough, and asks the store
    /// itself.
    pub fn pause(&self) -> Option<Duration> {
        let pause = Duration::from_millis(5) + self.waited / 2;
        (self.waited < LONGEST).then_some(pause)
    }

    /// It waits for another pause.
    #[must_use]
    pub fn after(self, pause: Duration) -> Self {
        let waited = self.waited.saturating_add(pause);
        Self { waited, ..self }
    }
}

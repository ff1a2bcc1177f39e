//! What no client waits for: calls of the script after an answer, and what there is to log.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::limiter::Work;
use crate::redis::Value;

use super::Gate;
use super::body::Body;

impl<B: Body> Gate<B> {
    /// Takes what the store said to a call that no client waited for.
    pub fn worked(&mut self, work: &Work, reply: Result<Value, Error>, now: Timestamp) {
        work.done(reply, &mut self.memory.limiter, now);
    }

    /// After how long [`Gate::sweep`] should be called; `None`: it need not be, or somebody is at it.
    pub fn sweep_after(&mut self, now: Timestamp) -> Option<Duration> {
        let now = self.memory.limiter.clock.correct(now);
        self.memory.limiter.sweep_after(now)
    }

    /// Returns the unspent permits of clients that did not come back: a call of the script to make, if
    /// there are any.
    pub fn sweep(&mut self, now: Timestamp) -> Option<Work> {
        let now = self.memory.limiter.clock.correct(now);
        self.memory.limiter.swept();
        match self.store_is_up() {
            true => Work::returning(&mut self.memory.limiter, now),
            false => None,
        }
    }

    /// What there is to log since the last time.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

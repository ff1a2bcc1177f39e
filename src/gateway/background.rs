//! What no client waits for: refreshes, calls of the script after an answer, and what there is to log.

use std::rc::Rc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
use crate::limiter::Work;
use crate::redis::Value;

use super::Gate;
use super::admission::Admission;
use super::body::Body;
use super::caching::Caching;
use super::flight::Landing;
use super::head::Head;
use super::saving::Write;
use super::step::{Exchange, Queue, Step};

impl<B: Body> Gate<B> {
    /// How the entry is refreshed behind the client's back; `None`: somebody else does it.
    ///
    /// The store is asked first, unless it was already: another isolate may be at it, or done.
    pub(super) fn refresh(
        &mut self,
        head: &impl Head,
        exchange: &mut Exchange<B>,
        caching: Caching<B>,
        now: Timestamp,
    ) -> Option<Step<B>> {
        let lease = exchange.lease();
        let mine = caching.may_refresh()
            && self.may_call_origin(exchange, now)
            && (caching.take_turn(&mut self.memory, now, lease)
                || exchange.behind
                || caching.holds_lease());
        if !mine {
            return None;
        }
        let mut behind = Exchange {
            route: Rc::clone(&exchange.route),
            admission: Admission::free(),
            store_failed: exchange.store_failed,
            work: Vec::new(),
            queue: Queue::default(),
            release: None,
            behind: true,
            caching,
        };
        if !behind.caching.was_asked()
            && self.store_allows(&mut behind, now)
            && let Some(ask) = self.ask_cache(head, &behind, now)
        {
            return Some(Step::Ask(ask, behind));
        }
        Some(self.fetch(head, behind, now))
    }

    /// The origin failed a refresh behind the client's back: it is asked again after a pause, and not only
    /// when the leases to do so are over. What there is to write lets other isolates do so, too.
    pub(super) fn refresh_failed(
        &mut self,
        exchange: &Exchange<B>,
        now: Timestamp,
    ) -> Option<Write> {
        let Caching::On(cached) = &exchange.caching else {
            return None;
        };
        if !exchange.behind {
            return None;
        }
        let digest = cached.key.hex();
        let pause = Landing::Failed.pause();
        self.memory.refreshing_until(&digest, now + pause);
        let kept = cached.found.as_ref()?.entry.meta.response_time;
        (cached.holds_lease() && self.store_is_up()).then(|| self.hold_off(&digest, kept, pause))
    }

    /// Takes what the store said to a call that no client waited for.
    pub fn worked(&mut self, work: &Work, reply: Result<Value, Error>, now: Timestamp) {
        if let Err(error) = &reply {
            self.note_failure(error);
        }
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

    /// Notes that a call of the store failed. A wrong setting stays wrong until the next deployment, which
    /// makes new isolates: it is noted once, whatever fails by it. Everything else is noted each time.
    pub fn note_failure(&mut self, error: &Error) {
        let is_setting = error.kind() == ErrorKind::Config;
        if !(is_setting && self.setting_noted) {
            self.notes.push(format!("store: {error}"));
        }
        self.setting_noted |= is_setting;
    }

    /// What there is to log since the last time: failures of the store that were reported to
    /// [`Gate::resume`], [`Gate::worked`] or [`Gate::note_failure`], and what it holds that is not understood.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }
}

//! Background work, for which no client waits: refreshes, reading the bodies of responses that are
//! stored, and calls of the script after an answer.

use std::rc::Rc;
use std::time::Duration;

use crate::cache::{Calls, Fill, Inserted, Miss, Phase, Turn};
use crate::clock::Timestamp;
use crate::engine::http_cache::CacheKey;
use crate::error::Error;
use crate::limiter::Work;
use crate::message::answer::Answer;
use crate::message::body::{Body, BodyError};
use crate::message::head::Head;
use crate::ops::Waits;
use crate::redis::Value;
use crate::store::{Reply, Write};

use super::context::Context;
use super::gate::Gate;
use super::step::Step;

impl<B: Body> Gate<B> {
    /// Serves a stored response, and refreshes it afterwards if that is due.
    pub(super) fn serve_and_refresh(
        &mut self,
        head: &impl Head,
        mut context: Context<B>,
        answer: Answer<B>,
        miss: Miss<B>,
        now: Timestamp,
    ) -> Step<B> {
        let refresh = self.refresh(head, &mut context, miss, now);
        let mut respond = context.answer(answer);
        respond.after.refresh = refresh.map(Box::new);
        respond.into()
    }

    /// The first step of a background refresh; `None` if another request or isolate does it.
    ///
    /// The store is asked first, unless this request has asked it already: another isolate may be
    /// refreshing the entry or may have done so.
    fn refresh(
        &mut self,
        head: &impl Head,
        context: &mut Context<B>,
        mut miss: Miss<B>,
        now: Timestamp,
    ) -> Option<Step<B>> {
        let calls = Calls {
            route: &context.route.name,
            counted: context.route.origin_quota.is_some(),
            lease: context.route.cache.as_ref()?.lease(),
        };
        let turn = miss.take_turn(calls, &mut self.cache, now);
        let goes_on = context.is_background && !miss.lookup.is_refreshed_elsewhere();
        if turn.is_none() && !goes_on {
            return None;
        }
        // A permit that was fetched ahead is spent only when the origin is called: the store may
        // say that another isolate refreshes the entry.
        let allowed = context.admission.check().origin_at_hand(&self.limits, now)
            || self.may_call_origin(context, now);
        if !allowed {
            if turn.is_some() {
                self.cache.refreshes.refreshed(&miss.lookup.key.hex());
            }
            return None;
        }
        let asked = miss.lookup.was_asked() || matches!(turn, Some(Turn::Again(_)));
        let cache = Phase::Miss(Box::new(miss));
        let admission = context.admission.take_origin(now);
        let mut background = Context::new(Rc::clone(&context.route), admission, cache);
        background.is_background = true;
        background.store_failed = context.store_failed;
        if !asked
            && self.store_allows(&mut background, now)
            && let Some(ask) = self.ask_for_entry(head, &background, now)
        {
            return Some(Step::Ask(ask, background));
        }
        Some(self.fetch(head, background, now))
    }

    /// Stores a response whose body has been read to its end, at `local_now` by the isolate's
    /// clock.
    pub fn filled(&mut self, fill: Fill, body: B, local_now: Timestamp) -> Inserted {
        let (now, store_is_up) = (self.link.now(local_now), self.link.is_up());
        let inserted = fill.finish(body, &mut self.cache, store_is_up, now);
        self.unless_down(inserted)
    }

    /// Call this when so many bytes of a body that is to be stored have arrived. If it returns
    /// false, there is no room for them: the rest need not be read.
    pub fn fill_grows(&mut self, fill: &Fill, length: usize) -> bool {
        fill.grows(length, &mut self.cache)
    }

    /// Call this if the body of a response that was to be stored broke off, is too large, found no
    /// room or did not end in time.
    pub fn fill_failed(&mut self, fill: &Fill, why: BodyError, local_now: Timestamp) -> Inserted {
        let now = self.link.now(local_now);
        let inserted = fill.fail(why, &mut self.cache, now);
        self.unless_down(inserted)
    }

    /// Call this if the body of a response that is to be stored is still arriving
    /// [`LONGEST_WAIT`](crate::cache::LONGEST_WAIT) after its head. The returned write tells other
    /// isolates not to wait for it.
    pub fn still_arriving(&self, fill: &Fill) -> Option<Write> {
        let write = fill.still_arriving(&self.cache);
        write.filter(|_| self.link.is_up())
    }

    fn unless_down(&self, inserted: Inserted) -> Inserted {
        Inserted {
            write: inserted.write.filter(|_| self.link.is_up()),
            ..inserted
        }
    }

    /// Takes the store's reply to a call of [`KEEP`](crate::store::KEEP). If the store has refused
    /// the entry, the isolate drops it too.
    pub(super) fn kept(&mut self, entry: &CacheKey, reply: &Value) {
        if reply.as_int() != Some(1) {
            self.cache.entries.remove(entry);
        }
    }

    /// Takes the store's reply to a call for which no client waited.
    pub fn worked(&mut self, call: &Work, reply: Result<Value, Error>, local_now: Timestamp) {
        let failure = reply.as_ref().err().cloned();
        let (took, now) = (call.ask.took(local_now), self.link.now(local_now));
        let ops = &mut self.ops;
        let tell = |reply: Option<&Reply>| {
            let told = (reply, failure.as_ref());
            ops.script_call(&call.ask, told, Waits::Nobody, took, now);
        };
        call.done(reply, &mut self.limits, &mut self.link, local_now, tell);
    }

    /// How long to wait before calling [`Gate::sweep`]; `None` if there is nothing to sweep, if a
    /// sweep is scheduled already, or if it would be longer than `patience`: then a later request
    /// does it.
    pub fn sweep_after(&mut self, patience: Duration, local_now: Timestamp) -> Option<Duration> {
        let now = self.link.now(local_now);
        self.limits.sweep_after(&self.link, patience, now)
    }

    /// Returns the unspent permits of clients that did not come back: the result is the call of the
    /// script that does so, if there are any.
    pub fn sweep(&mut self, local_now: Timestamp) -> Option<Work> {
        let now = self.link.now(local_now);
        self.limits.swept();
        match self.link.is_up() {
            true => Work::returning(&mut self.limits, &mut self.link, now),
            false => None,
        }
    }
}

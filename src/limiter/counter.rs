//! What a limiter for Rust programs consists of: a rule, where it is counted, and what is
//! remembered.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::limit::Source;
use crate::error::Error;
use crate::redis::{Client, Place};
use crate::store::ADMIT;
use crate::transport::SendTransport;

use super::check::settle::Work;
use super::limited::{Limited, Pending};
use super::limits::{Decided, Limits, Taking, Told};
use super::memory::LimitMemory;
use super::rule::Rule;

/// One limit, and where it is counted.
pub(super) struct Counter {
    pub(super) rule: Rule,
    pub(super) place: Place,
    /// It is never locked while a call waits.
    limits: Arc<Mutex<Limits>>,
}

/// A timer may end up to a millisecond before the clock has moved as far.
pub(super) const TIMER: Duration = Duration::from_millis(1);

impl Counter {
    pub(super) fn in_store(redis: impl Client, rule: Rule) -> Self {
        let limits = redis.shared().of(|| {
            let seed = redis.random().to_bits() ^ redis.now().as_millis();
            Mutex::new(Limits::new(redis.timeout(), seed))
        });
        Self {
            rule,
            place: Place::store(redis),
            limits,
        }
    }

    pub(super) fn in_process(clock: impl SendTransport, rule: Rule) -> Self {
        let limits = Limits::without_store(LimitMemory::exact());
        Self {
            rule,
            place: Place::process(clock),
            limits: Arc::new(Mutex::new(limits)),
        }
    }

    /// Whether both remember together, so that one call can ask about both.
    pub(super) fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.limits, &other.limits)
    }

    /// The state of a subject, without taking permits.
    pub(super) async fn peek(&self, taking: Taking<'_>) -> Result<Limited, Error> {
        let asked = self.limits().peek(taking, self.now());
        let told = match (asked, &self.place) {
            (Err(told), _) => told,
            (Ok(ask), Place::Store(redis)) => {
                let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await?;
                let now = self.now();
                self.limits().peeked(taking, &ask, reply, now)?
            }
            // Without a store, nothing is asked.
            (Ok(_), Place::Process(_)) => return Ok(self.unlimited()),
        };
        Ok(self.limited(told))
    }

    /// Does the call that was left after a request.
    pub(super) async fn finish(&self, pending: Pending) {
        let Place::Store(redis) = &self.place else {
            return;
        };
        let Pending(work) = pending;
        let reply = redis.script(&ADMIT, &work.ask.keys, &work.ask.args).await;
        self.limits().worked(&work, reply, self.now());
    }

    /// Does what is left to do after a request, if there is a runtime for it; else returns it.
    pub(super) fn after(self: &Arc<Self>, decided: &Decided) -> Option<Pending> {
        let work = self.limits().work_after(decided, self.now());
        self.later(work)
    }

    /// Makes a call that no request waits for, and returns unspent permits in time, if there is a
    /// runtime for it; else returns the call.
    #[cfg(all(feature = "tokio", not(target_arch = "wasm32")))]
    pub(super) fn later(self: &Arc<Self>, work: Option<Work>) -> Option<Pending> {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return work.map(Pending);
        };
        let wait = match &work {
            // The permits that it brings may have to go back first.
            Some(_) => None,
            None => Some(self.sweep_after()?),
        };
        let this = Arc::clone(self);
        runtime.spawn(async move {
            if let Some(work) = work {
                this.finish(Pending(work)).await;
            }
            this.sweep(wait).await;
        });
        None
    }

    /// Returns the call that no request waits for: no runtime is known here.
    #[cfg(not(all(feature = "tokio", not(target_arch = "wasm32"))))]
    pub(super) fn later(self: &Arc<Self>, work: Option<Work>) -> Option<Pending> {
        work.map(Pending)
    }

    /// How long to wait before permits that were fetched ahead and not spent are returned; `None`
    /// if there are none, or a task waits for that already.
    #[cfg(all(feature = "tokio", not(target_arch = "wasm32")))]
    fn sweep_after(&self) -> Option<Duration> {
        self.limits().sweep_after(Duration::MAX, self.now())
    }

    /// Returns such permits, first after this wait, if it is known.
    #[cfg(all(feature = "tokio", not(target_arch = "wasm32")))]
    async fn sweep(&self, first: Option<Duration>) {
        let mut next = first;
        while let Some(wait) = next.take().or_else(|| self.sweep_after()) {
            let until = self.now() + wait;
            self.sleep(wait + TIMER).await;
            let work = self.limits().sweep(self.now());
            match work {
                Some(work) => self.finish(Pending(work)).await,
                // The clock was set back, or is a test's. A later request begins anew.
                None if self.now() < until => return,
                None => {}
            }
        }
    }

    pub(super) fn limited(&self, told: Told) -> Limited {
        Limited {
            success: told.passes,
            limit: told.limit,
            window: self.rule.quota().window,
            remaining: told.remaining,
            reset: told.reset,
            retry_after: told.retry_after,
            shadowed: told.shadowed,
            reason: told.reason,
            source: told.source,
            policy: self.rule.name().to_owned(),
            pending: None,
        }
    }

    /// The result if nothing limits.
    pub(super) fn unlimited(&self) -> Limited {
        let whole = self.rule.quota().permits;
        self.limited(Told {
            passes: true,
            shadowed: false,
            limit: whole,
            remaining: whole,
            reset: self.now(),
            retry_after: Duration::ZERO,
            source: Source::None,
            reason: None,
        })
    }

    pub(super) fn limits(&self) -> MutexGuard<'_, Limits> {
        let limits = self.limits.lock();
        limits.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.place.now()
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        self.place.sleep(duration).await;
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.rule).finish()
    }
}

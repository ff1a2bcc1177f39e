//! Loads under way in this process, for each of which others wait.
//!
//! ```text
//! start ── waits for the store, or for another process ── restart: loads ── end: an outcome
//!   └──────────────────────────── the leader is dropped ────────────────────── lost
//! ```
//!
//! Nobody waits for longer than until a flight's deadline, so a leader that hangs holds nobody.

// How others wait: woken, or by looking again and again where they must not be woken.
#[cfg(any(test, target_arch = "wasm32"))]
mod polled;
#[cfg(not(target_arch = "wasm32"))]
mod woken;

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::value::Content;

/// Whoever has to look again and again waits for so long first, and then twice as long each time.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest such wait.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// All of them, by their keys. Only the last one of a key is waited for.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<String, Vec<Arc<Flight>>>>);

/// One load, and what comes before it.
pub(super) struct Flight {
    state: Mutex<State>,
    /// The error of a load that failed, if it is for all who wait. It has a lock of its own,
    /// because it is copied by its type's own code.
    error: Mutex<Option<SharedError>>,
}

#[cfg(not(target_arch = "wasm32"))]
pub(super) type SharedError = Box<dyn Any + Send>;
#[cfg(target_arch = "wasm32")]
pub(super) type SharedError = Box<dyn Any>;

struct State {
    /// Until when it is waited for.
    until: Timestamp,
    /// The tags of what it loads.
    tags: Vec<String>,
    /// Whether something was purged that it may bring: nobody joins it.
    is_purged: bool,
    /// Whether its key was purged or set since the load began.
    is_outdated: bool,
    outcome: Option<Outcome>,
    waiting: BTreeMap<u64, Waker>,
}

/// What a flight brings to those who wait for it.
#[derive(Clone)]
pub(super) enum Outcome {
    /// A value, and when the store was asked what was purged, unless it could not be asked.
    Value(Arc<Content>, Option<Timestamp>),
    /// The load has failed.
    Failed,
    /// It has brought nothing in time, or nothing that others can use: each is to load for itself.
    Nothing,
    /// The leader was dropped, or has left the load to another process.
    Lost,
}

/// The leader's side of a flight. If it is dropped, the flight is lost.
pub(super) struct Lead {
    flights: Arc<Flights>,
    key: String,
    flight: Arc<Flight>,
}

impl Flights {
    /// The flight to wait for. If there is none, or for who `is_alone`, a new one, which others can
    /// wait for.
    pub(super) fn join(
        self: &Arc<Self>,
        key: &str,
        is_alone: bool,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Lead, Arc<Flight>> {
        let mut flights = self.flights();
        match flights.get(key).and_then(|flights| flights.last()) {
            Some(flight) if !is_alone && flight.is_open(now) => Err(Arc::clone(flight)),
            _ => Ok(self.start_in(&mut flights, key, until)),
        }
    }

    /// A new flight in place of one that there may be.
    pub(super) fn start(self: &Arc<Self>, key: &str, until: Timestamp) -> Lead {
        self.start_in(&mut self.flights(), key, until)
    }

    #[cfg_attr(
        target_arch = "wasm32",
        expect(clippy::arc_with_non_send_sync, reason = "there is one thread")
    )]
    fn start_in(
        self: &Arc<Self>,
        flights: &mut HashMap<String, Vec<Arc<Flight>>>,
        key: &str,
        until: Timestamp,
    ) -> Lead {
        let flight = Arc::new(Flight::until(until));
        let of_key = flights.entry(key.to_owned()).or_default();
        of_key.push(Arc::clone(&flight));
        Lead {
            flights: Arc::clone(self),
            key: key.to_owned(),
            flight,
        }
    }

    /// Whether somebody sees to a key.
    pub(super) fn has(&self, key: &str, now: Timestamp) -> bool {
        let flights = self.flights();
        let flight = flights.get(key).and_then(|flights| flights.last());
        flight.is_some_and(|flight| flight.is_open(now))
    }

    /// Those who come from now on don't wait for what was begun before these tags and keys were
    /// purged, or these keys were set.
    pub(super) fn purge(&self, tags: &[String], keys: &[String]) {
        for (key, flights) in self.flights().iter() {
            let is_named = keys.contains(key);
            for flight in flights {
                let mut state = flight.state();
                let has_one = state.tags.iter().any(|tag| tags.contains(tag));
                state.is_outdated |= is_named;
                state.is_purged |= is_named || has_one;
            }
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<String, Vec<Arc<Flight>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// A load begins.
    pub(super) fn restart(&self, tags: Vec<String>, until: Timestamp) {
        let mut state = self.flight.state();
        state.until = until;
        state.tags = tags;
        state.is_outdated = false;
    }

    /// Whether nobody joins it any more, because it may bring what was purged.
    pub(super) fn is_purged(&self) -> bool {
        self.flight.state().is_purged
    }

    /// Whether the key was purged or set since the load began.
    pub(super) fn is_outdated(&self) -> bool {
        self.flight.state().is_outdated
    }

    /// The load is of these tags too.
    pub(super) fn tag(&self, tags: &[String]) {
        self.flight.state().tags.extend_from_slice(tags);
    }

    /// Nobody is to wait any more.
    pub(super) fn end(self, outcome: Outcome) {
        self.flight.end(outcome);
    }

    /// The load has failed with an error that is for all who wait, if it can be copied.
    pub(super) fn fail(self, error: Option<SharedError>) {
        *self.flight.error() = error;
        self.end(Outcome::Failed);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flight.end(Outcome::Lost);
        let mut flights = self.flights.flights();
        let Some(of_key) = flights.get_mut(&self.key) else {
            return;
        };
        of_key.retain(|flight| !Arc::ptr_eq(flight, &self.flight));
        if of_key.is_empty() {
            flights.remove(&self.key);
        }
    }
}

impl Flight {
    const fn until(until: Timestamp) -> Self {
        Self {
            state: Mutex::new(State {
                until,
                tags: Vec::new(),
                is_purged: false,
                is_outdated: false,
                outcome: None,
                waiting: BTreeMap::new(),
            }),
            error: Mutex::new(None),
        }
    }

    /// Whether it can be joined.
    fn is_open(&self, now: Timestamp) -> bool {
        let state = self.state();
        now < state.until && !state.is_purged
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self) -> MutexGuard<'_, Option<SharedError>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first outcome counts.
    fn end(&self, outcome: Outcome) {
        let mut state = self.state();
        if state.outcome.is_some() {
            return;
        }
        state.outcome = Some(outcome);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_values().for_each(Waker::wake);
    }

    /// A copy of the error, if it is of this type.
    pub(super) fn error_of<E: 'static>(&self, copy: fn(&E) -> E) -> Option<E> {
        let error = self.error();
        error.as_ref()?.downcast_ref().map(copy)
    }
}

#[cfg(test)]
mod tests;

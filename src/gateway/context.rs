//! What is known of a request between two steps.

use std::rc::Rc;
#[cfg(feature = "queue")]
use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Phase, Place};
use crate::clock::Timestamp;
#[cfg(feature = "queue")]
use crate::identity::Holder;
use crate::limiter::Work;
use crate::message::body::Body;
use crate::message::outbound::Outbound;
use crate::store::Write;

use super::admission::Admission;
use super::plan::RoutePlan;

/// What is known of a request between two steps.
#[derive(Debug)]
pub struct Context<B: Body> {
    pub(super) route: Rc<RoutePlan>,
    pub(super) admission: Admission,
    /// What its answer gets on the way to the client; nothing for a background refresh.
    pub(super) outbound: Outbound,
    /// Its phase in the cache.
    pub(super) cache: Phase<B>,
    /// Its place among the requests that miss the same key.
    pub(super) place: Place,
    /// Whether the store has failed this request already.
    pub(super) store_failed: bool,
    /// Whether this is a background refresh, for which no client waits.
    pub(super) is_background: bool,
    /// When the origin was asked last.
    pub(super) sent_at: Timestamp,
    /// How long the store and the origin were waited for.
    pub(super) waited: [Duration; 2],
    /// Whom its token stands for.
    #[cfg(feature = "queue")]
    pub(super) holder: Option<Arc<Holder>>,
    /// What to write to the store after the answer.
    pub(super) writes: Vec<Write>,
    /// Calls of the script that do not have to wait for the answer.
    pub(super) calls: Vec<Work>,
}

impl<B: Body> Context<B> {
    /// A request about which nothing is decided yet.
    pub(super) fn new(route: Rc<RoutePlan>, admission: Admission, cache: Phase<B>) -> Self {
        Self {
            route,
            admission,
            outbound: Outbound::default(),
            cache,
            place: Place::default(),
            store_failed: false,
            is_background: false,
            sent_at: Timestamp::default(),
            waited: [Duration::ZERO; 2],
            #[cfg(feature = "queue")]
            holder: None,
            writes: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// Whether other requests may wait for the response to this one. Then it should go on if its
    /// client hangs up.
    pub const fn leads(&self) -> bool {
        self.place.leads()
    }

    /// Takes the calls of the script that do not have to wait for the answer.
    pub fn take_calls(&mut self) -> Vec<Work> {
        std::mem::take(&mut self.calls)
    }
}

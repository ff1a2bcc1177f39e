//! Waiting for an outcome natively: the leader wakes those who wait.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use crate::redis::Place;

use super::{Flight, Outcome};

impl Flight {
    /// Waits for the outcome. `None` if it takes longer than a load may.
    pub(in crate::values) async fn outcome(&self, place: &Place) -> Option<Outcome> {
        let left = self.state().until.since(place.now());
        let mut timer = place.sleep(left);
        let mut waiting = pin!(Waiting {
            flight: self,
            place: None,
        });
        std::future::poll_fn(|context| match waiting.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => timer.as_mut().poll(context).map(|()| None),
        })
        .await
    }
}

/// One who waits.
struct Waiting<'a> {
    flight: &'a Flight,
    /// The place among those who are woken.
    place: Option<u64>,
}

impl Future for Waiting<'_> {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.flight.state();
        if let Some(outcome) = &state.outcome {
            return Poll::Ready(outcome.clone());
        }
        let last = state.waiting.last_key_value();
        let next = last.map_or(0, |(last, _)| last + 1);
        let place = self.place.unwrap_or(next);
        state.waiting.insert(place, context.waker().clone());
        drop(state);
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.flight.state().waiting.remove(&place);
        }
    }
}

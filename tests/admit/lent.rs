//! Permits that are lent ahead. Each test is a trace on which such a permit was once counted for
//! too short a time.

use std::slice::from_ref;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Charge, Lend};
use omnitrade_edge::store::Granted;

use crate::rig::{admitted, limit, limit_ms, limits, nothing, said, verdict};
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

/// Borrows for a term, at the store's own time.
fn lend_for(store: &mut Store, charge: &Charge, term: Duration) -> Granted {
    let mut ask = nothing(store.now);
    let lend = Lend {
        permits: 1_000,
        term,
        rush: 0,
    };
    ask.limit(&charge.only_lending(), lend, &[]);
    let reply = store.ask(&ask, false).unwrap();
    said(&reply, 0).granted.clone().expect("there is enough")
}

/// Windows of a millisecond, of a second, a minute, two minutes, an hour and a day.
const WINDOWS: [u64; 7] = [1, 7, 1_000, 60_000, 120_000, 3_600_000, 86_400_000];

#[test]
fn a_term_is_never_longer_than_a_quarter_of_the_window_and_30_seconds() {
    let mut store = Store::start();
    for (window, longest) in WINDOWS
        .into_iter()
        .zip([2, 2, 250, 15_000, 30_000, 30_000, 30_000])
    {
        store.begin(START);
        let lent = lend_for(&mut store, &limit_ms("a", 30, window), Duration::MAX);
        let lasts = lent.void_after;
        assert!(
            lasts <= Duration::from_millis(longest),
            "{window}: {lasts:?}"
        );
    }
}

#[test]
fn what_was_lent_for_long_counts_for_a_window_and_its_key_lives_as_long() {
    let mut store = Store::start();
    for window in WINDOWS {
        for phase in [0, 1, 499, 500, 1_499, 1_999] {
            store.begin(START + Duration::from_millis(phase));
            let charge = limit_ms("a", 3, window);
            let lent = lend_for(&mut store, &charge, Duration::MAX);
            assert_eq!(lent.permits, 1);
            let spent = store.now + lent.void_after - LAST;
            let end = spent + charge.window;
            assert!(store.model.expires("a").unwrap() > end, "{window}");
            wait_until(&mut store, end);
            let look = limits(from_ref(&charge), store.now);
            let left = verdict(&store.ask(&look, false).unwrap(), 0).remaining;
            assert!(
                left < 2,
                "{window}, {phase}: {left} while one that was lent counts"
            );
        }
    }
}

#[test]
fn the_term_is_as_long_as_what_is_left_allows() {
    let mut store = Store::start();
    let charge = limit("a", 120, 60);
    // Requests at this distance, for longer than a window.
    for (gap, least, most) in [(1_000, 10, 15), (600, 5, 10), (555, 2, 4), (500, 2, 4)] {
        store.begin(START);
        for _ in 0..70_000 / gap {
            store
                .ask(&limits(from_ref(&charge), store.now), false)
                .unwrap();
            store.wait(gap);
        }
        let mut ask = nothing(store.now);
        let lend = Lend {
            permits: 10,
            term: Duration::from_secs(60),
            rush: 0,
        };
        ask.limit(&charge.only_lending(), lend, &[]);
        let reply = store.ask(&ask, false).unwrap();
        let Some(lent) = &said(&reply, 0).granted else {
            assert_eq!(gap, 500, "only at the quota nothing is lent");
            continue;
        };
        let lasts = lent.void_after.as_secs();
        assert!((least..=most).contains(&lasts), "{gap}: {lasts} s");
    }
}

#[test]
fn an_empty_quota_and_a_cost_above_it_lend_nothing() {
    let mut store = Store::start();
    let long = |permits| Lend {
        permits,
        term: Duration::from_secs(15),
        rush: 0,
    };
    for (quota, cost) in [(1, 1), (1, 0), (2, 0), (3, 4), (10, 100)] {
        store.begin(START);
        let charge = Charge {
            cost,
            ..limit("a", quota, 60)
        };
        let mut ask = nothing(store.now);
        ask.limit(&charge, long(5), &[]);
        let reply = store.ask(&ask, false).unwrap();
        assert_eq!(said(&reply, 0).granted, None, "{cost} of {quota}");
        assert_eq!(admitted(&reply), cost <= quota);
    }
}

#[test]
fn a_window_made_shorter_still_counts_what_was_lent_for_long() {
    let mut store = Store::start();
    for (old, new) in [
        (120, 60),
        (120, 30),
        (60, 59),
        (60, 15),
        (3_600, 9),
        (120, 3_600),
    ] {
        store.begin(START);
        let before = limit("a", 3, old);
        let lent = lend_for(&mut store, &before, Duration::MAX);
        let anew = limit("a", 3, new);
        assert!(is_admitted(&mut store, &anew));
        let spent = START + lent.void_after - LAST;
        wait_until(&mut store, spent + anew.window);
        let look = limits(&[anew], store.now);
        let left = verdict(&store.ask(&look, false).unwrap(), 0).remaining;
        assert!(left < 2, "{old} to {new}");
    }
}

#[test]
fn a_wrong_clock_that_was_lent_for_long_is_mended_for_as_long() {
    let mut store = Store::start();
    let charge = limit("a", 3, 60);
    for off in [
        -299_500_i64,
        -300_000,
        300_000,
        300_500,
        301_999,
        20_000,
        40_000,
    ] {
        store.begin(START);
        let told = Timestamp::from_millis(START.as_millis().saturating_add_signed(off));
        let mut ask = nothing(told);
        let lend = Lend {
            permits: 1_000,
            term: Duration::from_secs(15),
            rush: 0,
        };
        ask.limit(&charge.only_lending(), lend, &[]);
        let reply = store.ask(&ask, false).unwrap();
        let lent = said(&reply, 0).granted.clone().unwrap();
        assert!(is_admitted(&mut store, &charge));
        assert_counted_for_a_window(&mut store, &charge, START + lent.void_after, 3);
    }
}

#[test]
fn a_state_as_it_was_before_long_leases_is_read_as_it_was() {
    let mut store = Store::start();
    store.begin(START);
    let bucket = START.as_millis() / 2_000;
    let old = format!(
        "2 abc {} 2000 {bucket} 2 30 20 10;0:abcdef:",
        START.as_millis()
    );
    store.set("a", &old);
    let charge = limit("a", 120, 60);
    let reply = store.ask(&limits(from_ref(&charge), START), false).unwrap();
    assert_eq!(reply.unreadable, 0);
    assert_eq!(verdict(&reply, 0).remaining, 89);
}

#[test]
fn the_longest_state_is_shortened_by_the_script_as_by_the_model() {
    let mut store = Store::start();
    store.begin(START);
    let mut longest = 0;
    for n in 0..300 {
        let charge = Charge {
            cost: 12_000_001 + n,
            ..limit("a", 1_000_000_000, 60)
        };
        let mut ask = nothing(store.now);
        let lend = Lend {
            permits: 10_000_001,
            term: Duration::from_secs(15),
            rush: 0,
        };
        ask.limit(&charge, lend, &[]);
        let reply = store.ask(&ask, false).unwrap();
        assert_eq!(reply.unreadable, 0);
        longest = longest.max(store.text("a").unwrap().len());
        store.wait(1_900);
    }
    assert!((390..=400).contains(&longest), "{longest} bytes");
}

//! The cache's part of a call: what is stored, and who refreshes it.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;

use crate::rig::{Rig, admitted, limit, lookup, nothing, now, with_entry};

/// An entry that is fresh until then.
fn entry(fresh_until: Timestamp) -> String {
    let until = fresh_until.as_millis();
    format!("1 {until} {until} {{\"k\":\"…\"}}\nbody \u{0} with \"anything\"\r\n")
}

fn second() -> Duration {
    Duration::from_secs(1)
}

#[test]
fn the_entry_comes_back_as_it_was_stored() {
    let mut rig = Rig::start();
    let stored = entry(now() + 60 * second());
    rig.run::<()>(&["SET", "c", &stored, "EX", "60"]);
    for charges in [vec![], vec![limit("a", 10, 60)]] {
        let reply = rig.ask(&with_entry(&charges, now()));
        assert_eq!(reply.entry.as_deref(), Some(stored.as_bytes()));
        assert!(!reply.refresh.is_mine(), "it is fresh");
    }
    assert_eq!(rig.text("f"), None);
}

#[test]
fn one_of_many_callers_fetches_what_is_missing() {
    let mut rig = Rig::start();
    let charges = [limit("a", 100, 60)];
    let granted = (0..50)
        .filter(|_| rig.ask(&with_entry(&charges, now())).refresh.is_mine())
        .count();
    assert_eq!(granted, 1);
    rig.assert_all_expire();
}

#[test]
fn one_of_many_callers_refreshes_what_is_stale_and_all_are_given_it() {
    let mut rig = Rig::start();
    let stored = entry(now() - second());
    rig.run::<()>(&["SET", "c", &stored, "EX", "60"]);
    let mut granted = 0;
    for _ in 0..50 {
        let reply = rig.ask(&with_entry(&[], now()));
        assert_eq!(reply.entry.as_deref(), Some(stored.as_bytes()));
        granted += u32::from(reply.refresh.is_mine());
    }
    assert_eq!(granted, 1);
}

#[test]
fn what_is_stored_and_no_entry_counts_as_missing() {
    let mut rig = Rig::start();
    for text in ["", "nonsense", "2 9999999999999 9999999999999 {}", "1 x"] {
        rig.run::<()>(&["FLUSHALL"]);
        rig.run::<()>(&["SET", "c", text, "EX", "60"]);
        let reply = rig.ask(&with_entry(&[], now()));
        assert!(reply.refresh.is_mine(), "{text}");
    }
}

#[test]
fn a_lease_is_over_after_its_time() {
    let mut rig = Rig::start();
    let ask = || {
        let mut ask = nothing(now());
        ask.look_up(&lookup(Some(Duration::from_millis(40))));
        ask
    };
    assert!(rig.ask(&ask()).refresh.is_mine());
    let again = crate::common::eventually("the lease ends", || {
        let gone = rig.text("f").is_none();
        gone.then(|| rig.ask(&ask()).refresh.is_mine())
    });
    assert!(again, "whoever took it may never come back");
}

#[test]
fn the_lease_of_an_earlier_refresh_holds_nobody_off() {
    let mut rig = Rig::start();
    let start = now();
    assert!(
        rig.ask(&with_entry(&[], start)).refresh.is_mine(),
        "it is missing"
    );
    // It was fetched, was fresh for a while, and is stale again before the lease's time is over.
    let stale_at = start + second();
    rig.run::<()>(&["SET", "c", &entry(stale_at), "EX", "60"]);
    let at = |ms| start + Duration::from_millis(ms);
    assert!(
        !rig.ask(&with_entry(&[], at(999))).refresh.is_mine(),
        "fresh"
    );
    assert!(
        rig.ask(&with_entry(&[], at(1_000))).refresh.is_mine(),
        "stale again"
    );
    assert!(
        !rig.ask(&with_entry(&[], at(1_001))).refresh.is_mine(),
        "under way"
    );
}

#[test]
fn who_cannot_store_takes_no_lease() {
    let mut rig = Rig::start();
    let mut ask = nothing(now());
    ask.look_up(&lookup(None));
    assert!(!rig.ask(&ask).refresh.is_mine());
    assert!(rig.ask(&with_entry(&[], now())).refresh.is_mine());
}

#[test]
fn who_is_refused_is_given_no_entry_and_no_lease() {
    let mut rig = Rig::start();
    let charges = [limit("a", 1, 60)];
    rig.run::<()>(&["SET", "c", &entry(now() - second()), "EX", "60"]);
    assert!(rig.ask(&with_entry(&charges, now())).refresh.is_mine());
    rig.run::<()>(&["DEL", "f"]);
    let reply = rig.ask(&with_entry(&charges, now()));
    assert!(!admitted(&reply));
    assert_eq!((reply.entry, reply.refresh.is_mine()), (None, false));
    assert_eq!(rig.text("f"), None, "another may refresh it");
    assert!(rig.ask(&with_entry(&[], now())).refresh.is_mine());
}

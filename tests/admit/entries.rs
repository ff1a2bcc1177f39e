//! The cache's part of a call: which entry is stored, and who refreshes it.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::store::{Ask, EntryQuery, Reply, Stored};

use crate::rig::{Rig, admitted, entry_of, limit, lookup, nothing, now, refreshes, with_entry};

/// An entry that is fresh until `fresh_until`, made before any purge.
fn entry(fresh_until: Timestamp) -> String {
    let until = fresh_until.as_millis();
    format!("2 {until} {until} {until} - -,- {{\"k\":\"…\"}}\nbody \u{0} with \"anything\"\r\n")
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
        assert_eq!(entry_of(&reply).as_deref(), Some(stored.as_bytes()));
        assert!(!refreshes(&reply), "it is fresh");
    }
    assert_eq!(rig.text("f"), None);
}

#[test]
fn one_of_many_callers_fetches_what_is_missing() {
    let mut rig = Rig::start();
    let charges = [limit("a", 100, 60)];
    let granted = (0..50)
        .filter(|_| refreshes(&rig.ask(&with_entry(&charges, now()))))
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
        assert_eq!(entry_of(&reply).as_deref(), Some(stored.as_bytes()));
        granted += u32::from(refreshes(&reply));
    }
    assert_eq!(granted, 1);
}

#[test]
fn what_is_stored_and_no_entry_counts_as_missing() {
    let mut rig = Rig::start();
    for text in [
        "",
        "nonsense",
        "3 9999999999999 9999999999999 1 - -,- {}",
        "1 x",
    ] {
        rig.run::<()>(&["FLUSHALL"]);
        rig.run::<()>(&["SET", "c", text, "EX", "60"]);
        let reply = rig.ask(&with_entry(&[], now()));
        assert!(refreshes(&reply), "{text}");
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
    assert!(refreshes(&rig.ask(&ask())));
    let again = crate::common::eventually("the lease ends", || {
        let gone = rig.text("f").is_none();
        gone.then(|| refreshes(&rig.ask(&ask())))
    });
    assert!(again, "whoever took it may never come back");
}

#[test]
fn the_lease_of_an_earlier_refresh_holds_nobody_off() {
    let mut rig = Rig::start();
    let start = now();
    assert!(
        refreshes(&rig.ask(&with_entry(&[], start))),
        "it is missing"
    );
    // The entry was fetched, was fresh for a while, and is stale again before the lease expires.
    let stale_at = start + second();
    rig.run::<()>(&["SET", "c", &entry(stale_at), "EX", "60"]);
    let at = |ms| start + Duration::from_millis(ms);
    assert!(!refreshes(&rig.ask(&with_entry(&[], at(999)))), "fresh");
    assert!(
        refreshes(&rig.ask(&with_entry(&[], at(1_000)))),
        "stale again"
    );
    assert!(
        !refreshes(&rig.ask(&with_entry(&[], at(1_001)))),
        "under way"
    );
}

#[test]
fn who_cannot_store_takes_no_lease() {
    let mut rig = Rig::start();
    let mut ask = nothing(now());
    ask.look_up(&lookup(None));
    assert!(!refreshes(&rig.ask(&ask)));
    assert!(refreshes(&rig.ask(&with_entry(&[], now()))));
}

#[test]
fn who_is_refused_is_given_no_entry_and_no_lease() {
    let mut rig = Rig::start();
    let charges = [limit("a", 1, 60)];
    rig.run::<()>(&["SET", "c", &entry(now() - second()), "EX", "60"]);
    assert!(refreshes(&rig.ask(&with_entry(&charges, now()))));
    rig.run::<()>(&["DEL", "f"]);
    let reply = rig.ask(&with_entry(&charges, now()));
    assert!(!admitted(&reply));
    assert_eq!((entry_of(&reply), refreshes(&reply)), (None, false));
    assert_eq!(rig.text("f"), None, "another may refresh it");
    assert!(refreshes(&rig.ask(&with_entry(&[], now()))));
}

#[test]
fn an_entry_of_other_epochs_is_void_and_fetched_by_one() {
    let mut rig = Rig::start();
    rig.run::<()>(&["SET", "c", &entry(now() + 60 * second()), "EX", "60"]);
    for (age, (key, epochs)) in [("t", "-,a1"), ("e", "b2,a1")].into_iter().enumerate() {
        let value = &epochs[..2].replace("-,", "a1");
        rig.run::<()>(&["SET", key, value, "EX", "60"]);
        let replies: Vec<_> = (0..10).map(|_| rig.ask(&with_entry(&[], now()))).collect();
        assert!(replies.iter().all(|reply| entry_of(reply).is_none()));
        let said = |reply: &Reply| reply.cached.clone().unwrap().epochs;
        assert!(replies.iter().all(|reply| said(reply) == epochs));
        assert_eq!(
            replies.iter().filter(|reply| refreshes(reply)).count(),
            1,
            "{key}"
        );
        // The entry is fetched again, and carries the epochs that the store reported and a stamp of
        // its own: a lease belongs to the entry of one stamp.
        let stamp = (now() + second() * (70 + age as u32)).as_millis();
        let made = format!("2 9999999999999 9999999999999 {stamp} - {epochs} {{}}\n");
        rig.run::<()>(&["SET", "c", &made, "EX", "60"]);
        assert_eq!(
            entry_of(&rig.ask(&with_entry(&[], now()))).as_deref(),
            Some(made.as_bytes())
        );
    }
}

#[test]
fn whatever_stands_in_an_epoch_key_can_be_carried_by_an_entry() {
    let mut rig = Rig::start();
    let long = "x".repeat(1_000);
    for (value, word) in [
        (" a,b-c\n{", ".a.b.c.."),
        ("", ""),
        (long.as_str(), &long[..64]),
    ] {
        rig.run::<()>(&["SET", "e", value, "EX", "60"]);
        let reply = rig.ask(&with_entry(&[], now()));
        assert_eq!(reply.cached.unwrap().epochs, format!("{word},-"));
    }
}

#[test]
fn an_entry_that_the_caller_has_is_not_sent_again() {
    let mut rig = Rig::start();
    let stored = entry(now() + 60 * second());
    rig.run::<()>(&["SET", "c", &stored, "EX", "60"]);
    let head = stored.split('{').next().unwrap().to_owned();
    let ask = |known: &str| {
        let mut ask = nothing(now());
        let known = Some(known.to_owned());
        ask.look_up(&EntryQuery {
            known,
            ..lookup(None)
        });
        ask
    };
    let said = |reply: Reply| reply.cached.unwrap().entry;
    assert_eq!(said(rig.ask(&ask(&head))), Stored::Same);
    let other = head.replacen("- -,-", "7 -,-", 1);
    for known in [other.as_str(), "2 0", ""] {
        assert!(
            matches!(said(rig.ask(&ask(known))), Stored::Entry(_)),
            "{known}"
        );
    }
}

#[test]
fn one_caller_may_refresh_it_so_long_before_it_goes_stale() {
    let mut rig = Rig::start();
    let start = now();
    rig.run::<()>(&["SET", "c", &entry(start + second()), "EX", "60"]);
    let early = |at: u64, early: u64| {
        let mut ask = nothing(start + Duration::from_millis(at));
        let early = Duration::from_millis(early);
        ask.look_up(&EntryQuery {
            early,
            ..lookup(Some(second() * 10))
        });
        ask
    };
    assert!(!refreshes(&rig.ask(&early(899, 100))));
    assert!(refreshes(&rig.ask(&early(900, 100))));
    assert!(!refreshes(&rig.ask(&early(901, 100))), "under way");
    assert!(
        !refreshes(&rig.ask(&early(1_000, 0))),
        "also for those who see it stale"
    );
}

#[test]
fn a_call_that_is_repeated_keeps_its_lease() {
    let mut rig = Rig::start();
    let charges = [limit("a", 10, 60)];
    let ask = |id: &str| {
        let mut ask = Ask::new(now(), id, second(), false);
        ask.limit(&charges[0], 0, &[]);
        ask.look_up(&lookup(Some(10 * second())));
        ask
    };
    let first = ask("c1");
    assert!(refreshes(&rig.ask(&first)));
    assert!(refreshes(&rig.ask(&first)), "its reply was lost");
    assert!(!refreshes(&rig.ask(&ask("c2"))));
}

use super::*;

const TERM: Duration = Duration::from_secs(4);
const WINDOW: Duration = Duration::from_secs(60);

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + ms)
}

fn receipt(bucket: u64) -> Receipt {
    Receipt {
        tag: "a".to_owned(),
        bucket,
    }
}

fn lent(permits: u64) -> Leases {
    let mut leases = Leases::new(8);
    leases.granted("k", WINDOW, (receipt(1), permits), at(0), TERM);
    leases
}

#[test]
fn what_was_lent_is_spent_and_no_more() {
    let mut leases = lent(3);
    assert_eq!(leases.spend("k", 2, at(0)).unwrap().left, 1);
    assert_eq!(leases.spend("k", 2, at(0)), None, "all of it or nothing");
    assert_eq!(leases.spend("k", 1, at(0)).unwrap().left, 0);
    assert_eq!(leases.spend("k", 1, at(0)), None);
    assert_eq!(leases.spend("other", 1, at(0)), None);
}

#[test]
fn permits_are_void_to_the_millisecond_and_go_back_once() {
    let mut leases = lent(3);
    assert!(leases.spend("k", 1, at(3_999)).is_some());
    assert_eq!(leases.spend("k", 1, at(4_000)), None);
    assert_eq!(leases.take_unspent("k", at(3_999)), []);
    assert_eq!(leases.take_unspent("k", at(4_000)), [(receipt(1), 2)]);
    assert_eq!(leases.take_unspent("k", at(4_000)), []);
}

#[test]
fn a_clock_that_jumps_back_gives_no_lease_a_longer_life() {
    let mut leases = lent(3);
    let long_ago = Timestamp::from_millis(0);
    assert_eq!(leases.spend("k", 1, long_ago), None);
}

#[test]
fn what_was_put_back_can_be_spent_again_and_only_as_much() {
    let mut leases = lent(3);
    let mut spent = leases.spend("k", 3, at(0)).unwrap();
    assert_eq!(leases.put_back("k", &mut spent, 1), 1);
    assert_eq!(leases.left("k", at(0)), 1);
    assert_eq!(leases.put_back("k", &mut spent, 5), 2);
    assert_eq!(leases.put_back("k", &mut spent, 5), 0);
    assert_eq!(leases.left("k", at(0)), 3);
}

#[test]
fn a_single_request_fetches_nothing_ahead_and_a_busy_client_more_and_more() {
    let mut leases = Leases::new(8);
    leases.demand("k", 1, TERM, at(0));
    assert_eq!(leases.wanted("k", TERM, at(0)), 0);
    let (mut served, mut fetches) = (0, 0);
    for _ in 0..1_000 {
        leases.demand("k", 1, TERM, at(0));
        if leases.spend("k", 1, at(0)).is_none() {
            let wanted = leases.wanted("k", TERM, at(0));
            fetches += 1;
            leases.granted("k", WINDOW, (receipt(1), wanted), at(0), TERM);
        }
        served += 1;
    }
    assert_eq!(served, 1_000);
    assert!(fetches <= 10, "{fetches} fetches");
}

#[test]
fn demand_that_is_over_is_forgotten() {
    let mut leases = Leases::new(8);
    for _ in 0..100 {
        leases.demand("k", 1, TERM, at(0));
    }
    assert_eq!(leases.wanted("k", TERM, at(0)), 120);
    assert_eq!(leases.wanted("k", TERM, at(60_000)), 0);
}

#[test]
fn more_is_fetched_before_it_runs_dry_and_by_one_only() {
    let mut leases = lent(9);
    for _ in 0..8 {
        assert_eq!(leases.wanted("k", TERM, at(0)), 0, "enough is left");
        leases.demand("k", 1, TERM, at(0));
        leases.spend("k", 1, at(0)).unwrap();
    }
    assert_eq!(leases.wanted("k", TERM, at(0)), 9, "one is left, for 9.6");
    leases.fetching("k", at(0), Duration::from_millis(300));
    assert_eq!(leases.wanted("k", TERM, at(299)), 0);
    assert!(leases.wanted("k", TERM, at(300)) > 0, "they are lost");
    leases.fetched("k", 5, at(10));
    assert!(leases.wanted("k", TERM, at(10)) > 0);
    leases.fetched("k", 0, at(10));
    assert_eq!(
        leases.wanted("k", TERM, at(10)),
        0,
        "there was nothing to be had"
    );
    assert!(leases.wanted("k", TERM, at(260)) > 0);
}

#[test]
fn what_nobody_took_back_is_overdue_after_a_while() {
    let mut leases = lent(3);
    leases.granted("l", WINDOW, (receipt(7), 2), at(100), TERM);
    leases.spend("l", 2, at(200)).unwrap();
    assert_eq!(
        leases.overdue(8, at(4_000)),
        [],
        "the next call may take it"
    );
    let overdue = leases.overdue(8, at(4_000) + GRACE);
    let unspent = Unspent {
        key: "k".to_owned(),
        window: WINDOW,
        parts: vec![(receipt(1), 3)],
    };
    assert_eq!(overdue, [unspent]);
    assert_eq!(
        leases.overdue(8, at(60_000)),
        [],
        "all of the other's are spent"
    );
}

#[test]
fn a_long_lease_does_not_hold_up_the_return_of_a_short_one() {
    let mut leases = lent(3);
    let short = Duration::from_millis(500);
    leases.granted("l", WINDOW, (receipt(7), 2), at(100), short);
    assert_eq!(leases.next_overdue(), Some(at(600) + GRACE));
    let overdue = leases.overdue(8, at(600) + GRACE);
    assert_eq!(overdue.len(), 1);
    assert_eq!(overdue[0].key, "l");
    assert_eq!(leases.next_overdue(), Some(at(4_000) + GRACE));
}

#[test]
fn memory_is_bounded() {
    let mut leases = Leases::new(100);
    for n in 0..10_000_u64 {
        leases.demand(&n.to_string(), 1, TERM, at(0));
        leases.granted(&n.to_string(), WINDOW, (receipt(n), 5), at(n), TERM);
        let _ = leases.overdue(64, at(n));
    }
    assert!(leases.accounts.len() <= 100);
    assert!(leases.voids.len() <= 5_000, "{}", leases.voids.len());
}

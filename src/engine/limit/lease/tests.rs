use super::*;

const TERM: Duration = Duration::from_secs(4);
const WINDOW: Duration = Duration::from_secs(60);
const QUOTA: Quota = Quota {
    permits: 10_000,
    window: WINDOW,
};

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
fn a_new_client_gets_a_few_permits_and_a_busy_one_more_and_more() {
    let mut leases = Leases::new(8);
    leases.demand("k", 1, WINDOW, at(0));
    assert_eq!(leases.wanted("k", QUOTA, at(0)).permits, FIRST);
    let (mut served, mut fetches) = (0, 0);
    for _ in 0..1_000 {
        leases.demand("k", 1, WINDOW, at(0));
        if leases.spend("k", 1, at(0)).is_none() {
            let wanted = leases.wanted("k", QUOTA, at(0)).permits;
            fetches += 1;
            leases.granted("k", WINDOW, (receipt(1), wanted), at(0), TERM);
        }
        served += 1;
    }
    assert_eq!(served, 1_000);
    assert!(fetches <= 10, "{fetches} fetches");
}

#[test]
fn what_a_new_client_gets_is_a_small_part_of_its_quota_and_not_swept() {
    for (permits, first) in [
        (1, 0),
        (10, 0),
        (24, 0),
        (25, 1),
        (120, 4),
        (300, 12),
        (9_000, 12),
    ] {
        let quota = Quota { permits, ..QUOTA };
        let mut leases = Leases::new(8);
        leases.demand("k", 1, WINDOW, at(0));
        let lend = leases.wanted("k", quota, at(0));
        assert_eq!(lend.permits, first, "{permits}");
        leases.fetching("k", at(0), Duration::from_secs(1));
        let term = Duration::from_secs(15);
        assert_eq!(lend.term, term);
        leases.granted("k", WINDOW, (receipt(1), first), at(0), term);
        leases.fetched("k", first, at(0));
        assert_eq!(leases.next_overdue(), None, "not worth a call of its own");
        let back = leases.take_unspent("k", at(20_000));
        let unspent: u64 = back.iter().map(|(_, permits)| permits).sum();
        assert_eq!(unspent, first, "the client's own next call returns them");
        leases.demand("k", 1, WINDOW, at(20_000));
        leases.granted("k", WINDOW, (receipt(2), 3), at(20_000), term);
        assert!(leases.next_overdue().is_some(), "later ones are swept");
    }
}

#[test]
fn the_first_permits_are_swept_too_if_their_client_goes_on() {
    let mut leases = Leases::new(8);
    leases.demand("k", 1, WINDOW, at(0));
    let first = leases.wanted("k", QUOTA, at(0)).permits;
    leases.fetching("k", at(0), Duration::from_secs(1));
    let long = Duration::from_secs(15);
    leases.granted("k", WINDOW, (receipt(1), first), at(0), long);
    leases.granted("k", WINDOW, (receipt(2), 3), at(1), TERM);
    let mut returned = 0;
    while let Some(due) = leases.next_overdue() {
        for unspent in leases.overdue(8, due) {
            returned += unspent.parts.iter().map(|(_, part)| part).sum::<u64>();
        }
    }
    assert_eq!(returned, first + 3);
}

#[test]
fn demand_that_is_over_is_forgotten() {
    let mut leases = Leases::new(8);
    for _ in 0..100 {
        leases.demand("k", 1, WINDOW, at(0));
    }
    assert_eq!(leases.wanted("k", QUOTA, at(0)).permits, 120);
    assert_eq!(leases.wanted("k", QUOTA, at(180_000)).permits, 0);
}

#[test]
fn more_is_fetched_before_it_runs_dry_and_by_one_only() {
    let mut leases = lent(9);
    for _ in 0..8 {
        assert_eq!(
            leases.wanted("k", QUOTA, at(0)).permits,
            0,
            "enough is left"
        );
        leases.demand("k", 1, WINDOW, at(0));
        leases.spend("k", 1, at(0)).unwrap();
    }
    assert_eq!(
        leases.wanted("k", QUOTA, at(0)).permits,
        9,
        "one is left, for 9.6"
    );
    leases.fetching("k", at(0), Duration::from_millis(300));
    assert_eq!(leases.wanted("k", QUOTA, at(299)).permits, 0);
    assert!(
        leases.wanted("k", QUOTA, at(300)).permits > 0,
        "they are lost"
    );
    leases.fetched("k", 5, at(10));
    assert!(leases.wanted("k", QUOTA, at(10)).permits > 0);
    leases.fetched("k", 0, at(10));
    assert_eq!(
        leases.wanted("k", QUOTA, at(10)).permits,
        0,
        "there was nothing to be had"
    );
    assert!(leases.wanted("k", QUOTA, at(260)).permits > 0);
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
        leases.demand(&n.to_string(), 1, WINDOW, at(0));
        leases.granted(&n.to_string(), WINDOW, (receipt(n), 5), at(n), TERM);
        let _ = leases.overdue(64, at(n));
    }
    assert!(leases.accounts.len() <= 100);
    assert!(leases.dues.len() <= 5_000, "{}", leases.dues.len());
}

/// Permits that a client asks for at these times, in ms, if it is lent none.
fn asked(times: impl IntoIterator<Item = u64>, quota: Quota) -> Lend {
    let mut leases = Leases::new(8);
    let mut last = 0;
    for at_ms in times {
        leases.demand("k", 1, quota.window, at(at_ms));
        last = at_ms;
    }
    leases.wanted("k", quota, at(last))
}

fn quota(permits: u64, window: u64) -> Quota {
    let window = Duration::from_secs(window);
    Quota { permits, window }
}

#[test]
fn a_client_that_comes_slowly_is_lent_for_a_quarter_of_the_window() {
    let each_second = || (0..60).map(|n| n * 1_000);
    let lend = asked(each_second(), quota(120, 60));
    assert_eq!(lend.term, Duration::from_secs(15));
    assert!((18..30).contains(&lend.permits), "{lend:?}");
    let lend = asked(each_second(), quota(1_000, 600));
    assert_eq!(lend.term, Duration::from_secs(30));
}

#[test]
fn a_client_that_comes_fast_needs_its_permits_for_a_short_time_only() {
    let terms = [5, 10, 100].map(|a_second| {
        let times = (0..60 * a_second).map(|n| n * 1_000 / a_second);
        asked(times, quota(100_000, 60)).term.as_secs()
    });
    assert!(matches!(terms, [15, 9..=11, 4]), "{terms:?}");
}

#[test]
fn a_client_near_its_quota_gets_the_shortest_term() {
    let at_rate = |a_minute: u64| asked((0..120).map(|n| n * 60_000 / a_minute), quota(120, 60));
    assert_eq!(at_rate(60).term, Duration::from_secs(15));
    assert!(at_rate(90).term < Duration::from_secs(10));
    assert_eq!(at_rate(108).term, TERM);
    assert_eq!(at_rate(500).term, TERM);
}

#[test]
fn a_client_that_was_near_its_quota_lately_gets_the_shortest_term() {
    let quota = quota(120, 60);
    let mut leases = Leases::new(8);
    for n in 0..60 {
        leases.demand("k", 1, quota.window, at(n * 1_000));
    }
    leases.counted("k", 118, quota.window, at(60_000));
    leases.counted("k", 20, quota.window, at(61_000));
    leases.demand("k", 1, quota.window, at(61_000));
    assert_eq!(leases.wanted("k", quota, at(61_000)).term, TERM);
    for n in 0..400 {
        leases.demand("k", 1, quota.window, at(61_000 + n * 1_000));
    }
    leases.counted("k", 20, quota.window, at(461_000));
    let later = leases.wanted("k", quota, at(461_000)).term;
    assert_eq!(later, Duration::from_secs(15), "it is forgotten");
}

#[test]
fn a_call_that_is_made_anyway_fetches_what_is_needed_soon() {
    let quota = quota(120, 60);
    let mut leases = Leases::new(8);
    for n in 0..60 {
        leases.demand("k", 1, quota.window, at(n * 1_000));
    }
    let long = Duration::from_secs(15);
    leases.granted("k", WINDOW, (receipt(1), 16), at(59_000), long);
    let wanted = |leases: &Leases, ms| {
        let (now, soon) = (
            leases.wanted("k", quota, at(ms)),
            leases.wanted_soon("k", quota, at(ms)),
        );
        (now.is_some(), soon.is_some())
    };
    assert_eq!(wanted(&leases, 59_000), (false, false), "most is left");
    leases.spend("k", 8, at(60_000)).unwrap();
    assert_eq!(wanted(&leases, 60_000), (false, true));
    leases.spend("k", 8, at(60_000)).unwrap();
    assert_eq!(wanted(&leases, 60_000), (true, true));
}

#[test]
fn permits_of_a_long_lease_wait_as_long_for_a_call_made_anyway() {
    let mut leases = Leases::new(8);
    let long = Duration::from_secs(15);
    leases.granted("k", WINDOW, (receipt(1), 3), at(0), long);
    assert_eq!(leases.next_overdue(), Some(at(30_000)));
    assert_eq!(leases.overdue(8, at(29_999)), []);
    assert_eq!(leases.overdue(8, at(30_000)).len(), 1);
}

#[test]
fn a_lease_that_is_due_leaves_a_later_one_of_the_same_client_alone() {
    let mut leases = Leases::new(8);
    let long = Duration::from_secs(15);
    leases.granted("k", WINDOW, (receipt(1), 3), at(0), long);
    leases.granted("k", WINDOW, (receipt(2), 5), at(14_000), long);
    let overdue = leases.overdue(8, at(30_000));
    assert_eq!(
        overdue[0].parts,
        [(receipt(1), 3)],
        "the other is void, not due"
    );
    assert_eq!(leases.take_unspent("k", at(29_500)), [(receipt(2), 5)]);
}

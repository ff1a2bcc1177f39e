use super::*;
use proptest::prelude::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + ms)
}

fn per_minute(permits: u64) -> Quota {
    Quota {
        permits,
        window: Duration::from_secs(60),
    }
}

const fn one(key: &str, quota: Quota, cost: u64) -> Take<'_> {
    Take {
        key,
        quota,
        kept: 0,
        cost,
        enforced: true,
    }
}

#[test]
fn a_refused_request_passes_exactly_when_it_was_told() {
    let mut local = Fallback::new(8);
    let charge = one("a", per_minute(10), 1);
    let check = [&charge];
    while local.admit(&check, at(0))[0].met {}
    let wait = local.admit(&check, at(0))[0].retry_after;
    assert!(!local.admit(&check, at(0) + wait - Duration::from_millis(1))[0].met);
    assert!(local.admit(&check, at(0) + wait)[0].met);
}

#[test]
fn a_refusal_by_one_charges_none() {
    let mut local = Fallback::new(8);
    let both = [one("a", per_minute(100), 1), one("b", per_minute(2), 1)];
    let both = both.each_ref();
    assert!(local.admit(&both, at(0)).iter().all(|v| v.met));
    for _ in 0..50 {
        let verdicts = local.admit(&both, at(0));
        assert!(!verdicts[1].met);
        assert_eq!(verdicts[0].remaining, 49, "of a burst of 50 one is spent");
    }
}

#[test]
fn starts_from_the_usage_last_known() {
    let mut local = Fallback::new(8);
    let left = |remaining| Verdict {
        met: true,
        remaining,
        retry_after: Duration::ZERO,
        reset_after: Duration::ZERO,
    };
    local.learn("a", 10, &left(1), at(0));
    let charge = one("a", per_minute(10), 1);
    let check = [&charge];
    assert!(local.admit(&check, at(10))[0].met);
    assert!(!local.admit(&check, at(10))[0].met);
    local.learn("b", 10, &left(0), at(0));
    assert!(!local.admit(&[&one("b", per_minute(10), 1)], at(10))[0].met);
    assert!(local.admit(&[&one("b", per_minute(10), 1)], at(60_000))[0].met);
}

#[test]
fn what_is_left_is_told_by_the_quota_of_the_request_at_hand() {
    let mut local = Fallback::new(8);
    let known = Verdict {
        met: true,
        remaining: 180,
        retry_after: Duration::ZERO,
        reset_after: Duration::ZERO,
    };
    local.learn("user", 300, &known, at(0));
    let left = |permits| {
        let known = local.last_known("user", per_minute(permits), at(10));
        known.unwrap().remaining
    };
    assert_eq!((left(300), left(200), left(100)), (180, 80, 0));
}

#[test]
fn a_store_that_comes_and_goes_gives_no_fresh_burst() {
    let mut local = Fallback::new(8);
    let charge = one("a", per_minute(10), 1);
    let mut admitted = 0;
    for n in 0..50 {
        let known = Verdict {
            met: true,
            remaining: 9,
            retry_after: Duration::ZERO,
            reset_after: Duration::ZERO,
        };
        local.learn("a", 10, &known, at(n));
        admitted += u64::from(local.admit(&[&charge], at(n))[0].met);
    }
    assert_eq!(admitted, 5);
}

#[test]
fn a_request_that_costs_more_than_half_the_quota_passes_when_it_was_told() {
    let mut local = Fallback::new(8);
    local.expect(per_minute(10), 7);
    let charge = one("a", per_minute(10), 7);
    assert!(local.admit(&[&charge], at(0))[0].met);
    let refused = &local.admit(&[&charge], at(1))[0];
    assert!(!refused.met);
    let then = at(1) + refused.retry_after;
    assert!(!local.admit(&[&charge], then - Duration::from_millis(1))[0].met);
    assert!(local.admit(&[&charge], then)[0].met);
}

#[test]
fn memory_is_bounded() {
    let mut local = Fallback::new(64);
    for n in 0..5_000 {
        local.admit(&[&one(&n.to_string(), per_minute(10), 1)], at(n));
    }
    assert!(local.subjects.all().len() <= 64);
}

#[test]
fn a_clock_that_jumps_back_locks_nobody_out() {
    let mut local = Fallback::new(8);
    let charge = one("a", per_minute(1), 1);
    let check = [&charge];
    assert!(local.admit(&check, at(86_400_000))[0].met);
    assert!(local.admit(&check, at(0))[0].met);
}

proptest! {
    #[test]
    fn no_window_ever_holds_more_than_the_quota(
        permits in 1_u64..40,
        window in 1_u64..5_000,
        largest_cost in 1_u64..40,
        steps in prop::collection::vec((0_u64..400, 1_u64..3), 1..300),
    ) {
        let quota = Quota { permits, window: Duration::from_millis(window) };
        let mut local = Fallback::new(8);
        local.expect(quota, largest_cost.min(permits));
        let (mut now, mut admitted) = (0, Vec::new());
        for (step, cost) in steps {
            now += step;
            if local.admit(&[&one("a", quota, cost)], at(now))[0].met {
                admitted.push((now, cost));
                let held: u64 = admitted
                    .iter()
                    .filter(|(then, _)| now - then <= window)
                    .map(|(_, cost)| cost)
                    .sum();
                prop_assert!(held <= permits, "{held} of {permits} in {window} ms");
            }
        }
    }
}

#[test]
fn what_is_kept_for_others_is_not_taken() {
    let mut local = Fallback::new(8);
    let ours = one("a", per_minute(20), 1);
    let other = Take { kept: 25, ..ours };
    // The burst is ten, of which three are kept.
    for left in (0..7).rev() {
        assert_eq!(local.admit(&[&other], at(0))[0].remaining, left);
    }
    let refused = local.admit(&[&other], at(0)).remove(0);
    assert!(!refused.met);
    assert!(local.admit(&[&ours], at(0))[0].met, "they are there");
    let again = local.admit(&[&other], at(0)).remove(0);
    assert!(
        !local.admit(
            &[&other],
            at(0) + again.retry_after - Duration::from_millis(1)
        )[0]
        .met
    );
    assert!(local.admit(&[&other], at(0) + again.retry_after)[0].met);
}

#[test]
fn what_is_given_back_can_be_taken_again_and_costs_found_later_count() {
    let mut local = Fallback::new(8);
    let charge = one("a", per_minute(10), 1);
    while local.admit(&[&charge], at(0))[0].met {}
    local.correct("a", charge.quota, -2, at(0));
    assert!(local.admit(&[&charge], at(0))[0].met);
    assert!(local.admit(&[&charge], at(0))[0].met);
    assert!(!local.admit(&[&charge], at(0))[0].met);
    local.correct("a", charge.quota, 1, at(0));
    let wait = local.admit(&[&charge], at(0))[0].retry_after;
    assert!(wait > Duration::from_secs(12), "two periods: {wait:?}");
}

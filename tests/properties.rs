//! The limiter's promises, on random traces (proptest prints the seed of one that fails).

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::sliding_window::{Cut, LONGEST_STATE, State};
use omnitrade_edge::engine::limit::{Lend, Quota};
use proptest::prelude::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + ms)
}

/// A quota, and steps in time with the cost of a request at each. Some steps are shorter than a
/// sub-bucket, some longer than a window.
fn traces() -> impl Strategy<Value = (Quota, Vec<(u64, u64)>)> {
    (1_u64..50, prop_oneof![1_u64..100, 1_000_u64..100_000]).prop_flat_map(|(permits, window)| {
        let quota = Quota {
            permits,
            window: Duration::from_millis(window),
        };
        let step = prop_oneof![Just(0), 0..=window / 20 + 1, 0..=window * 2];
        (
            Just(quota),
            prop::collection::vec((step, 1..=permits.min(5)), 1..200),
        )
    })
}

/// Permits of which some are for requests that wait.
const fn asked(permits: u64, term: Duration) -> Lend {
    let rush = permits / 2;
    Lend {
        permits,
        term,
        rush,
    }
}

proptest! {
    #[test]
    fn no_window_ever_holds_more_than_the_quota((quota, steps) in traces()) {
        let window = u64::try_from(quota.window.as_millis()).unwrap();
        let (mut state, mut now, mut admitted) = (State::default(), 0, Vec::new());
        for (step, cost) in steps {
            now += step;
            if state.admit(quota, cost, at(now)).met {
                admitted.push((now, cost));
                // Both ends of the window included.
                let inside = admitted.iter().filter(|(then, _)| now - then <= window);
                let held: u64 = inside.map(|(_, cost)| cost).sum();
                prop_assert!(held <= quota.permits, "{held} of {}", quota.permits);
            }
        }
    }

    #[test]
    fn a_refused_request_passes_exactly_when_it_was_told((quota, steps) in traces()) {
        let (mut state, mut now) = (State::default(), 0);
        for (step, cost) in steps {
            now += step;
            let verdict = state.admit(quota, cost, at(now));
            if verdict.met {
                continue;
            }
            prop_assert!(!verdict.retry_after.is_zero());
            let then = at(now) + verdict.retry_after;
            let too_early = then - Duration::from_millis(1);
            prop_assert!(!state.check(quota, cost, too_early).met, "a millisecond early");
            prop_assert!(state.check(quota, cost, then).met, "when it was told");
            let cut = Cut::of(quota.window);
            prop_assert!(verdict.retry_after <= quota.window + Duration::from_millis(2 * cut.width));
        }
    }

    #[test]
    fn more_permits_are_back_exactly_when_it_was_told((quota, steps) in traces()) {
        let (mut state, mut now) = (State::default(), 0);
        for (step, cost) in steps {
            now += step;
            let verdict = state.admit(quota, cost, at(now));
            let wanted = if verdict.remaining >= cost { verdict.remaining + 1 } else { cost };
            let then = at(now) + verdict.reset_after;
            let left = |when| state.check(quota, cost, when).remaining;
            prop_assert!(left(then) >= wanted.min(quota.permits));
            if !verdict.reset_after.is_zero() {
                prop_assert!(left(then - Duration::from_millis(1)) < wanted);
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_frees_nobody(
        (quota, steps) in traces(),
        back in prop::collection::vec(0_u64..200_000, 200),
    ) {
        // The newest time that was seen counts: by that clock no window holds more than the quota.
        let window = u64::try_from(quota.window.as_millis()).unwrap();
        let (mut state, mut now, mut admitted) = (State::default(), 300_000, Vec::new());
        for ((step, cost), back) in steps.into_iter().zip(back) {
            now += step;
            if state.admit(quota, cost, at(now - back)).met {
                let then = state.seen().as_millis();
                admitted.push((then, cost));
                let inside = admitted.iter().filter(|(other, _)| then - other <= window);
                prop_assert!(inside.map(|(_, cost)| cost).sum::<u64>() <= quota.permits);
            }
        }
    }

    #[test]
    fn a_state_survives_its_text((quota, steps) in traces()) {
        let cut = Cut::of(quota.window);
        let (mut state, mut now) = (State::default(), 0);
        for (step, cost) in steps {
            now += step;
            state.admit(quota, cost, at(now));
            if let Some(text) = state.to_text(cut) {
                prop_assert!(text.len() <= 400, "{} bytes", text.len());
                prop_assert_eq!(&State::parse(&text, cut), &state);
            }
        }
    }

    #[test]
    fn what_is_no_state_is_an_empty_one(text in ".*", numbers in prop::collection::vec(0_u64.., 0..8)) {
        let cut = Cut { width: 2_000, buckets: 30 };
        let quota = Quota { permits: 10, window: Duration::from_secs(60) };
        let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
        let numbers = numbers.join(" ");
        for text in [text, format!("1 {numbers}"), format!("2 a {numbers};0:abcdef:")] {
            let mut state = State::parse(&text, cut);
            state.admit(quota, 1, at(0));
        }
    }

    #[test]
    fn another_window_frees_nobody((quota, steps) in traces(), window in 1_u64..100_000) {
        let other = Quota { window: Duration::from_millis(window), ..quota };
        let (mut state, mut now, mut admitted) = (State::default(), 0, 0);
        for (step, cost) in steps {
            now += step % 10;
            admitted += if state.admit(quota, cost, at(now)).met { cost } else { 0 };
        }
        if now >= u64::try_from(quota.window.as_millis()).unwrap() {
            // Some permits have left their own window.
            return Ok(());
        }
        if let Some(text) = state.to_text(Cut::of(quota.window)) {
            let state = State::parse(&text, Cut::of(other.window));
            // Checked at the newest admitted request, because the refused ones after it may span
            // more than the other window.
            let left = state.check(other, 1, state.seen()).remaining;
            prop_assert_eq!(left, quota.permits - admitted);
        }
    }
}

/// A call: how long it comes after the one before, its cost, how many permits it asks to be lent,
/// after which part of a lease, in thousandths, it spends them, and for how long it asks for them.
type Call = (u64, u64, u64, u64, Duration);

fn calls() -> impl Strategy<Value = (Quota, Vec<Call>)> {
    let window = prop_oneof![1_u64..100, 1_000_u64..100_000, 300_000_u64..1_000_000_000];
    (1_u64..50, window).prop_flat_map(|(permits, window)| {
        let quota = Quota {
            permits,
            window: Duration::from_millis(window),
        };
        let step = prop_oneof![3 => Just(0), 6 => 0..=window / 20 + 1, 1 => 0..=window * 2];
        let part = prop_oneof![0_u64..1_000, Just(999)];
        let term = prop_oneof![0..=window / 3 + 1, 0_u64..100_000].prop_map(Duration::from_millis);
        let call = (step, 0..=permits.min(5), 0_u64..20, part, term);
        (Just(quota), prop::collection::vec(call, 1..150))
    })
}

proptest! {
    #[test]
    fn no_window_holds_more_whenever_lent_permits_are_spent((quota, calls) in calls()) {
        let (mut state, mut now, mut spent) = (State::default(), 0, Vec::new());
        for (step, cost, wanted, part, term) in calls {
            now += step;
            state.forget(quota, at(now));
            if !state.admit(quota, cost, at(now)).met {
                continue;
            }
            let lent = state.lend(quota, quota.permits, asked(wanted, term), at(now));
            prop_assert!(lent.permits <= wanted);
            let lasts = u64::try_from(lent.void_after.as_millis()).unwrap();
            let cut = Cut::of(quota.window);
            prop_assert!((1..=30_000).contains(&lasts));
            prop_assert!(lent.void_after <= cut.longest_lease());
            // Lent permits can be spent until a millisecond before they are void.
            spent.extend([(now, cost), (now + lasts * part / 1_000, lent.permits)]);
        }
        spent.sort_unstable();
        let window = u64::try_from(quota.window.as_millis()).unwrap();
        for (end, _) in &spent {
            let inside = spent.iter().filter(|(then, _)| then <= end && end - then <= window);
            let held: u64 = inside.map(|(_, permits)| permits).sum();
            prop_assert!(held <= quota.permits, "{held} of {}", quota.permits);
        }
    }

    #[test]
    fn what_must_not_be_lent_is_not_lent(
        (quota, calls) in calls(),
        kept in 0_u64..=100,
    ) {
        let (mut state, mut now) = (State::default(), 0);
        let lendable = quota.without(kept).permits;
        for (step, cost, wanted, _, term) in calls {
            now += step;
            state.forget(quota, at(now));
            state.admit(quota, cost, at(now));
            let before = quota.permits - state.check(quota, 0, at(now)).remaining;
            let lent = state.lend(quota, lendable, asked(wanted, term), at(now)).permits;
            prop_assert!(lent == 0 || before + lent <= lendable);
            // At most a third of the rest is lent to requests to come, so that others get some too.
            let rush = asked(wanted, term).rush;
            prop_assert!(lent <= rush.max(lendable.saturating_sub(before) / 3));
        }
    }

    #[test]
    fn what_is_given_back_frees_no_more_than_was_charged(
        (quota, calls) in calls(),
        backs in prop::collection::vec((0_u64..40, 0_u64..60, any::<bool>()), 150),
    ) {
        let (mut state, mut now, cut) = (State::default(), 0, Cut::of(quota.window));
        let mut charged = std::collections::BTreeMap::<u64, u64>::new();
        for ((step, cost, wanted, _, term), (buckets_ago, permits, oldest)) in calls.into_iter().zip(backs) {
            now += step;
            state.forget(quota, at(now));
            if state.admit(quota, cost, at(now)).met {
                *charged.entry(cut.bucket(at(now))).or_default() += cost;
                let lent = state.lend(quota, quota.permits, asked(wanted, term), at(now));
                *charged.entry(lent.bucket).or_default() += lent.permits;
            }
            let first = cut.bucket(at(now)).saturating_sub(cut.buckets);
            charged = charged.split_off(&first);
            let bucket = (cut.bucket(at(now)) + 8).saturating_sub(buckets_ago);
            if oldest {
                state.give_back_oldest(permits);
                let mut owed = permits;
                for count in charged.values_mut() {
                    let taken = owed.min(*count);
                    (*count, owed) = (*count - taken, owed - taken);
                }
            } else {
                state.give_back(bucket, permits);
                charged.entry(bucket).and_modify(|count| *count = count.saturating_sub(permits));
            }
            let used = quota.permits - state.check(quota, 0, at(now)).remaining;
            prop_assert_eq!(used, charged.values().sum::<u64>());
        }
    }

    #[test]
    fn a_state_stays_below_400_bytes_with_all_its_ids(
        permits in prop_oneof![1_u64..100, Just(1_000_000_000)],
        window in prop_oneof![1_u64..100_000, Just(86_400_000), Just(86_400_000 * 365)],
        horizon in prop_oneof![Just(150_u64), 1_u64..60_000],
        steps in prop::collection::vec((0_u64..10, 0_u64..40, 1_u64..4, 0_u64..40_000), 40..120),
    ) {
        let window = Duration::from_millis(window);
        let (quota, cut) = (Quota { permits, window }, Cut::of(window));
        let (mut state, mut now) = (State::default(), 0);
        for (n, (step, part, wanted, term)) in steps.into_iter().enumerate() {
            let term = Duration::from_millis(term);
            now += cut.width * step / 6;
            state.forget(quota, at(now));
            // A settled charge is not checked against the quota.
            state.charge(quota, permits * part / 400, at(now));
            state.lend(quota, permits, asked(permits / wanted, term), at(now));
            state.remember(&format!("Z{n:05}"), Duration::from_millis(horizon), at(now), cut);
            if let Some(text) = state.to_text(cut) {
                prop_assert!(text.len() <= LONGEST_STATE, "{} bytes: {text}", text.len());
                prop_assert_eq!(State::parse_strictly(&text, cut), Some(state.clone()));
            }
        }
    }

    #[test]
    fn a_repeat_within_the_horizon_is_never_taken_for_new(
        permits in prop_oneof![Just(1_000_u64), Just(1_000_000_000)],
        horizon in 1_u64..1_000,
        steps in prop::collection::vec((0_u64..400, 0_u64..1_000), 1..100),
    ) {
        let window = Duration::from_secs(60);
        let (quota, cut) = (Quota { permits, window }, Cut::of(window));
        let (mut state, mut now) = (State::default(), 0);
        let mut calls: Vec<(u64, String)> = Vec::new();
        let length = Duration::from_millis(horizon);
        for (n, (step, part)) in steps.into_iter().enumerate() {
            now += step;
            for (then, id) in &calls {
                let known = state.has_seen(id, length, at(now));
                if now - then <= horizon {
                    prop_assert_ne!(known, Some(false), "after {} of {} ms", now - then, horizon);
                }
                if now - then > 4 * horizon {
                    prop_assert_ne!(known, Some(true), "after {} of {} ms", now - then, horizon);
                }
            }
            prop_assert_ne!(state.has_seen("never", length, at(now)), Some(true));
            state.charge(quota, permits * part / 30_000, at(now));
            if !state.is_empty() {
                let id = format!("Z{n:05}");
                state.remember(&id, length, at(now), cut);
                calls.push((now, id));
            }
            // Writing and reading does not change the state.
            if let Some(text) = state.to_text(cut) {
                state = State::parse(&text, cut);
            }
        }
    }

    #[test]
    fn a_state_of_a_mended_clock_frees_nobody_and_holds_nobody_off_for_long(
        (quota, calls) in calls(),
        off in 1_001_u64..10_000_000_000,
        ahead in any::<bool>(),
    ) {
        let (mut state, mut now, mut used) = (State::default(), 20_000_000_000_u64, 0);
        let wrong = |now: u64| at(if ahead { now + off } else { now - off });
        let window = u64::try_from(quota.window.as_millis()).unwrap();
        let start = now;
        for (step, cost, wanted, _, term) in calls {
            now += step.min(window / 200);
            if state.admit(quota, cost, wrong(now)).met {
                used += cost + state.lend(quota, quota.permits, asked(wanted, term), wrong(now)).permits;
            }
        }
        if now - start >= window || used == 0 {
            return Ok(());
        }
        let cut = Cut::of(quota.window);
        // If the clock was ahead by less than a window, some permits may be in their right place
        // already.
        state.mend(cut, !ahead, at(now));
        let verdict = state.check(quota, 1, at(now));
        prop_assert_eq!(verdict.remaining, quota.permits - used);
        let longest = Duration::from_millis(cut.width * (cut.buckets + 1)) + cut.longest_lease();
        prop_assert!(verdict.retry_after <= longest && verdict.reset_after <= longest);
        let text = state.to_text(cut).unwrap();
        prop_assert_eq!(State::parse_strictly(&text, cut), Some(state));
    }
}

#[test]
fn the_longest_state_stays_below_400_bytes_and_counts_all_of_it() {
    let window = Duration::from_secs(60);
    let (quota, cut) = (
        Quota {
            permits: 1_000_000_000,
            window,
        },
        Cut::of(window),
    );
    let (mut state, mut now, mut longest) = (State::default(), 1_700_000_000_000, 0);
    // Until when each permit has to be counted.
    let mut counted: Vec<(u64, u64)> = Vec::new();
    for n in 0..2_000_u64 {
        state.forget(quota, at(now));
        let cost = 10_000_001 + n;
        let mut spent = Vec::new();
        if state.admit(quota, cost, at(now)).met {
            spent.push((now, cost));
        }
        let term = cut.longest_lease() * u32::try_from(n % 5).unwrap() / 4;
        let wanted = Lend {
            rush: 0,
            ..asked(10_000_001, term)
        };
        let lent = state.lend(quota, quota.permits, wanted, at(now));
        spent.push((
            now + u64::try_from(lent.void_after.as_millis()).unwrap() - 1,
            lent.permits,
        ));
        counted.extend(
            spent
                .into_iter()
                .map(|(at, permits)| (at + 60_000, permits)),
        );
        state.remember(
            &format!("Z{n:05}"),
            Duration::from_millis(5_000),
            at(now),
            cut,
        );
        counted.retain(|(until, _)| *until >= now);
        let owed: u64 = counted.iter().map(|(_, permits)| permits).sum();
        let used = quota.permits - state.check(quota, 0, at(now)).remaining;
        assert!(used >= owed, "{n}: {used} of {owed}");
        longest = longest.max(state.to_text(cut).unwrap().len());
        now += 700;
    }
    assert!((390..=400).contains(&longest), "{longest}");
}

#[test]
fn the_state_of_one_subject_stays_below_400_bytes() {
    let quota = Quota {
        permits: 1_000_000_000,
        window: Duration::from_secs(86_400 * 365),
    };
    let cut = Cut::of(quota.window);
    let mut state = State::default();
    let mut now = 0;
    for _ in 0..60 {
        state.charge(quota, 30_000_000, at(now));
        now += cut.width;
        assert!(state.to_text(cut).unwrap().len() <= 400);
    }
}

//! The limiter's promises, on random traces (proptest prints the seed of one that fails).

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::Quota;
use omnitrade_edge::engine::limit::sliding_window::{Cut, State};
use proptest::prelude::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + ms)
}

/// A quota, and steps in time with the cost of a request at each. Steps fall short of a sub-bucket
/// and beyond a window.
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
        // What counts is the newest time seen: by that clock no window holds more than the quota.
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
        for text in [text, format!("1 {}", numbers.join(" "))] {
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
            // Some of it has left its own window.
            return Ok(());
        }
        if let Some(text) = state.to_text(Cut::of(quota.window)) {
            let state = State::parse(&text, Cut::of(other.window));
            // At the newest request that counted: those that were refused after it may have taken
            // longer than the other window.
            let left = state.check(other, 1, state.seen()).remaining;
            prop_assert_eq!(left, quota.permits - admitted);
        }
    }
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

//! `governor` in its usual configuration for "N per window": burst N, and one permit back each
//! window / N. Each isolate has a limiter of its own, because `governor` shares nothing.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, FakeRelativeClock};
use governor::{Quota, RateLimiter};
use omnitrade_edge::clock::{Timestamp, millis, seconds_up};

use crate::run::{Answer, Scenario};
use crate::told::Wait;

/// Runs the first `requests` of a trace.
pub fn run(scenario: &Scenario, requests: usize) -> Vec<Answer> {
    let clock = FakeRelativeClock::default();
    let limiters = limiters(scenario, &clock);
    let mut now = scenario.start().as_millis();
    let mut answers = Vec::with_capacity(requests);
    for (at, isolate) in &scenario.trace[..requests] {
        clock.advance(Duration::from_millis(at - now));
        now = *at;
        let refused = limiters[*isolate].check().err();
        let wait = refused.map(|not_until| not_until.wait_time_from(clock.now()));
        answers.push(Answer {
            admitted: wait.is_none(),
            at: Timestamp::from_millis(now),
            retry_after: wait.map_or(Duration::ZERO, up),
            ..Answer::default()
        });
    }
    answers
}

/// When refused requests would have passed.
pub fn waits(scenario: &Scenario) -> Vec<Wait> {
    scenario.probes.iter().map(|n| wait(scenario, *n)).collect()
}

fn wait(scenario: &Scenario, n: usize) -> Wait {
    let clock = FakeRelativeClock::default();
    let limiters = limiters(scenario, &clock);
    let mut now = scenario.start().as_millis();
    let mut last = Ok(());
    for (at, isolate) in &scenario.trace[..=n] {
        clock.advance(Duration::from_millis(at - now));
        now = *at;
        last = limiters[*isolate].check();
    }
    let (asked, isolate) = scenario.trace[n];
    let wait = last.err().map_or(Duration::ZERO, |not_until| {
        up(not_until.wait_time_from(clock.now()))
    });
    // A refusal takes no permit, so the request can be repeated any number of times.
    let mut truly = asked;
    while wait > Duration::ZERO && limiters[isolate].check().is_err() {
        clock.advance(Duration::from_millis(1));
        truly += 1;
    }
    Wait {
        asked,
        answered: asked,
        admitted: wait.is_zero(),
        told: asked + millis(wait),
        told_in_seconds: asked + 1_000 * seconds_up(wait),
        truly,
    }
}

type Direct = RateLimiter<
    governor::state::NotKeyed,
    governor::state::InMemoryState,
    FakeRelativeClock,
    governor::middleware::NoOpMiddleware<governor::nanos::Nanos>,
>;

fn limiters(scenario: &Scenario, clock: &FakeRelativeClock) -> Vec<Direct> {
    let burst = NonZeroU32::new(scenario.quota).expect("a quota");
    let quota = Quota::with_period(scenario.window() / scenario.quota)
        .expect("a period")
        .allow_burst(burst);
    (0..scenario.isolates)
        .map(|_| RateLimiter::direct_with_clock(quota, clock.clone()))
        .collect()
}

/// Rounded up to whole milliseconds, the unit of the traces.
fn up(wait: Duration) -> Duration {
    Duration::from_millis(millis(wait + Duration::from_nanos(999_999)))
}

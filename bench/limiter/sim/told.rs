//! When clients were told to come back, compared with when they would have passed.

use std::time::Duration;

use omnitrade_edge::clock::{Timestamp, seconds_up};
use omnitrade_edge::engine::limit::Quota;
use omnitrade_edge::engine::limit::sliding_window::{Cut, State};
use serde::Serialize;

use crate::run::{Answer, Scenario, run};

/// For one request: the time that it was told, and the time that would have been right if no other
/// request had followed. Unix ms.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wait {
    /// When it came.
    pub asked: u64,
    /// When it was answered.
    pub answered: u64,
    pub admitted: bool,
    /// The time of `reset`: for a refused request when the same request passes, for an admitted one
    /// when more permits come back.
    pub told: u64,
    /// The time of `Retry-After` for refused requests, and of `t` for admitted ones: whole seconds,
    /// rounded up.
    pub told_in_seconds: u64,
    pub truly: u64,
}

/// Runs the trace up to each request to be probed, followed by silence.
pub fn waits(scenario: &Scenario, answers: &[Answer]) -> Vec<Wait> {
    let probes = scenario.probes.iter().copied();
    // A probe of the store cannot verify what an admitted request is told of permits that were
    // fetched ahead.
    let probes = probes.filter(|n| !answers[*n].ahead);
    probes.map(|n| wait(scenario, n)).collect()
}

fn wait(scenario: &Scenario, n: usize) -> Wait {
    // Lent permits come back within some seconds, and everything is forgotten after two windows.
    let silence = 2 * scenario.window_ms + 15_000;
    let run = run(scenario, n + 1, silence);
    let answer = &run.answers[n];
    let (asked, _) = scenario.trace[n];
    let wait = match answer.admitted {
        true => answer.reset.since(answer.at),
        false => answer.retry_after,
    };
    let seconds = seconds_up(wait);
    let store = run.store.borrow();
    let history = &store.history;
    let asked_at = Timestamp::from_millis(asked);
    // Without leases, the store's state determines what is left; with leases, a part of it was in
    // the isolate.
    let truly = first(history, asked_at, |state, now| {
        let verdict = state.check(whole(scenario), 1, now);
        match answer.admitted {
            true => verdict.remaining > answer.remaining,
            false => verdict.met,
        }
    });
    Wait {
        asked,
        answered: answer.at.as_millis(),
        admitted: answer.admitted,
        told: answer.reset.as_millis(),
        told_in_seconds: (answer.at + Duration::from_secs(seconds)).as_millis(),
        truly: truly.as_millis(),
    }
}

fn whole(scenario: &Scenario) -> Quota {
    let cut = Cut::of(scenario.window());
    Quota {
        permits: scenario.quota.into(),
        window: Duration::from_millis(cut.width * cut.buckets),
    }
}

/// The first instant from `from` on at which `holds` is true of the state. Without requests, once
/// it is true it stays true until the state is written again.
fn first(
    history: &[(Timestamp, Option<String>)],
    from: Timestamp,
    holds: impl Fn(&State, Timestamp) -> bool,
) -> Timestamp {
    let ends = history.iter().skip(1).map(|(at, _)| at.as_millis());
    let ends = ends.chain([u64::MAX / 2]);
    for ((begins, text), end) in history.iter().zip(ends) {
        let state = text.as_ref().map_or_else(State::default, |text| {
            let width: u64 = text
                .split(' ')
                .nth(3)
                .expect("a width")
                .parse()
                .expect("ms");
            // A cut with this width; the number of sub-buckets only serves to reject impossible
            // states.
            let cut = Cut { width, buckets: 30 };
            State::parse_strictly(text, cut).expect("a state")
        });
        let begins = begins.as_millis().max(from.as_millis());
        let holds = |ms: u64| holds(&state, Timestamp::from_millis(ms));
        if end <= begins || !holds(end - 1) {
            continue;
        }
        let (mut no, mut yes) = (begins, end - 1);
        if holds(no) {
            return Timestamp::from_millis(no);
        }
        while yes - no > 1 {
            let middle = no + (yes - no) / 2;
            match holds(middle) {
                true => yes = middle,
                false => no = middle,
            }
        }
        return Timestamp::from_millis(yes);
    }
    from
}

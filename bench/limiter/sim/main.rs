//! The limiter on a virtual clock: many isolates, one store, and whole traces of requests without
//! waiting. It also runs `governor` on the same traces.
//!
//!     cargo bench --no-default-features --bench limiter-sim < job.json
//!
//! Reads one job as JSON and prints one JSON document. `bench/limiter/simulation.mjs` calls it, and
//! describes the fields.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that fails should stop"
)]
#![allow(missing_docs, reason = "a program")]

mod calls;
mod peer;
mod run;
mod store;
mod told;
mod world;

// The script in Rust. Tests compare it with the one in Lua, call by call.
#[path = "../../../tests/common/model.rs"]
mod model;
// Clients in the rhythms of real ones; `tests/rhythms.rs` holds leases to their figures.
#[path = "../../../tests/common/rhythms.rs"]
mod rhythms;

use std::io::{Read as _, stdout};

use serde::{Deserialize, Serialize};

use calls::{Call, Load};
use run::{Answer, Scenario};
use told::Wait;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Job {
    /// Runs traces.
    Simulate(Vec<Scenario>),
    /// Makes calls of the script, for a real Redis.
    Calls(Vec<Load>),
    /// Plays clients in the rhythms of real ones.
    Rhythms,
}

/// The outcome of one trace.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// The answer to each request of the trace.
    answers: Vec<Answer>,
    /// Calls of the script, including those that no request waits for.
    calls: u64,
    /// Redis commands, including those inside scripts.
    commands: u64,
    /// The longest state, in bytes.
    largest_state: usize,
    /// What some requests were told, and what was true.
    waits: Vec<Wait>,
}

/// The figures of one rhythm.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rhythm {
    name: &'static str,
    /// Redis commands per request, with leases and with exact limits.
    commands: f64,
    exact: f64,
    /// The most commands that are allowed with leases, if there is a bound.
    most: Option<f64>,
    /// Of all requests, how many are refused too early, in percent, with leases and with exact
    /// limits.
    early: f64,
    early_exact: f64,
    /// Of all requests, how many waited for a store call and how many were refused, in percent,
    /// with leases.
    waited: f64,
    refused: f64,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Done {
    Simulated(Vec<Outcome>),
    Calls(Vec<Vec<Call>>),
    Rhythms(Vec<Rhythm>),
}

fn main() {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .expect("a job on the standard input");
    let done = match serde_json::from_str(&text).expect("a job as JSON") {
        Job::Simulate(scenarios) => Done::Simulated(scenarios.iter().map(outcome).collect()),
        Job::Calls(loads) => Done::Calls(loads.iter().map(Load::calls).collect()),
        Job::Rhythms => Done::Rhythms(rhythms()),
    };
    serde_json::to_writer(stdout().lock(), &done).expect("an open standard output");
}

fn rhythms() -> Vec<Rhythm> {
    let bounded = rhythms::slow().into_iter().chain(rhythms::moving());
    let bounded = bounded.map(|(scenario, most)| (scenario, Some(most)));
    let near = rhythms::near_the_quota().into_iter();
    let all = bounded.chain(near.map(|(scenario, _)| (scenario, None)));
    all.map(|(scenario, most)| {
        let leased = scenario.run();
        let exact = rhythms::Scenario {
            leased: false,
            ..scenario
        };
        let exact = exact.run();
        Rhythm {
            name: scenario.name,
            commands: leased.commands_each(),
            exact: exact.commands_each(),
            most,
            early: leased.early_share(),
            early_exact: exact.early_share(),
            waited: leased.waited_share(),
            refused: leased.refused_share(),
        }
    })
    .collect()
}

fn outcome(scenario: &Scenario) -> Outcome {
    if scenario.is_governor() {
        return Outcome {
            answers: peer::run(scenario, scenario.trace.len()),
            calls: 0,
            commands: 0,
            largest_state: 0,
            waits: peer::waits(scenario),
        };
    }
    let run = run::run(scenario, scenario.trace.len(), 0);
    let waits = told::waits(scenario, &run.answers);
    let store = run.store.borrow();
    Outcome {
        answers: run.answers,
        calls: store.calls,
        commands: store.commands,
        largest_state: store.largest_state,
        waits,
    }
}

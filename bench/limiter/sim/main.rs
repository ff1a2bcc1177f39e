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

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Done {
    Simulated(Vec<Outcome>),
    Calls(Vec<Vec<Call>>),
}

fn main() {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .expect("a job on the standard input");
    let done = match serde_json::from_str(&text).expect("a job as JSON") {
        Job::Simulate(scenarios) => Done::Simulated(scenarios.iter().map(outcome).collect()),
        Job::Calls(loads) => Done::Calls(loads.iter().map(Load::calls).collect()),
    };
    serde_json::to_writer(stdout().lock(), &done).expect("an open standard output");
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

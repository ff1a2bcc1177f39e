//! The script against its model, step by step on random traces (a failing one is printed, with the
//! seed that makes it again).

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::sliding_window::{Cut, State};
use omnitrade_edge::engine::limit::{Charge, Quota};
use omnitrade_edge::gateway::Ask;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};

use crate::model::ModelStore;
use crate::rig::{Rig, limits};

const START: u64 = 1_700_000_000_000;

/// A limit that a trace asks about.
#[derive(Debug, Clone)]
struct Limit {
    permits: u64,
    window: u64,
    enforced: bool,
}

/// One request: how long after the one before, how far its clock is off, which limits it counts
/// against, what it costs.
#[derive(Debug, Clone)]
struct Step {
    wait: u64,
    skew: u64,
    which: u8,
    cost: u64,
}

/// Windows are long: what Redis itself expires in the meantime would be another trace.
fn limit() -> impl Strategy<Value = Limit> {
    let permits = prop_oneof![4 => 1_u64..12, 2 => 12_u64..100, 1 => Just(1_000_000_000)];
    let window = prop_oneof![
        20_000_u64..100_000,
        Just(60_000),
        1_000_000_u64..100_000_000
    ];
    (permits, window, prop::bool::weighted(0.8)).prop_map(|(permits, window, enforced)| Limit {
        permits,
        window,
        enforced,
    })
}

/// Steps from nothing to twice the first window.
fn trace() -> impl Strategy<Value = (Vec<Limit>, Vec<Step>)> {
    prop::collection::vec(limit(), 1..5).prop_flat_map(|limits| {
        let window = limits[0].window;
        let wait = prop_oneof![
            4 => Just(0),
            4 => 0..=window / 20,
            1 => 0..=window,
            1 => 0..=window * 2,
        ];
        let step = (wait, 0_u64..1_000, 1_u8..16, 1_u64..4);
        let step = step.prop_map(|(wait, skew, which, cost)| Step {
            wait,
            skew,
            which,
            cost,
        });
        (Just(limits), prop::collection::vec(step, 1..60))
    })
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        source_file: Some(file!()),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..Config::default()
    })
}

fn charges(all: &[Limit], step: &Step) -> Vec<Charge> {
    let asked = |(n, _): &(usize, _)| n % 4 == 0 || step.which >> n & 1 == 1;
    let charge = |(n, limit): (usize, &Limit)| Charge {
        key: format!("ot:l:{n}:x"),
        quota: Quota {
            permits: limit.permits,
            window: Duration::from_millis(limit.window),
        },
        cost: step.cost.min(limit.permits),
        enforced: limit.enforced,
    };
    all.iter().enumerate().filter(asked).map(charge).collect()
}

#[test]
fn the_script_says_and_stores_what_the_model_does() {
    let rig = std::cell::RefCell::new(Rig::start());
    let outcome = runner(150).run(&trace(), |(all, steps)| {
        let mut rig = rig.borrow_mut();
        rig.run::<()>(&["FLUSHALL"]);
        let (mut model, mut server) = (ModelStore::default(), Timestamp::from_millis(START));
        for step in steps {
            server = server + Duration::from_millis(step.wait);
            for key in model.expire(server) {
                rig.run::<()>(&["DEL", &key]);
            }
            // Clocks differ by less than the tolerance: by half a second to either side.
            let clock = server + Duration::from_millis(step.skew) - Duration::from_millis(500);
            let charges = charges(&all, &step);
            let ask = limits(&charges, clock);
            let expected = model.call(&ask.keys, &ask.args, server);
            let said = rig.raw(&ask);
            prop_assert_eq!(&said, &expected, "{:?}", &ask);
            for charge in &charges {
                let stored = rig.text(&charge.key);
                prop_assert_eq!(stored.as_deref(), model.text(&charge.key));
                if stored.is_some() {
                    let ttl: i64 = rig.run(&["PTTL", &charge.key]);
                    prop_assert!(ttl > 0, "{} stays for ever", charge.key);
                }
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn another_window_frees_nobody_in_the_script_as_in_the_model() {
    let rig = std::cell::RefCell::new(Rig::start());
    let windows = (20_000_u64..10_000_000, 20_000_u64..10_000_000);
    let steps = prop::collection::vec((0_u64..150, 1_u64..3), 1..40);
    let outcome = runner(100).run(&(windows, steps), |((old, new), steps)| {
        let mut rig = rig.borrow_mut();
        rig.run::<()>(&["FLUSHALL"]);
        let (mut model, mut server) = (ModelStore::default(), Timestamp::from_millis(START));
        let mut last = (0, 0);
        for (n, window) in [old, new, old].into_iter().enumerate() {
            for (wait, cost) in &steps {
                server = server + Duration::from_millis(*wait);
                let quota = Quota {
                    permits: 50,
                    window: Duration::from_millis(window),
                };
                let charge = Charge {
                    key: "ot:l:a:x".to_owned(),
                    quota,
                    cost: *cost,
                    enforced: true,
                };
                let ask = Ask::new(&[charge], None, server, false);
                let expected = model.call(&ask.keys, &ask.args, server);
                let reply = rig.raw(&ask);
                prop_assert_eq!(&reply, &expected, "{:?}", &ask);
                let stored = rig.text("ot:l:a:x");
                prop_assert_eq!(stored.as_deref(), model.text("ot:l:a:x"));
                let verdict = ask.read(reply).unwrap().verdicts.remove(0);
                // All of it lies within one window of either length: nothing comes back.
                let used = last.1 + if verdict.met { *cost } else { 0 };
                prop_assert_eq!(verdict.remaining, 50 - used, "window {}", n);
                last = (n, used);
                let cut = Cut::of(quota.window);
                let state = State::parse(stored.as_deref().unwrap(), cut);
                prop_assert!(state.expires_at(cut) > server);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// States with sub-buckets before, at and after the present one, as those who charge ahead leave
/// them, and with more of them than a state may have.
#[test]
fn any_state_means_the_same_to_the_script_and_the_model() {
    let rig = std::cell::RefCell::new(Rig::start());
    let counts = prop::collection::vec(prop_oneof![Just(0_u64), 0_u64..6], 1..50);
    let state = (0_u64..4_000, 0_u64..70, counts);
    let steps = prop::collection::vec((0_u64..2_000, 1_u64..4), 1..8);
    let outcome = runner(300).run(&(state, steps), |((seen, base, counts), steps)| {
        let mut rig = rig.borrow_mut();
        rig.run::<()>(&["FLUSHALL"]);
        let limit = crate::rig::limit("ot:l:a:x", 60, 60);
        let (seen, base) = (START + 500 - seen, START / 2_000 + base - 30);
        let counts: Vec<_> = counts.iter().map(u64::to_string).collect();
        let text = format!("1 {seen} 2000 {base} {}", counts.join(" "));
        let (mut model, mut server) = (ModelStore::default(), Timestamp::from_millis(START));
        model.set(&limit.key, &text, 3_600_000, server);
        rig.run::<()>(&["SET", &limit.key, &text, "EX", "3600"]);
        for (wait, cost) in steps {
            let ask = limits(
                &[Charge {
                    cost,
                    ..limit.clone()
                }],
                server,
            );
            let expected = model.call(&ask.keys, &ask.args, server);
            let before = crate::rig::now();
            let reply = rig.raw(&ask);
            prop_assert_eq!(&reply, &expected, "{} {:?}", text, ask);
            if ask.read(reply).unwrap().admitted {
                // It was charged, and lives as long as in the model.
                let ttl: u64 = rig.run(&["PTTL", &limit.key]);
                let left = model.expires(&limit.key).unwrap().since(server);
                let passed = crate::rig::now().since(before);
                prop_assert!(Duration::from_millis(ttl) <= left);
                prop_assert!(Duration::from_millis(ttl) + passed >= left);
            }
            let stored = rig.text(&limit.key);
            prop_assert_eq!(stored.as_deref(), model.text(&limit.key), "{}", text);
            // Short steps: a state of old sub-buckets alone would have expired.
            server = server + Duration::from_millis(wait);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

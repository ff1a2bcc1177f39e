//! Isolates as they run, before the script: they all draw leases on one quota, and somebody sends where
//! windows meet.

use std::cell::RefCell;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::sliding_window::Cut;
use omnitrade_edge::engine::limit::{Charge, Source};
use omnitrade_edge::limiter::{Check, Memory, Work};
use proptest::prelude::*;

use crate::exact::runner;
use crate::log::Log;
use crate::rig::limit_ms;
use crate::virtual_time::Store;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_123);

/// Isolates before one limit.
struct Isolates<'a> {
    store: &'a mut Store,
    charge: Charge,
    memories: Vec<Memory>,
    log: Log,
    by_lease: u64,
}

/// One step: how long after the one before, who, and what for.
#[derive(Debug, Clone)]
struct Step {
    wait: Wait,
    isolate: usize,
    act: Act,
}

#[derive(Debug, Clone)]
enum Wait {
    /// So many milliseconds.
    For(u64),
    /// Until so many milliseconds around the next end of a sub-bucket, of a lease, or of a window.
    Edge(Edge, i64),
}

#[derive(Debug, Clone)]
enum Edge {
    SubBucket,
    Lease,
    Window,
    /// Of the window after what was spent last.
    Spent,
}

#[derive(Debug, Clone)]
enum Act {
    /// So many requests.
    Requests(u64),
    /// One request, which turns out to have cost so much.
    Settled(u64),
    /// It returns what is overdue.
    Sweep,
}

impl<'a> Isolates<'a> {
    fn new(store: &'a mut Store, count: u64, permits: u64, window: u64) -> Self {
        store.begin(START);
        let memory = |seed| Memory::new(Duration::from_millis(150), seed);
        let charge = limit_ms("l", permits, window);
        Self {
            store,
            memories: (1..=count).map(memory).collect(),
            log: Log::new(permits, charge.window),
            charge: Charge {
                leased: true,
                ..charge
            },
            by_lease: 0,
        }
    }

    fn wait(&mut self, wait: &Wait) {
        let now = self.store.now.as_millis();
        let cut = Cut::of(self.charge.window);
        let until = match wait {
            Wait::For(ms) => now + ms,
            Wait::Edge(edge, by) => {
                let of = match edge {
                    Edge::SubBucket => cut.width,
                    Edge::Lease => cut.width * 2,
                    Edge::Window => cut.width * cut.buckets,
                    Edge::Spent => 1,
                };
                let spent = self.log.latest(0).filter(|_| matches!(edge, Edge::Spent));
                let next = match spent {
                    Some(spent) => (spent + self.charge.window).as_millis(),
                    None => (now / of + 1) * of,
                };
                next.saturating_add_signed(*by)
            }
        };
        self.store.wait(until.saturating_sub(now));
    }

    /// Makes a call that nobody waits for.
    fn work(&mut self, isolate: usize, work: Option<Work>) -> Result<(), String> {
        if let Some(work) = work {
            let reply = self.store.raw(&work.ask, false)?;
            work.done(Ok(reply), &mut self.memories[isolate], self.store.now);
        }
        Ok(())
    }

    /// Whether a request is admitted; `cost`: what it turns out to cost.
    fn request(&mut self, isolate: usize, cost: Option<u64>) -> Result<bool, String> {
        let now = self.store.now;
        let memory = &mut self.memories[isolate];
        let mut check = Check::new(vec![self.charge.clone()], None, memory, now);
        match check.recall(memory, now) {
            Err(_) => return Ok(false),
            Ok(false) => {}
            Ok(true) => {
                let ask = check.ask(false, memory, now);
                let mut reply = self.store.ask(&ask, false)?;
                let asked_at = memory.asked_at(&ask);
                if check.decided(&mut reply, asked_at, memory, now).is_err() {
                    return Ok(false);
                }
            }
        }
        self.by_lease += u64::from(check.source() == Source::Lease);
        let place = self.log.spend(now, 1)?;
        let ahead = check.fetch_ahead(memory, now);
        let settled = cost.and_then(|cost| check.settle(cost, memory, now));
        match cost {
            Some(0) => self.log.give_back(place, 1),
            Some(cost) => {
                self.log.settle(now, cost - 1);
            }
            None => {}
        }
        self.work(isolate, ahead)?;
        self.work(isolate, settled)?;
        Ok(true)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.wait(&step.wait);
        let isolate = step.isolate % self.memories.len();
        match step.act {
            Act::Requests(count) => {
                for _ in 0..count {
                    self.request(isolate, None)?;
                }
                Ok(())
            }
            Act::Settled(cost) => self.request(isolate, Some(cost)).map(|_| ()),
            Act::Sweep => {
                let now = self.store.now;
                let work = Work::returning(&mut self.memories[isolate], now);
                self.work(isolate, work)
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let edge = prop_oneof![1 => Just(Edge::SubBucket), 1 => Just(Edge::Lease), 1 => Just(Edge::Window), 2 => Just(Edge::Spent)];
    let wait = prop_oneof![
        6 => Just(Wait::For(0)),
        2 => (0_u64..200).prop_map(Wait::For),
        1 => (0_u64..20_000).prop_map(Wait::For),
        4 => (edge, -2_i64..2).prop_map(|(edge, by)| Wait::Edge(edge, by)),
    ];
    let act = prop_oneof![
        8 => (1_u64..12).prop_map(Act::Requests),
        1 => (0_u64..4).prop_map(Act::Settled),
        1 => Just(Act::Sweep),
    ];
    let step = (wait, 0_usize..8, act);
    let step = step.prop_map(|(wait, isolate, act)| Step { wait, isolate, act });
    prop::collection::vec(step, 1..40)
}

#[test]
fn isolates_that_all_draw_leases_never_exceed_the_quota() {
    let store = RefCell::new(Store::start());
    let by_lease = RefCell::new(0);
    let window = prop_oneof![Just(60_000_u64), 1_000_u64..600_000];
    let quota = prop_oneof![2_u64..20, 20_u64..200];
    let outcome = runner(40).run(
        &(1_u64..9, quota, window, steps()),
        |(count, quota, window, steps)| {
            let mut store = store.borrow_mut();
            let mut isolates = Isolates::new(&mut store, count, quota, window);
            for step in &steps {
                isolates.step(step).map_err(TestCaseError::fail)?;
            }
            *by_lease.borrow_mut() += isolates.by_lease;
            Ok(())
        },
    );
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(by_lease.into_inner() > 500, "leases are drawn at all");
}

#[test]
fn isolates_that_all_draw_leases_admit_the_whole_quota_window_by_window() {
    let mut store = Store::start();
    for count in [1, 2, 3, 8] {
        let mut isolates = Isolates::new(&mut store, count, 300, 60_000);
        for _ in 0..2 {
            let mut admitted = 0;
            // In turns of five, until nobody is admitted any more.
            let mut more = true;
            while more {
                more = false;
                for isolate in (0..isolates.memories.len()).flat_map(|n| [n; 5]) {
                    let met = isolates.request(isolate, None).unwrap();
                    admitted += u64::from(met);
                    more |= met;
                }
            }
            assert_eq!(admitted, 300, "of {count} isolates");
            // All sub-buckets have left the window then.
            isolates.wait(&Wait::For(66_000));
        }
    }
}

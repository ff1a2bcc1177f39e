//! Isolates as they run, on top of the script: they all draw leases on one quota, and some requests
//! come at the edges of windows.

use std::cell::RefCell;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::sliding_window::Cut;
use omnitrade_edge::engine::limit::{Charge, Source};
use omnitrade_edge::limiter::{Check, LimitMemory, Work};
use omnitrade_edge::store::{Link, Reply};
use proptest::prelude::*;

use crate::log::Log;
use crate::random::assert_holds;
use crate::rig::limit_ms;
use crate::virtual_time::Store;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_123);

/// Isolates that share one limit.
struct Isolates<'a> {
    store: &'a mut Store,
    charge: Charge,
    memories: Vec<(LimitMemory, Link)>,
    log: Log,
    by_lease: u64,
    /// When leases became or become void, and how many of them are long ones.
    voids: Vec<Timestamp>,
    long: u64,
}

/// One step: how long it comes after the one before, which isolate makes it, and what it does.
#[derive(Debug, Clone)]
struct Step {
    wait: Wait,
    isolate: usize,
    act: Act,
}

#[derive(Debug, Clone)]
enum Wait {
    /// This many milliseconds.
    For(u64),
    /// Until this many milliseconds after the end of something.
    Edge(Edge, i64),
}

#[derive(Debug, Clone)]
enum Edge {
    /// The end of a sub-bucket.
    SubBucket,
    /// The end of the first lease.
    Lease,
    /// The end of the last sub-bucket of a window.
    Window,
    /// The end of a window that begins when permits were last spent.
    Spent,
}

#[derive(Debug, Clone)]
enum Act {
    /// This many requests.
    Requests(u64),
    /// One request whose true cost turns out to be this.
    Settled(u64),
    /// The isolate returns overdue permits.
    Sweep,
}

impl<'a> Isolates<'a> {
    fn new(store: &'a mut Store, count: u64, permits: u64, window: u64) -> Self {
        store.begin(START);
        let memory = |seed| {
            let link = Link::new(Duration::from_millis(150), seed);
            (LimitMemory::default(), link)
        };
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
            voids: Vec::new(),
            long: 0,
        }
    }

    fn wait(&mut self, wait: &Wait) {
        let now = self.store.now;
        let cut = Cut::of(self.charge.window);
        let next = |of: u64| Timestamp::from_millis((now.as_millis() / of + 1) * of);
        let until = match wait {
            Wait::For(ms) => now + Duration::from_millis(*ms),
            Wait::Edge(edge, by) => {
                let edge = match edge {
                    Edge::SubBucket => next(cut.width),
                    Edge::Window => next(cut.width * cut.buckets),
                    Edge::Lease => {
                        let ends = self.voids.iter().filter(|void| **void > now);
                        ends.min().copied().unwrap_or(now)
                    }
                    Edge::Spent => self.log.latest(0).map_or(now, |at| at + self.charge.window),
                };
                Timestamp::from_millis(edge.as_millis().saturating_add_signed(*by))
            }
        };
        let ms = until.since(now).as_millis();
        self.store.wait(u64::try_from(ms).unwrap());
    }

    /// Notes the leases of a reply.
    fn lent(&mut self, reply: &Reply) {
        let shortest = Cut::of(self.charge.window).shortest_lease();
        let limits = reply.limits.iter().flatten();
        for lent in limits.filter_map(|said| said.granted.as_ref()) {
            self.voids.push(self.store.now + lent.void_after);
            self.long += u64::from(lent.void_after > shortest);
        }
    }

    /// Makes a call for which nobody waits.
    fn work(&mut self, isolate: usize, work: Option<Work>) -> Result<(), String> {
        if let Some(work) = work {
            let reply = self.store.raw(&work.ask, false)?;
            if let Some(reply) = work.ask.read(reply.clone()) {
                self.lent(&reply);
            }
            let (memory, link) = &mut self.memories[isolate];
            work.done(Ok(reply), memory, link, self.store.now, |_| ());
        }
        Ok(())
    }

    /// Whether a request is admitted. `cost`: its true cost, if that is told afterwards.
    fn request(&mut self, isolate: usize, cost: Option<u64>) -> Result<bool, String> {
        let now = self.store.now;
        let (memory, link) = &mut self.memories[isolate];
        let mut check = Check::new(vec![self.charge.clone()], None, memory, now);
        match check.recall(memory, now) {
            Err(_) => return Ok(false),
            Ok(false) => {}
            Ok(true) => {
                let ask = check.ask(false, memory, link, now);
                let mut reply = self.store.ask(&ask, false)?;
                self.lent(&reply);
                let (memory, link) = &mut self.memories[isolate];
                let asked_at = link.asked_at(&ask);
                if check.decided(&mut reply, asked_at, memory, now).is_err() {
                    return Ok(false);
                }
            }
        }
        self.by_lease += u64::from(check.source() == Source::Lease);
        let (memory, link) = &mut self.memories[isolate];
        let place = self.log.spend(now, 1)?;
        let ahead = check.fetch_ahead(memory, link, now);
        let settled = cost.and_then(|cost| check.settle(cost, memory, link, now));
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
                let (memory, link) = &mut self.memories[isolate];
                let work = Work::returning(memory, link, now);
                self.work(isolate, work)
            }
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let edge = prop_oneof![1 => Just(Edge::SubBucket), 2 => Just(Edge::Lease), 1 => Just(Edge::Window), 2 => Just(Edge::Spent)];
    let wait = prop_oneof![
        6 => Just(Wait::For(0)),
        2 => (0_u64..200).prop_map(Wait::For),
        1 => (0_u64..20_000).prop_map(Wait::For),
        4 => (edge, -2_i64..2).prop_map(|(edge, by)| Wait::Edge(edge, by)),
    ];
    let act = prop_oneof![
        8 => (1_u64..40).prop_map(Act::Requests),
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
    let quota = prop_oneof![2_u64..20, 20_u64..80];
    assert_holds(
        40,
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
    assert!(by_lease.into_inner() > 500, "leases are drawn at all");
}

/// Clients that come slowly, so that they are lent permits for long, and then all at once.
#[test]
fn isolates_that_draw_long_leases_never_exceed_the_quota() {
    let store = RefCell::new(Store::start());
    let long = RefCell::new(0);
    let window = prop_oneof![2 => Just(60_000_u64), 1 => Just(120_000), 1 => 1_000_u64..600_000];
    // How long it is between requests, in thousandths of a window; now and then a burst.
    let edge =
        prop_oneof![3 => Just(Edge::Lease), 1 => Just(Edge::Spent), 1 => Just(Edge::SubBucket)];
    let wait = prop_oneof![
        8 => (1_u64..30).prop_map(Wait::For),
        1 => (edge, -2_i64..2).prop_map(|(edge, by)| Wait::Edge(edge, by)),
    ];
    let act = prop_oneof![
        16 => Just(Act::Requests(1)),
        1 => (2_u64..60).prop_map(Act::Requests),
        1 => (0_u64..4).prop_map(Act::Settled),
        1 => Just(Act::Sweep),
    ];
    let step = (wait, 0_usize..8, act);
    let step = step.prop_map(|(wait, isolate, act)| Step { wait, isolate, act });
    let steps = prop::collection::vec(step, 60..200);
    assert_holds(
        40,
        &(1_u64..4, 60_u64..300, window, steps),
        |(count, quota, window, steps)| {
            let mut store = store.borrow_mut();
            let mut isolates = Isolates::new(&mut store, count, quota, window);
            for mut step in steps {
                if let Wait::For(part) = &mut step.wait {
                    *part = *part * window / 1_000;
                }
                isolates.step(&step).map_err(TestCaseError::fail)?;
            }
            *long.borrow_mut() += isolates.long;
            Ok(())
        },
    );
    let long = long.into_inner();
    assert!(long > 200, "{long} long leases");
}

#[test]
fn isolates_that_all_draw_leases_admit_the_whole_quota_window_by_window() {
    let mut store = Store::start();
    for count in [1, 2, 3, 8] {
        let mut isolates = Isolates::new(&mut store, count, 300, 60_000);
        for _ in 0..2 {
            let mut admitted = 0;
            // They take turns of five requests until none is admitted any more.
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
            // By then all sub-buckets have left the window.
            isolates.wait(&Wait::For(66_000));
        }
    }
}

#[test]
fn spending_at_the_end_of_leases_and_again_a_window_later_gets_no_more() {
    let mut store = Store::start();
    let mut at_the_end = 0;
    for count in 1..=8 {
        for (phase, by) in [(0, -1), (0, 0), (1, 0), (999, 0), (1_877, 0), (1_999, 1)] {
            let mut isolates = Isolates::new(&mut store, count, 40, 60_000);
            isolates.wait(&Wait::Edge(Edge::SubBucket, phase));
            for _ in 0..3 {
                let everybody = |isolates: &mut Isolates<'_>, requests| {
                    for isolate in (0..isolates.memories.len()).flat_map(|n| vec![n; requests]) {
                        isolates.request(isolate, None).unwrap();
                    }
                };
                // Enough requests for each isolate to draw a lease and to leave some of it.
                everybody(&mut isolates, 3);
                isolates.wait(&Wait::Edge(Edge::Lease, -1));
                let before = isolates.by_lease;
                everybody(&mut isolates, 2);
                at_the_end += isolates.by_lease - before;
                isolates.wait(&Wait::Edge(Edge::Spent, by));
                everybody(&mut isolates, 50);
                isolates.wait(&Wait::For(66_000));
            }
        }
    }
    assert!(
        at_the_end > 100,
        "{at_the_end} were spent at the end of a lease"
    );
}

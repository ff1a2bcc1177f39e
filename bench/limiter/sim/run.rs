//! One trace on the real limiter: some isolates, each with its own memory, and one store.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use omnitrade_edge::clock::{Timestamp, millis};
use omnitrade_edge::engine::limit::Source;
use omnitrade_edge::limiter::{RateLimiter, Rule};
use omnitrade_edge::redis::{Options, RestClient};
use send_wrapper::SendWrapper;
use serde::{Deserialize, Serialize};

use crate::store::{Line, Store};
use crate::world::{Task, World};

/// How often an isolate checks whether unspent permits are to be returned.
const SWEEP: Duration = Duration::from_millis(250);

/// The only client.
const CLIENT: &str = "client";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scenario {
    pub who: Who,
    pub quota: u32,
    pub window_ms: u64,
    pub isolates: usize,
    /// The shortest and the longest time of a store call.
    pub store_ms: (u64, u64),
    /// The deadline of a store call, if some may miss it.
    pub timeout_ms: Option<u64>,
    pub seed: u64,
    /// When each request comes, in order, and to which isolate.
    pub trace: Vec<(u64, usize)>,
    /// The requests after which it is determined when the next one would be admitted.
    #[serde(default)]
    pub probes: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    Exact,
    Lease,
    Governor,
}

/// The answer to one request.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(into = "(u8, u64, u64, u8)")]
pub struct Answer {
    pub admitted: bool,
    pub at: Timestamp,
    pub retry_after: Duration,
    pub remaining: u64,
    pub reset: Timestamp,
    /// Whether it was paid with permits that were fetched ahead.
    pub ahead: bool,
    /// Whether the isolate has decided by itself, because the store did not answer.
    pub local: bool,
}

impl From<Answer> for (u8, u64, u64, u8) {
    fn from(answer: Answer) -> Self {
        let Answer { admitted, at, .. } = answer;
        (
            u8::from(admitted),
            at.as_millis(),
            millis(answer.retry_after),
            u8::from(answer.local),
        )
    }
}

impl Scenario {
    pub fn is_governor(&self) -> bool {
        self.who == Who::Governor
    }

    pub const fn window(&self) -> Duration {
        Duration::from_millis(self.window_ms)
    }

    pub fn start(&self) -> Timestamp {
        let (first, _) = self.trace.first().expect("a trace with requests");
        Timestamp::from_millis(*first)
    }

    fn limiter(&self, n: usize, world: &Rc<World>, store: &Rc<RefCell<Store>>) -> RateLimiter {
        let (least, most) = self.store_ms;
        let line = Line {
            world: SendWrapper::new(Rc::clone(world)),
            store: SendWrapper::new(Rc::clone(store)),
            takes: (Duration::from_millis(least), Duration::from_millis(most)),
            random: AtomicU64::new(self.seed.wrapping_mul(1_000_003) + n as u64),
        };
        let options = Options::new("http://store.example", "token");
        let options = match self.timeout_ms {
            Some(ms) => options.timeout(Duration::from_millis(ms)),
            None => options,
        };
        let redis = RestClient::new(line, options).expect("options that are right");
        let rule = Rule::new(self.quota.into(), self.window());
        let rule = match self.who {
            Who::Lease => rule.leased(),
            _ => rule,
        };
        RateLimiter::new(redis, rule)
    }
}

pub struct Run {
    pub answers: Vec<Answer>,
    pub store: Rc<RefCell<Store>>,
}

/// Runs the first `requests` of a trace, followed by `silence_ms` without requests.
pub fn run(scenario: &Scenario, requests: usize, silence_ms: u64) -> Run {
    let world = World::new(scenario.start());
    let store = Rc::<RefCell<Store>>::default();
    let trace = &scenario.trace[..requests];
    let answers = Rc::new(RefCell::new(vec![Answer::default(); trace.len()]));
    let isolates: Vec<_> = (0..scenario.isolates)
        .map(|n| scenario.limiter(n, &world, &store))
        .collect();
    let (last, _) = trace.last().expect("a request");
    let end = Timestamp::from_millis(last + silence_ms);
    let may_fail = scenario.timeout_ms.is_some();

    let mut tasks: Vec<Task> = Vec::with_capacity(trace.len() + isolates.len());
    if scenario.who == Who::Lease {
        let sweepers = isolates.iter().cloned();
        tasks.extend(sweepers.map(|limiter| sweeper(limiter, Rc::clone(&world), end)));
    }
    for (n, (at, isolate)) in trace.iter().enumerate() {
        let (world, answers) = (Rc::clone(&world), Rc::clone(&answers));
        let limiter = isolates[*isolate].clone();
        let at = Timestamp::from_millis(*at);
        tasks.push(Box::pin(async move {
            world.until(at).await;
            let limited = limiter.limit(CLIENT, 1).await;
            let local = limited.source == Source::Local;
            assert!(!local || may_fail, "the store never fails");
            answers.borrow_mut()[n] = Answer {
                admitted: limited.success,
                at: world.now(),
                retry_after: limited.retry_after,
                remaining: limited.remaining,
                reset: limited.reset,
                ahead: limited.source == Source::Lease,
                local,
            };
            if let Some(pending) = limited.pending {
                limiter.finish(pending).await;
            }
        }));
    }
    world.run(tasks);
    let answers = answers.take();
    Run { answers, store }
}

/// Returns the permits that an isolate did not spend, as the Worker does in the background.
fn sweeper(limiter: RateLimiter, world: Rc<World>, end: Timestamp) -> Task {
    Box::pin(async move {
        while world.now() < end {
            world.sleep(SWEEP).await;
            limiter.return_unspent().await;
        }
    })
}

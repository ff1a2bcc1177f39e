//! Clients that come in the rhythms of real ones, on a virtual clock: what their limits cost in
//! Redis commands, and how many of their requests are refused too early.

use std::collections::VecDeque;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Bucket, Charge, Source};
use omnitrade_edge::limiter::{Check, LimitMemory, Work};
use omnitrade_edge::redis::Value;
use omnitrade_edge::store::{Ask, Link};

use crate::model::ModelStore;

/// How long an isolate may wait after a response, as in the Worker.
const PATIENCE: Duration = Duration::from_secs(25);

/// When the first request comes.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_789);

/// How long a scenario lasts, unless that is less than eight windows.
const LENGTH_S: u64 = 900;

/// When the requests of a client come.
#[derive(Debug, Clone, Copy)]
pub enum Rhythm {
    /// This many a minute, all at the same distance.
    Even(f64),
    /// The same, each up to a third of the distance earlier or later.
    Jitter(f64),
    /// The same on average, at random.
    Poisson(f64),
    /// So many at once, again and again after so many seconds, each time a tenth earlier or later.
    Bursts(u64, f64),
    /// The first minute of a page: it asks for eleven things when it is opened, and then for seven
    /// of them again and again.
    Page,
}

/// How the requests of a client are spread over isolates.
#[derive(Debug, Clone, Copy)]
pub enum Spread {
    /// All go to one isolate.
    One,
    /// Each goes to one of so many, at random.
    Random(u64),
    /// They all go to one, then all to the next, which changes after so many seconds.
    Moving(u64),
}

/// Clients with two limits each, one of their own and one of their address.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub rhythm: Rhythm,
    pub spread: Spread,
    pub window_s: u64,
    pub quota: u64,
    /// How many clients share an address. Its quota is that of all of them together.
    pub sharing: u64,
    pub leased: bool,
}

/// What a scenario came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    pub requests: u64,
    /// Redis commands, those inside scripts included.
    pub commands: u64,
    /// Requests that waited for a store call.
    pub waited: u64,
    pub refused: u64,
    /// Refused requests that an exact log of the admitted ones would have let pass.
    pub early: u64,
    /// The most permits that a window held, as a part of the quota.
    pub fullest: f64,
}

impl Outcome {
    pub fn commands_each(&self) -> f64 {
        float(self.commands) / float(self.requests)
    }

    /// In percent.
    pub fn early_share(&self) -> f64 {
        100.0 * float(self.early) / float(self.requests)
    }

    /// In percent.
    pub fn waited_share(&self) -> f64 {
        100.0 * float(self.waited) / float(self.requests)
    }

    /// In percent.
    pub fn refused_share(&self) -> f64 {
        100.0 * float(self.refused) / float(self.requests)
    }
}

impl Scenario {
    /// One client, two leased limits of 120 a minute.
    pub const fn new(name: &'static str, rhythm: Rhythm) -> Self {
        Self {
            name,
            rhythm,
            spread: Spread::One,
            window_s: 60,
            quota: 120,
            sharing: 1,
            leased: true,
        }
    }

    pub fn run(&self) -> Outcome {
        let addresses = 12 / self.sharing;
        let clients = addresses * self.sharing;
        let mut requests = Vec::new();
        for client in 0..clients {
            let mut random = Random(client * 7_919 + 17);
            let times = self.rhythm.times(self.length_ms(), &mut random);
            requests.extend(times.into_iter().map(|at| {
                let isolate = match self.spread {
                    Spread::One => 0,
                    Spread::Random(count) => random.below(count),
                    Spread::Moving(seconds) => (at / 1_000 + client) / seconds % 3,
                };
                (START + Duration::from_millis(at), client, isolate)
            }));
        }
        requests.sort_unstable();
        let mut world = World::new(clients, addresses, self);
        for (at, client, isolate) in requests {
            world.sweep_until(at);
            let isolate = usize::try_from(isolate).expect("a small number");
            world.request(at, client, isolate);
        }
        world.outcome.fullest = world.fullest();
        world.outcome
    }

    fn length_ms(&self) -> u64 {
        1_000 * LENGTH_S.max(8 * self.window_s)
    }
}

impl Rhythm {
    fn times(self, length_ms: u64, random: &mut Random) -> Vec<u64> {
        let end = float(length_ms);
        let mut times = Vec::new();
        match self {
            Self::Even(a_minute) | Self::Jitter(a_minute) | Self::Poisson(a_minute) => {
                let gap = 60_000.0 / a_minute;
                let mut at = gap * random.part();
                while at < end {
                    let shift = match self {
                        Self::Jitter(_) => gap / 3.0 * (2.0 * random.part() - 1.0),
                        _ => 0.0,
                    };
                    times.push(whole((at + shift).max(0.0)));
                    at += match self {
                        Self::Poisson(_) => -gap * (1.0 - random.part()).ln(),
                        _ => gap,
                    };
                }
            }
            Self::Page => {
                let first = |random: &mut Random| 300.0 * random.part();
                times.extend((0..4).map(|_| whole(first(random))));
                for seconds in [10.0, 10.0, 15.0, 20.0, 20.0, 30.0, 60.0] {
                    let mut at = first(random);
                    while at < 60_000.0 {
                        times.push(whole(at));
                        at += 1_000.0 * seconds * (0.95 + 0.1 * random.part());
                    }
                }
            }
            Self::Bursts(count, seconds) => {
                let mut at = 1_000.0 * seconds * random.part();
                while at < end {
                    times.extend((0..count).map(|n| whole(at) + 40 * n));
                    at += 1_000.0 * seconds * (0.9 + 0.2 * random.part());
                }
            }
        }
        times.sort_unstable();
        times
    }
}

struct World<'a> {
    scenario: &'a Scenario,
    store: ModelStore,
    isolates: Vec<Isolate>,
    /// The admitted requests of each client, then of each address.
    logs: Vec<Vec<Timestamp>>,
    clients: u64,
    outcome: Outcome,
}

struct Isolate {
    memory: LimitMemory,
    link: Link,
    /// When tasks wake that wait to return permits, and until when each may wait.
    tasks: VecDeque<(Timestamp, Timestamp)>,
}

impl<'a> World<'a> {
    fn new(clients: u64, addresses: u64, scenario: &'a Scenario) -> Self {
        let isolate = |seed| Isolate {
            memory: LimitMemory::default(),
            link: Link::new(Duration::from_millis(150), seed),
            tasks: VecDeque::new(),
        };
        Self {
            scenario,
            store: ModelStore::default(),
            isolates: (1..=4).map(isolate).collect(),
            logs: (0..clients + addresses).map(|_| Vec::new()).collect(),
            clients,
            outcome: Outcome::default(),
        }
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.scenario.window_s)
    }

    /// The places in the logs of a client and its address, with their quotas.
    fn limits(&self, client: u64) -> [(usize, u64); 2] {
        let Scenario { quota, sharing, .. } = *self.scenario;
        let place = |n: u64| usize::try_from(n).expect("a small number");
        [
            (place(client), quota),
            (place(self.clients + client / sharing), quota * sharing),
        ]
    }

    fn request(&mut self, now: Timestamp, client: u64, isolate: usize) {
        let limits = self.limits(client);
        let window = self.window();
        let charges = limits.map(|(place, permits)| Charge {
            leased: self.scenario.leased,
            ..Charge::on(
                Bucket {
                    key: format!("ot:l:{place}"),
                    permits,
                },
                window,
                1,
            )
        });
        self.outcome.requests += 1;
        let Isolate { memory, link, .. } = &mut self.isolates[isolate];
        let mut check = Check::new(charges.to_vec(), None, memory, now);
        let admitted = match check.recall(memory, now) {
            Err(_) => false,
            Ok(false) => true,
            Ok(true) => {
                let ask = check.ask(false, memory, link, now);
                let reply = self.call(&ask, now);
                let Isolate { memory, link, .. } = &mut self.isolates[isolate];
                let (mut reply, _) = link.received(&ask, Ok(reply), now).expect("a reply");
                self.outcome.waited += 1;
                let asked_at = link.asked_at(&ask);
                let decided = check.decided(&mut reply, asked_at, memory, now);
                self.sweep_later(isolate, PATIENCE, now);
                decided.is_ok()
            }
        };
        assert!(check.source() != Source::Local, "the store never fails");
        if !admitted {
            let room = |(place, quota): &(usize, u64)| self.used(*place, now) < *quota;
            let early = limits.iter().all(room);
            self.outcome.refused += 1;
            self.outcome.early += u64::from(early);
            return;
        }
        limits
            .iter()
            .for_each(|(place, _)| self.logs[*place].push(now));
        let Isolate { memory, link, .. } = &mut self.isolates[isolate];
        let work = check.fetch_ahead(memory, link, now);
        self.work(isolate, work, now);
    }

    fn used(&self, place: usize, now: Timestamp) -> u64 {
        let log = &self.logs[place];
        let inside = log
            .iter()
            .rev()
            .take_while(|at| **at + self.window() >= now);
        inside.count() as u64
    }

    fn fullest(&self) -> f64 {
        let mut fullest: f64 = 0.0;
        for (place, log) in self.logs.iter().enumerate() {
            let sharing = match (place as u64) < self.clients {
                true => 1,
                false => self.scenario.sharing,
            };
            let mut first = 0;
            for (n, at) in log.iter().enumerate() {
                while log[first] + self.window() < *at {
                    first += 1;
                }
                let held = float((n - first + 1) as u64);
                fullest = fullest.max(held / float(self.scenario.quota * sharing));
            }
        }
        fullest
    }

    /// One call of the script, which takes no time.
    fn call(&mut self, ask: &Ask, now: Timestamp) -> Value {
        self.store.expire(now);
        let texts = |store: &ModelStore| -> Vec<_> {
            let text = |key: &String| store.text(key).map(str::to_owned);
            ask.keys.iter().map(text).collect()
        };
        let before = texts(&self.store);
        let reply = self.store.call(&ask.keys, &ask.args, now);
        let after = texts(&self.store);
        let writes = before.iter().zip(&after).filter(|(a, b)| a != b).count();
        // EVALSHA, MGET, a SET or DEL for each state that changed, and a TIME if the clock was
        // asked for.
        self.outcome.commands += 2 + writes as u64 + u64::from(ask.args[4] == "1");
        reply
    }

    fn work(&mut self, isolate: usize, work: Option<Work>, now: Timestamp) {
        let Some(work) = work else { return };
        let reply = self.call(&work.ask, now);
        let Isolate { memory, link, .. } = &mut self.isolates[isolate];
        work.done(Ok(reply), memory, link, now, |_| ());
        self.sweep_later(isolate, PATIENCE, now);
    }

    /// Starts a task that returns unspent permits, if one is needed.
    fn sweep_later(&mut self, isolate: usize, patience: Duration, now: Timestamp) {
        let Isolate {
            memory,
            link,
            tasks,
        } = &mut self.isolates[isolate];
        if let Some(wait) = memory.sweep_after(link, patience, now) {
            tasks.push_back((now + wait, now + patience));
        }
    }

    fn sweep_until(&mut self, now: Timestamp) {
        for isolate in 0..self.isolates.len() {
            loop {
                let due = |(at, _): &(Timestamp, Timestamp)| *at <= now;
                let tasks = &mut self.isolates[isolate].tasks;
                let Some(n) = tasks.iter().position(due) else {
                    break;
                };
                let (at, until) = tasks.remove(n).expect("it is there");
                let Isolate { memory, link, .. } = &mut self.isolates[isolate];
                memory.swept();
                let work = Work::returning(memory, link, at);
                let Some(work) = work else {
                    self.sweep_later(isolate, until.since(at), at);
                    continue;
                };
                let reply = self.call(&work.ask, at);
                let Isolate { memory, link, .. } = &mut self.isolates[isolate];
                work.done(Ok(reply), memory, link, at, |_| ());
                self.sweep_later(isolate, until.since(at), at);
            }
        }
    }
}

/// Pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in [0, 1).
    fn part(&mut self) -> f64 {
        float(self.next() >> 11) / float(1 << 53)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of requests")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "milliseconds of a few hours"
)]
const fn whole(number: f64) -> u64 {
    number as u64
}

/// Clients far from their quota, who come slowly, with the most commands that a request may cost.
pub fn slow() -> Vec<(Scenario, f64)> {
    let new = Scenario::new;
    vec![
        (new("60 a minute, evenly", Rhythm::Even(60.0)), 0.5),
        (new("60 a minute, with jitter", Rhythm::Jitter(60.0)), 0.5),
        (new("60 a minute, at random", Rhythm::Poisson(60.0)), 0.5),
        (
            Scenario {
                sharing: 4,
                ..new("60 a minute, four share an address", Rhythm::Poisson(60.0))
            },
            0.5,
        ),
        (new("68 a minute, evenly", Rhythm::Even(68.0)), 0.35),
        (new("68 a minute, at random", Rhythm::Poisson(68.0)), 0.35),
        (
            new("25 a minute, five at once", Rhythm::Bursts(5, 12.0)),
            0.5,
        ),
        (
            Scenario {
                window_s: 120,
                quota: 240,
                ..new("the same, 240 in 120 s", Rhythm::Bursts(5, 12.0))
            },
            0.35,
        ),
        (
            Scenario {
                window_s: 120,
                quota: 300,
                ..new("the first minute of a page", Rhythm::Page)
            },
            0.45,
        ),
        (new("15 a minute, at random", Rhythm::Poisson(15.0)), 1.2),
        (new("6 a minute, at random", Rhythm::Poisson(6.0)), 3.2),
        (
            Scenario {
                quota: 3_000,
                ..new("20 a second, quota 3000", Rhythm::Poisson(1_200.0))
            },
            0.1,
        ),
    ]
}

/// Clients whose requests go to several isolates, with the most commands that a request may cost.
pub fn moving() -> Vec<(Scenario, f64)> {
    let client = Scenario::new("", Rhythm::Poisson(60.0));
    vec![
        (
            Scenario {
                name: "60 a minute, three isolates in turn",
                spread: Spread::Moving(20),
                ..client
            },
            0.9,
        ),
        (
            Scenario {
                name: "60 a minute, three isolates at random",
                spread: Spread::Random(3),
                ..client
            },
            1.0,
        ),
    ]
}

/// Clients that use most of their quota, with the largest share of their requests that may be
/// refused too early, in percent. Some of it is due to sub-buckets, which count as a whole.
pub fn near_the_quota() -> Vec<(Scenario, f64)> {
    let new = Scenario::new;
    vec![
        (new("0.9 of the quota, evenly", Rhythm::Even(108.0)), 0.0),
        (
            new("0.9 of the quota, at random", Rhythm::Poisson(108.0)),
            3.0,
        ),
        (
            Scenario {
                spread: Spread::Random(3),
                ..new("the same, three isolates", Rhythm::Poisson(108.0))
            },
            2.6,
        ),
        (
            new("0.75 of the quota, at random", Rhythm::Poisson(90.0)),
            0.3,
        ),
        (
            new("30 at once, again after 90 s", Rhythm::Bursts(30, 90.0)),
            0.0,
        ),
        (
            new("60 at once, again after 40 s", Rhythm::Bursts(60, 40.0)),
            0.0,
        ),
        (
            new("1.5 times the quota, at random", Rhythm::Poisson(180.0)),
            28.0,
        ),
    ]
}

//! Random traces of several processes, on virtual time: whatever happens, nothing is returned that
//! is too old or was purged, and nobody waits for longer than it may.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::values::{Entry, Loading, ValueCache};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tokio::time::sleep;

use crate::random::assert_holds;
use crate::world::{Fault, Process, TIMEOUT, World};
use crate::{Down, ms};

const PROCESSES: usize = 3;
const KEYS: [&str; 2] = ["a", "b"];
const TAGS: [&str; 2] = ["t", "u"];

/// How long a load is waited for in these traces.
const LOAD: Duration = ms(2_000);

/// How long a process believes what it remembers.
const BELIEVED: Duration = ms(1_000);

/// How a value is kept.
#[derive(Debug, Clone)]
struct Kept {
    ttl: u64,
    swr: u64,
    sie: Option<u64>,
    /// Of `TAGS`, by bits.
    tags: usize,
}

impl Kept {
    fn entry(&self) -> Entry {
        let entry = Entry::ttl(ms(self.ttl))
            .stale_while_revalidate(ms(self.swr))
            .tags(tags_of(self.tags));
        match self.sie {
            Some(sie) => entry.stale_if_error(ms(sie)),
            None => entry,
        }
    }

    /// The age at which it is never returned.
    fn ceiling(&self) -> Duration {
        ms(self.ttl + self.sie.unwrap_or(self.swr))
    }
}

fn tags_of(bits: usize) -> Vec<&'static str> {
    let has = |n: &usize| bits >> n & 1 == 1;
    (0..TAGS.len()).filter(has).map(|n| TAGS[n]).collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Value,
    Error,
    Panic,
}

/// What a loader does.
#[derive(Debug, Clone)]
struct Load {
    takes: u64,
    end: End,
    /// How it says in the middle that its value is kept.
    keeps: Option<Kept>,
}

#[derive(Debug, Clone)]
enum Act {
    /// The caller hangs up after a time, if it is given.
    Want(usize, usize, Kept, Load, Option<u64>),
    Get(usize, usize),
    Set(usize, usize, Kept),
    PurgeKey(usize, usize),
    PurgeTag(usize, usize),
    Fail(usize, Fault, u64),
}

/// What happens after a while, and the latencies of the processes' links.
type Trace = (Vec<(u64, Act)>, Vec<u64>);

fn kept() -> impl Strategy<Value = Kept> {
    let time = || prop_oneof![Just(0_u64), 1..2_000_u64, Just(20_000)];
    let kept = (time(), time(), prop::option::of(time()), 0..4_usize);
    kept.prop_map(|(ttl, swr, sie, tags)| Kept {
        ttl,
        swr,
        sie,
        tags,
    })
}

fn load() -> impl Strategy<Value = Load> {
    let takes = prop_oneof![0..20_u64, 0..1_500_u64, 1_500..5_000_u64];
    let end = prop_oneof![6 => Just(End::Value), 2 => Just(End::Error), 1 => Just(End::Panic)];
    let keeps = prop::option::weighted(0.3, kept());
    (takes, end, keeps).prop_map(|(takes, end, keeps)| Load { takes, end, keeps })
}

fn acts(fails: bool) -> impl Strategy<Value = Trace> {
    let (process, key) = (0..PROCESSES, 0..KEYS.len());
    let hangs_up = prop::option::weighted(0.2, 0..1_000_u64);
    let place = (process.clone(), key.clone());
    let want = (place.clone(), kept(), load(), hangs_up);
    let faults = [
        Fault::Lost,
        Fault::ReplyLost,
        Fault::Hang,
        Fault::Refused,
        Fault::Nonsense,
    ];
    let fault = (
        process.clone(),
        prop::sample::select(faults.to_vec()),
        0..3_000_u64,
    );
    let act = prop_oneof![
        12 => want.prop_map(|((p, k), e, l, h)| Act::Want(p, k, e, l, h)),
        3 => place.clone().prop_map(|(p, k)| Act::Get(p, k)),
        2 => (place.clone(), kept()).prop_map(|((p, k), e)| Act::Set(p, k, e)),
        2 => place.prop_map(|(p, k)| Act::PurgeKey(p, k)),
        2 => (process, 0..TAGS.len()).prop_map(|(p, t)| Act::PurgeTag(p, t)),
        u32::from(fails) * 2 => fault.prop_map(|(p, f, time)| Act::Fail(p, f, time)),
    ];
    let pause = prop_oneof![0..5_u64, 0..100_u64, 0..1_500_u64];
    let acts = prop::collection::vec((pause, act), 1..60);
    (acts, prop::collection::vec(0..40_u64, PROCESSES))
}

/// A value that was made: its number is its place in the list of all.
struct Made {
    key: &'static str,
    kept: Kept,
    /// From when on a purge of its key must not be missed.
    begun: Timestamp,
    /// The same for its tags.
    tagged: Timestamp,
    /// When it was there at the latest; `None` if that is not known yet.
    made: Option<Timestamp>,
}

struct Purged {
    process: usize,
    key: Option<&'static str>,
    tag: Option<&'static str>,
    begun: Timestamp,
    /// When it was confirmed.
    ended: Timestamp,
}

#[derive(Default)]
struct History {
    made: Vec<Made>,
    purged: Vec<Purged>,
    wrong: Vec<String>,
}

/// A run of a trace.
#[derive(Clone)]
struct Run {
    world: World,
    processes: Arc<Vec<(Process, ValueCache)>>,
    history: Arc<Mutex<History>>,
    /// How long a call of the store takes at most.
    call: Duration,
    /// Whether purges must be seen: a process does not ask a store that fails.
    checks_purges: bool,
}

impl Run {
    fn new(latencies: &[u64], load_timeout: Duration, checks_purges: bool) -> Self {
        let world = World::new();
        let process = |latency: &u64| {
            let process = world.process();
            process.take(ms(*latency));
            let cache = process.cache(ValueCache::builder().load_timeout(load_timeout));
            (process, cache)
        };
        let processes = latencies.iter().map(process).collect();
        Self {
            processes: Arc::new(processes),
            history: Arc::default(),
            call: match checks_purges {
                true => ms(latencies.iter().max().copied().unwrap_or_default()),
                false => TIMEOUT,
            },
            checks_purges,
            world,
        }
    }

    fn now(&self) -> Timestamp {
        self.world.now()
    }

    /// Checks that a call of a process, which began at `started`, may return a value.
    fn check(&self, process: usize, number: usize, started: Timestamp) {
        let now = self.now();
        let mut history = self.history.lock().unwrap();
        let made = &history.made[number];
        let mut wrong = Vec::new();
        if let Some(at) = made.made.filter(|at| *at < started)
            && now >= at + made.kept.ceiling()
        {
            wrong.push(format!("{number} is too old"));
        }
        let tags = tags_of(made.kept.tags);
        for purged in history.purged.iter().filter(|_| self.checks_purges) {
            let by_key = purged.key == Some(made.key) && purged.begun > made.begun;
            let has_tag = purged.tag.is_some_and(|tag| tags.contains(&tag));
            let by_tag = has_tag && purged.begun > made.tagged;
            let is_late = match purged.process == process {
                true => started > purged.begun,
                false => started >= purged.ended + BELIEVED,
            };
            if (by_key || by_tag) && is_late {
                wrong.push(format!("{number} was purged"));
            }
        }
        history.wrong.append(&mut wrong);
    }

    fn check_time(&self, what: &Act, started: Timestamp, most: Duration) {
        let took = self.now().since(started);
        if took > most {
            let wrong = format!("{what:?} took {took:?}, at most {most:?}");
            self.history.lock().unwrap().wrong.push(wrong);
        }
    }

    fn make(&self, made: Made) -> usize {
        let mut history = self.history.lock().unwrap();
        history.made.push(made);
        history.made.len() - 1
    }

    async fn load(
        self,
        key: &'static str,
        kept: Kept,
        load: Load,
        loading: Loading<usize>,
    ) -> Result<usize, Down> {
        let begun = self.now();
        sleep(ms(load.takes / 2)).await;
        let (mut kept, mut tagged) = (kept, begun);
        if let Some(keeps) = load.keeps {
            loading.keep(keeps.entry());
            if keeps.tags != kept.tags {
                // Their epochs are learnt now.
                tagged = self.now() + self.call;
            }
            kept = keeps;
        }
        sleep(ms(load.takes - load.takes / 2)).await;
        match load.end {
            End::Value => Ok(self.make(Made {
                key,
                kept,
                begun,
                tagged,
                // If the caller names other tags than were known, their epochs come first.
                made: Some(self.now() + self.call),
            })),
            End::Error => Err(Down(0)),
            End::Panic => std::panic::resume_unwind(Box::new("of a loader")),
        }
    }

    async fn act(self, act: Act) {
        let started = self.now();
        match act.clone() {
            Act::Want(process, key, kept, load, hangs_up) => {
                let (key, run) = (KEYS[key], self.clone());
                let entry = kept.entry();
                let own = ms(load.takes);
                let cache = self.processes[process].1.clone();
                let want = cache.get_or_set_with(key, &entry, move |loading| {
                    run.load(key, kept, load, loading)
                });
                let patience = hangs_up.map_or(Duration::MAX, ms);
                let Ok(result) = tokio::time::timeout(patience, want).await else {
                    return;
                };
                if let Ok(number) = result {
                    self.check(process, number, started);
                }
                // Two loads of others that fail, each after another process was waited for.
                self.check_time(&act, started, own + LOAD * 5 + TIMEOUT * 10);
            }
            Act::Get(process, key) => {
                let cache = &self.processes[process].1;
                if let Some(found) = cache.get::<usize>(KEYS[key]).await {
                    self.check(process, found.value, started);
                }
                self.check_time(&act, started, TIMEOUT * 2 + ms(5));
            }
            Act::Set(process, key, kept) => {
                let entry = kept.entry();
                let known = started + self.call;
                let number = self.make(Made {
                    key: KEYS[key],
                    kept,
                    begun: known,
                    tagged: known,
                    made: None,
                });
                let cache = &self.processes[process].1;
                // It may be in memory all the same if this fails.
                let _ = cache.set(KEYS[key], &number, &entry).await;
                let now = self.now();
                self.history.lock().unwrap().made[number].made = Some(now);
            }
            Act::PurgeKey(process, key) => {
                let cache = &self.processes[process].1;
                if cache.delete(KEYS[key]).await.is_ok() {
                    self.purged(process, Some(KEYS[key]), None, started);
                }
            }
            Act::PurgeTag(process, tag) => {
                let cache = &self.processes[process].1;
                if cache.purge_tags([TAGS[tag]]).await.is_ok() {
                    self.purged(process, None, Some(TAGS[tag]), started);
                }
            }
            Act::Fail(process, fault, time) => {
                let process = &self.processes[process].0;
                process.fail(Some(fault));
                sleep(ms(time)).await;
                process.fail(None);
            }
        }
    }

    fn purged(
        &self,
        process: usize,
        key: Option<&'static str>,
        tag: Option<&'static str>,
        begun: Timestamp,
    ) {
        let ended = self.now();
        self.history.lock().unwrap().purged.push(Purged {
            process,
            key,
            tag,
            begun,
            ended,
        });
    }
}

fn run((acts, latencies): Trace, checks_purges: bool) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let wrong = runtime.block_on(async {
        let run = Run::new(&latencies, LOAD, checks_purges);
        let mut tasks = Vec::new();
        for (pause, act) in acts {
            sleep(ms(pause)).await;
            tasks.push(tokio::spawn(run.clone().act(act)));
        }
        for task in tasks {
            if let Err(error) = task.await {
                let payload = error.into_panic();
                let is_loaders = payload.downcast_ref() == Some(&"of a loader");
                if !is_loaders {
                    std::panic::resume_unwind(payload);
                }
            }
        }
        std::mem::take(&mut run.history.lock().unwrap().wrong)
    });
    prop_assert!(wrong.is_empty(), "{wrong:#?}");
    Ok(())
}

#[test]
fn nothing_too_old_or_purged_is_returned_and_nobody_waits_too_long() {
    assert_holds(120, &acts(false), |trace| run(trace, true));
}

#[test]
fn whatever_fails_nothing_too_old_is_returned_and_nobody_waits_too_long() {
    assert_holds(120, &acts(true), |trace| run(trace, false));
}

/// When loads of a key began and ended.
type Loads = Arc<Mutex<Vec<(usize, Timestamp, Timestamp)>>>;

#[test]
fn a_key_is_never_loaded_twice_at_once_in_all_processes() {
    let takes = (0..1_500_u64, any::<bool>());
    let want = (0..PROCESSES, 0..KEYS.len(), 100..2_000_u64, takes);
    let wants = prop::collection::vec((0..300_u64, want), 1..60);
    let latencies = prop::collection::vec(0..40_u64, PROCESSES);
    assert_holds(150, &(wants, latencies), |(wants, latencies)| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let all = runtime.block_on(async {
            // Everybody waits for as long as it takes.
            let run = Run::new(&latencies, ms(120_000), true);
            let loads = Loads::default();
            let mut tasks = Vec::new();
            for (pause, (process, key, ttl, (takes, waits))) in wants {
                sleep(ms(pause)).await;
                let (run, loads) = (run.clone(), Arc::clone(&loads));
                tasks.push(tokio::spawn(async move {
                    // The stored entry outlives the leases.
                    let entry = Entry::ttl(ms(ttl)).stale_if_error(ms(300_000));
                    let entry = match waits {
                        true => entry,
                        false => entry.stale_while_revalidate(ms(300_000)),
                    };
                    let cache = &run.processes[process].1;
                    let world = run.world.clone();
                    let load = move || async move {
                        let begun = world.now();
                        sleep(ms(takes)).await;
                        loads.lock().unwrap().push((key, begun, world.now()));
                        Ok::<_, Down>(key)
                    };
                    let value: Result<usize, _> = cache.get_or_set(KEYS[key], &entry, load).await;
                    assert_eq!(value, Ok(key));
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
            // Those in the background, too.
            sleep(ms(5_000)).await;
            loads.lock().unwrap().clone()
        });
        for (n, (key, begun, ended)) in all.iter().enumerate() {
            for (other, from, to) in &all[..n] {
                let at_once = key == other && begun < to && from < ended;
                prop_assert!(
                    !at_once,
                    "{key}: {begun:?} to {ended:?}, {from:?} to {to:?}"
                );
            }
        }
        Ok(())
    });
}

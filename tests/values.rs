//! The cache of values for programs, in several processes over a store that is the script's model.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

#[path = "common/model.rs"]
mod model;
#[path = "admit/random.rs"]
mod random;

use std::time::Duration;

use model::ModelStore;
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::value::{Content, Rules, Use};
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::Value;
use omnitrade_edge::store::{Lease, Write};
use omnitrade_edge::values::machine::{Answer, Found, Origin, Peeked, Values};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use random::assert_holds;

const LOAD: Duration = Duration::from_secs(10);

/// How long a process believes what it remembers.
const BELIEVED: Duration = Duration::from_secs(1);

struct World {
    store: ModelStore,
    now: Timestamp,
    processes: Vec<Values>,
}

impl World {
    fn new(processes: u64) -> Self {
        Self::with_memory(processes, 1 << 20)
    }

    fn with_memory(processes: u64, capacity: u64) -> Self {
        let timeout = Some(Duration::from_millis(150));
        let process = |seed| Values::new("ot", capacity, timeout, LOAD, seed);
        Self {
            store: ModelStore::default(),
            now: Timestamp::from_millis(1_800_000_000_000),
            processes: (0..processes).map(process).collect(),
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        self.store.expire(self.now);
    }

    fn mget(&self, keys: &[String]) -> Vec<Value> {
        let value = |key: &String| self.store.text(key).map_or(Value::Null, Value::from);
        keys.iter().map(value).collect()
    }

    fn write(&mut self, write: Option<Write>) {
        match write {
            Some(Write::Set { key, value, ttl_ms }) => {
                self.store.set(&key, &value, ttl_ms, self.now);
            }
            Some(Write::Delete { keys }) => keys.iter().for_each(|key| self.store.delete(key)),
            Some(Write::Keep { .. }) => panic!("values have no versions"),
            None => {}
        }
    }

    /// Asks the store, and takes the reply.
    fn ask(&mut self, process: usize, key: &str, tags: &[String]) -> Answer {
        self.ask_for(process, key, tags, false)
    }

    /// The same; `is_wanted`: for the lease, even if the value is fresh.
    fn ask_for(&mut self, process: usize, key: &str, tags: &[String], is_wanted: bool) -> Answer {
        let values = &mut self.processes[process];
        let asking = values.ask(key, tags, is_wanted, self.now).unwrap();
        let reply = self
            .store
            .call(&asking.ask.keys, &asking.ask.args, self.now);
        values.answered(&asking, Ok(reply), self.now)
    }

    /// Reads a value whatever its tags.
    fn read(&mut self, process: usize, key: &str) -> Option<Found> {
        let since = self.processes[process].count();
        let read = self.mget(&self.processes[process].read(key));
        let mut peeked =
            self.processes[process].peeked(key, &read[0], &read[1], None, since, self.now);
        if let Peeked::Tags(keys) = &peeked {
            let of_tags = Some(self.mget(keys));
            let of_tags = of_tags.as_deref();
            peeked =
                self.processes[process].peeked(key, &read[0], &read[1], of_tags, since, self.now);
        }
        match peeked {
            Peeked::Found(found) => Some(found),
            Peeked::Tags(_) => panic!("their epochs were told"),
            Peeked::Nothing => None,
        }
    }

    fn epochs(&self, process: usize, key: &str, tags: &[String]) -> Origin {
        let values = &self.processes[process];
        let epochs = self.mget(&values.epoch_keys(key, tags));
        values.origin(Some(&epochs), tags, values.count(), self.now)
    }

    fn keep(&mut self, process: usize, key: &str, text: &str, rules: &Rules, origin: Origin) {
        let content = Content::new(text.to_owned(), false);
        let write = self.processes[process].keep(key, content, rules, origin, self.now);
        self.write(write);
    }

    fn set(&mut self, process: usize, key: &str, text: &str, rules: &Rules) {
        let origin = self.epochs(process, key, &rules.tags);
        self.keep(process, key, text, rules, origin);
    }

    fn purge(&mut self, process: usize, tags: &[&str], keys: &[&str]) {
        let owned = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (number, writes) = self.processes[process].purge(&owned(tags), &owned(keys));
        for write in writes {
            self.write(Some(write));
        }
        self.processes[process].purged(number);
    }

    fn text(&mut self, process: usize, key: &str) -> Option<String> {
        let known = self.processes[process].recall(key, self.now);
        let found = known.or_else(|| self.read(process, key));
        found.map(|found| found.entry.content.text.clone())
    }
}

fn rules(ttl_ms: u64, tags: &[&str]) -> Rules {
    Rules {
        ttl: Duration::from_millis(ttl_ms),
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: None,
        tags: tags.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_load_of_one_is_found_by_all() {
    let mut world = World::new(2);
    let answer = world.ask(0, "k", &[]);
    assert_eq!((answer.lease, answer.found), (Lease::Granted, None));
    assert_eq!(world.ask(1, "k", &[]).lease, Lease::HeldElsewhere);
    world.keep(0, "k", "1", &rules(60_000, &[]), answer.origin);
    let answer = world.ask(1, "k", &[]);
    assert_eq!(answer.lease, Lease::NotDue);
    assert_eq!(answer.found.unwrap().usable, Use::Fresh);
    assert!(
        world.processes[1].recall("k", world.now).is_some(),
        "remembered"
    );
}

#[test]
fn nobody_waits_for_a_load_that_is_over() {
    let long = rules(60_000, &[]);
    let ends: [fn(&mut World, Origin, &Rules); 5] = [
        |world, _, _| world.write(world.processes[0].release("k")),
        |world, _, _| {
            let write = world.processes[0].unstored("k");
            world.write(write);
        },
        |world, origin, _| world.keep(0, "k", "1", &rules(0, &[]), origin),
        // The tags are others than those that were asked for, and nobody asked for their epochs.
        |world, origin, _| world.keep(0, "k", "1", &rules(9_000, &["t"]), origin),
        |world, origin, _| {
            world.keep(0, "k", "1", &rules(50, &[]), origin);
            world.pass(50);
        },
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let mut world = World::new(2);
        let answer = world.ask(0, "k", &[]);
        end(&mut world, answer.origin, &long);
        let lease = world.ask(1, "k", &[]).lease;
        assert!(
            matches!(lease, Lease::Granted | Lease::Uncacheable),
            "{n}: {lease:?}"
        );
    }
    for purge in [&["k"][..], &[]] {
        let mut world = World::new(2);
        let tags = vec!["t".to_owned()];
        let answer = world.ask(0, "k", &tags);
        world.keep(0, "k", "1", &rules(60_000, &["t"]), answer.origin);
        world.purge(0, if purge.is_empty() { &["t"] } else { &[] }, purge);
        let answer = world.ask(1, "k", &tags);
        assert_eq!((answer.lease, answer.found), (Lease::Granted, None));
    }
}

#[test]
fn a_load_that_is_lost_is_waited_for_until_its_deadline() {
    let mut world = World::new(2);
    world.ask(0, "k", &[]);
    world.pass(9_999);
    assert_eq!(world.ask(1, "k", &[]).lease, Lease::HeldElsewhere);
    world.pass(1);
    assert_eq!(world.ask(1, "k", &[]).lease, Lease::Granted);
}

#[test]
fn a_value_is_found_whatever_its_tags() {
    let mut world = World::new(2);
    let origin = world.ask(0, "k", &[]).origin;
    let mut origin = origin;
    let tags = ["late".to_owned()];
    origin.retag(world.epochs(0, "k", &tags));
    assert!(origin.is_for(&tags));
    world.keep(0, "k", "1", &rules(60_000, &["late"]), origin);
    let answer = world.ask(1, "k", &[]);
    assert!(
        answer.is_other,
        "the store has one, with tags that are not known here"
    );
    assert_eq!(world.read(1, "k").unwrap().usable, Use::Fresh);
    let answer = world.ask(1, "k", &[]);
    assert!(
        answer.found.is_some() && !answer.is_other,
        "now they are known"
    );
    world.purge(1, &["late"], &[]);
    assert_eq!(world.text(1, "k"), None);
}

#[test]
fn epochs_of_other_tags_say_nothing_about_a_value() {
    let mut world = World::new(2);
    world.set(0, "k", "1", &rules(60_000, &["x"]));
    world.purge(0, &["x"], &[]);
    let answer = world.ask(1, "k", &["y".to_owned()]);
    assert_eq!((answer.found, answer.lease), (None, Lease::NotDue));
    assert!(answer.is_other);
    assert_eq!(world.read(1, "k"), None, "it was purged");
    let answer = world.ask_for(1, "k", &["y".to_owned()], true);
    assert_eq!((answer.found, answer.lease), (None, Lease::Granted));
    world.set(0, "k", "2", &rules(60_000, &["x"]));
    assert!(world.ask(1, "k", &["y".to_owned()]).is_other);
    assert_eq!(world.text(1, "k").as_deref(), Some("2"));
}

#[test]
fn tags_that_are_named_late_hide_no_purge() {
    for purged in [&["k"][..], &[]] {
        let mut world = World::new(2);
        let mut origin = world.ask(0, "k", &["a".to_owned()]).origin;
        world.purge(1, if purged.is_empty() { &["a"] } else { &[] }, purged);
        let tags = ["b".to_owned(), "a".to_owned()];
        origin.retag(world.epochs(0, "k", &tags));
        world.keep(0, "k", "old", &rules(60_000, &["b", "a"]), origin);
        assert_eq!(world.text(1, "k"), None);
    }
}

#[test]
fn what_is_known_of_some_tags_is_not_forgotten_for_others() {
    let [a, b] = ["a", "b"].map(|tag| vec![tag.to_owned()]);
    for purged in [None, Some("a"), Some("b")] {
        let mut world = World::new(2);
        let mut origin = world.ask(0, "k", &a).origin;
        assert!(origin.is_for(&[]) && origin.is_for(&a) && !origin.is_for(&b));
        origin.retag(world.epochs(0, "k", &b));
        assert!(origin.is_for(&a) && origin.is_for(&[a.clone(), b.clone()].concat()));
        if let Some(tag) = purged {
            world.purge(1, &[tag], &[]);
        }
        // An epoch that was known is void if it has changed, and is not if it has not.
        origin.retag(world.epochs(0, "k", &a));
        assert_eq!(origin.is_told(), purged != Some("a"));
        world.keep(0, "k", "1", &rules(60_000, &["b"]), origin);
        let found = world.text(1, "k");
        assert_eq!(found.is_some(), purged.is_none(), "{purged:?}");
    }
}

#[test]
fn what_does_not_fit_into_memory_is_read_from_the_store() {
    let mut world = World::with_memory(2, 0);
    world.set(0, "k", "1", &rules(60_000, &[]));
    for _ in 0..2 {
        let answer = world.ask(1, "k", &[]);
        assert_eq!(answer.lease, Lease::NotDue);
        assert_eq!(answer.found.unwrap().entry.content.text, "1");
    }
    assert_eq!(world.text(1, "k").as_deref(), Some("1"));
}

#[test]
fn what_is_too_long_is_not_stored_and_nobody_waits_for_it() {
    let mut world = World::new(2);
    let long = "x".repeat(5 << 20);
    let origin = world.ask(0, "k", &[]).origin;
    world.keep(0, "k", &long, &rules(60_000, &[]), origin);
    assert!(world.store.keys().all(|key| !key.contains(":v:")));
    assert_eq!(world.ask(1, "k", &[]).lease, Lease::Uncacheable);
}

#[test]
fn while_the_store_fails_memory_decides_and_each_loads() {
    let mut world = World::new(1);
    world.set(0, "k", "1", &rules(60_000, &[]));
    world.pass(2_000);
    let values = &mut world.processes[0];
    assert_eq!(
        values.recall("k", world.now),
        None,
        "the store has to be asked"
    );
    for _ in 0..3 {
        let asking = values.ask("k", &[], false, world.now).unwrap();
        let answer = values.answered(&asking, Err(Error::from(ErrorKind::Timeout)), world.now);
        assert_eq!(answer.lease, Lease::Granted);
        assert_eq!(answer.found.unwrap().usable, Use::Fresh);
    }
    assert!(
        values.ask("k", &[], false, world.now).is_none(),
        "the breaker is open"
    );
    assert!(
        values.recall("k", world.now).is_some(),
        "believed meanwhile"
    );
    let answer = values.unasked("other", world.now);
    assert_eq!((answer.lease, answer.found), (Lease::Granted, None));
    assert_eq!(
        values.release("k"),
        None,
        "nothing is written to a store that fails"
    );
}

#[test]
fn what_is_read_while_a_purge_is_on_its_way_is_not_used() {
    for (tags, keys) in [
        (vec!["t".to_owned()], vec![]),
        (vec![], vec!["k".to_owned()]),
    ] {
        let mut world = World::new(1);
        let (long, of) = (rules(60_000, &["t"]), ["t".to_owned()]);
        world.set(0, "k", "old", &long);
        world.set(0, "other", "1", &long);
        world.set(0, "untagged", "1", &rules(60_000, &[]));
        let (number, writes) = world.processes[0].purge(&tags, &keys);
        let answer = world.ask(0, "k", &of);
        assert_eq!((answer.found, answer.lease), (None, Lease::NotDue));
        assert_eq!(world.read(0, "k"), None);
        assert!(world.ask(0, "untagged", &[]).found.is_some());
        assert_eq!(world.ask(0, "other", &of).found.is_some(), tags.is_empty());
        // What was asked for before it is over may be from before it was carried out.
        let asking = world.processes[0].ask("k", &of, false, world.now).unwrap();
        let (keys, args) = (&asking.ask.keys, &asking.ask.args);
        let reply = world.store.call(keys, args, world.now);
        for write in writes {
            world.write(Some(write));
        }
        world.processes[0].purged(number);
        let answer = world.processes[0].answered(&asking, Ok(reply), world.now);
        assert_eq!(answer.found, None);
        world.set(0, "k", "new", &long);
        assert_eq!(world.text(0, "k").as_deref(), Some("new"));
        let answer = world.ask(0, "k", &of);
        assert_eq!(answer.found.unwrap().entry.content.text, "new");
    }
}

#[test]
fn a_purge_of_others_does_not_keep_a_load_from_memory() {
    let mut world = World::new(1);
    let tags = ["t".to_owned()];
    for (n, (purged, keys, is_held)) in [
        (&["u"][..], &["other"][..], true),
        (&["t"], &[], false),
        (&[], &["k"], false),
    ]
    .into_iter()
    .enumerate()
    {
        let origin = world.ask(0, "k", &tags).origin;
        world.purge(0, purged, keys);
        world.keep(0, "k", &n.to_string(), &rules(60_000, &["t"]), origin);
        let held = world.processes[0].recall("k", world.now);
        assert_eq!(held.is_some(), is_held, "{n}");
        world.purge(0, &[], &["k"]);
    }
    // So many that they are not remembered by name: all that was under way is void.
    let origin = world.ask(0, "k", &[]).origin;
    let names: Vec<_> = (0..3_000).map(|n| n.to_string()).collect();
    let (number, _) = world.processes[0].purge(&names, &[]);
    world.processes[0].purged(number);
    world.keep(0, "k", "1", &rules(60_000, &[]), origin);
    assert_eq!(world.processes[0].recall("k", world.now), None);
}

#[test]
fn a_read_from_before_a_value_was_set_does_not_bring_the_old_one_back() {
    let mut world = World::new(2);
    let long = rules(60_000, &[]);
    for old in [None, Some("old")] {
        if let Some(old) = old {
            world.set(1, "k", old, &long);
        }
        let since = world.processes[0].count();
        let read = world.mget(&world.processes[0].read("k"));
        let asking = world.processes[0].ask("k", &[], false, world.now).unwrap();
        let (keys, args) = (&asking.ask.keys, &asking.ask.args);
        let reply = world.store.call(keys, args, world.now);
        world.set(0, "k", "new", &long);
        let values = &mut world.processes[0];
        let answer = values.answered(&asking, Ok(reply), world.now);
        assert_eq!(answer.found.unwrap().entry.content.text, "new");
        let peeked = values.peeked("k", &read[0], &read[1], None, since, world.now);
        assert!(matches!(peeked, Peeked::Found(found) if found.entry.content.text == "new"));
        assert_eq!(world.text(0, "k").as_deref(), Some("new"));
        world.purge(0, &[], &["k"]);
    }
}

#[test]
fn a_value_of_no_use_is_loaded_with_the_lease() {
    let mut world = World::new(2);
    world.set(0, "k", "1", &rules(60_000, &[]));
    for process in [0, 1] {
        assert_eq!(world.ask(process, "k", &[]).lease, Lease::NotDue);
    }
    assert_eq!(world.ask_for(0, "k", &[], true).lease, Lease::Granted);
    assert_eq!(world.ask_for(1, "k", &[], true).lease, Lease::HeldElsewhere);
    let answer = world.ask(1, "k", &[]);
    assert_eq!(answer.found.unwrap().usable, Use::Fresh, "others use it");
}

#[test]
fn outcomes_of_other_calls_open_and_close_the_breaker() {
    let mut world = World::new(1);
    let values = &mut world.processes[0];
    let refused = Error::from(ErrorKind::Unauthorised);
    values.heard(Some(&refused), world.now);
    assert!(!values.allows(world.now));
    let later = world.now + Duration::from_millis(500);
    assert!(values.allows(later), "one probe");
    assert!(!values.allows(later));
    values.heard(None, later);
    assert!(values.allows(later) && values.allows(later));
}

/// What happens in a trace.
#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    /// A process wants a value, and begins to load it if it is the one to do so.
    Want(usize, usize),
    /// The oldest load of a process ends: it is kept with a lifetime and tags, or it fails.
    End(usize, Option<(u64, usize)>),
    Read(usize, usize),
    Set(usize, usize, u64, usize),
    PurgeKey(usize, usize),
    PurgeTag(usize, usize),
}

const KEYS: [&str; 2] = ["a", "b"];
const TAGS: [&str; 2] = ["t", "u"];

/// The tags that a number stands for.
fn tags_of(number: usize) -> Vec<&'static str> {
    let has = |n: &usize| number >> n & 1 == 1;
    (0..TAGS.len()).filter(has).map(|n| TAGS[n]).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (process, key, tags) = (0..3_usize, 0..KEYS.len(), 0..4_usize);
    let ttl = prop_oneof![Just(0_u64), 1..2_000_u64, Just(60_000)];
    let pass = prop_oneof![0..5_u64, 0..1_500_u64, 0..15_000_u64];
    let end = prop_oneof![1 => Just(None), 4 => (ttl.clone(), tags.clone()).prop_map(Some)];
    let step = prop_oneof![
        4 => pass.prop_map(Step::Pass),
        6 => (process.clone(), key.clone()).prop_map(|(p, k)| Step::Want(p, k)),
        4 => (process.clone(), end).prop_map(|(p, end)| Step::End(p, end)),
        2 => (process.clone(), key.clone()).prop_map(|(p, k)| Step::Read(p, k)),
        1 => (process.clone(), key.clone(), ttl, tags).prop_map(|(p, k, l, t)| Step::Set(p, k, l, t)),
        1 => (process.clone(), key).prop_map(|(p, k)| Step::PurgeKey(p, k)),
        1 => (process, 0..TAGS.len()).prop_map(|(p, t)| Step::PurgeTag(p, t)),
    ];
    prop::collection::vec(step, 1..120)
}

/// A value that was made, by its place in the list of all.
struct Made {
    key: &'static str,
    tags: Vec<&'static str>,
    /// How many purges there had been when it began to be made, and when its tags were named.
    purges: usize,
    tag_purges: usize,
    until: Timestamp,
}

struct Purged {
    process: usize,
    key: Option<&'static str>,
    tag: Option<&'static str>,
    at: Timestamp,
}

struct Load {
    process: usize,
    key: &'static str,
    origin: Origin,
    purges: usize,
    at: Timestamp,
    holds_lease: bool,
}

struct Trace {
    world: World,
    made: Vec<Made>,
    purged: Vec<Purged>,
    loads: Vec<Load>,
}

impl Trace {
    /// Checks that a process may use what it has found.
    fn check(&self, process: usize, found: &Found) -> Result<(), TestCaseError> {
        let now = self.world.now;
        let made = &self.made[found.entry.content.text.parse::<usize>().unwrap()];
        prop_assert!(now < made.until, "it is too old");
        for (n, purged) in self.purged.iter().enumerate().skip(made.purges) {
            let has_tag = purged.tag.is_some_and(|tag| made.tags.contains(&tag));
            let is_of = purged.key == Some(made.key) || n >= made.tag_purges && has_tag;
            let is_late = purged.process == process || now.since(purged.at) >= BELIEVED;
            prop_assert!(!(is_of && is_late), "{} was purged", made.key);
        }
        Ok(())
    }

    fn make(&mut self, key: &'static str, ttl: u64, tags: usize, purges: usize) -> (String, Rules) {
        let rules = rules(ttl, &tags_of(tags));
        self.made.push(Made {
            key,
            tags: tags_of(tags),
            purges,
            tag_purges: purges,
            until: self.world.now + rules.ttl,
        });
        ((self.made.len() - 1).to_string(), rules)
    }

    fn want(&mut self, process: usize, key: &'static str) -> Result<(), TestCaseError> {
        let known = self.world.processes[process].recall(key, self.world.now);
        if let Some(found) = known {
            return self.check(process, &found);
        }
        let mut answer = self.world.ask(process, key, &[]);
        if answer.is_other && matches!(answer.lease, Lease::Granted | Lease::NotDue) {
            answer.found = self.world.read(process, key);
        }
        if answer.found.is_none() && answer.lease == Lease::NotDue {
            answer = self.world.ask_for(process, key, &[], true);
        }
        if let Some(found) = &answer.found {
            self.check(process, found)?;
            if answer.lease == Lease::Granted {
                let write = self.world.processes[process].release(key);
                self.world.write(write);
            }
            return Ok(());
        }
        let now = self.world.now;
        match answer.lease {
            Lease::Granted | Lease::Uncacheable => self.loads.push(Load {
                process,
                key,
                origin: answer.origin,
                purges: self.purged.len(),
                at: now,
                holds_lease: answer.lease == Lease::Granted,
            }),
            Lease::HeldElsewhere => {
                let is_loading = self
                    .loads
                    .iter()
                    .any(|load| load.key == key && load.holds_lease && now.since(load.at) < LOAD);
                prop_assert!(is_loading, "nobody loads {key}");
            }
            Lease::NotDue => prop_assert!(false, "nobody is to load, but there is nothing"),
        }
        Ok(())
    }

    fn end(&mut self, process: usize, kept: Option<(u64, usize)>) {
        let Some(at) = self.loads.iter().position(|load| load.process == process) else {
            return;
        };
        // No load ends in the millisecond in which the value before it was made.
        self.world.pass(1);
        let mut load = self.loads.remove(at);
        let Some((ttl, tags)) = kept else {
            let write = self.world.processes[process].release(load.key);
            return self.world.write(write);
        };
        let (text, rules) = self.make(load.key, ttl, tags, load.purges);
        if !load.origin.is_for(&rules.tags) {
            // Of tags that are named late, only later purges are known.
            let epochs = self.world.epochs(process, load.key, &rules.tags);
            load.origin.retag(epochs);
            self.made.last_mut().unwrap().tag_purges = self.purged.len();
        }
        self.world
            .keep(process, load.key, &text, &rules, load.origin);
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Pass(ms) => self.world.pass(ms),
            Step::Want(process, key) => self.want(process, KEYS[key])?,
            Step::End(process, kept) => self.end(process, kept),
            Step::Read(process, key) => {
                let known = self.world.processes[process].recall(KEYS[key], self.world.now);
                let found = known.or_else(|| self.world.read(process, KEYS[key]));
                if let Some(found) = found {
                    self.check(process, &found)?;
                }
            }
            Step::Set(process, key, ttl, tags) => {
                let (text, rules) = self.make(KEYS[key], ttl, tags, self.purged.len());
                self.world.set(process, KEYS[key], &text, &rules);
            }
            Step::PurgeKey(process, key) => {
                self.world.purge(process, &[], &[KEYS[key]]);
                self.purged(process, Some(KEYS[key]), None);
            }
            Step::PurgeTag(process, tag) => {
                self.world.purge(process, &[TAGS[tag]], &[]);
                self.purged(process, None, Some(TAGS[tag]));
            }
        }
        Ok(())
    }

    fn purged(&mut self, process: usize, key: Option<&'static str>, tag: Option<&'static str>) {
        let at = self.world.now;
        self.purged.push(Purged {
            process,
            key,
            tag,
            at,
        });
    }
}

#[test]
fn nobody_uses_what_is_too_old_or_purged_or_waits_for_nobody() {
    assert_holds(400, &steps(), |steps| {
        let mut trace = Trace {
            world: World::new(3),
            made: Vec::new(),
            purged: Vec::new(),
            loads: Vec::new(),
        };
        for step in steps {
            trace.step(step)?;
        }
        Ok(())
    });
}

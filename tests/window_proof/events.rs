//! What can happen, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use omnitrade_edge::clock::{Timestamp, millis};
use omnitrade_edge::engine::limit::crowd::Patience;
use omnitrade_edge::engine::limit::sliding_window::Cut;
use omnitrade_edge::redis::Value;
use omnitrade_edge::store::Ask;

use crate::bounds::{Bounds, Fault, Tick};
use crate::isolate::{Effect, Input, Limit, Log, Number, Outcome, Reply, WORKS};
use crate::model::ModelStore;
use crate::state::{Account, Call, From, Latest, Pass, Place, Seen, Sent, Waiting, World};

/// The true time at the start: shortly before the end of a sub-bucket.
pub const START: u64 = 1_700_000_001_995;

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A request of this cost comes to an isolate.
    Comes(Place, u64),
    /// A request that waited looks again.
    Looks(Place, Number),
    /// A call reaches the store, which carries it out.
    Runs(Place, Number),
    /// The reply reaches the isolate.
    Answers(Place, Number),
    /// The connection breaks, and the call is sent again.
    Breaks(Place, Number),
    /// The call fails, or its deadline passes.
    Fails(Place, Number),
    /// An attempt for which nobody waits any more reaches the store.
    Haunts(Place, Number, bool),
    /// An isolate returns permits that are overdue, and tells debts.
    Sweeps(Place),
    /// Time passes.
    Ticks(Tick),
    /// The store loses everything.
    Flushes,
    /// A clock is corrected by so many milliseconds: that of an isolate, or the store's.
    Steps(Place, i64),
}

/// The limiter of some isolates over one store, within bounds.
#[derive(Debug)]
pub struct Proof {
    pub bounds: Bounds,
    pub fault: Option<Fault>,
    pub limit: Limit,
}

impl Proof {
    pub fn new(bounds: Bounds, fault: Option<Fault>) -> Self {
        let rule = bounds.rule();
        let key = rule.key("a");
        Self {
            bounds,
            fault,
            limit: Limit { rule, key },
        }
    }

    pub fn window(&self) -> u64 {
        millis(self.limit.rule.quota().window)
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The world before anything has happened.
    pub fn start(&self) -> World {
        let Bounds { isolates, left, .. } = &self.bounds;
        World {
            now: 0,
            clocks: vec![0; isolates + 1],
            store: ModelStore::default(),
            isolates: (1..=*isolates as u64).map(Log::new).collect(),
            waiting: BTreeMap::new(),
            calls: BTreeMap::new(),
            ghosts: BTreeSet::new(),
            sent: BTreeMap::new(),
            came: vec![0; *isolates],
            seen: Seen {
                each: vec![Account::default(); *isolates],
                ..Seen::default()
            },
            left: left.clone(),
            latest: Latest::default(),
        }
    }

    /// Everything on its way arrives, without a further fault.
    pub fn settle(&self, world: &mut World) {
        while let Some(event) = self.progress(world) {
            self.happen(world, event);
        }
    }

    /// What brings a request or a call further, if there is one.
    pub fn progress(&self, world: &World) -> Option<Event> {
        let call = world.calls.iter().next();
        let call = call.map(|((place, number), call)| match call.reply {
            None => Event::Runs(*place, *number),
            Some(_) => Event::Answers(*place, *number),
        });
        let looks = || {
            world
                .waiting
                .keys()
                .next()
                .map(|(place, number)| Event::Looks(*place, *number))
        };
        call.or_else(looks)
    }

    /// What can happen.
    pub fn events(&self, world: &World, events: &mut Vec<Event>) {
        let (bounds, left) = (&self.bounds, &world.left);
        let may_come = !bounds.sequential || world.is_answered();
        if left.requests > 0 && may_come {
            for place in 0..bounds.isolates {
                // The first isolate is the one to which the first request comes.
                if place == 0 || world.came[place - 1] > 0 {
                    events.extend(bounds.costs.iter().map(|cost| Event::Comes(place, *cost)));
                }
            }
        }
        for place in 0..bounds.isolates {
            // Timers end in their order.
            let own = world.waiting.iter().filter(|((at, _), _)| *at == place);
            let first = own.min_by_key(|(key, waiting)| (waiting.wakes, waiting.looks, **key));
            events.extend(first.map(|((_, number), _)| Event::Looks(place, *number)));
        }
        for ((place, number), call) in &world.calls {
            events.push(match call.reply {
                None => Event::Runs(*place, *number),
                Some(_) => Event::Answers(*place, *number),
            });
            if left.breaks > 0 && !call.again {
                events.push(Event::Breaks(*place, *number));
            }
            if left.failures > 0 {
                events.push(Event::Fails(*place, *number));
            }
        }
        for (place, number, again) in &world.ghosts {
            events.push(Event::Haunts(*place, *number, *again));
        }
        if left.sweeps > 0 {
            events.extend((0..bounds.isolates).map(Event::Sweeps));
        }
        if left.ticks > 0 && !world.seen.passes.is_empty() {
            events.extend(bounds.kinds.iter().map(|tick| Event::Ticks(*tick)));
        }
        if left.flushes > 0 && !world.seen.passes.is_empty() {
            events.push(Event::Flushes);
        }
        if left.steps > 0 {
            for place in 0..=bounds.isolates {
                events.extend(bounds.steps.iter().map(|by| Event::Steps(place, *by)));
            }
        }
    }

    /// Lets an event happen. Returns whether anything has changed.
    pub fn happen(&self, world: &mut World, event: Event) -> bool {
        match event {
            Event::Comes(place, cost) => {
                world.left.requests -= 1;
                let number = world.came[place];
                world.came[place] += 1;
                self.look(world, (place, number), cost, Patience::default(), 1);
            }
            Event::Looks(place, number) => {
                let Some(waiting) = world.waiting.remove(&(place, number)) else {
                    return false;
                };
                if self.bounds.pauses {
                    world.now = world.now.max(waiting.wakes);
                }
                let patience = match self.has(Fault::ForgetsPatience) {
                    true => Patience::default(),
                    false => waiting.patience,
                };
                self.look(
                    world,
                    (place, number),
                    waiting.cost,
                    patience,
                    waiting.looks + 1,
                );
            }
            Event::Runs(place, number) => {
                let Some(call) = world.calls.get(&(place, number)) else {
                    return false;
                };
                let reply = self.run(world, (place, number), call.again);
                if let Some(call) = world.calls.get_mut(&(place, number)) {
                    call.reply = Some(reply);
                }
            }
            Event::Answers(place, number) => self.answer(world, (place, number)),
            Event::Breaks(place, number) => {
                world.left.breaks -= 1;
                let Some(call) = world.calls.get_mut(&(place, number)) else {
                    return false;
                };
                if call.reply.is_none() {
                    world.ghosts.insert((place, number, call.again));
                }
                *call = Call {
                    reply: None,
                    again: true,
                };
            }
            Event::Fails(place, number) => {
                world.left.failures -= 1;
                let Some(call) = world.calls.remove(&(place, number)) else {
                    return false;
                };
                if call.reply.is_none() && self.bounds.haunted {
                    world.ghosts.insert((place, number, call.again));
                }
                failed(world, (place, number));
                self.answered(world, (place, number), None);
                if self.has(Fault::RestartsAfterFailure) {
                    world.isolates[place].forget();
                    world.calls.retain(|(at, _), _| *at != place);
                    world.waiting.retain(|(at, _), _| *at != place);
                }
            }
            Event::Haunts(place, number, again) => {
                world.ghosts.remove(&(place, number, again));
                self.run(world, (place, number), again);
            }
            Event::Sweeps(place) => {
                world.left.sweeps -= 1;
                let effect = self.tell(world, place, Input::Sweep);
                let works = matches!(effect, Effect::Works(..));
                self.take(world, (place, WORKS), 0, 0, effect);
                return works;
            }
            Event::Ticks(tick) => {
                world.left.ticks -= 1;
                let Some(until) = self.until(world, tick) else {
                    return false;
                };
                // A call has an end by then.
                let deadline = |key| {
                    world
                        .sent
                        .get(key)
                        .map_or(u64::MAX, |sent| sent.at + self.bounds.timeout)
                };
                if world.calls.keys().any(|key| deadline(key) < until) {
                    return false;
                }
                world.now = until;
                world.seen.voids.retain(|void| *void > until);
            }
            Event::Flushes => {
                world.left.flushes -= 1;
                world.seen.flushes += 1;
                world.store = ModelStore::default();
                for sent in world.sent.values_mut() {
                    (sent.counted, sent.told_here) = (0, 0);
                }
            }
            Event::Steps(place, by) => {
                world.left.steps -= 1;
                world.clocks[place] += by;
                let seen = &mut world.seen;
                seen.fastest = seen.fastest.max(world.clocks[place]);
                seen.slowest = seen.slowest.min(world.clocks[place]);
            }
        }
        let (calls, ghosts) = (&world.calls, &world.ghosts);
        world.sent.retain(|key, _| {
            let ghost = |again| ghosts.contains(&(key.0, key.1, again));
            calls.contains_key(key) || ghost(false) || ghost(true)
        });
        true
    }

    /// The instant that a tick leads to, if it is to come.
    fn until(&self, world: &World, tick: Tick) -> Option<u64> {
        let (window, cut) = (self.window(), Cut::of(self.limit.rule.quota().window));
        let passes = || world.seen.passes.iter().map(|pass| pass.at);
        let voids = || world.seen.voids.iter().copied();
        let later = |at: &u64| *at > world.now;
        let bucket = |at: u64| (START + at) / cut.width;
        match tick {
            Tick::For(ms) => Some(world.now + ms),
            Tick::SubBucket => Some((bucket(world.now) + 1) * cut.width - START),
            Tick::EndOfWindow => passes().map(|at| at + window).find(later),
            Tick::Leaves => {
                let leaves = |at| (bucket(at) + cut.buckets + 1) * cut.width - START;
                passes().map(leaves).find(later)
            }
            Tick::EndOfLease => voids().map(|void| void.saturating_sub(1)).find(later),
            Tick::Void => voids().find(later),
        }
    }

    /// Tells an isolate what happened.
    fn tell(&self, world: &mut World, place: Place, input: Input) -> Effect {
        let at = (START + world.now).saturating_add_signed(world.clocks[place]);
        let timeout = Duration::from_millis(self.bounds.timeout);
        world.isolates[place].push(&self.limit, timeout, Timestamp::from_millis(at), input)
    }

    fn look(
        &self,
        world: &mut World,
        key: (Place, Number),
        cost: u64,
        patience: Patience,
        looks: u8,
    ) {
        let effect = self.tell(world, key.0, Input::Recall(key.1, cost, patience));
        self.take(world, key, cost, looks, effect);
    }

    /// Takes what follows for the request or the call of this key.
    fn take(&self, world: &mut World, key: (Place, Number), cost: u64, looks: u8, effect: Effect) {
        world.seen.looks = world.seen.looks.max(looks);
        match effect {
            Effect::Nothing => {}
            Effect::Waits(pause, patience) => {
                let wakes = match self.bounds.pauses {
                    true => world.now + millis(pause),
                    false => 0,
                };
                let waiting = Waiting {
                    cost,
                    wakes,
                    patience,
                    looks,
                };
                world.waiting.insert(key, waiting);
            }
            Effect::Asks(ask) => send(world, key, ask, Some(cost)),
            Effect::Works(number, ask) => send(world, (key.0, number), ask, None),
            Effect::Decided(outcome, work) => {
                let from = match outcome.locally {
                    true => From::Isolate,
                    false => From::Lent,
                };
                pass(world, key.0, cost, outcome, from, world.now);
                if let Some((number, ask)) = work {
                    send(world, (key.0, number), ask, None);
                }
            }
        }
    }

    fn answer(&self, world: &mut World, key: (Place, Number)) {
        let Some(call) = world.calls.remove(&key) else {
            return;
        };
        let is_unsure = call.outcome() == Some(2);
        let Some(reply) = call.reply else { return };
        if is_unsure {
            failed(world, key);
        }
        self.answered(world, key, Some(reply.clone()));
        if self.has(Fault::AnswersTwo) {
            let asks = |other: &&(Place, Number)| other.0 == key.0 && other.1 < WORKS;
            let other = world.calls.keys().find(asks).copied();
            if let Some(other) = other {
                world.calls.remove(&other);
                self.answered(world, other, Some(reply));
            }
        }
    }

    fn answered(&self, world: &mut World, key: (Place, Number), reply: Option<Arc<Reply>>) {
        let Some(Sent {
            at, cost, charged, ..
        }) = world.sent.get(&key).cloned()
        else {
            return;
        };
        for lent in reply.iter().flat_map(|reply| limits(&reply.value)) {
            if number(lent, 7) > 0 {
                world.seen.voids.push(at + number(lent, 9));
                world.seen.voids.sort_unstable();
                world.seen.voids.dedup();
            }
        }
        let effect = self.tell(world, key.0, Input::Answered(key.1, reply));
        if let (Effect::Decided(outcome, work), Some(cost)) = (effect, cost) {
            let (from, when) = match outcome.locally {
                true => (From::Isolate, world.now),
                false => (From::Store, charged.unwrap_or(world.now)),
            };
            pass(world, key.0, cost, outcome, from, when);
            if let Some((number, ask)) = work {
                send(world, (key.0, number), ask, None);
            }
        }
    }

    /// The store carries out an attempt of a call.
    fn run(&self, world: &mut World, key: (Place, Number), again: bool) -> Arc<Reply> {
        let store_clock = world.clocks[self.bounds.isolates];
        let server = (START + world.now).saturating_add_signed(store_clock);
        let sent = world.sent.get_mut(&key).expect("a call that was made");
        let mut args = sent.ask.args.clone();
        self.spoil(&mut args);
        if self.has(Fault::ForgetsWhatRefusedTold) && sent.charged.is_none() {
            args[5].clear();
        }
        if self.has(Fault::ForgetsEarly) {
            let old = world.now.saturating_sub(self.window() * 3 / 4);
            if world.seen.passes.iter().any(|pass| pass.at < old) {
                world.store.delete(&self.limit.key);
            }
        }
        let server = Timestamp::from_millis(server);
        let told = debt(&world.store, &sent.ask.keys, &args, server, again);
        let mut value = world.store.call_again(&sent.ask.keys, &args, server, again);
        if self.has(Fault::KeepsNothingAfterFlush) && world.seen.flushes > 0 {
            world.store = ModelStore::default();
        }
        let outcome = value.as_array().and_then(|words| words.first()?.as_int());
        let account = &mut world.seen.each[key.0];
        if world.calls.contains_key(&key) {
            world.seen.slowest_call = world.seen.slowest_call.max(world.now - sent.at);
        }
        let (mut owed, mut lent) = (0, 0);
        for (asked, said) in args[ARGS..].chunks(EACH).zip(limits(&value)) {
            owed += parsed(&asked[15]);
            lent += number(said, 7);
            if !again && matches!(outcome, Some(0 | 1)) {
                let counts = asked[13].split(' ').skip(2).step_by(2);
                account.returned += counts.map(parsed).sum::<u64>();
            }
        }
        account.told += told;
        sent.told += told;
        sent.told_here += told;
        account.told_unknown += if sent.failed { told } else { 0 };
        let cost = sent.cost.filter(|_| outcome == Some(1));
        if let Some(cost) = cost {
            account.charged += cost;
            sent.charged.get_or_insert(world.now);
        }
        account.lent += lent;
        sent.counted += u8::from(lent > 0 || cost.is_some());
        let is_known = world.now - sent.at <= self.bounds.timeout;
        world.seen.counted_twice |= is_known && (sent.counted > 1 || sent.told_here > owed);
        self.spoil_reply(&mut value);
        Reply::new(value)
    }

    fn spoil(&self, args: &mut [String]) {
        match self.fault {
            Some(Fault::ForgetsIds) => args[5].clear(),
            Some(Fault::CountsOneLess) => {
                for limit in args[ARGS..].chunks_mut(EACH) {
                    let quota: u64 = parsed(&limit[3]);
                    limit[2] = (quota + 1).to_string();
                }
            }
            Some(Fault::TellsNothing | Fault::TellsTwice) => {
                let by = u64::from(self.has(Fault::TellsTwice)) * 2;
                for limit in args[ARGS..].chunks_mut(EACH) {
                    let owed: u64 = parsed(&limit[15]);
                    limit[15] = (owed * by).to_string();
                }
            }
            _ => {}
        }
    }

    fn spoil_reply(&self, value: &mut Value) {
        let Value::Array(words) = value else { return };
        for limit in words[4..].chunks_mut(WORDS) {
            let lent = number(limit, 7) > 0;
            match self.fault {
                Some(Fault::LendsTwice) => add(limit, 7, number(limit, 7)),
                Some(Fault::PromisesTooEarly) if limit[3] != Value::Int(0) => {
                    limit[3] = Value::Int(1)
                }
                Some(Fault::VoidsLate) if lent => add(limit, 9, 30_000),
                _ => {}
            }
        }
    }
}

/// How many words there are before those of the limits, and of each limit, in what is asked.
const ARGS: usize = 12;
const EACH: usize = 16;

/// How many there are of each limit in what is said.
const WORDS: usize = 10;

fn limits(value: &Value) -> impl Iterator<Item = &[Value]> {
    let words = value.as_array().unwrap_or_default();
    words.get(4..).unwrap_or_default().chunks(WORDS)
}

/// The isolate takes a call for failed.
fn failed(world: &mut World, key: (Place, Number)) {
    if let Some(sent) = world.sent.get_mut(&key) {
        sent.failed = true;
        world.seen.each[key.0].told_unknown += sent.told;
    }
}

fn parsed(word: &str) -> u64 {
    word.parse().expect("a number")
}

/// How many permits that the caller has given by itself the store will count: what they add to
/// what is counted after a call that does nothing else.
fn debt(
    store: &ModelStore,
    keys: &[String],
    args: &[String],
    server: Timestamp,
    again: bool,
) -> u64 {
    let is_owed = |limit: &[String]| limit[15] != "0";
    if !args[ARGS..].chunks(EACH).any(is_owed) {
        return 0;
    }
    let left = |tells: bool| {
        let (mut store, mut args) = (store.clone(), args.to_vec());
        for limit in args[ARGS..].chunks_mut(EACH) {
            for quota in &mut limit[2..4] {
                "1000000".clone_into(quota);
            }
            "peek".clone_into(&mut limit[9]);
            limit[13].clear();
            if !tells {
                "0".clone_into(&mut limit[15]);
            }
        }
        let reply = store.call_again(keys, &args, server, again);
        limits(&reply).map(|limit| number(limit, 2)).sum::<u64>()
    };
    left(false) - left(true)
}

fn number(words: &[Value], at: usize) -> u64 {
    let number = words[at].as_int().unwrap_or_default();
    u64::try_from(number).unwrap_or_default()
}

fn add(words: &mut [Value], at: usize, more: u64) {
    let more = i64::try_from(more).expect("a small number");
    if let Value::Int(number) = &mut words[at] {
        *number += more;
    }
}

fn send(world: &mut World, key: (Place, Number), ask: Ask, cost: Option<u64>) {
    let sent = Sent {
        ask: Arc::new(ask),
        at: world.now,
        cost,
        charged: None,
        counted: 0,
        told: 0,
        told_here: 0,
        failed: false,
    };
    world.sent.insert(key, sent);
    world.calls.insert(
        key,
        Call {
            reply: None,
            again: false,
        },
    );
}

fn pass(world: &mut World, isolate: Place, permits: u64, outcome: Outcome, from: From, at: u64) {
    world.latest.0 = Some(outcome);
    if !outcome.passes {
        return;
    }
    if from == From::Isolate {
        world.seen.each[isolate].given += permits;
    }
    let pass = Pass {
        at,
        isolate,
        from,
        permits,
    };
    let place = world.seen.passes.partition_point(|other| *other <= pass);
    world.seen.passes.insert(place, pass);
}

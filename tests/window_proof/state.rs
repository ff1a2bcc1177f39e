//! One state of the world, and what was counted on the way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use omnitrade_edge::engine::limit::crowd::Patience;
use omnitrade_edge::store::Ask;

use crate::isolate::{Log, Number, Outcome, Reply, WORKS};
use crate::model::ModelStore;

/// Which isolate.
pub type Place = usize;

/// Everything that there is. Times are true ones, in milliseconds since the start.
#[derive(Debug, Clone, Hash)]
#[expect(
    clippy::derived_hash_with_manual_eq,
    reason = "worlds are equal if their hashes are"
)]
pub struct World {
    pub now: u64,
    /// How far the clocks of the isolates are ahead of the true time, then that of the store.
    pub clocks: Vec<i64>,
    pub store: ModelStore,
    pub isolates: Vec<Log>,
    /// Requests that wait for calls of others.
    pub waiting: BTreeMap<(Place, Number), Waiting>,
    /// Calls that are on their way.
    pub calls: BTreeMap<(Place, Number), Call>,
    /// Attempts for which nobody waits any more, and whether they are repeats. They may still reach
    /// the store, or not.
    pub ghosts: BTreeSet<(Place, Number, bool)>,
    /// What is known of the calls of both kinds.
    pub sent: BTreeMap<(Place, Number), Sent>,
    /// How many requests have come to each isolate.
    pub came: Vec<Number>,
    pub seen: Seen,
    pub left: Left,
    /// How the latest request was decided.
    pub latest: Latest,
}

/// Two worlds are one if nobody can tell them apart: all that was seen tells what there is.
impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let hash = |world: &Self| {
            let mut hasher = DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        hash(self) == hash(other)
    }
}

/// How a request was decided, which makes no difference for what follows.
#[derive(Debug, Clone, Default)]
pub struct Latest(pub Option<Outcome>);

impl Hash for Latest {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// A request that waits.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub cost: u64,
    /// When it looks again.
    pub wakes: u64,
    pub patience: Patience,
    /// How often it has looked.
    pub looks: u8,
}

impl Hash for Waiting {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (
            self.cost,
            self.wakes,
            format!("{:?}", self.patience),
            self.looks,
        )
            .hash(state);
    }
}

/// A call that was sent, and what the store did with it. The log of its isolate tells the rest.
#[derive(Debug, Clone)]
pub struct Sent {
    pub ask: Arc<Ask>,
    pub at: u64,
    /// The cost, if it is the call of a request.
    pub cost: Option<u64>,
    /// When the store charged it first.
    pub charged: Option<u64>,
    /// How many permits it has told the store.
    pub told: u64,
    /// How many of them since the store was flushed, and how often it was charged since then.
    pub told_here: u64,
    pub counted: u8,
    /// Whether the isolate takes it for failed.
    pub failed: bool,
}

impl Hash for Sent {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (
            self.at,
            self.charged,
            self.counted,
            self.told,
            self.told_here,
            self.failed,
        )
            .hash(state);
    }
}

/// A call for which its isolate waits: the latest attempt of it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The store's reply, if it was carried out.
    pub reply: Option<Arc<Reply>>,
    /// Whether it is a repeat.
    pub again: bool,
}

impl Call {
    /// The first word of the store's reply, if there is one yet.
    pub fn outcome(&self) -> Option<i64> {
        self.reply.as_ref()?.value.as_array()?.first()?.as_int()
    }
}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.reply.as_ref().map(|reply| reply.hash), self.again).hash(state);
    }
}

/// What passed: permits, and where they came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pass {
    /// When the store charged them, or the isolate spent or gave them.
    pub at: u64,
    pub isolate: Place,
    pub from: From,
    pub permits: u64,
}

/// Where permits came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum From {
    /// The store has admitted the request.
    Store,
    /// Permits that were lent to the isolate.
    Lent,
    /// The isolate itself.
    Isolate,
}

/// What was seen on the way.
#[derive(Debug, Clone, Default, Hash)]
pub struct Seen {
    /// In the order of time.
    pub passes: Vec<Pass>,
    pub flushes: u64,
    /// Of each isolate.
    pub each: Vec<Account>,
    /// The ends of leases, in the order of time.
    pub voids: Vec<u64>,
    /// The largest and the smallest difference of a clock from the true time.
    pub fastest: i64,
    pub slowest: i64,
    /// The longest time that it took for a call to reach the store.
    pub slowest_call: u64,
    /// A call that the store counted twice although it could have known it.
    pub counted_twice: bool,
    /// The most that a request has looked.
    pub looks: u8,
}

/// The permits of one isolate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Account {
    /// Permits that the store has charged to its requests.
    pub charged: u64,
    /// Permits that the store has lent it.
    pub lent: u64,
    /// Lent permits that the store has taken back.
    pub returned: u64,
    /// Permits that it has given by itself.
    pub given: u64,
    /// Permits that the store has been told of, and those of them of which the isolate cannot know
    /// that.
    pub told: u64,
    pub told_unknown: u64,
}

/// What may still happen.
#[derive(Debug, Clone, Hash)]
pub struct Left {
    pub requests: u8,
    pub ticks: u8,
    pub breaks: u8,
    pub failures: u8,
    pub flushes: u8,
    pub steps: u8,
    pub sweeps: u8,
}

impl World {
    /// The most permits that passed in an interval of `window` milliseconds, both its ends
    /// included.
    pub fn fullest(&self, window: u64, counts: impl Fn(&Pass) -> bool) -> u64 {
        let counted: Vec<_> = self
            .seen
            .passes
            .iter()
            .filter(|pass| counts(pass))
            .collect();
        let from = |first: &&Pass| {
            let within = counted
                .iter()
                .filter(|pass| first.at <= pass.at && pass.at <= first.at + window);
            within.map(|pass| pass.permits).sum()
        };
        counted.iter().map(from).max().unwrap_or(0)
    }

    /// Whether every request that has come is answered.
    pub fn is_answered(&self) -> bool {
        self.waiting.is_empty() && self.calls.keys().all(|(_, number)| *number >= WORKS)
    }
}

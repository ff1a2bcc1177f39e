//! An isolate, as the log of what happened to it. The limiter is a function of that: the same log
//! leads to the same memory. So two orders of events that no isolate can tell apart are one state.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::crowd::Patience;
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::limiter::{Asking, Decided, Limits, Reason, Recalled, Rule, Taking, Work};
use omnitrade_edge::redis::Value;
use omnitrade_edge::store::Ask;

/// The number of a request or of a call, in its isolate. A request's call has its number.
pub type Number = u8;

/// Calls for which no request waits are numbered from here on.
pub const WORKS: Number = 100;

/// What happens to an isolate, each time at an instant of its own clock.
#[derive(Debug, Clone)]
pub enum Input {
    /// A request looks whether memory decides: it has come just now, or waited.
    Recall(Number, u64, Patience),
    /// A call was answered; `None`: it has failed.
    Answered(Number, Option<Arc<Reply>>),
    /// It is time to return permits and to tell debts.
    Sweep,
}

/// What follows from an input.
#[derive(Debug)]
pub enum Effect {
    Nothing,
    /// The request waits for so long, then looks again with this patience.
    Waits(Duration, Patience),
    /// The request asks the store.
    Asks(Ask),
    /// The request is decided. Perhaps a call follows for which no request waits.
    Decided(Outcome, Option<(Number, Ask)>),
    /// A call for which no request waits.
    Works(Number, Ask),
}

/// How a request was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub passes: bool,
    /// Whether the isolate has decided by itself, because the store did not answer.
    pub locally: bool,
    pub retry_after: Duration,
}

/// A reply of the store.
#[derive(Debug)]
pub struct Reply {
    pub value: Value,
    pub hash: u64,
}

impl Reply {
    pub fn new(value: Value) -> Arc<Self> {
        let mut hasher = DefaultHasher::new();
        format!("{value:?}").hash(&mut hasher);
        let hash = hasher.finish();
        Arc::new(Self { value, hash })
    }
}

impl Hash for Input {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Recall(number, cost, patience) => {
                (0, number, cost, format!("{patience:?}")).hash(state);
            }
            Self::Answered(number, reply) => {
                (1, number, reply.as_ref().map(|reply| reply.hash)).hash(state);
            }
            Self::Sweep => 2.hash(state),
        }
    }
}

/// What happened to an isolate, in its order.
#[derive(Debug, Clone)]
pub struct Log {
    seed: u64,
    inputs: Vec<(Timestamp, Arc<Input>)>,
    hash: u64,
    /// The isolate after that, unless another order of events has taken it. It can always be made
    /// anew.
    live: Arc<Mutex<Option<Isolate>>>,
}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl Log {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            inputs: Vec::new(),
            hash: seed,
            live: Arc::default(),
        }
    }

    /// The isolate loses its memory.
    pub fn forget(&mut self) {
        *self = Self::new(self.seed + 10);
    }

    /// What follows from one more input.
    pub fn push(
        &mut self,
        limit: &Limit,
        timeout: Duration,
        at: Timestamp,
        input: Input,
    ) -> Effect {
        let live = self
            .live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let mut isolate = live.unwrap_or_else(|| self.replay(limit, timeout));
        let effect = isolate.take(limit, at, &input);
        let mut hasher = DefaultHasher::new();
        (self.hash, at, &input).hash(&mut hasher);
        self.hash = hasher.finish();
        self.inputs.push((at, Arc::new(input)));
        self.live = Arc::new(Mutex::new(Some(isolate)));
        effect
    }

    fn replay(&self, limit: &Limit, timeout: Duration) -> Isolate {
        let mut isolate = Isolate {
            limits: Limits::new(timeout, self.seed),
            askings: BTreeMap::new(),
            works: BTreeMap::new(),
            next: WORKS,
        };
        for (at, input) in &self.inputs {
            isolate.take(limit, *at, input);
        }
        isolate
    }
}

/// The one limit, and the key of the one subject.
#[derive(Debug)]
pub struct Limit {
    pub rule: Rule,
    pub key: String,
}

/// The isolate itself.
#[derive(Debug)]
struct Isolate {
    limits: Limits,
    askings: BTreeMap<Number, Asking>,
    works: BTreeMap<Number, Work>,
    /// The number of the next call for which no request waits.
    next: Number,
}

impl Isolate {
    fn take(&mut self, limit: &Limit, at: Timestamp, input: &Input) -> Effect {
        match input {
            Input::Recall(number, cost, patience) => {
                let taking = Taking {
                    rule: &limit.rule,
                    key: &limit.key,
                    cost: *cost,
                    quota: None,
                };
                match self.limits.recall(&[taking], Some(*patience), at) {
                    Recalled::Decided(decided) => self.decided(&decided, at),
                    Recalled::Wait(pause, patience) => Effect::Waits(pause, patience),
                    Recalled::Ask(asking) => {
                        let ask = asking.ask.clone();
                        self.askings.insert(*number, *asking);
                        Effect::Asks(ask)
                    }
                }
            }
            Input::Answered(number, reply) => {
                let lost = || Error::from(ErrorKind::Timeout);
                let reply = reply.as_ref().map(|reply| reply.value.clone());
                let reply = reply.ok_or_else(lost);
                if let Some(work) = self.works.remove(number) {
                    self.limits.worked(&work, reply, at);
                    return Effect::Nothing;
                }
                let asking = self.askings.remove(number).expect("a call that was made");
                let decided = self.limits.answered(asking, reply, at);
                self.decided(&decided, at)
            }
            Input::Sweep => match self.limits.returning(at) {
                Some(work) => {
                    let (number, ask) = self.begin(work);
                    Effect::Works(number, ask)
                }
                None => Effect::Nothing,
            },
        }
    }

    fn decided(&mut self, decided: &Decided, at: Timestamp) -> Effect {
        let told = decided.limits().next().expect("the one limit");
        let outcome = Outcome {
            passes: decided.passes(),
            locally: told.reason == Some(Reason::Timeout),
            retry_after: decided.retry_after(),
        };
        let work = self.limits.work_after(decided, at);
        Effect::Decided(outcome, work.map(|work| self.begin(work)))
    }

    fn begin(&mut self, work: Work) -> (Number, Ask) {
        let (number, ask) = (self.next, work.ask.clone());
        self.next += 1;
        self.works.insert(number, work);
        (number, ask)
    }
}

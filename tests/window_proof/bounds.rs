//! How much may happen, and what may be broken.

use std::time::Duration;

use omnitrade_edge::limiter::Rule;

use crate::state::Left;

/// What may happen in one search.
#[derive(Debug, Clone)]
pub struct Bounds {
    pub name: &'static str,
    pub isolates: usize,
    pub quota: u64,
    pub leased: bool,
    /// What requests may cost.
    pub costs: &'static [u64],
    /// The longest that a call takes, in milliseconds.
    pub timeout: u64,
    /// Whether a request comes only when all others are answered.
    pub sequential: bool,
    /// Whether the pauses of those who wait take time. If not, they look again at once.
    pub pauses: bool,
    /// Whether a call that has failed may still reach the store.
    pub haunted: bool,
    /// How time passes.
    pub kinds: &'static [Tick],
    /// By how much clocks may be corrected, in milliseconds.
    pub steps: &'static [i64],
    /// How often each of it may happen.
    pub left: Left,
    /// What is seen in some states, so that the search is not in vain.
    pub shows: &'static [Sight],
}

/// What is seen in some states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// A window holds the whole quota.
    Full,
    /// So does a window after the first.
    FullAgain,
    /// A request waits for the call of another.
    Waits,
    /// Permits that were lent are spent.
    Lent,
    /// Permits that were lent go back.
    Returned,
    /// The store is told what an isolate has given.
    Told,
    /// A window holds more than the quota: isolates gave the rest.
    Overfull,
    /// The store recognises a repeat.
    Repeated,
}

/// Nothing may happen.
pub const NOTHING: Left = Left {
    requests: 0,
    ticks: 0,
    breaks: 0,
    failures: 0,
    flushes: 0,
    steps: 0,
    sweeps: 0,
};

/// How time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// So many milliseconds.
    For(u64),
    /// To the next sub-bucket.
    SubBucket,
    /// To the last instant of a window that begins with something that has passed.
    EndOfWindow,
    /// Until something that has passed leaves the window of the store.
    Leaves,
    /// To the last instant of a lease.
    EndOfLease,
    /// To the instant from which permits are void.
    Void,
}

/// What is broken, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store lends permits twice.
    LendsTwice,
    /// Permits become void later than the store has counted.
    VoidsLate,
    /// The store forgets what it has counted before it leaves the window.
    ForgetsEarly,
    /// The store counts a permit too few.
    CountsOneLess,
    /// The store does not know the ids of calls.
    ForgetsIds,
    /// The store does not know a call that it has refused, but that has told it something.
    ForgetsWhatRefusedTold,
    /// The store tells who is refused to come back too early.
    PromisesTooEarly,
    /// The store keeps nothing any more after it was flushed.
    KeepsNothingAfterFlush,
    /// One answer decides two requests.
    AnswersTwo,
    /// Who waits forgets how long.
    ForgetsPatience,
    /// An isolate forgets what it has given when a call fails.
    RestartsAfterFailure,
    /// The store is not told what was given.
    TellsNothing,
    /// It is told twice.
    TellsTwice,
    /// Nothing of the limiter: the proof does not allow for what is assumed of clocks and calls.
    AllowsForNothing,
}

impl Bounds {
    pub fn rule(&self) -> Rule {
        let rule = Rule::new(self.quota, Duration::from_secs(60));
        if self.leased { rule.leased() } else { rule }
    }
}

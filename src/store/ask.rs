//! A call of `admit.lua`: one question to the store about all limits, the API key and the entry.

use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use crate::clock::{Timestamp, millis};
use crate::engine::limit::sliding_window::{Cut, TOLERANCE};
use crate::engine::limit::{Buckets, Charge, Lend, Receipt};
use crate::engine::registry::RecordNames;
use crate::redis::Script;

use super::lua::script;

/// The script. It recognises a repeat of a call by its id, so a call may be sent again.
pub static ADMIT: LazyLock<Script> =
    LazyLock::new(|| Script::new(script!("admit.lua")).repeatable());

/// One call of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// KEYS.
    pub keys: Vec<String>,
    /// ARGV, except for the last one, which says whether this may be a repeat.
    pub args: Vec<String>,
    /// The correction of the caller's clock that is included in `now`, in milliseconds.
    pub correction_ms: i64,
    /// The time that the call states.
    pub now: Timestamp,
    pub(super) limits: usize,
    pub(super) cached: bool,
}

/// The cache's part of an [`Ask`].
#[derive(Debug, Clone)]
pub struct EntryQuery {
    /// The key of the entry.
    pub entry: String,
    /// The key of the refresh lease.
    pub lease: String,
    /// The keys of the epochs of the entry.
    pub epochs: Vec<String>,
    /// How long a refresh may take before another caller may refresh; `None`: this caller cannot
    /// refresh.
    pub lease_for: Option<Duration>,
    /// How long before the entry goes stale it may be refreshed already.
    pub early: Duration,
    /// The beginning of the entry that the caller has already, if it has one: the store does not
    /// send that entry again.
    pub known: Option<String>,
}

impl Ask {
    /// A call that states the time `now`. No other call may use its `id` for as long as a repeat
    /// can arrive, `horizon`. `ask_time`: asks too how far the clock of this isolate is off.
    pub fn new(now: Timestamp, id: &str, horizon: Duration, ask_time: bool) -> Self {
        let args = vec![
            now.as_millis().to_string(),
            "0".to_owned(),
            millis(TOLERANCE).to_string(),
            "0".to_owned(),
            u8::from(ask_time).to_string(),
            id.to_owned(),
            millis(horizon).to_string(),
            "0".to_owned(),
            "0".to_owned(),
            "0".to_owned(),
            "0".to_owned(),
            String::new(),
        ];
        Self {
            keys: Vec::new(),
            args,
            correction_ms: 0,
            now,
            limits: 0,
            cached: false,
        }
    }

    /// Asks about a limit. Asks too to `lend` more permits ahead, if they can be spared, and to
    /// take `back` permits that were charged there.
    pub fn limit(&mut self, charge: &Charge, lend: impl Into<Lend>, back: &[(Receipt, u64)]) {
        self.limit_owing(charge, lend.into(), back, 0);
    }

    /// The same. Tells too that this isolate has given so many permits by itself.
    pub fn limit_owing(&mut self, charge: &Charge, lend: Lend, back: &[(Receipt, u64)], owed: u64) {
        self.push(charge, lend, back_word(back), owed);
    }

    /// Asks to take back permits of this limit, whenever they were charged.
    pub fn refund(&mut self, charge: &Charge, permits: u64) {
        self.push(charge, Lend::NONE, format!("* {permits}"), 0);
    }

    fn push(&mut self, charge: &Charge, lend: Lend, back: String, owed: u64) {
        let (without, with, plans) = match &charge.buckets {
            Buckets::One(bucket) => (Some(bucket), bucket, None),
            Buckets::ByStanding {
                without,
                with,
                plans,
            } => (without.as_ref(), with, Some(plans)),
        };
        let mut key = |key: &str| {
            self.keys.push(key.to_owned());
            self.keys.len()
        };
        let first = without.map_or(0, |bucket| key(&bucket.key));
        let second = match without {
            Some(bucket) if bucket.key == with.key => first,
            _ => key(&with.key),
        };
        let mut plan_words = String::new();
        for (name, permits) in plans.into_iter().flat_map(|plans| plans.iter()) {
            let _ = write!(plan_words, "{name}={permits} ");
        }
        let cut = Cut::of(charge.window);
        self.args.extend([first, second].map(|n| n.to_string()));
        let permits = without.map_or(0, |bucket| bucket.permits);
        self.args
            .extend([permits, with.permits].map(|n| n.to_string()));
        self.args.push(plan_words.trim_end().to_owned());
        let numbers = [charge.kept, charge.cost, cut.width, cut.buckets];
        self.args.extend(numbers.map(|n| n.to_string()));
        self.args.push(charge.role.as_str().to_owned());
        self.args
            .extend([lend.permits, millis(lend.term), charge.unlent].map(|n| n.to_string()));
        self.args.push(back);
        self.args.extend([lend.rush, owed].map(|n| n.to_string()));
        self.limits += 1;
        self.set(1, self.limits.to_string());
    }

    /// Asks whether the client's API key is registered: whether there is a record of one of these
    /// names. If there are two, the current one counts.
    pub fn record(&mut self, names: &RecordNames) {
        self.keys.push(names.current().to_owned());
        let mut places = self.keys.len().to_string();
        if let Some(previous) = names.previous() {
            self.keys.push(previous.to_owned());
            let _ = write!(places, " {}", self.keys.len());
        }
        self.set(7, places);
    }

    /// Adds the question of the cache.
    pub fn look_up(&mut self, query: &EntryQuery) {
        let lease_for = millis(query.lease_for.unwrap_or_default());
        self.set(3, lease_for.to_string());
        self.keys.push(query.entry.clone());
        self.set(8, self.keys.len().to_string());
        self.keys.push(query.lease.clone());
        self.keys.extend(query.epochs.iter().cloned());
        self.set(9, query.epochs.len().to_string());
        self.set(10, millis(query.early).to_string());
        self.set(11, query.known.clone().unwrap_or_default());
        self.cached = true;
    }

    fn set(&mut self, at: usize, word: String) {
        if let Some(slot) = self.args.get_mut(at) {
            *slot = word;
        }
    }

    /// How long ago it was made, if the caller's clock shows `local_now`.
    pub fn took(&self, local_now: Timestamp) -> Duration {
        let asked = self.now.as_millis();
        let asked = asked.saturating_add_signed(-self.correction_ms);
        local_now.since(Timestamp::from_millis(asked))
    }

    /// Whether it asks about limits.
    pub const fn asks_limits(&self) -> bool {
        self.limits > 0
    }

    /// Whether the call asks nothing.
    pub const fn is_empty(&self) -> bool {
        self.limits == 0 && !self.cached
    }
}

/// The permits that go back to one state, that of the last receipt. The states of other receipts no
/// longer exist.
fn back_word(back: &[(Receipt, u64)]) -> String {
    let Some((last, _)) = back.last() else {
        return String::new();
    };
    let mut word = last.tag.clone();
    let same = back.iter().filter(|(receipt, _)| receipt.tag == last.tag);
    for (receipt, permits) in same {
        let _ = write!(word, " {} {permits}", receipt.bucket);
    }
    word
}

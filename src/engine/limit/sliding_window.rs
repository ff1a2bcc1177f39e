//! The sliding window, counted in sub-buckets of which the oldest counts in full.
//!
//! A window is divided into `k` sub-buckets. A request at time `t` falls in sub-bucket `i =
//! ⌊t/width⌋`. It is admitted if the permits counted in sub-buckets `i − k` and later, together
//! with its own cost, are at most the quota. As `k · width` is at least the window, every request
//! within an interval as long as the window lies in the sub-buckets that are counted at its end:
//! **no window ever holds more than the quota**, by construction and not within a tolerance. The
//! window refuses too much by at most the permits of one sub-bucket.
//!
//! Permits may be lent ahead ([`State::lend`]). They are counted in the sub-bucket in which they
//! become void, so that a permit that is spent late still counts for a whole window after that.
//! The longer the term for which they are lent, the later they are counted, and the later they
//! leave the window: of a client with rate `r`, `r · (window + term + width)` are counted. A term
//! is at most as long as that fits in the quota, with `r` as the counts show it.
//!
//! The store runs the same algorithm as a script (`store/admit.lua`), on the same one-line state
//! (`sliding_window/text.rs`). This Rust version is its specification: tests compare the two.

mod text;

use std::time::Duration;

use crate::clock::{Timestamp, millis};

use super::verdict::{Lend, Quota, Verdict};

/// Sub-buckets in a window, if the window has at least as many milliseconds.
const SUB_BUCKETS: u64 = 30;

/// The largest difference between two clocks that are both right; if they differ by more, one is
/// wrong.
pub const TOLERANCE: Duration = Duration::from_millis(1_000);

/// The longest time for which permits are lent.
pub const LONGEST_LEASE: Duration = Duration::from_secs(30);

/// The longest time for which permits are lent no matter how many are left.
const ALWAYS_LENT: Duration = Duration::from_secs(10);

/// At most this part of a window is the term of a lease, if that is at least two sub-buckets.
const LEASES_IN_WINDOW: u64 = 4;

/// One lease takes at most one in this many of the permits left, so that other isolates get some,
/// too.
pub const LENDING_SHARE: u64 = 3;

/// The longest state as text, in bytes.
pub const LONGEST_STATE: usize = 400;

/// The most bytes of call ids in one generation, before some are forgotten.
const MOST_IDS: usize = 36;

/// How many sub-buckets after the newest time seen permits may be counted, besides
/// [`LONGEST_LEASE`]. A lease needs seven; if a window is made shorter, one that was drawn before
/// may need more of the new ones.
const AHEAD: u64 = 100;

/// The largest integer that a Lua number holds exactly.
const LARGEST: u64 = (1 << 53) - 1;

/// How a window is divided into sub-buckets.
///
/// ```
/// # use omnitrade_edge::engine::limit::sliding_window::Cut;
/// # use std::time::Duration;
/// assert_eq!(Cut::of(Duration::from_secs(60)), Cut { width: 2_000, buckets: 30 });
/// assert_eq!(Cut::of(Duration::from_millis(7)), Cut { width: 1, buckets: 7 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The width of a sub-bucket in milliseconds.
    pub width: u64,
    /// Sub-buckets that cover a window.
    pub buckets: u64,
}

impl Cut {
    /// Divides `window`. A window shorter than a millisecond counts as a millisecond.
    pub fn of(window: Duration) -> Self {
        let window = millis(window).max(1);
        let width = window.div_ceil(SUB_BUCKETS);
        Self {
            width,
            buckets: window.div_ceil(width),
        }
    }

    /// The sub-bucket in which an instant falls.
    pub const fn bucket(self, at: Timestamp) -> u64 {
        at.as_millis() / self.width
    }

    /// The term for which permits may be lent no matter how many are left: about until the end of
    /// the next sub-bucket.
    pub fn shortest_lease(self) -> Duration {
        Duration::from_millis(self.width.saturating_mul(2)).min(ALWAYS_LENT)
    }

    /// The longest term for which permits may be lent: a quarter of the window, but at least two
    /// sub-buckets and at most [`LONGEST_LEASE`].
    ///
    /// ```
    /// # use omnitrade_edge::engine::limit::sliding_window::Cut;
    /// # use std::time::Duration;
    /// let longest = |window| Cut::of(Duration::from_secs(window)).longest_lease().as_secs();
    /// assert_eq!((longest(60), longest(120), longest(86_400)), (15, 30, 30));
    /// ```
    pub fn longest_lease(self) -> Duration {
        let quarter = self.width.saturating_mul(self.buckets) / LEASES_IN_WINDOW;
        let longest = quarter.max(self.width.saturating_mul(2));
        Duration::from_millis(longest).min(LONGEST_LEASE)
    }

    /// The instant at which sub-bucket `bucket` is no longer counted.
    const fn end(self, bucket: u64) -> Timestamp {
        Timestamp::from_millis(
            bucket
                .saturating_add(self.buckets)
                .saturating_add(1)
                .saturating_mul(self.width),
        )
    }
}

/// The permits counted for one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    seen: Timestamp,
    base: u64,
    counts: Vec<u64>,
    tag: u64,
    ids: Ids,
}

/// The ids of the latest calls, in two generations. Each covers the time within which a call may be
/// repeated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Ids {
    /// When the younger generation began.
    made: Timestamp,
    young: String,
    old: String,
}

/// Permits that were lent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lent {
    /// How many; zero if none could be spared.
    pub permits: u64,
    /// The sub-bucket in which they are counted.
    pub bucket: u64,
    /// How long until they become void.
    pub void_after: Duration,
}

impl State {
    /// The newest time at which a request was counted.
    pub const fn seen(&self) -> Timestamp {
        self.seen
    }

    /// A tag that tells this state from one that was lost and created again.
    pub const fn tag(&self) -> u64 {
        self.tag
    }

    /// Whether the state counts no permits.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// The instant from which nothing in this state counts any more.
    pub fn expires_at(&self, cut: Cut) -> Timestamp {
        cut.end((self.base + self.counts.len() as u64).saturating_sub(1))
    }

    /// The verdict on a request of `cost` at `now`, without counting it. If `now` is before the
    /// newest time seen, the newest time seen is used instead.
    pub fn check(&self, quota: Quota, cost: u64, now: Timestamp) -> Verdict {
        let window = self.window(quota, now);
        let used = window.used();
        let enough = quota.permits.saturating_sub(cost);
        Verdict {
            met: used.saturating_add(cost) <= quota.permits,
            remaining: quota.permits.saturating_sub(used),
            retry_after: match used > enough {
                true => window.until_used(enough),
                false => Duration::ZERO,
            },
            reset_after: match used {
                0 => Duration::ZERO,
                used if used <= enough => window.until_used(used - 1),
                _ => window.until_used(enough),
            },
        }
    }

    /// Counts a request of `cost` at `now` if the quota allows it, and returns the verdict.
    pub fn admit(&mut self, quota: Quota, cost: u64, now: Timestamp) -> Verdict {
        let verdict = self.check(quota, cost, now);
        if !verdict.met {
            return verdict;
        }
        self.charge(quota, cost, now);
        Verdict {
            met: true,
            retry_after: Duration::ZERO,
            ..self.check(quota, cost, now)
        }
    }

    /// Counts a request without a check, for callers that check several limits before they charge
    /// any. Forgets what has left the window.
    pub fn charge(&mut self, quota: Quota, cost: u64, now: Timestamp) {
        self.forget(quota, now);
        self.begin(now);
        self.seen = now.max(self.seen);
        if cost > 0 {
            self.count(Cut::of(quota.window).bucket(self.seen), cost);
        }
    }

    /// Lends up to `wanted` permits ahead, out of those of the `lendable` permits that are unused,
    /// and counts them in the sub-bucket in which they become void. Of these, `wanted.rush` are for
    /// requests that wait. Whatever else the call takes must be charged before.
    ///
    /// They become void after about `term`, if that is neither too short nor too long: see
    /// [`Cut::shortest_lease`], [`Cut::longest_lease`] and the description of this module.
    pub fn lend(&mut self, quota: Quota, lendable: u64, wanted: Lend, now: Timestamp) -> Lent {
        let cut = Cut::of(quota.window);
        let now = now.max(self.seen);
        let spare = lendable.saturating_sub(self.window(quota, now).used());
        let term = wanted.term.min(cut.longest_lease());
        let term = term.min(self.longest_term(quota, lendable, now));
        let void = now + term.max(cut.shortest_lease());
        // Permits that become void within a sub-bucket are counted as late as those that become
        // void at its end.
        let edge = cut.bucket(void);
        let void = match edge >= cut.bucket(now) + 2 {
            true => Timestamp::from_millis(edge.saturating_mul(cut.width)),
            false => void,
        };
        let lent = Lent {
            permits: wanted
                .permits
                .min((spare / LENDING_SHARE).max(wanted.rush.min(spare))),
            bucket: cut.bucket(void - Duration::from_millis(1)),
            void_after: void.since(now),
        };
        if lent.permits > 0 {
            self.begin(now);
            self.seen = now;
            self.count(lent.bucket, lent.permits);
        }
        lent
    }

    /// The longest term for which a client that goes on as in this window can be lent permits
    /// without being refused only because they are counted when they become void.
    fn longest_term(&self, quota: Quota, lendable: u64, now: Timestamp) -> Duration {
        let cut = Cut::of(quota.window);
        let window = self.window(quota, now);
        let Some((first, _)) = window.counts.clone().find(|(_, count)| *count > 0) else {
            return cut.longest_lease();
        };
        let whole = cut.width.saturating_mul(cut.buckets + 1);
        let from = Timestamp::from_millis(first.saturating_mul(cut.width));
        let since = millis(now.since(from)).min(whole);
        // The script computes with numbers of this type.
        let fits = number(lendable) * number(since) / number(window.used());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast of a float saturates"
        )]
        let fits = fits.floor() as u64;
        Duration::from_millis(fits.saturating_sub(whole))
    }

    /// Gives back permits that were counted in sub-bucket `bucket`, at most as many as are counted
    /// there.
    pub fn give_back(&mut self, bucket: u64, permits: u64) {
        let at = bucket.checked_sub(self.base).map(usize::try_from);
        let Some(Ok(at)) = at else { return };
        if let Some(count) = self.counts.get_mut(at) {
            *count = count.saturating_sub(permits);
        }
    }

    /// Gives back permits regardless of where they were counted, the oldest first: what remains
    /// then stays counted for longer rather than for less time.
    pub fn give_back_oldest(&mut self, mut permits: u64) {
        for count in &mut self.counts {
            let taken = permits.min(*count);
            *count -= taken;
            permits -= taken;
        }
    }

    /// Repairs a state that a wrong clock has written; `now` is the right time. Permits counted in
    /// the present sub-bucket or later (all permits, if `all` is true) move to the sub-bucket in
    /// which the longest lease granted at `now` would become void, because some of them may be
    /// lent.
    pub fn mend(&mut self, cut: Cut, all: bool, now: Timestamp) {
        let (present, void) = (cut.bucket(now), now + cut.longest_lease());
        let first = present.saturating_sub(cut.buckets);
        let mut misplaced = 0;
        for (bucket, count) in (self.base..).zip(std::mem::take(&mut self.counts)) {
            if all || bucket >= present {
                misplaced += count;
            } else if bucket >= first {
                self.count(bucket, count);
            }
        }
        self.count(cut.bucket(void - Duration::from_millis(1)), misplaced);
        self.seen = now;
        self.tag = tag_of(now);
        self.ids.made = now;
    }

    /// Forgets the sub-buckets that have left the window, and the empty ones before the first that
    /// counts something.
    pub fn forget(&mut self, quota: Quota, now: Timestamp) {
        let kept: Vec<_> = self.window(quota, now).counts.collect();
        let kept = kept.into_iter().skip_while(|(_, count)| *count == 0);
        let mut base = None;
        self.counts.clear();
        for (bucket, count) in kept {
            base.get_or_insert(bucket);
            self.counts.push(count);
        }
        self.base = base.unwrap_or(self.base);
        if self.is_empty() {
            *self = Self {
                seen: self.seen,
                ..Self::default()
            };
        }
    }

    /// Whether a call with this id was counted. `None` if ids were forgotten that may still be
    /// repeated.
    ///
    /// Ids age by the newest time seen and are kept only as long as the state. If the clocks of
    /// callers differ by more than `horizon`, an id may be forgotten early.
    pub fn has_seen(&self, id: &str, horizon: Duration, now: Timestamp) -> Option<bool> {
        if id.is_empty() || now.since(self.ids.made) > horizon.saturating_mul(2) {
            return Some(false);
        }
        let generations = [&self.ids.young, &self.ids.old];
        match generations.iter().any(|ids| ids.contains(id)) {
            true => Some(true),
            false if generations.iter().any(|ids| ids.contains('-')) => None,
            false => Some(false),
        }
    }

    /// Remembers the id of a counted call for as long as the call may be repeated. An empty id
    /// stands for a call that need not be recognised again.
    pub fn remember(&mut self, id: &str, horizon: Duration, now: Timestamp, cut: Cut) {
        self.seen = self.seen.max(now);
        let age = now.since(self.ids.made);
        if self.ids.made > now || age > horizon.saturating_mul(2) {
            self.ids = Ids {
                made: now,
                ..Ids::default()
            };
        } else if age > horizon {
            self.ids = Ids {
                made: now,
                young: String::new(),
                old: std::mem::take(&mut self.ids.young),
            };
        }
        if self.ids.young.len() >= MOST_IDS && !id.is_empty() {
            "-".clone_into(&mut self.ids.young);
        }
        self.ids.young.push_str(id);
        if self.to_text(cut).is_some_and(|t| t.len() > LONGEST_STATE) {
            self.ids.young = format!("-{id}");
            "-".clone_into(&mut self.ids.old);
        }
        // If the counts alone are too long, the oldest count for longer: in the next sub-bucket.
        while self.to_text(cut).is_some_and(|t| t.len() > LONGEST_STATE) && self.counts.len() > 1 {
            let oldest = self.counts.remove(0);
            self.base += 1;
            if let Some(next) = self.counts.first_mut() {
                *next = next.saturating_add(oldest);
            }
        }
    }

    /// Starts the tag and the ids of an empty state at `now`.
    fn begin(&mut self, now: Timestamp) {
        if self.counts.is_empty() {
            self.tag = tag_of(now);
            self.ids.made = now;
        }
    }

    fn count(&mut self, bucket: u64, permits: u64) {
        if self.counts.is_empty() {
            self.base = bucket;
        }
        while self.base > bucket {
            self.counts.insert(0, 0);
            self.base -= 1;
        }
        let at = usize::try_from(bucket - self.base).unwrap_or(usize::MAX);
        if self.counts.len() <= at {
            self.counts.resize(at.saturating_add(1), 0);
        }
        if let Some(count) = self.counts.get_mut(at) {
            *count = count.saturating_add(permits);
        }
    }

    /// The sub-buckets that are counted at `now`.
    fn window(
        &self,
        quota: Quota,
        now: Timestamp,
    ) -> Window<impl Iterator<Item = (u64, u64)> + Clone> {
        let cut = Cut::of(quota.window);
        let first = cut.bucket(now.max(self.seen)).saturating_sub(cut.buckets);
        let numbered = (self.base..).zip(self.counts.iter().copied());
        Window {
            counts: numbered.skip_while(move |(bucket, _)| *bucket < first),
            cut,
            now,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the script rounds as much")]
const fn number(number: u64) -> f64 {
    number as f64
}

/// The tag of a state that is created at `now`.
const fn tag_of(now: Timestamp) -> u64 {
    now.as_millis() % (1 << 24)
}

/// The sub-buckets that count at one instant: their numbers and permits, the oldest first.
struct Window<I> {
    counts: I,
    cut: Cut,
    now: Timestamp,
}

impl<I: Iterator<Item = (u64, u64)> + Clone> Window<I> {
    fn used(&self) -> u64 {
        self.counts.clone().map(|(_, count)| count).sum()
    }

    /// How long until at most `target` permits are counted.
    fn until_used(&self, target: u64) -> Duration {
        let mut used = self.used();
        if used <= target {
            return Duration::ZERO;
        }
        for (bucket, count) in self.counts.clone() {
            used -= count;
            if used <= target {
                return self.cut.end(bucket).since(self.now);
            }
        }
        Duration::ZERO
    }
}

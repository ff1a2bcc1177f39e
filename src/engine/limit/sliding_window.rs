//! The sliding window: sub-buckets, the oldest counted whole.
//!
//! A window is cut in `k` sub-buckets. A request at time `t` falls in sub-bucket
//! `i = ⌊t / width⌋` and is admitted when all that was counted in sub-buckets `i − k` and later,
//! with its own cost, is at most the quota. As `k · width` is at least the window, whatever lies
//! inside an interval of the window's length is inside the sub-buckets counted at its end:
//! **no window ever holds more than the quota**, by construction and not by tolerance. What is
//! refused too much is at most one sub-bucket's worth.
//!
//! The store runs this as a script (`gateway/admit.lua`); here it is the same in Rust, on the same
//! one-line state. It specifies the script: tests
//! hold the one against the other.

use std::time::Duration;

use crate::clock::{Timestamp, millis};

use super::{Quota, Verdict};

/// Sub-buckets in a window, where the window has that many milliseconds.
const SUB_BUCKETS: u64 = 30;

/// How far apart two clocks may be before somebody has to be wrong.
pub const TOLERANCE: Duration = Duration::from_millis(1_000);

/// The largest integer that a Lua number holds exactly.
const LARGEST: u64 = (1 << 53) - 1;

/// How a window is cut.
///
/// ```
/// # use omnitrade_edge::engine::limit::sliding_window::Cut;
/// # use std::time::Duration;
/// assert_eq!(Cut::of(Duration::from_secs(60)), Cut { width: 2_000, buckets: 30 });
/// assert_eq!(Cut::of(Duration::from_millis(7)), Cut { width: 1, buckets: 7 });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Milliseconds of a sub-bucket.
    pub width: u64,
    /// Sub-buckets that cover a window.
    pub buckets: u64,
}

impl Cut {
    /// Cuts `window`; one shorter than a millisecond counts as a millisecond.
    pub fn of(window: Duration) -> Self {
        let window = millis(window).max(1);
        let width = window.div_ceil(SUB_BUCKETS);
        Self {
            width,
            buckets: window.div_ceil(width),
        }
    }

    const fn bucket(self, at: Timestamp) -> u64 {
        at.as_millis() / self.width
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

/// What has been counted for one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    seen: Timestamp,
    base: u64,
    counts: Vec<u64>,
}

impl State {
    /// Reads the one-line form. What is not such a line, or cannot be true, is an empty state.
    ///
    /// A state of another sub-bucket width comes from another configuration: all that it counted
    /// counts as if it had come at the last moment, so that a change frees nobody.
    pub fn parse(text: &str, cut: Cut) -> Self {
        Self::parse_strictly(text, cut).unwrap_or_default()
    }

    fn parse_strictly(text: &str, cut: Cut) -> Option<Self> {
        let number = |word: &str| word.parse::<u64>().ok().filter(|n| *n <= LARGEST);
        let mut words = text.strip_prefix("1 ")?.split(' ');
        let seen = number(words.next()?)?;
        let width = number(words.next()?).filter(|width| *width > 0)?;
        let mut base = number(words.next()?)?;
        let mut counts = words.map(number).collect::<Option<Vec<_>>>()?;
        let held = counts.len() as u64;
        let total = counts
            .iter()
            .try_fold(0_u64, |sum, count| sum.checked_add(*count))
            .filter(|total| *total <= LARGEST)?;
        if held == 0 || held > 1_000 || base > LARGEST / width {
            return None;
        }
        if width != cut.width {
            base = seen.max((base + held - 1) * width) / cut.width;
            counts = vec![total];
        }
        let seen = Timestamp::from_millis(seen);
        let last = base + counts.len() as u64 - 1;
        (last <= cut.bucket(seen) + cut.buckets + 1).then_some(Self { seen, base, counts })
    }

    /// Writes the one-line form; nothing counted, nothing to write.
    pub fn to_text(&self, cut: Cut) -> Option<String> {
        use std::fmt::Write as _;
        if self.counts.is_empty() {
            return None;
        }
        let mut text = format!("1 {} {} {}", self.seen.as_millis(), cut.width, self.base);
        for count in &self.counts {
            let _ = write!(text, " {count}");
        }
        Some(text)
    }

    /// The newest time at which a request was counted.
    pub const fn seen(&self) -> Timestamp {
        self.seen
    }

    /// The instant from which on nothing of this state is counted.
    pub fn expires_at(&self, cut: Cut) -> Timestamp {
        cut.end((self.base + self.counts.len() as u64).saturating_sub(1))
    }

    /// What a request of `cost` at `now` is told, without counting it. A `now` before the newest
    /// time seen is taken for that time.
    pub fn check(&self, quota: Quota, cost: u64, now: Timestamp) -> Verdict {
        let window = self.window(quota, now);
        let used = window.used();
        let enough = quota.permits.saturating_sub(cost);
        Verdict {
            met: used.saturating_add(cost) <= quota.permits,
            remaining: quota.permits.saturating_sub(used),
            retry_after: window.until_used(enough),
            reset_after: match used {
                0 => Duration::ZERO,
                used if used <= enough => window.until_used(used - 1),
                _ => window.until_used(enough),
            },
        }
    }

    /// Counts a request of `cost` at `now` if the quota allows it, and says how that went.
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

    /// Counts a request, come what may: for callers that check several limits before they charge
    /// any. Forgets what has left the window.
    pub fn charge(&mut self, quota: Quota, cost: u64, now: Timestamp) {
        let kept: Vec<_> = self.window(quota, now).counts.collect();
        let kept = kept.into_iter().skip_while(|(_, count)| *count == 0);
        self.seen = now.max(self.seen);
        let i = Cut::of(quota.window).bucket(self.seen);
        let mut base = None;
        self.counts.clear();
        for (bucket, count) in kept {
            base.get_or_insert(bucket);
            self.counts.push(count);
        }
        self.base = base.unwrap_or(i);
        while self.base > i {
            self.counts.insert(0, 0);
            self.base -= 1;
        }
        let at = usize::try_from(i - self.base).unwrap_or(usize::MAX);
        if self.counts.len() <= at {
            self.counts.resize(at.saturating_add(1), 0);
        }
        if let Some(count) = self.counts.get_mut(at) {
            *count = count.saturating_add(cost);
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

/// What is counted at one instant: sub-buckets by number, the oldest first.
struct Window<I> {
    counts: I,
    cut: Cut,
    now: Timestamp,
}

impl<I: Iterator<Item = (u64, u64)> + Clone> Window<I> {
    fn used(&self) -> u64 {
        self.counts.clone().map(|(_, count)| count).sum()
    }

    /// How long until at most `target` is counted.
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

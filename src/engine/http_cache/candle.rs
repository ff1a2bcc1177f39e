//! How long an answer about candles holds: for good if its last candle had closed when it was asked
//! for, else until the open one closes.

use std::time::Duration;

use super::tags::LONGEST_STORED;
use crate::clock::{Timestamp, calendar};

/// The lifetime of the answer to a question about candles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candles {
    /// The length of a candle.
    pub interval: Interval,
    /// The instant that the question ends with; `None`: now, or what nobody can say.
    pub end: Option<Timestamp>,
    /// The longest that an answer with an open candle is fresh.
    pub open_ttl: Option<Duration>,
}

/// The length of a candle, and where candles of it begin, all in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// Each as long as the other.
    Fixed {
        /// In milliseconds, never zero.
        length: u64,
        /// How long before the Unix epoch one of them began, in milliseconds; less than `length`.
        before_epoch: u64,
    },
    /// A month of the calendar.
    Month,
}

/// What holds of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candle {
    /// Its last candle had closed: it never changes.
    Closed,
    /// The open candle closes after so long.
    Open(Duration),
}

impl Candles {
    /// What holds of an answer that was asked for at `asked`.
    pub fn at(&self, asked: Timestamp) -> Candle {
        let closed = |end: Timestamp| self.interval.close_after(end) + SETTLES_WITHIN <= asked;
        match self.end.is_some_and(closed) {
            true => Candle::Closed,
            false => {
                let closes = self.interval.close_after(asked).since(asked);
                Candle::Open(closes.min(Self::LONGEST))
            }
        }
    }

    /// The longest that any answer is fresh: no entry lies in Redis for longer.
    pub const LONGEST: Duration = LONGEST_STORED;
}

impl Interval {
    /// The interval of this name, as Binance names them: `1s` to `12h`, `1d`, `3d`, `1w`, and `1M`,
    /// where `1m` is a minute.
    ///
    /// ```
    /// # use omnitrade_edge::engine::http_cache::Interval;
    /// assert_eq!(Interval::of("1M"), Some(Interval::Month));
    /// assert_eq!(Interval::of("1m"), Some(Interval::Fixed { length: 60_000, before_epoch: 0 }));
    /// assert_eq!(Interval::of("7m"), None);
    /// ```
    pub fn of(name: &str) -> Option<Self> {
        let length = match name {
            "1s" => SECOND,
            "1m" => MINUTE,
            "3m" => 3 * MINUTE,
            "5m" => 5 * MINUTE,
            "15m" => 15 * MINUTE,
            "30m" => 30 * MINUTE,
            "1h" => HOUR,
            "2h" => 2 * HOUR,
            "4h" => 4 * HOUR,
            "6h" => 6 * HOUR,
            "8h" => 8 * HOUR,
            "12h" => 12 * HOUR,
            "1d" => DAY,
            "3d" => 3 * DAY,
            "1w" => 7 * DAY,
            "1M" => return Some(Self::Month),
            _ => return None,
        };
        Some(Self::Fixed {
            length,
            // 1970-01-01 was a Thursday, and weeks begin on Mondays.
            before_epoch: if name == "1w" { 3 * DAY } else { 0 },
        })
    }

    /// When the candle that `at` lies in closes: the first instant of the next one.
    pub fn close_after(self, at: Timestamp) -> Timestamp {
        let at = at.as_millis();
        let close = match self {
            Self::Fixed {
                length,
                before_epoch,
            } => {
                let passed = at.saturating_add(before_epoch);
                let begun = passed - passed.checked_rem(length).unwrap_or(0);
                begun.saturating_add(length).saturating_sub(before_epoch)
            }
            Self::Month => calendar::next_month(at / DAY).saturating_mul(DAY),
        };
        Timestamp::from_millis(close)
    }
}

/// The instant that an `endTime` names, in milliseconds since the Unix epoch; `None` for what is no
/// number.
///
/// One that would lie in the first three years after the epoch is one in seconds, and read as such:
/// were it taken for milliseconds, and the origin took it for seconds, what still changes would be
/// kept for good.
///
/// ```
/// # use omnitrade_edge::{clock::Timestamp, engine::http_cache::end_time};
/// let end = Timestamp::from_millis(1_700_000_000_000);
/// assert_eq!(end_time("1700000000000"), Some(end));
/// assert_eq!(end_time("1700000000"), Some(end));
/// assert_eq!(end_time("-1"), None);
/// ```
pub fn end_time(text: &str) -> Option<Timestamp> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = text.parse().ok()?;
    let ms = match number {
        ..LEAST_MS => number * 1_000,
        _ => number,
    };
    Some(Timestamp::from_millis(ms))
}

/// How long after its close a candle may still change: trades are late, clocks differ, and the origin
/// may hold an answer from before the close for a while. (OmniTrade holds candles for ten seconds.)
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// No `endTime` below this is one in milliseconds.
const LEAST_MS: u64 = 100_000_000_000;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

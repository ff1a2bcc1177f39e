//! The lifetime of a response that contains candles. If its last candle had closed when it was
//! asked for, it never changes; otherwise it holds until the open candle closes.

use std::time::Duration;

use super::tags::LONGEST_STORED;
use crate::clock::{Timestamp, calendar};

/// The facts that decide the lifetime of a response with candles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candles {
    /// The length of a candle.
    pub interval: Interval,
    /// The instant at which the requested period ends. `None`: it ends now, or its end is not
    /// known.
    pub end: Option<Timestamp>,
    /// The longest time for which a response with an open candle is fresh.
    pub open_ttl: Option<Duration>,
}

/// The length of a candle, and the instants at which such candles begin, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// All candles have the same length.
    Fixed {
        /// In milliseconds, never zero.
        length: u64,
        /// How long before the Unix epoch one candle began, in milliseconds; less than `length`.
        before_epoch: u64,
    },
    /// A calendar month.
    Month,
}

/// Whether the last candle of a response is closed or open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candle {
    /// The last candle had closed: the response never changes.
    Closed,
    /// The last candle is open. It closes after this time.
    Open(Duration),
}

impl Candles {
    /// Whether the last candle is closed or open in a response that was asked for at `asked`.
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

    /// The longest time for which any response is fresh: no entry stays in the store for longer.
    pub const LONGEST: Duration = LONGEST_STORED;
}

impl Interval {
    /// The interval with this name, by Binance's names: `1s` to `12h`, `1d`, `3d`, `1w`, and `1M`.
    /// `1m` is a minute, `1M` a month. `None` for other names.
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

    /// When the candle that contains `at` closes: the first instant of the next one.
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

/// The instant given by an `endTime`, in milliseconds since the Unix epoch. `None` if the text is
/// not a number.
///
/// A number that, read as milliseconds, would lie in about the first three years after the epoch is
/// read as seconds instead. If it were read as milliseconds and the origin read it as seconds, a
/// response that still changes would be cached as one that never changes.
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

/// How long after its close a candle may still change: trades arrive late, clocks differ, and the
/// origin may serve a response from before the close for a while. (OmniTrade caches candles for ten
/// seconds.)
const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// An `endTime` below this number is in seconds.
const LEAST_MS: u64 = 100_000_000_000;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

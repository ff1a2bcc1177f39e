//! Durations as the configuration writes them: a whole number and a unit, `"250ms"`, `"2s"`,
//! `"5m"`, `"1h"`, `"1d"`.

use std::time::Duration;

/// Milliseconds of each unit, the longest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest duration that makes sense here: ten years.
const LONGEST: u64 = 3_650 * 86_400_000;

/// Reads a duration; `None` if the text is not a duration or is longer than ten years.
///
/// ```
/// # use omnitrade_edge::config::parse_duration;
/// # use std::time::Duration;
/// assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
/// assert_eq!(parse_duration("1d"), Some(Duration::from_secs(86_400)));
/// assert_eq!(parse_duration("60"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let total = number.parse::<u64>().ok()?.checked_mul(*ms)?;
    (total <= LONGEST).then(|| Duration::from_millis(total))
}

/// Writes a duration in the largest unit of which it is a whole multiple.
///
/// ```
/// # use omnitrade_edge::config::format_duration;
/// # use std::time::Duration;
/// assert_eq!(format_duration(Duration::from_secs(90)), "90s");
/// assert_eq!(format_duration(Duration::from_secs(120)), "2m");
/// ```
pub fn format_duration(duration: Duration) -> String {
    let ms = crate::clock::millis(duration);
    let unit = UNITS
        .iter()
        .find(|(_, unit)| ms >= *unit && ms.is_multiple_of(*unit));
    let (name, unit) = unit.unwrap_or(&("ms", 1));
    format!("{}{name}", ms / unit)
}

/// Which durations there are, in words.
pub(super) fn duration_units() -> String {
    let longest = format_duration(Duration::from_millis(LONGEST));
    format!("a whole number and one of ms, s, m, h and d, at most \"{longest}\"")
}

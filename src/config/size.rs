//! Sizes as the configuration writes them: a whole number and a unit, `"512B"`, `"64KB"`, `"16MB"`.
//!
//! A kilobyte is 1,024 bytes and a megabyte 1,024 of those, as in `redis.conf`.

use serde_json::Value;

use super::read::{Misread, Read};

/// How much the cache stores in each place, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sizes {
    /// The memory of one isolate for entries, at most 64 MB. An entry that would take more than a
    /// quarter of it is not stored there.
    pub l1_size: u64,
    /// The largest entry that is written to the store, in the form in which it is written: head and
    /// body, compressed.
    pub max_entry: u64,
    /// The size from which a body is compressed for the store; `None`: no body is compressed.
    pub compress_from: Option<u64>,
}

impl Read for Sizes {
    fn read(value: &Value, misread: &Misread) -> Self {
        let size = |name| misread.unless(value[name].as_str().and_then(parse_size));
        Self {
            l1_size: size("l1_size"),
            max_entry: size("max_entry"),
            compress_from: match value["compress_from"].as_str() {
                Some("off") => None,
                _ => Some(size("compress_from")),
            },
        }
    }
}

/// Bytes of each unit, the largest first.
const UNITS: [(&str, u64); 3] = [("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

/// The largest size that is accepted, in bytes: more than the memory of any isolate.
const LARGEST: u64 = 1 << 40;

/// Reads a size, in bytes; `None` if the text is not a size or is larger than a million megabytes.
///
/// ```
/// # use omnitrade_edge::config::parse_size;
/// assert_eq!(parse_size("512B"), Some(512));
/// assert_eq!(parse_size("16MB"), Some(16 * 1_024 * 1_024));
/// assert_eq!(parse_size("16"), None);
/// ```
pub fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let total = number.parse::<u64>().ok()?.checked_mul(*bytes)?;
    (total <= LARGEST).then_some(total)
}

/// Writes a size in the largest unit of which it is a whole multiple.
///
/// ```
/// # use omnitrade_edge::config::format_size;
/// assert_eq!(format_size(1_536), "1536B");
/// assert_eq!(format_size(2_048), "2KB");
/// ```
pub fn format_size(bytes: u64) -> String {
    let unit = UNITS
        .iter()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    let (name, unit) = unit.unwrap_or(&("B", 1));
    format!("{}{name}", bytes / unit)
}

/// Which sizes there are, in words; how large one may be depends on the field.
pub(super) const fn size_units() -> &'static str {
    "a whole number and one of B, KB and MB"
}

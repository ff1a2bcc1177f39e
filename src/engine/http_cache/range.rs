//! A part of a stored response, for a request with `Range` (RFC 9110 §14).

use http::Method;

use super::entry::Meta;
use super::fields::{Fields, date, elements};

/// The part of a stored response that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The bytes from `first` to `last`, both included: `206`.
    Bytes {
        /// The first byte, counted from zero.
        first: u64,
        /// The last byte; less than the length.
        last: u64,
    },
    /// Bytes outside the response: `416` (RFC 9110 §15.5.17).
    Unsatisfiable,
}

/// The part of a stored response of `length` bytes that a request asks for.
///
/// RFC 9110 §14.2: "A server MUST ignore a Range header field received with a request method that
/// is unrecognized or for which range handling is not defined. For this specification, GET is the
/// only method for which range handling is defined." A server may ignore any other `Range`, too;
/// this cache ignores those with several ranges.
pub fn requested_part<F: Fields + ?Sized>(
    method: &Method,
    request: &F,
    meta: &Meta,
    length: u64,
) -> Part {
    if *method != Method::GET || meta.status != 200 {
        return Part::Whole;
    }
    match request.value("range") {
        Some(range) if if_range(request, meta) => part(&range, length).unwrap_or(Part::Whole),
        _ => Part::Whole,
    }
}

/// The one range of bytes that is asked for. `None` if the field is invalid, has several ranges or
/// is not in bytes.
fn part(range: &str, length: u64) -> Option<Part> {
    // §14.1: "Range unit names are case-insensitive".
    let (unit, set) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut ranges = elements(set);
    let (one, None) = (ranges.next()?, ranges.next()) else {
        return None;
    };
    let (first, last) = one.split_once('-')?;
    let end = length.checked_sub(1);
    Some(match (first, last) {
        ("", suffix) => {
            // §14.1.2: "If the selected representation is shorter than the specified suffix-length,
            // the entire representation is used."
            let suffix = number(suffix)?;
            match end {
                Some(last) if suffix > 0 => Part::Bytes {
                    first: length.saturating_sub(suffix),
                    last,
                },
                _ => Part::Unsatisfiable,
            }
        }
        (first, last) => {
            let first = number(first)?;
            let last = match last {
                "" => u64::MAX,
                last => number(last)?,
            };
            // "An int-range is invalid if the last-pos value is present and less than first-pos."
            if last < first {
                return None;
            }
            match end {
                Some(end) if first <= end => Part::Bytes {
                    first,
                    last: last.min(end),
                },
                _ => Part::Unsatisfiable,
            }
        }
    })
}

/// Whether `If-Range` lets the range count (RFC 9110 §13.1.5): the field is absent, or it contains
/// a strong validator that matches the stored response.
fn if_range<F: Fields + ?Sized>(request: &F, meta: &Meta) -> bool {
    let Some(condition) = request.value("if-range") else {
        return true;
    };
    let condition = condition.trim();
    if condition.ends_with('"') {
        // "using the strong comparison function".
        return condition.starts_with('"') && meta.field("etag").as_deref() == Some(condition);
    }
    let modified = meta.field("last-modified");
    let made = meta.field("date").and_then(|made| date(&made));
    match (date(condition), modified.and_then(|text| date(&text)), made) {
        // §8.8.2.2: a `Last-Modified` is strong if it is at least a second before the `Date` beside
        // it.
        (Some(asked), Some(modified), Some(made)) => {
            asked == modified && made.since(modified).as_secs() >= 1
        }
        _ => false,
    }
}

/// A position in bytes. A number too large for `u64` counts as the largest.
fn number(digits: &str) -> Option<u64> {
    let valid = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| digits.parse().unwrap_or(u64::MAX))
}

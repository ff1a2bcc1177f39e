//! Instants in a readable form.

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::clock::calendar::civil;

/// An instant in UTC in the format of RFC 3339, in whole seconds, rounded down:
/// `2027-07-26T10:00:00Z`.
pub fn rfc3339(at: Timestamp) -> String {
    let seconds = at.as_millis() / 1_000;
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];

    /// The same instant, derived from the output of `httpdate`: `Sun, 06 Nov 1994 08:49:37 GMT`.
    fn by_httpdate(seconds: u64) -> String {
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
        let words: Vec<_> = text.split(' ').collect();
        let month = MONTHS.iter().position(|month| *month == words[2]).unwrap() + 1;
        format!("{}-{month:02}-{}T{}Z", words[3], words[1], words[4])
    }

    #[test]
    fn every_day_of_eight_centuries_is_right() {
        for day in 0..292_194 {
            let seconds = day * 86_400 + day % 86_400;
            let ours = rfc3339(Timestamp::from_millis(seconds * 1_000 + 999));
            assert_eq!(ours, by_httpdate(seconds));
        }
    }

    proptest! {
        #[test]
        fn no_instant_is_too_late(ms: u64) {
            prop_assert!(rfc3339(Timestamp::from_millis(ms)).ends_with('Z'));
        }
    }
}

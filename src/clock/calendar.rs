//! The Gregorian calendar, in UTC.

/// The year, month and day of a day that is counted from 1970-01-01.
///
/// The algorithm begins years in March, so that the leap day comes last, and counts in eras of 400
/// years, all of which have the same length (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms").
///
/// ```
/// # use omnitrade_edge::clock::calendar::civil;
/// assert_eq!(civil(0), (1970, 1, 1));
/// assert_eq!(civil(19_782), (2024, 2, 29));
/// ```
pub const fn civil(days: u64) -> (u64, u64, u64) {
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let leaps = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let (month, next) = match from_march {
        0..10 => (from_march + 3, 0),
        _ => (from_march - 9, 1),
    };
    (era * 400 + year_of_era + next, month, day)
}

/// The first day of the following month. Both days are counted from 1970-01-01.
///
/// ```
/// # use omnitrade_edge::clock::calendar::next_month;
/// assert_eq!(next_month(0), 31);
/// assert_eq!(next_month(30), 31);
/// assert_eq!(next_month(31), 31 + 28);
/// ```
pub const fn next_month(days: u64) -> u64 {
    let (year, month, day) = civil(days);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    };
    days.saturating_add(1 + length - day)
}

//! Shares of a limit as the configuration writes them, such as `"20%"`.

/// The largest share of a limit that may be reserved, by one route or by all together.
pub(super) const LARGEST: u64 = 90;

/// A part of a quota in hundredths, from 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(pub u64);

/// Reads a share, in hundredths; `None` if the text is not a share or is not between 1 and 90.
///
/// ```
/// # use omnitrade_edge::config::parse_share;
/// assert_eq!(parse_share("20%"), Some(20));
/// assert_eq!(parse_share("20"), None);
/// assert_eq!(parse_share("91%"), None);
/// ```
pub fn parse_share(text: &str) -> Option<u64> {
    parse(text).filter(|share| *share <= LARGEST)
}

/// Reads a share that may be the whole, in hundredths; `None` if the text is not a share or is not
/// between 1 and 100.
///
/// ```
/// # use omnitrade_edge::config::parse_part;
/// assert_eq!(parse_part("100%"), Some(100));
/// assert_eq!(parse_part("0%"), None);
/// ```
pub fn parse_part(text: &str) -> Option<u64> {
    parse(text).filter(|share| *share <= 100)
}

fn parse(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let share = digits.parse().ok().filter(|_| plain)?;
    (share >= 1).then_some(share)
}

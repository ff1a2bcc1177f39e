//! Shares of a limit as the configuration writes them, such as `"20%"`.

/// The largest share of a limit that may be reserved, by one route or by all together.
pub(super) const LARGEST: u64 = 90;

/// Reads a share, in hundredths; `None` if the text is not a share or is not between 1 and 90.
///
/// ```
/// # use omnitrade_edge::config::parse_share;
/// assert_eq!(parse_share("20%"), Some(20));
/// assert_eq!(parse_share("20"), None);
/// assert_eq!(parse_share("91%"), None);
/// ```
pub fn parse_share(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let share = digits.parse().ok().filter(|_| plain)?;
    (1..=LARGEST).contains(&share).then_some(share)
}

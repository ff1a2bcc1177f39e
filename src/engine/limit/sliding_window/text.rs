//! A [`State`] as one line of text: `2 tag seen width base m total c0 c1 …;age:ids:ids`.
//!
//! In this order: the schema version; the tag, in hexadecimal; the newest time seen and the width
//! of a sub-bucket, both in ms; the number of the first sub-bucket; how many sub-buckets there are;
//! the sum of their counts; the counts; and the ids of the latest calls, with the age in ms of the
//! younger generation at the newest time seen.

use super::{AHEAD, Cut, Ids, LARGEST, LONGEST_LEASE, State, tag_of};
use crate::clock::{Timestamp, millis};

impl State {
    /// Reads the one-line form. A line that is malformed or impossible gives an empty state.
    ///
    /// A state with another sub-bucket width comes from another configuration. All its permits then
    /// count at the latest possible time, the end of the last lease, so that a change of the
    /// configuration frees no permits early.
    pub fn parse(text: &str, cut: Cut) -> Self {
        Self::parse_strictly(text, cut).unwrap_or_default()
    }

    /// Reads the one-line form as [`parse`](Self::parse) does, but returns `None` for a malformed
    /// or impossible line.
    pub fn parse_strictly(text: &str, cut: Cut) -> Option<Self> {
        let digits = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
        let number = |word: &str| {
            let number = word.parse::<u64>().ok().filter(|_| digits(word));
            number.filter(|n| *n <= LARGEST)
        };
        let (numbers, ids) = text.strip_prefix("2 ")?.split_once(';')?;
        let mut words = numbers.split(' ');
        let mut tag = u64::from_str_radix(words.next()?, 16).ok()?;
        let seen = number(words.next()?)?;
        let width = number(words.next()?).filter(|width| *width > 0)?;
        let mut base = number(words.next()?)?;
        let held = number(words.next()?).filter(|held| (1..=1_000).contains(held))?;
        let total = number(words.next()?)?;
        let mut counts = words.map(number).collect::<Option<Vec<_>>>()?;
        let sum = counts
            .iter()
            .try_fold(0_u64, |s, count| s.checked_add(*count));
        if counts.len() as u64 != held || sum != Some(total) || base > LARGEST / width {
            return None;
        }
        let furthest = (seen + millis(LONGEST_LEASE)) / width;
        if base + held - 1 > furthest.min(seen / width + AHEAD) {
            return None;
        }
        let mut parts = ids.split(':');
        let age = number(parts.next()?).filter(|age| *age <= seen)?;
        let word = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let mut id_list = || parts.next().filter(|text| word(text)).map(str::to_owned);
        let (young, old) = (id_list()?, id_list()?);
        if width != cut.width {
            let last = ((base + held) * width).min(seen + millis(LONGEST_LEASE)) - 1;
            base = (seen.max(last) / cut.width).min(seen / cut.width + AHEAD);
            counts = vec![total];
            tag = tag_of(Timestamp::from_millis(seen));
        }
        let seen = Timestamp::from_millis(seen);
        parts.next().is_none().then_some(Self {
            seen,
            base,
            counts,
            tag,
            ids: Ids {
                made: Timestamp::from_millis(seen.as_millis() - age),
                young,
                old,
            },
        })
    }

    /// Writes the one-line form. `None` if the state counts nothing.
    pub fn to_text(&self, cut: Cut) -> Option<String> {
        use std::fmt::Write as _;
        if self.is_empty() {
            return None;
        }
        let total: u64 = self.counts.iter().sum();
        let mut text = format!(
            "2 {:x} {} {} {} {} {total}",
            self.tag,
            self.seen.as_millis(),
            cut.width,
            self.base,
            self.counts.len()
        );
        for count in &self.counts {
            let _ = write!(text, " {count}");
        }
        let age = millis(self.seen.since(self.ids.made));
        let _ = write!(text, ";{age}:{}:{}", self.ids.young, self.ids.old);
        Some(text)
    }
}

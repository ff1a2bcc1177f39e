//! The ids of jobs: which a job may have, and new ones.

use crate::clock::Timestamp;

/// Why an id cannot be a job's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoId {
    /// BullMQ counts with integers, for jobs that have no id of their own.
    Integer,
    /// It holds a colon, which separates the parts of BullMQ's keys.
    Colon,
    /// BullMQ keeps something else under this name.
    Taken,
    /// It has other characters than letters, digits, `.`, `_` and `-`, or not 1 to 128 of them.
    Characters,
}

impl NoId {
    /// What an id must be.
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Integer => "an id that is no integer",
            Self::Colon => "an id without a colon",
            Self::Taken => "an id that is none of BullMQ's own key names",
            Self::Characters => "1 to 128 letters, digits, `.`, `_` or `-`",
        }
    }
}

/// Checks an id that a program gives, by BullMQ's rules. Beyond those, it must not be one of
/// BullMQ's key names: such a job would be taken for one that is there already, and lost.
pub fn check(id: &str) -> Result<(), NoId> {
    if id.is_empty() {
        return Err(NoId::Characters);
    }
    // As BullMQ: one with leading zeros is none that it would count with.
    let digits = id.strip_prefix('-').unwrap_or(id);
    if is_digits(digits) && (digits == "0" || !digits.starts_with('0')) {
        return Err(NoId::Integer);
    }
    if id.contains(':') {
        return Err(NoId::Colon);
    }
    match KEYS.contains(&id) {
        true => Err(NoId::Taken),
        false => Ok(()),
    }
}

/// Checks an id that is made of what a client sent: only a few characters are allowed.
pub fn check_strictly(id: &str) -> Result<(), NoId> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if id.len() > LONGEST || !id.bytes().all(allowed) {
        return Err(NoId::Characters);
    }
    match is_digits(id) {
        true => Err(NoId::Integer),
        false => check(id),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A new id, which no other call has: a UUID of version 7 (RFC 9562, section 5.7). `random` gives
/// numbers in `[0, 1)`.
pub fn new_id(now: Timestamp, mut random: impl FnMut() -> f64) -> String {
    // 37 bits of each number, which has 53.
    let mut bits = || {
        let number = (random().clamp(0.0, 1.0) * TWO_TO_37) as u64;
        number.min((1 << 37) - 1)
    };
    let (high, low) = (bits(), bits());
    let all = (u128::from(high) << 37) | u128::from(low);
    let (a, b) = ((all >> 62) as u64 & 0xfff, all as u64 & ((1 << 62) - 1));
    let b = b | (0b10 << 62);
    let ms = now.as_millis() & ((1 << 48) - 1);
    format!(
        "{:08x}-{:04x}-7{a:03x}-{:04x}-{:012x}",
        ms >> 16,
        ms & 0xffff,
        b >> 48,
        b & ((1 << 48) - 1)
    )
}

const TWO_TO_37: f64 = 137_438_953_472.0;

/// The longest id that is made of what a client sent.
const LONGEST: usize = 128;

/// The names of BullMQ's own keys, of 5.81.3 and 6.7.0.
pub const KEYS: [&str; 18] = [
    "active",
    "wait",
    "waiting-children",
    "paused",
    "id",
    "delayed",
    "prioritized",
    "stalled-check",
    "completed",
    "failed",
    "stalled",
    "repeat",
    "limiter",
    "meta",
    "events",
    "pc",
    "marker",
    "de",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_colons_and_key_names_are_no_ids() {
        for id in ["0", "7", "-7", "1234567890123456789012"] {
            assert_eq!(check(id), Err(NoId::Integer), "{id}");
        }
        assert_eq!(check(""), Err(NoId::Characters));
        assert_eq!(check("a:b"), Err(NoId::Colon));
        for id in KEYS {
            assert_eq!(check(id), Err(NoId::Taken), "{id}");
        }
        for id in ["a", "7-a", "1.5", "007", "Wait", "ä ö"] {
            assert_eq!(check(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn ids_of_clients_have_few_characters() {
        for id in ["", "a b", "ä", "a/b", "a:b", &"a".repeat(129)] {
            assert_eq!(check_strictly(id), Err(NoId::Characters), "{id}");
        }
        for id in ["7", "007", "-7"] {
            assert_eq!(check_strictly(id), Err(NoId::Integer), "{id}");
        }
        assert_eq!(check_strictly("meta"), Err(NoId::Taken));
        assert_eq!(check_strictly(&"a".repeat(128)), Ok(()));
    }

    #[test]
    fn a_new_id_is_a_uuid_of_version_7_and_is_accepted() {
        let now = Timestamp::from_millis(0x0123_4567_89ab);
        assert_eq!(new_id(now, || 0.0), "01234567-89ab-7000-8000-000000000000");
        assert_eq!(new_id(now, || 1.0), "01234567-89ab-7fff-bfff-ffffffffffff");
        let halves = [0.0, 0.5];
        let mut next = halves.iter().copied();
        let id = new_id(now, || next.next().unwrap());
        assert_eq!(id, "01234567-89ab-7000-8000-001000000000");
        assert_eq!(check_strictly(&id), Ok(()));
    }
}

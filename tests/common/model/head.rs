//! The beginning of an entry, as the script reads it.

/// The first words of an entry.
pub struct Head {
    pub fresh_until: u64,
    pub stamp: String,
    pub epochs: String,
    pub version: String,
}

impl Head {
    /// Reads the beginning; `None` if `text` is not an entry.
    pub fn read(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix("2 ")?.splitn(6, ' ');
        let fresh_until = words.next()?.parse().ok()?;
        words.next()?.parse::<u64>().ok()?;
        let stamp = words.next()?.to_owned();
        stamp.parse::<u64>().ok()?;
        let version = words.next()?.to_owned();
        let epochs = words.next()?.to_owned();
        words.next()?;
        Some(Self {
            fresh_until,
            stamp,
            epochs,
            version,
        })
    }
}

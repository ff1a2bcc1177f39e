//! Registered API keys: the records about them in the store, and the names of these records.
//!
//! With `client.keys = "registered"` an API key counts only if the store has its record. The record
//! says which plan the key has; it does not contain the key. Its name ends in the key's digest
//! (`identity::ClientDigests`).

/// The record of a registered API key.
///
/// ```
/// use omnitrade_edge::engine::registry::Registration;
///
/// let pro = Registration { plan: Some("pro".to_owned()) };
/// assert_eq!(pro.to_text(), "1 pro");
/// assert_eq!(Registration::parse("1 pro"), Some(pro));
/// assert_eq!(Registration::parse("1"), Some(Registration::default()));
/// assert_eq!(Registration::parse("2 pro"), None, "of a later version");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// The key's plan, for which [`is_plan`] holds. Without a plan the key has the quota that
    /// applies to any registered key.
    pub plan: Option<String>,
}

impl Registration {
    /// Reads a record: `1`, a space and the plan, or `1` alone. Anything else is no record.
    pub fn parse(text: &str) -> Option<Self> {
        let plan = match text.strip_prefix(SCHEMA)? {
            "" => None,
            rest => Some(rest.strip_prefix(' ').filter(|plan| is_plan(plan))?),
        };
        Some(Self {
            plan: plan.map(str::to_owned),
        })
    }

    /// Writes the record. [`parse`](Self::parse) reads it if [`is_plan`] holds for the plan.
    pub fn to_text(&self) -> String {
        match &self.plan {
            Some(plan) => format!("{SCHEMA} {plan}"),
            None => SCHEMA.to_owned(),
        }
    }
}

/// The names under which the store may have the record of an API key.
///
/// ```
/// use omnitrade_edge::engine::registry::RecordNames;
///
/// let names = RecordNames::new("ot", "0123", None);
/// assert_eq!((names.current(), names.previous()), ("ot:k:0123", None));
/// let names = RecordNames::new("ot", "0123", Some("4567"));
/// assert_eq!((names.current(), names.previous()), ("ot:k:0123", Some("ot:k:4567")));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordNames(String);

impl RecordNames {
    /// The names by the key's digest, and by the one under the previous secret, if keys that are
    /// registered under it count.
    pub fn new(prefix: &str, digest: &str, previous: Option<&str>) -> Self {
        let mut names = record_key(prefix, digest);
        if let Some(previous) = previous {
            names.push(' ');
            names.push_str(&record_key(prefix, previous));
        }
        Self(names)
    }

    /// The name by the key's digest.
    pub fn current(&self) -> &str {
        self.0
            .split_once(' ')
            .map_or(&self.0, |(current, _)| current)
    }

    /// The name by the digest under the previous secret.
    pub fn previous(&self) -> Option<&str> {
        self.0.split_once(' ').map(|(_, previous)| previous)
    }
}

/// Whether a client's API key is registered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing {
    /// The key is unknown or the request has none: the client counts as one without a key.
    #[default]
    Unregistered,
    /// The key is registered.
    Registered {
        /// The key's plan, if it has one.
        plan: Option<String>,
    },
}

/// Whether `text` may be the name of a plan: 1 to 64 letters, digits, `-`, `_` or `.`, as in the
/// configuration.
pub fn is_plan(text: &str) -> bool {
    let fit = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(fit)
}

/// The name of a key's record: `{prefix}:k:{digest}`.
pub fn record_key(prefix: &str, digest: &str) -> String {
    format!("{prefix}:k:{digest}")
}

/// The name of the hash that lists the registered keys by their digests: `{prefix}:k:index`.
///
/// The index is for operators; the gate does not read it. No digest is called `index`.
pub fn index_key(prefix: &str) -> String {
    record_key(prefix, "index")
}

/// The version of the record's format.
const SCHEMA: &str = "1";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn anything_else_is_no_record() {
        let long = format!("1 {}", "p".repeat(65));
        for text in [
            "", " ", "1 ", " 1", "1  pro", "1 pro ", "1 a b", "1pro", "10", "11 pro", "2", "2 pro",
            "1 prö", "1 a:b", "1\npro", "1 pro\n", "pro", "null", &long,
        ] {
            assert_eq!(Registration::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_index_is_no_keys_record() {
        assert_eq!(record_key("ot", "0123"), "ot:k:0123");
        assert_eq!(index_key("ot"), "ot:k:index");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(plan in proptest::option::of("[A-Za-z0-9._-]{1,64}")) {
            let registration = Registration { plan };
            prop_assert_eq!(Registration::parse(&registration.to_text()), Some(registration));
        }

        #[test]
        fn what_is_read_is_what_was_written(text in "1? ?[a-z. ]{0,4}") {
            if let Some(registration) = Registration::parse(&text) {
                prop_assert_eq!(registration.to_text(), text);
            }
        }
    }
}

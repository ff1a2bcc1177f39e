//! The digest of a configuration, by which a deployed one is compared with a file.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::read::{Misread, Read};
use crate::engine::subject::hex;

/// The SHA-256 of a configuration as it was given, in hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Digest(String);

impl Digest {
    /// The digest of a configuration before its defaults are filled in, so that it does not depend
    /// on the version of the program: another one may have other fields. Sorts the fields, in case
    /// serde_json has the feature `preserve_order`.
    pub fn of(config: &mut Value) -> Self {
        config.sort_all_objects();
        let text = serde_json::to_string(config).unwrap_or_default();
        Self(hex(Sha256::digest(text.as_bytes()).iter()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// It is in no configuration: it is made of the whole of it.
impl Read for Digest {
    fn read(_: &Value, _: &Misread) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(text: &str) -> Digest {
        Digest::of(&mut serde_json::from_str(text).unwrap())
    }

    #[test]
    fn the_same_configuration_has_the_same_digest_however_it_is_written() {
        let one = of(r#"{"b":{"y":1,"x":[1,"a\n"]},"a":true}"#);
        let other = of(r#"{ "a": true, "b": { "x": [1, "a\u000a"], "y": 1 } }"#);
        assert_eq!(one, other);
        // The SHA-256 of `{}`.
        let empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(of(" { } ").as_str(), empty);
    }

    #[test]
    fn every_difference_shows() {
        let all = [
            json!({}),
            json!({ "a": null }),
            json!({ "a": [] }),
            json!({ "a": [1, 2] }),
            json!({ "a": [2, 1] }),
            json!({ "a": "1" }),
            json!({ "a": 1 }),
            json!({ "b": 1 }),
        ];
        let digests = all.map(|mut one| Digest::of(&mut one));
        for (n, one) in digests.iter().enumerate() {
            assert!(!digests[..n].contains(one), "{n}");
        }
    }
}

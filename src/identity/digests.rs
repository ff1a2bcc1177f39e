//! The digests that stand for clients: in the names of the store's keys, and in what clients see.

use crate::engine::subject::{self, Digests};

use super::key_secrets::{Age, KeySecret, KeySecrets};

/// The digests that stand for API keys, users and buckets in one deployment, in hexadecimal.
///
/// Each is an HMAC-SHA-256 with a key that is known to everybody, because it names the deployment.
/// If there is a secret, that digest is digested once more, with the secret.
#[derive(Debug, Clone)]
pub struct ClientDigests {
    keys: Digests,
    users: Digests,
    buckets: Digests,
    secrets: KeySecrets,
}

impl ClientDigests {
    /// The digests of the deployment whose keys in the store have this prefix.
    pub fn new(key_prefix: &str, secrets: KeySecrets) -> Self {
        let domain = subject::domain(key_prefix);
        Self {
            keys: Digests::new(&domain),
            users: Digests::new(&format!("{domain}:user")),
            buckets: Digests::new("omnitrade-edge:1:partition"),
            secrets,
        }
    }

    /// The subject of an API key, or of a token that counts as one: 128 bits.
    ///
    /// ```
    /// # use omnitrade_edge::engine::subject::{domain, of_api_key};
    /// # use omnitrade_edge::identity::{ClientDigests, KeySecrets};
    /// let secrets = KeySecrets::read(Some("of at least 16 characters"), None).unwrap();
    /// let [open, secret] = [KeySecrets::default(), secrets].map(|s| ClientDigests::new("ot", s));
    /// assert_eq!(open.of_api_key("ote_example"), of_api_key("ote_example", &domain("ot")));
    /// assert_ne!(secret.of_api_key("ote_example"), open.of_api_key("ote_example"));
    /// assert_eq!(secret.of_api_key("ote_example").len(), 32);
    /// ```
    pub fn of_api_key(&self, key: &str) -> String {
        self.finish(self.plain(key), 16)
    }

    /// The other subject by which an API key may be registered: that under the previous secret.
    pub fn previous_of_api_key(&self, key: &str) -> Option<String> {
        let mut all = self.secrets.all();
        let (_, previous) = all.find(|(age, _)| *age == Age::Previous)?;
        Some(under(previous, self.plain(key), 16))
    }

    /// The digest of an API key without a secret, from which [`KeySecret::digest`] makes those with
    /// one.
    pub fn plain(&self, key: &str) -> String {
        self.keys.of_api_key(key)
    }

    /// The subject of a user whom a verified token names: 128 bits. No API key has the same one, so
    /// nobody can count as a user by sending the user's name as a key.
    ///
    /// ```
    /// # use omnitrade_edge::identity::{ClientDigests, KeySecrets};
    /// let digests = ClientDigests::new("ot", KeySecrets::default());
    /// assert_eq!(digests.of_user("alice").len(), 32);
    /// assert_ne!(digests.of_user("alice"), digests.of_api_key("alice"));
    /// ```
    pub fn of_user(&self, name: &str) -> String {
        self.finish(self.users.digest(name, 16), 16)
    }

    /// A name for the bucket whose state is under `key`, which the client may see: 64 bits. It is
    /// the same in all isolates, and as long as the secret is, and it reveals neither the subject
    /// nor the key; but without a secret, guesses of an address can be checked.
    ///
    /// ```
    /// # use omnitrade_edge::identity::{ClientDigests, KeySecrets};
    /// let digests = ClientDigests::new("ot", KeySecrets::default());
    /// let name = digests.of_bucket("ot:l:per-ip:192.0.2.7");
    /// assert_eq!((name.len(), &name), (16, &digests.of_bucket("ot:l:per-ip:192.0.2.7")));
    /// assert_ne!(name, digests.of_bucket("ot:l:per-client:192.0.2.7"));
    /// ```
    pub fn of_bucket(&self, key: &str) -> String {
        self.finish(self.buckets.digest(key, 8), 8)
    }

    fn finish(&self, plain: String, bytes: usize) -> String {
        under(self.secrets.current(), plain, bytes)
    }
}

/// The digest that becomes of one without a secret.
fn under(secret: Option<&KeySecret>, plain: String, bytes: usize) -> String {
    match secret {
        Some(secret) => secret.digest(&plain, bytes),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "one-secret-0123456789";
    const TWO: &str = "two-secret-0123456789";

    fn digests(current: Option<&str>, previous: Option<&str>) -> ClientDigests {
        ClientDigests::new("ot", KeySecrets::read(current, previous).unwrap())
    }

    #[test]
    fn digests_stay_what_they_were() {
        let open = digests(None, None);
        assert_eq!(
            open.of_api_key("secret"),
            "9916b4a1f196e02c204f6fe6771bef6f"
        );
        assert_eq!(open.of_user("alice"), "b8a79f1e353aa75f67677223d3b4c3f4");
        assert_eq!(open.of_bucket("ot:l:per-ip:192.0.2.7"), "6aecd8571fdbc776");
        let with = digests(Some(ONE), None);
        assert_eq!(
            with.of_api_key("secret"),
            "030ce65b1cde50d3f739add8e62ce838"
        );
        assert_eq!(with.of_user("alice"), "f7d918875f949fdd402290b1cd7de454");
        assert_eq!(with.of_bucket("ot:l:per-ip:192.0.2.7"), "5cda0bac39492ab6");
    }

    #[test]
    fn each_digest_depends_on_the_secret_and_on_the_deployment() {
        let all = [
            digests(None, None),
            digests(Some(ONE), None),
            digests(Some(TWO), None),
            ClientDigests::new("xy", KeySecrets::default()),
            ClientDigests::new("xy", KeySecrets::read(Some(ONE), None).unwrap()),
        ];
        let texts = |of: fn(&ClientDigests) -> String| {
            let texts: std::collections::BTreeSet<_> = all.iter().map(of).collect();
            texts.len()
        };
        assert_eq!(texts(|d| d.of_api_key("k")), all.len());
        assert_eq!(texts(|d| d.of_user("k")), all.len());
        // The prefix is part of the key of a bucket's state already.
        assert_eq!(texts(|d| d.of_bucket("ot:l:a:k")), 3);
    }

    #[test]
    fn the_other_digest_of_a_key_is_that_under_the_previous_secret() {
        let previous = |current, previous| digests(current, previous).previous_of_api_key("k");
        let under = |secret| digests(secret, None).of_api_key("k");
        assert_eq!(previous(None, None), None);
        assert_eq!(previous(Some(TWO), None), None);
        assert_eq!(previous(Some(TWO), Some(TWO)), None);
        assert_eq!(previous(Some(TWO), Some(ONE)), Some(under(Some(ONE))));
        assert_eq!(previous(Some(TWO), Some("none")), Some(under(None)));
        assert_eq!(previous(None, Some(ONE)), Some(under(Some(ONE))));
        let rotating = digests(Some(TWO), Some(ONE));
        assert_eq!(rotating.of_api_key("k"), under(Some(TWO)));
    }

    #[test]
    fn nobody_gets_anothers_subject_by_a_made_up_key() {
        let with = digests(Some(ONE), None);
        let plain = with.plain("k");
        assert_ne!(with.of_api_key(&plain), with.of_api_key("k"));
        assert_ne!(with.of_user("k"), with.of_api_key("k"));
    }
}

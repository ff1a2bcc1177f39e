//! The secrets that the digests of API keys and users are made with.

use std::fmt;

use crate::config::{By, Config, ConfigError, ConfigProblem};
use crate::engine::subject::Digests;

/// The secret that digests are made with, and what they were made with before it.
///
/// Without a secret anybody who can read the store can check guesses: of keys that are short or
/// follow a pattern, and of users' names. With one, that takes the secret, too.
#[derive(Debug, Clone, Default)]
pub struct KeySecrets {
    current: Option<KeySecret>,
    previous: Previous,
}

/// What digests were made with before. `Debug` shows no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Previous {
    /// Nothing else: no key is registered under another digest.
    #[default]
    Same,
    /// No secret.
    Nothing,
    /// Another secret.
    Secret(KeySecret),
}

/// A secret. It is kept in a form that makes digests, and `Debug` shows nothing of it.
#[derive(Clone)]
pub struct KeySecret {
    digests: Digests,
    /// By this two secrets are compared.
    mark: String,
}

/// Which of the secrets a digest was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// The current one, or none if there is none.
    Current,
    /// The previous one, or none if keys were registered without one.
    Previous,
}

impl KeySecrets {
    /// The name of the binding, and of the environment variable, that holds the secret.
    pub const CURRENT: &str = "EDGE_KEY_SECRET";

    /// The name of the one that holds the previous secret, or [`NONE`](Self::NONE).
    pub const PREVIOUS: &str = "EDGE_KEY_SECRET_PREVIOUS";

    /// In place of the previous secret: keys were registered without one.
    pub const NONE: &str = "none";

    /// Reads the two texts. White space around them is left off, and an empty text is none.
    ///
    /// # Errors
    ///
    /// Which of them is too short. The texts are not shown.
    pub fn read(current: Option<&str>, previous: Option<&str>) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let mut secret = |name: &str, text: &str, or: &str| {
            let secret = KeySecret::new(text);
            if secret.is_none() {
                problems.push(ConfigProblem {
                    path: name.to_owned(),
                    message: format!(
                        "expected a random text of at least {SHORTEST} characters{or}, found a shorter one"
                    ),
                });
            }
            secret
        };
        let current = given(current).and_then(|text| secret(Self::CURRENT, text, ""));
        let previous = match given(previous) {
            None => Previous::Same,
            Some(Self::NONE) => Previous::Nothing,
            Some(text) => {
                let or = ", or \"none\" if keys are registered without a secret";
                secret(Self::PREVIOUS, text, or).map_or(Previous::Same, Previous::Secret)
            }
        };
        if !problems.is_empty() {
            return Err(ConfigError::new(problems));
        }
        let is_same = match &previous {
            Previous::Same => true,
            Previous::Nothing => current.is_none(),
            Previous::Secret(previous) => current.as_ref() == Some(previous),
        };
        let previous = if is_same { Previous::Same } else { previous };
        Ok(Self { current, previous })
    }

    /// The secret, if there is one.
    pub const fn current(&self) -> Option<&KeySecret> {
        self.current.as_ref()
    }

    /// Whether keys count, too, that were registered with another secret or without one.
    pub fn has_previous(&self) -> bool {
        self.previous != Previous::Same
    }

    /// The secrets by which a key may be registered, the current one first; `None`: without one.
    pub fn all(&self) -> impl Iterator<Item = (Age, Option<&KeySecret>)> {
        let previous = match &self.previous {
            Previous::Same => None,
            Previous::Nothing => Some(None),
            Previous::Secret(secret) => Some(Some(secret)),
        };
        let previous = previous.map(|secret| (Age::Previous, secret));
        [(Age::Current, self.current())].into_iter().chain(previous)
    }

    /// What the log should say once: that limits count API keys or users, and that there is no
    /// secret.
    pub fn advice(&self, config: &Config) -> Option<&'static str> {
        (self.current.is_none() && counts_digests(config)).then_some(ADVICE)
    }
}

/// Whether a limit counts API keys or users, by their digests.
pub fn counts_digests(config: &Config) -> bool {
    let client = &config.client;
    let sends_any = client.jwt.is_some() || !client.api_key_headers.is_empty();
    let mut limits = config.limits.values();
    sends_any && limits.any(|limit| matches!(limit.by, By::Client | By::ApiKey | By::User))
}

impl KeySecret {
    /// A secret, without the white space around it; `None` if it is so short that it could be
    /// guessed itself.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.chars().count() >= SHORTEST).then(|| {
            let digests = Digests::new(text);
            let mark = derived(&digests, "mark");
            Self { digests, mark }
        })
    }

    /// The digest of `plain`, which is a digest without a secret: its first `bytes` bytes in
    /// hexadecimal.
    ///
    /// It is the digest of a digest, so that a key can be moved from no secret to one, and from one
    /// secret to the next, by those who do not have the key.
    pub fn digest(&self, plain: &str, bytes: usize) -> String {
        self.digests.digest(plain, bytes)
    }

    /// Another key for `purpose`, from which nobody learns the secret, in hexadecimal. It is no
    /// digest of anything that has one, because those are digests of hexadecimal digits.
    pub fn derive(&self, purpose: &str) -> String {
        derived(&self.digests, purpose)
    }
}

/// The text without the white space around it, if something is left.
fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn derived(secret: &Digests, purpose: &str) -> String {
    secret.digest(&format!("omnitrade-edge:1:{purpose}"), 32)
}

impl PartialEq for KeySecret {
    fn eq(&self, other: &Self) -> bool {
        self.mark == other.mark
    }
}

impl Eq for KeySecret {}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret(..)")
    }
}

/// The shortest secret, in characters: random letters and digits of this length cannot be guessed.
const SHORTEST: usize = 16;

const ADVICE: &str = "EDGE_KEY_SECRET: not set, so those who can read the store can check guesses of \
     API keys and users' names. Set a long random text (`keySecret` of `createGate`); if keys are \
     registered, set EDGE_KEY_SECRET_PREVIOUS to \"none\" first";

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "one-secret-0123456789";
    const TWO: &str = "two-secret-0123456789";

    fn read(current: Option<&str>, previous: Option<&str>) -> KeySecrets {
        KeySecrets::read(current, previous).unwrap()
    }

    /// What keys may be registered with: a digest each.
    fn digests(secrets: &KeySecrets) -> Vec<(Age, String)> {
        let digest = |secret: Option<&KeySecret>| match secret {
            Some(secret) => secret.digest("plain", 16),
            None => "plain".to_owned(),
        };
        let all = secrets.all();
        all.map(|(age, secret)| (age, digest(secret))).collect()
    }

    fn of(secret: &str) -> String {
        KeySecret::new(secret).unwrap().digest("plain", 16)
    }

    #[test]
    fn keys_count_under_the_current_secret_and_the_previous_one() {
        use Age::{Current, Previous};
        let plain = || "plain".to_owned();
        for (current, previous, expected) in [
            (None, None, vec![(Current, plain())]),
            (None, Some("none"), vec![(Current, plain())]),
            (
                None,
                Some(ONE),
                vec![(Current, plain()), (Previous, of(ONE))],
            ),
            (Some(ONE), None, vec![(Current, of(ONE))]),
            (Some(ONE), Some(ONE), vec![(Current, of(ONE))]),
            (
                Some(ONE),
                Some("none"),
                vec![(Current, of(ONE)), (Previous, plain())],
            ),
            (
                Some(TWO),
                Some(ONE),
                vec![(Current, of(TWO)), (Previous, of(ONE))],
            ),
        ] {
            let secrets = read(current, previous);
            assert_eq!(digests(&secrets), expected, "{current:?}, {previous:?}");
            assert_eq!(secrets.has_previous(), expected.len() == 2);
        }
    }

    #[test]
    fn an_empty_text_is_none_and_space_around_one_does_not_count() {
        let spaced = format!(" {ONE}\r\n");
        let secrets = read(Some(&spaced), Some(" \n"));
        assert_eq!(digests(&secrets), [(Age::Current, of(ONE))]);
        assert!(read(Some(""), None).current().is_none());
        assert!(read(Some(ONE), Some(" none ")).has_previous());
    }

    #[test]
    fn what_is_too_short_is_refused_by_its_name_and_not_shown() {
        let error = KeySecrets::read(Some("s3cret-01234567"), Some("None")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "EDGE_KEY_SECRET: expected a random text of at least 16 characters, found a shorter one\n\
             EDGE_KEY_SECRET_PREVIOUS: expected a random text of at least 16 characters, or \"none\" \
             if keys are registered without a secret, found a shorter one"
        );
        assert!(KeySecrets::read(Some("none"), None).is_err());
        assert!(KeySecrets::read(Some("ÄÖÜäöüß0123456 "), None).is_err());
        assert!(KeySecrets::read(Some("ÄÖÜäöüß012345678"), None).is_ok());
    }

    #[test]
    fn nothing_of_a_secret_is_shown() {
        let shown = format!("{:?}", read(Some(ONE), Some(TWO)));
        assert!(!shown.contains("secret-0123"), "{shown}");
        let secret = KeySecret::new(ONE).unwrap();
        for public in [of(ONE), secret.derive("seal")] {
            assert!(!shown.contains(&public), "{shown}");
        }
        assert_ne!(secret.derive("seal"), secret.derive("mark"));
    }

    #[test]
    fn a_secret_is_advised_where_keys_or_users_are_counted() {
        let with = |client: &str, by: &str| {
            let text = format!(
                r#"{{ "origin": "https://a.example", "client": {client},
                     "limits": {{ "x": {{ "by": "{by}", "window": "1s", "quota": 1 }} }} }}"#
            );
            text.parse::<Config>().unwrap()
        };
        let jwt = r#"{ "api_key_header": [], "jwt": { "jwks": "https://a.example/k" } }"#;
        let nobody = r#"{ "api_key_header": [] }"#;
        for (client, by, expected) in [
            ("{}", "client", true),
            ("{}", "api-key", true),
            ("{}", "user", true),
            (jwt, "user", true),
            (nobody, "client", false),
            ("{}", "ip", false),
            ("{}", "route", false),
            ("{}", "global", false),
        ] {
            let config = with(client, by);
            let advice = KeySecrets::default().advice(&config);
            assert_eq!(advice.is_some(), expected, "{client}, {by}");
            assert_eq!(read(Some(ONE), None).advice(&config), None);
            assert_eq!(read(None, Some(ONE)).advice(&config), advice);
        }
    }
}

//! Whom the tokens of requests stand for.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::jwt::{Claims, Key, Token};
use crate::engine::recent::Recent;

use super::digests::ClientDigests;
use super::issuer_keys::{IssuerKeys, KeyReply};

/// How many tokens an isolate remembers of each kind. Those that do not verify are kept apart, so
/// that made-up ones displace no other.
const TOKENS: usize = 10_000;

/// How long it is remembered that a token does not verify.
const REFUSED: Duration = Duration::from_secs(60);

/// The same if the reason is that the issuer does not have the token's key.
const UNKNOWN_KEY: Duration = Duration::from_secs(10);

/// The longest that a request waits for the issuer's keys.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a request waits before it looks again whether the keys are there.
const PAUSE: Duration = Duration::from_millis(10);

/// Whom tokens stand for.
#[derive(Debug)]
pub struct Identities {
    /// What a token has to claim.
    claims: Claims,
    digests: Rc<ClientDigests>,
    keys: IssuerKeys,
    /// Whether a token has come that the keys may verify. Before that nobody needs them.
    needs_keys: bool,
    /// The holders of tokens that have verified, and when the tokens expire, by the digests of the
    /// tokens.
    known: Recent<(Arc<Holder>, Timestamp)>,
    /// Tokens that do not verify, and until when that is believed.
    refused: Recent<Timestamp>,
}

/// The client that a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The subject by which limits count the client: a digest of the user's name, or of the token
    /// itself while the issuer's keys cannot be fetched.
    pub subject: String,
    /// The user's plan, if the token names one.
    pub plan: Option<String>,
}

/// What is known of a token.
#[derive(Debug)]
pub enum Finding {
    /// It stands for this client; `None`: for nobody, because it does not verify.
    Holder(Option<Arc<Holder>>),
    /// It has to be verified first.
    Verify(Box<Verification>),
    /// The issuer's keys are being fetched: look again after this pause.
    Wait(Duration),
}

/// The signature of a token that is to be verified. `Debug` shows nothing of the token.
pub struct Verification {
    digest: String,
    holder: Arc<Holder>,
    until: Timestamp,
    /// Whether the token and one of the keys have the same name.
    is_named: bool,
    /// The keys of which one may have signed the token.
    pub keys: Vec<Key>,
    /// The text that is signed.
    pub signed: String,
    /// The signature.
    pub signature: Vec<u8>,
}

/// The result of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// One of the keys has signed the token.
    Signed,
    /// None of them has.
    NotSigned,
    /// The platform cannot use any of the keys.
    Unusable,
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Verification");
        shown.field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl Identities {
    /// Remembers nothing yet. Tokens have to claim what `claims` says.
    pub fn new(claims: Claims, digests: Rc<ClientDigests>) -> Self {
        Self {
            claims,
            digests,
            keys: IssuerKeys::default(),
            needs_keys: false,
            known: Recent::new(TOKENS),
            refused: Recent::new(TOKENS),
        }
    }

    /// What is known of a token. `waited`: how long the request has waited for the keys.
    pub fn find(&mut self, token: &str, waited: Duration, now: Timestamp) -> Finding {
        let digest = self.digests.of_api_key(token);
        let known = self.known.get(&digest).filter(|(_, until)| now < *until);
        if let Some((holder, _)) = known {
            return Finding::Holder(Some(Arc::clone(holder)));
        }
        let refused = self.refused.get(&digest);
        if refused.is_some_and(|until| now < *until) {
            return Finding::Holder(None);
        }
        let read = Token::parse(token).and_then(|token| {
            let user = self.claims.user(&token.claims, now)?;
            Some((token, user))
        });
        let Some((token, user)) = read else {
            return self.refuse(digest, now + REFUSED);
        };
        self.needs_keys = true;
        let set = self.keys.set(now);
        let keys = set.map(|set| set.candidates(&token));
        match keys {
            Some(keys) if !keys.is_empty() => Finding::Verify(Box::new(Verification {
                holder: Arc::new(Holder {
                    subject: self.digests.of_user(&user.name),
                    plan: user.plan,
                }),
                digest,
                until: user.until,
                is_named: keys
                    .iter()
                    .any(|key| key.id.is_some() && key.id == token.key_id),
                keys,
                signed: token.signed,
                signature: token.signature,
            })),
            _ if self.keys.is_failing() => Finding::Holder(Some(by_digest(digest))),
            keys => {
                let awaited = self.keys.is_fetching(now)
                    || keys.is_none()
                    || (waited.is_zero() && self.keys.force(now));
                match awaited {
                    false => self.refuse(digest, now + UNKNOWN_KEY),
                    true if waited < PATIENCE => Finding::Wait(PAUSE),
                    true => Finding::Holder(Some(by_digest(digest))),
                }
            }
        }
    }

    /// Takes the result of a verification, and returns whom the token stands for.
    pub fn verified(
        &mut self,
        token: Verification,
        outcome: Outcome,
        now: Timestamp,
    ) -> Option<Arc<Holder>> {
        match outcome {
            Outcome::Signed => {
                let holder = Arc::clone(&token.holder);
                self.known.insert(token.digest, (token.holder, token.until));
                Some(holder)
            }
            Outcome::NotSigned | Outcome::Unusable if token.is_named => {
                self.refused.insert(token.digest, now + REFUSED);
                None
            }
            Outcome::NotSigned | Outcome::Unusable => {
                // Without names, nothing but this tells that the issuer has another key now.
                self.keys.force(now);
                self.refused.insert(token.digest, now + UNKNOWN_KEY);
                None
            }
        }
    }

    /// Whether the issuer's keys are to be fetched now. If so, that counts as begun.
    pub fn begin_fetch(&mut self, now: Timestamp) -> bool {
        self.needs_keys && self.keys.begin(now)
    }

    /// Takes the issuer's response, or that there was none in time.
    ///
    /// # Errors
    ///
    /// Why the keys could not be fetched, if they could before or if nobody has tried before.
    pub fn fetched(
        &mut self,
        reply: Option<&KeyReply>,
        now: Timestamp,
    ) -> Result<(), &'static str> {
        let was_failing = self.keys.is_failing();
        match self.keys.fetched(reply, now) {
            Ok(changed) => {
                if changed.0 {
                    self.refused = Recent::new(TOKENS);
                }
                Ok(())
            }
            Err(_) if was_failing => Ok(()),
            Err(why) => Err(why),
        }
    }

    fn refuse(&mut self, digest: String, until: Timestamp) -> Finding {
        self.refused.insert(digest, until);
        Finding::Holder(None)
    }
}

/// The client of a token that nobody can verify at present.
fn by_digest(digest: String) -> Arc<Holder> {
    Arc::new(Holder {
        subject: digest,
        plan: None,
    })
}

#[cfg(test)]
mod tests;

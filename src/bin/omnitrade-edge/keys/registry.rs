//! The registered keys in the store: a record for each key, which the gate reads, and an index of
//! all keys, for people.
//!
//! Both are written and removed in one transaction. They may still differ, because a record expires
//! by itself: [`Registry::list`] trusts the records, and removes keys without a record from the
//! index.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::registry::{Registration, index_key, record_key};
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::identity::{Age, ClientDigests, KeySecret, KeySecrets};
use omnitrade_edge::redis::{Command, Script, Value};
use tracing::warn;

use super::entry::Entry;
use super::seal::{open, seal};
use super::secret::ApiKey;
use crate::Failure;
use crate::place::{Store, store_failure};

/// The registered keys of one deployment.
#[derive(Debug)]
pub struct Registry {
    client: Store,
    prefix: String,
    secrets: KeySecrets,
    digests: ClientDigests,
}

/// The details of a registration.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The plan; if `None`, a renewed key keeps its own.
    pub plan: Option<String>,
    /// The name; if `None`, a renewed key keeps its own.
    pub name: Option<String>,
    /// How long the registration lasts from now on.
    pub valid_for: Duration,
}

/// A registration that was made.
#[derive(Debug)]
pub struct Added {
    /// Its plan.
    pub plan: Option<String>,
    /// When the registration ends.
    pub until: Timestamp,
    /// Whether it was registered before.
    pub renewed: bool,
}

/// A registered key.
#[derive(Debug, PartialEq, Eq)]
pub struct Listed {
    /// The whole digest of the key.
    pub digest: String,
    /// Its plan, as the gate sees it.
    pub plan: Option<String>,
    /// Which secret its digest is made with.
    pub under: Under,
    /// The entry of the key in the index.
    pub entry: Entry,
}

/// Which secret the digest of a registered key is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Under {
    /// The current one, or none if there is none.
    Current,
    /// The previous one, or none if keys were registered without one.
    Previous,
    /// Another one, or none: with these secrets a gate does not count the key.
    Other,
}

/// What a rotation did.
#[derive(Debug, PartialEq, Eq)]
pub struct Rotated {
    /// How many keys have another digest now.
    pub moved: u64,
    /// How many could not be moved, because their digests are made with another secret than the
    /// previous one.
    pub others: usize,
}

impl Registry {
    /// The registry whose key names start with `prefix`, of a gate with these secrets.
    pub fn new(client: Store, prefix: String, secrets: KeySecrets) -> Self {
        Self {
            client,
            digests: ClientDigests::new(&prefix, secrets.clone()),
            prefix,
            secrets,
        }
    }

    /// The digest under which a key is registered.
    pub fn digest(&self, key: &ApiKey) -> String {
        self.digests.of_api_key(key.reveal())
    }

    /// Registers a key, or renews it, and moves it from the previous secret to the current one. The
    /// index lives longer than every key in it.
    ///
    /// Times are the store's, because records expire by its clock.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`], which says so if the key may have been registered nevertheless.
    pub async fn add(&self, key: &ApiKey, terms: Terms) -> Result<Added, Failure> {
        let (digest, index) = (self.digest(key), index_key(&self.prefix));
        let previous = self.digests.previous_of_api_key(key.reveal());
        let now = self.command(&Command::new("TIME")).await?;
        let now = server_time(&now).ok_or_else(strange)?;
        let mut before = self.registered(&digest).await?;
        if let (None, Some(previous)) = (&before, &previous) {
            before = self.registered(previous).await?;
        }

        let renewed = before.is_some();
        let (old, known) = before.unwrap_or_default();
        let registration = Registration {
            plan: terms.plan.or(old.plan),
        };
        let until = now + terms.valid_for;
        let added = known.as_ref().map_or(now.as_millis(), |entry| entry.added);
        let plain = self.digests.plain(key.reveal());
        let entry = Entry {
            name: terms.name.or_else(|| known?.name),
            added,
            until: until.as_millis(),
            sealed: self.sealed(&digest, &plain)?,
        };
        let expiry = |when| {
            Command::new("PEXPIREAT")
                .arg(&index)
                .arg(until.as_millis())
                .arg(when)
        };
        let mut transaction = vec![
            Command::new("SET")
                .arg(&record_key(&self.prefix, &digest))
                .arg(&registration.to_text())
                .arg("PXAT")
                .arg(until.as_millis()),
            Command::new("HSET")
                .arg(&index)
                .arg(&digest)
                .arg(&entry.to_text().ok_or_else(strange)?),
            // A new index has no expiry, which GT would treat as the latest of all.
            expiry("NX"),
            expiry("GT"),
        ];
        if let Some(previous) = previous {
            transaction.extend(self.removal(&[previous]));
        }
        self.multi(&transaction).await.map_err(|error| {
            let unsure = match error.may_have_run() {
                true => "; the key may be registered all the same, see `keys list`",
                false => "",
            };
            Failure::Runtime(format!("{error}{unsure}"))
        })?;
        Ok(Added {
            plan: registration.plan,
            until,
            renewed,
        })
    }

    /// The registration under a digest and its entry in the index, if that can be read.
    async fn registered(
        &self,
        digest: &str,
    ) -> Result<Option<(Registration, Option<Entry>)>, Failure> {
        let asked = [
            Command::new("GET").arg(&record_key(&self.prefix, digest)),
            Command::new("HGET")
                .arg(&index_key(&self.prefix))
                .arg(digest),
        ];
        let replies = self.client.pipeline(&asked).await;
        let [record, entry] = replies
            .and_then(all)
            .map_err(|error| store_failure(&error))?;
        let registration = record.as_str().and_then(Registration::parse);
        Ok(registration.map(|it| (it, entry.as_str().and_then(Entry::parse))))
    }

    /// The commands that remove keys.
    fn removal(&self, digests: &[String]) -> [Command; 2] {
        let records = digests.iter().map(|of| record_key(&self.prefix, of));
        let records: Vec<_> = records.collect();
        [
            Command::new("DEL").args(&records),
            Command::new("HDEL")
                .arg(&index_key(&self.prefix))
                .args(digests),
        ]
    }

    /// What an entry keeps of the digest that a key has without a secret.
    fn sealed(&self, digest: &str, plain: &str) -> Result<Option<String>, Failure> {
        let secret = self.secrets.current();
        secret.map(|secret| seal(secret, digest, plain)).transpose()
    }

    /// Which secret a digest is made with, and the digest that the key has without one, as far as
    /// these secrets tell.
    fn opened(&self, digest: &str, entry: &Entry) -> (Under, Option<String>) {
        let open = |secret: Option<&KeySecret>| match (secret, &entry.sealed) {
            (None, None) => Some(digest.to_owned()),
            (Some(secret), Some(sealed)) => open(secret, digest, sealed),
            _ => None,
        };
        for (age, secret) in self.secrets.all() {
            if let Some(plain) = open(secret) {
                let under = match age {
                    Age::Current => Under::Current,
                    Age::Previous => Under::Previous,
                };
                return (under, Some(plain));
            }
        }
        (Under::Other, open(None))
    }

    /// The registered keys, the oldest first. Removes keys from the index that are no longer
    /// registered.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`] if the store cannot be read.
    pub async fn list(&self) -> Result<Vec<Listed>, Failure> {
        let (mut listed, mut gone) = (Vec::new(), Vec::new());
        for (digest, entry, record) in self.all().await? {
            let registration = record.as_str().and_then(Registration::parse);
            match (registration, entry.as_deref().and_then(Entry::parse)) {
                _ if record.is_null() => gone.push(digest),
                (Some(Registration { plan }), Some(entry)) => listed.push(Listed {
                    under: self.opened(&digest, &entry).0,
                    digest,
                    plan,
                    entry,
                }),
                _ => warn!("{}: what is stored is not understood", id(&digest)),
            }
        }
        for gone in gone.chunks(CHUNK) {
            self.prune(gone).await;
        }
        listed.sort_by(|a, b| (a.entry.added, &a.digest).cmp(&(b.entry.added, &b.digest)));
        Ok(listed)
    }

    /// The digests in the index, with their entries and their records as they are stored.
    async fn all(&self) -> Result<Vec<(String, Option<String>, Value)>, Failure> {
        let index = Command::new("HGETALL").arg(&index_key(&self.prefix));
        let pairs = self.command(&index).await?;
        let pairs = pairs.as_array().ok_or_else(strange)?;
        let mut found = Vec::new();
        for chunk in pairs.chunks(2 * CHUNK) {
            let entries: Vec<_> = chunk.chunks_exact(2).filter_map(as_entry).collect();
            let names = entries
                .iter()
                .map(|(digest, _)| record_key(&self.prefix, digest));
            let names: Vec<_> = names.collect();
            if names.is_empty() {
                continue;
            }
            let records = self.command(&Command::new("MGET").args(&names)).await?;
            let records = records.into_array().ok_or_else(strange)?;
            let both = entries.into_iter().zip(records);
            found.extend(both.map(|((digest, entry), record)| (digest, entry, record)));
        }
        Ok(found)
    }

    /// Gives all keys that are registered under the previous secret the digests that they have
    /// under the current one. A key that is revoked or renewed meanwhile is left as it is then.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`] if the store fails; some keys may have been moved then, and what is
    /// left can be moved later.
    pub async fn rotate(&self) -> Result<Rotated, Failure> {
        let (mut moves, mut others) = (Vec::new(), 0);
        for (digest, text, record) in self.all().await? {
            let entry = text.as_deref().and_then(Entry::parse);
            let (Some(text), Some(entry), false) = (text, entry, record.is_null()) else {
                continue;
            };
            match self.opened(&digest, &entry) {
                (Under::Current, _) => {}
                (Under::Previous, Some(plain)) if entry.until <= LATEST => {
                    moves.push(self.moved(digest, text, entry, &plain)?);
                }
                _ => others += 1,
            }
        }
        let mut moved = 0;
        for chunk in moves.chunks(CHUNK / 4) {
            let names = chunk.iter().flat_map(|[old, _, new, ..]| [old, new]);
            let names = names.map(|digest| record_key(&self.prefix, digest));
            let index = std::iter::once(index_key(&self.prefix));
            let names: Vec<_> = index.chain(names).collect();
            let words = chunk.iter().flatten();
            let script = Script::new(MOVE);
            let done = self.client.script(&script, &names, words).await;
            let done = done.map_err(|error| {
                Failure::Runtime(format!(
                    "{error}; some keys may have been moved, so do it again"
                ))
            })?;
            moved += u64::try_from(done.as_int().ok_or_else(strange)?).unwrap_or_default();
        }
        Ok(Rotated { moved, others })
    }

    /// What [`MOVE`] takes to move a key to the current secret.
    fn moved(
        &self,
        digest: String,
        text: String,
        entry: Entry,
        plain: &str,
    ) -> Result<[String; 5], Failure> {
        let secret = self.secrets.current();
        let new = secret.map_or_else(|| plain.to_owned(), |of| of.digest(plain, DIGEST / 2));
        let until = entry.until.to_string();
        let sealed = self.sealed(&new, plain)?;
        let entry = Entry { sealed, ..entry };
        let entry = entry.to_text().ok_or_else(strange)?;
        Ok([digest, text, new, entry, until])
    }

    /// The digest of the one registered key whose digest starts with `start`.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`] if there is no such key, or more than one, or if the store cannot be
    /// read.
    pub async fn find(&self, start: &str) -> Result<String, Failure> {
        if start.len() == DIGEST {
            // A whole digest needs no lookup, and works even if the key is missing in the index.
            return Ok(start.to_owned());
        }
        let index = Command::new("HKEYS").arg(&index_key(&self.prefix));
        let digests = self.command(&index).await?;
        let digests = digests.as_array().ok_or_else(strange)?;
        let mut found = digests
            .iter()
            .filter_map(Value::as_str)
            .filter(|digest| is_digest(digest) && digest.starts_with(start));
        match (found.next(), found.count()) {
            (Some(digest), 0) => Ok(digest.to_owned()),
            (Some(_), others) => Err(Failure::Runtime(format!(
                "ID: expected the start of one id, found that of {}: give more digits \
                 (`keys list --json` shows all)",
                others + 1
            ))),
            (None, _) => Err(no_such_key()),
        }
    }

    /// Revokes a registered key, under all secrets.
    ///
    /// # Errors
    ///
    /// As [`revoke_all`](Self::revoke_all).
    pub async fn revoke(&self, key: &ApiKey) -> Result<(), Failure> {
        self.revoke_all(self.digests_of(&self.digests.plain(key.reveal())))
            .await
    }

    /// Revokes the key that is registered under a digest, under all secrets with which it may be
    /// registered, too, as far as its entry tells.
    ///
    /// # Errors
    ///
    /// As [`revoke_all`](Self::revoke_all), and if the store cannot be read.
    pub async fn revoke_digest(&self, digest: &str) -> Result<(), Failure> {
        let entry = Command::new("HGET")
            .arg(&index_key(&self.prefix))
            .arg(digest);
        let entry = self.command(&entry).await?;
        let entry = entry.as_str().and_then(Entry::parse);
        let plain = entry.and_then(|entry| self.opened(digest, &entry).1);
        let mut digests = plain.map_or_else(Vec::new, |plain| self.digests_of(&plain));
        digests.push(digest.to_owned());
        self.revoke_all(digests).await
    }

    /// Every digest under which a key may be registered. `plain`: the one without a secret.
    fn digests_of(&self, plain: &str) -> Vec<String> {
        let with = |(_, secret): (Age, Option<&KeySecret>)| Some(secret?.digest(plain, DIGEST / 2));
        let with = self.secrets.all().filter_map(with);
        with.chain([plain.to_owned()]).collect()
    }

    /// Removes the registrations under these digests.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`] if there was none, or the store failed.
    async fn revoke_all(&self, digests: Vec<String>) -> Result<(), Failure> {
        // Removing a key twice does no harm.
        let transaction = self.removal(&digests);
        let transaction = transaction.map(|command| command.idempotent(true));
        let replies = self.multi(&transaction).await;
        let replies = replies.map_err(|error| store_failure(&error))?;
        match replies.first().and_then(Value::as_int) {
            Some(0) => Err(no_such_key()),
            _ => Ok(()),
        }
    }

    /// Removes keys without a record from the index, unless they have been registered again
    /// meanwhile.
    async fn prune(&self, digests: &[String]) {
        let names = digests
            .iter()
            .map(|digest| record_key(&self.prefix, digest));
        let names: Vec<_> = std::iter::once(index_key(&self.prefix))
            .chain(names)
            .collect();
        if let Err(error) = self
            .client
            .script(&Script::new(PRUNE), &names, digests)
            .await
        {
            // The list does not contain them in any case.
            warn!("expired keys stay in the index: {error}");
        }
    }

    async fn command(&self, command: &Command) -> Result<Value, Failure> {
        let reply = self.client.command(command).await;
        reply.map_err(|error| store_failure(&error))
    }

    async fn multi(&self, commands: &[Command]) -> Result<Vec<Value>, Error> {
        self.client.multi(commands).await?.into_iter().collect()
    }
}

/// The id of a key: the first 12 digits of its digest.
pub fn id(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// The first error, or all the replies.
fn all<const N: usize>(replies: Vec<Result<Value, Error>>) -> Result<[Value; N], Error> {
    let replies: Vec<_> = replies.into_iter().collect::<Result<_, _>>()?;
    replies
        .try_into()
        .map_err(|_| Error::from(ErrorKind::Protocol))
}

/// A digest in the index and its entry; the inner `None` if the entry is no text.
fn as_entry(pair: &[Value]) -> Option<(String, Option<String>)> {
    let [digest, entry] = pair else { return None };
    let digest = digest.as_str().filter(|digest| is_digest(digest))?;
    Some((digest.to_owned(), entry.as_str().map(str::to_owned)))
}

/// The reply to `TIME`: seconds and microseconds.
fn server_time(reply: &Value) -> Option<Timestamp> {
    let [seconds, micros] = reply.as_array()? else {
        return None;
    };
    let whole = |value: &Value| u64::try_from(value.as_number()?).ok();
    let ms = whole(seconds)?.checked_mul(1_000)?;
    Some(Timestamp::from_millis(
        ms.checked_add(whole(micros)? / 1_000)?,
    ))
}

fn is_digest(text: &str) -> bool {
    text.len() == DIGEST && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn no_such_key() -> Failure {
    Failure::Runtime("no such key is registered".into())
}

fn strange() -> Failure {
    store_failure(&ErrorKind::Protocol.into())
}

/// The number of digits of a digest.
const DIGEST: usize = 32;

/// How many keys are queried at once: such a request is far smaller than Upstash's limit.
const CHUNK: usize = 1_000;

/// KEYS: the index, then a record for each digest in ARGV.
const PRUNE: &str = "\
for n, digest in ipairs(ARGV) do
  if redis.call('EXISTS', KEYS[n + 1]) == 0 then
    redis.call('HDEL', KEYS[1], digest)
  end
end
return 0
";

/// The script by which keys are moved.
const MOVE: &str = include_str!("move.lua");

/// The latest end of a registration that the store surely takes, in milliseconds since 1970.
const LATEST: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_store_is_read() {
        let time = |seconds: &str, micros: &str| {
            server_time(&Value::Array(vec![seconds.into(), micros.into()]))
        };
        assert_eq!(time("12", "345678"), Some(Timestamp::from_millis(12_345)));
        assert_eq!(time("x", "0"), None);
        assert_eq!(time("-1", "0"), None);
        assert_eq!(time("9223372036854775807", "0"), None);
        assert_eq!(server_time(&Value::Null), None);
    }

    #[test]
    fn only_digests_are_taken_from_the_index() {
        let digest = "0123456789abcdef0123456789abcdef";
        assert_eq!(id(digest), "0123456789ab");
        assert!(is_digest(digest));
        for text in [
            "",
            "index",
            "0123456789ABCDEF0123456789ABCDEF",
            &digest[1..],
        ] {
            assert!(!is_digest(text), "{text}");
        }
        let pair = [Value::from(digest), Value::from(1)];
        assert_eq!(as_entry(&pair), Some((digest.to_owned(), None)));
        assert_eq!(as_entry(&["index".into(), "x".into()]), None);
    }
}

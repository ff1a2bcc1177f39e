//! The registered keys in the store: a record for each, which the gate reads, and an index of them
//! all, which is for people.
//!
//! Both are written and removed in one transaction. They may still come apart, since a record
//! expires by itself: [`Registry::list`] goes by the records, and takes from the index what has none.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::registry::{Registration, index_key, record_key};
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{Command, Script, Value};
use tracing::warn;

use super::entry::Entry;
use super::secret::ApiKey;
use crate::Failure;
use crate::place::{Store, store_failure};

/// The registered keys of one deployment.
#[derive(Debug)]
pub struct Registry {
    client: Store,
    prefix: String,
}

/// What a key is to be registered with.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its plan; a key that is renewed keeps its own if this is none.
    pub plan: Option<String>,
    /// Its name; a key that is renewed keeps its own if this is none.
    pub name: Option<String>,
    /// For how long, from now on.
    pub valid_for: Duration,
}

/// What a key has been registered with.
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
    /// Its whole digest.
    pub digest: String,
    /// Its plan, as the gate sees it.
    pub plan: Option<String>,
    /// What the index says about it.
    pub entry: Entry,
}

impl Registry {
    /// The one whose keys start with `prefix`.
    pub const fn new(client: Store, prefix: String) -> Self {
        Self { client, prefix }
    }

    /// A key's digest here.
    pub fn digest(&self, key: &ApiKey) -> String {
        key.digest(&self.prefix)
    }

    /// Registers a key, or renews it. The index outlives every key in it.
    ///
    /// Time is the store's: the records expire by it.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`], which says so if the key may have been registered all the same.
    pub async fn add(&self, digest: &str, terms: Terms) -> Result<Added, Failure> {
        let (record, index) = (record_key(&self.prefix, digest), index_key(&self.prefix));
        let asked = [
            Command::new("TIME"),
            Command::new("GET").arg(&record),
            Command::new("HGET").arg(&index).arg(digest),
        ];
        let [time, before, entry] = self.pipeline(asked).await?;
        let now = server_time(&time).ok_or_else(strange)?;
        let before = before.as_str().and_then(Registration::parse);
        let known = before.as_ref().and_then(|_| Entry::parse(entry.as_str()?));

        let renewed = before.is_some();
        let registration = Registration {
            plan: terms.plan.or_else(|| before?.plan),
        };
        let until = now + terms.valid_for;
        let added = known.as_ref().map_or(now.as_millis(), |entry| entry.added);
        let entry = Entry {
            name: terms.name.or_else(|| known?.name),
            added,
            until: until.as_millis(),
        };
        let expiry = |when| {
            Command::new("PEXPIREAT")
                .arg(&index)
                .arg(until.as_millis())
                .arg(when)
        };
        let transaction = [
            Command::new("SET")
                .arg(&record)
                .arg(&registration.to_text())
                .arg("PXAT")
                .arg(until.as_millis()),
            Command::new("HSET")
                .arg(&index)
                .arg(digest)
                .arg(&entry.to_text().ok_or_else(strange)?),
            // A new index has no expiry, which would count as the latest of all.
            expiry("NX"),
            expiry("GT"),
        ];
        self.multi(transaction).await.map_err(|error| {
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

    /// The registered keys, the oldest first. Takes from the index those that no longer are.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`] where the store cannot be read.
    pub async fn list(&self) -> Result<Vec<Listed>, Failure> {
        let index = Command::new("HGETALL").arg(&index_key(&self.prefix));
        let pairs = self.command(&index).await?;
        let pairs = pairs.as_array().ok_or_else(strange)?;
        let (mut listed, mut gone) = (Vec::new(), Vec::new());
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
            for ((digest, entry), record) in entries.into_iter().zip(records) {
                let registration = record.as_str().and_then(Registration::parse);
                match (registration, entry) {
                    _ if record.is_null() => gone.push(digest),
                    (Some(Registration { plan }), Some(entry)) => listed.push(Listed {
                        digest,
                        plan,
                        entry,
                    }),
                    _ => warn!("{}: what is stored is not understood", id(&digest)),
                }
            }
        }
        for gone in gone.chunks(CHUNK) {
            self.prune(gone).await;
        }
        listed.sort_by(|a, b| (a.entry.added, &a.digest).cmp(&(b.entry.added, &b.digest)));
        Ok(listed)
    }

    /// The digest of the one registered key whose digest starts with `start`.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`] where there is none or more than one, or the store cannot be read.
    pub async fn find(&self, start: &str) -> Result<String, Failure> {
        if start.len() == DIGEST {
            // Nothing to look up, and so nothing that could be missing from the index.
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

    /// Takes a key from the registered ones.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`] where it was not one of them, or the store failed.
    pub async fn revoke(&self, digest: &str) -> Result<(), Failure> {
        let transaction = [
            Command::new("DEL").arg(&record_key(&self.prefix, digest)),
            Command::new("HDEL")
                .arg(&index_key(&self.prefix))
                .arg(digest),
        ];
        // Gone is gone: removing it twice does no harm.
        let transaction = transaction.map(|command| command.idempotent(true));
        let [records, _] = self
            .multi(transaction)
            .await
            .map_err(|error| store_failure(&error))?;
        match records.as_int() {
            Some(0) => Err(no_such_key()),
            _ => Ok(()),
        }
    }

    /// Takes keys without a record from the index, one that came back in the meantime excepted.
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
            // They are no part of the list, pruned or not.
            warn!("expired keys stay in the index: {error}");
        }
    }

    async fn command(&self, command: &Command) -> Result<Value, Failure> {
        let reply = self.client.command(command).await;
        reply.map_err(|error| store_failure(&error))
    }

    async fn pipeline<const N: usize>(
        &self,
        commands: [Command; N],
    ) -> Result<[Value; N], Failure> {
        let replies = self.client.pipeline(&commands).await;
        replies.and_then(all).map_err(|error| store_failure(&error))
    }

    async fn multi<const N: usize>(&self, commands: [Command; N]) -> Result<[Value; N], Error> {
        self.client.multi(&commands).await.and_then(all)
    }
}

/// What a key is called: the first 12 digits of its digest.
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

/// A field of the index and its value, as far as it can be read.
fn as_entry(pair: &[Value]) -> Option<(String, Option<Entry>)> {
    let [digest, entry] = pair else { return None };
    let digest = digest.as_str().filter(|digest| is_digest(digest))?;
    Some((digest.to_owned(), entry.as_str().and_then(Entry::parse)))
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

/// Digits of a digest.
const DIGEST: usize = 32;

/// Keys asked for at once: a request stays far below what Upstash takes.
const CHUNK: usize = 1_000;

/// KEYS: the index, and a record for each of ARGV, the digests.
const PRUNE: &str = "\
for n, digest in ipairs(ARGV) do
  if redis.call('EXISTS', KEYS[n + 1]) == 0 then
    redis.call('HDEL', KEYS[1], digest)
  end
end
return 0
";

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
        let pair = [Value::from(digest), Value::from("no JSON")];
        assert_eq!(as_entry(&pair), Some((digest.to_owned(), None)));
    }
}

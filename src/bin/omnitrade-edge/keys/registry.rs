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
    /// The entry of the key in the index.
    pub entry: Entry,
}

impl Registry {
    /// The registry whose key names start with `prefix`.
    pub const fn new(client: Store, prefix: String) -> Self {
        Self { client, prefix }
    }

    /// The digest of a key in this deployment.
    pub fn digest(&self, key: &ApiKey) -> String {
        key.digest(&self.prefix)
    }

    /// Registers a key, or renews it. The index lives longer than every key in it.
    ///
    /// Times are the store's, because records expire by its clock.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`], which says so if the key may have been registered nevertheless.
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
            // A new index has no expiry, which GT would treat as the latest of all.
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

    /// The registered keys, the oldest first. Removes keys from the index that are no longer
    /// registered.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`] if the store cannot be read.
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

    /// Revokes a registered key.
    ///
    /// # Errors
    ///
    /// [`Failure::Runtime`] if the key was not registered, or the store failed.
    pub async fn revoke(&self, digest: &str) -> Result<(), Failure> {
        let transaction = [
            Command::new("DEL").arg(&record_key(&self.prefix, digest)),
            Command::new("HDEL")
                .arg(&index_key(&self.prefix))
                .arg(digest),
        ];
        // Removing a key twice does no harm.
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

/// A digest in the index and its entry; the inner `None` if the entry cannot be read.
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

//! The store under examination, and the keys that probes make in it.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::error::Error;
use omnitrade_edge::redis::{Command, Options, RestClient, Script, Token, Value};
use omnitrade_edge::shell::ReqwestTransport;
use omnitrade_edge::transport::Transport as _;
use tokio::time::Instant;

use crate::Failure;
use crate::place::{Store, store_failure};

/// The store, seen through a client that tries nothing twice: a fault must not be hidden.
pub struct Patient {
    pub store: Store,
    pub address: Address,
    /// The prefix of all key names.
    pub prefix: String,
    /// The deadline of the gate's calls.
    pub timeout: Duration,
    /// What the names of all keys of this run have in common, so that two runs do not meet.
    run: String,
    made: RefCell<Vec<String>>,
}

impl Patient {
    /// The store at this address. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] if the address or the token cannot be valid; it does not show them.
    pub fn new(
        transport: ReqwestTransport,
        url: &str,
        token: &Token,
        prefix: String,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let options = Options::new(url, token.clone())
            .timeout(PATIENCE)
            .retries(0);
        let store = RestClient::new(transport, options).map_err(|error| store_failure(&error))?;
        let run = random(&store, 8);
        Ok(Self {
            store,
            address: Address::of(url),
            prefix,
            timeout,
            run,
            made: RefCell::default(),
        })
    }

    /// The name of a key for a probe. It is deleted in the end.
    pub fn key(&self, name: &str) -> String {
        let key = format!("{}:doctor:{}:{name}", self.prefix, self.run);
        self.made.borrow_mut().push(key.clone());
        key
    }

    /// The name of a key that does not exist and has another prefix.
    pub fn foreign_key(&self) -> String {
        format!("doctor-of-{}-elsewhere:{}", self.prefix, self.run)
    }

    /// An id for a call of a script that no other call has.
    pub fn call_id(&self) -> String {
        format!("Z{}", random(&self.store, 5))
    }

    /// A text that no other run has.
    pub fn nonce(&self) -> String {
        random(&self.store, 16)
    }

    /// The time on this machine.
    pub fn now(&self) -> Timestamp {
        self.store.transport().now()
    }

    /// Deletes the keys of all probes; each of them expires by itself, should that fail.
    pub async fn clean_up(&self) -> Result<(), Error> {
        let made = self.made.take();
        if made.is_empty() {
            return Ok(());
        }
        let delete = Command::new("DEL").args(made.iter().map(String::as_str));
        self.store.command(&delete).await.map(drop)
    }

    /// Runs one command, and measures it.
    pub async fn timed(&self, command: &Command) -> (Duration, Result<Value, Error>) {
        let start = Instant::now();
        let reply = self.store.command(command).await;
        (start.elapsed(), reply)
    }

    /// Calls a script by its digest alone. `again`: says that an earlier attempt may have run.
    pub async fn by_digest(
        &self,
        script: &Script,
        locking: bool,
        keys: &[String],
        args: &[String],
        again: bool,
    ) -> Result<Value, Error> {
        let sha = match locking {
            true => script.locking_sha(),
            false => script.sha(),
        };
        let mut call = Command::new("EVALSHA")
            .arg(sha)
            .arg(keys.len() as u64)
            .args(keys.iter().map(String::as_str))
            .args(args.iter().map(String::as_str));
        if script.is_repeatable() {
            call = call.arg(if again { "1" } else { "0" });
        }
        self.store.command(&call).await
    }
}

/// What an address says about the way to the server.
#[derive(Debug, Clone, Default)]
pub struct Address {
    pub host: String,
    pub tls: bool,
    pub loopback: bool,
}

impl Address {
    /// That of an HTTP address or of another one with a host.
    pub fn of(url: &str) -> Self {
        let uri: Uri = url.parse().unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let ip = bare.parse::<IpAddr>();
        Self {
            host: host.to_owned(),
            tls: matches!(uri.scheme_str(), Some("https" | "rediss")),
            loopback: host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()),
        }
    }
}

fn random(store: &Store, digits: usize) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let digit = |_| {
        // The number is below 32, so nothing is cut off.
        let at = (store.transport().random() * 32.0) as usize;
        char::from(DIGITS.get(at).copied().unwrap_or(b'0'))
    };
    (0..digits).map(digit).collect()
}

/// The deadline of a call: long, so that a slow store is measured and not only found to be slow.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long probe keys live if they are not deleted, in milliseconds.
pub const LIFE_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_whether_it_is_safe() {
        let of = |url: &str| {
            let address = Address::of(url);
            (address.tls, address.loopback)
        };
        assert_eq!(of("https://eu1.example.com"), (true, false));
        assert_eq!(of("http://eu1.example.com:80/x"), (false, false));
        assert_eq!(of("rediss://u:p@eu1.example.com:6379/0"), (true, false));
        for here in ["127.0.0.1:8079", "localhost", "[::1]:8079", "127.3.2.1"] {
            assert_eq!(of(&format!("http://{here}")), (false, true), "{here}");
        }
        assert_eq!(of("http://127.0.0.1.example.com"), (false, false));
        assert_eq!(Address::of("https://a.example:1/").host, "a.example");
    }
}

//! A Redis with the script loaded, and calls of the script.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Bucket, Charge, Verdict};
use omnitrade_edge::redis::Value;
use omnitrade_edge::store::{ADMIT, Ask, EntryQuery, LimitReply, Outcome, Reply, Stored};
use redis::{Cmd, Connection, ConnectionLike as _, FromRedisValue, cmd};

use crate::common::redis::RedisServer;

/// A Redis for one test, and a connection to it.
pub struct Rig {
    server: RedisServer,
    connection: Connection,
}

impl Rig {
    pub fn start() -> Self {
        let server = RedisServer::start();
        let mut connection = connect(&server);
        load(&mut connection);
        Self { server, connection }
    }

    /// Another connection to the same Redis.
    pub fn connection(&self) -> Connection {
        connect(&self.server)
    }

    /// Runs a command.
    #[track_caller]
    pub fn run<T: FromRedisValue>(&mut self, command: &[&str]) -> T {
        let mut full = Cmd::new();
        for part in command {
            full.arg(part);
        }
        full.query(&mut self.connection).expect("a reply")
    }

    /// The value of a key.
    pub fn text(&mut self, key: &str) -> Option<String> {
        self.run(&["GET", key])
    }

    /// The script's raw reply.
    #[track_caller]
    pub fn raw(&mut self, ask: &Ask) -> Value {
        call(&mut self.connection, ask)
    }

    /// The script's reply.
    #[track_caller]
    pub fn ask(&mut self, ask: &Ask) -> Reply {
        ask.read(self.raw(ask)).expect("a reply of the script's")
    }

    /// The script's reply to a call that may have been carried out before.
    #[track_caller]
    pub fn ask_again(&mut self, ask: &Ask) -> Reply {
        let reply = send(&mut self.connection, ask, true);
        ask.read(reply).expect("a reply of the script's")
    }

    /// Kills Redis and starts it again, empty.
    pub fn restart(&mut self) {
        self.server.restart();
        self.connection = connect(&self.server);
        load(&mut self.connection);
    }

    /// Resets all counters of commands.
    pub fn count_anew(&mut self) {
        self.run::<()>(&["CONFIG", "RESETSTAT"]);
    }

    /// The commands that ran since the reset, as they are billed.
    pub fn counted(&mut self) -> BTreeMap<String, u64> {
        let text: String = self.run(&["INFO", "commandstats"]);
        let line = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let calls = rest.split(',').next()?.parse().ok()?;
            let ours = !name.starts_with("config") && name != "info";
            ours.then(|| (name.to_owned(), calls))
        };
        text.lines().filter_map(line).collect()
    }

    /// Asserts that every key has a TTL.
    #[track_caller]
    pub fn assert_all_expire(&mut self) {
        let keys: Vec<String> = self.run(&["KEYS", "*"]);
        for key in keys {
            let ttl: i64 = self.run(&["PTTL", &key]);
            assert!(ttl > 0, "{key} stays for ever");
        }
    }
}

fn connect(server: &RedisServer) -> Connection {
    let client = redis::Client::open(server.url()).expect("an address");
    client.get_connection().expect("a connection")
}

fn load(connection: &mut Connection) {
    let sha: String = cmd("SCRIPT")
        .arg("LOAD")
        .arg(ADMIT.lua())
        .query(connection)
        .expect("a script that compiles");
    assert_eq!(sha, ADMIT.sha());
}

/// Runs the script once, for the first time.
#[track_caller]
pub fn call(connection: &mut Connection, ask: &Ask) -> Value {
    send(connection, ask, false)
}

/// Runs the script once. `again`: the call may have been carried out before.
#[track_caller]
pub fn send(connection: &mut Connection, ask: &Ask, again: bool) -> Value {
    let mut command = cmd("EVALSHA");
    command.arg(ADMIT.sha());
    arguments(&mut command, ask, again);
    let reply = connection.req_command(&command).expect("never an error");
    value(reply)
}

/// Adds all arguments that follow the script.
pub fn arguments(command: &mut Cmd, ask: &Ask, again: bool) {
    command.arg(ask.keys.len());
    for part in ask.keys.iter().chain(&ask.args) {
        command.arg(part);
    }
    command.arg(u8::from(again));
}

pub fn value(reply: redis::Value) -> Value {
    match reply {
        redis::Value::Nil => Value::Null,
        redis::Value::Int(number) => Value::Int(number),
        redis::Value::BulkString(bytes) => Value::Bytes(bytes.into()),
        redis::Value::Array(items) => Value::Array(items.into_iter().map(value).collect()),
        other => panic!("the script replies with {other:?}"),
    }
}

/// The machine's time, which Redis uses too.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap())
}

/// An enforced limit with a cost of one permit per request.
pub fn limit(key: &str, permits: u64, window_s: u64) -> Charge {
    limit_ms(key, permits, window_s * 1_000)
}

/// An enforced limit with a cost of one permit per request, and a window in milliseconds.
pub fn limit_ms(key: &str, permits: u64, window_ms: u64) -> Charge {
    let key = key.to_owned();
    Charge::on(Bucket { key, permits }, Duration::from_millis(window_ms), 1)
}

/// How long a repeat can come after its call, unless a test says otherwise.
pub const HORIZON: Duration = Duration::from_millis(150);

/// An id that no other call has: six letters and digits. Only the first is a capital letter, so
/// that the end of one id and the beginning of the next never make a third.
pub fn new_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("Z{:05x}", NEXT.fetch_add(1, Ordering::Relaxed) % (1 << 20))
}

/// A call that asks about nothing yet.
pub fn nothing(now: Timestamp) -> Ask {
    Ask::new(now, &new_id(), HORIZON, false)
}

/// A call that asks about limits only.
pub fn limits(charges: &[Charge], now: Timestamp) -> Ask {
    let mut ask = nothing(now);
    for charge in charges {
        ask.limit(charge, 0, &[]);
    }
    ask
}

/// A call that asks about limits and the entry `c`, with a refresh lease `f` of ten seconds.
pub fn with_entry(charges: &[Charge], now: Timestamp) -> Ask {
    let mut ask = limits(charges, now);
    ask.look_up(&lookup(Some(Duration::from_secs(10))));
    ask
}

/// The entry `c` with its refresh lease `f`.
pub fn lookup(lease_for: Option<Duration>) -> EntryQuery {
    EntryQuery {
        entry: "c".to_owned(),
        lease: "f".to_owned(),
        epochs: vec!["e".to_owned(), "t".to_owned()],
        lease_for,
        early: Duration::ZERO,
        known: None,
    }
}

/// The stored entry.
pub fn entry_of(reply: &Reply) -> Option<Bytes> {
    match &reply.cached.as_ref().unwrap().entry {
        Stored::Entry(entry) => Some(entry.clone()),
        Stored::Nothing | Stored::Void => None,
        Stored::Same => panic!("the caller has nothing"),
    }
}

/// Whether the caller holds the refresh lease.
pub fn refreshes(reply: &Reply) -> bool {
    reply.cached.as_ref().unwrap().lease.is_granted()
}

/// Whether all limits are met.
pub fn admitted(reply: &Reply) -> bool {
    reply.outcome == Outcome::Admitted
}

/// The reply of the `n`th limit, which has to apply.
#[track_caller]
pub fn said(reply: &Reply, n: usize) -> &LimitReply {
    reply.limits[n].as_ref().expect("the limit applies")
}

/// The verdict of the `n`th limit.
#[track_caller]
pub fn verdict(reply: &Reply, n: usize) -> &Verdict {
    &said(reply, n).verdict
}

//! A Redis with the script in it, and calls of the script.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Charge, Quota};
use omnitrade_edge::gateway::{ADMIT, Ask, Lookup, Reply};
use omnitrade_edge::redis::Value;
use redis::{Cmd, Connection, ConnectionLike as _, FromRedisValue, cmd};

use crate::common::redis::RedisServer;

/// A Redis of its own, and a connection to it.
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

    /// What the script replies.
    #[track_caller]
    pub fn raw(&mut self, ask: &Ask) -> Value {
        call(&mut self.connection, ask)
    }

    /// What the script replies, read.
    #[track_caller]
    pub fn ask(&mut self, ask: &Ask) -> Reply {
        ask.read(self.raw(ask)).expect("a reply of the script's")
    }

    /// Sets all counters of commands to nought.
    pub fn count_anew(&mut self) {
        self.run::<()>(&["CONFIG", "RESETSTAT"]);
    }

    /// The commands that ran since, as they are billed.
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

/// Runs the script once.
#[track_caller]
pub fn call(connection: &mut Connection, ask: &Ask) -> Value {
    let mut command = cmd("EVALSHA");
    command.arg(ADMIT.sha()).arg(ask.keys.len());
    for part in ask.keys.iter().chain(&ask.args) {
        command.arg(part);
    }
    let reply = connection.req_command(&command).expect("never an error");
    value(reply)
}

fn value(reply: redis::Value) -> Value {
    match reply {
        redis::Value::Nil => Value::Null,
        redis::Value::Int(number) => Value::Int(number),
        redis::Value::BulkString(bytes) => Value::Bytes(bytes.into()),
        redis::Value::Array(items) => Value::Array(items.into_iter().map(value).collect()),
        other => panic!("the script replies with {other:?}"),
    }
}

/// The machine's time, which is also its Redis'.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap())
}

/// A limit that is enforced, at one permit a request.
pub fn limit(key: &str, permits: u64, window_s: u64) -> Charge {
    Charge {
        key: key.to_owned(),
        quota: Quota {
            permits,
            window: Duration::from_secs(window_s),
        },
        cost: 1,
        enforced: true,
    }
}

/// Asks about limits alone.
pub fn limits(charges: &[Charge], now: Timestamp) -> Ask {
    Ask::new(charges, None, now, false)
}

/// Asks about limits and the entry `c`, with a refresh lease `f` of ten seconds.
pub fn with_entry(charges: &[Charge], now: Timestamp) -> Ask {
    let lookup = Lookup {
        entry: "c".to_owned(),
        lease: "f".to_owned(),
        lease_for: Some(Duration::from_secs(10)),
    };
    Ask::new(charges, Some(&lookup), now, false)
}

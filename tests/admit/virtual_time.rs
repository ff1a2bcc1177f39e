//! The script in a Redis with a virtual clock, beside its model, which has to agree with every
//! reply and value.
//!
//! The script itself is unchanged. A line before it gives it another `redis`: its `TIME` is the
//! time that the test sets, and its `SET` hands the TTL to the test, because Redis' own clock does
//! not follow the test's. The model decides when a key expires.

use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::redis::{Script, Value};
use omnitrade_edge::store::{ADMIT, Ask, Reply};
use redis::{Cmd, Connection, ConnectionLike as _, cmd, pipe};

use crate::model::ModelStore;
use crate::rig::{Rig, arguments, value};

/// The line before the script.
const PRELUDE: &str = "local store = redis; \
    local redis = { call = function(name, key, ...) \
      if name == 'TIME' then \
        local ms = tonumber(store.call('GET', 'test:clock')); \
        return { string.format('%.0f', math.floor(ms / 1000)), string.format('%.0f', ms % 1000 * 1000) } \
      elseif name == 'SET' then \
        local text, px, ttl = ...; \
        assert(px == 'PX' and tonumber(ttl) > 0); \
        store.call('HSET', 'test:ttls', key, ttl); \
        return store.call('SET', key, text) \
      end \
      return store.call(name, key, ...) \
    end };";

static SCRIPT: LazyLock<Script> =
    LazyLock::new(|| Script::new(format!("{PRELUDE} {}", ADMIT.lua())));

/// A Redis and the model, on the same clock.
pub struct Store {
    rig: Rig,
    connection: Connection,
    pub model: ModelStore,
    /// The time of both.
    pub now: Timestamp,
}

impl Store {
    pub fn start() -> Self {
        let rig = Rig::start();
        let connection = rig.connection();
        Self {
            rig,
            connection,
            model: ModelStore::default(),
            now: Timestamp::from_millis(0),
        }
    }

    /// Empties both, and sets the clock.
    pub fn begin(&mut self, now: Timestamp) {
        self.flush();
        self.now = now;
    }

    /// Loses all keys.
    pub fn flush(&mut self) {
        self.rig.run::<()>(&["FLUSHALL"]);
        self.model = ModelStore::default();
    }

    /// Loses all scripts.
    pub fn forget_scripts(&mut self) {
        self.rig.run::<()>(&["SCRIPT", "FLUSH"]);
    }

    /// Lets time pass, and keys expire.
    pub fn wait(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        for key in self.model.expire(self.now) {
            self.rig.run::<()>(&["DEL", &key]);
        }
    }

    /// Sets a key for an hour.
    pub fn set(&mut self, key: &str, text: &str) {
        self.rig.run::<()>(&["SET", key, text]);
        self.model.set(key, text, 3_600_000, self.now);
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &str) {
        self.rig.run::<()>(&["DEL", key]);
        self.model.delete(key);
    }

    /// The value of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.model.text(key)
    }

    /// The script's reply.
    ///
    /// # Errors
    ///
    /// If the model replies or stores something else.
    pub fn ask(&mut self, ask: &Ask, again: bool) -> Result<Reply, String> {
        let reply = self.raw(ask, again)?;
        Ok(ask.read(reply).expect("a reply of the script's"))
    }

    /// The script's raw reply.
    ///
    /// # Errors
    ///
    /// If the model replies or stores something else.
    pub fn raw(&mut self, ask: &Ask, again: bool) -> Result<Value, String> {
        let texts = ask.keys.iter().map(|key| self.text(key).map(str::to_owned));
        let before: Vec<_> = texts.collect();
        let expected = self.model.call_again(&ask.keys, &ask.args, self.now, again);
        let said = self.run_script(ask, again);
        let same = |what: &str, script: &dyn Debug, model: &dyn Debug| {
            let (script, model) = (format!("{script:?}"), format!("{model:?}"));
            match script == model {
                true => Ok(()),
                false => Err(format!(
                    "{what}:\n  script {script}\n  model  {model}\n  {ask:?}, again: {again}, at \
                     {:?}, on {before:?}",
                    self.now
                )),
            }
        };
        same("reply", &said, &expected)?;
        let texts: Vec<Option<String>> = query(&mut self.connection, cmd("MGET").arg(&ask.keys));
        let ttls = cmd("HMGET").arg("test:ttls").arg(&ask.keys).clone();
        let ttls: Vec<Option<u64>> = query(&mut self.connection, &ttls);
        for (n, key) in ask.keys.iter().enumerate() {
            let text = &texts[n];
            same(key, &text.as_deref(), &self.model.text(key))?;
            if text.is_some() && *text != before[n] {
                let expires = ttls[n].map(|ttl| self.now + Duration::from_millis(ttl));
                same(key, &expires, &self.model.expires(key))?;
            }
        }
        Ok(said)
    }

    fn run_script(&mut self, ask: &Ask, again: bool) -> Value {
        let clock = self.now.as_millis();
        for (name, script) in [("EVALSHA", SCRIPT.sha()), ("EVAL", SCRIPT.lua())] {
            let mut call = cmd(name);
            call.arg(script);
            arguments(&mut call, ask, again);
            let mut both = pipe();
            both.cmd("SET").arg("test:clock").arg(clock).ignore();
            both.add_command(call);
            match both.query::<(redis::Value,)>(&mut self.connection) {
                Ok((reply,)) => return value(reply),
                Err(error) if error.code() == Some("NOSCRIPT") => {}
                Err(error) => panic!("never an error: {error}: {ask:?}"),
            }
        }
        panic!("EVAL knows every script");
    }
}

#[track_caller]
fn query<T: redis::FromRedisValue>(connection: &mut Connection, command: &Cmd) -> T {
    let reply = connection.req_command(command).expect("a reply");
    T::from_redis_value(reply).expect("a reply of this type")
}

//! The crate's own client and its scripts: through `serve-redis`, and on a Redis that refuses the
//! flag.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::redis::{Command, Options, RestClient, Script, Value};
use omnitrade_edge::shell::ReqwestTransport;
use omnitrade_edge::transport::{Transport, TransportError};
use serde_json::json;

use crate::common::PATIENCE;
use crate::common::redis::RedisServer;
use crate::common::rest::RestServer;

const TOKEN: &str = "secret";

/// A script that returns how often it has run, and its last argument.
fn script() -> Script {
    Script::new("return {redis.call('INCR', KEYS[1]), ARGV[#ARGV]}")
}

fn client<T: Transport>(transport: T, url: &str) -> RestClient<T> {
    RestClient::new(transport, Options::new(url, TOKEN).timeout(PATIENCE)).unwrap()
}

/// Runs the script, and asserts that this is its `count`th run.
async fn assert_runs(client: &RestClient<impl Transport>, script: &Script, count: i64) {
    let reply = client.script(script, &["n"], ["a"]).await.unwrap();
    let flag = if script.is_repeatable() { "0" } else { "a" };
    let expected = Value::Array(vec![Value::Int(count), Value::from(flag)]);
    assert_eq!(reply, expected);
}

/// Which of the script's two variants the store knows by its digest.
async fn known(client: &RestClient<impl Transport>, script: &Script) -> [bool; 2] {
    let exists = Command::new("SCRIPT").arg("EXISTS");
    let exists = exists.arg(script.locking_sha()).arg(script.sha());
    let reply = client.command(&exists).await.unwrap();
    let known = reply.as_array().unwrap();
    [&known[0], &known[1]].map(|known| *known == Value::Int(1))
}

async fn flush(client: &RestClient<impl Transport>) {
    let flush = Command::new("SCRIPT").arg("FLUSH");
    assert_eq!(client.command(&flush).await, Ok(Value::from("OK")));
}

#[tokio::test]
async fn serve_redis_takes_the_locking_variant_and_the_client_survives_a_flush() {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    let client = client(ReqwestTransport::new().unwrap(), rest.url());
    for (script, from) in [(script(), 1), (script().repeatable(), 5)] {
        flush(&client).await;
        assert_runs(&client, &script, from).await;
        assert_runs(&client, &script, from + 1).await;
        assert_eq!(known(&client, &script).await, [true, false]);

        flush(&client).await;
        assert_eq!(known(&client, &script).await, [false, false]);
        assert_runs(&client, &script, from + 2).await;

        // Another server does this, so the one that the client asks does not notice it.
        let other = RestServer::start(&redis.url(), TOKEN);
        other.command(json!(["SCRIPT", "FLUSH"])).await;
        assert_runs(&client, &script, from + 3).await;
        assert_eq!(known(&client, &script).await, [true, false]);
    }
}

#[tokio::test]
async fn where_redis_itself_refuses_the_flag_the_plain_script_runs_once() {
    let redis = RedisServer::start();
    let client = client(Direct::to(&redis), "http://direct.invalid");
    for (script, from) in [(script(), 1), (script().repeatable(), 4)] {
        flush(&client).await;
        assert_runs(&client, &script, from).await;
        assert_runs(&client, &script, from + 1).await;
        assert_eq!(known(&client, &script).await, [false, true]);
        flush(&client).await;
        assert_runs(&client, &script, from + 2).await;
    }
}

/// Upstash's protocol directly on Redis: scripts and texts are not changed.
struct Direct(redis::Client);

impl Direct {
    fn to(server: &RedisServer) -> Self {
        Self(redis::Client::open(server.url()).unwrap())
    }

    /// Runs a command. The text of an error is as Redis wrote it.
    fn run(&self, command: &[serde_json::Value]) -> Result<serde_json::Value, String> {
        let mut packed = redis::Cmd::new();
        for part in command {
            packed.arg(part.as_str().map_or(part.to_string(), str::to_owned));
        }
        let mut connection = self.0.get_connection().unwrap();
        let reply: redis::RedisResult<redis::Value> = packed.query(&mut connection);
        reply.map(json_of).map_err(|error| {
            let words = [error.code(), error.detail()];
            words.into_iter().flatten().collect::<Vec<_>>().join(" ")
        })
    }
}

fn json_of(value: redis::Value) -> serde_json::Value {
    match value {
        redis::Value::Int(number) => json!(number),
        redis::Value::BulkString(bytes) => json!(String::from_utf8(bytes).unwrap()),
        redis::Value::Array(items) => items.into_iter().map(json_of).collect(),
        redis::Value::Okay => json!("OK"),
        other => panic!("no such reply is expected: {other:?}"),
    }
}

impl Transport for Direct {
    async fn send(
        &self,
        request: Request<Bytes>,
        _timeout: Duration,
        _max_bytes: usize,
    ) -> Result<Response<Bytes>, TransportError> {
        let command: Vec<serde_json::Value> = serde_json::from_slice(request.body()).unwrap();
        let (status, answer) = match self.run(&command) {
            Ok(result) => (200, json!({ "result": result })),
            Err(error) => (400, json!({ "error": error })),
        };
        let reply = Response::builder().status(status);
        Ok(reply.body(answer.to_string().into()).unwrap())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    async fn sleep(&self, _duration: Duration) {}

    fn random(&self) -> f64 {
        0.0
    }
}

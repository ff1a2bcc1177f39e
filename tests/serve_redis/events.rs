//! `SUBSCRIBE`, `PSUBSCRIBE` and `MONITOR` as server-sent events.

use reqwest::{Method, Response};
use serde_json::json;

use crate::common::PATIENCE;
use crate::common::redis::RedisServer;
use crate::common::rest::{RestServer, send};

const TOKEN: &str = "secret";

fn start() -> (RedisServer, RestServer) {
    let redis = RedisServer::start();
    let rest = RestServer::start(&redis.url(), TOKEN);
    (redis, rest)
}

/// A stream of events, and what was read of it.
struct Events {
    response: Response,
    read: String,
}

impl Events {
    async fn open(rest: &RestServer, method: Method, path: &str) -> Self {
        let request = rest.request(method, path);
        let request = request.header("Accept", "text/event-stream");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache");
        Self {
            response,
            read: String::new(),
        }
    }

    /// The next event, without the blank line at its end; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let event = event.to_owned();
                self.read = rest.to_owned();
                return Some(event);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk());
            match chunk.await.unwrap() {
                Ok(Some(chunk)) => self.read.push_str(std::str::from_utf8(&chunk).unwrap()),
                Ok(None) => return None,
                Err(_) => return Some("broken off".into()),
            }
        }
    }
}

async fn publish(rest: &RestServer, channel: &str, text: &str) -> i64 {
    let (status, answer) = rest.command(json!(["PUBLISH", channel, text])).await;
    assert_eq!(status, 200, "{answer}");
    answer["result"].as_i64().unwrap()
}

#[tokio::test]
async fn messages_of_a_channel_come_as_events_in_their_order() {
    let (_redis, rest) = start();
    for (method, path) in [
        (Method::POST, "/subscribe/chat"),
        (Method::GET, "/SUBSCRIBE/chat/"),
    ] {
        let mut events = Events::open(&rest, method, path).await;
        assert_eq!(events.next().await.unwrap(), "data: subscribe,chat,1");
        for text in ["hello", "a,b", "{\"x\": [1]}", "", "two\nlines", "é"] {
            assert_eq!(publish(&rest, "chat", text).await, 1);
            let data = format!("message,chat,{text}").replace('\n', "\ndata: ");
            assert_eq!(events.next().await.unwrap(), format!("data: {data}"));
        }
        drop(events);
        eventually_nobody_listens(&rest, "chat").await;
    }
    // By its path, like any other command.
    let answer = rest.post("/publish/chat/hello", "").await;
    assert_eq!(answer.json(), json!({"result": 0}));
}

#[tokio::test]
async fn several_channels_and_patterns_are_confirmed_one_by_one() {
    let (_redis, rest) = start();
    let mut channels = Events::open(&rest, Method::POST, "/subscribe/a/b%2Fc").await;
    assert_eq!(channels.next().await.unwrap(), "data: subscribe,a,1");
    assert_eq!(channels.next().await.unwrap(), "data: subscribe,b/c,2");
    let mut patterns = Events::open(&rest, Method::POST, "/psubscribe/user:*").await;
    assert_eq!(patterns.next().await.unwrap(), "data: psubscribe,user:*,1");
    assert_eq!(publish(&rest, "b/c", "x").await, 1);
    assert_eq!(publish(&rest, "user:7", "y").await, 1);
    assert_eq!(publish(&rest, "user", "z").await, 0);
    assert_eq!(channels.next().await.unwrap(), "data: message,b/c,x");
    assert_eq!(
        patterns.next().await.unwrap(),
        "data: pmessage,user:*,user:7,y"
    );
}

#[tokio::test]
async fn monitor_shows_every_command_as_redis_does() {
    let (_redis, rest) = start();
    let mut events = Events::open(&rest, Method::POST, "/monitor").await;
    assert_eq!(events.next().await.unwrap(), "data: \"OK\"");
    rest.command(json!(["SET", "k", "a\n\"b"])).await;
    let line = events.next().await.unwrap();
    assert!(
        line.starts_with("data: 1") || line.starts_with("data: 2"),
        "{line}"
    );
    assert!(line.ends_with(r#"] "SET" "k" "a\n\"b""#), "{line}");
    let large = "x".repeat(1_000_000);
    rest.command(json!(["SET", "k", large])).await;
    let line = events.next().await.unwrap();
    assert!(line.ends_with(&format!("\"{large}\"")), "{}", line.len());
}

#[tokio::test]
async fn a_stream_needs_the_token_and_a_client_that_takes_events() {
    let (_redis, rest) = start();
    for path in ["/subscribe/a", "/psubscribe/a", "/monitor"] {
        let answer = send(rest.anonymous(Method::POST, path)).await;
        assert_eq!(answer.status, 401, "{path}");
        let request = rest.request(Method::POST, path);
        let answer = send(request.header("Accept", "application/json")).await;
        let text = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(
            answer.status == 400 && text.contains("special context path"),
            "{text}"
        );
        assert_eq!(send(rest.request(Method::HEAD, path)).await.status, 400);
    }
    let by_query = rest.anonymous(Method::GET, &format!("/monitor?_token={TOKEN}"));
    let response = by_query.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
}

#[tokio::test]
async fn what_redis_refuses_is_an_error_and_no_stream() {
    let redis = RedisServer::start();
    let said = redis.say("ACL SETUSER edge on >hush ~* resetchannels &open +@all -monitor");
    assert_eq!(said.as_deref(), Some("+OK"));
    let url = redis.url().replace("redis://", "redis://edge:hush@");
    let rest = RestServer::start(&url, TOKEN);
    for (path, words) in [
        ("/subscribe/closed", "channels used as arguments"),
        ("/monitor", "to run the 'monitor' command"),
        ("/subscribe", "wrong number of arguments"),
        ("/psubscribe/", "wrong number of arguments"),
    ] {
        let answer = send(rest.request(Method::POST, path)).await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
        let text = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(text.contains(words), "{text}");
    }
    let mut open = Events::open(&rest, Method::POST, "/subscribe/open").await;
    assert_eq!(open.next().await.unwrap(), "data: subscribe,open,1");
}

#[tokio::test]
async fn streams_are_bounded_and_each_ends_with_its_client() {
    let redis = RedisServer::start();
    let rest = RestServer::start_with(&redis.url(), TOKEN, &["--max-streams", "3"]);
    let mut running = Vec::new();
    for _ in 0..3 {
        let mut events = Events::open(&rest, Method::POST, "/subscribe/a").await;
        events.next().await.unwrap();
        running.push(events);
    }
    assert_eq!(publish(&rest, "a", "x").await, 3);
    let over = send(rest.request(Method::POST, "/subscribe/a")).await;
    assert_eq!(over.status, 503);
    let text = over.json()["error"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("ERR max concurrent connections exceeded"),
        "{text}"
    );

    running.truncate(1);
    let left = async {
        while publish(&rest, "a", "y").await > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, left).await.unwrap();
    let mut again = Events::open(&rest, Method::POST, "/subscribe/a").await;
    assert_eq!(again.next().await.unwrap(), "data: subscribe,a,1");
}

#[tokio::test]
async fn a_stream_breaks_off_when_redis_goes_and_not_before() {
    let (mut redis, rest) = start();
    let mut events = Events::open(&rest, Method::POST, "/subscribe/a").await;
    assert_eq!(events.next().await.unwrap(), "data: subscribe,a,1");
    redis.stop();
    assert_eq!(events.next().await.unwrap(), "broken off");
    let answer = send(rest.request(Method::POST, "/subscribe/a")).await;
    assert_eq!(
        answer.json(),
        json!({"error": "ERR Redis cannot be reached"})
    );
    assert_eq!(answer.status, 503);
    redis.restart();
    let mut events = Events::open(&rest, Method::POST, "/subscribe/a").await;
    assert_eq!(events.next().await.unwrap(), "data: subscribe,a,1");
}

#[cfg(unix)]
#[tokio::test]
async fn streams_end_well_when_it_is_told_to_stop() {
    let (_redis, rest) = start();
    let mut events = Events::open(&rest, Method::POST, "/monitor").await;
    assert_eq!(events.next().await.unwrap(), "data: \"OK\"");
    let stopped = tokio::task::spawn_blocking(move || rest.terminate());
    // A stream that was waited for, and in vain, would break off.
    assert_eq!(events.next().await, None);
    let (status, _) = stopped.await.unwrap();
    assert!(status.success(), "{status}");
}

/// Waits until a channel has no subscriber.
async fn eventually_nobody_listens(rest: &RestServer, channel: &str) {
    let gone = async {
        while publish(rest, channel, "").await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

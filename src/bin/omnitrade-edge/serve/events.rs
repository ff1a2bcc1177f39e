//! `SUBSCRIBE`, `PSUBSCRIBE` and `MONITOR` as server-sent events, at Upstash's special paths:
//! `/subscribe/CHANNEL…`, `/psubscribe/PATTERN…` and `/monitor`.
//!
//! Each is a connection of its own to Redis, which ends when the client leaves. An event is a line
//! of data: `message,CHANNEL,TEXT`, `pmessage,PATTERN,CHANNEL,TEXT`, `subscribe,CHANNEL,COUNT`, or
//! a line of MONITOR. The `Upstash-Encoding` of other answers does not apply, as with Upstash.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use omnitrade_edge::redis::tcp::Reply;
use omnitrade_edge::redis::tcp::replies::Replies;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::debug;

use super::backend::{Backend, Outage};
use super::wire::{self, Command, Malformed};

/// How often an idle stream sends a comment, as the [HTML standard] advises: proxies do not take
/// it for dead, and a client that has vanished is noticed.
///
/// [HTML standard]: https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a client may take no event before it is given up: meanwhile they pile up in Redis.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is streamed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    command: Command,
    /// Whether Redis answers a PING in between.
    answers_ping: bool,
}

/// Why nothing is streamed.
#[derive(Debug, PartialEq, Eq)]
pub enum NoStream {
    /// As many streams run as may.
    TooMany,
    /// Redis refuses the command; its text.
    Refused(String),
    /// There is no connection.
    Outage(Outage),
}

/// The streams that run.
pub struct Streams {
    left: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl Feed {
    /// What this path streams; `None` if it is the path of a command like any other.
    ///
    /// # Errors
    ///
    /// Escapes that cannot be read.
    pub fn at(path: &str) -> Result<Option<Self>, Malformed> {
        let first = path.trim_start_matches('/').split('/').next();
        let first = first.unwrap_or_default().to_ascii_lowercase();
        if !["subscribe", "psubscribe", "monitor"].contains(&first.as_str()) {
            return Ok(None);
        }
        let mut command = wire::path(path, None, Vec::new())?;
        if command.last().is_some_and(Vec::is_empty) {
            command.pop();
        }
        Ok(Some(Self {
            command,
            answers_ping: first != "monitor",
        }))
    }
}

impl Streams {
    /// None yet, and at most so many at a time. When `stop` says so, they all end.
    pub fn new(most: u32, stop: watch::Receiver<bool>) -> Self {
        let most = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            left: Arc::new(Semaphore::new(most)),
            stop,
        }
    }

    /// Starts a stream once Redis has taken the command.
    pub async fn open(&self, feed: &Feed, backend: &Backend) -> Result<Events, NoStream> {
        let permit = Arc::clone(&self.left).try_acquire_owned();
        let permit = permit.map_err(|_| NoStream::TooMany)?;
        let mut replies = backend.separate().await.map_err(NoStream::Outage)?;
        let broken = |_| NoStream::Outage(Outage::Broken);
        let taken = async {
            replies.send(std::slice::from_ref(&feed.command)).await?;
            replies.next().await
        };
        let first = timeout(PATIENCE, taken).await;
        let first = first.map_err(|_| NoStream::Outage(Outage::TimedOut))?;
        let first = match first.map_err(broken)? {
            Reply::Error(text) => return Err(NoStream::Refused(text)),
            reply => event(&reply),
        };
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let stream = Stream {
            replies,
            sender,
            stop: self.stop.clone(),
            answers_ping: feed.answers_ping,
            _permit: permit,
        };
        tokio::spawn(stream.run(first, HEARTBEAT));
        Ok(Events(receiver))
    }
}

/// How many events wait for the client on this side of the connection.
const IN_FLIGHT: usize = 16;

/// The body of the response.
pub struct Events(mpsc::Receiver<Result<Bytes, BrokenOff>>);

/// Redis has gone away in the middle. The response breaks off, so that the client sees that it was
/// not all.
#[derive(Debug, thiserror::Error)]
#[error("the connection to Redis broke")]
pub struct BrokenOff;

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let polled = self.0.poll_recv(context);
        polled.map(|event| event.map(|event| event.map(Frame::data)))
    }
}

/// A stream on its way.
struct Stream {
    replies: Replies,
    sender: mpsc::Sender<Result<Bytes, BrokenOff>>,
    stop: watch::Receiver<bool>,
    answers_ping: bool,
    _permit: OwnedSemaphorePermit,
}

impl Stream {
    async fn run(mut self, first: Bytes, heartbeat: Duration) {
        debug!("a stream begins");
        let mut beat = interval(heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        // Whether Redis owes an answer to the PING of the last beat.
        let mut owes = false;
        let mut event = Some(first);
        loop {
            if let Some(event) = event.take().filter(|event| !event.is_empty()) {
                let sent = timeout(PATIENCE, self.sender.send(Ok(event))).await;
                if !matches!(sent, Ok(Ok(()))) {
                    break;
                }
                beat.reset();
            }
            tokio::select! {
                () = self.sender.closed() => break,
                () = stopped(&mut self.stop) => break,
                reply = self.replies.next() => match reply {
                    Ok(reply) => {
                        owes = false;
                        event = Some(self::event(&reply));
                    }
                    Err(_) => {
                        let _ = timeout(PATIENCE, self.sender.send(Err(BrokenOff))).await;
                        break;
                    }
                },
                _ = beat.tick() => {
                    let lost = owes || self.answers_ping && self.ping().await.is_err();
                    owes = self.answers_ping;
                    if lost {
                        let _ = timeout(PATIENCE, self.sender.send(Err(BrokenOff))).await;
                        break;
                    }
                    event = Some(Bytes::from_static(COMMENT));
                }
            }
        }
        debug!("a stream ends");
    }

    /// Asks Redis whether it is still there; a user who may not is answered, too.
    async fn ping(&mut self) -> Result<(), BrokenOff> {
        let ping = [vec![b"PING".to_vec()]];
        let sent = timeout(PATIENCE, self.replies.send(&ping)).await;
        sent.ok().and_then(Result::ok).ok_or(BrokenOff)
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Without a sender there is nobody left to wait for.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A comment, which clients pass over.
const COMMENT: &[u8] = b":\n\n";

/// The event that a reply is; empty if it is none.
fn event(reply: &Reply) -> Bytes {
    let text = match reply {
        // Upstash quotes the first line of MONITOR, and no other.
        Reply::Status(text) if text == "OK" => "\"OK\"".to_owned(),
        Reply::Status(text) => text.clone(),
        Reply::Array(items) => match items.first() {
            Some(Reply::Bulk(kind)) if kind == b"pong" => return Bytes::new(),
            _ => items.iter().map(word).collect::<Vec<_>>().join(","),
        },
        _ => return Bytes::new(),
    };
    let mut event = String::with_capacity(text.len() + 8);
    // A line break in the text is one between two lines of data; clients put them together again.
    for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    Bytes::from(event)
}

fn word(item: &Reply) -> String {
    match item {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::Int(number) => number.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    fn feed(path: &str) -> Option<Vec<String>> {
        let text = |word: Vec<u8>| String::from_utf8(word).unwrap();
        let feed = Feed::at(path).unwrap()?;
        Some(feed.command.into_iter().map(text).collect())
    }

    #[test]
    fn a_path_names_what_is_streamed() {
        let words = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
        assert_eq!(
            feed("/subscribe/a/b%2Cc"),
            words(&["subscribe", "a", "b,c"])
        );
        assert_eq!(feed("/PSubscribe/user:*"), words(&["PSubscribe", "user:*"]));
        assert_eq!(feed("/monitor/"), words(&["monitor"]));
        assert_eq!(feed("/subscribe"), words(&["subscribe"]));
        for path in ["/", "/get/subscribe", "/subscriber/a", "/publish/a/b"] {
            assert_eq!(feed(path), None, "{path}");
        }
        assert_eq!(Feed::at("/subscribe/%"), Err(Malformed::Escape));
    }

    #[test]
    fn an_event_is_a_line_of_data_and_line_breaks_in_it_are_kept() {
        let bulk = |text: &str| Reply::Bulk(text.into());
        let shown = |reply| String::from_utf8(event(&reply).to_vec()).unwrap();
        let confirmed = vec![bulk("subscribe"), bulk("chat"), Reply::Int(1)];
        assert_eq!(shown(Reply::Array(confirmed)), "data: subscribe,chat,1\n\n");
        let message = vec![bulk("message"), bulk("a,b"), bulk("x,\ny\r\nz\r")];
        assert_eq!(
            shown(Reply::Array(message)),
            "data: message,a,b,x,\ndata: y\ndata: z\ndata: \n\n"
        );
        assert_eq!(shown(Reply::Status("OK".into())), "data: \"OK\"\n\n");
        let line = r#"1721284005.242090 [0 127.0.0.1:1] "GET" "k""#;
        assert_eq!(
            shown(Reply::Status(line.into())),
            format!("data: {line}\n\n")
        );
        assert_eq!(shown(Reply::Array(vec![bulk("pong"), bulk("")])), "");
        assert_eq!(shown(Reply::Error("NOPERM".into())), "");
    }

    /// A stream whose Redis is the other end that is returned.
    fn stream(answers_ping: bool) -> (Stream, Events, tokio::io::DuplexStream, impl Sized) {
        let (near, far) = tokio::io::duplex(1024);
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let (stopper, stop) = watch::channel(false);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let stream = Stream {
            replies: Replies::new(Box::new(near), usize::MAX),
            sender,
            stop,
            answers_ping,
            _permit: permit,
        };
        (stream, Events(receiver), far, stopper)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_stream_sends_comments_while_redis_answers_its_pings() {
        let (stream, mut events, mut redis, _stopper) = stream(true);
        tokio::spawn(stream.run(Bytes::from_static(b"data: x\n\n"), HEARTBEAT));
        assert_eq!(events.0.recv().await.unwrap().unwrap(), "data: x\n\n");
        for _ in 0..3 {
            let mut ping = [0; 14];
            redis.read_exact(&mut ping).await.unwrap();
            assert_eq!(&ping, b"*1\r\n$4\r\nPING\r\n");
            redis
                .write_all(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
                .await
                .unwrap();
            assert_eq!(events.0.recv().await.unwrap().unwrap(), COMMENT);
        }
        // It says no more.
        assert_eq!(events.0.recv().await.unwrap().unwrap(), COMMENT);
        assert!(events.0.recv().await.unwrap().is_err());
        assert!(events.0.recv().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_ends_the_connection_to_redis() {
        let (stream, events, mut redis, _stopper) = stream(false);
        tokio::spawn(stream.run(Bytes::new(), HEARTBEAT));
        drop(events);
        assert_eq!(redis.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

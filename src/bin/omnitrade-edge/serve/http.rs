//! The HTTP side: authentication, bounds on requests, and responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use omnitrade_edge::redis::tcp::{Reply, guard};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tracing::debug;

use super::backend::{Backend, Outage, Transaction};
use super::body::{self, BadBody, MAX_BODY};
use super::events::{Feed, NoStream, Streams};
use super::reply::{Encoding, write_error, write_object};
use super::script::{Restore, Scripts};
use super::wire::{self, Command, Malformed};

const SYNC_TOKEN: &str = "upstash-sync-token";
const JSON: &str = "application/json";
const OCTETS: &str = "application/octet-stream";

/// The router, with all paths of the service.
pub fn app(token: &str, backend: Backend, streams: Streams) -> Router {
    Router::new().fallback(handle).with_state(Arc::new(App {
        token: Sha256::digest(token).into(),
        backend,
        scripts: Scripts::new(),
        streams,
        answers: AtomicU64::new(1),
    }))
}

struct App {
    /// The digest of the token. Comparing digests takes the same time for every token that is sent.
    token: [u8; 32],
    backend: Backend,
    scripts: Scripts,
    streams: Streams,
    /// The number of responses, which serves as the sync token. With one Redis every read sees
    /// every write, so the token only has to grow.
    answers: AtomicU64,
}

async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let method = request.method().clone();
    let mut response = match app.answer(request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    };
    let sync = app.answers.fetch_add(1, Ordering::Relaxed);
    response
        .headers_mut()
        .insert(SYNC_TOKEN, HeaderValue::from(sync));
    // Path and query are not logged: they hold keys, values and perhaps the token.
    debug!(%method, status = response.status().as_u16(), "answered");
    response
}

struct Answer {
    content_type: &'static str,
    body: Vec<u8>,
}

/// Why a response has a status other than 200.
enum Refusal {
    Unauthorized,
    Method,
    Format(&'static str),
    Body(BadBody),
    Malformed(Malformed),
    /// The command failed or is not allowed; holds the text of the error.
    Command(String),
    /// The same for a client that wants RESP2.
    CommandResp2(Reply),
    Outage(Outage),
    /// As many streams run as may.
    TooManyStreams,
}

#[derive(Clone, Copy)]
enum Format {
    Json(Encoding),
    Resp2,
}

impl App {
    async fn answer(&self, request: Request) -> Result<Response, Refusal> {
        let (head, body) = request.into_parts();
        let query = head.uri.query();
        if !self.authorized(&head.headers, query) {
            return Err(Refusal::Unauthorized);
        }
        if ![Method::GET, Method::HEAD, Method::POST, Method::PUT].contains(&head.method) {
            return Err(Refusal::Method);
        }
        let format = format(&head.headers)?;
        let body = body::read(body, &head.headers).await?;
        if head.method != Method::HEAD
            && takes_events(&head.headers)
            && let Some(feed) = Feed::at(head.uri.path())?
        {
            return self.stream(&feed).await;
        }
        let answer = match head.uri.path().trim_end_matches('/') {
            "" => self.one(wire::command(&body)?, format).await,
            "/pipeline" => self.pipeline(wire::pipeline(&body)?, format).await,
            "/multi-exec" => self.transaction(wire::pipeline(&body)?, format).await,
            _ => {
                let body = match head.method {
                    Method::POST | Method::PUT => body,
                    _ => Vec::new(),
                };
                let command = wire::path(head.uri.path(), query, body)?;
                self.one(command, format).await
            }
        }?;
        Ok(respond(StatusCode::OK, answer.content_type, answer.body))
    }

    /// Events until the client leaves.
    async fn stream(&self, feed: &Feed) -> Result<Response, Refusal> {
        let body = self.streams.open(feed, &self.backend).await?;
        let mut response = Response::new(Body::new(body));
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Ok(response)
    }

    fn authorized(&self, headers: &HeaderMap, query: Option<&str>) -> bool {
        let sent = match headers.get(header::AUTHORIZATION) {
            Some(value) => bearer(value).map(<[u8]>::to_vec),
            None => wire::token(query),
        };
        sent.is_some_and(|token| Sha256::digest(token).ct_eq(&self.token).into())
    }

    async fn one(&self, command: Command, format: Format) -> Result<Answer, Refusal> {
        let reply = self.replies(vec![command]).await?.pop();
        match (reply.unwrap_or(Reply::Nil), format) {
            (Reply::Error(text), Format::Json(_)) => Err(Refusal::Command(text)),
            (error @ Reply::Error(_), Format::Resp2) => Err(Refusal::CommandResp2(error)),
            (reply, Format::Json(encoding)) => {
                let mut body = Vec::new();
                write_object(&reply, encoding, &mut body);
                Ok(Answer::json(body))
            }
            (reply, Format::Resp2) => Ok(Answer::resp2(&[reply])),
        }
    }

    async fn pipeline(&self, commands: Vec<Command>, format: Format) -> Result<Answer, Refusal> {
        let replies = self.replies(commands).await?;
        Ok(match format {
            Format::Json(encoding) => Answer::json(array(&replies, encoding)),
            Format::Resp2 => Answer::resp2(&replies),
        })
    }

    async fn transaction(
        &self,
        mut commands: Vec<Command>,
        format: Format,
    ) -> Result<Answer, Refusal> {
        if let Some(refusal) = commands.iter().find_map(refusal) {
            return Err(Refusal::Command(refusal));
        }
        let restores = self.prepare(&mut commands);
        match self.backend.transaction(&commands).await? {
            Transaction::Executed(replies) => {
                let replies = restore(replies, restores);
                let encoding = match format {
                    Format::Json(encoding) => encoding,
                    // The reply to a transaction is always JSON.
                    Format::Resp2 => Encoding::Text,
                };
                Ok(Answer::json(array(&replies, encoding)))
            }
            Transaction::Discarded(error) => Err(Refusal::Command(error)),
        }
    }

    /// One reply for each command, in their order. A command that is not allowed gets its refusal.
    async fn replies(&self, commands: Vec<Command>) -> Result<Vec<Reply>, Outage> {
        let refusals: Vec<_> = commands.iter().map(refusal).collect();
        let mut commands: Vec<_> = commands
            .into_iter()
            .zip(&refusals)
            .filter_map(|(command, refusal)| refusal.is_none().then_some(command))
            .collect();
        let restores = self.prepare(&mut commands);
        let mut replies = restore(self.backend.run(&commands).await?, restores).into_iter();
        Ok(refusals
            .into_iter()
            .map(|refusal| match refusal {
                Some(refusal) => Reply::Error(refusal),
                None => replies.next().unwrap_or(Reply::Nil),
            })
            .collect())
    }

    fn prepare(&self, commands: &mut [Command]) -> Vec<Option<Restore>> {
        commands
            .iter_mut()
            .map(|command| self.scripts.prepare(command))
            .collect()
    }
}

/// Why a command is not run, in Upstash's words; `None` if it may run.
fn refusal(command: &Command) -> Option<String> {
    let name = command.first().filter(|_| guard::takes_over(command))?;
    let name = guard::upper(name);
    Some(format!(
        "ERR Command \"{name}\" is not allowed in REST or it has a special context path"
    ))
}

impl Answer {
    fn json(body: Vec<u8>) -> Self {
        Self {
            content_type: JSON,
            body,
        }
    }

    fn resp2(replies: &[Reply]) -> Self {
        let mut body = Vec::new();
        for reply in replies {
            reply.write_resp2(&mut body);
        }
        Self {
            content_type: OCTETS,
            body,
        }
    }
}

impl Refusal {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::Unauthorized => {
                let text = "WRONGPASS invalid or missing auth token";
                let mut response = error(StatusCode::UNAUTHORIZED, text);
                let challenge = HeaderValue::from_static("Bearer");
                response
                    .headers_mut()
                    .insert(header::WWW_AUTHENTICATE, challenge);
                return response;
            }
            Self::Method => {
                let text = "ERR method not allowed: only HEAD, GET, POST and PUT are";
                let mut response = error(StatusCode::METHOD_NOT_ALLOWED, text);
                let allow = HeaderValue::from_static("HEAD, GET, POST, PUT");
                response.headers_mut().insert(header::ALLOW, allow);
                return response;
            }
            Self::CommandResp2(reply) => {
                let body = Answer::resp2(&[reply]).body;
                return respond(StatusCode::BAD_REQUEST, OCTETS, body);
            }
            Self::Body(BadBody::TooLarge(actual)) => {
                let actual = actual.map_or(String::new(), |size| format!(", Actual: {size} bytes"));
                let text =
                    format!("ERR max request size exceeded. Limit: {MAX_BODY} bytes{actual}");
                (StatusCode::PAYLOAD_TOO_LARGE, text)
            }
            Self::Body(BadBody::TooSlow) => (
                StatusCode::REQUEST_TIMEOUT,
                "ERR the request took too long to arrive".into(),
            ),
            Self::Body(BadBody::BrokenOff) => (
                StatusCode::BAD_REQUEST,
                "ERR the request broke off before its end".into(),
            ),
            Self::Format(text) => (StatusCode::BAD_REQUEST, text.into()),
            Self::Malformed(malformed) => (StatusCode::BAD_REQUEST, malformed.to_string()),
            Self::Command(text) => (StatusCode::BAD_REQUEST, text),
            Self::Outage(outage) => {
                let status = match outage {
                    Outage::Unreachable | Outage::Refused(_) | Outage::Broken => StatusCode::SERVICE_UNAVAILABLE,
                    Outage::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                    Outage::Garbled => StatusCode::BAD_GATEWAY,
                };
                (status, outage.to_string())
            }
            Self::TooManyStreams => (
                StatusCode::SERVICE_UNAVAILABLE,
                "ERR max concurrent connections exceeded: as many streams run as --max-streams allows"
                    .into(),
            ),
        };
        error(status, &text)
    }
}

impl From<BadBody> for Refusal {
    fn from(body: BadBody) -> Self {
        Self::Body(body)
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<Outage> for Refusal {
    fn from(outage: Outage) -> Self {
        Self::Outage(outage)
    }
}

impl From<NoStream> for Refusal {
    fn from(why: NoStream) -> Self {
        match why {
            NoStream::TooMany => Self::TooManyStreams,
            NoStream::Refused(text) => Self::Command(text),
            NoStream::Outage(outage) => Self::Outage(outage),
        }
    }
}

fn error(status: StatusCode, text: &str) -> Response {
    let mut body = Vec::new();
    write_error(text, &mut body);
    respond(status, JSON, body)
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn array(replies: &[Reply], encoding: Encoding) -> Vec<u8> {
    let mut body = Vec::new();
    let mut separator = b'[';
    for reply in replies {
        body.push(separator);
        write_object(reply, encoding, &mut body);
        separator = b',';
    }
    body.push(b']');
    body
}

fn restore(replies: Vec<Reply>, restores: Vec<Option<Restore>>) -> Vec<Reply> {
    replies
        .into_iter()
        .zip(restores)
        .map(|(reply, restore)| match restore {
            Some(restore) => restore.apply(reply),
            None => reply,
        })
        .collect()
}

/// The token in `Bearer token`; the scheme may be in any case.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| token.trim_ascii())
}

/// Whether the client takes server-sent events: it says so, or does not say what it takes.
fn takes_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().peekable();
    accepted.peek().is_none()
        || accepted.any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            let mut ranges = value.split(|b| *b == b',');
            ranges.any(|range| {
                let range = range.split(|b| *b == b';').next().unwrap_or_default();
                [&b"text/event-stream"[..], b"text/*", b"*/*"].contains(&range.trim_ascii())
            })
        })
}

fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    let text = |name| headers.get(name).map(HeaderValue::as_bytes);
    let encoding = match text("upstash-encoding") {
        Some(value) if value.eq_ignore_ascii_case(b"base64") => Encoding::Base64,
        _ => Encoding::Text,
    };
    match text("upstash-response-format") {
        None => Ok(Format::Json(encoding)),
        Some(value) if value.eq_ignore_ascii_case(b"json") => Ok(Format::Json(encoding)),
        Some(value) if value.eq_ignore_ascii_case(b"resp2") => match encoding {
            Encoding::Text => Ok(Format::Resp2),
            Encoding::Base64 => Err(Refusal::Format(
                "ERR Upstash-Encoding base64 is not allowed with Upstash-Response-Format resp2",
            )),
        },
        Some(_) => Err(Refusal::Format(
            "ERR Upstash-Response-Format must be json or resp2",
        )),
    }
}

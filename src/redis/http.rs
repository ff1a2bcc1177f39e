//! The store over HTTP: Upstash's REST protocol over any transport.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Uri};

use super::call::{By, Exchange, Together};
use super::command::Command;
use super::options::{Endpoint, Options};
use super::script::{Call, Source};
use super::value::Value;
use super::{failure, wire};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::transport::Transport;

/// What the requests of one client have in common.
pub(super) struct Rest {
    pub(super) options: Options,
    endpoint: Endpoint,
    sync_token: Mutex<Option<HeaderValue>>,
}

impl Rest {
    pub(super) fn new(options: Options, endpoint: Endpoint) -> Self {
        Self {
            options,
            endpoint,
            sync_token: Mutex::default(),
        }
    }

    /// The latest reply's token. The lock is never held while a call waits.
    fn sync_token(&self) -> MutexGuard<'_, Option<HeaderValue>> {
        let token = self.sync_token.lock();
        token.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes one exchange over a transport.
pub(super) struct Http<'a, T> {
    pub(super) rest: &'a Rest,
    pub(super) transport: T,
}

/// Where a request goes, and its body.
pub(super) struct Request<'a> {
    uri: &'a Uri,
    body: Bytes,
}

impl<'a, T: Transport> Exchange for Http<'a, T> {
    type Request = Request<'a>;
    type Reply = Bytes;
    type Call = Call;

    fn command(&self, command: &Command) -> Request<'a> {
        let open_json = command.open_json();
        let mut body = Vec::with_capacity(open_json.len() + 1);
        body.extend_from_slice(open_json);
        body.push(b']');
        Request {
            uri: &self.rest.endpoint.command,
            body: Bytes::from(body),
        }
    }

    fn several(&self, commands: &[Command], together: Together) -> Request<'a> {
        let mut body = Vec::with_capacity(commands.iter().map(|c| c.open_json().len() + 2).sum());
        wire::push_open_arrays(&mut body, commands.iter().map(Command::open_json));
        Request {
            uri: match together {
                Together::Pipeline => &self.rest.endpoint.pipeline,
                Together::Transaction => &self.rest.endpoint.multi,
            },
            body: Bytes::from(body),
        }
    }

    fn script(&self, call: &Call, source: &Source, by: By, is_repeat: bool) -> Request<'a> {
        Request {
            uri: &self.rest.endpoint.command,
            body: match by {
                By::Digest => call.by_digest(source, is_repeat),
                By::Source => call.by_source(source, is_repeat),
            },
        }
    }

    async fn attempt(
        &self,
        request: &Request<'a>,
        name: Option<&str>,
        left: Duration,
    ) -> Result<Bytes, Error> {
        let request = self.rest.request(request);
        let reply = self
            .transport
            .send(request, left, self.rest.options.max_reply_bytes)
            .await?;
        if let Some(token) = reply
            .headers()
            .get(SYNC_TOKEN)
            .filter(|t| t.len() <= MAX_SYNC_TOKEN)
        {
            *self.rest.sync_token() = Some(token.clone());
        }
        if reply.status().is_success() {
            Ok(reply.into_body())
        } else {
            Err(failure::from_reply(reply.status(), reply.body(), name))
        }
    }

    fn read_one(&self, reply: Bytes, name: &str) -> Result<Value, Error> {
        wire::read_one(&reply, self.rest.options.base64, name)
    }

    fn read_several(
        &self,
        reply: Bytes,
        commands: &[Command],
        _together: Together,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        let names: Vec<_> = commands.iter().map(Command::name).collect();
        wire::read_many(&reply, self.rest.options.base64, &names)
    }

    fn now(&self) -> Timestamp {
        self.transport.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.transport.sleep(duration).await;
    }

    fn random(&self) -> f64 {
        self.transport.random()
    }
}

impl Rest {
    fn request(&self, Request { uri, body }: &Request<'_>) -> http::Request<Bytes> {
        let mut request = http::Request::new(body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = (*uri).clone();
        *request.headers_mut() = self.endpoint.headers.clone();
        if let Some(token) = self.sync_token().as_ref() {
            request.headers_mut().insert(SYNC_TOKEN, token.clone());
        }
        request
    }
}

/// The only header that the client reads of a reply.
pub(crate) const SYNC_TOKEN: HeaderName = HeaderName::from_static("upstash-sync-token");

/// The longest sync token that is kept, in bytes.
const MAX_SYNC_TOKEN: usize = 1024;

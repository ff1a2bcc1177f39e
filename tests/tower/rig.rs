//! A service behind limits, without a server.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use omnitrade_edge::tower::{Body, Header, RateLimitLayer};
use tower::{Layer, Service, ServiceExt as _, service_fn};

pub const MINUTE: Duration = Duration::from_secs(60);

/// The key in most of these tests.
pub const KEY: Header = Header("x-api-key");

/// A request of a client whose key is `key`.
pub fn request(key: &str) -> Request<String> {
    let request = Request::get("/").header("x-api-key", key);
    request.body(String::new()).unwrap()
}

/// What a client gets.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Answer {
    /// A header's value; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// The permits that are left, by `RateLimit` of draft-10.
    pub fn left(&self) -> Option<u64> {
        let (_, rest) = self.header("ratelimit").split_once(";r=")?;
        rest.split(';').next()?.parse().ok()
    }
}

/// The answer that a response is.
pub async fn read<B>(response: Response<B>) -> Answer
where
    B: http_body::Body<Error: std::fmt::Debug>,
{
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// Sends a request to a service that answers all of them with `respond`.
pub async fn send(
    layer: &RateLimitLayer,
    request: Request<String>,
    respond: impl Fn() -> Response<Full<Bytes>> + Clone,
) -> Answer {
    let service = layer.layer(service_fn(move |_| {
        let response = respond();
        async move { Ok::<_, Infallible>(response) }
    }));
    read(ask(service, request).await.unwrap()).await
}

/// The same, where the service answers "hello".
pub async fn get(layer: &RateLimitLayer, request: Request<String>) -> Answer {
    send(layer, request, || Response::new("hello".into())).await
}

/// Calls a service once.
pub async fn ask<S, B, E>(service: S, request: Request<String>) -> Result<Response<Body<B>>, E>
where
    S: Service<Request<String>, Response = Response<Body<B>>, Error = E>,
{
    let answer = service.oneshot(request).await;
    // What is left to do is done by a task.
    tokio::task::yield_now().await;
    answer
}

/// Whether a future waits for something that does not come by itself.
pub async fn waits<F: Future + Unpin>(future: &mut F) -> bool {
    let others = async {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = future => false,
        () = others => true,
    }
}

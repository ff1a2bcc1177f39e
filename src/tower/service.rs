//! A service behind limits.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use crate::limiter::take_at_once;

use super::body::Body;
use super::future::{Passed, ResponseFuture};
use super::settings::{Demand, Settings};

/// A service whose requests are limited: what [`RateLimitLayer`](super::RateLimitLayer) makes of
/// one.
///
/// It is ready when the inner service is, and its errors are those of the inner service. A refused
/// request does not reach the inner service. The limits never fail: without a store they are local.
#[derive(Debug, Clone)]
pub struct RateLimit<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> RateLimit<S> {
    pub(super) const fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B, R> Service<Request<B>> for RateLimit<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
{
    type Response = Response<Body<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let settings = &self.settings;
        let (parts, body) = request.into_parts();
        if settings.skips(&parts) {
            let request = Request::from_parts(parts, body);
            return ResponseFuture::calling(self.inner.call(request), None);
        }
        let demands = settings.demands(&parts);
        let Some(taken) = take_at_once(&settings.wants(&demands)) else {
            let demands = demands.into_iter().map(Demand::into_owned).collect();
            let request = Request::from_parts(parts, body);
            // The service that is ready is this one, and not its clone.
            let clone = self.inner.clone();
            let ready = mem::replace(&mut self.inner, clone);
            return ResponseFuture::asking(settings, demands, ready, request);
        };
        if !taken.all.success {
            // What `poll_ready` has reserved, such as a place among the concurrent requests, is
            // given back.
            self.inner = self.inner.clone();
            return ResponseFuture::refused(settings.refused(&taken, &parts));
        }
        let costs = demands.iter().map(|demand| demand.cost).collect();
        let passed = Passed {
            settings: Arc::clone(settings),
            taken,
            costs,
        };
        let request = Request::from_parts(parts, body);
        ResponseFuture::calling(self.inner.call(request), Some(passed))
    }
}

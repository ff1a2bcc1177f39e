//! The layer: which limits, of whom, and what clients are told.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode, request, response};
use tower_layer::Layer;

use crate::engine::limit_fields::Style;
use crate::limiter::RateLimiter;

use super::key::Key;
use super::peer_ip::PeerIp;
use super::refusal::Refusal;
use super::service::RateLimit;
use super::settings::{Limit, Settings};

/// Limits the requests of a service.
///
/// Requests that pass are answered with the headers of their limits; those that do not, with 429
/// and problem details. Nothing else changes: the errors of the inner service and its body pass
/// through.
///
/// ```
/// # use omnitrade_edge::limiter::RateLimiter;
/// use http::StatusCode;
/// use omnitrade_edge::tower::{Header, PeerIp, RateLimitLayer};
///
/// # fn example(per_user: RateLimiter, per_ip: RateLimiter) -> RateLimitLayer {
/// RateLimitLayer::new(per_user)
///     .key(Header("x-api-key").or(PeerIp::v6_prefix(64)))
///     .and(per_ip, PeerIp::v6_prefix(64))
///     .refund_on(StatusCode::is_server_error)
///     .skip(|request| request.uri.path() == "/health")
/// # }
/// ```
///
/// [`key`](Self::key), [`cost`](Self::cost), [`quota`](Self::quota) and
/// [`cost_from_response`](Self::cost_from_response) are about the limit that was added last; the
/// other settings are about the layer.
#[derive(Debug, Clone)]
pub struct RateLimitLayer(Arc<Settings>);

impl RateLimitLayer {
    /// Limits each client by `limiter`. Its key is the address of the peer, IPv6 by the first 64
    /// bits, if no other [`key`](Self::key) is set.
    #[cfg_attr(
        target_arch = "wasm32",
        expect(clippy::arc_with_non_send_sync, reason = "there is one thread")
    )]
    pub fn new(limiter: RateLimiter) -> Self {
        let limit = Limit::new(limiter, PeerIp::v6_prefix(64));
        Self(Arc::new(Settings::new(limit)))
    }

    /// Sets whom the limit counts. Requests without a key share one subject, which is the empty
    /// text; the first of them is warned about, by `tracing` with that feature, else on the
    /// standard error.
    #[must_use]
    pub fn key(self, key: impl Key) -> Self {
        let key: Arc<dyn Key> = Arc::new(key);
        self.with_limit(|limit| limit.key = key)
    }

    /// Adds another limit, which counts clients by another key. A request passes if all limits let
    /// it pass, and is charged to none if one does not. Limits whose clients are clones of one take
    /// one store call together.
    #[must_use]
    pub fn and(self, limiter: RateLimiter, key: impl Key) -> Self {
        let limit = Limit::new(limiter, key);
        self.with(|settings| settings.limits.push(limit))
    }

    /// Sets how many permits of the limit a request costs; one by default.
    #[must_use]
    pub fn cost(self, cost: impl Fn(&request::Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.with_limit(|limit| limit.cost = Some(Arc::new(cost)))
    }

    /// Sets how many permits of the limit the client has in a window, such as by its plan. `None`:
    /// those of the rule.
    #[must_use]
    pub fn quota(
        self,
        quota: impl Fn(&request::Parts) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        self.with_limit(|limit| limit.quota = Some(Arc::new(quota)))
    }

    /// Sets how many permits of the limit a request has cost, once its response is known. The
    /// difference is charged then, even if it is more than what is left, or given back. `None`:
    /// what was charged before.
    #[must_use]
    pub fn cost_from_response(
        self,
        cost: impl Fn(&response::Parts) -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        self.with_limit(|limit| limit.cost_from_response = Some(Arc::new(cost)))
    }

    /// Gives back what a request was charged, to all limits, if its response has such a status. An
    /// error of the inner service counts as status 500.
    ///
    /// If the client hangs up before there is a response, nothing is given back.
    #[must_use]
    pub fn refund_on(self, status: impl Fn(&StatusCode) -> bool + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.refund_on = Some(Arc::new(status)))
    }

    /// Lets requests pass without asking a limit, such as those of a health check.
    #[must_use]
    pub fn skip(self, skip: impl Fn(&request::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.skip = Some(Arc::new(skip)))
    }

    /// Sets which headers tell clients their limits; [`Style::Draft10`] by default.
    #[must_use]
    pub fn headers(self, style: Style) -> Self {
        self.with(|settings| settings.style = style)
    }

    /// Sets what a client gets whose request is refused, in place of [`Refusal::response`].
    /// `Retry-After` and the headers of the limits are added to it.
    ///
    /// ```
    /// # use omnitrade_edge::limiter::RateLimiter;
    /// # use omnitrade_edge::tower::RateLimitLayer;
    /// # fn example(limiter: RateLimiter) -> RateLimitLayer {
    /// RateLimitLayer::new(limiter).refuse_with(|refusal| {
    ///     let mut response = http::Response::new("Not so fast!");
    ///     *response.status_mut() = refusal.status();
    ///     response
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn refuse_with<B: Into<Bytes>>(
        self,
        response: impl Fn(&Refusal<'_>) -> Response<B> + Send + Sync + 'static,
    ) -> Self {
        let response = move |refusal: &Refusal<'_>| response(refusal).map(Into::into);
        self.with(|settings| settings.refuse_with = Some(Arc::new(response)))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Changes the limit that was added last.
    fn with_limit(self, change: impl FnOnce(&mut Limit)) -> Self {
        self.with(|settings| {
            if let Some(limit) = settings.limits.last_mut() {
                change(limit);
            }
        })
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit::new(inner, Arc::clone(&self.0))
    }
}

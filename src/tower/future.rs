//! A request on its way through the limits and the inner service.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::limiter::{Taken, take_all};
use crate::transport::BoxFuture;

use super::body::Body;
use super::settings::{Demand, Settings};

pin_project! {
    /// The response future of [`RateLimit`](super::RateLimit).
    ///
    /// If it is dropped, because the client has hung up, nothing is left behind. What was taken of
    /// the limits stays taken then: nobody knows how much of its work the inner service has done.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future, S::Response, S::Error>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F, R, E> {
        /// The limits refuse.
        Refused { response: Option<Response<Bytes>> },
        /// The store is asked.
        Asking { asking: Option<Box<Asking<S, B>>> },
        /// The inner service has the request. `passed`: unless no limit was asked.
        Calling { #[pin] response: F, passed: Option<Passed> },
        /// What is left to do is done, because no runtime does it.
        Finishing { finishing: BoxFuture<'static, ()>, response: Option<Result<R, E>> },
    }
}

/// A request whose limits are being asked, and the service that is ready for it.
struct Asking<S, B> {
    settings: Arc<Settings>,
    taking: BoxFuture<'static, Taken>,
    costs: Vec<u64>,
    service: S,
    request: Request<B>,
}

/// A request that has passed.
pub(super) struct Passed {
    pub(super) settings: Arc<Settings>,
    pub(super) taken: Taken,
    /// What it was charged.
    pub(super) costs: Vec<u64>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(super) const fn refused(response: Response<Bytes>) -> Self {
        let response = Some(response);
        let state = State::Refused { response };
        Self { state }
    }

    pub(super) const fn calling(response: S::Future, passed: Option<Passed>) -> Self {
        let state = State::Calling { response, passed };
        Self { state }
    }

    pub(super) fn asking(
        settings: &Arc<Settings>,
        demands: Vec<Demand<'static>>,
        service: S,
        request: Request<B>,
    ) -> Self {
        let costs = demands.iter().map(|demand| demand.cost).collect();
        let asked = Arc::clone(settings);
        let taking = Box::pin(async move {
            let wants = asked.wants(&demands);
            take_all(&wants).await
        });
        let asking = Box::new(Asking {
            settings: Arc::clone(settings),
            taking,
            costs,
            service,
            request,
        });
        let asking = Some(asking);
        let state = State::Asking { asking };
        Self { state }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Output = Result<Response<Body<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProjection::Refused { response } => {
                    return match response.take() {
                        Some(response) => Poll::Ready(Ok(response.map(Body::text))),
                        None => Poll::Pending,
                    };
                }
                StateProjection::Asking { asking } => {
                    let Some(open) = asking else {
                        return Poll::Pending;
                    };
                    let taken = ready!(open.taking.as_mut().poll(context));
                    match asking.take() {
                        Some(asking) => asking.decided(taken),
                        None => return Poll::Pending,
                    }
                }
                StateProjection::Calling { response, passed } => {
                    let response = ready!(response.poll(context));
                    let (response, left) = match passed.take() {
                        Some(passed) => passed.answered(response),
                        None => (response, None),
                    };
                    let Some(finishing) = left else {
                        return Poll::Ready(response.map(|r| r.map(Body::inner)));
                    };
                    let response = Some(response);
                    State::Finishing {
                        finishing,
                        response,
                    }
                }
                StateProjection::Finishing {
                    finishing,
                    response,
                } => {
                    ready!(finishing.as_mut().poll(context));
                    return match response.take() {
                        Some(response) => Poll::Ready(response.map(|r| r.map(Body::inner))),
                        None => Poll::Pending,
                    };
                }
            };
            state.set(next);
        }
    }
}

impl<S, B> Asking<S, B>
where
    S: Service<Request<B>>,
{
    /// What follows once the limits have decided.
    fn decided(self, taken: Taken) -> State<S, B, S::Future, S::Response, S::Error> {
        let Self {
            settings,
            costs,
            mut service,
            request,
            ..
        } = self;
        match taken.all.success {
            true => State::Calling {
                response: service.call(request),
                passed: Some(Passed {
                    settings,
                    taken,
                    costs,
                }),
            },
            false => {
                let (parts, _) = request.into_parts();
                let response = Some(settings.refused(&taken, &parts));
                State::Refused { response }
            }
        }
    }
}

impl Passed {
    /// Corrects what the request was charged, and tells the limits. Returns the response, and what
    /// is left to do, if no runtime does it.
    fn answered<R, E>(
        mut self,
        response: Result<Response<R>, E>,
    ) -> (Result<Response<R>, E>, Option<BoxFuture<'static, ()>>) {
        let (settings, taken) = (&self.settings, &mut self.taken);
        let response = match response {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                settings.correct(taken, &self.costs, Ok(&parts));
                settings.tell(&mut parts.headers, taken);
                Ok(Response::from_parts(parts, body))
            }
            Err(error) => {
                // It is one of the server, whatever a client will see of it.
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                settings.correct(taken, &self.costs, Err(status));
                Err(error)
            }
        };
        let left = taken.finish();
        (
            response,
            left.map(|left| Box::pin(left) as BoxFuture<'_, ()>),
        )
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

//! A call that returns a value from memory, from the store, or from its loader.

use std::fmt;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::clock::Timestamp;
use crate::engine::value::Use;
use crate::trace;
use crate::transport::{BoxFuture, Movable};

use super::codec::Codec;
use super::common::Common;
use super::entry::Entry;
use super::flights::{Lead, Outcome};
use super::leader::{Led, Loader, Want};
use super::machine::BELIEVED;
use super::spawner::{Hook, Spawner};

/// The future of [`ValueCache::get_or_set`](super::ValueCache::get_or_set) and its like.
///
/// If it is dropped, a load that it has begun goes on, because others may wait for it: in a task of
/// tokio, or where [`on_work`](super::ValueCache::on_work) says. Where there is neither, the load
/// ends, and one of those who wait begins anew.
#[must_use = "nothing happens before it is awaited"]
pub struct GetOrSet<'a, T, E>(State<'a, T, E>);

enum State<'a, T, E> {
    New(Call<'a, T>, Loader<T, E>),
    Running(BoxFuture<'a, Result<T, E>>),
    Over,
}

/// What was called.
pub(super) struct Call<'a, T> {
    pub(super) common: &'a Arc<Common>,
    pub(super) hook: Option<&'a Hook>,
    pub(super) key: &'a str,
    pub(super) entry: &'a Entry,
    pub(super) codec: Codec<T>,
}

impl<'a, T, E> GetOrSet<'a, T, E> {
    pub(super) const fn new(call: Call<'a, T>, loader: Loader<T, E>) -> Self {
        Self(State::New(call, loader))
    }

    /// Gives the error of a load that fails to all who wait for it and share errors of this type,
    /// too.
    ///
    /// Without this, one of those who wait for a load that fails tries it next, and if that fails
    /// too, the others load, each by itself.
    pub fn share_errors(mut self) -> Self
    where
        E: Clone,
    {
        if let State::New(_, loader) = &mut self.0 {
            loader.copy = Some(E::clone);
        }
        self
    }
}

impl<T: Movable + 'static, E: Movable + 'static> Future for GetOrSet<'_, T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<T, E>> {
        if let State::New(..) = self.0
            && let State::New(call, loader) = std::mem::replace(&mut self.0, State::Over)
        {
            match call.begin(loader) {
                Ok(value) => return Poll::Ready(Ok(value)),
                Err(running) => self.0 = State::Running(running),
            }
        }
        match &mut self.0 {
            State::Running(running) => running.as_mut().poll(context),
            // It was polled after its end.
            State::New(..) | State::Over => Poll::Pending,
        }
    }
}

impl<T: Movable + 'static> Call<'_, T> {
    /// The value if memory suffices, else what finds it.
    fn begin<E: Movable + 'static>(
        self,
        loader: Loader<T, E>,
    ) -> Result<T, BoxFuture<'static, Result<T, E>>> {
        let Self { common, codec, .. } = self;
        let now = common.now();
        let found = common.recall(self.key);
        let found = found.filter(|found| found.usable != Use::IfError);
        let known = found.and_then(|found| Some(((codec.decode)(&found.entry.content)?, found)));
        match known {
            Some((value, found)) if found.usable == Use::Fresh => Ok(value),
            // Somebody is at it.
            Some((value, _)) if common.flights.has(self.key, now) => Ok(value),
            Some((value, _)) => {
                let want = self.want();
                if want.spawner.is_apart() {
                    refresh(want, loader);
                    return Ok(value);
                }
                Err(Box::pin(run(want, loader, now)))
            }
            None => Err(Box::pin(run(self.want(), loader, now))),
        }
    }

    fn want(&self) -> Want<T> {
        Want {
            common: Arc::clone(self.common),
            spawner: Spawner::of(self.hook),
            key: self.key.to_owned(),
            entry: self.entry.clone(),
            codec: self.codec,
        }
    }
}

/// Has a value loaded anew in the background, unless somebody is at it.
fn refresh<T: Movable + 'static, E: Movable + 'static>(want: Want<T>, loader: Loader<T, E>) {
    let common = &want.common;
    let (now, deadline) = (common.now(), common.deadline());
    if let Ok(lead) = common.flights.join(&want.key, false, now, deadline) {
        let spawner = want.spawner.clone();
        // There is somebody else than the caller.
        drop(spawner.spawn(Box::pin(want.refresh(loader, lead))));
    }
}

async fn run<T: Movable + 'static, E: Movable + 'static>(
    want: Want<T>,
    loader: Loader<T, E>,
    started: Timestamp,
) -> Result<T, E> {
    let common = Arc::clone(&want.common);
    let mut is_alone = false;
    let mut failures = 0;
    loop {
        let (now, deadline) = (common.now(), common.deadline());
        let joined = common.flights.join(&want.key, is_alone, now, deadline);
        let flight = match joined {
            Ok(lead) => return led(want, loader, lead, !is_alone).await,
            Err(flight) => flight,
        };
        match flight.outcome(&common.place).await {
            // It may have been purged elsewhere before this call began: the store is asked.
            Some(Outcome::Value(_, Some(asked))) if asked + BELIEVED < started => {}
            Some(Outcome::Value(content, _)) => match (want.codec.decode)(&content) {
                Some(value) => return Ok(value),
                None => is_alone = true,
            },
            Some(Outcome::Failed) => {
                if let Some(error) = loader.copy.and_then(|copy| flight.error_of(copy)) {
                    return Err(error);
                }
                failures += 1;
                is_alone = failures > 1;
            }
            Some(Outcome::Nothing) => is_alone = true,
            // The leader was stopped, or is late.
            Some(Outcome::Lost) | None => {}
        }
    }
}

/// Sees to the value for all who wait.
async fn led<T: Movable + 'static, E: Movable + 'static>(
    want: Want<T>,
    loader: Loader<T, E>,
    lead: Lead,
    is_patient: bool,
) -> Result<T, E> {
    let spawner = want.spawner.clone();
    let work = trace::in_current_span(want.lead(loader, lead, is_patient));
    match spawner.run(Box::pin(work)).await {
        Led::Value(value) => Ok(value),
        Led::Failed(error) => Err(error),
        Led::Panicked(payload) => resume_unwind(payload),
        Led::Late(load) => load.await.unwrap_or_else(|payload| resume_unwind(payload)),
    }
}

impl<T, E> fmt::Debug for GetOrSet<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GetOrSet").finish_non_exhaustive()
    }
}

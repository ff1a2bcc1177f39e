//! Who does work that the caller's own future should not do alone: loads, and what no caller waits
//! for.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::transport::{BoxFuture, Movable};

/// A function of the program that takes work and sees to it that it is done.
#[cfg(not(target_arch = "wasm32"))]
pub(super) type Hook = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;
#[cfg(target_arch = "wasm32")]
pub(super) type Hook = Arc<dyn Fn(BoxFuture<'static, ()>)>;

/// What a panic says.
pub(super) type Payload = Box<dyn Any + Send>;

/// Who does the work.
#[derive(Clone)]
pub(super) enum Spawner {
    /// The program's own executor, or a Worker's `waitUntil`.
    Hook(Hook),
    /// The runtime in which the caller runs.
    #[cfg(all(feature = "tokio", not(target_arch = "wasm32")))]
    Tokio(tokio::runtime::Handle),
    /// The caller, for want of anybody else.
    Caller,
}

impl Spawner {
    /// The hook if there is one, else the runtime if there is one.
    pub(super) fn of(hook: Option<&Hook>) -> Self {
        if let Some(hook) = hook {
            return Self::Hook(Arc::clone(hook));
        }
        #[cfg(all(feature = "tokio", not(target_arch = "wasm32")))]
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            return Self::Tokio(runtime);
        }
        Self::Caller
    }

    /// Whether callers need not wait for work.
    pub(super) const fn is_apart(&self) -> bool {
        !matches!(self, Self::Caller)
    }

    /// Has work done: it is begun, or done if the caller is to do it.
    pub(super) async fn later(&self, work: BoxFuture<'static, ()>) {
        if let Some(work) = self.spawn(work) {
            work.await;
        }
    }

    /// Has work done by somebody else than the caller; returns it if there is nobody.
    pub(super) fn spawn(&self, work: BoxFuture<'static, ()>) -> Option<BoxFuture<'static, ()>> {
        match self {
            Self::Hook(hook) => hook(work),
            #[cfg(all(feature = "tokio", not(target_arch = "wasm32")))]
            Self::Tokio(runtime) => drop(runtime.spawn(work)),
            Self::Caller => return Some(work),
        }
        None
    }

    /// Runs work for a caller, and goes on with it if the caller is dropped, unless there is
    /// nobody else.
    pub(super) fn run<R: Movable + 'static>(&self, work: BoxFuture<'static, R>) -> Running<R> {
        if !self.is_apart() {
            return Running::Here(work);
        }
        let relay = Arc::new(Relay(Mutex::new(Baton::Running(None))));
        let task = Task {
            work: Some(work),
            relay: Arc::clone(&relay),
        };
        // It was asked whether there is anybody.
        let _ = self.spawn(Box::pin(task));
        Running::There(relay)
    }
}

/// Work that a caller waits for.
pub(super) enum Running<R> {
    /// It does it itself.
    Here(BoxFuture<'static, R>),
    /// A task does it.
    There(Arc<Relay<R>>),
}

/// What a task and a caller hand to each other.
pub(super) struct Relay<R>(Mutex<Baton<R>>);

enum Baton<R> {
    /// The task works, and wakes the caller.
    Running(Option<Waker>),
    Done(R),
    Panicked(Payload),
    /// The task was dropped by its runtime, so the caller goes on.
    Dropped(BoxFuture<'static, R>),
    /// The caller has the result, or is gone.
    Over,
}

impl<R> Relay<R> {
    fn baton(&self) -> MutexGuard<'_, Baton<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands something to the caller, if it is still there.
    fn put(&self, next: Baton<R>) {
        let mut baton = self.baton();
        let Baton::Running(waker) = &mut *baton else {
            drop(baton);
            // Whatever it holds is dropped without the lock.
            return drop(next);
        };
        let waker = waker.take();
        *baton = next;
        drop(baton);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The task's side.
struct Task<R> {
    work: Option<BoxFuture<'static, R>>,
    relay: Arc<Relay<R>>,
}

impl<R> Future for Task<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(work) = &mut self.work else {
            return Poll::Ready(());
        };
        let next = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => Baton::Done(result),
            Err(payload) => Baton::Panicked(payload),
        };
        self.work = None;
        self.relay.put(next);
        Poll::Ready(())
    }
}

impl<R> Drop for Task<R> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.relay.put(Baton::Dropped(work));
        }
    }
}

impl<R> Future for Running<R> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<R> {
        let relay = match &mut *self {
            Self::Here(work) => return work.as_mut().poll(context),
            Self::There(relay) => Arc::clone(relay),
        };
        let mut baton = relay.baton();
        if let Baton::Running(waker) = &mut *baton {
            *waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let taken = std::mem::replace(&mut *baton, Baton::Over);
        drop(baton);
        match taken {
            Baton::Done(result) => Poll::Ready(result),
            Baton::Panicked(payload) => resume_unwind(payload),
            Baton::Dropped(work) => {
                *self = Self::Here(work);
                self.poll(context)
            }
            // It was polled after its end.
            Baton::Running(_) | Baton::Over => Poll::Pending,
        }
    }
}

impl<R> Drop for Running<R> {
    fn drop(&mut self) {
        if let Self::There(relay) = self {
            let left = std::mem::replace(&mut *relay.baton(), Baton::Over);
            drop(left);
        }
    }
}

/// The result of a future, or what it says when it panics.
pub(super) struct Caught<R>(pub(super) BoxFuture<'static, R>);

impl<R> Future for Caught<R> {
    type Output = Result<R, Payload>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let work = &mut self.0;
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}

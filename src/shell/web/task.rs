//! The tasks of requests: each is a future that is polled until the request is answered.
//!
//! A task is polled at once when it starts, and at once when what it waits for is there. The tasks
//! of `wasm-bindgen-futures` are polled in microtasks, each of which costs the platform as much as
//! the whole decision about a request.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use slab::Slab;

thread_local! {
    static TASKS: RefCell<Slab<Task>> = const { RefCell::new(Slab::new()) };
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

struct Task {
    /// There is none while it is polled, and when it is over.
    work: Option<Work>,
    /// Whether it has to be polled again, because it was woken while it was polled.
    woken: bool,
}

/// Starts a task. It runs until it waits for something.
pub fn start(work: impl Future<Output = ()> + 'static) {
    let task = Task {
        work: Some(Box::pin(work)),
        woken: false,
    };
    let place = TASKS.with_borrow_mut(|tasks| tasks.insert(task));
    run(&Arc::new(Place(place)));
}

/// Where a task is. Only those have it who may wake the task. So a task that nobody can wake any
/// more, because its client hung up, is dropped.
struct Place(usize);

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        run(&self);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let task = TASKS.with_borrow_mut(|tasks| tasks.try_remove(self.0));
        // What it holds may drop other tasks.
        drop(task);
    }
}

/// Polls a task until it waits for something, or is over.
fn run(place: &Arc<Place>) {
    let take = |tasks: &mut Slab<Task>| {
        let task = tasks.get_mut(place.0)?;
        let work = task.work.take();
        task.woken = work.is_none();
        work
    };
    let waker = Waker::from(Arc::clone(place));
    while let Some(mut work) = TASKS.with_borrow_mut(take) {
        if work.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
            return;
        }
        let put_back = |tasks: &mut Slab<Task>| {
            let task = tasks.get_mut(place.0)?;
            task.work = Some(work);
            Some(task.woken)
        };
        if TASKS.with_borrow_mut(put_back) != Some(true) {
            return;
        }
    }
}

//! Virtual time and its tasks, all on one thread; each task is woken when its time has come.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;

pub type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The time, the order among alarms of the same time, and the task.
type Alarm = Reverse<(Timestamp, u64, usize)>;

#[derive(Debug, Default)]
pub struct World {
    now: Cell<Timestamp>,
    alarms: RefCell<BinaryHeap<Alarm>>,
    set: Cell<u64>,
    running: Cell<usize>,
}

impl World {
    pub fn new(start: Timestamp) -> Rc<Self> {
        let world = Self::default();
        world.now.set(start);
        Rc::new(world)
    }

    pub fn now(&self) -> Timestamp {
        self.now.get()
    }

    /// Waits if `at` has not passed yet.
    pub async fn until(&self, at: Timestamp) {
        poll_fn(|_| {
            if self.now.get() >= at {
                return Poll::Ready(());
            }
            self.wake(self.running.get(), at);
            Poll::Pending
        })
        .await;
    }

    pub async fn sleep(&self, duration: Duration) {
        self.until(self.now() + duration).await;
    }

    /// Runs tasks until all have ended. Tasks that are due at the same instant run in the order in
    /// which they began to wait.
    pub fn run(&self, tasks: Vec<Task>) {
        let mut tasks: Vec<_> = tasks.into_iter().map(Some).collect();
        for task in 0..tasks.len() {
            self.wake(task, self.now());
        }
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let Some(Reverse((at, _, n))) = self.alarms.borrow_mut().pop() else {
                return;
            };
            self.now.set(at.max(self.now.get()));
            self.running.set(n);
            let ended = tasks[n]
                .as_mut()
                .is_some_and(|task| task.as_mut().poll(&mut context).is_ready());
            if ended {
                tasks[n] = None;
            }
        }
    }

    fn wake(&self, task: usize, at: Timestamp) {
        let order = self.set.get();
        self.set.set(order + 1);
        self.alarms.borrow_mut().push(Reverse((at, order, task)));
    }
}

//! Without a runtime: callers do all of the work, or a function of the program takes it over.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use omnitrade_edge::clock::{ManualClock, Timestamp};
use omnitrade_edge::transport::{BoxFuture, SendTransport, Transport, TransportError};
use omnitrade_edge::values::{Entry, ValueCache};

use crate::{Down, Loads, ms};

/// A clock that stands still until the test moves it.
#[derive(Clone, Default)]
struct Told(Arc<(ManualClock, Mutex<Vec<Waker>>)>);

impl Told {
    fn pass(&self, time: std::time::Duration) {
        self.0.0.advance(time);
        let sleepers = std::mem::take(&mut *self.0.1.lock().unwrap());
        sleepers.into_iter().for_each(Waker::wake);
    }
}

impl Transport for Told {
    async fn send(
        &self,
        _: http::Request<Bytes>,
        _: std::time::Duration,
        _: usize,
    ) -> Result<http::Response<Bytes>, TransportError> {
        panic!("it has no store");
    }

    fn now(&self) -> Timestamp {
        self.0.0.now()
    }

    async fn sleep(&self, duration: std::time::Duration) {
        let until = self.now() + duration;
        poll_fn(|context| {
            if self.now() >= until {
                return Poll::Ready(());
            }
            self.0.1.lock().unwrap().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn random(&self) -> f64 {
        0.5
    }
}

impl SendTransport for Told {
    fn send_boxed(
        &self,
        request: http::Request<Bytes>,
        timeout: std::time::Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(self.send(request, timeout, max_bytes))
    }

    fn sleep_boxed(&self, duration: std::time::Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.sleep(duration))
    }
}

/// A future that the test polls, if it was woken.
struct Polled<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(Mutex<bool>);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.0.lock().unwrap() = true;
    }
}

impl<T> Polled<T> {
    fn new(future: impl Future<Output = T> + 'static) -> Self {
        Self {
            future: Box::pin(future),
            woken: Arc::new(Woken(Mutex::new(true))),
        }
    }

    fn poll(&mut self) -> Option<T> {
        while std::mem::take(&mut *self.woken.0.lock().unwrap()) {
            let waker = Waker::from(Arc::clone(&self.woken));
            let polled = self.future.as_mut().poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(value) = polled {
                return Some(value);
            }
        }
        None
    }
}

/// A load that ends when it is told to.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(End, Option<Waker>)>>);

type End = Option<Result<u32, Down>>;

impl Gate {
    fn open(&self, result: Result<u32, Down>) {
        let mut gate = self.0.lock().unwrap();
        gate.0 = Some(result);
        if let Some(waker) = gate.1.take() {
            waker.wake();
        }
    }

    async fn wait(self) -> Result<u32, Down> {
        poll_fn(|context| {
            let mut gate = self.0.lock().unwrap();
            match gate.0.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    gate.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// A call in a cache that lives as long.
fn call(
    cache: &ValueCache,
    entry: &Entry,
    loads: &Loads,
    gate: &Gate,
) -> Polled<Result<u32, Down>> {
    let (cache, entry) = (cache.clone(), entry.clone());
    let (loads, gate) = (loads.clone(), gate.clone());
    Polled::new(async move {
        let load = || async move {
            loads.next();
            gate.wait().await
        };
        cache.get_or_set("k", &entry, load).await
    })
}

fn set(cache: &ValueCache, entry: &Entry, value: u32) {
    let (cache, entry) = (cache.clone(), entry.clone());
    let set = async move { cache.set("k", &value, &entry).await };
    Polled::new(set).poll().unwrap().unwrap();
}

fn entry() -> Entry {
    Entry::ttl(ms(100)).stale_while_revalidate(ms(900))
}

#[test]
fn callers_load_themselves_what_is_stale() {
    let clock = Told::default();
    let cache = ValueCache::local(clock.clone());
    let loads = Loads::default();
    for (new, expected) in [(Ok(2), Ok(2)), (Err(Down(1)), Ok(1))] {
        set(&cache, &entry(), 1);
        clock.pass(ms(100));
        let gate = Gate::default();
        let mut caller = call(&cache, &entry(), &loads, &gate);
        assert_eq!(caller.poll(), None, "it loads");
        // Meanwhile somebody is at it.
        let mut other = call(&cache, &entry(), &loads, &gate);
        assert_eq!(other.poll(), Some(Ok(1)));
        gate.open(new);
        assert_eq!(caller.poll(), Some(expected));
    }
    assert_eq!(loads.count(), 2);
}

#[test]
fn after_a_leader_that_is_dropped_another_takes_over() {
    let clock = Told::default();
    let cache = ValueCache::local(clock);
    let (loads, gates) = (Loads::default(), [Gate::default(), Gate::default()]);
    let mut leader = call(&cache, &entry(), &loads, &gates[0]);
    assert_eq!(leader.poll(), None);
    let mut next = call(&cache, &entry(), &loads, &gates[1]);
    let mut last = call(&cache, &entry(), &loads, &gates[1]);
    assert_eq!((next.poll(), last.poll()), (None, None));
    assert_eq!(loads.count(), 1);
    drop(leader);
    assert_eq!((next.poll(), last.poll()), (None, None));
    assert_eq!(loads.count(), 2);
    gates[1].open(Ok(7));
    assert_eq!((next.poll(), last.poll()), (Some(Ok(7)), Some(Ok(7))));
}

#[test]
fn a_leader_that_is_not_polled_is_waited_for_until_its_deadline() {
    let clock = Told::default();
    let cache = ValueCache::local(clock.clone());
    let (loads, gates) = (Loads::default(), [Gate::default(), Gate::default()]);
    let mut leader = call(&cache, &entry(), &loads, &gates[0]);
    assert_eq!(leader.poll(), None);
    let mut other = call(&cache, &entry(), &loads, &gates[1]);
    assert_eq!(other.poll(), None);
    clock.pass(ms(10_099));
    assert_eq!(other.poll(), None);
    assert_eq!(loads.count(), 1);
    clock.pass(ms(1));
    assert_eq!(other.poll(), None);
    assert_eq!(loads.count(), 2);
    gates[1].open(Ok(2));
    assert_eq!(other.poll(), Some(Ok(2)));
    gates[0].open(Ok(1));
    assert_eq!(leader.poll(), Some(Ok(1)), "late, and not kept");
    let mut found = call(&cache, &entry(), &loads, &gates[0]);
    assert_eq!(found.poll(), Some(Ok(2)));
}

/// Takes work, which the test does.
#[derive(Clone, Default)]
struct Works(Arc<Mutex<Vec<BoxFuture<'static, ()>>>>);

impl Works {
    fn cache(&self, cache: &ValueCache) -> ValueCache {
        let works = Arc::clone(&self.0);
        cache.on_work(move |work| works.lock().unwrap().push(work))
    }

    fn take(&self) -> Vec<Polled<()>> {
        let works = std::mem::take(&mut *self.0.lock().unwrap());
        works.into_iter().map(Polled::new).collect()
    }
}

#[test]
fn work_is_handed_over_and_callers_do_not_wait_for_it() {
    let clock = Told::default();
    let works = Works::default();
    let plain = ValueCache::local(clock.clone());
    let cache = works.cache(&plain);
    let (loads, gate) = (Loads::default(), Gate::default());
    set(&plain, &entry(), 1);
    clock.pass(ms(100));
    for _ in 0..3 {
        let mut caller = call(&cache, &entry(), &loads, &gate);
        assert_eq!(caller.poll(), Some(Ok(1)), "at once");
    }
    let mut work = works.take();
    assert_eq!((work.len(), loads.count()), (1, 0));
    assert_eq!(work[0].poll(), None);
    assert_eq!(loads.count(), 1);
    gate.open(Ok(2));
    assert_eq!(work[0].poll(), Some(()));
    let mut caller = call(&plain, &entry(), &loads, &gate);
    assert_eq!(caller.poll(), Some(Ok(2)), "it is the same cache");
}

#[test]
fn a_load_that_was_handed_over_goes_on_without_its_caller() {
    let (clock, works) = (Told::default(), Works::default());
    let cache = works.cache(&ValueCache::local(clock));
    let (loads, gate) = (Loads::default(), Gate::default());
    let mut leader = call(&cache, &entry(), &loads, &gate);
    assert_eq!(leader.poll(), None);
    let mut work = works.take();
    assert_eq!(work.len(), 1);
    assert_eq!(work[0].poll(), None);
    let mut other = call(&cache, &entry(), &loads, &gate);
    assert_eq!(other.poll(), None);
    drop(leader);
    gate.open(Ok(1));
    assert_eq!(work[0].poll(), Some(()));
    assert_eq!((other.poll(), loads.count()), (Some(Ok(1)), 1));
}

#[test]
fn work_that_its_taker_drops_is_done_by_the_caller() {
    for begins in [false, true] {
        let (clock, works) = (Told::default(), Works::default());
        let cache = works.cache(&ValueCache::local(clock));
        let (loads, gate) = (Loads::default(), Gate::default());
        let mut leader = call(&cache, &entry(), &loads, &gate);
        assert_eq!(leader.poll(), None);
        let mut work = works.take();
        if begins {
            assert_eq!(work[0].poll(), None);
        }
        drop(work);
        assert_eq!(leader.poll(), None);
        assert_eq!(loads.count(), 1);
        gate.open(Ok(1));
        assert_eq!(leader.poll(), Some(Ok(1)));
    }
}

#[test]
fn a_panic_in_work_that_was_handed_over_reaches_its_caller() {
    let (clock, works) = (Told::default(), Works::default());
    let cache = works.cache(&ValueCache::local(clock));
    let panics = cache.clone();
    let mut leader = Polled::new(async move {
        let load = || async { std::panic::resume_unwind(Box::new("mine")) };
        let never: Result<u32, Down> = panics.get_or_set("k", &entry(), load).await;
        never
    });
    assert_eq!(leader.poll(), None);
    for mut work in works.take() {
        assert_eq!(work.poll(), Some(()));
    }
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| leader.poll()));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"mine"));
    let (loads, gate) = (Loads::default(), Gate::default());
    let mut next = call(&cache, &entry(), &loads, &gate);
    assert_eq!((next.poll(), works.take().len()), (None, 1));
}

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::clock::ManualClock;
use crate::redis::Place;
use crate::transport::{BoxFuture, SendTransport, Transport, TransportError};

/// A clock that moves when somebody sleeps, and counts how often.
#[derive(Default)]
struct Sleeps {
    clock: ManualClock,
    count: AtomicU64,
}

#[derive(Clone, Default)]
struct Clock(Arc<Sleeps>);

impl Transport for Clock {
    async fn send(
        &self,
        _: http::Request<bytes::Bytes>,
        _: Duration,
        _: usize,
    ) -> Result<http::Response<bytes::Bytes>, TransportError> {
        Err(TransportError::Connect)
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::task::yield_now().await;
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.0.clock.advance(duration);
    }

    fn random(&self) -> f64 {
        0.5
    }
}

impl SendTransport for Clock {
    fn send_boxed(
        &self,
        request: http::Request<bytes::Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<http::Response<bytes::Bytes>, TransportError>> {
        Box::pin(self.send(request, timeout, max_bytes))
    }

    fn sleep_boxed(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.sleep(duration))
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(ms)
}

#[tokio::test]
async fn who_must_not_be_woken_looks_by_its_own_timer_until_the_deadline() {
    let flights = Arc::new(Flights::default());
    let (clock, until) = (Clock::default(), at(1_000));
    let place = Place::process(clock.clone());
    let lead = flights.join("k", false, at(0), until).ok().unwrap();
    let flight = flights.join("k", false, at(0), until).err().unwrap();
    assert!(flight.polled(&place).await.is_none());
    assert_eq!(clock.now(), until);
    // 20, 40, 80, 160, 250, 250 and the rest.
    assert_eq!(clock.0.count.load(Ordering::SeqCst), 7);

    lead.restart(Vec::new(), at(2_000));
    let (told, ()) = tokio::join!(flight.polled(&place), async {
        tokio::task::yield_now().await;
        lead.end(Outcome::Failed);
    });
    assert!(matches!(told, Some(Outcome::Failed)));
    assert!(clock.now() < at(1_100));
    assert!(flight.state().waiting.is_empty());
}

#[tokio::test]
async fn those_who_wait_are_woken_and_leave_nothing_behind() {
    let flights = Arc::new(Flights::default());
    let place = Place::process(Clock::default());
    let lead = flights.join("k", false, at(0), at(1_000)).ok().unwrap();
    let flight = flights.join("k", false, at(0), at(1_000)).err().unwrap();
    {
        // One who gives up.
        let waiting = std::pin::pin!(flight.outcome(&place));
        let mut context = std::task::Context::from_waker(Waker::noop());
        assert!(waiting.poll(&mut context).is_pending());
        assert_eq!(flight.state().waiting.len(), 1);
    }
    assert!(flight.state().waiting.is_empty());
    drop(lead);
    assert!(matches!(flight.outcome(&place).await, Some(Outcome::Lost)));
    assert!(!flights.has("k", at(0)));
}

#[test]
fn a_flight_ends_once_and_takes_no_other_one_along() {
    let flights = Arc::new(Flights::default());
    let first = flights.start("k", at(1_000));
    let second = flights.start("k", at(1_000));
    first.end(Outcome::Failed);
    assert!(flights.has("k", at(999)) && !flights.has("k", at(1_000)));
    let flight = flights.join("k", false, at(0), at(9)).err().unwrap();
    second.end(Outcome::Nothing);
    assert!(matches!(flight.state().outcome, Some(Outcome::Nothing)));
    assert!(!flights.has("k", at(0)));
    assert!(flights.join("k", false, at(0), at(9)).is_ok());
}

#[test]
fn who_comes_after_a_purge_waits_for_nothing_older() {
    let (tag, other) = ("t".to_owned(), "u".to_owned());
    for (tags, keys, is_purged) in [
        (vec![tag.clone()], vec![], true),
        (vec![other.clone()], vec![], false),
        (vec![], vec!["k".to_owned()], true),
        (vec![], vec!["l".to_owned()], false),
    ] {
        let flights = Arc::new(Flights::default());
        let lead = flights.start("k", at(9));
        lead.restart(vec![other.clone()], at(9));
        lead.restart(Vec::new(), at(9));
        lead.tag(std::slice::from_ref(&tag));
        flights.purge(&tags, &keys);
        assert_eq!(!flights.has("k", at(0)), is_purged);
        let waits = flights.join("k", false, at(0), at(9)).is_err();
        assert_eq!(!waits, is_purged);
    }
}

#[test]
fn an_error_is_copied_for_those_who_expect_its_type() {
    let flights = Arc::new(Flights::default());
    let lead = flights.start("k", at(9));
    let flight = flights.join("k", false, at(0), at(9)).err().unwrap();
    lead.fail(Some(Box::new("down".to_owned())));
    assert_eq!(flight.error_of(String::clone).as_deref(), Some("down"));
    assert_eq!(flight.error_of(String::clone).as_deref(), Some("down"));
    assert_eq!(flight.error_of(u32::clone), None);
}

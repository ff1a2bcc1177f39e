//! A store that fails, or that says anything.

use std::sync::{Arc, Mutex};

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::values::{Entry, ValueCache};
use tokio::time::{Instant, sleep};

use crate::world::{Fault, SECRET, World};
use crate::{Down, Loads, minute, ms};

#[tokio::test(start_paused = true)]
async fn while_the_store_fails_loads_go_on_and_on_error_hears() {
    for fault in [
        Fault::Lost,
        Fault::ReplyLost,
        Fault::Hang,
        Fault::Refused,
        Fault::Nonsense,
    ] {
        let world = World::new();
        let process = world.process();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let cache = process.cache(ValueCache::builder().on_error(move |error| {
            let text = format!("{error:?} {error}");
            assert!(
                !text.contains(SECRET) && !text.contains("example"),
                "{text}"
            );
            hears.lock().unwrap().push(error.kind());
        }));
        process.fail(Some(fault));
        let (loads, started) = (Loads::default(), Instant::now());
        for _ in 0..6 {
            let value = cache.get_or_set("k", &minute(), loads.take(ms(1))).await;
            assert_eq!(value, Ok(1), "{fault:?}");
        }
        assert_eq!(cache.get::<u32>("k").await.unwrap().value, 1);
        for n in 0..5 {
            let key = format!("k{n}");
            let value = cache.get_or_set(&key, &minute(), loads.take(ms(1))).await;
            assert_eq!(value, Ok(n + 2), "{fault:?}");
        }
        // The value of a question is believed for a second, and then for as long as nobody says
        // otherwise.
        sleep(ms(1_500)).await;
        let value = cache.get_or_set("k", &minute(), loads.take(ms(1))).await;
        assert_eq!(value, Ok(1), "{fault:?}");
        let heard = std::mem::take(&mut *heard.lock().unwrap());
        assert!(
            !heard.is_empty() && heard.len() <= 14,
            "{fault:?}: {heard:?}"
        );
        assert!(
            started.elapsed() < ms(1_500 + 12 * 160),
            "{fault:?}: {:?}",
            started.elapsed()
        );

        let error = cache.set("k", &9, &minute()).await.unwrap_err();
        assert_eq!(error.kind(), heard[0], "{fault:?}");
        assert!(cache.purge_tags(["t"]).await.is_err());
        assert!(cache.delete("k").await.is_err());
        let value = cache.get_or_set("k", &minute(), loads.take(ms(1))).await;
        assert_eq!(value, Ok(7), "{fault:?}: it is purged here all the same");

        process.fail(None);
        sleep(ms(5_000)).await;
        cache.set("back", &1, &minute()).await.unwrap();
        assert_eq!(world.cache().get::<u32>("back").await.unwrap().value, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_in_memory_bridges_a_store_that_fails() {
    let world = World::new();
    let process = world.process();
    let cache = process.cache(ValueCache::builder());
    let entry = Entry::ttl(ms(500)).stale_if_error(ms(60_000));
    cache.set("k", &0, &entry).await.unwrap();
    sleep(ms(1_500)).await;
    process.fail(Some(Fault::Hang));
    let loads = Loads::default();
    for _ in 0..4 {
        let value = cache.get_or_set("k", &entry, loads.fail(ms(1))).await;
        assert_eq!(value, Ok(0));
    }
    assert_eq!(
        cache.get_or_set("l", &entry, loads.fail(ms(1))).await,
        Err(Down(5))
    );
}

#[tokio::test(start_paused = true)]
async fn get_does_not_wait_for_a_store_that_is_known_to_fail() {
    let process = World::new().process();
    let cache = process.cache(ValueCache::builder());
    process.fail(Some(Fault::Hang));
    let started = Instant::now();
    for n in 0..20 {
        assert_eq!(cache.get::<u32>(&format!("k{n}")).await, None);
    }
    assert!(process.calls() <= 12, "{}", process.calls());
    assert!(started.elapsed() < ms(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_delays_callers_by_its_deadline_at_most() {
    let process = World::new().process();
    let cache = process.cache(ValueCache::builder());
    process.take(ms(10_000));
    let (loads, started) = (Loads::default(), Instant::now());
    let value = cache.get_or_set("k", &minute(), loads.take(ms(10))).await;
    assert_eq!(value, Ok(1));
    assert!(started.elapsed() < ms(150 + 10 + 5));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_told_and_delays_nobody() {
    let world = World::new();
    let process = world.process();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let on_error = move |error: &omnitrade_edge::error::Error| {
        hears.lock().unwrap().push(error.kind());
    };
    let cache = process.cache(ValueCache::builder().on_error(on_error));
    let fails = process.clone();
    let load = || async move {
        fails.fail(Some(Fault::Hang));
        Ok::<_, Down>(1)
    };
    let started = Instant::now();
    assert_eq!(cache.get_or_set("k", &minute(), load).await, Ok(1));
    assert!(started.elapsed() < ms(10));
    sleep(ms(500)).await;
    assert_eq!(*heard.lock().unwrap(), [ErrorKind::Timeout]);
}

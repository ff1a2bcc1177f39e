//! Stale values: how long they are returned, and who loads them anew.

use std::sync::{Arc, Mutex};

use omnitrade_edge::values::{Entry, Loading, ValueCache};
use tokio::time::{Instant, advance, sleep};

use crate::world::World;
use crate::{Down, Loads, ms};

fn both() -> [ValueCache; 2] {
    let world = World::new();
    [world.cache(), ValueCache::local(world.process())]
}

/// Lets tasks run that are ready.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_returned_while_it_is_loaded_anew() {
    for cache in both() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let entry = Entry::ttl(ms(200)).stale_while_revalidate(ms(300));
        let loads = Loads::default();
        let get = || {
            let (seen, loads) = (Arc::clone(&seen), loads.clone());
            cache.get_or_set_with("k", &entry, move |load: Loading<u32>| async move {
                let told = (load.is_background(), load.stale());
                seen.lock().unwrap().push(told);
                Ok::<_, Down>(loads.next())
            })
        };
        assert_eq!(get().await, Ok(1));
        settle().await;
        advance(ms(199)).await;
        assert_eq!(get().await, Ok(1));
        assert_eq!(loads.count(), 1);
        advance(ms(1)).await;
        let found = cache.get::<u32>("k").await.unwrap();
        assert_eq!((found.fresh, found.age), (false, ms(200)));
        assert_eq!(get().await, Ok(1), "stale");
        settle().await;
        assert_eq!(loads.count(), 2);
        assert_eq!(get().await, Ok(2));
        settle().await;
        advance(ms(500)).await;
        assert_eq!(cache.get::<u32>("k").await, None, "too old");
        assert_eq!(get().await, Ok(3));
        let seen = seen.lock().unwrap();
        assert_eq!(*seen, [(false, None), (true, Some(1)), (false, None)]);
    }
}

#[tokio::test(start_paused = true)]
async fn stale_if_error_is_a_hard_ceiling() {
    for cache in both() {
        let (loads, entry) = (
            Loads::default(),
            Entry::ttl(ms(100)).stale_if_error(ms(400)),
        );
        let get = |time| cache.get_or_set("k", &entry, loads.fail(time));
        let first = cache.get_or_set("k", &entry, loads.take(ms(0))).await;
        assert_eq!(first, Ok(1));
        settle().await;
        advance(ms(100)).await;
        assert_eq!(get(ms(0)).await, Ok(1));
        settle().await;
        advance(ms(390)).await;
        assert_eq!(get(ms(0)).await, Ok(1));
        assert_eq!(get(ms(20)).await, Err(Down(4)), "a load that ends too late");
        assert_eq!(get(ms(0)).await, Err(Down(5)));

        // It also bounds what may be used while it is loaded anew.
        let entry = Entry::ttl(ms(100))
            .stale_while_revalidate(ms(800))
            .stale_if_error(ms(200));
        cache.set("l", &7, &entry).await.unwrap();
        advance(ms(299)).await;
        assert_eq!(cache.get::<u32>("l").await.unwrap().value, 7);
        advance(ms(1)).await;
        assert_eq!(cache.get::<u32>("l").await, None);
        let failed = cache.get_or_set("l", &entry, loads.fail(ms(0))).await;
        assert_eq!(failed, Err(Down(6)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_loader_that_hangs_is_a_failure_for_a_stale_value() {
    for cache in both() {
        let entry = Entry::ttl(ms(100)).stale_if_error(ms(60_000));
        cache.set("k", &1, &entry).await.unwrap();
        sleep(ms(200)).await;
        let (started, loads) = (Instant::now(), Loads::default());
        let hangs = || cache.get_or_set("k", &entry, loads.take(ms(600_000)));
        let (one, other) = tokio::join!(hangs(), hangs());
        assert_eq!((one, other), (Ok(1), Ok(1)));
        assert_eq!(loads.count(), 1);
        let waited = started.elapsed();
        assert!(waited >= ms(10_000) && waited < ms(10_100), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_leaves_the_stale_value_and_is_tried_again() {
    for cache in both() {
        let entry = Entry::ttl(ms(100)).stale_while_revalidate(ms(10_000));
        cache.set("k", &0, &entry).await.unwrap();
        advance(ms(200)).await;
        let loads = Loads::default();
        for n in 1..4 {
            let stale = cache.get_or_set("k", &entry, loads.fail(ms(1))).await;
            assert_eq!(stale, Ok(0));
            sleep(ms(5)).await;
            assert_eq!(loads.count(), n);
        }
        let panics = || async { std::panic::resume_unwind(Box::new("mine")) };
        let stale: Result<u32, Down> = cache.get_or_set("k", &entry, panics).await;
        assert_eq!(stale, Ok(0), "nobody waits for a panic");
        sleep(ms(5)).await;
        let stale = cache.get_or_set("k", &entry, loads.take(ms(1))).await;
        assert_eq!(stale, Ok(0));
        sleep(ms(5)).await;
        let fresh = cache.get_or_set("k", &entry, loads.fail(ms(1))).await;
        assert_eq!((fresh, loads.count()), (Ok(4), 4));
    }
}

#[tokio::test(start_paused = true)]
async fn one_refresh_for_all_processes() {
    let world = World::new();
    let entry = Entry::ttl(ms(100)).stale_while_revalidate(ms(60_000));
    world.cache().set("k", &0, &entry).await.unwrap();
    sleep(ms(2_000)).await;
    let loads = Loads::default();
    // Some have the value in memory, the others read it.
    let caches: Vec<_> = (0..6).map(|_| world.cache()).collect();
    for cache in &caches[..3] {
        cache.get::<u32>("k").await.unwrap();
    }
    let started = Instant::now();
    for cache in caches.iter().chain(&caches) {
        let stale = cache.get_or_set("k", &entry, loads.take(ms(100))).await;
        assert_eq!(stale, Ok(0));
    }
    assert!(started.elapsed() < ms(20), "nobody waits");
    sleep(ms(90)).await;
    assert_eq!(loads.count(), 1);
    sleep(ms(1_500)).await;
    for cache in &caches {
        let next = cache.get_or_set("k", &entry, loads.take(ms(100))).await;
        assert!(matches!(next, Ok(1..)));
    }
    assert!(loads.count() <= 2, "the new one is stale by now");
}

#[tokio::test(start_paused = true)]
async fn while_another_process_loads_a_stale_value_is_returned_at_once() {
    let world = World::new();
    let process = world.process();
    let (one, two) = (world.cache(), process.cache(ValueCache::builder()));
    let entry = Entry::ttl(ms(100)).stale_while_revalidate(ms(60_000));
    one.set("k", &0, &entry).await.unwrap();
    sleep(ms(1_200)).await;
    let loads = Loads::default();
    one.get_or_set("k", &entry, loads.take(ms(5_000)))
        .await
        .unwrap();
    sleep(ms(10)).await;
    let started = Instant::now();
    for _ in 0..20 {
        let stale = two.get_or_set("k", &entry, loads.take(ms(1))).await;
        assert_eq!(stale, Ok(0));
        sleep(ms(100)).await;
    }
    assert!(started.elapsed() < ms(2_100));
    assert_eq!(loads.count(), 1);
    assert!(process.calls() <= 10, "{}: not each time", process.calls());
}

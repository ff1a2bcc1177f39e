//! One load for all callers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

use omnitrade_edge::redis::RestClient;
use omnitrade_edge::values::{Builder, Entry, GetOrSet, Loading, ValueCache};
use tokio::time::{Instant, sleep, timeout};

use crate::world::{Process, World};
use crate::{Down, Loads, MINUTE, minute, ms};

const fn any_thread<T: Send + Sync + Clone + 'static>() {}
const fn moves<T: Send>(_: &T) {}

#[tokio::test]
async fn any_thread_may_use_a_cache_and_run_its_futures() {
    any_thread::<ValueCache>();
    any_thread::<RestClient<Process>>();
    any_thread::<Entry>();
    let cache = World::new().cache();
    let entry = minute();
    let call: GetOrSet<'_, u32, Down> = cache.get_or_set("k", &entry, || async { Ok(1) });
    moves(&call);
    moves(&cache.get::<u32>("k"));
    moves(&cache.get_bytes("k"));
    moves(&cache.set("k", &1, &entry));
    moves(&cache.delete("k"));
    moves(&cache.purge_tags(["t"]));
    let load = |load: Loading<u32>| {
        moves(&load);
        async move { load.stale().ok_or(Down(0)) }
    };
    moves(&cache.get_or_set_with("k", &entry, load));
    fn builds<T: Send + Sync>(_: &T) {}
    builds::<Builder>(&ValueCache::builder());
}

/// Callers of many threads at once, all of which get the one value.
fn many_threads(cache: &ValueCache, loads: &Loads) {
    let threads = 16;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let together = Barrier::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                together.wait();
                let all: Vec<_> = (0..8)
                    .map(|_| {
                        let (cache, load) = (cache.clone(), loads.take(ms(100)));
                        runtime.spawn(async move { cache.get_or_set("k", &minute(), load).await })
                    })
                    .collect();
                for each in all {
                    assert_eq!(runtime.block_on(each).unwrap(), Ok(1));
                }
            });
        }
    });
}

#[test]
fn callers_of_many_threads_share_one_load() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let guard = runtime.enter();
    let (world, loads) = (World::new(), Loads::default());
    drop(guard);
    many_threads(&world.cache(), &loads);
    assert_eq!(loads.count(), 1, "over a store");
    let loads = Loads::default();
    many_threads(&ValueCache::local(world.process()), &loads);
    assert_eq!(loads.count(), 1, "in the process alone");
}

#[tokio::test(start_paused = true)]
async fn a_value_is_loaded_once_and_then_found() {
    let world = World::new();
    let process = world.process();
    for cache in [
        process.cache(ValueCache::builder()),
        ValueCache::local(world.process()),
    ] {
        let loads = Loads::default();
        for _ in 0..3 {
            let value = cache.get_or_set("k", &minute(), loads.take(ms(5))).await;
            assert_eq!(value, Ok(1));
        }
        assert_eq!(
            cache
                .get_or_set("other", &minute(), loads.take(ms(5)))
                .await,
            Ok(2)
        );
        sleep(ms(10)).await;
        let found = cache.get::<u32>("k").await.unwrap();
        assert_eq!((found.value, found.fresh), (1, true));
        assert!(found.age >= ms(10) && found.age < ms(100));
        assert_eq!(cache.get::<u32>("none").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_in_memory_asks_no_store() {
    let process = World::new().process();
    let cache = process.cache(ValueCache::builder());
    let loads = Loads::default();
    cache
        .get_or_set("k", &minute(), loads.take(ms(1)))
        .await
        .unwrap();
    sleep(ms(1)).await;
    let calls = process.calls();
    assert_eq!(calls, 2, "the question, and the value");
    for _ in 0..5 {
        cache
            .get_or_set("k", &minute(), loads.take(ms(1)))
            .await
            .unwrap();
    }
    assert_eq!((process.calls(), loads.count()), (calls, 1));
}

#[tokio::test(start_paused = true)]
async fn one_load_for_all_processes() {
    let (world, loads) = (World::new(), Loads::default());
    let calls = (0..5).flat_map(|_| {
        let process = world.process();
        process.take(ms(4));
        let cache = process.cache(ValueCache::builder());
        [cache.clone(), cache]
    });
    let started = Instant::now();
    let calls = calls.map(|cache| {
        let load = loads.take(ms(150));
        tokio::spawn(async move { cache.get_or_set("k", &minute(), load).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), Ok(1));
    }
    assert_eq!(loads.count(), 1);
    assert!(started.elapsed() < ms(150 + 250 + 20));
}

#[tokio::test(start_paused = true)]
async fn another_process_loads_as_soon_as_a_loader_has_failed() {
    let (world, loads) = (World::new(), Loads::default());
    let (one, two) = (world.cache(), world.cache());
    let fails = loads.fail(ms(300));
    let failing = tokio::spawn(async move { one.get_or_set("k", &minute(), fails).await });
    sleep(ms(50)).await;
    let started = Instant::now();
    let loaded = two.get_or_set("k", &minute(), loads.take(ms(10))).await;
    assert_eq!(loaded, Ok(2));
    assert!(started.elapsed() < ms(250 + 250 + 20));
    assert_eq!(failing.await.unwrap(), Err(Down(1)));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_holds_others_until_its_load_is_overdue() {
    let (world, loads) = (World::new(), Loads::default());
    let (gone, other) = (world.process(), world.cache());
    let cache = gone.cache(ValueCache::builder());
    let load = loads.take(MINUTE);
    let runs = tokio::spawn(async move { cache.get_or_set("k", &minute(), load).await });
    sleep(ms(1)).await;
    // Nothing of it reaches the store any more.
    gone.fail(Some(crate::world::Fault::Hang));
    runs.abort();
    let started = Instant::now();
    let loaded = other.get_or_set("k", &minute(), loads.take(ms(10))).await;
    assert_eq!(loaded, Ok(2));
    let waited = started.elapsed();
    assert!(waited > ms(9_500) && waited < ms(10_500), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_other_processes_for_longer_than_a_load_may_take() {
    let (world, loads, started) = (World::new(), Loads::default(), Instant::now());
    let cache = world.cache();
    // Somebody holds the lease for ever.
    let lease = format!("ot:f:{}", omnitrade_edge::engine::value::digest("k"));
    world.store(|store| store.set(&lease, "0 abcdef", 600_000, world.now()));
    let value = cache.get_or_set("k", &minute(), loads.take(ms(10))).await;
    assert_eq!(value, Ok(1));
    let waited = started.elapsed();
    assert!(waited > ms(9_500) && waited < ms(10_100), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_does_not_end_the_load() {
    let (world, loads) = (World::new(), Loads::default());
    let (cache, other) = (world.cache(), world.cache());
    let entry = minute();
    let hung_up = timeout(ms(30), cache.get_or_set("k", &entry, loads.take(ms(200))));
    assert!(hung_up.await.is_err());
    let started = Instant::now();
    let both = tokio::join!(
        cache.get_or_set("k", &entry, loads.take(ms(1))),
        other.get_or_set("k", &entry, loads.take(ms(1)))
    );
    assert_eq!(both, (Ok(1), Ok(1)));
    assert!(started.elapsed() < ms(200 - 30 + 250));
    assert_eq!(loads.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_polled_any_more_holds_nobody() {
    let (world, loads) = (World::new(), Loads::default());
    let (cache, entry) = (world.cache(), minute());
    let mut left_alone = Box::pin(cache.get_or_set("k", &entry, loads.take(ms(200))));
    assert!(timeout(ms(1), &mut left_alone).await.is_err());
    let started = Instant::now();
    let value = cache.get_or_set("k", &entry, loads.take(ms(1))).await;
    assert_eq!((value, loads.count()), (Ok(1), 1));
    assert!(started.elapsed() <= ms(200));
    assert_eq!(left_alone.await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_value_that_is_not_kept() {
    for keeps_nothing in [false, true] {
        let (world, loads) = (World::new(), Loads::default());
        let (one, two) = (world.cache(), world.cache());
        let entry = Entry::ttl(if keeps_nothing { MINUTE } else { ms(0) });
        let started = Instant::now();
        for (n, cache) in (1..).zip([&one, &two, &two, &one]) {
            let load = loads.clone();
            let value = cache.get_or_set_with("k", &entry, move |loading| async move {
                if keeps_nothing {
                    loading.keep_nothing();
                }
                Ok::<_, Down>(load.next())
            });
            assert_eq!(value.await, Ok(n));
        }
        assert!(started.elapsed() < ms(100));
        assert_eq!(one.get::<u32>("k").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_loaded_each_for_itself() {
    let world = World::new();
    let caches = [world.cache(), world.cache()];
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let calls = (0..80_usize).map(|n| {
        let (cache, running, most) = (caches[n % 2].clone(), running.clone(), most.clone());
        tokio::spawn(async move {
            let key = format!("key {}", n / 2);
            let expected = key.clone();
            let load = || async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                sleep(ms(50)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Down>(key)
            };
            let value: Result<String, Down> = cache.get_or_set(&expected, &minute(), load).await;
            assert_eq!(value.as_ref(), Ok(&expected));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 40, "at the same time");
}

//! Purges of keys and tags, here and in other processes.

use omnitrade_edge::values::{Entry, Loading, ValueCache};
use tokio::time::{Instant, sleep};

use crate::world::World;
use crate::{Down, Loads, minute, ms};

fn both() -> [ValueCache; 2] {
    let world = World::new();
    [world.cache(), ValueCache::local(world.process())]
}

async fn fill(cache: &ValueCache) {
    let values: [(&str, &[&str]); 4] = [
        ("a", &["x"]),
        ("b", &["x", "y"]),
        ("c", &["y\n"]),
        ("d", &[]),
    ];
    for (key, tags) in values {
        let entry = minute().tags(tags.iter().copied());
        cache.set(key, key, &entry).await.unwrap();
    }
}

async fn left(cache: &ValueCache) -> String {
    let mut left = String::new();
    for key in ["a", "b", "c", "d"] {
        let found = cache.get::<String>(key).await;
        left.push_str(&found.map_or_else(|| "-".to_owned(), |found| found.value));
    }
    left
}

#[tokio::test(start_paused = true)]
async fn a_purge_reaches_its_keys_and_tags_and_nothing_else() {
    for cache in both() {
        fill(&cache).await;
        assert_eq!(left(&cache).await, "abcd");
        cache.purge_tags(["y"]).await.unwrap();
        assert_eq!(left(&cache).await, "a-cd");
        cache.purge_tags(["y\n", "x"]).await.unwrap();
        assert_eq!(left(&cache).await, "---d");
        fill(&cache).await;
        cache.purge_keys(["a", "d", "none"]).await.unwrap();
        assert_eq!(left(&cache).await, "-bc-");
        cache.delete("b").await.unwrap();
        assert_eq!(left(&cache).await, "--c-");
        cache.purge_tags([""; 0]).await.unwrap();
        cache.purge_keys([""; 0]).await.unwrap();
        assert_eq!(left(&cache).await, "--c-");
        fill(&cache).await;
        assert_eq!(
            left(&cache).await,
            "abcd",
            "what is set after a purge is kept"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_is_seen_by_other_processes_within_a_second() {
    let world = World::new();
    let (one, two) = (world.cache(), world.cache());
    let (entry, loads) = (minute().tags(["t"]), Loads::default());
    for (key, by_key) in [("a", true), ("b", false)] {
        one.set(key, &0, &entry).await.unwrap();
        let found = two.get_or_set(key, &entry, loads.take(ms(1))).await;
        assert_eq!(found, Ok(0));
        match by_key {
            true => one.delete(key).await.unwrap(),
            false => one.purge_tags(["t"]).await.unwrap(),
        }
        assert_eq!(one.get::<u32>(key).await, None, "here at once");
        sleep(ms(1_000)).await;
        let value = two.get_or_set(key, &entry, loads.take(ms(1))).await;
        assert_eq!(value, Ok(loads.count()));
        sleep(ms(5)).await;
        assert_eq!(one.get::<u32>(key).await.unwrap().value, loads.count());
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_during_a_load_makes_its_value_void() {
    for (is_elsewhere, by_key) in [(false, false), (false, true), (true, false), (true, true)] {
        let world = World::new();
        let (one, two) = (world.cache(), world.cache());
        let (entry, loads) = (minute().tags(["t"]), Loads::default());
        let loading = {
            let (cache, entry, load) = (one.clone(), entry.clone(), loads.take(ms(100)));
            tokio::spawn(async move { cache.get_or_set("k", &entry, load).await })
        };
        sleep(ms(50)).await;
        let purging = if is_elsewhere { &two } else { &one };
        match by_key {
            true => purging.delete("k").await.unwrap(),
            false => purging.purge_tags(["t"]).await.unwrap(),
        }
        if !is_elsewhere {
            // Who comes now does not wait for what was begun before.
            let newer = one.get_or_set("k", &entry, loads.take(ms(10)));
            assert_eq!(newer.await, Ok(2), "by key: {by_key}");
        }
        assert_eq!(loading.await.unwrap(), Ok(1), "it was asked for before");
        sleep(ms(1_000)).await;
        for cache in [&one, &two] {
            let found = cache.get::<u32>("k").await;
            assert_ne!(found.map(|found| found.value), Some(1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_during_a_load_is_seen_whatever_tags_were_remembered() {
    for late in [false, true] {
        let world = World::new();
        let (process, two) = (world.process(), world.cache());
        let one = process.cache(ValueCache::builder());
        let stale = Entry::ttl(ms(0)).stale_if_error(ms(60_000));
        one.set("k", &0, &stale.tags(["old"])).await.unwrap();
        process.take(ms(40));
        let entry = minute().tags(if late { vec![] } else { vec!["t"] });
        let purges = two.clone();
        let load = move |loading: Loading<u32>| async move {
            purges.purge_tags(["t", "old"]).await.unwrap();
            sleep(ms(100)).await;
            loading.keep(loading.entry().tags([if late { "old" } else { "t" }]));
            Ok::<_, Down>(1)
        };
        assert_eq!(one.get_or_set_with("k", &entry, load).await, Ok(1));
        sleep(ms(50)).await;
        assert_eq!(two.get::<u32>("k").await, None, "late: {late}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_is_none_for_who_comes_after_its_purge() {
    let world = World::new();
    let (one, two) = (world.cache(), world.cache());
    let stale = Entry::ttl(ms(0)).stale_while_revalidate(ms(60_000));
    one.set("k", &0, &stale.tags(["t"])).await.unwrap();
    let loads = Loads::default();
    // It does not know the tag. In the background, it loads for a while, and fails.
    let found = two.get_or_set("k", &minute(), loads.fail(ms(100))).await;
    assert_eq!(found, Ok(0));
    sleep(ms(50)).await;
    two.purge_tags(["t"]).await.unwrap();
    let value = two.get_or_set("k", &minute(), loads.take(ms(1))).await;
    assert_eq!(value, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_is_none_for_who_comes_after_a_purge_elsewhere() {
    for by_key in [true, false] {
        let world = World::new();
        let (one, two) = (world.cache(), world.cache());
        let (entry, loads) = (minute().tags(["t"]), Loads::default());
        let slow = {
            let (cache, entry, load) = (two.clone(), entry.clone(), loads.take(ms(5_000)));
            tokio::spawn(async move { cache.get_or_set("k", &entry, load).await })
        };
        sleep(ms(1_000)).await;
        match by_key {
            true => one.delete("k").await.unwrap(),
            false => one.purge_tags(["t"]).await.unwrap(),
        }
        sleep(ms(1_500)).await;
        let value = two.get_or_set("k", &entry, loads.take(ms(10))).await;
        assert_eq!(value, Ok(2));
        assert_eq!(slow.await.unwrap(), Ok(1), "it was asked for before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_is_for_all_who_come_while_nothing_is_purged() {
    let process = World::new().process();
    let cache = process.cache(ValueCache::builder());
    let loads = Loads::default();
    let calls = (0..20).map(|n| {
        let (cache, load) = (cache.clone(), loads.take(ms(3_000)));
        tokio::spawn(async move {
            sleep(ms(150 * n)).await;
            cache.get_or_set("k", &minute(), load).await
        })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), Ok(1));
    }
    assert_eq!(loads.count(), 1);
    assert!(process.calls() < 10, "{}", process.calls());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_was_set_is_not_lost_to_a_load_from_before() {
    for memory in [16 << 20, 0] {
        let world = World::new();
        let cache = world.process().cache(ValueCache::builder().memory(memory));
        let loads = Loads::default();
        let loading = {
            let (cache, load) = (cache.clone(), loads.take(ms(100)));
            tokio::spawn(async move { cache.get_or_set("k", &minute(), load).await })
        };
        sleep(ms(50)).await;
        cache.set("k", &7, &minute()).await.unwrap();
        let later = cache.get_or_set("k", &minute(), loads.take(ms(1))).await;
        assert_eq!(later, Ok(7));
        assert_eq!(loading.await.unwrap(), Ok(1), "it was asked for before");
        sleep(ms(1_000)).await;
        for cache in [&cache, &world.cache()] {
            assert_eq!(cache.get::<u32>("k").await.unwrap().value, 7);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn from_the_moment_of_a_purge_nothing_older_is_read_from_the_store() {
    for by_key in [true, false] {
        let world = World::new();
        let process = world.process();
        let cache = process.cache(ValueCache::builder());
        let entry = minute().tags(["t"]);
        world.cache().set("k", &0, &entry).await.unwrap();
        process.take(ms(100));
        let purging = {
            let cache = cache.clone();
            tokio::spawn(async move {
                match by_key {
                    true => cache.delete("k").await,
                    false => cache.purge_tags(["t"]).await,
                }
            })
        };
        sleep(ms(1)).await;
        // The store gets the purge in a while, and is asked at once.
        process.take(ms(2));
        assert_eq!(cache.get::<u32>("k").await, None);
        let loads = Loads::default();
        let value = cache.get_or_set("k", &entry, loads.take(ms(1))).await;
        assert_eq!(value, Ok(1));
        purging.await.unwrap().unwrap();
        assert_ne!(
            cache.get::<u32>("k").await.map(|found| found.value),
            Some(0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_that_is_given_up_keeps_nothing_from_being_read() {
    let world = World::new();
    let process = world.process();
    let cache = process.cache(ValueCache::builder());
    world.cache().set("k", &0, &minute()).await.unwrap();
    process.take(ms(100));
    let purging = tokio::time::timeout(ms(10), cache.delete("k"));
    assert!(purging.await.is_err());
    process.take(ms(2));
    // The store did not get it.
    assert_eq!(cache.get::<u32>("k").await.unwrap().value, 0);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_is_named_after_its_purge_is_purged_all_the_same() {
    let world = World::new();
    for cache in [world.cache(), ValueCache::local(world.process())] {
        let loads = Loads::default();
        let load = |loading: Loading<u32>| async move {
            sleep(ms(100)).await;
            loading.keep(loading.entry().tags(["late"]));
            Ok::<_, Down>(0)
        };
        let loading = {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get_or_set_with("k", &minute(), load).await })
        };
        sleep(ms(50)).await;
        cache.purge_tags(["late"]).await.unwrap();
        let later = cache.get_or_set("k", &minute(), loads.take(ms(1))).await;
        assert_eq!(later, Ok(1));
        assert_eq!(loading.await.unwrap(), Ok(0), "it was asked for before");
        sleep(ms(5)).await;
        assert_eq!(cache.get::<u32>("k").await.unwrap().value, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_of_tags_that_a_caller_does_not_name_is_seen_by_it() {
    let world = World::new();
    let (one, two) = (world.cache(), world.cache());
    let (x, y) = (minute().tags(["x"]), minute().tags(["y"]));
    one.set("k", &1, &x).await.unwrap();
    one.purge_tags(["x"]).await.unwrap();
    let new = two.get_or_set("k", &y, || async { Ok::<_, Down>(2) }).await;
    assert_eq!(new, Ok(2));
    one.set("l", &3, &x).await.unwrap();
    let found = two.get_or_set("l", &y, || async { Ok::<_, Down>(4) }).await;
    assert_eq!(found, Ok(3));
    let found = two.get_or_set("l", &y, || async { Ok::<_, Down>(4) }).await;
    assert_eq!(found, Ok(3), "its tags are known now");
    let started = Instant::now();
    let three = world.cache();
    let found = three
        .get_or_set("l", &y, || async { Ok::<_, Down>(4) })
        .await;
    assert_eq!(found, Ok(3), "nobody holds the lease");
    assert!(started.elapsed() < ms(100));
}

#[tokio::test(start_paused = true)]
async fn a_purge_of_many_takes_few_calls() {
    let world = World::new();
    let process = world.process();
    let (one, two) = (process.cache(ValueCache::builder()), world.cache());
    let names = (0..2_000).map(|n| format!("name {n}"));
    let entry: Entry = minute().tags(["name 7"]);
    one.set("name 1999", &1, &entry).await.unwrap();
    let before = process.calls();
    one.purge_tags(names.clone()).await.unwrap();
    one.purge_keys(names).await.unwrap();
    assert!(process.calls() - before <= 6);
    assert_eq!(two.get::<u32>("name 1999").await, None);
}

#[tokio::test(start_paused = true)]
async fn reads_that_end_after_a_purge_bring_nothing_back() {
    for by_get in [true, false] {
        let world = World::new();
        let process = world.process();
        let cache = process.cache(ValueCache::builder());
        world.cache().set("k", &0, &minute()).await.unwrap();
        process.take(ms(100));
        let reading = {
            let cache = cache.clone();
            tokio::spawn(async move {
                if by_get {
                    return cache.get::<u32>("k").await.map(|found| found.value);
                }
                let load = || async { Ok::<_, Down>(1) };
                cache.get_or_set("k", &minute(), load).await.ok()
            })
        };
        sleep(ms(60)).await;
        process.take(ms(0));
        cache.delete("k").await.unwrap();
        reading.await.unwrap();
        sleep(ms(5)).await;
        let found = cache.get::<u32>("k").await.map(|found| found.value);
        assert_ne!(found, Some(0));
    }
}

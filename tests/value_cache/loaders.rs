//! Loaders that fail, panic, hang, and say how their value is kept.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use omnitrade_edge::error::ErrorKind;
use omnitrade_edge::values::{Entry, ValueCache};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::world::World;
use crate::{Down, Loads, minute, ms};

/// A cache over a store, and one without.
fn both() -> [ValueCache; 2] {
    let world = World::new();
    [world.cache(), ValueCache::local(world.process())]
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_back_unchanged_and_is_not_kept() {
    for cache in both() {
        let (loads, entry) = (Loads::default(), minute());
        for n in 1..4 {
            let failed = cache.get_or_set("k", &entry, loads.fail(ms(5))).await;
            assert_eq!(failed, Err(Down(n)));
        }
        let value = cache.get_or_set("k", &entry, loads.take(ms(5))).await;
        assert_eq!(value, Ok(4));
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_one_tries_again_and_then_each_for_itself() {
    for cache in both() {
        let (loads, started) = (Loads::default(), Instant::now());
        let calls = (0..10).map(|_| {
            let (cache, load) = (cache.clone(), loads.fail(ms(100)));
            tokio::spawn(async move {
                let failed = cache.get_or_set("k", &minute(), load).await;
                (failed.unwrap_err().0, started.elapsed())
            })
        });
        let mut ends = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            ends.push(call.await.unwrap());
        }
        ends.sort();
        assert_eq!(
            ends.iter().map(|end| end.0).collect::<Vec<_>>(),
            (1..=10).collect::<Vec<_>>()
        );
        assert!(ends[0].1 < ms(110), "{ends:?}");
        assert!(ends[1].1 >= ms(200) && ends[1].1 < ms(220), "{ends:?}");
        assert!(ends[2].1 >= ms(300) && ends[9].1 < ms(330), "{ends:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_try_that_succeeds_is_for_all() {
    for cache in both() {
        let (loads, entry) = (Loads::default(), minute());
        let failing = cache.get_or_set("k", &entry, loads.fail(ms(50)));
        let others = [(); 2].map(|()| cache.get_or_set("k", &entry, loads.take(ms(50))));
        let [first, second] = others;
        let (failed, first, second) = tokio::join!(failing, first, second);
        assert_eq!((failed, first, second), (Err(Down(1)), Ok(2), Ok(2)));
        assert_eq!(loads.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn shared_errors_reach_all_who_share_them() {
    #[derive(Debug, Clone, PartialEq)]
    struct Shared(u32);
    for cache in both() {
        let (loads, entry) = (Loads::default(), minute());
        let fails = || {
            let loads = loads.clone();
            move || async move {
                let number = loads.next();
                sleep(ms(50)).await;
                Err::<u32, _>(Shared(number))
            }
        };
        let calls = [(); 4].map(|()| cache.get_or_set("k", &entry, fails()).share_errors());
        let [a, b, c, d] = calls;
        let unshared = cache.get_or_set("k", &entry, loads.take(ms(1)));
        let results = tokio::join!(a, b, c, d, unshared);
        let error = || Err(Shared(1));
        assert_eq!(results, (error(), error(), error(), error(), Ok(2)));
        assert_eq!(loads.count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_loaders_own_callers_and_holds_nobody() {
    for cache in both() {
        let loads = Loads::default();
        let panics = {
            let (cache, loads) = (cache.clone(), loads.clone());
            tokio::spawn(async move {
                let load = || async move {
                    loads.next();
                    sleep(ms(20)).await;
                    std::panic::resume_unwind(Box::new("mine"))
                };
                let never: Result<u32, Down> = cache.get_or_set("k", &minute(), load).await;
                never
            })
        };
        sleep(ms(1)).await;
        let started = Instant::now();
        let value = cache.get_or_set("k", &minute(), loads.take(ms(20))).await;
        assert_eq!(value, Ok(2));
        assert!(started.elapsed() < ms(60));
        let payload = panics.await.unwrap_err().into_panic();
        assert_eq!(payload.downcast_ref(), Some(&"mine"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_holds_nobody_for_longer_than_it_may() {
    let world = World::new();
    let timeout = || ValueCache::builder().load_timeout(ms(500));
    for cache in [
        world.process().cache(timeout()),
        timeout().local(world.process()),
    ] {
        let loads = Loads::default();
        let hangs = {
            let (cache, load) = (cache.clone(), loads.take(ms(60_000)));
            tokio::spawn(async move { cache.get_or_set("k", &minute(), load).await })
        };
        sleep(ms(1)).await;
        let started = Instant::now();
        let entry = minute();
        let others = [(); 3].map(|()| cache.get_or_set("k", &entry, loads.take(ms(10))));
        let [a, b, c] = others;
        let (a, b, c) = tokio::join!(a, b, c);
        assert!([a, b, c].iter().all(|value| matches!(value, Ok(2..=4))));
        assert!(started.elapsed() < ms(530), "{:?}", started.elapsed());

        // The caller gets what it waits for, and nobody else does.
        cache.delete("k").await.unwrap();
        assert_eq!(hangs.await.unwrap(), Ok(1));
        assert_eq!(cache.get::<u32>("k").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_is_dropped_when_nobody_waits_for_it() {
    struct Tells(Arc<AtomicBool>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    for cache in both() {
        let is_over = Arc::new(AtomicBool::new(false));
        let (tells, entry) = (Tells(Arc::clone(&is_over)), minute());
        let hangs = cache.get_or_set("k", &entry, || async move {
            let _tells = tells;
            std::future::pending::<Result<u32, Down>>().await
        });
        assert!(tokio::time::timeout(ms(10), hangs).await.is_err());
        sleep(ms(9_900)).await;
        assert!(!is_over.load(Ordering::SeqCst));
        sleep(ms(200)).await;
        assert!(is_over.load(Ordering::SeqCst));
    }
}

#[tokio::test(start_paused = true)]
async fn a_loader_keeps_its_value_as_it_says() {
    for cache in both() {
        let (loads, entry) = (Loads::default(), minute());
        let entry = entry.tags(["a"]);
        let load = loads.clone();
        let short = cache.get_or_set_with("short", &entry, move |loading| async move {
            assert_eq!((loading.stale(), loading.is_background()), (None, false));
            assert_eq!(loading.entry(), minute().tags(["a"]));
            loading.keep(loading.entry().with_ttl(ms(300)));
            Ok::<_, Down>(load.next())
        });
        assert_eq!(short.await, Ok(1));
        assert!(cache.get::<u32>("short").await.unwrap().fresh);
        sleep(ms(300)).await;
        assert_eq!(cache.get::<u32>("short").await, None);

        let load = loads.clone();
        let tagged = cache.get_or_set_with("tagged", &entry, move |loading| async move {
            sleep(ms(5)).await;
            loading.keep_nothing();
            // The last one counts.
            loading.keep(minute().tags(["b", "c"]));
            Ok::<_, Down>(load.next())
        });
        assert_eq!(tagged.await, Ok(2));
        cache.purge_tags(["a"]).await.unwrap();
        assert!(cache.get::<u32>("tagged").await.is_some());
        cache.purge_tags(["c"]).await.unwrap();
        assert_eq!(cache.get::<u32>("tagged").await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn tags_that_are_named_late_are_purged_by_other_processes() {
    let world = World::new();
    let (one, two) = (world.cache(), world.cache());
    let load = |tag: &'static str| {
        move |loading: omnitrade_edge::values::Loading<u32>| async move {
            loading.keep(loading.entry().tags([tag]));
            Ok::<_, Down>(1)
        }
    };
    let entry = minute();
    assert_eq!(one.get_or_set_with("k", &entry, load("late")).await, Ok(1));
    sleep(ms(1)).await;
    let found = two.get_or_set("k", &entry, || async { Err(Down(0)) }).await;
    assert_eq!(found, Ok(1), "it is in the store");
    two.purge_tags(["late"]).await.unwrap();
    assert_eq!(two.get::<u32>("k").await, None);
    sleep(ms(1_000)).await;
    assert_eq!(one.get::<u32>("k").await, None);
}

#[tokio::test(start_paused = true)]
async fn a_purge_after_a_tag_was_named_late_is_not_missed() {
    let world = World::new();
    let (one, two) = (world.cache(), world.cache());
    let loading = tokio::spawn(async move {
        let load = |loading: omnitrade_edge::values::Loading<u32>| async move {
            loading.keep(loading.entry().tags(["late"]));
            sleep(ms(100)).await;
            Ok::<_, Down>(1)
        };
        one.get_or_set_with("k", &minute(), load).await
    });
    sleep(ms(50)).await;
    two.purge_tags(["late"]).await.unwrap();
    assert_eq!(loading.await.unwrap(), Ok(1));
    sleep(ms(1)).await;
    assert_eq!(two.get::<u32>("k").await, None);
}

#[tokio::test(start_paused = true)]
async fn what_a_loader_says_after_its_load_has_no_effect() {
    for cache in both() {
        let kept = Arc::new(Mutex::new(None));
        let (keeps, entry) = (Arc::clone(&kept), minute());
        let value = cache.get_or_set_with("k", &entry, move |loading| async move {
            *keeps.lock().unwrap() = Some(loading);
            Ok::<_, Down>(1)
        });
        assert_eq!(value.await, Ok(1));
        let loading = kept.lock().unwrap().take().unwrap();
        loading.keep_nothing();
        loading.keep(Entry::ttl(ms(1)));
        assert_eq!(loading.entry(), minute());
        sleep(ms(10)).await;
        assert!(cache.get::<u32>("k").await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_without_json_is_returned_and_holds_nobody() {
    type Strange = BTreeMap<(u32, u32), u32>;
    let strange = || Strange::from([((1, 2), 3)]);
    assert!(serde_json::to_string(&strange()).is_err());
    for cache in both() {
        let (loads, entry, started) = (Loads::default(), minute(), Instant::now());
        let load = || {
            let loads = loads.clone();
            move || async move {
                loads.next();
                sleep(ms(50)).await;
                Ok::<_, Down>(strange())
            }
        };
        let calls = [(); 3].map(|()| cache.get_or_set("k", &entry, load()));
        let [a, b, c] = calls;
        let (a, b, c) = tokio::join!(a, b, c);
        for value in [a, b, c] {
            assert_eq!(value, Ok(strange()));
        }
        assert_eq!(loads.count(), 3);
        assert!(started.elapsed() < ms(130));
        let error = cache.set("k", &strange(), &entry).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.may_have_run()),
            (ErrorKind::Config, false)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_with_tags_that_are_not_allowed_is_not_kept() {
    let world = World::new();
    let many: Vec<String> = (0..9).map(|n| n.to_string()).collect();
    for tags in [many, vec![String::new()]] {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        let builder = ValueCache::builder()
            .prefixed(format!("p{}", tags.len()))
            .on_error(move |error| hears.lock().unwrap().push(error.kind()));
        let cache = world.process().cache(builder);
        let entry = minute().tags(tags);
        let loads = Loads::default();
        for n in 1..3 {
            let value = cache.get_or_set("k", &entry, loads.take(ms(1))).await;
            assert_eq!(value, Ok(n));
        }
        assert_eq!(*heard.lock().unwrap(), [ErrorKind::Config; 2]);
        let error = cache.set("k", &1, &entry).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("tags"), "{error}");
    }
    assert_eq!(world.keys(":v:"), [""; 0]);
    let eight = (0..8).map(|n| n.to_string());
    let entry = minute().tags(eight);
    world.cache().set("k", &1, &entry).await.unwrap();
    assert_eq!(world.keys(":v:").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn callers_of_other_types_load_for_themselves() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Named {
        name: String,
    }
    let world = World::new();
    let (cache, other) = (world.cache(), world.cache());
    let (entry, loads) = (minute(), Loads::default());
    let named = || Named {
        name: "a".to_owned(),
    };
    let started = Instant::now();
    let number = cache.get_or_set("k", &entry, loads.take(ms(50)));
    let mine = cache.get_or_set("k", &entry, move || async move {
        sleep(ms(50)).await;
        Ok::<_, Down>(named())
    });
    assert_eq!(tokio::join!(number, mine), (Ok(1), Ok(named())));
    assert!(started.elapsed() < ms(120));
    sleep(ms(1)).await;
    // The last one is kept. It is none for callers of another type, who load anew.
    assert_eq!(other.get::<Named>("k").await.unwrap().value, named());
    assert_eq!(other.get::<u32>("k").await, None);
    assert_eq!(other.get_bytes("k").await, None);
    let value = other.get_or_set("k", &entry, loads.take(ms(1))).await;
    assert_eq!(value, Ok(2));
    assert_eq!(other.get::<u32>("k").await.unwrap().value, 2);
}

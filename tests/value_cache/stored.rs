//! What lies in the store and in memory: its format, which is also the npm package's, and its size.

use bytes::Bytes;
use omnitrade_edge::engine::value::{Entry as Stored, Use};
use omnitrade_edge::values::{Entry, ValueCache};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::world::World;
use crate::{Down, Loads, MINUTE, minute, ms};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Profile {
    name: String,
    age: u8,
    tags: Vec<String>,
    #[serde(default)]
    note: Option<String>,
}

fn profile() -> Profile {
    Profile {
        name: "Zoë 🦀\n".to_owned(),
        age: 7,
        tags: vec!["a".to_owned()],
        note: None,
    }
}

/// Values that the npm package has stored, each with the text that lies in Redis:
/// `tests/sdk/cache.test.mjs` holds the package to them.
#[derive(Deserialize)]
struct Fixture {
    now: u64,
    values: Vec<OfPackage>,
}

#[derive(Deserialize)]
struct OfPackage {
    key: String,
    ttl: u64,
    swr: u64,
    sie: Option<u64>,
    tags: Vec<String>,
    json: Option<serde_json::Value>,
    bytes: Option<Vec<u8>>,
    stored_key: String,
    text: String,
}

impl OfPackage {
    /// Its JSON, unless it is octets.
    fn json(&self) -> Option<serde_json::Value> {
        let json = self.json.clone().unwrap_or_default();
        self.bytes.is_none().then_some(json)
    }
}

fn fixture() -> Fixture {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/value_cache/npm-values.json"
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_the_npm_package_has_stored_is_read() {
    let fixture = fixture();
    let world = World::new();
    assert_eq!(fixture.now, world.now().as_millis());
    for value in &fixture.values {
        world.store(|store| store.set(&value.stored_key, &value.text, 60_000, world.now()));
        // Its tags are found out.
        let cache = world.cache();
        if let Some(json) = &value.json() {
            let found = cache.get::<serde_json::Value>(&value.key).await.unwrap();
            assert_eq!((&found.value, found.fresh), (json, true));
            let load = || async { Err(Down(0)) };
            let found = world.cache().get_or_set(&value.key, &minute(), load).await;
            assert_eq!(found.as_ref(), Ok(json));
        }
        if let Some(bytes) = &value.bytes {
            let found = cache.get_bytes(&value.key).await.unwrap();
            assert_eq!(found.value, bytes);
            let load = |_| async { Err::<Vec<u8>, _>(Down(0)) };
            let other = world.cache();
            let found = other.get_or_set_bytes(&value.key, &minute(), load).await;
            assert_eq!(found.unwrap(), bytes);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_what_the_npm_package_would_store() {
    let fixture = fixture();
    assert!(fixture.values.len() >= 4);
    for value in &fixture.values {
        let world = World::new();
        let mut entry = Entry::ttl(ms(value.ttl))
            .stale_while_revalidate(ms(value.swr))
            .tags(value.tags.clone());
        if let Some(sie) = value.sie {
            entry = entry.stale_if_error(ms(sie));
        }
        let cache = world.cache();
        match (&value.json(), &value.bytes) {
            (Some(json), _) => cache.set(&value.key, json, &entry).await.unwrap(),
            (_, Some(bytes)) => cache.set_bytes(&value.key, bytes, &entry).await.unwrap(),
            _ => panic!("a value"),
        }
        let stored = world.entry().unwrap();
        assert_eq!(stored, (value.stored_key.clone(), value.text.clone()));
    }
}

#[tokio::test(start_paused = true)]
async fn values_come_back_as_they_went() {
    let (world, loads) = (World::new(), Loads::default());
    for cache in [world.cache(), ValueCache::local(world.process())] {
        let entry = minute().tags(["t"]);
        for _ in 0..3 {
            let load = {
                let loads = loads.clone();
                move || async move {
                    loads.next();
                    Ok::<_, Down>(profile())
                }
            };
            let value: Profile = cache.get_or_set("p", &entry, load).await.unwrap();
            assert_eq!(value, profile());
            sleep(ms(600)).await;
        }
        assert_eq!(cache.get::<Profile>("p").await.unwrap().value, profile());
        cache.set("none", &None::<u8>, &entry).await.unwrap();
        let none = cache.get::<Option<u8>>("none").await.unwrap();
        assert_eq!(none.value, None);
        cache.set("text", "str", &entry).await.unwrap();
        let text = cache.get::<String>("text").await.unwrap();
        assert_eq!(text.value, "str");
    }
    assert_eq!(loads.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn octets_come_back_as_they_went_and_are_shared() {
    let world = World::new();
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for cache in [world.cache(), ValueCache::local(world.process())] {
        for (key, octets) in [("none", &[][..]), ("few", &[0, 128, 255]), ("many", &all)] {
            let loaded = octets.to_vec();
            let load = |_| async move { Ok::<_, Down>(loaded) };
            let entry = minute();
            let first = cache.get_or_set_bytes(key, &entry, load);
            assert_eq!(first.await.unwrap(), octets);
            let found = [
                cache.get_bytes(key).await.unwrap().value,
                cache.get_bytes(key).await.unwrap().value,
            ];
            assert_eq!(found[0], octets);
            let same = |a: &Bytes, b: &Bytes| a.as_ptr() == b.as_ptr();
            assert!(octets.is_empty() || same(&found[0], &found[1]));
            assert_eq!(cache.get::<Vec<u8>>(key).await, None, "they are no JSON");
        }
    }
    sleep(ms(1)).await;
    let other = world.cache();
    assert_eq!(other.get_bytes("many").await.unwrap().value, all);
    let mut small = Bytes::from(vec![0; 1 << 20]);
    small.truncate(2);
    world
        .cache()
        .set_bytes("small", &small, &minute())
        .await
        .unwrap();
    assert_eq!(other.get_bytes("small").await.unwrap().value, [0, 0][..]);
}

/// Makes something else of a stored text.
type Spoil = Box<dyn Fn(&str) -> String>;

#[tokio::test(start_paused = true)]
async fn garbage_and_other_versions_in_the_store_are_a_miss() {
    let entry = minute().tags(["t"]);
    let head = |text: &str| format!("{}\n", text.split('\n').next().unwrap());
    let spoil: Vec<Spoil> = vec![
        Box::new(|_| String::new()),
        Box::new(|_| "x".to_owned()),
        Box::new(|_| "{}".to_owned()),
        Box::new(|_| r#"{"name":"value"}"#.to_owned()),
        Box::new(move |text| head(text).trim_end().to_owned()),
        Box::new(move |text| head(text)),
        Box::new(|text| text[..text.len() - 1].to_owned()),
        Box::new(|text| format!("{text}x")),
        Box::new(|text| text.replace("value", "wrong")),
        Box::new(|text| text.replacen('2', "1", 1)),
        Box::new(|text| text.replacen('2', "3", 1)),
        Box::new(|text| text.replacen("2 ", "22 ", 1)),
        Box::new(|_| "2 9999999999999 9999999999999 1 - -,- 9 9 9\n".to_owned()),
        Box::new(|_| "2 9999999999999 9999999999999 1 - -,- ".to_owned()),
        Box::new(|_| "2 9999999999999999999999 1 1 - -,- 1 1\n".to_owned()),
    ];
    for (n, spoil) in spoil.iter().enumerate() {
        let world = World::new();
        world.cache().set("k", "value", &entry).await.unwrap();
        let (key, text) = world.entry().unwrap();
        let garbage = spoil(&text);
        assert_ne!(garbage, text);
        world.store(|store| store.set(&key, &garbage, 60_000, world.now()));
        assert_eq!(
            world.cache().get::<String>("k").await,
            None,
            "{n}: {garbage}"
        );
        let (loads, started) = (Loads::default(), tokio::time::Instant::now());
        for _ in 0..2 {
            let value = world
                .cache()
                .get_or_set("k", &entry, loads.take(ms(1)))
                .await;
            assert_eq!(value, Ok(1), "{n}: {garbage}");
            sleep(ms(1)).await;
        }
        assert!(
            started.elapsed() < ms(300),
            "{n}: nobody waits for a load that is over"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn caches_of_two_prefixes_have_nothing_in_common() {
    let world = World::new();
    let of = |prefix: &str| {
        world
            .process()
            .cache(ValueCache::builder().prefixed(prefix))
    };
    let (one, other) = (of("one"), of("{other}"));
    let entry = minute().tags(["t"]);
    one.set("k", &1, &entry).await.unwrap();
    assert_eq!(other.get::<u32>("k").await, None);
    other.set("k", &2, &entry).await.unwrap();
    one.purge_tags(["t"]).await.unwrap();
    one.delete("k").await.unwrap();
    assert_eq!(of("one").get::<u32>("k").await, None);
    assert_eq!(of("{other}").get::<u32>("k").await.unwrap().value, 2);
    assert_eq!(of("{other}").get::<u32>("none").await, None);
    let own = |key: &String| key.starts_with("one:") || key.starts_with("{other}:");
    assert!(world.keys("").iter().all(own));
}

#[tokio::test(start_paused = true)]
async fn what_is_held_here_is_bounded() {
    let world = World::new();
    let builder = || ValueCache::builder().memory(100_000);
    let cache = builder().local(world.process());
    for n in 0..500 {
        let key = format!("k{n}");
        match n % 2 {
            0 => cache
                .set(&key, &"x".repeat(1_000), &minute())
                .await
                .unwrap(),
            _ => {
                let octets = vec![7; 1_000];
                cache.set_bytes(&key, &octets, &minute()).await.unwrap();
            }
        }
    }
    let mut held = 0;
    for n in 0..500 {
        let key = format!("k{n}");
        let text = cache.get::<String>(&key).await.is_some();
        held += u32::from(text || cache.get_bytes(&key).await.is_some());
    }
    assert!(held > 20 && held <= 100, "{held} are held");
    let large = "x".repeat(60_000);
    cache.set("large", &large, &minute()).await.unwrap();
    assert_eq!(cache.get::<String>("large").await, None);

    let none = ValueCache::builder().memory(0).local(world.process());
    let loads = Loads::default();
    for n in 1..3 {
        let value = none.get_or_set("k", &minute(), loads.take(ms(1))).await;
        assert_eq!(value, Ok(n));
    }
    let one = world.process().cache(ValueCache::builder().memory(0));
    one.set("k", "v", &minute()).await.unwrap();
    one.set_bytes("b", b"v", &minute()).await.unwrap();
    assert_eq!(one.get::<String>("k").await.unwrap().value, "v");
    assert_eq!(one.get_bytes("b").await.unwrap().value, "v");
    let load = || async { Err::<String, _>(Down(0)) };
    let found = one.get_or_set("k", &minute(), load).await;
    assert_eq!(found.as_deref(), Ok("v"));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_too_large_for_the_store_is_loaded_each_time() {
    let world = World::new();
    let (one, two) = (world.cache(), world.cache());
    let (loads, started) = (Loads::default(), tokio::time::Instant::now());
    for cache in [&one, &two, &two] {
        let loads = loads.clone();
        let load = move || async move {
            loads.next();
            Ok::<_, Down>("x".repeat(7_000_000))
        };
        let value: String = cache.get_or_set("k", &minute(), load).await.unwrap();
        assert_eq!(value.len(), 7_000_000);
    }
    assert_eq!(loads.count(), 3);
    assert!(started.elapsed() < ms(100));
    assert_eq!(world.entry(), None);
}

#[tokio::test(start_paused = true)]
async fn keys_of_any_spelling_are_keys_of_their_own() {
    let world = World::new();
    let (one, two) = (world.cache(), world.cache());
    let long = "x".repeat(100_000);
    let keys = [
        "",
        " ",
        "a\n",
        "a\nb",
        "\0",
        "ä",
        "a\u{308}",
        "🦀",
        "__proto__",
        &long,
    ];
    for key in keys {
        one.set(key, key, &minute()).await.unwrap();
    }
    for key in keys {
        assert_eq!(one.get::<String>(key).await.unwrap().value, key);
        assert_eq!(two.get::<String>(key).await.unwrap().value, key);
    }
    assert!(world.keys("").iter().all(|key| !key.contains("proto")));
}

#[tokio::test(start_paused = true)]
async fn no_time_counts_for_more_than_thirty_days() {
    let world = World::new();
    let cache = world.cache();
    let forever = Entry::ttl(std::time::Duration::MAX)
        .stale_while_revalidate(std::time::Duration::MAX)
        .stale_if_error(std::time::Duration::MAX);
    cache.set("k", &1, &forever).await.unwrap();
    let (_, text) = world.entry().unwrap();
    let stored = Stored::decode(&text, "k").unwrap();
    let month = MINUTE * 60 * 24 * 30;
    assert_eq!(stored.fresh_until, stored.stamp + month);
    assert_eq!(stored.usable_until, stored.stamp + month * 2);
    assert_eq!(stored.keep_until, stored.stamp + month * 2);
    assert_eq!(stored.usable(stored.stamp + month), Use::WhileRevalidated);
}

#[tokio::test(start_paused = true)]
async fn a_value_of_another_type_is_loaded_by_one_process_at_a_time() {
    let world = World::new();
    world.cache().set("k", "text", &minute()).await.unwrap();
    let loads = Loads::default();
    let calls = (0..4).map(|_| {
        let (cache, load) = (world.cache(), loads.take(ms(100)));
        tokio::spawn(async move { cache.get_or_set("k", &minute(), load).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), Ok(1));
    }
    assert_eq!(loads.count(), 1);
}

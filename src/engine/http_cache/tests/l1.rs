use super::*;

fn key_of(n: usize) -> CacheKey {
    let url = format!("https://h/{n}");
    CacheKey::new(&Target::of(&url).unwrap(), None, &[], &HeaderMap::new())
}

fn entry(key: &CacheKey, body_len: usize, time: Timestamp) -> Entry<&'static str> {
    let case = Case {
        request_time: time,
        response_time: time,
        ..Case::new(&[])
    };
    let meta = Meta::from_response(&case.exchange(), key, BodyCoding::Decoded, &rules());
    Entry {
        freshness: meta.freshness(&ttl(SECOND)),
        meta: meta.into(),
        body: "body",
        body_len,
        checked_at: time,
    }
}

#[test]
fn it_gives_back_what_it_was_given() {
    let mut l1 = L1::new(1 << 20, 1);
    let key = key_of(1);
    assert_eq!(l1.insert(&key, entry(&key, 10, T0)), Insertion::Kept);
    assert_eq!(l1.get(&key, T0).unwrap().body, "body");
    assert!(l1.get(&key_of(2), T0).is_none());
    l1.remove(&key);
    assert!(l1.get(&key, T0).is_none() && l1.is_empty());
}

#[test]
fn it_never_holds_more_bytes_than_it_may() {
    let mut l1 = L1::new(100_000, 1);
    for n in 0..1_000 {
        let key = key_of(n);
        l1.insert(&key, entry(&key, n * 13 % 5_000, T0));
        assert!(l1.bytes() <= 100_000);
    }
    assert!(l1.len() > 5);
    l1.purge(T0);
    assert_eq!(l1.bytes(), 0);
}

#[test]
fn an_entry_over_a_quarter_is_not_kept_nor_the_one_it_would_replace() {
    let mut l1 = L1::new(100_000, 1);
    let key = key_of(1);
    l1.insert(&key, entry(&key, 10, T0));
    assert_eq!(
        l1.insert(&key, entry(&key, 25_000, T0)),
        Insertion::TooLarge
    );
    assert!(l1.get(&key, T0).is_none());
}

#[test]
fn an_entry_past_its_use_is_dropped_when_met() {
    let mut l1 = L1::new(1 << 20, 1);
    let key = key_of(1);
    l1.insert(&key, entry(&key, 10, T0));
    assert!(l1.get(&key, T0 + ms(999)).is_some());
    assert!(l1.get(&key, T0 + ms(1_000)).is_none());
    assert!(l1.is_empty());
}

#[test]
fn a_later_response_is_not_replaced_by_an_earlier_one() {
    let mut l1 = L1::new(1 << 20, 1);
    let key = key_of(1);
    l1.insert(&key, entry(&key, 10, T0 + ms(5)));
    assert_eq!(l1.insert(&key, entry(&key, 10, T0)), Insertion::Older);
    let kept = l1.get(&key, T0).unwrap().meta.response_time;
    assert_eq!(kept, T0 + ms(5));
}

#[test]
fn a_key_of_the_same_digest_with_another_text_is_a_miss() {
    let mut l1 = L1::new(1 << 20, 1);
    let key = key_of(1);
    l1.insert(&key, entry(&key_of(2), 10, T0));
    assert!(l1.get(&key, T0).is_none());
}

#[test]
fn what_was_under_way_when_everything_was_purged_is_not_taken() {
    let mut l1 = L1::new(1 << 20, 1);
    let (key, at) = (key_of(1), T0 + SECOND);
    l1.insert(&key, entry(&key, 10, T0));
    l1.purge(at);
    assert!(l1.get(&key, at).is_none());
    assert_eq!(l1.insert(&key, entry(&key, 10, at)), Insertion::Purged);
    assert!(l1.is_empty());
    assert_eq!(
        l1.insert(&key, entry(&key, 10, at + ms(1))),
        Insertion::Kept
    );
    // An old entry that the store has confirmed since then.
    let mut old = entry(&key_of(2), 10, T0);
    old.checked_at = at + ms(1);
    assert_eq!(l1.insert(&key_of(2), old), Insertion::Kept);
}

/// Requests of ten keys that are asked for again and again, among made-up ones.
struct Crowd {
    /// How many made-up requests there are for each request of one of the ten.
    made_up: usize,
    /// How often each made-up key is asked for in a row.
    each: usize,
    /// How many of them there are.
    keys: usize,
    /// The lengths of the bodies: of the ten, and of the others.
    lengths: (usize, usize),
}

impl Crowd {
    /// Which part of the requests of the ten is answered from a cache of 16 MB, after it was filled
    /// with made-up keys.
    fn hit_ratio(&self) -> f64 {
        let mut l1 = L1::new(16 << 20, 7);
        let template = entry(&key_of(0), 0, T0);
        let mut ask = |n: usize, body_len| {
            let key = key_of(n);
            let is_hit = l1.get(&key, T0).is_some();
            if !is_hit {
                let mut entry = template.clone();
                std::rc::Rc::make_mut(&mut entry.meta).key = key.text().to_owned();
                entry.body_len = body_len;
                l1.insert(&key, entry);
            }
            is_hit
        };
        let (ten, others) = self.lengths;
        for n in 0..6_000 {
            ask(1_000_000_000 + n, others);
        }
        let (mut asked, mut hits) = (0, 0);
        for n in 0..200 * self.made_up {
            if n % self.made_up == 0 {
                let is_hit = ask(n / self.made_up % 10, ten);
                if n >= 100 * self.made_up {
                    hits += u32::from(is_hit);
                    asked += 1;
                }
            }
            ask(10 + n / self.each % self.keys, others);
        }
        f64::from(hits) / f64::from(asked)
    }
}

#[test]
fn made_up_keys_cost_those_that_are_in_demand_few_hits() {
    for each in [1, 2, 4] {
        for lengths in [
            (3_000, 3_000),
            (3_000, 1 << 20),
            (300_000, 300),
            (500_000, 3_000),
        ] {
            let ratio = Crowd {
                made_up: 100,
                each,
                keys: usize::MAX,
                lengths,
            }
            .hit_ratio();
            assert!(
                ratio >= 0.95,
                "{ratio}: {lengths:?}, each asked for {each} times"
            );
        }
    }
}

#[test]
fn more_keys_than_fit_that_come_again_and_again_cost_them_few_hits() {
    for lengths in [(3_000, 3_000), (3_000, 1 << 20)] {
        let ratio = Crowd {
            made_up: 100,
            each: 1,
            keys: 5_000,
            lengths,
        }
        .hit_ratio();
        assert!(ratio >= 0.95, "{ratio}: {lengths:?}");
    }
}

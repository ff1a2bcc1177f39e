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

//! What the script makes of keys that hold something else than it wrote.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::rig::{Rig, limit, limits, now, with_entry};

#[test]
fn what_is_no_state_is_an_empty_one() {
    let mut rig = Rig::start();
    let ms = now().as_millis();
    let (bucket, many) = (ms / 2_000, " 1".repeat(1_001));
    for text in [
        String::new(),
        "nonsense".to_owned(),
        "{\"a\":1}".to_owned(),
        format!("0 {ms} 2000 {bucket} 5"),
        format!("2 {ms} 2000 {bucket} 5"),
        format!("10 {ms} 2000 {bucket} 5"),
        format!("1 {ms} 2000 {bucket}"),
        format!("1 {ms} 2000 {bucket} "),
        format!("1 {ms} 0 {bucket} 5"),
        format!("1 {ms} 2000 {bucket} -5"),
        format!("1 {ms} 2000 {bucket} 5.5"),
        format!("1 {ms} 2000 {bucket} 1e3"),
        format!("1 {ms} 2000 {bucket} 5\n"),
        format!("1 {ms} 2000 {bucket}{many}"),
        format!("1 {ms} 2000 {bucket} 9007199254740993"),
        format!("1 {ms} 2000 {} 5", bucket + 1_000),
        format!("1 {ms} 2000 99999999999999999999 5"),
        format!("1 99999999999999999999 2000 {bucket} 5"),
        format!("1 {ms} 99999999999999999999 1 5"),
        "1 0 2000 0 0".to_owned(),
        "9".repeat(100_000),
    ] {
        rig.run::<()>(&["SET", "a", &text]);
        let reply = rig.ask(&limits(&[limit("a", 10, 60)], now()));
        let shown: String = text.chars().take(60).collect();
        assert!(reply.admitted, "{shown}");
        assert_eq!(reply.verdicts[0].remaining, 9, "{shown}");
        rig.assert_all_expire();
        let stored = rig.text("a").unwrap();
        assert!(stored.starts_with("1 ") && stored.len() < 400, "{stored}");
    }
}

#[test]
fn bytes_that_are_no_text_are_an_empty_state() {
    let mut rig = Rig::start();
    redis::cmd("SET")
        .arg("a")
        .arg(&b"1 \xff\x00\xfe 3 4"[..])
        .exec(&mut rig.connection())
        .unwrap();
    let reply = rig.ask(&limits(&[limit("a", 10, 60)], now()));
    assert_eq!(reply.verdicts[0].remaining, 9);
}

#[test]
fn no_text_that_looks_like_a_state_makes_an_error_or_a_long_refusal() {
    let rig = std::cell::RefCell::new(Rig::start());
    let ms = now().as_millis();
    // Numbers of all sizes, with those in the neighbourhood of real ones among them.
    let number = prop_oneof![
        0_u64..40,
        Just(2_000),
        ms / 2_000 - 100..ms / 2_000 + 100,
        ms - 400_000..ms + 400_000,
        any::<u64>(),
        1_u64 << 50..1 << 54,
    ];
    let mut runner = TestRunner::new(Config::with_cases(2_000));
    let numbers = prop::collection::vec(number, 3..50);
    let outcome = runner.run(&numbers, |numbers| {
        let mut rig = rig.borrow_mut();
        let numbers: Vec<_> = numbers.iter().map(u64::to_string).collect();
        let text = format!("1 {}", numbers.join(" "));
        rig.run::<()>(&["SET", "a", &text]);
        let reply = rig.ask(&limits(&[limit("a", 10, 60)], now()));
        // A window, the sub-bucket that is counted whole, and one that clocks may differ by.
        let wait = reply.verdicts[0].retry_after.as_millis();
        prop_assert!(wait <= 60_000 + 2 * 2_000 + 2 * 1_000, "{wait} for {text}");
        prop_assert_eq!(reply.admitted, wait == 0);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn keys_of_another_type_make_no_error() {
    let mut rig = Rig::start();
    let others: [&[&'static str]; 5] = [
        &["RPUSH", "?", "x"],
        &["HSET", "?", "f", "v"],
        &["SADD", "?", "x"],
        &["ZADD", "?", "1", "x"],
        &["XADD", "?", "*", "f", "v"],
    ];
    for make in others {
        rig.run::<()>(&["FLUSHALL"]);
        for key in ["a", "b", "c", "f"] {
            let named = |part: &&'static str| if *part == "?" { key } else { *part };
            let command: Vec<_> = make.iter().map(named).collect();
            rig.run::<redis::Value>(&command);
        }
        let both = [limit("a", 1, 60), limit("b", 10, 60)];
        let reply = rig.ask(&with_entry(&both, now()));
        assert!(reply.admitted, "{make:?}");
        assert_eq!((reply.entry, reply.refresh), (None, true), "{make:?}");
        assert_eq!(reply.verdicts[1].remaining, 9, "{make:?}");
        // They are states from now on.
        assert!(!rig.ask(&with_entry(&both, now())).admitted, "{make:?}");
    }
}

#[test]
fn a_refusal_touches_no_key() {
    let mut rig = Rig::start();
    let both = [limit("a", 100, 60), limit("b", 1, 60)];
    assert!(rig.ask(&limits(&both, now())).admitted);
    let before = (rig.text("a"), rig.text("b"));
    for _ in 0..20 {
        let reply = rig.ask(&with_entry(&both, now()));
        assert!(!reply.admitted);
        assert!(reply.verdicts[0].met && !reply.verdicts[1].met);
        assert_eq!(reply.verdicts[0].remaining, 99);
    }
    assert_eq!((rig.text("a"), rig.text("b")), before);
    assert_eq!(rig.text("f"), None, "who is refused refreshes nothing");
}

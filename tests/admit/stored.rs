//! What the script does with keys that hold something that it did not write.

use omnitrade_edge::engine::limit::{Charge, Receipt};
use proptest::prelude::*;

use crate::random::assert_holds;
use crate::rig::{Rig, admitted, entry_of, limit, limits, now, refreshes, verdict, with_entry};

/// The longest wait in milliseconds: a window, the sub-bucket that is counted whole, the longest
/// lease, and the difference that clocks may have.
const LONGEST_WAIT: u128 = 60_000 + 2_000 + 30_000 + 2 * 1_000;

/// Asserts that a stored text counts as an empty state and is overwritten.
#[track_caller]
fn assert_no_state(rig: &mut Rig, text: &str) {
    let shown: String = text.chars().take(80).collect();
    rig.run::<()>(&["SET", "a", text]);
    let reply = rig.ask(&limits(&[limit("a", 10, 60)], now()));
    assert!(admitted(&reply), "{shown}");
    assert_eq!(reply.unreadable, 1, "{shown}");
    assert_eq!(verdict(&reply, 0).remaining, 9, "{shown}");
    rig.assert_all_expire();
    let stored = rig.text("a").unwrap();
    assert!(stored.starts_with("2 ") && stored.len() < 400, "{stored}");
    let reply = rig.ask(&limits(&[limit("a", 10, 60)], now()));
    assert_eq!(reply.unreadable, 0, "{shown}");
    assert_eq!(verdict(&reply, 0).remaining, 8, "{shown}");
}

#[test]
fn what_is_no_state_is_an_empty_one_and_is_told_of() {
    let mut rig = Rig::start();
    let ms = now().as_millis();
    let (bucket, many) = (ms / 2_000, " 1".repeat(1_001));
    for text in [
        String::new(),
        "nonsense".to_owned(),
        "{\"a\":1}".to_owned(),
        format!("0 a {ms} 2000 {bucket} 1 5 5;0:abcdef:"),
        format!("3 a {ms} 2000 {bucket} 1 5 5;0:abcdef:"),
        format!("20 a {ms} 2000 {bucket} 1 5 5;0:abcdef:"),
        format!("2 {ms} 2000 {bucket} 1 5 5;0:abcdef:"),
        format!("2 x {ms} 2000 {bucket} 1 5 5;0:abcdef:"),
        format!("2 a {ms} 2000 {bucket} 1 5 ;0:abcdef:"),
        format!("2 a {ms} 2000 {bucket} 1 5;0:abcdef:"),
        format!("2 a {ms} 2000 {bucket} 1 5 5"),
        format!("2 a {ms} 2000 {bucket} 1 5 5;0:abcdef"),
        format!("2 a {ms} 2000 {bucket} 1 5 5;0:abcdef:abcdef:"),
        format!("2 a {ms} 2000 {bucket} 1 5 5;0:ab cde:"),
        format!("2 a {ms} 2000 {bucket} 1 5 5;-1:abcdef:"),
        format!("2 a {ms} 2000 {bucket} 1 5 5;{}:abcdef:", ms + 1),
        format!("2 a {ms} 0 {bucket} 1 5 5;0:abcdef:"),
        format!("2 a {ms} 2000 {bucket} 0 5 5;0:abcdef:"),
        format!("2 a {ms} 2000 {bucket} 1 -5 -5;0:abcdef:"),
        format!("2 a {ms} 2000 {bucket} 1 5.5 5.5;0:abcdef:"),
        format!("2 a {ms} 2000 {bucket} 1 1e3 1e3;0:abcdef:"),
        format!("2 a {ms} 2000 {bucket} 1 5 5;0:abcdef:\n"),
        format!("2 a {ms} 2000 {} 1001 1001{many};0:abcdef:", bucket - 1_000),
        format!("2 a {ms} 2000 {bucket} 1 9007199254740993 9007199254740993;0::"),
        format!("2 a {ms} 2000 {} 1 5 5;0:abcdef:", bucket + 16),
        format!("2 a {ms} 2000 {} 4 5 0 0 0 5;0:abcdef:", bucket + 13),
        format!("2 a {ms} 2000 99999999999999999999 1 5 5;0::"),
        format!("2 a 99999999999999999999 2000 {bucket} 1 5 5;0::"),
        format!("2 a {ms} 99999999999999999999 1 1 5 5;0::"),
        "9".repeat(100_000),
    ] {
        assert_no_state(&mut rig, &text);
    }
}

#[test]
fn a_state_of_the_older_schema_is_an_empty_one_and_is_told_of() {
    let mut rig = Rig::start();
    let ms = now().as_millis();
    let bucket = ms / 2_000;
    for text in [
        format!("1 {ms} 2000 {bucket} 5"),
        format!("1 {ms} 2000 {} 3 0 99", bucket - 2),
        format!("1 {} 2000 {bucket} 5", ms + 300_000),
    ] {
        assert_no_state(&mut rig, &text);
    }
}

#[test]
fn a_state_whose_counts_are_not_what_it_says_of_them_refuses_nobody() {
    let mut rig = Rig::start();
    let ms = now().as_millis();
    let bucket = ms / 2_000;
    // The number of sub-buckets, their total, and their counts.
    for (held, total, counts) in [
        (1, 50, "5"),
        (1, 50, "5 45"),
        (2, 50, "5"),
        (2, 50, "5 "),
        (3, 50, "5 45"),
        (3, 50, "5 45 1"),
        (2, 50, "99999999999999999999 1"),
        (2, 9_007_199_254_740_991_u64, "1 2"),
    ] {
        let base = bucket + 1 - held;
        for (back, tag) in [(0, "b"), (1, "a")] {
            let text = format!("2 a {ms} 2000 {base} {held} {total} {counts};0:abcdef:");
            rig.run::<()>(&["SET", "a", &text]);
            let mut ask = limits(&[], now());
            let tag = tag.to_owned();
            let back = (Receipt { tag, bucket }, back);
            ask.limit(&limit("a", 10, 60), 2, &[back]);
            let reply = rig.ask(&ask);
            assert!(admitted(&reply), "{text}");
            assert_eq!(reply.unreadable, 1, "{text}");
            rig.assert_all_expire();
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_an_empty_state() {
    let mut rig = Rig::start();
    redis::cmd("SET")
        .arg("a")
        .arg(&b"2 a \xff\x00\xfe 3 4"[..])
        .exec(&mut rig.connection())
        .unwrap();
    let reply = rig.ask(&limits(&[limit("a", 10, 60)], now()));
    assert_eq!(verdict(&reply, 0).remaining, 9);
}

/// Runs the script on random texts, most of which resemble states, with a quota of `quota` permits.
fn assert_harmless(cases: u32, quota: u64) {
    let rig = std::cell::RefCell::new(Rig::start());
    let ms = now().as_millis();
    // Numbers of all sizes, many of them close to valid ones.
    let number = || {
        prop_oneof![
            0_u64..40,
            Just(2_000),
            ms / 2_000 - 100..ms / 2_000 + 100,
            ms - 400_000..ms + 400_000,
            any::<u64>(),
            1_u64 << 50..1 << 54,
        ]
    };
    let header = (
        prop_oneof![8 => ms - 100_000..ms + 100_000, 1 => number()],
        prop_oneof![8 => Just(2_000), 1 => number()],
        prop_oneof![8 => ms / 2_000 - 40..ms / 2_000 + 5, 1 => number()],
        prop_oneof![8 => 1_u64..34, 1 => number()],
        prop_oneof![8 => 0_u64..40, 1 => number()],
    );
    let counts = prop_oneof![
        8 => prop::collection::vec(0_u64..5, 1..34),
        1 => prop::collection::vec(number(), 1..34),
    ];
    // Whether the numbers agree with each other, and what separates them.
    let form = (
        any::<bool>(),
        any::<bool>(),
        prop_oneof![8 => Just(" "), 1 => Just("  ")],
    );
    let call = (0_u64..3, 0_u64..4, 0_u64..4, any::<bool>());
    assert_holds(
        cases,
        &(header, counts, form, call),
        |(header, counts, form, call)| {
            let mut rig = rig.borrow_mut();
            let (seen, width, mut base, mut held, mut total) = header;
            if form.0 {
                held = counts.len() as u64;
                base = base.saturating_sub(held);
            }
            if form.1 {
                total = counts.iter().fold(0, |sum, n| sum.saturating_add(*n));
            }
            let list: Vec<_> = counts.iter().map(u64::to_string).collect();
            let list = list.join(form.2);
            let text = format!("2 abc {seen} {width} {base} {held} {total} {list};7:abcdef:-");
            rig.run::<()>(&["SET", "a", &text]);
            let (cost, lend, back, oldest) = call;
            let charge = Charge {
                cost,
                ..limit("a", quota, 60)
            };
            let mut ask = limits(&[], now());
            let receipt = Receipt {
                tag: "abc".to_owned(),
                bucket: now().as_millis() / 2_000,
            };
            match oldest {
                true => ask.refund(&charge, back),
                false => ask.limit(&charge, lend, &[(receipt, back)]),
            }
            let reply = rig.ask(&ask);
            let wait = verdict(&reply, 0).retry_after.as_millis();
            prop_assert!(wait <= LONGEST_WAIT, "{wait} for {text}");
            prop_assert_eq!(verdict(&reply, 0).met, wait == 0, "{}", text);
            prop_assert!(
                verdict(&reply, 0).reset_after.as_millis() <= LONGEST_WAIT,
                "{text}"
            );
            Ok(())
        },
    );
}

#[test]
fn no_text_that_looks_like_a_state_makes_an_error_or_a_long_refusal() {
    assert_harmless(2_000, 10);
    assert_harmless(1_000, 1_000);
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
        assert!(admitted(&reply), "{make:?}");
        assert_eq!(verdict(&reply, 1).remaining, 9, "{make:?}");
        assert_eq!(
            (entry_of(&reply), refreshes(&reply)),
            (None, true),
            "{make:?}"
        );
        // From now on the keys hold valid states.
        assert!(!admitted(&rig.ask(&with_entry(&both, now()))), "{make:?}");
    }
}

#[test]
fn a_refusal_touches_no_key() {
    let mut rig = Rig::start();
    let both = [limit("a", 100, 60), limit("b", 1, 60)];
    assert!(admitted(&rig.ask(&limits(&both, now()))));
    let before = (rig.text("a"), rig.text("b"));
    for _ in 0..20 {
        let reply = rig.ask(&with_entry(&both, now()));
        assert!(!admitted(&reply));
        assert!(verdict(&reply, 0).met && !verdict(&reply, 1).met);
        assert_eq!(verdict(&reply, 0).remaining, 99);
    }
    assert_eq!((rig.text("a"), rig.text("b")), before);
    assert_eq!(rig.text("f"), None, "who is refused refreshes nothing");
}

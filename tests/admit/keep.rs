//! `keep.lua`: an older entry never overwrites a newer one.

use omnitrade_edge::store::KEEP;
use redis::cmd;

use crate::rig::Rig;

/// An entry of this version that carries these epochs.
fn entry(version: &str, epochs: &str) -> String {
    format!("2 1 2 3 {version} {epochs} {{\"k\":\"é\"}}\nbody of {version}")
}

/// Writes an entry to `c`, by a first call or a repeat, and returns the script's reply.
fn keep_as(rig: &Rig, version: &str, epochs: &str, again: u8) -> i64 {
    let mut connection = rig.connection();
    let sha: String = cmd("SCRIPT")
        .arg("LOAD")
        .arg(KEEP.lua())
        .query(&mut connection)
        .unwrap();
    assert_eq!(sha, KEEP.sha());
    let mut call = cmd("EVALSHA");
    call.arg(sha).arg(3).arg(&["c", "e", "t"]);
    call.arg(entry(version, epochs))
        .arg(version)
        .arg(epochs)
        .arg(60_000)
        .arg(again);
    call.query(&mut connection).unwrap()
}

fn keep(rig: &Rig, version: &str, epochs: &str) -> i64 {
    keep_as(rig, version, epochs, 0)
}

#[test]
fn a_newer_entry_is_never_overwritten_by_an_older_one() {
    let mut rig = Rig::start();
    let mut newest = "0".to_owned();
    // A longer version is newer, whatever digits it begins with, even if a double cannot hold it
    // exactly.
    for version in [
        "9",
        "8",
        "10",
        "9",
        "10",
        "9007199254740993",
        "9007199254740992",
        "99999999999999999999",
        "18446744073709551615",
        "0",
    ] {
        let number = |text: &str| text.parse::<u128>().unwrap();
        let newer = number(version) >= number(&newest);
        assert_eq!(
            keep(&rig, version, "-,-"),
            i64::from(newer),
            "{version} after {newest}"
        );
        if newer {
            newest = version.to_owned();
        }
        assert_eq!(rig.text("c"), Some(entry(&newest, "-,-")));
    }
    let ttl: i64 = rig.run(&["PTTL", "c"]);
    assert!((50_000..=60_000).contains(&ttl), "{ttl}");
}

#[test]
fn whatever_the_order_of_arrival_the_newest_stays() {
    let orders = [
        [1, 2, 3],
        [1, 3, 2],
        [2, 1, 3],
        [2, 3, 1],
        [3, 1, 2],
        [3, 2, 1],
    ];
    let mut rig = Rig::start();
    for order in orders {
        for version in order {
            keep(&rig, &version.to_string(), "-,-");
        }
        assert_eq!(rig.text("c"), Some(entry("3", "-,-")), "{order:?}");
        rig.run::<()>(&["DEL", "c"]);
    }
}

#[test]
fn what_was_purged_on_its_way_is_not_written() {
    let mut rig = Rig::start();
    rig.run::<()>(&["SET", "t", "a1", "EX", "60"]);
    assert_eq!(keep(&rig, "5", "-,-"), -1);
    assert_eq!(rig.text("c"), None);
    assert_eq!(keep(&rig, "5", "-,a1"), 1);
    rig.run::<()>(&["SET", "e", "b2", "EX", "60"]);
    assert_eq!(keep(&rig, "6", "-,a1"), -1);
    assert_eq!(rig.text("c"), Some(entry("5", "-,a1")));
}

#[test]
fn what_was_purged_holds_nothing_older_off() {
    let mut rig = Rig::start();
    keep(&rig, "100", "-,-");
    rig.run::<()>(&["SET", "e", "b2", "EX", "60"]);
    assert_eq!(keep(&rig, "7", "b2,-"), 1);
    assert_eq!(rig.text("c"), Some(entry("7", "b2,-")));
}

#[test]
fn what_has_no_version_or_is_no_entry_holds_nothing_off() {
    let mut rig = Rig::start();
    for text in [
        "",
        "nonsense",
        "u",
        "1 9 9 {}",
        &entry("-", "-,-"),
        "2 1 2 3 99 -,-",
    ] {
        rig.run::<()>(&["SET", "c", text]);
        assert_eq!(keep(&rig, "7", "-,-"), 1, "{text}");
        assert_eq!(rig.text("c"), Some(entry("7", "-,-")));
    }
}

#[test]
fn a_repeat_does_nothing_that_the_call_did_not_do() {
    let mut rig = Rig::start();
    assert_eq!(keep(&rig, "5", "-,-"), 1);
    assert_eq!(keep_as(&rig, "5", "-,-", 1), 1);
    assert_eq!(rig.text("c"), Some(entry("5", "-,-")));
    keep(&rig, "6", "-,-");
    assert_eq!(keep_as(&rig, "5", "-,-", 1), 0, "a late one");
    assert_eq!(rig.text("c"), Some(entry("6", "-,-")));
}

#[test]
fn an_epoch_is_read_as_the_other_script_told_it() {
    let mut rig = Rig::start();
    let long = "x".repeat(1_000);
    for (value, word) in [(" a,b", ".a.b"), ("", ""), (long.as_str(), &long[..64])] {
        rig.run::<()>(&["SET", "e", value, "EX", "60"]);
        assert_eq!(keep(&rig, "5", &format!("{word},-")), 1, "{value}");
    }
}

#[test]
fn a_write_costs_three_commands_and_one_that_is_not_made_two() {
    let mut rig = Rig::start();
    keep(&rig, "1", "-,-");
    for (version, sets) in [("2", Some(1)), ("1", None)] {
        rig.count_anew();
        keep(&rig, version, "-,-");
        let mut counted = rig.counted();
        counted.retain(|name, _| ["evalsha", "mget", "set"].contains(&name.as_str()));
        assert_eq!(counted.get("evalsha"), Some(&1));
        assert_eq!(counted.get("mget"), Some(&1));
        assert_eq!(counted.get("set").copied(), sets);
    }
}

//! Many at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rig::{Rig, admitted, call, limit, limits, now, verdict, with_entry};

#[test]
fn of_a_thousand_at_once_a_quota_of_a_hundred_admits_a_hundred() {
    let rig = Rig::start();
    let (served, refreshing) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..20 {
            let mut connection = rig.connection();
            let (served, refreshing) = (&served, &refreshing);
            scope.spawn(move || {
                for _ in 0..50 {
                    let ask = with_entry(&[limit("a", 100, 600)], now());
                    let reply = ask.read(call(&mut connection, &ask)).unwrap();
                    served.fetch_add(usize::from(admitted(&reply)), Ordering::Relaxed);
                    refreshing.fetch_add(usize::from(reply.refresh), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(served.into_inner(), 100);
    assert_eq!(refreshing.into_inner(), 1);
}

/// Prints how long Redis works on a call with all sub-buckets in use; asserts only that it does.
#[test]
fn a_state_with_all_its_sub_buckets_is_served() {
    let mut rig = Rig::start();
    let both = ["a", "b"].map(|key| limit(key, 1_000_000, 60));
    let start = now();
    let full: Vec<_> = (0..30).map(|n| (n + 1).to_string()).collect();
    let bucket = start.as_millis() / 2_000;
    let state = format!(
        "2 abc {} 2000 {} 30 465 {};0:abcdef:ghijkl",
        start.as_millis(),
        bucket - 29,
        full.join(" ")
    );
    for key in ["a", "b"] {
        rig.run::<()>(&["SET", key, &state, "EX", "60"]);
    }
    rig.count_anew();
    for _ in 0..500 {
        let reply = rig.ask(&limits(&both, start));
        assert!(admitted(&reply));
    }
    let text: String = rig.run(&["INFO", "commandstats"]);
    let line = text.lines().find(|line| line.contains("evalsha"));
    println!("two limits, 30 sub-buckets each: {}", line.unwrap());
    assert_eq!(
        verdict(&rig.ask(&limits(&both, start)), 0).remaining,
        1_000_000 - 465 - 501
    );
}

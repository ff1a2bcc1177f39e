//! Many concurrent calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use omnitrade_edge::engine::registry::Standing;

use crate::rig::{Rig, admitted, call, limit, nothing, now, refreshes, verdict, with_entry};

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
                    refreshing.fetch_add(usize::from(refreshes(&reply)), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(served.into_inner(), 100);
    assert_eq!(refreshing.into_inner(), 1);
}

/// Prints how long Redis takes for a call with all sub-buckets in use. It asserts only that the
/// call works.
#[test]
fn a_state_with_all_its_sub_buckets_is_served() {
    const CALLS: u64 = 500;
    let mut rig = Rig::start();
    let all = ["a", "b"].map(|key| limit(key, 1_000_000, 60));
    let full: Vec<_> = (0..30).map(|n| (n + 1).to_string()).collect();
    for (what, count, lend, slides) in [
        ("one limit", 1, 0, false),
        ("one limit, in a new sub-bucket each time", 1, 0, true),
        ("one limit, with a permit lent", 1, 1, false),
        ("two limits", 2, 0, false),
    ] {
        let start = now();
        let base = start.as_millis() / 2_000 - 29;
        let state = format!(
            "2 abc {} 2000 {base} 30 465 {};0:abcdef:ghijkl",
            start.as_millis(),
            full.join(" ")
        );
        rig.run::<()>(&["FLUSHALL"]);
        rig.count_anew();
        for call in 0..CALLS {
            if call == 0 || slides {
                for charge in &all {
                    let bucket = charge.bucket(&Standing::Unregistered).unwrap();
                    rig.run::<()>(&["SET", &bucket.key, &state, "EX", "60"]);
                }
            }
            let told = start + Duration::from_secs(if slides { 2 } else { 0 });
            let mut ask = nothing(told);
            for charge in &all[..count] {
                ask.limit(charge, lend, &[]);
            }
            let reply = rig.ask(&ask);
            assert!(admitted(&reply));
            // What has left the window by the first call, and what each call takes.
            let used = 465 + if slides { 1 } else { (call + 1) * (1 + lend) };
            let left = verdict(&reply, 0).remaining;
            assert!((1_000_000 - used..=1_000_000 - used + 1).contains(&left));
        }
        let text: String = rig.run(&["INFO", "commandstats"]);
        let line = text.lines().find(|line| line.contains("evalsha"));
        let each = line.and_then(|line| line.split("usec_per_call=").nth(1));
        let each = each.and_then(|rest| rest.split(',').next());
        println!("30 sub-buckets, {what}: {} µs", each.unwrap());
    }
}

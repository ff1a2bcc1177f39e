//! The script against its model, on random calls of every form: both reply and store the same,
//! whatever clocks show and whatever is stored.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::sliding_window::{Cut, State};
use omnitrade_edge::engine::limit::{Bucket, Buckets, Charge, Lend, Receipt, Role};
use omnitrade_edge::engine::registry::RecordNames;
use omnitrade_edge::store::{Ask, EntryQuery, Outcome};
use proptest::prelude::*;

use crate::random::assert_holds;
use crate::rig::{limit, limit_ms, limits, lookup, nothing, verdict};
use crate::virtual_time::Store;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The name of a key's record, and the one under the previous secret.
const NAMES: [&str; 2] = ["ot:k:x", "ot:k:y"];

/// A limit that a trace asks about.
#[derive(Debug, Clone)]
struct Limit {
    permits: u64,
    window: u64,
    kept: u64,
    unlent: u64,
    /// `Some` if registered keys count in another bucket; then, whether other clients count at all.
    keyed: Option<bool>,
}

/// One call: how long it comes after the one before, what the caller's clock shows, and which
/// limits it is about.
#[derive(Debug, Clone)]
struct Step {
    wait: u64,
    ahead: i64,
    which: u8,
    takes: Vec<Take>,
    /// For how many milliseconds the requested entry is fresh from now on; the inner `None`: the
    /// entry is removed.
    entry: Option<Option<u64>>,
    refreshes: bool,
    /// How many milliseconds before the entry goes stale it may be refreshed, whether a purge has
    /// come, and whether the caller has the entry already.
    early: u64,
    purged: bool,
    known: bool,
    /// A record that is written before: its name and its text.
    record: Option<(&'static str, &'static str)>,
    /// Whether the call asks for the record under the previous name, too.
    rotates: bool,
    time: bool,
    /// One item for each time that the call is sent again: the last argument of that sending.
    again: Vec<bool>,
}

/// What a call asks of one limit.
#[derive(Debug, Clone)]
struct Take {
    cost: u64,
    role: Role,
    kept: bool,
    lend: Lend,
    back: Back,
    /// Permits that the caller has given by itself.
    owed: u64,
}

#[derive(Debug, Clone)]
enum Back {
    Nothing,
    /// Permits that were charged or lent before.
    Receipts(Vec<(u8, u64)>),
    Oldest(u64),
}

fn a_limit() -> impl Strategy<Value = Limit> {
    let permits = prop_oneof![4 => 1_u64..12, 2 => 12_u64..100, 1 => Just(1_000_000_000)];
    let window = prop_oneof![
        1_u64..100,
        1_000_u64..100_000,
        Just(60_000),
        1_000_000_u64..100_000_000_000
    ];
    let share = || prop_oneof![2 => Just(0_u64), 1 => 1_u64..100];
    let keyed = prop::option::of(any::<bool>());
    (permits, window, share(), share(), keyed).prop_map(|(permits, window, kept, unlent, keyed)| {
        Limit {
            permits,
            window,
            kept,
            unlent,
            keyed,
        }
    })
}

fn take() -> impl Strategy<Value = Take> {
    let role = prop_oneof![
        6 => Just(Role::Enforce),
        1 => Just(Role::Shadow),
        1 => Just(Role::Peek),
        1 => Just(Role::Settle),
        2 => Just(Role::Origin),
    ];
    let receipts = prop::collection::vec((any::<u8>(), 0_u64..5), 1..4);
    let back = prop_oneof![
        4 => Just(Back::Nothing),
        2 => receipts.prop_map(Back::Receipts),
        1 => (1_u64..6).prop_map(Back::Oldest),
    ];
    let lend = (
        prop_oneof![2 => Just(0), 1 => 1_u64..12, 1 => Just(1_000_000)],
        prop_oneof![1 => Just(0), 2 => 0_u64..20_000, 1 => 0_u64..1_000_000],
    );
    let rush = prop_oneof![2 => Just(0), 1 => 0_u64..12, 1 => Just(1_000_000)];
    let lend = (lend, rush).prop_map(|((permits, term), rush)| Lend {
        permits,
        term: Duration::from_millis(term),
        rush: rush.min(permits),
    });
    let owed = prop_oneof![6 => Just(0), 1 => 1_u64..20];
    (0_u64..4, role, any::<bool>(), lend, back, owed).prop_map(
        |(cost, role, kept, lend, back, owed)| Take {
            cost,
            role,
            kept,
            lend,
            back,
            owed,
        },
    )
}

/// Limits, and steps that are up to two of the first window apart.
fn trace() -> impl Strategy<Value = (Vec<Limit>, Vec<Step>)> {
    prop::collection::vec(a_limit(), 1..5).prop_flat_map(|limits| {
        let window = limits[0].window;
        let wait = prop_oneof![
            4 => Just(0),
            2 => 0..=10_u64,
            4 => 0..=window / 20 + 1,
            1 => 0..=window,
            1 => 0..=window * 2,
        ];
        let far = i64::try_from(window).unwrap() * 3;
        let ahead = prop_oneof![
            8 => Just(0),
            4 => -500_i64..500,
            1 => -3_000_i64..3_000,
            1 => -far..far,
            1 => Just(300_000),
            1 => Just(-300_000),
        ];
        let entry = prop_oneof![
            6 => Just(None),
            1 => Just(Some(None)),
            2 => (0_u64..20_000).prop_map(|fresh| Some(Some(fresh))),
        ];
        let words = ["1", "1 pro", "1 free", "1 other", "2 pro", ""];
        let record = (
            prop::sample::select(NAMES.to_vec()),
            prop::sample::select(words.to_vec()),
        );
        let record = prop::option::weighted(0.2, record);
        let again = prop_oneof![
            6 => Just(vec![]),
            1 => prop::collection::vec(any::<bool>(), 1..3),
        ];
        let takes = prop::collection::vec(take(), limits.len());
        let early = prop_oneof![2 => Just(0), 1 => 0_u64..10_000];
        let purged = prop::bool::weighted(0.05);
        let step = (
            wait,
            ahead,
            1_u8..16,
            takes,
            entry,
            (any::<bool>(), early, purged, any::<bool>()),
            record,
            any::<u8>(),
            again,
        );
        let step = step.prop_map(
            |(wait, ahead, which, takes, entry, looks, record, time, again)| Step {
                wait,
                ahead,
                which,
                takes,
                entry,
                refreshes: looks.0,
                early: looks.1,
                purged: looks.2,
                known: looks.3,
                record,
                rotates: time % 2 == 1,
                time: time < 20,
                again,
            },
        );
        (Just(limits), prop::collection::vec(step, 1..80))
    })
}

fn charge(n: usize, limit: &Limit, take: &Take) -> Charge {
    let bucket = |key: String, permits| Bucket { key, permits };
    let without = bucket(format!("ot:l:{n}:x"), limit.permits);
    let of = limit_ms("", limit.permits, limit.window);
    let plans = [
        ("pro", limit.permits * 3),
        ("free", limit.permits.div_ceil(2)),
    ];
    let plans: BTreeMap<_, _> = plans.map(|(plan, n)| (plan.to_owned(), n)).into();
    Charge {
        buckets: match limit.keyed {
            None => Buckets::One(without),
            Some(others) => Buckets::ByStanding {
                without: others.then_some(without),
                with: bucket(format!("ot:l:{n}:k"), limit.permits * 2),
                plans: Arc::new(plans),
            },
        },
        cost: take.cost,
        role: take.role,
        kept: if take.kept { limit.kept } else { 0 },
        unlent: limit.unlent,
        ..of
    }
}

/// Makes the call of a step.
fn call(all: &[Limit], step: &Step, receipts: &[Receipt], now: Timestamp) -> Ask {
    let told = Timestamp::from_millis(now.as_millis().saturating_add_signed(step.ahead));
    let mut ask = match step.time {
        true => Ask::new(told, &crate::rig::new_id(), crate::rig::HORIZON, true),
        false => nothing(told),
    };
    for (n, limit) in all.iter().enumerate() {
        if n > 0 && step.which >> n & 1 == 0 {
            continue;
        }
        let take = &step.takes[n];
        let charge = charge(n, limit, take);
        match &take.back {
            Back::Nothing => ask.limit_owing(&charge, take.lend, &[], take.owed),
            Back::Oldest(permits) => ask.refund(&charge, *permits),
            Back::Receipts(picks) => {
                let known = |n: &u8| receipts.get(usize::from(*n).checked_rem(receipts.len())?);
                let back = picks
                    .iter()
                    .filter_map(|(n, k)| Some((known(n)?.clone(), *k)));
                ask.limit_owing(&charge, take.lend, &back.collect::<Vec<_>>(), take.owed);
            }
        }
    }
    ask.record(&RecordNames::new("ot", "x", step.rotates.then_some("y")));
    if step.which >> 3 == 1 {
        let lease_for = step.refreshes.then_some(Duration::from_secs(10));
        ask.look_up(&EntryQuery {
            early: Duration::from_millis(step.early),
            known: step.known.then(|| "2 ".to_owned()),
            ..lookup(lease_for)
        });
    }
    ask
}

#[test]
fn the_script_says_and_stores_what_the_model_does() {
    let store = RefCell::new(Store::start());
    assert_holds(200, &trace(), |(all, steps)| {
        let mut store = store.borrow_mut();
        store.begin(START);
        let mut receipts = Vec::new();
        for step in steps {
            store.wait(step.wait);
            match step.entry {
                None => {}
                Some(None) => store.delete("c"),
                Some(Some(fresh)) => {
                    let until = (store.now + Duration::from_millis(fresh)).as_millis();
                    let epochs = ["-,-", "a1,-"][usize::from(step.which & 1)];
                    store.set(
                        "c",
                        &format!("2 {until} {until} {until} - {epochs} {{}}\nbody"),
                    );
                }
            }
            if step.purged {
                store.set("e", "a1");
            }
            if let Some((name, text)) = step.record {
                store.set(name, text);
            }
            let ask = call(&all, &step, &receipts, store.now);
            let first = store.ask(&ask, false).map_err(TestCaseError::fail)?;
            for said in first.limits.iter().flatten() {
                receipts.extend(said.receipt.clone());
                receipts.extend(said.granted.as_ref().map(|granted| granted.receipt.clone()));
            }
            let mut admitted = first.outcome == Outcome::Admitted;
            for again in step.again {
                let reply = store.ask(&ask, again).map_err(TestCaseError::fail)?;
                // A refused call is never taken for an admitted one.
                prop_assert!(admitted || reply.outcome != Outcome::Repeated);
                admitted |= reply.outcome == Outcome::Admitted;
            }
            for key in &ask.keys {
                let text = store.text(key).unwrap_or_default();
                prop_assert!(text.len() <= 400, "{}", text);
            }
        }
        Ok(())
    });
}

#[test]
fn another_window_frees_nobody_in_the_script_as_in_the_model() {
    let store = RefCell::new(Store::start());
    let windows = (20_000_u64..10_000_000, 20_000_u64..10_000_000);
    let steps = prop::collection::vec((0_u64..150, 1_u64..3, 0_u64..4, 0_u64..60_000), 1..40);
    assert_holds(150, &(windows, steps), |((old, new), steps)| {
        let mut store = store.borrow_mut();
        store.begin(START);
        let mut used = 0;
        for (n, window) in [old, new, old].into_iter().enumerate() {
            for (wait, cost, lend, term) in &steps {
                store.wait(*wait);
                let mut charge = limit_ms("ot:l:a:x", 50, window);
                charge.cost = *cost;
                let mut ask = nothing(store.now);
                let lend = Lend {
                    permits: *lend,
                    term: Duration::from_millis(*term),
                    rush: *lend / 2,
                };
                ask.limit(&charge, lend, &[]);
                let reply = store.ask(&ask, false).map_err(TestCaseError::fail)?;
                // All of it lies within one window of either length, so no permit becomes free.
                let said = reply.limits[0].as_ref().unwrap();
                let lent = said.granted.as_ref().map_or(0, |granted| granted.permits);
                used += lent + if said.verdict.met { *cost } else { 0 };
                prop_assert_eq!(said.verdict.remaining, 50 - used, "window {}", n);
                prop_assert_eq!(reply.unreadable, 0);
                let cut = Cut::of(charge.window);
                let state = State::parse(store.text("ot:l:a:x").unwrap(), cut);
                prop_assert!(state.expires_at(cut) > store.now);
            }
        }
        Ok(())
    });
}

/// States with sub-buckets before, at and after the present one, as callers that are lent permits
/// leave them; with zeros in any place, and with more sub-buckets than a state may have.
#[test]
fn any_state_means_the_same_to_the_script_and_the_model() {
    let store = RefCell::new(Store::start());
    let counts = prop::collection::vec(prop_oneof![Just(0_u64), 0_u64..6], 1..50);
    let ids = ("[a-z-]{0,40}", "[a-z-]{0,40}", 0_u64..700);
    let width = prop_oneof![4 => Just(2_000_u64), 1 => 30_u64..20_000];
    let state = (0_u64..4_000, width, 0_u64..70, counts, ids);
    let steps = prop::collection::vec(
        (0_u64..2_000, 1_u64..4, 0_u64..3, 0_u64..3, 0_u64..40_000),
        1..8,
    );
    assert_holds(
        400,
        &(state, steps),
        |((seen, width, base, counts, ids), steps)| {
            let mut store = store.borrow_mut();
            store.begin(START);
            let (seen, base) = (
                START.as_millis() + 500 - seen,
                START.as_millis() / width + base - 35,
            );
            let (held, total) = (counts.len(), counts.iter().sum::<u64>());
            if total == 0 {
                return Ok(());
            }
            let counts: Vec<_> = counts.iter().map(u64::to_string).collect();
            let (counts, (young, old, age)) = (counts.join(" "), ids);
            let text =
                format!("2 abc {seen} {width} {base} {held} {total} {counts};{age}:{young}:{old}");
            store.set("ot:l:a:x", &text);
            for (wait, cost, permits, oldest, term) in steps {
                let mut charge = limit("ot:l:a:x", 60, 60);
                charge.cost = cost;
                let mut ask = nothing(store.now);
                match oldest {
                    0 => {
                        let term = Duration::from_millis(term);
                        ask.limit(
                            &charge,
                            Lend {
                                permits,
                                term,
                                rush: 0,
                            },
                            &[],
                        );
                    }
                    oldest => ask.refund(&charge, oldest),
                }
                store.ask(&ask, false).map_err(TestCaseError::fail)?;
                store.wait(wait);
            }
            Ok(())
        },
    );
}

/// The same as in the other tests, but with Redis' own clock and expiry.
#[test]
fn a_state_lives_as_long_as_it_counts() {
    let mut rig = crate::rig::Rig::start();
    for lend in [0, 5] {
        let before = crate::rig::now();
        let mut ask = nothing(before);
        let key = format!("a{lend}");
        ask.limit(&limit(&key, 100, 60), lend, &[]);
        assert!(verdict(&rig.ask(&ask), 0).met);
        let cut = Cut::of(Duration::from_secs(60));
        let expires = State::parse(&rig.text(&key).unwrap(), cut).expires_at(cut);
        let ttl = Duration::from_millis(rig.run(&["PTTL", &key]));
        let left = expires.since(before) + Duration::from_secs(1);
        let passed = crate::rig::now().since(before);
        assert!(ttl <= left && ttl + passed >= left, "{ttl:?} of {left:?}");
    }
    rig.run::<()>(&["SCRIPT", "FLUSH"]);
    rig.restart();
    let reply = rig.ask(&limits(&[limit("a0", 100, 60)], crate::rig::now()));
    assert_eq!(
        verdict(&reply, 0).remaining,
        99,
        "what was lost counts for nothing"
    );
}

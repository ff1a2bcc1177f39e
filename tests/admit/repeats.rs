//! Calls that are sent again: the script recognises an admitted call by its id, and permits come
//! back at most once.

use std::slice::from_ref;
use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Charge, Lend, Receipt, Role};
use omnitrade_edge::store::{Ask, Outcome};

use crate::rig::{HORIZON, Rig, admitted, limit, limits, nothing, now, said, verdict, with_entry};

/// A call that only gives back permits of a charge, by its receipt.
fn back(charge: &Charge, receipt: &Receipt, permits: u64) -> Ask {
    let role = Role::Settle;
    let mut ask = nothing(now());
    let charge = Charge {
        cost: 0,
        role,
        ..charge.clone()
    };
    ask.limit(&charge, 0, &[(receipt.clone(), permits)]);
    ask
}

/// How many permits of a limit are left.
fn left(rig: &mut Rig, charge: &Charge) -> u64 {
    let role = Role::Peek;
    let look = Charge {
        cost: 0,
        role,
        ..charge.clone()
    };
    verdict(&rig.ask(&limits(&[look], now())), 0).remaining
}

#[test]
fn a_repeat_is_admitted_and_charged_nothing_whichever_comes_first() {
    let mut rig = Rig::start();
    for order in [[false, true], [true, false], [true, true], [false, false]] {
        rig.run::<()>(&["FLUSHALL"]);
        let ask = with_entry(&[limit("a", 10, 60), limit("b", 10, 60)], now());
        let outcomes = order.map(|again| match again {
            true => rig.ask_again(&ask).outcome,
            false => rig.ask(&ask).outcome,
        });
        assert_eq!(
            outcomes,
            [Outcome::Admitted, Outcome::Repeated],
            "{order:?}"
        );
        assert_eq!(left(&mut rig, &limit("a", 10, 60)), 9);
        assert_eq!(left(&mut rig, &limit("b", 10, 60)), 9);
    }
}

#[test]
fn a_repeat_of_what_took_the_last_permit_is_no_refusal() {
    let mut rig = Rig::start();
    let ask = limits(&[limit("a", 1, 60)], now());
    assert!(admitted(&rig.ask(&ask)));
    assert_eq!(rig.ask_again(&ask).outcome, Outcome::Repeated);
    assert!(!admitted(&rig.ask(&limits(&[limit("a", 1, 60)], now()))));
}

#[test]
fn a_refusal_is_refused_again() {
    let mut rig = Rig::start();
    let both = [limit("a", 10, 60), limit("b", 1, 60)];
    let receipt = said(&rig.ask(&limits(&both, now())), 0)
        .receipt
        .clone()
        .unwrap();
    rig.ask(&limits(&both[..1], now()));
    // Unspent permits of one limit come back with a call that another limit refuses.
    let mut ask = nothing(now());
    ask.limit(&both[0], 0, &[(receipt, 1)]);
    ask.limit(&both[1], 0, &[]);
    for again in [false, true, true] {
        let reply = match again {
            true => rig.ask_again(&ask),
            false => rig.ask(&ask),
        };
        assert_eq!(reply.outcome, Outcome::Refused);
    }
}

#[test]
fn what_a_refused_call_tells_is_counted_once() {
    let mut rig = Rig::start();
    let charge = limit("a", 10, 60);
    for order in [[false, true, true], [true, false, true]] {
        rig.run::<()>(&["FLUSHALL"]);
        // Another call with something to tell comes before it.
        for (owed, left_then) in [(4, 6), (6, 0)] {
            let mut ask = nothing(now());
            let costly = Charge {
                cost: 9,
                ..charge.clone()
            };
            ask.limit_owing(&costly, Lend::NONE, &[], owed);
            for again in order {
                let reply = match again {
                    true => rig.ask_again(&ask),
                    false => rig.ask(&ask),
                };
                assert_eq!(reply.outcome, Outcome::Refused);
                assert_eq!(left(&mut rig, &charge), left_then, "{order:?}");
            }
        }
    }
}

#[test]
fn a_refused_call_that_has_told_something_is_decided_anew() {
    let mut rig = Rig::start();
    let charge = limit("a", 10, 60);
    let full = limits(
        &[Charge {
            cost: 8,
            ..charge.clone()
        }],
        now(),
    );
    let receipt = said(&rig.ask(&full), 0).receipt.clone().unwrap();
    let mut ask = nothing(now());
    ask.limit_owing(&charge, Lend::NONE, &[], 2);
    assert_eq!(rig.ask(&ask).outcome, Outcome::Refused);
    rig.ask(&back(&charge, &receipt, 8));
    assert_eq!(rig.ask_again(&ask).outcome, Outcome::Admitted);
    assert_eq!(left(&mut rig, &charge), 7);
    // Now it is charged, and that is known.
    assert_eq!(rig.ask_again(&ask).outcome, Outcome::Repeated);
    assert_eq!(left(&mut rig, &charge), 7);
}

#[test]
fn a_repeat_whose_id_is_forgotten_is_told_so_and_charged_nothing() {
    let mut rig = Rig::start();
    let charge = limit("a", 1_000, 60);
    let at = now();
    let ask = limits(from_ref(&charge), at);
    assert!(admitted(&rig.ask(&ask)));
    let mut unsure = false;
    for n in 1..40 {
        assert!(admitted(&rig.ask(&limits(from_ref(&charge), at))));
        let outcome = rig.ask_again(&ask).outcome;
        unsure |= outcome == Outcome::Unsure;
        let expected = if unsure {
            Outcome::Unsure
        } else {
            Outcome::Repeated
        };
        assert_eq!(outcome, expected, "after {n} calls");
        assert_eq!(left(&mut rig, &charge), 1_000 - n - 1);
    }
    assert!(unsure);
}

#[test]
fn permits_come_back_once_however_often_that_is_sent() {
    let orders = [
        [false, true, true],
        [true, false, true],
        [true, true, false],
    ];
    let mut rig = Rig::start();
    let charge = limit("a", 1_000, 60);
    let calls = |rig: &mut Rig, n: u64| {
        for _ in 0..n {
            rig.ask(&limits(from_ref(&charge), now()));
        }
    };
    // How many calls come before the call, so that their ids may or may not be remembered, and how
    // many come between its sendings.
    for (before, between) in [(1, 0), (1, 1), (1, 20), (20, 0), (20, 20)] {
        for (order, by_receipt) in orders.into_iter().flat_map(|o| [(o, true), (o, false)]) {
            rig.run::<()>(&["FLUSHALL"]);
            let paid = rig.ask(&limits(from_ref(&charge), now()));
            let receipt = said(&paid, 0).receipt.clone().unwrap();
            calls(&mut rig, before - 1);
            let ask = match by_receipt {
                true => back(&charge, &receipt, 1),
                false => {
                    let mut ask = nothing(now());
                    let role = Role::Peek;
                    ask.refund(
                        &Charge {
                            role,
                            ..charge.clone()
                        },
                        1,
                    );
                    ask
                }
            };
            for again in order {
                match again {
                    true => rig.ask_again(&ask),
                    false => rig.ask(&ask),
                };
                calls(&mut rig, between);
            }
            let expected = before - 1 + 3 * between;
            assert_eq!(
                left(&mut rig, &charge),
                1_000 - expected,
                "{order:?}, {before}, {between}"
            );
        }
    }
}

#[test]
fn a_refund_that_may_have_been_lost_is_not_passed_off_as_done() {
    let mut rig = Rig::start();
    let charge = limit("a", 10, 60);
    let paid = rig.ask(&limits(&[charge.clone(), limit("a2", 10, 60)], now()));
    rig.ask(&limits(from_ref(&charge), now()));
    let ask = back(&charge, said(&paid, 0).receipt.as_ref().unwrap(), 1);
    assert_eq!(rig.ask_again(&ask).outcome, Outcome::Unsure);
    assert_eq!(left(&mut rig, &charge), 8);
    assert_eq!(rig.ask(&ask).outcome, Outcome::Admitted);
    assert_eq!(left(&mut rig, &charge), 9);
    assert_eq!(rig.ask_again(&ask).outcome, Outcome::Repeated);
    assert_eq!(left(&mut rig, &charge), 9);
}

#[test]
fn a_request_that_is_sent_again_is_decided_without_what_it_brought_back() {
    let mut rig = Rig::start();
    let charge = limit("a", 2, 60);
    let receipt = said(&rig.ask(&limits(from_ref(&charge), now())), 0)
        .receipt
        .clone()
        .unwrap();
    let mut ask = nothing(now());
    ask.limit(&charge, 0, &[(receipt, 1)]);
    assert_eq!(rig.ask_again(&ask).outcome, Outcome::Admitted);
    assert_eq!(left(&mut rig, &charge), 0);
    assert_eq!(rig.ask(&ask).outcome, Outcome::Repeated, "it comes late");
    assert_eq!(left(&mut rig, &charge), 0);
}

#[test]
fn a_repeat_after_everything_was_lost_is_a_new_call() {
    let mut rig = Rig::start();
    let ask = limits(&[limit("a", 2, 60)], now());
    rig.ask(&ask);
    rig.restart();
    assert_eq!(rig.ask_again(&ask).outcome, Outcome::Admitted);
    assert_eq!(rig.ask_again(&ask).outcome, Outcome::Repeated);
    assert_eq!(left(&mut rig, &limit("a", 2, 60)), 1);
}

#[test]
fn an_id_is_known_for_a_horizon_and_forgotten_after_four() {
    let mut rig = Rig::start();
    let charge = limit("a", 1_000, 60);
    let start = now();
    let at = |ms: u64| start + Duration::from_millis(ms);
    let horizon = u64::try_from(HORIZON.as_millis()).unwrap();
    let mut calls: Vec<(u64, Ask)> = Vec::new();
    let look = |ask: &Ask, now: Timestamp| {
        let mut again = ask.clone();
        again.args[0] = now.as_millis().to_string();
        again
    };
    for ms in (0..2_000).step_by(50) {
        for (sent, ask) in &calls {
            let age = ms - sent;
            let outcome = rig.ask_again(&look(ask, at(ms))).outcome;
            if age <= horizon {
                assert_eq!(outcome, Outcome::Repeated, "{age} ms later");
            }
            if age > 4 * horizon {
                assert_eq!(outcome, Outcome::Admitted, "{age} ms later");
            }
        }
        let ask = limits(from_ref(&charge), at(ms));
        assert!(admitted(&rig.ask(&ask)));
        // Only one call is kept: a call that is taken for new is remembered again.
        calls = vec![(ms, ask)];
        if ms % 100 == 0 {
            rig.ask(&limits(from_ref(&charge), at(ms)));
        }
    }
}

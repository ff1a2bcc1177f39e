//! Random steps of isolates that share limits.

use std::time::Duration;

use omnitrade_edge::engine::limit::{Lend, Role};
use proptest::prelude::*;

/// A limit that the isolates share.
#[derive(Debug, Clone)]
pub struct Limit {
    pub permits: u64,
    /// Milliseconds.
    pub window: u64,
    /// The percentage of the quota that some requests leave to others.
    pub kept: u64,
    /// The percentage of the quota that is not lent.
    pub unlent: u64,
    pub shadow: bool,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// How long the step comes after the one before.
    pub wait: Wait,
    pub isolate: u8,
    /// Which limits it is about, or which of the paid requests.
    pub which: u8,
    /// By how many milliseconds the isolate's clock is ahead.
    pub skew: i16,
    pub act: Act,
    pub sending: Sending,
    /// How many milliseconds a late call takes to arrive.
    pub delay: u8,
}

/// How long nothing happens.
#[derive(Debug, Clone, Copy)]
pub enum Wait {
    /// For this many milliseconds.
    For(u64),
    /// Until the last instant at which permits that an isolate was lent can be spent.
    LastOfLease,
    /// Until spent permits leave the window, `by` milliseconds sooner or later.
    AWindow { after: u8, by: i64 },
}

/// What an isolate does.
#[derive(Debug, Clone)]
pub enum Act {
    /// It asks about a request.
    Ask { cost: u64, lend: Lend, role: Role },
    /// It spends permits that were lent.
    Spend { cost: u64 },
    /// It returns permits that became void unspent.
    Return,
    /// It corrects the cost of a request downwards.
    GiveBack { permits: u64 },
    /// It corrects the cost of a request upwards.
    Settle { more: u64 },
    /// It gives permits back without a receipt.
    Refund { permits: u64 },
    /// Redis forgets its scripts.
    ForgetScripts,
    /// Redis loses all keys.
    Lose,
    /// The isolate's clock is set.
    Clock { ahead_ms: i64 },
}

/// How a call is sent. Of all sendings with one id, at most one that is marked as the first is
/// carried out.
#[derive(Debug, Clone, Copy)]
pub enum Sending {
    /// It is sent once, and arrives.
    Once,
    /// It is sent once, and does not arrive.
    Lost,
    /// It is sent again, because the first sending did not arrive.
    FirstLost,
    /// It is sent again, because the first sending was not answered.
    ReplyLost,
    /// It is sent again, but the first sending is answered before the second arrives.
    RepeatLate,
    /// It is sent again, and the first sending arrives after the second.
    FirstLate,
}

fn sending() -> impl Strategy<Value = Sending> {
    prop_oneof![
        14 => Just(Sending::Once),
        1 => Just(Sending::Lost),
        1 => Just(Sending::FirstLost),
        2 => Just(Sending::ReplyLost),
        1 => Just(Sending::RepeatLate),
        2 => Just(Sending::FirstLate),
    ]
}

/// Terms of leases: shorter and longer ones than any that the script allows.
fn term(window: u64) -> impl Strategy<Value = Duration> + Clone {
    let ms = prop_oneof![1 => Just(0), 4 => 0..=window / 3 + 1, 1 => Just(u64::from(u32::MAX))];
    ms.prop_map(Duration::from_millis)
}

fn act(far_off_ms: i64, window: u64) -> impl Strategy<Value = Act> {
    let term = term(window);
    let role = prop_oneof![8 => Just(Role::Enforce), 1 => Just(Role::Peek)];
    let clock = prop_oneof![2 => Just(0), 1 => Just(far_off_ms), 1 => Just(-far_off_ms)];
    prop_oneof![
        24 => (1_u64..4, prop_oneof![Just(0), 1_u64..12], term.clone(), role)
            .prop_map(|(cost, permits, term, role)| Act::Ask { cost, lend: Lend { permits, term, rush: permits * u64::from(cost % 2 == 0) }, role }),
        2 => (1_u64..12, term, prop_oneof![Just(Role::Enforce), Just(Role::Shadow)])
            .prop_map(|(permits, term, role)| Act::Ask { cost: 0, lend: Lend { permits, term, rush: permits / 2 }, role }),
        16 => (1_u64..6).prop_map(|cost| Act::Spend { cost }),
        3 => Just(Act::Return),
        4 => (1_u64..4).prop_map(|permits| Act::GiveBack { permits }),
        2 => (1_u64..4).prop_map(|more| Act::Settle { more }),
        4 => (1_u64..4).prop_map(|permits| Act::Refund { permits }),
        1 => Just(Act::ForgetScripts),
        1 => Just(Act::Lose),
        4 => clock.prop_map(|ahead_ms| Act::Clock { ahead_ms }),
    ]
}

fn limit(window: impl Strategy<Value = u64>) -> impl Strategy<Value = Limit> {
    let permits = prop_oneof![6 => 1_u64..12, 2 => 12_u64..40];
    let share = || prop_oneof![2 => Just(0_u64), 1 => 1_u64..60];
    let shadow = prop::bool::weighted(0.15);
    (permits, window, share(), share(), shadow).prop_map(
        |(permits, window, kept, unlent, shadow)| Limit {
            permits,
            window,
            kept,
            unlent,
            shadow,
        },
    )
}

/// Limits with windows like these, and steps that are up to two of the first window apart. If a
/// clock is set, it is set ahead or back by `far_off_ms`.
pub fn steps(
    window: impl Strategy<Value = u64> + Clone,
    far_off_ms: i64,
) -> impl Strategy<Value = (Vec<Limit>, Vec<Step>)> {
    prop::collection::vec(limit(window), 1..4).prop_flat_map(move |limits| {
        let window = limits[0].window;
        let after = prop_oneof![Just(0), 0_u8..4];
        let wait = prop_oneof![
            6 => Just(Wait::For(0)),
            4 => (0..=10_u64).prop_map(Wait::For),
            8 => (0..=window / 25 + 1).prop_map(Wait::For),
            2 => (0..=window).prop_map(Wait::For),
            1 => (0..=window * 2).prop_map(Wait::For),
            4 => Just(Wait::LastOfLease),
            3 => (after, -1_i64..2).prop_map(|(after, by)| Wait::AWindow { after, by }),
        ];
        let skew =
            prop_oneof![2 => Just(0_i16), 2 => -400_i16..400, 1 => Just(400), 1 => Just(-400)];
        let step = (
            wait,
            0_u8..4,
            any::<u8>(),
            skew,
            act(far_off_ms, window),
            sending(),
            1_u8..200,
        );
        let step = step.prop_map(|(wait, isolate, which, skew, act, sending, delay)| Step {
            wait,
            isolate,
            which,
            skew,
            act,
            sending,
            delay,
        });
        (Just(limits), prop::collection::vec(step, 1..120))
    })
}

//! Clocks that are wrong, compared with Redis' own.
//!
//! What the script promises: if a caller's clock contradicts the stored state, or if the caller
//! asks for it, Redis' clock decides at once. A state that was written by a wrong clock then frees
//! no permits (what it counted at impossible times counts as now) and refuses nobody for longer
//! than a window and a lease. The script cannot notice a clock that is wrong by less than a window:
//! one that is behind, if nobody else asks about the same subject; and one that is ahead, which
//! forgets what would have left the window by then. Therefore the gateway asks for the time now and
//! then.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::store::{Ask, Reply};

use crate::rig::{HORIZON, Rig, admitted, limit, limits, new_id, now, verdict};

const OFF: Duration = Duration::from_secs(300);

/// The longest wait of a refusal in milliseconds: a window, the sub-bucket that is counted whole,
/// and the longest lease that a wrong clock can draw.
const LONGEST_WAIT: u128 = 60_000 + 2_000 + 15_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    Behind,
    Right,
    Ahead,
}

impl Clock {
    fn now(self) -> Timestamp {
        match self {
            Self::Behind => now() - OFF,
            Self::Right => now(),
            Self::Ahead => now() + OFF,
        }
    }

    /// By how much the clock is off Redis' own.
    fn offset(self) -> i64 {
        match self {
            Self::Behind => 300_000,
            Self::Right => 0,
            Self::Ahead => -300_000,
        }
    }

    fn ask(self, rig: &mut Rig, quota: u64) -> Reply {
        rig.ask(&limits(&[limit("a", quota, 60)], self.now()))
    }
}

/// The instant of the newest request that is counted.
fn seen(rig: &mut Rig) -> Timestamp {
    let text = rig.text("a").unwrap();
    Timestamp::from_millis(text.split(' ').nth(2).unwrap().parse().unwrap())
}

#[test]
fn a_caller_that_asks_is_told_how_far_its_clock_is_off() {
    let mut rig = Rig::start();
    for clock in [Clock::Behind, Clock::Right, Clock::Ahead] {
        rig.run::<()>(&["FLUSHALL"]);
        let before = now();
        let mut ask = Ask::new(clock.now(), &new_id(), HORIZON, true);
        ask.limit(&limit("a", 10, 60), 0, &[]);
        let told = rig.ask(&ask).clock_offset.unwrap();
        // The time that passed between the reading of the caller's clock and that of Redis'.
        let passed = i64::try_from(now().since(before).as_millis()).unwrap();
        assert!((0..=passed).contains(&(told - clock.offset())), "{told}");
        let counted_at = seen(&mut rig);
        assert!(before <= counted_at && counted_at <= now(), "{clock:?}");
    }
}

#[test]
fn a_caller_with_nothing_against_it_is_not_told_and_not_charged_for_it() {
    let mut rig = Rig::start();
    for _ in 0..5 {
        assert_eq!(Clock::Right.ask(&mut rig, 10).clock_offset, None);
    }
}

#[test]
fn a_wrong_clock_before_a_right_state_is_found_out_and_changes_nothing() {
    for wrong in [Clock::Behind, Clock::Ahead] {
        let mut rig = Rig::start();
        assert_eq!(verdict(&Clock::Right.ask(&mut rig, 3), 0).remaining, 2);
        let reply = wrong.ask(&mut rig, 3);
        assert!(reply.clock_offset.is_some(), "{wrong:?}");
        assert_eq!(verdict(&reply, 0).remaining, 1, "{wrong:?} frees nothing");
        assert_eq!(verdict(&Clock::Right.ask(&mut rig, 3), 0).remaining, 0);
        assert!(seen(&mut rig) <= now(), "{wrong:?} is not believed");
        // The wait that a refusal tells counts from the true time.
        let refused = wrong.ask(&mut rig, 3);
        assert!(!admitted(&refused), "{wrong:?}");
        assert!(verdict(&refused, 0).retry_after.as_millis() <= LONGEST_WAIT);
        rig.assert_all_expire();
    }
}

#[test]
fn what_a_wrong_clock_counted_alone_is_mended_by_the_first_right_caller() {
    for wrong in [Clock::Behind, Clock::Ahead] {
        let mut rig = Rig::start();
        for left in [2, 1] {
            let reply = wrong.ask(&mut rig, 3);
            assert_eq!(verdict(&reply, 0).remaining, left, "{wrong:?}");
        }
        let reply = Clock::Right.ask(&mut rig, 3);
        assert_eq!(
            verdict(&reply, 0).remaining,
            0,
            "{wrong:?}: nothing is free"
        );
        let counted_at = seen(&mut rig);
        assert!(now().since(counted_at) < OFF / 2, "{wrong:?}: mended");
        assert!(counted_at <= now(), "{wrong:?}: mended");
        let refused = Clock::Right.ask(&mut rig, 3);
        assert!(!admitted(&refused), "{wrong:?}");
        let wait = verdict(&refused, 0).retry_after.as_millis();
        assert!(wait <= LONGEST_WAIT, "{wrong:?} holds off for {wait} ms");
        rig.assert_all_expire();
    }
}

#[test]
fn no_mixture_of_clocks_admits_more_than_the_quota() {
    let clocks = [Clock::Behind, Clock::Right, Clock::Ahead];
    // All orders of six callers with three clocks.
    let rig = &mut Rig::start();
    for mut order in 0..3_usize.pow(6) {
        let mut sequence = Vec::new();
        for _ in 0..6 {
            sequence.push(clocks[order % 3]);
            order /= 3;
        }
        rig.run::<()>(&["FLUSHALL"]);
        let served = sequence.iter().filter(|c| admitted(&c.ask(rig, 3))).count();
        // Six requests at once on a quota of three.
        assert_eq!(served, 3, "{sequence:?}");
        let wait = verdict(&Clock::Right.ask(rig, 3), 0)
            .retry_after
            .as_millis();
        assert!((1..=LONGEST_WAIT).contains(&wait), "{wait}: {sequence:?}");
        rig.assert_all_expire();
    }
}

#[test]
fn clocks_that_differ_by_less_than_the_tolerance_disturb_nobody() {
    let mut rig = Rig::start();
    let half = Duration::from_millis(400);
    for (n, at) in [now() + half, now() - half, now(), now() + half]
        .into_iter()
        .enumerate()
    {
        let reply = rig.ask(&limits(&[limit("a", 10, 60)], at));
        assert_eq!(reply.clock_offset, None);
        assert_eq!(verdict(&reply, 0).remaining, 9 - n as u64);
    }
}

//! Sends the calls of a [`World`], carries them out and checks them against its log.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::sliding_window::{Cut, TOLERANCE};
use omnitrade_edge::engine::limit::{Charge, Role};
use omnitrade_edge::store::{Outcome, Reply};

use crate::steps::{Sending, Step};
use crate::world::{Call, Clocks, Lease, Paid, World};

impl World<'_> {
    /// Sends a call, once or more, and takes the reply to the last one that is waited for.
    pub fn send(&mut self, step: &Step, isolate: usize, mut call: Call) -> Result<(), String> {
        let due = self.store.now + Duration::from_millis(u64::from(step.delay));
        let reply = match step.sending {
            Sending::Once => self.carry_out(&mut call, false)?,
            Sending::Lost => return Ok(()),
            Sending::FirstLost => self.carry_out(&mut call, true)?,
            Sending::ReplyLost => {
                self.carry_out(&mut call, false)?;
                self.carry_out(&mut call, true)?
            }
            Sending::RepeatLate => {
                let reply = self.carry_out(&mut call, false)?;
                self.late.push((due, call.clone(), true));
                reply
            }
            Sending::FirstLate => {
                let reply = self.carry_out(&mut call, true)?;
                self.late.push((due, call.clone(), false));
                reply
            }
        };
        self.take(isolate, &call, &reply);
        Ok(())
    }

    /// Takes the permits that a reply says were charged and lent.
    fn take(&mut self, isolate: usize, call: &Call, reply: &Reply) {
        for ((limit, charge), said) in call.about.iter().zip(&reply.limits) {
            let said = said.as_ref().expect("all limits apply");
            if let Some(granted) = &said.granted {
                let at = self.time_of(call, reply, *limit);
                self.isolates[isolate].leases.push(Lease {
                    limit: *limit,
                    left: granted.permits,
                    receipt: granted.receipt.clone(),
                    asked: call.asked,
                    granted: at,
                    void_after: granted.void_after,
                    lost: false,
                });
            }
            let places = call.places.as_deref().unwrap_or_default();
            let place = places.iter().find(|(of, _)| of == limit);
            if let (Some((_, place)), true) = (place, charge.cost > 0) {
                let charged = reply.outcome == Outcome::Admitted;
                self.paid.push(Paid {
                    limit: *limit,
                    place: *place,
                    receipt: said.receipt.clone().filter(|_| charged),
                });
            }
        }
    }

    /// The time at which the log counts a call that has just charged a limit. If the store found
    /// the caller's clock wrong, it is the time at which the call arrived, however late that was.
    fn time_of(&self, call: &Call, reply: &Reply, limit: usize) -> Timestamp {
        let off = reply.clock_offset.unwrap_or_default().unsigned_abs();
        match self.clocks {
            Clocks::RightOrWrong if Duration::from_millis(off) > TOLERANCE => self.store.now,
            Clocks::RightOrWrong => call.asked,
            Clocks::Alike => self.seen(limit).expect("it is charged"),
        }
    }

    /// The newest time that a state has seen.
    fn seen(&self, limit: usize) -> Option<Timestamp> {
        let text = self.store.text(&format!("l{limit}"))?;
        let seen = text.split(' ').nth(2).unwrap().parse().unwrap();
        Some(Timestamp::from_millis(seen))
    }

    /// Runs the script, and logs what it admits.
    pub fn carry_out(&mut self, call: &mut Call, again: bool) -> Result<Reply, String> {
        let before: Vec<_> = call.about.iter().map(|(n, _)| self.seen(*n)).collect();
        let reply = self.store.ask(&call.ask, again)?;
        if self.clocks == Clocks::Alike {
            let served = before.iter().flatten().max().max(Some(&call.ask.now));
            let served = *served.expect("a time");
            for ((limit, _), before) in call.about.iter().zip(&before) {
                if before.is_some() && self.seen(*limit).is_none() {
                    self.logs[*limit].begin_anew(served)?;
                }
            }
        }
        if reply.outcome == Outcome::Repeated && call.places.is_none() {
            return Err(format!("taken for a repeat: {call:?}"));
        }
        if self.clocks == Clocks::Alike {
            self.hold_to_account(call, &reply)?;
        }
        let first = call.places.is_none() && reply.outcome == Outcome::Admitted;
        let mut places = Vec::new();
        for ((limit, charge), said) in call.about.iter().zip(&reply.limits) {
            let said = said.as_ref().expect("all limits apply");
            let settles = charge.role == Role::Settle;
            let charged = charge.cost > 0 && charge.role != Role::Peek;
            if !first || !charged || !(settles || said.verdict.met) {
                continue;
            }
            let at = self.time_of(call, &reply, *limit);
            let log = &mut self.logs[*limit];
            places.push((
                *limit,
                match settles {
                    true => log.settle(at, charge.cost),
                    false => log.spend(at, charge.cost)?,
                },
            ));
            if !settles && self.clocks == Clocks::Alike {
                self.hold_to_quota(*limit, charge, at)?;
            }
        }
        if first {
            call.places = Some(places);
        }
        Ok(reply)
    }

    /// Checks that what the window holds, settled permits included, is within the ceiling of an
    /// admitted request.
    fn hold_to_quota(&self, limit: usize, charge: &Charge, at: Timestamp) -> Result<(), String> {
        let quota = charge.quota(&charge.bucket(&Default::default()).unwrap());
        let (used, ceiling) = (
            self.logs[limit].used(at),
            quota.without(charge.kept).permits,
        );
        match used <= ceiling {
            true => Ok(()),
            false => Err(format!("admitted to {used} of {ceiling} of limit {limit}")),
        }
    }

    /// Checks that every refusal is due to permits that the store has charged in the last window
    /// and three sub-buckets.
    fn hold_to_account(&mut self, call: &Call, reply: &Reply) -> Result<(), String> {
        let now = self.store.now;
        for ((limit, charge), said) in call.about.iter().zip(&reply.limits) {
            let said = said.as_ref().expect("all limits apply");
            let cut = Cut::of(charge.window);
            let log = &mut self.logs[*limit];
            let quota = charge.quota(&charge.bucket(&Default::default()).unwrap());
            let ceiling = quota.without(charge.kept).permits;
            if !said.verdict.met
                && log.charged(now - Duration::from_secs(1)) + charge.cost <= ceiling
            {
                return Err(format!("refused for nothing: {call:?}: {said:?}"));
            }
            let until =
                |bucket: u64| Timestamp::from_millis((bucket + cut.buckets + 1) * cut.width);
            if let Some(receipt) = &said.receipt {
                log.charge(until(receipt.bucket), charge.cost);
            }
            if let Some(granted) = &said.granted {
                log.charge(until(granted.receipt.bucket), granted.permits);
            }
        }
        Ok(())
    }
}

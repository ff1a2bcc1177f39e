//! Isolates that share limits. They ask, are lent permits and spend them, return what they did not
//! spend, give back, settle, lose replies and send calls again. An exact log holds all that is
//! spent.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Charge, Lend, Receipt, Role};
use omnitrade_edge::store::Ask;

use crate::log::Log;
use crate::rig::{limit_ms, new_id};
use crate::steps::{Act, Limit, Step, Wait};
use crate::virtual_time::Store;

/// How long after its call a repeat can come.
const HORIZON: Duration = Duration::from_millis(300);

/// By which time the log counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clocks {
    /// Clocks differ by less than the tolerance: the log counts a call at the time at which the
    /// store served it.
    Alike,
    /// Clocks are right or far off: the log counts a call at the true time at which it was made.
    RightOrWrong,
}

pub struct World<'a> {
    pub store: &'a mut Store,
    pub clocks: Clocks,
    pub limits: Vec<Limit>,
    pub logs: Vec<Log>,
    pub isolates: Vec<Isolate>,
    /// Permits that were charged in the store and can be given back.
    pub paid: Vec<Paid>,
    /// Calls on their way.
    pub late: Vec<(Timestamp, Call, bool)>,
}

#[derive(Debug, Default)]
pub struct Isolate {
    pub ahead_ms: i64,
    pub leases: Vec<Lease>,
}

#[derive(Debug)]
pub struct Lease {
    pub limit: usize,
    pub left: u64,
    pub receipt: Receipt,
    pub asked: Timestamp,
    /// When it was granted, by the time of the log.
    pub granted: Timestamp,
    pub void_after: Duration,
    /// Whether the state that counts it is lost. If so, permits that are spent of it are not
    /// logged.
    pub lost: bool,
}

/// The permits that a request has paid.
#[derive(Debug)]
pub struct Paid {
    pub limit: usize,
    pub place: usize,
    pub receipt: Option<Receipt>,
}

/// A call of the script, sent once or more.
#[derive(Debug, Clone)]
pub struct Call {
    pub ask: Ask,
    pub asked: Timestamp,
    /// The limits that it asks about, with what it takes of each.
    pub about: Vec<(usize, Charge)>,
    /// Its places in the logs, once it was admitted.
    pub places: Option<Vec<(usize, usize)>>,
}

impl<'a> World<'a> {
    pub fn new(store: &'a mut Store, clocks: Clocks, limits: &[Limit], now: Timestamp) -> Self {
        store.begin(now);
        let log = |limit: &Limit| Log::new(limit.permits, Duration::from_millis(limit.window));
        Self {
            store,
            clocks,
            logs: limits.iter().map(log).collect(),
            limits: limits.to_vec(),
            isolates: (0..4).map(|_| Isolate::default()).collect(),
            paid: Vec::new(),
            late: Vec::new(),
        }
    }

    /// Makes a step. The error says which promise it broke.
    pub fn step(&mut self, step: &Step) -> Result<(), String> {
        let isolate = usize::from(step.isolate) % self.isolates.len();
        let limit = usize::from(step.which) % self.limits.len();
        let until = self.until(step.wait, isolate, limit);
        let ms = until.since(self.store.now).as_millis();
        self.wait(u64::try_from(ms).unwrap())?;
        match step.act {
            Act::Ask { cost, lend, role } => self.request(step, isolate, cost, lend, role),
            Act::Spend { cost } => self.spend(isolate, limit, cost),
            Act::Return => {
                let mut call = self.call(step, isolate);
                for limit in 0..self.limits.len() {
                    let back = self.unspent(isolate, limit);
                    let look = self.charge(limit, 0, Role::Peek);
                    call.ask.limit(&look, 0, &back);
                    call.about.push((limit, look));
                }
                self.send(step, isolate, call)
            }
            Act::GiveBack { permits } => self.give_back(step, isolate, permits),
            Act::Settle { more } => {
                let mut call = self.call(step, isolate);
                let charge = self.charge(limit, more, Role::Settle);
                call.ask.limit(&charge, 0, &[]);
                call.about.push((limit, charge));
                self.send(step, isolate, call)
            }
            Act::Refund { permits } => self.refund(step, isolate, permits),
            Act::ForgetScripts => {
                self.store.forget_scripts();
                Ok(())
            }
            Act::Lose => self.lose(),
            Act::Clock { ahead_ms } => {
                if self.clocks == Clocks::RightOrWrong {
                    self.isolates[isolate].ahead_ms = ahead_ms;
                }
                Ok(())
            }
        }
    }

    /// When a step is made.
    fn until(&self, wait: Wait, isolate: usize, limit: usize) -> Timestamp {
        let now = self.store.now;
        match wait {
            Wait::For(ms) => now + Duration::from_millis(ms),
            Wait::LastOfLease => {
                let leases = self.isolates[isolate].leases.iter();
                let voids = leases.map(|lease| lease.asked + lease.void_after);
                let last = voids.map(|void| void - Duration::from_millis(1)).min();
                last.unwrap_or(now)
            }
            Wait::AWindow { after, by } => {
                let spent = self.logs[limit].latest(usize::from(after));
                let ends = spent.unwrap_or(now) + Duration::from_millis(self.limits[limit].window);
                let ms = ends.as_millis().saturating_add_signed(by);
                Timestamp::from_millis(ms).max(now)
            }
        }
    }

    /// Lets all calls arrive.
    pub fn end(&mut self) -> Result<(), String> {
        self.wait(1_000)
    }

    /// Lets time pass; calls that are on their way arrive in it.
    fn wait(&mut self, ms: u64) -> Result<(), String> {
        let until = self.store.now + Duration::from_millis(ms);
        loop {
            self.late.sort_by_key(|(due, ..)| *due);
            let Some((due, ..)) = self.late.first() else {
                break;
            };
            if *due > until {
                break;
            }
            let (due, mut call, again) = self.late.remove(0);
            self.pass(due);
            // The sender does not wait for it any more.
            self.carry_out(&mut call, again)?;
        }
        self.pass(until);
        Ok(())
    }

    fn pass(&mut self, until: Timestamp) {
        let ms = until.since(self.store.now).as_millis();
        self.store.wait(u64::try_from(ms).unwrap());
    }

    /// All keys are lost, and the log with them. The clock moves on, so that no later call has the
    /// same instant.
    fn lose(&mut self) -> Result<(), String> {
        self.store.flush();
        self.logs.iter_mut().for_each(Log::clear);
        self.paid.clear();
        let leases = self.isolates.iter_mut().flat_map(|i| &mut i.leases);
        leases.for_each(|lease| lease.lost = true);
        // A call that is on its way would create the state anew with the time that it tells, and
        // therefore with the tag of the lost state.
        self.late.clear();
        self.wait(2_001)
    }

    fn charge(&self, limit: usize, cost: u64, role: Role) -> Charge {
        let Limit {
            permits,
            window,
            unlent,
            ..
        } = self.limits[limit];
        Charge {
            cost,
            role,
            unlent,
            ..limit_ms(&format!("l{limit}"), permits, window)
        }
    }

    /// A call that an isolate makes now and that asks about nothing yet.
    fn call(&self, step: &Step, isolate: usize) -> Call {
        let ahead = match self.clocks {
            Clocks::Alike => i64::from(step.skew),
            Clocks::RightOrWrong => self.isolates[isolate].ahead_ms,
        };
        let told = self.store.now.as_millis().saturating_add_signed(ahead);
        Call {
            ask: Ask::new(Timestamp::from_millis(told), &new_id(), HORIZON, false),
            asked: self.store.now,
            about: Vec::new(),
            places: None,
        }
    }

    fn request(
        &mut self,
        step: &Step,
        isolate: usize,
        cost: u64,
        lend: Lend,
        role: Role,
    ) -> Result<(), String> {
        let mut call = self.call(step, isolate);
        for limit in 0..self.limits.len() {
            if limit > 0 && step.which >> limit & 1 == 0 {
                continue;
            }
            let of = self.limits[limit].clone();
            let role = if of.shadow { Role::Shadow } else { role };
            let back = self.unspent(isolate, limit);
            let mut charge = self.charge(limit, cost.min(of.permits), role);
            charge.kept = if step.which >= 128 { of.kept } else { 0 };
            call.ask.limit(&charge, lend, &back);
            call.about.push((limit, charge));
        }
        self.send(step, isolate, call)
    }

    /// The permits of an isolate's leases that became void unspent.
    fn unspent(&mut self, isolate: usize, limit: usize) -> Vec<(Receipt, u64)> {
        let (now, leases) = (self.store.now, &mut self.isolates[isolate].leases);
        let void =
            |lease: &Lease| lease.limit == limit && now.since(lease.asked) >= lease.void_after;
        let gone = leases.extract_if(.., |lease| void(lease));
        gone.filter(|lease| lease.left > 0)
            .map(|lease| (lease.receipt, lease.left))
            .collect()
    }

    /// Spends lent permits of any leases that are not void.
    fn spend(&mut self, isolate: usize, limit: usize, cost: u64) -> Result<(), String> {
        let now = self.store.now;
        let mut owed = cost;
        for lease in &mut self.isolates[isolate].leases {
            let passed = now.since(lease.asked);
            if lease.limit != limit || passed >= lease.void_after {
                continue;
            }
            let taken = owed.min(lease.left);
            lease.left -= taken;
            owed -= taken;
            if taken > 0 && !lease.lost {
                let at = match self.clocks {
                    Clocks::Alike => lease.granted + passed,
                    Clocks::RightOrWrong => now,
                };
                let place = self.logs[limit].spend(at, taken)?;
                let receipt = Some(lease.receipt.clone());
                self.paid.push(Paid {
                    limit,
                    place,
                    receipt,
                });
            }
        }
        Ok(())
    }

    /// Gives back what one request took, by its receipt.
    fn give_back(&mut self, step: &Step, isolate: usize, permits: u64) -> Result<(), String> {
        let Some(n) = usize::from(step.which).checked_rem(self.paid.len()) else {
            return Ok(());
        };
        let Paid {
            limit,
            place,
            receipt: Some(ref receipt),
        } = self.paid[n]
        else {
            return Ok(());
        };
        let permits = permits.min(self.logs[limit].left(place).1);
        let back = [(receipt.clone(), permits)];
        let mut call = self.call(step, isolate);
        let charge = self.charge(limit, 0, Role::Settle);
        call.ask.limit(&charge, 0, &back);
        call.about.push((limit, charge));
        self.logs[limit].give_back(place, permits);
        self.send(step, isolate, call)
    }

    /// Gives back as much as one request took in the last window, without a receipt.
    fn refund(&mut self, step: &Step, isolate: usize, permits: u64) -> Result<(), String> {
        let Some(n) = usize::from(step.which).checked_rem(self.paid.len()) else {
            return Ok(());
        };
        let Paid { limit, place, .. } = self.paid[n];
        let (at, left) = self.logs[limit].left(place);
        let skew = Duration::from_millis(1_000);
        if self.store.now + skew > at + Duration::from_millis(self.limits[limit].window) {
            return Ok(());
        }
        let permits = permits.min(left);
        let mut call = self.call(step, isolate);
        let look = self.charge(limit, 0, Role::Peek);
        call.ask.refund(&look, permits);
        call.about.push((limit, look));
        self.logs[limit].give_back(place, permits);
        self.send(step, isolate, call)
    }
}

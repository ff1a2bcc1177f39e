//! The exact log: every permit that was spent, and when.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;

/// The log of one state.
#[derive(Debug)]
pub struct Log {
    quota: u64,
    window: Duration,
    spent: Vec<Spent>,
    /// All that the store has ever counted: until when at most, and how many permits.
    charged: Vec<(Timestamp, u64)>,
}

/// Permits that were spent at one instant.
#[derive(Debug, Clone, Copy)]
struct Spent {
    at: Timestamp,
    permits: u64,
    /// Whether they were charged without a check of what was left.
    settled: bool,
}

impl Log {
    pub fn new(quota: u64, window: Duration) -> Self {
        Self {
            quota,
            window,
            spent: Vec::new(),
            charged: Vec::new(),
        }
    }

    /// Empties the log.
    pub fn clear(&mut self) {
        self.spent.clear();
        self.charged.clear();
    }

    /// Logs that permits were spent, and returns the place in the log. The error names a window
    /// that now holds too much; both of its ends are inclusive.
    pub fn spend(&mut self, at: Timestamp, permits: u64) -> Result<usize, String> {
        self.spent.push(Spent {
            at,
            permits,
            settled: false,
        });
        let ends = self.spent.iter().map(|spent| spent.at);
        for end in ends.filter(|end| *end >= at && *end <= at + self.window) {
            let inside = self.inside(end).filter(|spent| !spent.settled);
            let held: u64 = inside.map(|spent| spent.permits).sum();
            if held > self.quota {
                let (window, quota) = (self.window, self.quota);
                let all: Vec<_> = self.inside(end).collect();
                return Err(format!(
                    "{window:?} up to {end:?} hold {held} of {quota}: {all:?}"
                ));
            }
        }
        Ok(self.spent.len() - 1)
    }

    /// Logs permits that were charged without a check. They do not count against the quota of any
    /// window.
    pub fn settle(&mut self, at: Timestamp, permits: u64) -> usize {
        self.spent.push(Spent {
            at,
            permits,
            settled: true,
        });
        self.spent.len() - 1
    }

    /// Logs that up to `permits` of the permits at `place` were given back.
    pub fn give_back(&mut self, place: usize, permits: u64) {
        let left = &mut self.spent[place].permits;
        *left = left.saturating_sub(permits);
    }

    /// The store has lost its state and the time that it had seen. The error says what it should
    /// still have counted.
    pub fn begin_anew(&mut self, now: Timestamp) -> Result<(), String> {
        match self.used(now) {
            0 => {
                self.spent.iter_mut().for_each(|spent| spent.permits = 0);
                Ok(())
            }
            used => Err(format!("{used} permits are forgotten at {now:?}")),
        }
    }

    /// When the `n`th entry from the last was spent, without entries that were given back in full.
    pub fn latest(&self, n: usize) -> Option<Timestamp> {
        let spent = self.spent.iter().filter(|spent| spent.permits > 0);
        let mut times: Vec<_> = spent.map(|spent| spent.at).collect();
        times.sort_unstable();
        times.into_iter().rev().nth(n)
    }

    /// When the permits of a place were spent, and how many of them were not given back.
    pub fn left(&self, place: usize) -> (Timestamp, u64) {
        let spent = self.spent[place];
        (spent.at, spent.permits)
    }

    /// How many permits the window that ends at `end` holds, settled or not.
    pub fn used(&self, end: Timestamp) -> u64 {
        self.inside(end).map(|spent| spent.permits).sum()
    }

    fn inside(&self, end: Timestamp) -> impl Iterator<Item = &Spent> {
        let window = self.window;
        let inside = move |spent: &&Spent| spent.at <= end && spent.at + window >= end;
        self.spent.iter().filter(inside)
    }

    /// Logs that the store counts these permits until `until`.
    pub fn charge(&mut self, until: Timestamp, permits: u64) {
        self.charged.push((until, permits));
    }

    /// The most that the store can still count.
    pub fn charged(&self, now: Timestamp) -> u64 {
        let live = self.charged.iter().filter(|(until, _)| *until > now);
        live.map(|(_, permits)| permits).sum()
    }
}

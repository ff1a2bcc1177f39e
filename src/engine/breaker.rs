//! The circuit breaker of the store. It is plain data with deadlines, so a request that is dropped
//! halfway cannot block others.

use std::time::Duration;

use crate::clock::Timestamp;

/// The number of consecutive failures that open the breaker.
const FAILURES: u32 = 3;
/// How long the breaker stays open at first. Each failed probe doubles the time, up to the longest.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(2);

/// The breaker's state, with its deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Timestamp,
        wait: Duration,
    },
    HalfOpen {
        probe_until: Timestamp,
        wait: Duration,
    },
}

/// The breaker's state as `/__edge/health` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Calls go through.
    Closed,
    /// Calls are not made.
    Open,
    /// One call is under way as a probe.
    HalfOpen,
}

impl Status {
    /// `closed`, `open` or `half-open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

/// Stops calls to a failing store, and now and then lets one call through as a probe.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    /// How long a probe may take before it counts as lost.
    patience: Duration,
}

impl Breaker {
    /// A closed breaker. `call_timeout` is the deadline of one store call; a probe that has not
    /// reported after twice this time counts as lost.
    pub const fn new(call_timeout: Duration) -> Self {
        Self {
            state: State::Closed { failures: 0 },
            patience: call_timeout.saturating_mul(2),
        }
    }

    /// Whether a call may be made now. If so, the caller must report its outcome with
    /// [`succeeded`](Self::succeeded) or [`failed`](Self::failed).
    pub fn allows(&mut self, now: Timestamp) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until, wait }
            | State::HalfOpen {
                probe_until: until,
                wait,
            } => {
                // A clock that went back must not keep the breaker open.
                let overdue = now >= until || until.since(now) > LONGEST + self.patience;
                if overdue {
                    self.state = State::HalfOpen {
                        probe_until: now + self.patience,
                        wait,
                    };
                }
                overdue
            }
        }
    }

    /// Reports that a call was answered: the breaker closes.
    pub const fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// Reports that a call failed. `lasting` means that the failure is not transient (a rejected
    /// token, a missing right, an exhausted plan or a wrong setting): one such failure opens the
    /// breaker.
    pub fn failed(&mut self, now: Timestamp, lasting: bool) {
        self.state = match self.state {
            State::Closed { failures } if !lasting && failures + 1 < FAILURES => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } => State::Open {
                until: now + SHORTEST,
                wait: SHORTEST,
            },
            State::HalfOpen { wait, .. } => {
                let wait = wait.saturating_mul(2).min(LONGEST);
                State::Open {
                    until: now + wait,
                    wait,
                }
            }
            // The call was made before the breaker opened, so its failure says nothing new.
            open @ State::Open { .. } => open,
        };
    }

    /// The breaker's state, without its deadlines.
    pub fn status(&self) -> Status {
        match self.state {
            State::Closed { .. } => Status::Closed,
            State::Open { .. } => Status::Open,
            State::HalfOpen { .. } => Status::HalfOpen,
        }
    }

    /// How long until the next call may be tried; zero while the breaker is closed.
    pub fn retry_after(&self, now: Timestamp) -> Duration {
        match self.state {
            State::Closed { .. } => Duration::ZERO,
            State::Open { until, .. }
            | State::HalfOpen {
                probe_until: until, ..
            } => until.since(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(150);

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new(TIMEOUT);
        for _ in 0..FAILURES {
            assert!(breaker.allows(at(0)));
            breaker.failed(at(0), false);
        }
        breaker
    }

    #[test]
    fn opens_after_failures_in_a_row_and_not_before() {
        let mut breaker = Breaker::new(TIMEOUT);
        breaker.failed(at(0), false);
        breaker.failed(at(0), false);
        breaker.succeeded();
        breaker.failed(at(0), false);
        breaker.failed(at(0), false);
        assert_eq!(breaker.status(), Status::Closed);
        breaker.failed(at(0), false);
        assert_eq!(breaker.status(), Status::Open);
        assert!(!breaker.allows(at(499)));
    }

    #[test]
    fn a_lasting_failure_opens_at_once() {
        let mut breaker = Breaker::new(TIMEOUT);
        breaker.failed(at(0), true);
        assert_eq!(breaker.status(), Status::Open);
    }

    #[test]
    fn one_probe_at_a_time_and_a_lost_one_is_replaced() {
        let mut breaker = opened();
        assert!(breaker.allows(at(500)));
        assert_eq!(breaker.status(), Status::HalfOpen);
        assert!(!breaker.allows(at(500)));
        assert!(!breaker.allows(at(799)));
        assert!(breaker.allows(at(800)), "the first probe is overdue");
        breaker.succeeded();
        assert!(breaker.allows(at(801)) && breaker.allows(at(801)));
    }

    #[test]
    fn waits_longer_after_each_failed_probe_up_to_the_longest() {
        let mut breaker = opened();
        let mut now = 500;
        for wait in [1_000, 2_000, 2_000] {
            assert!(breaker.allows(at(now)));
            breaker.failed(at(now), false);
            assert_eq!(breaker.retry_after(at(now)), Duration::from_millis(wait));
            assert!(!breaker.allows(at(now + wait - 1)));
            now += wait;
        }
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_keep_it_open() {
        let mut breaker = Breaker::new(TIMEOUT);
        breaker.failed(at(10_000_000), true);
        assert!(breaker.allows(at(0)));
    }
}

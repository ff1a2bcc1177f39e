//! What is searched: each time two isolates or one, a few requests, and some of what can go wrong.

use crate::bounds::{Bounds, NOTHING, Sight, Tick};
use crate::state::Left;

const fn base(name: &'static str, large: bool) -> Bounds {
    Bounds {
        name,
        isolates: 2,
        quota: 2,
        leased: false,
        costs: &[1],
        timeout: if large { 10 } else { 5 },
        sequential: false,
        pauses: false,
        haunted: true,
        kinds: &[],
        steps: &[],
        left: NOTHING,
        shows: &[],
    }
}

pub fn exact(large: bool) -> Bounds {
    Bounds {
        shows: &[Sight::Full, Sight::FullAgain, Sight::Waits],
        kinds: &[Tick::SubBucket, Tick::EndOfWindow, Tick::Leaves],
        left: Left {
            requests: if large { 4 } else { 3 },
            ticks: 2,
            ..NOTHING
        },
        ..base("exact", large)
    }
}

pub fn repeats(large: bool) -> Bounds {
    Bounds {
        shows: &[Sight::Full, Sight::Repeated],
        kinds: if large {
            &[Tick::SubBucket, Tick::Leaves]
        } else {
            &[]
        },
        left: Left {
            requests: 3,
            ticks: large.into(),
            breaks: if large { 2 } else { 1 },
            ..NOTHING
        },
        ..base("repeats", large)
    }
}

pub fn crowd(large: bool) -> Bounds {
    Bounds {
        shows: &[Sight::Full, Sight::Waits, Sight::Lent],
        isolates: 1,
        quota: 3,
        timeout: 5,
        pauses: large,
        left: Left {
            requests: if large { 5 } else { 4 },
            ..NOTHING
        },
        ..base("crowd", large)
    }
}

pub fn leased(large: bool) -> Bounds {
    Bounds {
        shows: &[Sight::Full, Sight::Lent, Sight::Returned],
        leased: true,
        quota: 25,
        costs: &[1, 23],
        kinds: &[Tick::EndOfLease, Tick::Void, Tick::EndOfWindow],
        left: Left {
            requests: 3,
            ticks: if large { 3 } else { 1 },
            sweeps: 1,
            ..NOTHING
        },
        ..base("leased", large)
    }
}

pub fn failing(large: bool) -> Bounds {
    Bounds {
        shows: &[Sight::Overfull, Sight::Told],
        left: Left {
            requests: 3,
            failures: if large { 3 } else { 2 },
            breaks: large.into(),
            ..NOTHING
        },
        ..base("failing", large)
    }
}

pub fn outage(large: bool) -> Bounds {
    Bounds {
        shows: &[Sight::Overfull, Sight::Told],
        sequential: true,
        haunted: false,
        kinds: &[Tick::For(600), Tick::EndOfWindow],
        left: Left {
            requests: if large { 5 } else { 4 },
            failures: 3,
            ticks: if large { 2 } else { 1 },
            sweeps: 1,
            ..NOTHING
        },
        ..base("outage", large)
    }
}

pub fn flapping(large: bool) -> Bounds {
    Bounds {
        shows: &[Sight::Full, Sight::Told],
        isolates: 1,
        quota: 4,
        sequential: true,
        left: Left {
            requests: if large { 8 } else { 5 },
            failures: if large { 4 } else { 3 },
            breaks: if large { 2 } else { 1 },
            ..NOTHING
        },
        ..base("flapping", large)
    }
}

pub fn flush(large: bool) -> Bounds {
    Bounds {
        shows: &[Sight::Overfull],
        leased: large,
        left: Left {
            requests: if large { 4 } else { 3 },
            flushes: 1,
            ..NOTHING
        },
        ..base("flush", large)
    }
}

pub fn clocks(large: bool) -> Bounds {
    Bounds {
        shows: &[Sight::Full],
        steps: if large { &[-5_000, 600] } else { &[-600, 600] },
        kinds: if large {
            &[Tick::EndOfWindow, Tick::Leaves]
        } else {
            &[Tick::EndOfWindow]
        },
        left: Left {
            requests: 3,
            steps: if large { 2 } else { 1 },
            ticks: 1,
            ..NOTHING
        },
        ..base("clocks", large)
    }
}

pub fn leased_clocks(large: bool) -> Bounds {
    Bounds {
        shows: &[Sight::Full, Sight::Lent],
        isolates: if large { 2 } else { 1 },
        leased: true,
        sequential: !large,
        quota: 25,
        costs: &[1, 25],
        steps: &[-600, 600],
        kinds: &[Tick::EndOfLease, Tick::Leaves],
        left: Left {
            requests: 3,
            steps: 1,
            ticks: 2,
            ..NOTHING
        },
        ..base("leased clocks", large)
    }
}

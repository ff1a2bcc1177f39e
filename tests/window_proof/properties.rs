//! What must hold in every state.

use omnitrade_edge::clock::millis;
use omnitrade_edge::engine::limit::crowd::Patience;
use stateright::{Model, Property};

use crate::bounds::{Fault, Sight};
use crate::events::{Event, Proof};
use crate::recovery;
use crate::state::{From, Pass, World};

pub const WINDOW: &str = "no window holds more than the quota, and one more for each flush";
pub const SHARE: &str = "no isolate gives more than its share in a window by itself";
pub const ALONE: &str =
    "an isolate gives one who asks one by one no more than the quota, whatever fails";
pub const ONCE: &str = "no permit is given to two requests";
pub const COUNTED: &str = "a call that is repeated is counted once";
pub const TOLD_ONCE: &str = "what was given is told once";
pub const TOLD: &str = "what was given is told when the store answers again";
pub const PATIENT: &str = "nobody waits for longer than two calls take";
pub const SERVED: &str = "who comes back when it was told to passes";

impl Model for Proof {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        self.events(world, events);
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        self.happen(&mut next, event).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut all = vec![
            Property::always(WINDOW, |proof: &Self, world: &World| {
                let most = proof.bounds.quota * (1 + world.seen.flushes);
                world.fullest(proof.sure_window(world), |pass| pass.from != From::Isolate) <= most
            }),
            Property::always(SHARE, |proof: &Self, world: &World| {
                (0..proof.bounds.isolates).all(|place| {
                    let own = |pass: &Pass| pass.from == From::Isolate && pass.isolate == place;
                    world.fullest(proof.sure_window(world), own) <= proof.bounds.quota.div_ceil(2)
                })
            }),
            Property::always(ALONE, |proof: &Self, world: &World| {
                let is_alone = proof.bounds.isolates == 1 && proof.bounds.sequential;
                !is_alone || world.fullest(proof.sure_window(world), |_| true) <= proof.bounds.quota
            }),
            Property::always(ONCE, |_, world: &World| {
                world.seen.each.iter().enumerate().all(|(place, account)| {
                    let sum = |from| {
                        let passes = world.seen.passes.iter();
                        let passes =
                            passes.filter(|pass| pass.isolate == place && pass.from == from);
                        passes.map(|pass| pass.permits).sum::<u64>()
                    };
                    sum(From::Store) <= account.charged
                        && sum(From::Lent) + account.returned <= account.lent
                })
            }),
            Property::always(COUNTED, |_, world: &World| !world.seen.counted_twice),
            Property::always(TOLD_ONCE, |_, world: &World| {
                let mut accounts = world.seen.each.iter();
                accounts.all(|account| account.told - account.told_unknown <= account.given)
            }),
            Property::always(PATIENT, |proof: &Self, world: &World| {
                world.seen.looks <= proof.most_looks()
            }),
            Property::always(TOLD, |proof: &Self, world: &World| {
                !proof.is_over(world) || recovery::tells(proof, world)
            }),
            Property::always(SERVED, |proof: &Self, world: &World| {
                !proof.is_over(world) || recovery::serves(proof, world)
            }),
        ];
        all.extend(self.bounds.shows.iter().map(|sight| sight.property()));
        all
    }
}

impl Sight {
    /// It is seen in some state.
    fn property(self) -> Property<Proof> {
        match self {
            Self::Full => {
                Property::sometimes("a window is full", |proof: &Proof, world: &World| {
                    world.fullest(proof.window(), |_| true) == proof.bounds.quota
                })
            }
            Self::FullAgain => {
                Property::sometimes("the next window is full", |proof: &Proof, world: &World| {
                    let passes = world
                        .seen
                        .passes
                        .iter()
                        .filter(|pass| pass.at >= proof.window());
                    passes.map(|pass| pass.permits).sum::<u64>() == proof.bounds.quota
                })
            }
            Self::Waits => Property::sometimes("a request waits", |_, world: &World| {
                !world.waiting.is_empty()
            }),
            Self::Lent => Property::sometimes("lent permits are spent", |_, world: &World| {
                world.seen.passes.iter().any(|pass| pass.from == From::Lent)
            }),
            Self::Returned => Property::sometimes("permits go back", |_, world: &World| {
                world.seen.each.iter().any(|account| account.returned > 0)
            }),
            Self::Told => Property::sometimes("a debt is told", |_, world: &World| {
                world
                    .seen
                    .each
                    .iter()
                    .any(|account| account.told > account.told_unknown)
            }),
            Self::Overfull => Property::sometimes(
                "isolates give beside the store",
                |proof: &Proof, world: &World| {
                    world.fullest(proof.window(), |_| true) > proof.bounds.quota
                },
            ),
            Self::Repeated => Property::sometimes("a repeat is recognised", |_, world: &World| {
                world
                    .calls
                    .values()
                    .any(|call| call.again && call.outcome() == Some(3))
            }),
        }
    }
}

impl Proof {
    /// The interval that is sure to hold no more than a window: clocks differ by the rest.
    fn sure_window(&self, world: &World) -> u64 {
        if self.fault == Some(Fault::AllowsForNothing) {
            return self.window();
        }
        let apart = world.seen.fastest.abs_diff(world.seen.slowest);
        self.window()
            .saturating_sub(apart + world.seen.slowest_call)
    }

    /// How often a request looks at most, until it has waited for as long as two calls take.
    fn most_looks(&self) -> u8 {
        let (mut patience, mut looks) = (Patience::default(), 1);
        while millis(patience.waited()) < 2 * self.bounds.timeout {
            patience = patience.after(patience.pause());
            looks += 1;
        }
        looks
    }

    /// Whether nothing happens any more.
    fn is_over(&self, world: &World) -> bool {
        let left = &world.left;
        let more = left.requests + left.ticks + left.sweeps;
        more == 0 && world.is_answered() && world.calls.is_empty()
    }
}

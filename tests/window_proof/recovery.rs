//! What follows when nothing fails any more.

use omnitrade_edge::clock::millis;

use crate::bounds::NOTHING;
use crate::events::{Event, Proof};
use crate::isolate::Outcome;
use crate::state::{From, Left, Place, World};

/// The breaker asks again after at most so long, in milliseconds.
const BREAKER: u64 = 2_500;

/// How often a request asks at most: what other isolates gave may turn up late.
const TRIES: u32 = 3;

/// Debts are told after at most so long, by a call of another client.
const DEBTS: u64 = 1_001;

/// Whether every isolate tells the store all that it has given, as soon as that answers again.
pub fn tells(proof: &Proof, world: &World) -> bool {
    (0..proof.bounds.isolates).all(|place| {
        let given = |world: &World| {
            let own = world.seen.passes.iter();
            let own = own.filter(|pass| pass.isolate == place && pass.from == From::Isolate);
            own.filter(|pass| pass.at + proof.window() > world.now)
                .map(|pass| pass.permits)
                .sum::<u64>()
        };
        let mut world = at_peace(world);
        if given(&world) == 0 {
            return true;
        }
        world.now += BREAKER;
        ask(proof, &mut world, place);
        for _ in 0..2 {
            world.now += DEBTS;
            proof.happen(&mut world, Event::Sweeps(place));
            proof.settle(&mut world);
        }
        world.seen.each[place].told >= given(&world)
    })
}

/// Whether a request passes, in each isolate, if it comes back when it is told to. The store
/// decides about it.
pub fn serves(proof: &Proof, world: &World) -> bool {
    (0..proof.bounds.isolates).all(|place| {
        let mut world = at_peace(world);
        world.now += BREAKER;
        for _ in 0..TRIES {
            let outcome = ask(proof, &mut world, place);
            if outcome.passes || outcome.locally {
                return !outcome.locally;
            }
            world.now += millis(outcome.retry_after);
        }
        false
    })
}

/// The same world, in which nothing more fails.
fn at_peace(world: &World) -> World {
    let left = Left {
        requests: u8::MAX,
        sweeps: u8::MAX,
        ..NOTHING
    };
    World {
        left,
        ..world.clone()
    }
}

/// How one more request is decided.
fn ask(proof: &Proof, world: &mut World, place: Place) -> Outcome {
    proof.happen(world, Event::Comes(place, 1));
    proof.settle(world);
    world.latest.0.expect("a request that is decided")
}

//! The commands that a call is billed for. Commands inside a script count too.

use std::collections::BTreeMap;

use omnitrade_edge::engine::limit::Role;
use omnitrade_edge::store::Ask;

use crate::rig::{HORIZON, Rig, limit, limits, new_id, now, with_entry};

/// The commands that one call of the script runs.
fn cost(rig: &mut Rig, ask: &Ask) -> BTreeMap<String, u64> {
    rig.count_anew();
    rig.ask(ask);
    rig.counted()
}

fn bill<const N: usize>(commands: [(&str, u64); N]) -> BTreeMap<String, u64> {
    let owned = commands.map(|(name, calls)| (name.to_owned(), calls));
    owned.into_iter().collect()
}

#[test]
fn a_check_costs_three_commands_and_one_more_for_each_further_limit() {
    let mut rig = Rig::start();
    let all = ["a", "b", "c", "d"].map(|key| limit(key, 100, 60));
    for (n, sets) in [(1, 1), (2, 2), (4, 4)] {
        let expected = bill([("evalsha", 1), ("mget", 1), ("set", sets)]);
        // First on an empty store, then on the stored state.
        for _ in 0..3 {
            assert_eq!(cost(&mut rig, &limits(&all[..n], now())), expected);
        }
    }
}

#[test]
fn a_refusal_costs_two_commands() {
    let mut rig = Rig::start();
    let both = [limit("a", 100, 60), limit("b", 1, 60)];
    rig.ask(&limits(&both, now()));
    let expected = bill([("evalsha", 1), ("mget", 1)]);
    assert_eq!(cost(&mut rig, &limits(&both, now())), expected);
    assert_eq!(cost(&mut rig, &with_entry(&both, now())), expected);
}

#[test]
fn the_cache_is_read_for_nothing_and_a_lease_costs_one_command() {
    let mut rig = Rig::start();
    let one = [limit("a", 100, 60)];
    let first = cost(&mut rig, &with_entry(&one, now()));
    assert_eq!(first, bill([("evalsha", 1), ("mget", 1), ("set", 2)]));
    let next = cost(&mut rig, &with_entry(&one, now()));
    assert_eq!(next, bill([("evalsha", 1), ("mget", 1), ("set", 1)]));
    let cache_alone = cost(&mut rig, &with_entry(&[], now()));
    assert_eq!(cache_alone, bill([("evalsha", 1), ("mget", 1)]));
}

#[test]
fn the_time_costs_one_command_and_only_where_it_is_asked_for() {
    let mut rig = Rig::start();
    let ask = {
        let mut ask = Ask::new(now(), &new_id(), HORIZON, true);
        ask.limit(&limit("a", 100, 60), 0, &[]);
        ask
    };
    let expected = bill([("evalsha", 1), ("mget", 1), ("set", 1), ("time", 1)]);
    assert_eq!(cost(&mut rig, &ask), expected);
}

#[test]
fn a_limit_in_shadow_that_is_not_met_is_not_charged() {
    let mut rig = Rig::start();
    let mut shadow = limit("a", 1, 60);
    shadow.role = Role::Shadow;
    let both = [shadow, limit("b", 100, 60)];
    rig.ask(&limits(&both, now()));
    let stored = rig.text("a");
    let expected = bill([("evalsha", 1), ("mget", 1), ("set", 1)]);
    assert_eq!(cost(&mut rig, &limits(&both, now())), expected);
    assert_eq!(rig.text("a"), stored);
}

//! An order of answers in which a permit was once left lying.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::crowd::Patience;
use omnitrade_edge::limiter::{Asking, Limits, Recalled, Rule, Taking};
use omnitrade_edge::redis::Value;

use crate::model::ModelStore;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const TIMEOUT: Duration = Duration::from_millis(150);

struct World {
    limits: Limits,
    store: ModelStore,
    rule: Rule,
}

impl World {
    /// One more request looks whether memory decides. `None`: it does not wait.
    fn recall(&mut self, patience: Option<Patience>) -> Recalled {
        let taking = Taking {
            rule: &self.rule,
            key: "k",
            cost: 1,
            quota: None,
        };
        self.limits.recall(&[taking], patience, NOW)
    }

    fn asks(&mut self, patience: Option<Patience>) -> Box<Asking> {
        match self.recall(patience) {
            Recalled::Ask(asking) => asking,
            other => panic!("{other:?}"),
        }
    }

    fn waits(&mut self) -> Patience {
        match self.recall(Some(Patience::default())) {
            Recalled::Wait(_, patience) => patience,
            other => panic!("{other:?}"),
        }
    }

    fn runs(&mut self, asking: &Asking) -> Value {
        self.store
            .call_again(&asking.ask.keys, &asking.ask.args, NOW, false)
    }

    /// Whether the request of this call passes.
    fn passes(&mut self, asking: Box<Asking>) -> bool {
        let reply = self.runs(&asking);
        self.limits.answered(*asking, Ok(reply), NOW).passes()
    }
}

#[test]
fn a_permit_whose_answer_comes_after_a_refusal_is_spent() {
    let mut world = World {
        limits: Limits::new(TIMEOUT, 1),
        store: ModelStore::default(),
        rule: Rule::new(4, Duration::from_secs(60)),
    };
    let first = world.asks(Some(Patience::default()));
    let second = world.waits();
    assert!(world.passes(first));
    let own = world.asks(Some(second));
    let (third, fourth) = (world.waits(), world.waits());
    assert!(world.passes(own));
    // The third takes the last but one, and is lent the last for the fourth.
    let third = world.asks(Some(third));
    let late = world.runs(&third);
    let fifth = world.asks(None);
    assert!(!world.passes(fifth), "nothing is left");
    assert!(world.limits.answered(*third, Ok(late), NOW).passes());
    match world.recall(Some(fourth)) {
        Recalled::Decided(decided) => assert!(decided.passes(), "it was lent for this one"),
        other => panic!("{other:?}"),
    }
}

//! What was taken of the limits of one request, and how that is corrected afterwards.

use std::sync::Arc;

#[cfg(feature = "tower")]
use crate::clock::Timestamp;
use crate::engine::limit::crowd::Patience;
#[cfg(feature = "tower")]
use crate::engine::limit_problem::LimitProblem;
use crate::redis::Place;
use crate::store::ADMIT;

use super::check::settle::Work;
use super::counter::Counter;
use super::limited::{All, Limited, Pending};
use super::limits::{Decided, Recalled, Taking};

/// What a request wants of one limit.
#[derive(Debug)]
pub(crate) struct Want<'a> {
    pub(super) counter: &'a Arc<Counter>,
    /// The key of the state.
    pub(super) key: String,
    /// Permits.
    pub(super) cost: u64,
    /// Permits in a window, in place of the rule's.
    pub(super) quota: Option<u64>,
}

/// The limits of a request that was decided.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) all: All,
    /// If the request was refused, the last one refuses, and nothing is charged to the others.
    #[cfg_attr(
        not(feature = "tower"),
        expect(dead_code, reason = "only a layer corrects what was charged")
    )]
    parts: Vec<Part>,
}

/// Those of its limits that share their memory, so that they were decided together.
#[derive(Debug)]
struct Part {
    counter: Arc<Counter>,
    decided: Decided,
    /// The positions of its limits among all of the request.
    places: Vec<usize>,
    /// Calls that no runtime makes.
    #[cfg(feature = "tower")]
    left: Vec<Pending>,
}

/// Takes from all subjects or from none, if all of their limiters share a memory that suffices for
/// it. `None`: nothing has happened, and [`take_all`] has to be asked.
pub(crate) fn take_at_once(wants: &[Want<'_>]) -> Option<Taken> {
    let counter = wants.first()?.counter;
    let elsewhere = |want: &Want<'_>| !counter.shares_with(want.counter);
    if wants.iter().any(elsewhere) {
        return None;
    }
    let takings: Vec<_> = wants.iter().map(Want::taking).collect();
    let recalled = counter.limits().recall_at_once(&takings, counter.now())?;
    let Recalled::Decided(decided) = recalled else {
        // It has said that memory suffices.
        return None;
    };
    let mut results = wants.iter().map(|_| None).collect::<Vec<_>>();
    let part = Part::new(decided, wants.iter().enumerate(), &mut results)?;
    Some(Taken::new(vec![part], results))
}

/// Takes from all subjects or from none, whatever their limiters.
pub(crate) async fn take_all(wants: &[Want<'_>]) -> Taken {
    let mut results = wants.iter().map(|_| None).collect::<Vec<_>>();
    let mut parts: Vec<Part> = Vec::new();
    for group in groups(wants) {
        let Some(decided) = decide(&group).await else {
            continue;
        };
        let passes = decided.passes();
        if !passes {
            for earlier in &mut parts {
                earlier.give_back(&mut results).await;
            }
        }
        parts.extend(Part::new(decided, group.into_iter(), &mut results));
        if !passes {
            break;
        }
    }
    // Those that were not asked any more.
    for (result, want) in results.iter_mut().zip(wants) {
        if result.is_none() {
            let looked = want.counter.peek(want.taking()).await;
            *result = Some(looked.unwrap_or_else(|_| want.counter.unlimited()));
        }
    }
    Taken::new(parts, results)
}

/// The wants and their positions, those together whose limiters share their memory.
fn groups<'s, 'a>(wants: &'s [Want<'a>]) -> Vec<Vec<(usize, &'s Want<'a>)>> {
    let mut groups: Vec<Vec<(usize, &Want<'a>)>> = Vec::new();
    for (place, want) in wants.iter().enumerate() {
        let shares = |group: &&mut Vec<(usize, &Want<'a>)>| {
            let first = group.first();
            first.is_some_and(|(_, first)| first.counter.shares_with(want.counter))
        };
        match groups.iter_mut().find(shares) {
            Some(group) => group.push((place, want)),
            None => groups.push(vec![(place, want)]),
        }
    }
    groups
}

/// Takes from all subjects of a group or from none. `None`: nothing limits.
async fn decide(group: &[(usize, &Want<'_>)]) -> Option<Decided> {
    let (_, first) = group.first()?;
    let counter = first.counter;
    let takings: Vec<_> = group.iter().map(|(_, want)| want.taking()).collect();
    let mut patience = Patience::default();
    let recalled = loop {
        let now = counter.now();
        let recalled = counter.limits().recall(&takings, Some(patience), now);
        let Recalled::Wait(pause, after) = recalled else {
            break recalled;
        };
        counter.sleep(pause).await;
        patience = after;
    };
    match (recalled, &counter.place) {
        (Recalled::Decided(decided), _) => Some(decided),
        (Recalled::Ask(asking), Place::Store(redis)) => {
            let ask = &asking.ask;
            let reply = redis.script(&ADMIT, &ask.keys, &ask.args).await;
            let now = counter.now();
            Some(counter.limits().answered(*asking, reply, now))
        }
        // Without a store, nothing is asked.
        (Recalled::Ask(_), Place::Process(_)) | (Recalled::Wait(..), _) => None,
    }
}

impl Want<'_> {
    pub(super) fn taking(&self) -> Taking<'_> {
        Taking {
            rule: &self.counter.rule,
            key: &self.key,
            cost: self.cost,
            quota: self.quota,
        }
    }
}

impl Taken {
    fn new(parts: Vec<Part>, results: Vec<Option<Limited>>) -> Self {
        let all = All {
            success: parts.iter().all(|part| part.decided.passes()),
            // There is one for each: whoever was not asked was looked at.
            results: results.into_iter().flatten().collect(),
        };
        Self { all, parts }
    }
}

impl Part {
    /// Says what was decided, and does what is left to do, or hands it over with the first result.
    fn new<'s, 'a: 's>(
        decided: Decided,
        group: impl Iterator<Item = (usize, &'s Want<'a>)>,
        results: &mut [Option<Limited>],
    ) -> Option<Self> {
        let (places, wants): (Vec<_>, Vec<_>) = group.unzip();
        let first = wants.first()?.counter;
        let mut pending = first.after(&decided);
        for ((told, want), place) in decided.limits().zip(&wants).zip(&places) {
            if let Some(result) = results.get_mut(*place) {
                let mut limited = want.counter.limited(told);
                limited.pending = pending.take();
                *result = Some(limited);
            }
        }
        Some(Self {
            counter: Arc::clone(first),
            decided,
            places,
            #[cfg(feature = "tower")]
            left: Vec::new(),
        })
    }

    /// Gives everything back, before the request is refused. If the call fails, the permits come
    /// back with the window.
    async fn give_back(&mut self, results: &mut [Option<Limited>]) {
        let work = self.settle(
            |_| 0,
            |place, remaining| {
                if let Some(Some(result)) = results.get_mut(place) {
                    result.remaining = remaining;
                }
            },
        );
        if let Some(work) = work {
            self.counter.finish(Pending(work)).await;
        }
    }

    /// Corrects what was charged to `cost`, which knows the limits by their positions in the
    /// request, and tells what is left of each. Returns the call that the store needs.
    fn settle(
        &mut self,
        cost: impl FnMut(usize) -> u64,
        mut left: impl FnMut(usize, u64),
    ) -> Option<Work> {
        let costs: Vec<_> = self.places.iter().copied().map(cost).collect();
        let now = self.counter.now();
        let work = self.counter.limits().settle(&mut self.decided, &costs, now);
        for (told, place) in self.decided.limits().zip(&self.places) {
            left(*place, told.remaining);
        }
        work
    }
}

/// What a layer needs, which knows more of a request once it has passed.
#[cfg(feature = "tower")]
impl Taken {
    /// The time, by the clock of the first limit.
    pub(crate) fn now(&self) -> Option<Timestamp> {
        Some(self.parts.first()?.counter.now())
    }

    /// What the client is told if the request is refused.
    pub(crate) fn problem(&self) -> Option<LimitProblem> {
        let part = self.parts.last()?;
        let name = |charge: usize| {
            let mut charges = part.decided.charges().iter().zip(&part.places);
            let (_, place) = charges.find(|(at, _)| **at == charge)?;
            Some(self.all.results.get(*place)?.policy.as_str())
        };
        part.decided.refusal()?.problem(name)
    }

    /// Corrects what was charged to `cost`, which knows the limits by their positions, and the
    /// results with it.
    pub(crate) fn settle(&mut self, mut cost: impl FnMut(usize) -> u64) {
        let results = &mut self.all.results;
        for part in &mut self.parts {
            let work = part.settle(&mut cost, |place, remaining| {
                if let Some(result) = results.get_mut(place) {
                    result.remaining = remaining;
                }
            });
            part.left
                .extend(work.and_then(|work| part.counter.later(Some(work))));
        }
    }

    /// Does what is left to do, if no runtime does it. `None` if there is nothing.
    pub(crate) fn finish(&mut self) -> Option<impl Future<Output = ()> + use<>> {
        let Self { all, parts } = self;
        let results = &mut all.results;
        let mut left = Vec::new();
        for part in parts {
            let own = part
                .places
                .iter()
                .filter_map(|place| results.get_mut(*place)?.pending.take());
            let own = own.chain(part.left.drain(..));
            left.extend(own.map(|pending| (Arc::clone(&part.counter), pending)));
        }
        (!left.is_empty()).then_some(async move {
            for (counter, pending) in left {
                counter.finish(pending).await;
            }
        })
    }
}

//! Values that are worth their memory: those that are asked for more often than others.
//!
//! This is W-TinyLFU (Einziger, Friedman and Manes: "TinyLFU: A Highly Efficient Cache Admission
//! Policy", 2017) for values of different sizes:
//!
//! ```text
//!           the oldest, if it is asked for more often
//! insert ──► window ─────────────────────────────────────► main
//!              └── else forgotten       forgotten, for it ──┘
//! ```
//!
//! A new value is in the window, a quarter of the memory. When newer ones need its place, it has to
//! displace values of the rest, and displaces only those that are asked for less often than itself.
//! So a client that asks for ever new values, of whatever size, displaces what others ask for only
//! if it asks for each of its own more often than they do.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::clock::Timestamp;

/// Values by the hashes of their names, bounded by the sum of their weights.
#[derive(Debug)]
pub struct Popular<V> {
    order: Order,
    values: Vec<Option<V>>,
}

impl<V> Popular<V> {
    /// Values that together weigh at most `capacity`: about `count`.
    pub fn new(capacity: u64, count: usize) -> Self {
        Self {
            order: Order::new(capacity, count),
            values: Vec::new(),
        }
    }

    /// The largest weight of one value.
    pub const fn largest(&self) -> u64 {
        self.order.window.most
    }

    /// The value of a name with this hash. This counts as use.
    ///
    /// Nobody may be able to choose names of which the hashes are alike.
    pub fn get(&mut self, hash: u64) -> Option<&V> {
        let place = self.order.touch(hash)?;
        self.values.get(place)?.as_ref()
    }

    /// The same, but this does not count as use.
    pub fn peek(&self, hash: u64) -> Option<&V> {
        let place = *self.order.places.get(&hash)?;
        self.values.get(place)?.as_ref()
    }

    /// As [`peek`](Self::peek). The weight must stay as it is.
    pub fn peek_mut(&mut self, hash: u64) -> Option<&mut V> {
        let place = *self.order.places.get(&hash)?;
        self.values.get_mut(place)?.as_mut()
    }

    /// Sets a value, which is of no use any more from `until` on. This counts as use. A value that
    /// weighs more than [`largest`](Self::largest) is not kept.
    pub fn insert(&mut self, hash: u64, value: V, weight: u64, until: Timestamp, now: Timestamp) {
        self.remove(hash);
        if weight > self.largest() {
            return;
        }
        let place = self.order.insert(hash, weight, until, now);
        if self.values.len() <= place {
            self.values.resize_with(place + 1, || None);
        }
        if let Some(kept) = self.values.get_mut(place) {
            *kept = Some(value);
        }
        while let Some(place) = self.order.forgotten.pop() {
            if let Some(value) = self.values.get_mut(place) {
                *value = None;
            }
            self.order.free.push(place);
        }
    }

    /// Forgets the value of a name.
    pub fn remove(&mut self, hash: u64) {
        if let Some(&place) = self.order.places.get(&hash) {
            self.order.forget(place);
            self.order.forgotten.clear();
            self.order.free.push(place);
            if let Some(value) = self.values.get_mut(place) {
                *value = None;
            }
        }
    }

    /// Forgets all values. What is asked for often is still known.
    pub fn clear(&mut self) {
        self.values.clear();
        self.order.clear();
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.order.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much they weigh together.
    pub const fn weight(&self) -> u64 {
        self.order.window.weight + self.order.main.weight
    }
}

/// The order in which values are forgotten. It knows them by their places.
#[derive(Debug)]
struct Order {
    places: HashMap<u64, usize, BuildHasherDefault<Hash>>,
    nodes: Vec<Node>,
    window: Queue,
    main: Queue,
    uses: Uses,
    /// The places of values that are to be dropped.
    forgotten: Vec<usize>,
    /// Places that can be used again.
    free: Vec<usize>,
}

/// What is known of the value in a place.
#[derive(Debug, Clone)]
struct Node {
    hash: u64,
    weight: u64,
    until: Timestamp,
    is_main: bool,
    /// The place that was used next after this one, and the one before it.
    newer: Option<usize>,
    older: Option<usize>,
}

/// A queue of places in the order of their use.
#[derive(Debug)]
struct Queue {
    newest: Option<usize>,
    oldest: Option<usize>,
    weight: u64,
    most: u64,
}

/// The part of the capacity that new values have.
const WINDOW: u64 = 4;

impl Order {
    fn new(capacity: u64, count: usize) -> Self {
        let window = capacity / WINDOW;
        Self {
            places: HashMap::default(),
            nodes: Vec::new(),
            window: Queue::new(window),
            main: Queue::new(capacity - window),
            uses: Uses::new(count),
            forgotten: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The place of a value, which is used now.
    fn touch(&mut self, hash: u64) -> Option<usize> {
        let place = *self.places.get(&hash)?;
        self.uses.count(hash);
        self.unlink(place);
        let is_main = self.nodes.get(place).is_some_and(|node| node.is_main);
        self.link(place, is_main);
        Some(place)
    }

    /// A place for a new value.
    fn insert(&mut self, hash: u64, weight: u64, until: Timestamp, now: Timestamp) -> usize {
        self.uses.count(hash);
        let node = Node {
            hash,
            weight,
            until,
            is_main: false,
            newer: None,
            older: None,
        };
        let place = self.free.pop().unwrap_or(self.nodes.len());
        match self.nodes.get_mut(place) {
            Some(free) => *free = node,
            None => self.nodes.push(node),
        }
        self.places.insert(hash, place);
        self.link(place, false);
        while self.window.weight > self.window.most
            && let Some(oldest) = self.window.oldest
        {
            self.leave_window(oldest, now);
        }
        place
    }

    /// The value in this place leaves the window, and either displaces others or is forgotten.
    fn leave_window(&mut self, place: usize, now: Timestamp) {
        let Some(node) = self.nodes.get(place) else {
            return;
        };
        let (hash, weight, is_over) = (node.hash, node.weight, node.until <= now);
        let uses = self.uses.of(hash);
        let mut displaced = Vec::new();
        let mut room = self.main.most.saturating_sub(self.main.weight);
        let mut next = self.main.oldest;
        let mut wins = !is_over;
        while wins && room < weight {
            let Some(other) = next.and_then(|place| Some((place, self.nodes.get(place)?))) else {
                break;
            };
            let (victim, node) = other;
            next = node.newer;
            if node.until > now && self.uses.of(node.hash) >= uses {
                wins = false;
                // Others are compared with the next one.
                self.unlink(victim);
                self.link(victim, true);
            } else {
                room += node.weight;
                displaced.push(victim);
            }
        }
        if wins && room >= weight {
            displaced.into_iter().for_each(|place| self.forget(place));
            self.unlink(place);
            self.link(place, true);
        } else {
            self.forget(place);
        }
    }

    fn forget(&mut self, place: usize) {
        self.unlink(place);
        if let Some(node) = self.nodes.get(place) {
            self.places.remove(&node.hash);
            self.forgotten.push(place);
        }
    }

    fn clear(&mut self) {
        self.places.clear();
        self.nodes.clear();
        self.free.clear();
        self.window = Queue::new(self.window.most);
        self.main = Queue::new(self.main.most);
    }

    /// Makes a place the newest of a queue.
    fn link(&mut self, place: usize, is_main: bool) {
        let queue = match is_main {
            true => &mut self.main,
            false => &mut self.window,
        };
        let before = queue.newest.replace(place);
        queue.oldest.get_or_insert(place);
        if let Some(node) = self.nodes.get_mut(place) {
            queue.weight += node.weight;
            (node.is_main, node.newer, node.older) = (is_main, None, before);
        }
        if let Some(node) = before.and_then(|before| self.nodes.get_mut(before)) {
            node.newer = Some(place);
        }
    }

    /// Takes a place out of its queue.
    fn unlink(&mut self, place: usize) {
        let Some(node) = self.nodes.get(place) else {
            return;
        };
        let (newer, older, weight) = (node.newer, node.older, node.weight);
        let queue = match node.is_main {
            true => &mut self.main,
            false => &mut self.window,
        };
        queue.weight -= weight;
        match newer.and_then(|newer| self.nodes.get_mut(newer)) {
            Some(node) => node.older = older,
            None => queue.newest = older,
        }
        match older.and_then(|older| self.nodes.get_mut(older)) {
            Some(node) => node.newer = newer,
            None => queue.oldest = newer,
        }
    }
}

impl Queue {
    const fn new(most: u64) -> Self {
        Self {
            newest: None,
            oldest: None,
            weight: 0,
            most,
        }
    }
}

/// How often names have been used lately, about: a count-min sketch of four bits each. Counts are
/// halved from time to time.
#[derive(Debug)]
struct Uses {
    /// Sixteen counts in each.
    counts: Vec<u64>,
    counted: usize,
    /// After so many uses all counts are halved.
    period: usize,
}

/// How many counts there are for each value, and after how many uses for each value they are
/// halved: the sooner, the better for what is in demand since a short while only.
const COUNTS: usize = 16;
const PERIOD: usize = 8;

/// A small memory has so many counts nevertheless: what is in demand must be known among many that
/// are not.
const FEWEST: usize = 1_024;

/// The highest count.
const MOST: u64 = 15;

/// Each name is counted in four places, by multiplications with these.
const ROWS: [u64; 4] = [
    0x9e37_79b9_7f4a_7c15,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0xff51_afd7_ed55_8ccd,
];

impl Uses {
    fn new(count: usize) -> Self {
        let count = count.clamp(FEWEST, 1 << 16);
        Self {
            counts: vec![0; (count * COUNTS / 16).next_power_of_two()],
            counted: 0,
            period: count * PERIOD,
        }
    }

    /// The four counts of a name: their places, and by how many bits they are shifted there.
    fn places(&self, hash: u64) -> [(usize, u32); 4] {
        let last = u64::try_from(self.counts.len() - 1).unwrap_or(0);
        ROWS.map(|odd| {
            let mixed = (hash ^ (hash >> 29)).wrapping_mul(odd) >> 24;
            let place = usize::try_from(mixed >> 4 & last).unwrap_or(0);
            (place, u32::try_from(mixed & 15).unwrap_or(0) * 4)
        })
    }

    /// How often a name was used, at most [`MOST`].
    fn of(&self, hash: u64) -> u64 {
        let counts = self
            .places(hash)
            .map(|(place, shift)| self.at(place, shift));
        counts.into_iter().min().unwrap_or_default()
    }

    fn at(&self, place: usize, shift: u32) -> u64 {
        self.counts
            .get(place)
            .map_or(0, |counts| counts >> shift & MOST)
    }

    /// Counts a use of a name.
    fn count(&mut self, hash: u64) {
        let uses = self.of(hash);
        if uses < MOST {
            for (place, shift) in self.places(hash) {
                // The others are too high already.
                if self.at(place, shift) == uses
                    && let Some(counts) = self.counts.get_mut(place)
                {
                    *counts += 1 << shift;
                }
            }
        }
        self.counted += 1;
        if self.counted >= self.period {
            self.counted /= 2;
            for counts in &mut self.counts {
                *counts = *counts >> 1 & 0x7777_7777_7777_7777;
            }
        }
    }
}

/// The hash is the name already.
#[derive(Debug, Default)]
struct Hash(u64);

impl Hasher for Hash {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const NEVER: Timestamp = Timestamp::from_millis(u64::MAX >> 1);
    const T0: Timestamp = Timestamp::from_millis(0);

    /// A hash as random ones are.
    fn hash(n: u64) -> u64 {
        let n = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ n >> 31
    }

    /// Asks for a value, which is made if it is not there. Returns whether it was.
    fn ask(values: &mut Popular<u64>, name: u64, weight: u64) -> bool {
        let known = values.get(hash(name)).copied();
        if known.is_none() {
            values.insert(hash(name), name, weight, NEVER, T0);
        }
        known.inspect(|known| assert_eq!(*known, name)).is_some()
    }

    /// All that must hold between two calls.
    fn check(values: &Popular<u64>) {
        let order = &values.order;
        let mut seen = HashMap::new();
        for (queue, is_main) in [(&order.window, false), (&order.main, true)] {
            let (mut next, mut newer, mut weight) = (queue.newest, None, 0);
            while let Some(place) = next {
                let node = &order.nodes[place];
                assert_eq!((node.newer, node.is_main), (newer, is_main));
                assert!(seen.insert(node.hash, place).is_none());
                assert!(values.values[place].is_some());
                weight += node.weight;
                (newer, next) = (next, node.older);
            }
            assert_eq!((queue.oldest, queue.weight), (newer, weight));
            assert!(weight <= queue.most);
        }
        let places: HashMap<_, _> = order.places.iter().map(|(hash, n)| (*hash, *n)).collect();
        assert_eq!(seen, places);
        let kept = values.values.iter().flatten().count();
        assert_eq!((kept, order.forgotten.len()), (seen.len(), 0));
        assert_eq!(order.free.len() + seen.len(), order.nodes.len());
    }

    #[test]
    fn whatever_is_asked_it_is_what_a_map_would_say_or_nothing() {
        let mut values = Popular::new(1_000, 16);
        let mut map = HashMap::new();
        let mut state = 1;
        for n in 0..20_000_u64 {
            state = hash(state);
            let (name, what) = (state % 40, state >> 32);
            match what % 8 {
                0..4 => {
                    let known = values.get(hash(name)).copied();
                    assert!(known.is_none_or(|known| map.get(&name) == Some(&known)));
                }
                4..7 => {
                    let until = [NEVER, Timestamp::from_millis(n + what % 50)][(what % 2) as usize];
                    let now = Timestamp::from_millis(n);
                    values.insert(hash(name), n, what % 300, until, now);
                    map.insert(name, n);
                }
                _ if what % 500 == 7 => {
                    values.clear();
                    map.clear();
                }
                _ => {
                    values.remove(hash(name));
                    map.remove(&name);
                    assert!(values.peek(hash(name)).is_none());
                }
            }
            check(&values);
            assert!(values.weight() <= 1_000);
        }
    }

    #[test]
    fn the_newest_is_always_kept_unless_it_is_larger_than_one_may_be() {
        let mut values = Popular::new(1_000, 16);
        for n in 0..5_000 {
            let weight = n % 300;
            ask(&mut values, n, weight);
            assert_eq!(values.peek(hash(n)).is_some(), weight <= values.largest());
        }
        assert_eq!(values.largest(), 250);
    }

    #[test]
    fn what_is_over_makes_room_however_often_it_was_used() {
        let mut values = Popular::new(100, 100);
        let end = Timestamp::from_millis(10);
        for n in 0..100 {
            values.insert(hash(n), n, 1, end, T0);
            (0..20).for_each(|_| assert!(values.get(hash(n)).is_some()));
        }
        for n in 100..200 {
            values.insert(hash(n), n, 1, NEVER, end);
        }
        assert_eq!(values.len(), 100);
        let kept = (100..200).filter(|n| values.peek(hash(*n)).is_some());
        assert!(
            kept.count() >= 99,
            "the first one may have met the last ones"
        );
    }

    #[test]
    fn counts_are_about_right_and_fade() {
        let mut uses = Uses::new(1_000);
        for name in 0..1_000 {
            (0..name % 10).for_each(|_| uses.count(hash(name)));
        }
        let wrong = (0..1_000).filter(|name| uses.of(hash(*name)) != name % 10);
        assert!(wrong.count() < 50);
        for name in 1_000..20_000 {
            uses.count(hash(name));
        }
        let left: u64 = (0..1_000).map(|name| uses.of(hash(name))).sum();
        assert!(left < 4_500 * 2 / 3, "{left} of 4500");
        (0..100).for_each(|_| uses.count(hash(1)));
        assert_eq!(uses.of(hash(1)), MOST);
    }
}

//! A bounded memory of values by name.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

use foldhash::fast::RandomState;
use quick_cache::Weighter;
use quick_cache::unsync::{Cache, DefaultLifecycle};

/// At most so many values of one type by name. If there are more, those that are seldom used are
/// evicted.
///
/// The cache below is the same for all types of values, because a dozen of it would make the Worker
/// 5 kB larger.
pub struct Recent<T> {
    values: Values,
    of: PhantomData<T>,
}

/// The standard library's hasher takes a twentieth of the time of a request.
type Values = Cache<String, Weighed, ByWeight, RandomState, DefaultLifecycle<String, Weighed>>;

/// A value, and how much of the capacity it takes.
struct Weighed(Box<dyn Any + Send>, u32);

#[derive(Clone)]
struct ByWeight;

impl Weighter<String, Weighed> for ByWeight {
    fn weight(&self, _: &String, Weighed(_, weight): &Weighed) -> u64 {
        u64::from(*weight)
    }
}

impl<T: Send + 'static> Recent<T> {
    /// Remembers at most `capacity` values.
    pub fn new(capacity: usize) -> Self {
        Self::weighing(capacity, u64::try_from(capacity).unwrap_or(u64::MAX))
    }

    /// Remembers values whose weights are together at most `capacity`: about `values`.
    pub fn weighing(values: usize, capacity: u64) -> Self {
        Self {
            values: Cache::with(
                values,
                capacity,
                ByWeight,
                RandomState::default(),
                DefaultLifecycle::default(),
            ),
            of: PhantomData,
        }
    }

    /// The value of a name. This counts as use.
    pub fn get(&self, name: &str) -> Option<&T> {
        found(&self.values, name)?.0.downcast_ref()
    }

    /// The same, but this does not count as use.
    pub fn peek(&self, name: &str) -> Option<&T> {
        self.values.peek(name)?.0.downcast_ref()
    }

    /// Changes the value of a name, if it has one, and returns what `change` returns. This counts
    /// as use.
    pub fn change<R>(&mut self, name: &str, change: impl FnOnce(&mut T) -> R) -> Option<R> {
        if is_empty(&self.values) {
            return None;
        }
        self.values.get_mut(name)?.0.downcast_mut().map(change)
    }

    /// Sets the value of a name.
    pub fn insert(&mut self, name: String, value: T) {
        self.insert_weighing(name, value, 1);
    }

    /// Sets the value of a name, which takes so much of the capacity.
    pub fn insert_weighing(&mut self, name: String, value: T, weight: u32) {
        self.values.insert(name, Weighed(Box::new(value), weight));
    }

    /// Forgets the value of a name.
    pub fn remove(&mut self, name: &str) {
        self.values.remove(name);
    }

    /// Keeps the values for which this is true, and forgets all others.
    pub fn retain(&mut self, keeps: impl Fn(&T) -> bool) {
        self.values
            .retain(|_, Weighed(value, _)| value.downcast_ref().is_some_and(&keeps));
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// How many values are remembered.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether no value is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values can be remembered.
    pub fn capacity(&self) -> usize {
        usize::try_from(self.values.capacity()).unwrap_or(usize::MAX)
    }
}

/// The value of a name. Many memories are empty as long as nothing fails: then no name is hashed.
#[inline(never)]
fn found<'v>(values: &'v Values, name: &str) -> Option<&'v Weighed> {
    match is_empty(values) {
        true => None,
        false => values.get(name),
    }
}

#[inline(never)]
fn is_empty(values: &Values) -> bool {
    values.len() == 0
}

impl<T> fmt::Debug for Recent<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent")
            .field("len", &self.values.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_changed_and_forgotten_by_its_name() {
        let mut recent = Recent::new(10);
        recent.insert("a".to_owned(), 1);
        recent.insert("b".to_owned(), 2);
        assert_eq!((recent.get("a"), recent.peek("b")), (Some(&1), Some(&2)));
        let before = recent.change("a", |value| std::mem::replace(value, 3));
        assert_eq!((before, recent.get("a")), (Some(1), Some(&3)));
        assert_eq!(recent.change("c", |value| *value), None);
        recent.retain(|value| *value == 3);
        assert_eq!((recent.len(), recent.get("b")), (1, None));
        recent.remove("a");
        assert!(recent.is_empty() && recent.get("a").is_none());
    }

    #[test]
    fn more_values_than_the_capacity_are_not_remembered() {
        let mut recent = Recent::new(100);
        for n in 0..1_000 {
            recent.insert(n.to_string(), n);
        }
        assert!((1..=100).contains(&recent.len()) && recent.capacity() <= 100);
        recent.clear();
        assert!(recent.is_empty());
    }

    #[test]
    fn what_is_asked_for_now_and_then_stays_among_many_that_come_once() {
        let mut recent = Recent::new(1_000);
        let (mut found, mut asked) = (0, 0);
        for n in 0..100_000_u32 {
            recent.insert(format!("stranger {n}"), 0);
            if n % 25 == 0 {
                // Each of ten comes again after 250 others.
                let name = format!("client {}", n / 25 % 10);
                let is_known = recent.get(&name).is_some();
                if !is_known {
                    recent.insert(name, 1);
                }
                asked += 1;
                found += u32::from(is_known);
            }
        }
        assert!(f64::from(found) / f64::from(asked) >= 0.95);
    }
}

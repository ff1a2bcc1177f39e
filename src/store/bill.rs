//! What a call of `admit.lua` cost, and which permits it moved.

use crate::engine::limit::Role;

use super::ask::Ask;
use super::reply::Reply;

/// Where the words of the first limit begin, how many each limit has, and which of them tell its
/// role and the permits that are given back.
const FIRST_LIMIT: usize = 12;
const WORDS: usize = 16;
const ROLE: usize = 9;
const BACK: usize = 13;

impl Ask {
    /// The commands that the store has carried out for it: those for limits, and those for the
    /// entry. `admit.lua` says which there are.
    pub fn commands(&self, reply: &Reply) -> (u64, u64) {
        let begun = 2 + u64::from(self.args.get(4).is_some_and(|word| word == "1"));
        let changed = self.moved(reply).zip(&reply.limits);
        let changed = changed.filter(|((_, granted, returned), limit)| {
            let charged = limit.as_ref().is_some_and(|limit| limit.receipt.is_some());
            charged || *granted > 0 || returned.1 > 0
        });
        let limits = u64::try_from(changed.count()).unwrap_or_default();
        let leased = u64::from(
            reply
                .cached
                .as_ref()
                .is_some_and(|told| told.lease.is_granted()),
        );
        match self.limits {
            0 => (0, begun + leased),
            _ => (begun + limits, leased),
        }
    }

    /// Of each limit the key of a state, and the permits that were lent and given back unspent.
    pub fn lent<'a>(&'a self, reply: &'a Reply) -> impl Iterator<Item = (&'a str, u64, u64)> {
        // What a correction gives back was charged to a request.
        let settles = |role| role == Role::Settle.as_str();
        self.moved(reply).map(move |(key, granted, (role, back))| {
            (key, granted, if settles(role) { 0 } else { back })
        })
    }

    /// Of each limit the key of a state, the permits that were lent, and its role with the permits
    /// that were given back.
    fn moved<'a>(
        &'a self,
        reply: &'a Reply,
    ) -> impl Iterator<Item = (&'a str, u64, (&'a str, u64))> {
        let words = self.args.get(FIRST_LIMIT..).unwrap_or_default();
        words.chunks(WORDS).zip(&reply.limits).map(|(words, told)| {
            let second = words.get(1).and_then(|place| place.parse::<usize>().ok());
            let key = second.and_then(|place| self.keys.get(place.checked_sub(1)?));
            let granted = told.as_ref().and_then(|told| told.granted.as_ref());
            let word = |at: usize| words.get(at).map_or("", String::as_str);
            let back = word(BACK);
            // "tag bucket count bucket count …"; what begins with "*" was not lent.
            let back = back.split(' ').skip(2).step_by(2);
            (
                key.map_or("", String::as_str),
                granted.map_or(0, |granted| granted.permits),
                (
                    word(ROLE),
                    back.filter_map(|count| count.parse::<u64>().ok()).sum(),
                ),
            )
        })
    }
}

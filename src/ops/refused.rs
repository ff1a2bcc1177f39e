//! Who is refused most. Subjects are told only as digests that the admin token is a part of: an
//! address is short, so whoever has its bare digest can find it by trying all of them.

use super::counts::largest;

/// So many subjects are counted.
const MOST: usize = 32;

/// One subject of one limit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject {
    limit: usize,
    name: Box<str>,
    refused: u64,
}

/// The subjects that were refused most often. If there are more than can be counted, the one that
/// was refused least gives its place and its count to the next ("Space-Saving", Metwally et al.,
/// 2005): no count is too low, and a subject with more than one in 32 of all refusals is there.
#[derive(Debug, Default)]
pub struct Refused {
    subjects: Vec<Subject>,
}

impl Refused {
    /// Counts a refusal.
    pub fn count(&mut self, limit: usize, name: &str) {
        let same = |subject: &&mut Subject| subject.limit == limit && *subject.name == *name;
        if let Some(subject) = self.subjects.iter_mut().find(same) {
            subject.refused += 1;
            return;
        }
        let mut refused = 1;
        if self.subjects.len() >= MOST {
            let least = self.subjects.iter().enumerate();
            let least = least.min_by_key(|(_, subject)| subject.refused);
            let Some(place) = least.map(|(place, _)| place) else {
                return;
            };
            refused += self.subjects.swap_remove(place).refused;
        }
        self.subjects.push(Subject {
            limit,
            name: name.into(),
            refused,
        });
    }

    /// The limit, the digest and the count of each subject, the most refused first. `digest`: makes
    /// a digest of a subject.
    pub fn most(&self, digest: impl Fn(&str) -> String, most: usize) -> Vec<(usize, String, u64)> {
        let mut all: Vec<_> = self.subjects.iter().collect();
        let mut told = Vec::new();
        while told.len() < most
            && let Some(place) = largest(&all, |subject| subject.refused)
        {
            let subject = all.swap_remove(place);
            told.push((subject.limit, digest(&subject.name), subject.refused));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_often_stays_among_many_strangers() {
        let mut refused = Refused::default();
        for n in 0..10_000 {
            refused.count(0, &format!("stranger-{n}"));
            if n % 10 == 0 {
                refused.count(1, "the loud one");
            }
        }
        let most = refused.most(|subject| subject.to_uppercase(), 10);
        assert_eq!(most.len(), 10);
        let loud = most
            .first()
            .map(|(limit, digest, count)| (*limit, digest.clone(), *count));
        let (limit, digest, count) = loud.unwrap_or_default();
        assert_eq!((limit, digest), (1, "THE LOUD ONE".to_owned()));
        assert!((1_000..2_000).contains(&count), "{count}");
    }
}

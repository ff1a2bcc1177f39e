//! Saves: the bodies that are being read for the cache. They take memory beside the entries, and no
//! client waits for them, so there is a bound on how many there are and how much they take. A
//! response that finds no room is handed on all the same, and not stored.

use std::time::Duration;

use crate::clock::Timestamp;

/// The largest number of bodies that are read at once.
pub const MOST: usize = 256;

/// The memory for all bodies that are read at once, in bodies of the largest size that is stored.
const LARGEST: usize = 4;

/// The least and the most that it is, in bytes. Entries have up to 64 MB, of the 128 MB that an
/// isolate has.
const LEAST: usize = 4 << 20;
const LIMIT: usize = 32 << 20;

/// How long the bytes count that a client may have left in the platform's memory because it reads
/// more slowly than the cache.
const UNSEEN: Duration = Duration::from_secs(30);

/// The bodies that are being read for the cache. All are plain data with deadlines, because the
/// platform may end the work that reads them.
#[derive(Debug)]
pub struct Saves {
    under_way: Vec<Save>,
    /// How many bytes they may take together.
    room: usize,
    /// The number of the next one.
    next: u64,
    unseen: Unseen,
}

/// A body that is being read.
#[derive(Debug)]
struct Save {
    id: SaveId,
    bytes: usize,
    until: Timestamp,
}

/// The number of a body that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveId(u64);

/// How much the platform may keep for slow clients without telling.
#[derive(Debug, Default)]
struct Unseen {
    bytes: usize,
    at: Timestamp,
}

impl Saves {
    /// None is under way. `largest`: the length of the largest body that is stored.
    pub fn new(largest: usize) -> Self {
        Self {
            under_way: Vec::new(),
            room: largest.saturating_mul(LARGEST).clamp(LEAST, LIMIT),
            next: 0,
            unseen: Unseen::default(),
        }
    }

    /// Begins to read a body of this length, as far as it is known, which takes no longer than
    /// `time`. `None`: there is no room for it.
    pub fn begin(&mut self, length: usize, time: Duration, now: Timestamp) -> Option<SaveId> {
        let fits = |saves: &Self| saves.under_way.len() < MOST && saves.has_room(length, None);
        if !fits(self) {
            self.under_way.retain(|save| now < save.until);
            if !fits(self) {
                return None;
            }
        }
        let id = SaveId(self.next);
        self.next += 1;
        let until = now + time;
        let bytes = length;
        self.under_way.push(Save { id, bytes, until });
        Some(id)
    }

    /// Whether there is room for a body of this length: one that is being read already, or a new
    /// one. It gets at most half of what others leave, so that large ones leave something for small
    /// ones.
    fn has_room(&self, length: usize, of: Option<SaveId>) -> bool {
        let others = self.under_way.iter().filter(|save| Some(save.id) != of);
        let taken = others.map(|save| save.bytes);
        let taken = taken.fold(0, usize::saturating_add);
        length <= self.room.saturating_sub(taken) / 2
    }

    /// The body has turned out to be so long. Returns whether there is room for it; if not, the
    /// rest must not be read.
    pub fn grows(&mut self, id: SaveId, length: usize) -> bool {
        let known = self.under_way.iter().find(|save| save.id == id);
        let bytes = known.map_or(0, |save| save.bytes);
        if length <= bytes {
            return true;
        }
        // It grows in steps, so that this is seldom asked.
        let wanted = length.max(bytes.saturating_mul(2)).max(STEP);
        let granted = [wanted, length]
            .into_iter()
            .find(|wanted| self.has_room(*wanted, Some(id)));
        let save = self.under_way.iter_mut().find(|save| save.id == id);
        match (save, granted) {
            (Some(save), Some(granted)) => {
                save.bytes = granted;
                true
            }
            // Its time is over.
            _ => false,
        }
    }

    /// The body is read or given up.
    pub fn end(&mut self, id: SaveId) {
        self.under_way.retain(|save| save.id != id);
    }

    /// A body of this length was read by the cache, and it is not known when its client has read
    /// it.
    pub fn unseen(&mut self, length: usize, now: Timestamp) {
        let left = self.left_unseen(now);
        let bytes = left.saturating_add(length);
        self.unseen = Unseen { bytes, at: now };
    }

    /// Whether another body may be read by the cache without knowing when its client reads it.
    pub fn may_be_unseen(&self, now: Timestamp) -> bool {
        self.left_unseen(now) < self.room
    }

    /// What of the unseen bytes still counts: `room` bytes become nothing in [`UNSEEN`].
    fn left_unseen(&self, now: Timestamp) -> usize {
        let past = now.since(self.unseen.at).as_secs_f64() / UNSEEN.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "it is a number of bytes in memory"
        )]
        let gone = (past * self.room as f64) as usize;
        self.unseen.bytes.saturating_sub(gone)
    }
}

/// The least that a body of unknown length takes once its first bytes are there.
const STEP: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(25);
    const MB: usize = 1 << 20;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + ms)
    }

    fn taken(saves: &Saves) -> usize {
        saves.under_way.iter().map(|save| save.bytes).sum()
    }

    #[test]
    fn so_many_are_read_at_once_and_not_one_more() {
        let mut saves = Saves::new(4 * MB);
        let ids: Vec<_> = (0..MOST)
            .map(|_| saves.begin(0, TIME, at(0)).unwrap())
            .collect();
        assert_eq!(saves.begin(0, TIME, at(24_999)), None);
        saves.end(ids[7]);
        assert!(saves.begin(0, TIME, at(24_999)).is_some());
        // The platform has ended the others.
        assert!(saves.begin(0, TIME, at(25_000)).is_some());
        assert_eq!(saves.under_way.len(), 2);
    }

    #[test]
    fn together_they_take_no_more_than_their_room() {
        let mut saves = Saves::new(4 * MB);
        let mut large = 0;
        while saves.begin(4 * MB, TIME, at(0)).is_some() {
            large += 1;
        }
        assert_eq!(large, 3, "of 16 MB");
        let mut small = 0;
        while saves.begin(100 << 10, TIME, at(0)).is_some() {
            small += 1;
        }
        assert!(
            small >= 30,
            "small ones have room beside large ones: {small}"
        );
        assert!(taken(&saves) <= 16 * MB);
    }

    #[test]
    fn a_body_of_unknown_length_takes_what_it_turns_out_to_need() {
        let mut saves = Saves::new(1_000);
        let id = saves.begin(0, TIME, at(0)).unwrap();
        let mut length = 0;
        while saves.grows(id, length + 1_000) {
            length += 1_000;
        }
        assert!(length > MB && length < 3 * MB, "{length}");
        assert!(taken(&saves) <= 4 * MB && taken(&saves) >= length);
        saves.end(id);
        assert_eq!(taken(&saves), 0);
        assert!(!saves.grows(id, 1), "it is over");
    }

    #[test]
    fn one_largest_body_always_has_room_at_first() {
        for largest in [1, 1_000, MB, 4 * MB, 16 * MB] {
            let mut saves = Saves::new(largest);
            assert!(saves.begin(largest, TIME, at(0)).is_some(), "{largest}");
            let mut saves = Saves::new(largest);
            let id = saves.begin(0, TIME, at(0)).unwrap();
            assert!(saves.grows(id, largest), "{largest}");
        }
    }

    #[test]
    fn what_slow_clients_may_have_left_is_forgotten_after_a_while() {
        let mut saves = Saves::new(4 * MB);
        assert!(saves.may_be_unseen(at(0)));
        for _ in 0..4 {
            assert!(saves.may_be_unseen(at(0)));
            saves.unseen(4 * MB, at(0));
        }
        assert!(!saves.may_be_unseen(at(0)));
        assert!(saves.may_be_unseen(at(1)));
        saves.unseen(16 * MB, at(15_000));
        assert!(!saves.may_be_unseen(at(29_999)));
        assert!(saves.may_be_unseen(at(30_001)));
        assert!(saves.may_be_unseen(at(90_000)));
    }
}

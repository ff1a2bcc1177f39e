//! What a loader is told, and what it says about the value that it makes.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::value::Content;

use super::codec::Codec;
use super::entry::Entry;

/// A load under way: what the function gets that
/// [`get_or_set_with`](super::ValueCache::get_or_set_with) calls.
pub struct Loading<T> {
    plan: Arc<Plan>,
    stale: Option<Arc<Content>>,
    codec: Codec<T>,
    is_background: bool,
}

impl<T> Loading<T> {
    pub(super) const fn new(
        plan: Arc<Plan>,
        stale: Option<Arc<Content>>,
        codec: Codec<T>,
        is_background: bool,
    ) -> Self {
        Self {
            plan,
            stale,
            codec,
            is_background,
        }
    }

    /// The value that is loaded anew, which is stale: a copy. `None` if there is none.
    pub fn stale(&self) -> Option<T> {
        (self.codec.decode)(self.stale.as_ref()?)
    }

    /// Whether no caller waits for the value.
    pub const fn is_background(&self) -> bool {
        self.is_background
    }

    /// How the value will be kept: as the caller said, or as [`keep`](Self::keep) was last called.
    pub fn entry(&self) -> Entry {
        self.plan.entry()
    }

    /// Keeps the value in another way than the caller said: for another time, or with tags that are
    /// only known now. It has no effect once the load is over.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use omnitrade_edge::values::{Entry, ValueCache};
    /// # async fn example(cache: ValueCache) -> Result<(), std::io::Error> {
    /// let entry = Entry::ttl(Duration::from_secs(30));
    /// let text = cache.get_or_set_with("page:7", &entry, |load| async move {
    ///     let (text, author) = ("text".to_owned(), "ada");
    ///     load.keep(load.entry().tags([format!("author:{author}")]));
    ///     Ok::<_, std::io::Error>(text)
    /// });
    /// # text.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep(&self, entry: Entry) {
        self.plan.change(entry, true);
    }

    /// Keeps nothing: the value is for those alone who wait for it already.
    pub fn keep_nothing(&self) {
        self.plan.change(self.entry(), false);
    }
}

impl<T> fmt::Debug for Loading<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading")
            .field("entry", &self.entry())
            .field("is_background", &self.is_background)
            .finish_non_exhaustive()
    }
}

/// How a value will be kept.
pub(super) struct Plan(Mutex<Planned>);

struct Planned {
    entry: Entry,
    is_kept: bool,
    is_over: bool,
    /// How often it was changed.
    changes: u32,
}

impl Plan {
    pub(super) const fn new(entry: Entry) -> Self {
        Self(Mutex::new(Planned {
            entry,
            is_kept: true,
            is_over: false,
            changes: 0,
        }))
    }

    /// The present plan; `None` if nothing is kept.
    pub(super) fn kept(&self) -> Option<Entry> {
        let planned = self.planned();
        planned.is_kept.then(|| planned.entry.clone())
    }

    /// The same with the number of changes, if there were any after so many.
    pub(super) fn kept_since(&self, changes: Option<u32>) -> Option<(u32, Option<Entry>)> {
        let planned = self.planned();
        let is_new = changes != Some(planned.changes);
        is_new.then(|| {
            let kept = planned.is_kept.then(|| planned.entry.clone());
            (planned.changes, kept)
        })
    }

    /// Ends it: nothing changes any more.
    pub(super) fn end(&self) {
        self.planned().is_over = true;
    }

    fn entry(&self) -> Entry {
        self.planned().entry.clone()
    }

    fn change(&self, entry: Entry, is_kept: bool) {
        let mut planned = self.planned();
        if !planned.is_over {
            planned.entry = entry;
            planned.is_kept = is_kept;
            planned.changes += 1;
        }
    }

    fn planned(&self) -> MutexGuard<'_, Planned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The caller that sees to a value for all who wait for it: it asks the store, waits for another
//! process that loads it, or loads it.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::value::{Content, Use};
use crate::store::{Lease, Write};
use crate::transport::{BoxFuture, Movable};

use super::codec::Codec;
use super::common::Common;
use super::entry::Entry;
use super::flights::{FIRST_PAUSE, LONGEST_PAUSE, Lead, Outcome, SharedError};
use super::loading::{Loading, Plan};
use super::machine::{Found, Origin};
use super::spawner::{Caught, Payload, Spawner};

/// What a caller wants.
pub(super) struct Want<T> {
    pub(super) common: Arc<Common>,
    pub(super) spawner: Spawner,
    pub(super) key: String,
    pub(super) entry: Entry,
    pub(super) codec: Codec<T>,
}

/// How it loads that.
pub(super) struct Loader<T, E> {
    pub(super) load: Load<T, E>,
    /// Copies an error for all who wait.
    pub(super) copy: Option<fn(&E) -> E>,
}

#[cfg(not(target_arch = "wasm32"))]
pub(super) type Load<T, E> = Box<dyn FnOnce(Loading<T>) -> BoxFuture<'static, Result<T, E>> + Send>;
#[cfg(target_arch = "wasm32")]
pub(super) type Load<T, E> = Box<dyn FnOnce(Loading<T>) -> BoxFuture<'static, Result<T, E>>>;

/// What it got.
pub(super) enum Led<T, E> {
    Value(T),
    Failed(E),
    Panicked(Payload),
    /// The load takes longer than it may. Nobody else waits for it any more.
    Late(Caught<Result<T, E>>),
}

/// What is known of a value.
struct Known<T> {
    value: T,
    usable: Use,
    stale: Stale,
}

/// A value that is used if it cannot be loaded, until the deadline.
struct Stale {
    content: Arc<Content>,
    until: Timestamp,
    tags: Arc<[String]>,
}

/// What was found out about a value.
struct Looked<T> {
    /// Who is to load it.
    lease: Lease,
    known: Option<Known<T>>,
    beginning: Beginning,
}

/// What a load begins with.
struct Beginning {
    origin: Origin,
    /// When the store was asked, if it has told.
    asked: Option<Timestamp>,
    /// Whether it has lent the refresh lease.
    holds_lease: bool,
}

/// How a load ended.
enum Loaded<T, E> {
    Value(T, Origin),
    Failed(E),
    Panicked(Payload),
    Late(Caught<Result<T, E>>),
}

impl<T> Looked<T> {
    fn is_fresh(&self) -> bool {
        self.known.as_ref().is_some_and(Known::is_fresh)
    }
}

impl<T> Known<T> {
    fn is_fresh(&self) -> bool {
        self.usable == Use::Fresh
    }

    /// Whether it may be used while it is loaded anew.
    fn is_usable(&self) -> bool {
        self.usable == Use::WhileRevalidated
    }
}

impl<T: Movable + 'static> Want<T> {
    /// Sees to the value. Another process that loads it is waited for if the caller `is_patient`.
    pub(super) async fn lead<E: Movable + 'static>(
        self,
        loader: Loader<T, E>,
        lead: Lead,
        is_patient: bool,
    ) -> Led<T, E> {
        let (common, spawner) = (Arc::clone(&self.common), self.spawner.clone());
        let patience = match is_patient {
            true => common.load_timeout,
            false => Duration::ZERO,
        };
        let end = common.now() + patience;
        let mut pause = FIRST_PAUSE;
        let (known, beginning) = loop {
            let Looked {
                lease,
                known,
                beginning,
            } = self.look().await;
            let waits = lease == Lease::HeldElsewhere && common.now() + pause < end;
            match known {
                Some(known) if known.is_fresh() || waits && known.is_usable() => {
                    let is_fresh = known.is_fresh();
                    self.serve(lead, known.stale, &beginning, is_fresh).await;
                    return Led::Value(known.value);
                }
                _ if waits => {}
                known => break (known, beginning),
            }
            common.place.sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        };
        match known {
            Some(known) if known.is_usable() && spawner.is_apart() => {
                let Known { value, stale, .. } = known;
                let refresh = common.flights.start(&self.key, common.deadline());
                let content = Arc::clone(&stale.content);
                lead.end(Outcome::Value(content, beginning.asked));
                let work = self.load_or_serve(loader, refresh, beginning, Some(stale), true);
                spawner.later(Box::pin(async { drop(work.await) })).await;
                Led::Value(value)
            }
            known => {
                let stale = known.map(|known| known.stale);
                self.load_or_serve(loader, lead, beginning, stale, false)
                    .await
            }
        }
    }

    /// Loads the value anew in the background, unless another process does so.
    pub(super) async fn refresh<E: Movable + 'static>(self, loader: Loader<T, E>, lead: Lead) {
        let common = Arc::clone(&self.common);
        let end = common.now() + common.load_timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let Looked {
                lease,
                known,
                beginning,
            } = self.look().await;
            let is_another = lease == Lease::HeldElsewhere;
            match known {
                Some(known) if known.is_fresh() => {
                    return self.serve(lead, known.stale, &beginning, true).await;
                }
                Some(known) if is_another && known.is_usable() => {
                    // Nobody needs to know at once.
                    return common.place.sleep(LONGEST_PAUSE).await;
                }
                _ if is_another && common.now() + pause < end => {}
                _ if is_another => return,
                known => {
                    let stale = known.map(|known| known.stale);
                    let work = self.load_or_serve(loader, lead, beginning, stale, true);
                    return drop(work.await);
                }
            }
            common.place.sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Asks the store about the value.
    async fn look(&self) -> Looked<T> {
        let looked = self.look_once(false).await;
        if looked.lease == Lease::NotDue && !looked.is_fresh() {
            // It went stale meanwhile, was purged, or is none of this type: nobody has the lease.
            return self.look_once(true).await;
        }
        looked
    }

    async fn look_once(&self, is_wanted: bool) -> Looked<T> {
        let common = &self.common;
        let (mut answer, asked) = common.ask(&self.key, &self.tags(), is_wanted).await;
        let holds_lease = answer.lease.is_granted() && asked.is_some();
        if answer.is_other && (holds_lease || answer.lease == Lease::NotDue) {
            match common.read(&self.key).await {
                Ok(found) => answer.found = found,
                Err(unasked) => answer = unasked,
            }
        }
        Looked {
            lease: answer.lease,
            known: answer.found.and_then(|found| self.known_of(found)),
            beginning: Beginning {
                origin: answer.origin,
                asked,
                holds_lease,
            },
        }
    }

    /// The value was found, and need not be loaded.
    async fn serve(&self, lead: Lead, stale: Stale, beginning: &Beginning, is_fresh: bool) {
        lead.end(Outcome::Value(stale.content, beginning.asked));
        if is_fresh && beginning.holds_lease {
            self.spawner.later(self.release()).await;
        }
    }

    /// The tags that the value is to have, as far as they are known.
    fn tags(&self) -> Vec<String> {
        let rules = self.entry.rules();
        rules.map(|rules| rules.tags).unwrap_or_default()
    }

    /// What was found, if it is of the type.
    fn known_of(&self, found: Found) -> Option<Known<T>> {
        let Found { entry, age, usable } = found;
        Some(Known {
            value: (self.codec.decode)(&entry.content)?,
            usable,
            stale: Stale {
                until: self.common.now() + entry.keep_until.since(entry.stamp + age),
                content: entry.content,
                tags: entry.tags,
            },
        })
    }

    /// Loads, and serves what is stale if that fails.
    async fn load_or_serve<E: Movable + 'static>(
        self,
        loader: Loader<T, E>,
        lead: Lead,
        beginning: Beginning,
        stale: Option<Stale>,
        is_background: bool,
    ) -> Led<T, E> {
        let Beginning {
            origin,
            asked,
            holds_lease,
        } = beginning;
        // Who comes after a purge waits neither for what is loaded nor for what is stale.
        let stale_tags = stale.as_ref().map_or(&[][..], |stale| &stale.tags);
        let tags = [&self.tags(), stale_tags].concat();
        lead.restart(tags, self.common.deadline());
        let origin = self.completed(origin).await;
        let Loader { load, copy } = loader;
        let content = stale.as_ref().map(|stale| Arc::clone(&stale.content));
        let plan = Arc::new(Plan::new(self.entry.clone()));
        let loading = Loading::new(Arc::clone(&plan), content, self.codec, is_background);
        let work = Caught(Box::pin(async move { load(loading).await }));
        let until = self.common.now() + self.common.load_timeout;
        let loaded = self.load(work, &plan, &lead, origin).await;
        let led = match loaded {
            // Its process was held up, and others did not wait for it.
            Loaded::Value(value, _) if self.common.now() >= until => return Led::Value(value),
            Loaded::Value(value, origin) => {
                let beginning = Beginning {
                    origin,
                    asked,
                    holds_lease,
                };
                return self.keep(value, &plan, lead, beginning).await;
            }
            Loaded::Failed(error) => Led::Failed(error),
            Loaded::Panicked(payload) => Led::Panicked(payload),
            Loaded::Late(work) => Led::Late(work),
        };
        let release = self.release_of(holds_lease && !lead.is_outdated(), asked);
        // A ceiling is one for slow loads too.
        let stale = stale.filter(|stale| self.common.now() < stale.until);
        let value = stale
            .as_ref()
            .and_then(|stale| (self.codec.decode)(&stale.content));
        if let (Some(stale), Some(value)) = (stale, value) {
            lead.end(Outcome::Value(stale.content, asked));
            self.spawner.later(Box::pin(release)).await;
            return match led {
                Led::Panicked(payload) => Led::Panicked(payload),
                _ => Led::Value(value),
            };
        }
        if let Led::Late(_) = led {
            lead.end(Outcome::Nothing);
            self.spawner.later(Box::pin(release)).await;
            return led;
        }
        let error = match (&led, copy) {
            (Led::Failed(error), Some(copy)) => Some(Box::new(copy(error)) as SharedError),
            _ => None,
        };
        // Whoever tries next finds the lease returned.
        let end = async move {
            release.await;
            lead.fail(error);
        };
        self.spawner.later(Box::pin(end)).await;
        led
    }

    /// What is known before a load begins. The epochs of the caller's tags are asked for if a value
    /// with other ones was remembered.
    async fn completed(&self, mut origin: Origin) -> Origin {
        if let Ok(rules) = self.entry.rules()
            && origin.is_told()
            && !origin.is_for(&rules.tags)
        {
            origin.retag(self.common.late_origin(&self.key, &rules).await);
        }
        origin
    }

    /// Waits for a load, for as long as it may take, and learns meanwhile the epochs of tags that
    /// are named only now.
    async fn load<E: Movable + 'static>(
        &self,
        mut work: Caught<Result<T, E>>,
        plan: &Plan,
        lead: &Lead,
        mut origin: Origin,
    ) -> Loaded<T, E> {
        let common = &self.common;
        let mut timer = common.place.sleep(common.load_timeout);
        let mut learning: Option<BoxFuture<'static, Origin>> = None;
        let mut learnt = None;
        let result = poll_fn(|context| {
            if let Poll::Ready(result) = Pin::new(&mut work).poll(context) {
                return Poll::Ready(Some(result));
            }
            loop {
                let next = learning.take();
                let next = next.or_else(|| self.learn(plan, &mut learnt, lead, &origin));
                let Some(mut epochs) = next else { break };
                match epochs.as_mut().poll(context) {
                    Poll::Ready(told) => origin.retag(told),
                    Poll::Pending => {
                        learning = Some(epochs);
                        break;
                    }
                }
            }
            timer.as_mut().poll(context).map(|()| None)
        });
        let result = result.await;
        plan.end();
        match result {
            None => Loaded::Late(work),
            Some(Err(payload)) => Loaded::Panicked(payload),
            Some(Ok(Err(error))) => Loaded::Failed(error),
            Some(Ok(Ok(value))) => {
                // One after the other: the last one counts.
                loop {
                    let next = learning.take();
                    let next = next.or_else(|| self.learn(plan, &mut learnt, lead, &origin));
                    let Some(epochs) = next else { break };
                    origin.retag(epochs.await);
                }
                Loaded::Value(value, origin)
            }
        }
    }

    /// Learns the epochs of the planned tags, if they are needed and not known. `learnt` is the
    /// plan for which they are.
    fn learn(
        &self,
        plan: &Plan,
        learnt: &mut Option<u32>,
        lead: &Lead,
        origin: &Origin,
    ) -> Option<BoxFuture<'static, Origin>> {
        let (changes, kept) = plan.kept_since(*learnt)?;
        *learnt = Some(changes);
        let rules = kept?.rules().ok()?;
        lead.tag(&rules.tags);
        if origin.is_for(&rules.tags) || !origin.is_told() {
            return None;
        }
        let (common, key) = (Arc::clone(&self.common), self.key.clone());
        Some(Box::pin(
            async move { common.late_origin(&key, &rules).await },
        ))
    }

    /// Keeps what was loaded, as planned.
    async fn keep<E>(&self, value: T, plan: &Plan, lead: Lead, beginning: Beginning) -> Led<T, E> {
        let (common, key) = (&self.common, &self.key);
        let Beginning { origin, asked, .. } = beginning;
        let content = (self.codec.encode)(&value).map(Arc::new);
        let rules = plan.kept().map(|entry| entry.rules()).transpose();
        let rules = rules.unwrap_or_else(|error| {
            common.failed(&error);
            None
        });
        let now = common.now();
        let is_purged = match &rules {
            Some(rules) => common.values().is_purged(key, &rules.tags, &origin),
            None => false,
        };
        // Of a tag that was named after its purge, who came between must not get it.
        let is_void = is_purged && !lead.is_purged();
        let work = match (&content, rules) {
            // Another value was set since this load began, or its key was purged, and so the lease.
            _ if lead.is_outdated() => Box::pin(async {}),
            (Some(content), Some(rules)) => {
                let content = Arc::clone(content);
                let write = common.values().keep(key, content, &rules, origin, now);
                self.writing(write)
            }
            _ => self.writing(common.values().unstored(key)),
        };
        lead.end(match content {
            _ if is_void => Outcome::Lost,
            Some(content) => Outcome::Value(content, asked),
            None => Outcome::Nothing,
        });
        self.spawner.later(work).await;
        Led::Value(value)
    }

    /// The same of a load, whose lease may have passed to others.
    fn release_of(&self, holds_lease: bool, asked: Option<Timestamp>) -> BoxFuture<'static, ()> {
        let common = &self.common;
        let is_held = |asked| common.now() < asked + common.load_timeout;
        match holds_lease && asked.is_some_and(is_held) {
            true => self.release(),
            false => Box::pin(async {}),
        }
    }

    /// The load has failed, or is not needed: others may load at once.
    fn release(&self) -> BoxFuture<'static, ()> {
        self.writing(self.common.values().release(&self.key))
    }

    fn writing(&self, write: Option<Write>) -> BoxFuture<'static, ()> {
        let common = Arc::clone(&self.common);
        Box::pin(async move { common.write_quietly(write).await })
    }
}

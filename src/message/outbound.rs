//! The last changes to an answer on its way to the client, whether it comes from the gate, from the
//! cache or from the origin: the CORS headers, and the client's address in place of the origin's.
//!
//! They depend on the client, so they are made after the cache and are never stored.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::cors::{Cors, GRANTED, Grant, REQUEST_METHOD};
use crate::engine::http_cache::{Fields, Target};
use crate::engine::limit_fields::tells_limit;
use crate::engine::location;

use super::answer::{Answer, Line};
use super::forward::for_gate;
use super::head::{Head, OriginHead, is_preflight};

/// What the configuration says about these changes.
#[derive(Debug, Clone, Default)]
pub struct OutboundPlan {
    /// Which pages may read answers; `None`: the gate sets no CORS headers.
    pub cors: Option<Cors>,
    /// The origin's address, if references to it are rewritten.
    pub rewritten: Option<Rc<str>>,
}

/// The changes to the answer of one request.
#[derive(Debug, Default)]
pub struct Outbound {
    grant: Option<Grant>,
    moved: Option<Move>,
}

/// The address that is replaced, and the one that replaces it.
#[derive(Debug)]
struct Move {
    from: Rc<str>,
    to: String,
}

/// The changes to the head of an answer, in the order in which they are made.
#[derive(Debug, Default)]
pub struct Changes {
    /// The headers to remove, by names in lower case.
    pub remove: Vec<String>,
    /// The headers to set, in place of those of the same name.
    pub set: Vec<(&'static str, String)>,
    /// The header lines to add to those of the same name.
    pub append: Vec<(&'static str, String)>,
}

/// The origin's head without the headers that do not go on to the client.
struct Remaining<'a, H> {
    origin: &'a H,
    removed: &'a [String],
}

impl<H: Fields> Fields for Remaining<'_, H> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let stays = !self.removed.iter().any(|removed| removed == name);
        stays.then(|| self.origin.value(name))?
    }
}

impl OutboundPlan {
    /// The changes to the answer of this request.
    pub fn of(&self, head: &impl Head) -> Outbound {
        let grant = |cors: &Cors| cors.grant(head.value("origin").as_deref());
        let moved = |from: &Rc<str>| {
            let called = Target::of(head.url())?;
            Some(Move {
                from: Rc::clone(from),
                to: format!("{}://{}", called.scheme(), called.host()),
            })
        };
        Outbound {
            grant: self.cors.as_ref().map(grant),
            moved: self.rewritten.as_ref().and_then(moved),
        }
    }

    /// The method that a preflight asks for, if the gate is to answer it.
    pub fn preflight_of<'a>(&self, head: &'a impl Head) -> Option<Cow<'a, str>> {
        self.cors.as_ref()?.preflight.as_ref()?;
        is_preflight(head).then(|| head.value(REQUEST_METHOD))?
    }

    /// The answer to a preflight. `route`: the methods of the route that the preflight asks for, if
    /// the route names any.
    pub fn answer_preflight<B>(&self, head: &impl Head, route: Option<&[String]>) -> Answer<B> {
        let cors = self.cors.as_ref();
        let fields =
            cors.and_then(|cors| Some(cors.preflight(cors.preflight.as_ref()?, route, head)));
        let vary = ("vary", "Origin".to_owned());
        let fields = fields.into_iter().flatten().chain([vary]);
        Answer {
            headers: fields.map(Line::from).collect(),
            ..Answer::empty(204)
        }
    }
}

impl Outbound {
    /// The changes to an answer of the origin that is relayed. `own`: the gate's headers for the
    /// client. `tells_limits`: whether the gate tells limits on this route. If so, the origin's
    /// limits are removed: to the origin, all clients of the gate may be one.
    pub fn relayed(
        &self,
        origin: &impl OriginHead,
        own: Vec<(&'static str, String)>,
        tells_limits: bool,
    ) -> Changes {
        let mut removed = for_gate(origin);
        if tells_limits {
            let names = origin.names().into_iter();
            removed.extend(names.filter(|name| tells_limit(name)));
        }
        let mut changes = self.changes(&Remaining {
            origin,
            removed: &removed,
        });
        changes.remove.extend(removed);
        changes.set.extend(own);
        changes
    }

    /// Makes the changes to an answer of the gate or from the cache. `own`: the gate's headers for
    /// the client.
    pub fn mark<B>(&self, mut answer: Answer<B>, own: Vec<(&'static str, String)>) -> Answer<B> {
        let changes = self.changes(&answer);
        answer
            .headers
            .retain(|line| !changes.remove.iter().any(|removed| line.name() == removed));
        for (name, value) in changes.set.into_iter().chain(own) {
            answer.set(name, value);
        }
        let append = changes.append.into_iter().map(Line::from);
        answer.headers.extend(append);
        answer
    }

    fn changes(&self, answer: &impl Fields) -> Changes {
        let mut changes = Changes::default();
        if let Some(grant) = &self.grant {
            changes.set = grant.fields(answer);
            if !changes.set.is_empty() {
                changes.remove = GRANTED.map(str::to_owned).into();
            }
            if Grant::varies(answer) {
                changes.append.push(("vary", "Origin".to_owned()));
            }
        }
        if let Some(Move { from, to }) = &self.moved {
            for name in ["location", "content-location"] {
                let moved = answer
                    .value(name)
                    .and_then(|url| location::moved(&url, from, to));
                changes.set.extend(moved.map(|url| (name, url)));
            }
        }
        changes
    }
}

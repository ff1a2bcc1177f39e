//! What an answer gets on its way to the client, wherever it comes from: who may read it (CORS), and the
//! client's address in place of the origin's.
//!
//! It is done last, after the cache, so nothing of it is ever stored: it is for one client.

use std::borrow::Cow;
use std::rc::Rc;

use crate::engine::cors::{Cors, Grant, REQUEST_METHOD};
use crate::engine::http_cache::{Fields, Target};
use crate::engine::limit_fields::tells_limit;
use crate::engine::location;

use super::answer::{Answer, Content};
use super::forward::for_gate;
use super::head::{Head, OriginHead, is_preflight};

/// What the configuration says about it.
#[derive(Debug, Clone, Default)]
pub struct OutboundPlan {
    /// Which pages may read answers; `None`: the gate says nothing about that.
    pub cors: Option<Cors>,
    /// The origin's address, where references to it are turned into the client's.
    pub rewritten: Option<Rc<str>>,
}

/// What the answers to one request get.
#[derive(Debug, Default)]
pub struct Outbound {
    grant: Option<Grant>,
    moved: Option<Move>,
}

/// From which address to which.
#[derive(Debug)]
struct Move {
    from: Rc<str>,
    to: String,
}

/// How the head of an answer is changed: the first list is taken off, then the second set, then the third
/// added.
#[derive(Debug, Default)]
pub struct Changes {
    /// Names in lower case.
    pub remove: Vec<String>,
    /// Fields in place of those of the same name.
    pub set: Vec<(&'static str, String)>,
    /// Field lines beside those of the same name.
    pub append: Vec<(&'static str, String)>,
}

impl OutboundPlan {
    /// What the answers to this request get.
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

    /// The answer to it. `route`: the methods of the route that it asks for, if that names them.
    pub fn answer_preflight<B>(&self, head: &impl Head, route: Option<&[String]>) -> Answer<B> {
        let cors = self.cors.as_ref();
        let fields =
            cors.and_then(|cors| Some(cors.preflight(cors.preflight.as_ref()?, route, head)));
        let vary = ("vary", "Origin".to_owned());
        let fields = fields.into_iter().flatten().chain([vary]);
        Answer {
            status: 204,
            headers: fields.map(|(name, value)| (name.into(), value)).collect(),
            body: Content::Empty,
        }
    }
}

impl Outbound {
    /// What is changed in an answer of the origin's that is handed on: it gets these headers of the gate's
    /// `own`. `tells_limits`: the gate tells limits of its own on this route, so the origin's go. They may
    /// have other names, and to the origin all clients of the gate may be one.
    pub fn relayed(
        &self,
        origin: &impl OriginHead,
        own: Vec<(&'static str, String)>,
        tells_limits: bool,
    ) -> Changes {
        let mut changes = self.changes(origin);
        changes.remove = for_gate(origin);
        if tells_limits {
            let names = origin.names().into_iter();
            changes
                .remove
                .extend(names.filter(|name| tells_limit(name)));
        }
        changes.set.extend(own);
        changes
    }

    /// An answer of the gate's own, or from the cache, with these headers of the gate's `own`.
    pub fn mark<B>(&self, mut answer: Answer<B>, own: Vec<(&'static str, String)>) -> Answer<B> {
        let changes = self.changes(&answer);
        for (name, value) in changes.set.into_iter().chain(own) {
            answer.set(name, value);
        }
        let append = changes.append.into_iter();
        let append = append.map(|(name, value)| (name.into(), value));
        answer.headers.extend(append);
        answer
    }

    fn changes(&self, answer: &impl Fields) -> Changes {
        let mut changes = Changes::default();
        if let Some(grant) = &self.grant {
            changes.set = grant.fields(answer);
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

//! What JavaScript is told of decisions and failures, apart from responses.

use js_sys::{Array, Function};
use serde_json::json;
use wasm_bindgen::prelude::*;
use web_sys::Response;

use crate::clock::Timestamp;
use crate::engine::limit::Source;
use crate::engine::limit_fields::{self, Style};
use crate::error::Error;
use crate::gateway::{Admission, Respond};
use crate::limiter::{Reason, Refusal};
use crate::message::answer::Content;

use super::body::JsBody;
use super::respond;

/// A request of which only the limits were asked: the response if it is refused, the headers that
/// tell the limits, in lines of names and values in turns, and as JSON what each limit says.
pub fn admission(respond: Respond<JsBody>, has_store: bool, now: Timestamp) -> JsValue {
    let admission = respond.admission.as_ref();
    let headers = admission.map(Admission::headers).unwrap_or_default();
    let lines = headers
        .into_iter()
        .map(|(name, value)| [name, "\n", &value].concat());
    let lines = lines.collect::<Vec<_>>().join("\n");
    let limits = admission.map_or_else(Vec::new, |admission| limits(admission, has_store, now));
    let limits = serde_json::to_string(&limits).unwrap_or_default();
    let response = match respond.answer.status {
        200..300 => JsValue::UNDEFINED,
        _ => respond::respond(respond.answer)
            .unwrap_or_else(|_| Response::error())
            .into(),
    };
    Array::of3(&response, &lines.into(), &limits.into()).into()
}

fn limits(admission: &Admission, has_store: bool, now: Timestamp) -> Vec<serde_json::Value> {
    let reason = match (admission.refusal(), admission.source()) {
        (Some(Refusal::Held { .. }), _) => Some(Reason::DenyList),
        (Some(_), Source::Blocked) => Some(Reason::CacheBlock),
        (_, Source::Local) if has_store => Some(Reason::Timeout),
        _ => None,
    };
    let each = admission.limits().zip(admission.told(reason, now));
    let each = each.filter_map(|((name, seen), told)| Some((name, seen?, told)));
    let each = each.map(|(name, seen, told)| {
        let item = limit_fields::Item {
            name,
            quota: seen.quota,
            verdict: None,
            partition: None,
        };
        let policy = limit_fields::fields(Style::Draft10, &[item], now).pop();
        json!({
            "success": told.passes,
            "limit": told.limit,
            "remaining": told.remaining,
            "reset": told.reset.as_millis(),
            "retryAfter": crate::clock::millis(told.retry_after),
            "policy": policy.map(|(_, policy)| policy),
            "source": told.source.as_str(),
            "reason": told.reason.map(|reason| match reason {
                Reason::Timeout => "timeout",
                Reason::CacheBlock => "cacheBlock",
                Reason::DenyList => "denyList",
            }),
            "shadowed": told.shadowed,
        })
    });
    each.collect()
}

/// A purge that is over: the status and the body of the answer that the admin page would give, and
/// the failure of the store, if there was one.
pub fn purged(respond: Respond<JsBody>, failure: Option<&Error>) -> JsValue {
    let body = match respond.answer.body {
        Content::Text(text) => text,
        Content::Empty | Content::Stored(_) => String::new(),
    };
    let failure = failure.map_or(JsValue::UNDEFINED, |error| told(error).into());
    Array::of3(&respond.answer.status.into(), &body.into(), &failure).into()
}

/// The first failure of a purge.
pub fn failure_of(
    replies: &Result<Vec<Result<crate::redis::Value, Error>>, Error>,
) -> Option<&Error> {
    let each = replies
        .iter()
        .flatten()
        .filter_map(|reply| reply.as_ref().err());
    each.chain(replies.as_ref().err()).next()
}

/// Reports a failure of the store. What the listener throws is lost: no request depends on it.
pub fn report(listener: &Function, error: &Error) {
    let _ = listener.call1(&JsValue::UNDEFINED, &told(error));
}

/// An error as the package's `EdgeError` is made of: its text, its code, whether anything may have
/// run, and Redis's own code.
fn told(error: &Error) -> Array {
    let redis_code = error.redis_code().map_or(JsValue::UNDEFINED, JsValue::from);
    Array::of4(
        &error.to_string().into(),
        &error.code().into(),
        &error.may_have_run().into(),
        &redis_code,
    )
}

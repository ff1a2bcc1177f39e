//! Heads of responses that stay in JavaScript, because most of a head is the same for every client.
//!
//! A head knows all that it shows. It is taken out before it is changed and put back after the
//! response was made, so one that was changed in part, by whatever end, is never used again. And a
//! response sets every line that differs from what the head shows, whoever got the response before.
//! So no client can see what was meant for another.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use wasm_bindgen::prelude::*;
use web_sys::{Headers, Response};

use crate::message::answer::Line;

#[wasm_bindgen(module = "/src/shell/web/web.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = answer)]
    fn js_answer(
        status: u16,
        headers: &JsValue,
        changes: &str,
        is_new: bool,
        body: &JsValue,
    ) -> Result<Response, JsValue>;
}

/// How many heads are kept, so that they take a few megabytes at most: each takes one to two
/// kilobytes, which the size of the cache does not count.
const MOST: usize = 4_096;

thread_local! {
    /// The places of the heads of answers without a stored body, by status. Refusals of one route
    /// differ in a few lines.
    static BY_STATUS: RefCell<Vec<(u16, Slot)>> = const { RefCell::new(Vec::new()) };

    /// The places that have a head, the oldest first.
    static KEPT: RefCell<VecDeque<Weak<RefCell<Option<Prepared>>>>> =
        const { RefCell::new(VecDeque::new()) };
}

/// The place of a head, which all clones share. There is none in it while a response is being made.
#[derive(Debug, Clone, Default)]
pub struct Slot(Rc<RefCell<Option<Prepared>>>);

impl Slot {
    fn take(&self) -> Option<Prepared> {
        self.0.take()
    }

    fn keep(&self, head: Prepared, is_new: bool) {
        self.0.replace(Some(head));
        if is_new {
            let oldest = KEPT.with_borrow_mut(|kept| {
                kept.push_back(Rc::downgrade(&self.0));
                (kept.len() > MOST).then(|| kept.pop_front())?
            });
            let oldest = oldest.and_then(|oldest| oldest.upgrade());
            oldest.map(|oldest| oldest.take());
        }
    }

    /// Makes a response with these header lines, and keeps its head for the next one.
    ///
    /// # Errors
    ///
    /// If the runtime refuses the status or a header.
    pub fn respond(
        &self,
        status: u16,
        lines: Vec<Line>,
        body: &JsValue,
    ) -> Result<Response, JsValue> {
        let kept = self.take();
        let is_new = kept.is_none();
        let (response, head) = Prepared::respond(kept, status, lines, body)?;
        self.keep(head, is_new);
        Ok(response)
    }
}

/// A head in JavaScript.
#[derive(Debug)]
struct Prepared {
    headers: Headers,
    shows: Vec<Line>,
}

impl Prepared {
    /// Makes a response with these header lines, and the head for the next one. `kept`: the head of
    /// an earlier response.
    ///
    /// # Errors
    ///
    /// If the runtime refuses the status or a header.
    fn respond(
        kept: Option<Self>,
        status: u16,
        lines: Vec<Line>,
        body: &JsValue,
    ) -> Result<(Response, Self), JsValue> {
        let kept = kept.and_then(|kept| Some((differing(&kept.shows, &lines)?, kept.headers)));
        let (response, headers) = match kept {
            Some((changes, headers)) => {
                let changes = text(changes)?;
                let response = js_answer(status, &headers, &changes, false, body)?;
                (response, headers)
            }
            None => {
                let headers = Headers::new()?;
                let response = js_answer(status, &headers, &text(&lines)?, true, body)?;
                (response, headers)
            }
        };
        let shows = lines;
        Ok((response, Self { headers, shows }))
    }
}

/// Makes a response with these header lines and a body that is not a stored one.
///
/// # Errors
///
/// As [`Slot::respond`].
pub fn respond_unstored(
    status: u16,
    lines: Vec<Line>,
    body: &JsValue,
) -> Result<Response, JsValue> {
    let slot = BY_STATUS.with_borrow_mut(|slots| {
        let known = slots.iter().find(|(of, _)| *of == status);
        match known {
            Some((_, slot)) => slot.clone(),
            None => {
                let slot = Slot::default();
                slots.push((status, slot.clone()));
                slot
            }
        }
    });
    slot.respond(status, lines, body)
}

/// The lines that replace those that a head shows, if setting them one by one makes the one of the
/// other: if each line has its place in both, and none that changes is one of several of its name.
fn differing<'a>(shows: &[Line], lines: &'a [Line]) -> Option<Vec<&'a Line>> {
    if shows.len() != lines.len() {
        return None;
    }
    let mut changes = Vec::new();
    for (old, new) in shows.iter().zip(lines) {
        if old == new {
            continue;
        }
        let alike = |line: &&Line| line.name().eq_ignore_ascii_case(new.name());
        if old.name() != new.name() || lines.iter().filter(alike).count() > 1 {
            return None;
        }
        changes.push(new);
    }
    Some(changes)
}

/// Lines as `web.js` takes them. A line feed would begin another one, and no header can hold one.
fn text<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Result<String, JsValue> {
    let mut text = String::new();
    for line in lines {
        let (name, value) = (line.name(), line.value());
        if name.contains('\n') || value.contains('\n') {
            return Err(JsValue::UNDEFINED);
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.extend([name, "\n", value]);
    }
    Ok(text)
}

//! What is said: errors, headers, names of clients, scripts.

use std::time::Duration;

use http::StatusCode;
use omnitrade_edge::engine::limit::{Quota, Verdict};
use omnitrade_edge::engine::limit_fields::{Item, Style, fields};
use omnitrade_edge::engine::subject;
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::redis::{
    Script, error_of_reply, is_first_line_refusal, meaning_of_status, only_reads,
};
use omnitrade_edge::store::ADMIT;
use wasm_bindgen::prelude::*;

use super::place::{given, instant, put_texts, whole};

/// Says something about a text: the first text of the answer, if there is one. `verb`:
///
/// - 0: the error that Redis's own text means. The first line is the name of the command.
/// - 1: the error that the HTTP status `a` means. The first line is the name of the command, and
///   what follows, if `b` is 1, what the server says.
/// - 2: the client of an address, IPv6 by its first `a` bits.
/// - 3: the SHA-1 of a script, in hexadecimal.
/// - 4: the script of limiter and cache; `a` 1: with the line by which Upstash locks its keys only.
/// - 5: whether the command of this name only reads: some text.
/// - 6: the headers that tell limits, names and values in turns, in lines. In the text each limit
///   has a line: its quota, its window in milliseconds, whether it passes (0 or 1), what remains,
///   in how many milliseconds it resets, and its name. `a`: 0: draft-10, 1: draft-7, else the
///   legacy ones; `b`: now.
///
/// An error is in lines: its code, whether it may have run (0 or 1), Redis's code or nothing,
/// whether it refuses the first line of a script (0 or 1), and the message.
#[wasm_bindgen]
pub fn say(verb: u32, a: f64, b: f64) {
    put_texts(said(verb, &given(), a, b));
}

fn said(verb: u32, text: &str, a: f64, b: f64) -> Option<String> {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let command = Some(first).filter(|name| !name.is_empty());
    let number = u16::try_from(whole(a)).unwrap_or(u16::MAX);
    match verb {
        0 => Some(error(&error_of_reply(rest, command))),
        1 => {
            let status = StatusCode::from_u16(number).unwrap_or(StatusCode::BAD_GATEWAY);
            let said = (b > 0.0).then_some(rest);
            Some(error(&meaning_of_status(status, said, command)))
        }
        2 => {
            let ip = subject::address(text)?;
            let bits = u8::try_from(number).unwrap_or(u8::MAX);
            Some(subject::of_address(ip, bits))
        }
        3 => Some(Script::new(text.to_owned()).sha().to_owned()),
        4 if a > 0.0 => Some(ADMIT.locking_lua().to_owned()),
        4 => Some(ADMIT.lua().to_owned()),
        5 => only_reads(text).then(String::new),
        _ => Some(limit_fields(text, number, b)),
    }
}

fn error(error: &Error) -> String {
    let flag = |is: bool| if is { "1" } else { "0" };
    let text = error.to_string();
    let lines = [
        // To a program that sends commands of its own it is a wrong one.
        if error.detail().starts_with("ERR unknown command") {
            ErrorKind::Command.code()
        } else {
            error.code()
        },
        flag(error.may_have_run()),
        error.redis_code().unwrap_or_default(),
        flag(is_first_line_refusal(error)),
        &text,
    ];
    lines.join("\n")
}

fn limit_fields(text: &str, style: u16, now: f64) -> String {
    let read: Vec<_> = text.lines().filter_map(read).collect();
    let items = read.iter().map(|(name, quota, verdict)| Item {
        name,
        quota: *quota,
        verdict: Some(verdict),
        partition: None,
    });
    let style = match style {
        0 => Style::Draft10,
        1 => Style::Draft7,
        _ => Style::Legacy,
    };
    let mut lines = Vec::new();
    for (name, value) in fields(style, &items.collect::<Vec<_>>(), instant(now)) {
        lines.extend([name.to_owned(), value]);
    }
    lines.join("\n")
}

fn read(line: &str) -> Option<(&str, Quota, Verdict)> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (permits, window, met) = (number()?, number()?, number()?);
    let (remaining, reset) = (number()?, number()?);
    let quota = Quota {
        permits,
        window: Duration::from_millis(window),
    };
    let verdict = Verdict {
        met: met > 0,
        remaining,
        retry_after: Duration::ZERO,
        reset_after: Duration::from_millis(reset),
    };
    Some((words.next()?, quota, verdict))
}

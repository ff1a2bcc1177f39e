//! What came of a transaction, by the replies to `MULTI`, its commands and `EXEC`. Pure.

use redis::Value;

use super::reply::error_text;

/// A reply for each command, or the error for which none of them ran. `None`: it is neither.
pub fn outcome(mut replies: Vec<Value>) -> Option<Result<Vec<Value>, String>> {
    let exec = replies.pop()?;
    let commands = replies.len().checked_sub(1)?;
    match exec {
        Value::Array(results) if results.len() == commands => Some(Ok(results)),
        Value::ServerError(exec) => Some(Err(discarded(&replies, error_text(&exec)))),
        _ => None,
    }
}

/// EXEC's error. If it only says that there were previous errors, the first of these is added.
fn discarded(queued: &[Value], exec: String) -> String {
    let reason = queued.iter().find_map(|reply| match reply {
        Value::ServerError(error) => Some(error_text(error)),
        _ => None,
    });
    match reason {
        Some(reason) if exec.contains("previous errors") => {
            format!("EXECABORT Transaction discarded because of: {reason}")
        }
        _ => exec,
    }
}

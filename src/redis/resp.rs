//! The store over a connection of Redis's own protocol, RESP.

use std::time::Duration;

use redis::{Cmd, Pipeline};
use tokio::time::{Instant, timeout_at};

use super::call::{By, Exchange, Together};
use super::command::Command;
use super::failure;
use super::script::Source;
use super::tcp::connection::{Link, SharedConnection};
use super::tcp::{Reply, error_text, guard, transaction};
use super::value::Value;
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind};
use crate::transport::native;

/// Makes one exchange over the shared connection.
pub(super) struct Tcp<'a>(pub(super) &'a SharedConnection);

/// Commands, ready to be sent.
pub(super) enum Packed {
    One(Cmd),
    Several(Pipeline),
    /// Between `MULTI` and `EXEC`.
    Transaction(Pipeline),
}

/// The keys and arguments of a script.
pub(super) struct Call<'a> {
    pub(super) keys: &'a [&'a str],
    pub(super) args: &'a [&'a str],
    pub(super) repeatable: bool,
}

impl<'a> Exchange for Tcp<'a> {
    /// An error: it cannot be sent.
    type Request = Result<Packed, Error>;
    type Reply = Vec<redis::Value>;
    type Call = Call<'a>;

    fn command(&self, command: &Command) -> Result<Packed, Error> {
        packed(command).map(Packed::One)
    }

    fn several(&self, commands: &[Command], together: Together) -> Result<Packed, Error> {
        let mut pipeline = Pipeline::with_capacity(commands.len() + 2);
        match together {
            Together::Pipeline => {
                for command in commands {
                    pipeline.add_command(packed(command)?);
                }
                Ok(Packed::Several(pipeline))
            }
            // They are written in one piece, so that no other call's commands come between them.
            Together::Transaction => {
                pipeline.cmd("MULTI");
                for command in commands {
                    pipeline.add_command(packed(command)?);
                }
                pipeline.cmd("EXEC");
                Ok(Packed::Transaction(pipeline))
            }
        }
    }

    fn script(
        &self,
        call: &Call<'a>,
        source: &Source,
        by: By,
        is_repeat: bool,
    ) -> Result<Packed, Error> {
        let mut command = match by {
            By::Digest => redis::cmd("EVALSHA"),
            By::Source => redis::cmd("EVAL"),
        };
        command
            .arg(match by {
                By::Digest => source.sha(),
                By::Source => source.lua(),
            })
            .arg(call.keys.len());
        for word in call.keys.iter().chain(call.args) {
            command.arg(*word);
        }
        if call.repeatable {
            command.arg(if is_repeat { "1" } else { "0" });
        }
        Ok(Packed::One(command))
    }

    async fn attempt(
        &self,
        request: &Result<Packed, Error>,
        name: Option<&str>,
        left: Duration,
    ) -> Result<Vec<redis::Value>, Error> {
        let packed = request.as_ref().map_err(Error::clone)?;
        let deadline = Instant::now() + left;
        let link = timeout_at(deadline, self.0.link()).await;
        let mut link = link.map_err(|_| {
            let detail = "no connection within the deadline";
            Error::new(ErrorKind::Timeout, false, detail)
        })??;
        let beats = link.beats();
        let reply = timeout_at(deadline, exchange(&mut link, packed, name)).await;
        reply.unwrap_or_else(|_| {
            link.abandon_if_silent_since(beats);
            let detail = "no reply within the deadline";
            Err(Error::new(ErrorKind::Timeout, true, detail))
        })
    }

    fn read_one(&self, reply: Vec<redis::Value>, name: &str) -> Result<Value, Error> {
        let [reply] = <[_; 1]>::try_from(reply).map_err(|_| as_many_missing())?;
        result(reply, name)
    }

    fn read_several(
        &self,
        replies: Vec<redis::Value>,
        commands: &[Command],
        _together: Together,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        if replies.len() != commands.len() {
            return Err(as_many_missing());
        }
        let each = replies.into_iter().zip(commands);
        Ok(each
            .map(|(reply, command)| result(reply, command.name()))
            .collect())
    }

    fn now(&self) -> Timestamp {
        native::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn random(&self) -> f64 {
        native::random()
    }
}

/// Sends commands and waits for the replies. A single command that Redis refuses is an error, so
/// that it can be sent again if Redis refuses it only now.
async fn exchange(
    link: &mut Link,
    packed: &Packed,
    name: Option<&str>,
) -> Result<Vec<redis::Value>, Error> {
    match packed {
        Packed::One(command) => match link.run(command).await? {
            redis::Value::ServerError(error) => Err(failure::from_text(&error_text(&error), name)),
            reply => Ok(vec![reply]),
        },
        Packed::Several(pipeline) => link.run_all(pipeline).await,
        Packed::Transaction(pipeline) => {
            match transaction::outcome(link.run_all(pipeline).await?) {
                Some(Ok(replies)) => Ok(replies),
                Some(Err(discarded)) => Err(failure::from_text(&discarded, name)),
                None => Err(as_many_missing()),
            }
        }
    }
}

/// The words of a command, unless the connection cannot carry it.
fn packed(command: &Command) -> Result<Cmd, Error> {
    let words = command.words();
    if guard::takes_over(&words) {
        let detail = "the command would take over or hold up the connection that all calls share";
        let error = Error::new(ErrorKind::Forbidden, false, detail);
        return Err(error.of_command(Some(command.name())));
    }
    let mut packed = Cmd::new();
    for word in &words {
        packed.arg(word.as_bytes());
    }
    Ok(packed)
}

/// The reply to the command with this name.
fn result(reply: redis::Value, name: &str) -> Result<Value, Error> {
    match reply {
        redis::Value::ServerError(error) => {
            Err(failure::from_text(&error_text(&error), Some(name)))
        }
        reply => Ok(value(reply.into())),
    }
}

fn value(reply: Reply) -> Value {
    match reply {
        Reply::Nil => Value::Null,
        Reply::Int(number) => Value::Int(number),
        Reply::Bulk(bytes) => Value::Bytes(bytes.into()),
        Reply::Status(text) => Value::Bytes(text.into()),
        Reply::Array(items) => Value::Array(items.into_iter().map(value).collect()),
        Reply::Error(text) => Value::Error(failure::from_text(&text, None)),
    }
}

fn as_many_missing() -> Error {
    Error::new(
        ErrorKind::Protocol,
        true,
        "as many replies as commands are missing",
    )
}

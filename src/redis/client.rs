//! What a limiter or a cache needs of a store, over whatever it is reached.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::command::Command;
use super::script::Script;
use super::value::Value;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::transport::{AnyThread, BoxFuture};

/// A client of a Redis that any thread may use: [`RestClient`](super::RestClient), `TcpClient`
/// (feature `redis-tcp`), or one of your own.
///
/// What a call promises is said there: one deadline, retries only of what may run twice, errors
/// without secrets. One of your own sends [`Command::words`] and a script's [`sha`](Script::sha) or
/// [`lua`](Script::lua), and makes errors of what it hears: [`error_of_reply`], [`Error::not_run`].
///
/// [`error_of_reply`]: super::error_of_reply
pub trait Client: AnyThread + 'static {
    /// Runs one command.
    fn command<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Result<Value, Error>>;

    /// Runs several commands in one exchange, in order. A command that fails does not stop the next
    /// one.
    fn pipeline<'a>(
        &'a self,
        commands: &'a [Command],
    ) -> BoxFuture<'a, Result<Vec<Result<Value, Error>>, Error>>;

    /// Runs a script by its digest and, if the store does not know that, by its source. A
    /// [repeatable](Script::repeatable) script gets one more argument, as
    /// [`RestClient::script`](super::RestClient::script) says.
    fn script<'a>(
        &'a self,
        script: &'a Script,
        keys: &'a [String],
        args: &'a [String],
    ) -> BoxFuture<'a, Result<Value, Error>>;

    /// The deadline of one call.
    fn timeout(&self) -> Duration;

    /// The present time.
    fn now(&self) -> Timestamp;

    /// Waits for `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()>;

    /// A uniformly distributed number in `[0, 1)`. It need not be secure.
    fn random(&self) -> f64;

    /// Where the limiters over this client keep what they have in common. Clones of a client are
    /// one client, and return the same.
    fn shared(&self) -> &Shared;
}

/// What the limiters over one client have in common, such as whether the store answers. A client
/// holds one, which begins empty, and has nothing else to do with it.
#[derive(Default)]
pub struct Shared(Mutex<Vec<Arc<dyn Any + Send + Sync>>>);

impl Shared {
    /// The one value of its type, which is made for who comes first.
    pub(crate) fn of<V: Any + Send + Sync>(&self, make: impl FnOnce() -> V) -> Arc<V> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().find_map(|any| Arc::clone(any).downcast().ok());
        known.unwrap_or_else(|| {
            let new = Arc::new(make());
            all.push(Arc::clone(&new) as Arc<dyn Any + Send + Sync>);
            new
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_value_of_a_type() {
        let shared = Shared::default();
        let one = shared.of(|| 1_u32);
        let other = shared.of(|| 2_u32);
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!(*shared.of(|| 3_u64), 3);
        assert_eq!(*other, 1);
    }
}

//! Where a limiter or a cache keeps what it knows: in a store, or in this process alone.

use std::time::Duration;

use super::client::Client;
use crate::clock::Timestamp;
use crate::transport::{AnyThread, BoxFuture, SendTransport, Transport};

/// A store, or a process without one.
pub(crate) enum Place {
    Store(Box<dyn Client>),
    Process(Box<dyn Clock>),
}

/// The clock of a process without a store.
pub(crate) trait Clock: AnyThread {
    fn now(&self) -> Timestamp;
    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

impl<T: SendTransport> Clock for T {
    fn now(&self) -> Timestamp {
        Transport::now(self)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        self.sleep_boxed(duration)
    }
}

impl Place {
    pub(crate) fn store(client: impl Client) -> Self {
        Self::Store(Box::new(client))
    }

    pub(crate) fn process(clock: impl SendTransport) -> Self {
        Self::Process(Box::new(clock))
    }

    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Store(client) => client.now(),
            Self::Process(clock) => clock.now(),
        }
    }

    pub(crate) fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        match self {
            Self::Store(client) => client.sleep(duration),
            Self::Process(clock) => clock.sleep(duration),
        }
    }
}

//! The name of a queue, with which all its keys begin.

use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;

use super::refusal::refused;

/// The prefix of a queue's keys and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueName {
    /// What all keys begin with: `bull:trading-bots:`.
    before: String,
    prefix: usize,
}

/// The prefix of BullMQ itself, if none is set.
pub const DEFAULT_PREFIX: &str = "bull";

impl QueueName {
    /// A queue under a prefix.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if BullMQ would refuse the name: it is empty or holds a colon.
    pub fn new(prefix: &str, name: &str) -> Result<Self, Error> {
        let wrong = match (name.is_empty(), name.contains(':')) {
            (true, _) => "the name of a queue must not be empty",
            (_, true) => "the name of a queue must not contain a colon",
            (false, false) => {
                return Ok(Self {
                    before: format!("{prefix}:{name}:"),
                    prefix: prefix.len(),
                });
            }
        };
        Err(refused(wrong))
    }

    /// The same queue under another prefix.
    pub fn under(&self, prefix: &str) -> Self {
        Self {
            before: format!("{prefix}:{}:", self.name()),
            prefix: prefix.len(),
        }
    }

    /// The queue's name.
    pub fn name(&self) -> &str {
        let name = self.before.get(self.prefix + 1..);
        name.and_then(|name| name.strip_suffix(':'))
            .unwrap_or_default()
    }

    /// What all keys begin with.
    pub fn before(&self) -> &str {
        &self.before
    }

    /// The key with this name, or of the job with this id.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_begin_with_prefix_and_name() {
        let queue = QueueName::new("{bull}", "bots").unwrap();
        assert_eq!(queue.name(), "bots");
        assert_eq!(queue.key("wait"), "{bull}:bots:wait");
        assert_eq!(queue.under("b").key(""), "b:bots:");
    }

    #[test]
    fn names_that_bullmq_refuses_are_refused() {
        for name in ["", "a:b"] {
            assert_eq!(QueueName::new("bull", name).unwrap_err().code(), "config");
        }
    }
}

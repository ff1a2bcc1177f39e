//! The errors of a configuration: every problem, with its path and what was expected.

use serde_json::Value;

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigProblem {
    /// The full path of the field, such as `limits.per-client.window`.
    pub path: String,
    /// What was expected there and what was found.
    pub message: String,
}

impl ConfigProblem {
    pub(super) fn new(path: &str, expected: &str, found: Option<&Value>) -> Self {
        let message = match found {
            Some(value) => format!("expected {expected}, found {}", shown(value)),
            None => format!("expected {expected}"),
        };
        Self {
            path: path.to_owned(),
            message,
        }
    }

    pub(super) fn missing(path: &str, expected: &str) -> Self {
        Self::new(path, &format!("{expected}, found nothing"), None)
    }

    pub(super) fn unknown(path: &str, expected: &str) -> Self {
        Self::new(path, &format!("{expected}; there is no such field"), None)
    }
}

impl std::fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// The error of an unusable configuration, with all its problems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<ConfigProblem>,
}

impl ConfigError {
    pub(crate) const fn new(problems: Vec<ConfigProblem>) -> Self {
        Self { problems }
    }

    /// An error in the environment of the configuration, for example a missing binding.
    #[doc(hidden)]
    pub fn of(path: &str, message: &str) -> Self {
        Self::new(vec![ConfigProblem {
            path: path.to_owned(),
            message: message.to_owned(),
        }])
    }

    /// The same error, where the field `path` is read from elsewhere.
    pub(super) fn renamed(mut self, path: &str, elsewhere: &str) -> Self {
        for problem in self.problems.iter_mut().filter(|p| p.path == path) {
            elsewhere.clone_into(&mut problem.path);
        }
        self
    }

    /// All problems, in the order of their paths.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// How an error shows a value: shortened, and for a table or a list only its kind.
fn shown(value: &Value) -> String {
    match value {
        // An address with a user name and perhaps a password.
        Value::String(text) if text.contains("://") && text.contains('@') => {
            "an address with a user".to_owned()
        }
        Value::Object(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) if text.chars().count() > 60 => {
            let start: String = text.chars().take(57).collect();
            format!("{:?}", format!("{start}..."))
        }
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

//! What the checks found, for people and as JSON.
//!
//! Every finding names its remedy, and so does every check that was left out: without one, neither
//! can be made.

use std::fmt::Write as _;

use omnitrade_edge::error::{Error, ErrorKind};
use serde_json::{Map, Value, json};

/// How a check ended, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It could not be made.
    Skip,
    /// Nothing is wrong.
    Ok,
    /// Something should be better.
    Warn,
    /// Something is wrong.
    Fail,
}

impl Status {
    /// Its name in both forms of the report.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check, while it is made and afterwards.
#[derive(Debug)]
pub struct Check {
    name: &'static str,
    summary: Vec<String>,
    findings: Vec<Finding>,
    skipped: Option<Skipped>,
    data: Map<String, Value>,
}

/// Something that is wrong, or should be better.
#[derive(Debug)]
struct Finding {
    status: Status,
    /// A stable name in snake case.
    code: &'static str,
    message: String,
    remedy: String,
}

/// Why a check was not made, and what would let it be made.
#[derive(Debug)]
struct Skipped {
    reason: String,
    remedy: String,
}

impl Check {
    /// A check of this name that has found nothing yet.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            summary: Vec::new(),
            findings: Vec::new(),
            skipped: None,
            data: Map::new(),
        }
    }

    /// Says what was seen, whether or not it is wrong.
    pub fn saw(&mut self, text: impl Into<String>) {
        self.summary.push(text.into());
    }

    /// The same as a value, for programs.
    pub fn datum(&mut self, name: &str, value: impl Into<Value>) {
        self.data.insert(name.to_owned(), value.into());
    }

    /// Something should be better.
    pub fn warn(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.found(Status::Warn, code, message.into(), remedy.into());
    }

    /// Something is wrong.
    pub fn fail(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.found(Status::Fail, code, message.into(), remedy.into());
    }

    /// The store has failed, which is what the check was to find out. `doing`: what it was asked
    /// for.
    pub fn store_failed(&mut self, doing: &str, error: &Error) {
        self.fail(error.code(), format!("{doing}: {error}"), remedy(error));
    }

    /// The check cannot be made because of a store that has failed: it is left out if the store
    /// forbids what it needs.
    pub fn store_cannot(&mut self, needs: &str, error: &Error) {
        match error.kind() {
            ErrorKind::Forbidden | ErrorKind::Command => self.skip(
                format!("{needs} is not possible here: {error}"),
                format!("to have this checked, allow the user of the token {needs}"),
            ),
            _ => self.store_failed(needs, error),
        }
    }

    /// It cannot be made, or not all of it.
    pub fn skip(&mut self, reason: impl Into<String>, remedy: impl Into<String>) {
        self.skipped.get_or_insert(Skipped {
            reason: reason.into(),
            remedy: remedy.into(),
        });
    }

    fn found(&mut self, status: Status, code: &'static str, message: String, remedy: String) {
        self.findings.push(Finding {
            status,
            code,
            message,
            remedy,
        });
    }

    /// How it ended: a check of which a part was left out is as good as the other parts.
    pub fn status(&self) -> Status {
        let worst = self.findings.iter().map(|finding| finding.status).max();
        let nothing = match self.skipped.is_some() && self.summary.is_empty() {
            true => Status::Skip,
            false => Status::Ok,
        };
        worst.unwrap_or(nothing)
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    fn to_json(&self) -> Value {
        let findings: Vec<_> = self.findings.iter().map(Finding::to_json).collect();
        let skipped = self
            .skipped
            .as_ref()
            .map(|skipped| json!({ "reason": skipped.reason, "remedy": skipped.remedy }));
        json!({
            "name": self.name,
            "status": self.status().as_str(),
            "summary": self.summary.join("; "),
            "findings": findings,
            "skipped": skipped,
            "data": self.data,
        })
    }

    fn write(&self, text: &mut String) {
        let status = self.status().as_str();
        let mut lines = Vec::new();
        if !self.summary.is_empty() {
            lines.push(self.summary.join("; "));
        }
        for finding in &self.findings {
            let word = match finding.status {
                Status::Fail => "wrong",
                _ => "better",
            };
            lines.push(format!("{word}: {}", finding.message));
            lines.push(format!("  -> {}", finding.remedy));
        }
        if let Some(skipped) = &self.skipped {
            lines.push(format!("not checked: {}", skipped.reason));
            lines.push(format!("  -> {}", skipped.remedy));
        }
        let mut head = format!("{status:<5} {:<9} ", self.name);
        for line in lines {
            let _ = writeln!(text, "{head}{line}");
            head = " ".repeat(head.len());
        }
    }
}

impl Finding {
    fn to_json(&self) -> Value {
        json!({
            "status": self.status.as_str(),
            "code": self.code,
            "message": self.message,
            "remedy": self.remedy,
        })
    }
}

/// All checks of a run.
#[derive(Debug)]
pub struct Report(pub Vec<Check>);

impl Report {
    /// The worst of all.
    pub fn status(&self) -> Status {
        let worst = self.0.iter().map(Check::status).max();
        worst.unwrap_or(Status::Skip)
    }

    /// The names of the checks that ended like this.
    pub fn names(&self, status: Status) -> Vec<&'static str> {
        let like = self.0.iter().filter(|check| check.status() == status);
        like.map(Check::name).collect()
    }

    /// A line or more for each check, and one that counts them.
    pub fn as_lines(&self) -> String {
        let mut text = String::new();
        for check in &self.0 {
            check.write(&mut text);
        }
        let count = |status| self.names(status).len();
        let _ = writeln!(
            text,
            "\n{} ok, {} with a warning, {} failed, {} skipped",
            count(Status::Ok),
            count(Status::Warn),
            count(Status::Fail),
            count(Status::Skip)
        );
        text
    }

    /// The same for programs.
    pub fn as_json(&self) -> String {
        let count = |status| self.names(status).len();
        let checks: Vec<_> = self.0.iter().map(Check::to_json).collect();
        let report = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "status": self.status().as_str(),
            "counts": {
                "ok": count(Status::Ok),
                "warn": count(Status::Warn),
                "fail": count(Status::Fail),
                "skip": count(Status::Skip),
            },
            "checks": checks,
        });
        format!("{report:#}\n")
    }
}

/// What to do about a failure of the store.
pub fn remedy(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Config => "correct the setting that the message names",
        ErrorKind::Timeout => {
            "check the network, choose a region of the store that is nearer, or raise redis.timeout"
        }
        ErrorKind::Unreachable => {
            "check UPSTASH_REDIS_REST_URL (host, port, https), the network, and that the certificate \
             is one that this machine trusts"
        }
        ErrorKind::Unauthorised => {
            "set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN anew, both of the same database, \
             here and by `wrangler secret put`"
        }
        ErrorKind::Forbidden => {
            "grant the right: `omnitrade-edge doctor --print-acl` prints the rule with all that are \
             needed"
        }
        ErrorKind::QuotaExhausted => "raise the plan, or wait until it is renewed",
        ErrorKind::Server => {
            "wait, and look at the state of the provider or at the log of serve-redis"
        }
        ErrorKind::Protocol => {
            "check UPSTASH_REDIS_REST_URL: what answers there is not Upstash's REST protocol. For \
             another Redis run `omnitrade-edge serve-redis` before it"
        }
        ErrorKind::TooLarge => "look for what has grown: the reply is longer than doctor reads",
        _ => "use Upstash, or a Redis or Valkey of version 6 or later without renamed commands",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_is_the_status_and_a_part_left_out_is_none() {
        let mut check = Check::new("x");
        assert_eq!(check.status(), Status::Ok);
        check.skip("a part is forbidden", "allow it");
        assert_eq!(check.status(), Status::Skip);
        check.saw("the other part is well");
        assert_eq!(check.status(), Status::Ok);
        check.warn("w", "could be better", "better it");
        assert_eq!(check.status(), Status::Warn);
        check.fail("f", "is wrong", "right it");
        check.warn("w", "could be better", "better it");
        assert_eq!(check.status(), Status::Fail);

        let report = Report(vec![check, Check::new("y")]);
        assert_eq!(report.status(), Status::Fail);
        assert_eq!(report.names(Status::Ok), ["y"]);
        let text = report.as_lines();
        for line in ["  -> allow it", "  -> better it", "  -> right it"] {
            assert!(text.contains(line), "{text}");
        }
        assert!(text.ends_with("\n1 ok, 0 with a warning, 1 failed, 0 skipped\n"));
    }

    #[test]
    fn a_right_that_is_missing_is_no_fault_of_the_store() {
        let mut check = Check::new("x");
        check.store_cannot("INFO", &ErrorKind::Forbidden.into());
        assert_eq!(check.status(), Status::Skip);
        check.store_cannot("INFO", &ErrorKind::Unauthorised.into());
        assert_eq!(check.status(), Status::Fail);
    }
}

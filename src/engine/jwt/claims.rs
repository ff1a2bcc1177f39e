//! What a token has to claim, and whom it then stands for.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::engine::registry::is_plan;

/// How much later than the gate's clock a token may begin (`nbf`): the clocks of its issuer and of
/// the gate differ. Nothing is added to its end.
const LEEWAY: Duration = Duration::from_secs(60);

/// The longest claim that names a user, in bytes. OpenID Connect Core §2 allows 255 characters.
const LONGEST_NAME: usize = 1024;

/// What a token has to claim (RFC 7519 §4.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// The issuer that `iss` must name; `None`: any.
    pub issuer: Option<String>,
    /// The audience that must be `aud`, or one of it; `None`: any.
    pub audience: Option<String>,
    /// The claim that names the user.
    pub user: String,
    /// The claim that names the user's plan, if there is one.
    pub plan: Option<String>,
}

/// The user for whom a token stands. `Debug` does not show who that is.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The user's plan, for which [`is_plan`] holds.
    pub plan: Option<String>,
    /// When the token expires.
    pub until: Timestamp,
}

impl Claims {
    /// The user for whom a token with these claims stands at `now`, provided that its signature is
    /// right; `None` if it stands for nobody.
    ///
    /// A token must expire (`exp`), because one that never does could not be withdrawn.
    pub fn user(&self, claims: &Map<String, Value>, now: Timestamp) -> Option<User> {
        let until = instant(claims.get("exp")?)?;
        let begun = match claims.get("nbf") {
            None => true,
            Some(begins) => instant(begins)? <= now + LEEWAY,
        };
        let issued = match &self.issuer {
            None => true,
            Some(issuer) => claims.get("iss").and_then(Value::as_str) == Some(issuer.as_str()),
        };
        let meant = match &self.audience {
            None => true,
            Some(audience) => names(claims.get("aud")?, audience),
        };
        if !(now < until && begun && issued && meant) {
            return None;
        }
        let plan = self.plan.as_ref().and_then(|name| claims.get(name));
        let plan = plan.and_then(Value::as_str).filter(|plan| is_plan(plan));
        Some(User {
            name: name(claims.get(&self.user)?)?,
            plan: plan.map(str::to_owned),
            until,
        })
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("User");
        shown.field("until", &self.until).finish_non_exhaustive()
    }
}

/// A `NumericDate` (RFC 7519 §2): seconds since 1970, which need not be whole.
fn instant(date: &Value) -> Option<Timestamp> {
    let seconds = date.as_f64().filter(|seconds| *seconds >= 0.0)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates"
    )]
    let millis = (seconds * 1000.0) as u64;
    Some(Timestamp::from_millis(millis))
}

/// Whether `aud` names an audience: it is a text, or a list of texts (RFC 7519 §4.1.3).
fn names(aud: &Value, audience: &str) -> bool {
    let is = |value: &Value| value.as_str() == Some(audience);
    is(aud) || aud.as_array().is_some_and(|list| list.iter().any(is))
}

/// A user's name: a text that is not empty, or a whole number.
fn name(claim: &Value) -> Option<String> {
    let name = match claim {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() || number.is_i64() => number.to_string(),
        _ => return None,
    };
    (1..=LONGEST_NAME).contains(&name.len()).then_some(name)
}

//! How the tokens of users are verified.

use super::read::tables;
use crate::engine::jwt::Claims;

/// How the tokens of users are verified (RFC 7519).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Jwt {
    /// The address of the issuer's JSON Web Key Set.
    pub jwks: String,
    /// The issuer that tokens must name as `iss`; any if absent.
    pub issuer: Option<String>,
    /// The audience that tokens must name as `aud`; any if absent.
    pub audience: Option<String>,
    /// The claim that names the user.
    pub claim: String,
    /// The claim that names the user's plan, if there is one.
    pub plan_claim: Option<String>,
}

tables! {
    Jwt { jwks, issuer, audience, claim, plan_claim }
}

impl Jwt {
    /// What tokens have to claim.
    pub(crate) fn claims(&self) -> Claims {
        Claims {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            user: self.claim.clone(),
            plan: self.plan_claim.clone(),
        }
    }
}

//! The table `client.jwt`.

use super::super::shape::Absent::{Is, Missing, Otherwise};
use super::super::shape::{Shape, field};
use super::text::{CLAIM, CLAIMED, JWKS};

/// How the tokens of users are verified.
pub const JWT: Shape = Shape::Table(&[
    field(
        "jwks",
        JWKS,
        Missing,
        "The address of the issuer's public keys, a JSON Web Key Set (RFC 7517): keys for RS256, ES256 \
         and EdDSA (Ed25519). They are fetched in the background, and kept as long as `Cache-Control` \
         or `Expires` says, at least for 1 s and at most for a day. A token with a key that is not in \
         the set has it fetched anew. While it cannot be fetched, the old keys are used, for at most \
         a day; a token of a key that is not among them, or any if there are none, counts by its \
         digest, and a line in the log says so.",
    ),
    field(
        "issuer",
        CLAIMED,
        Otherwise("any"),
        "The issuer that tokens must name in `iss`.",
    ),
    field(
        "audience",
        CLAIMED,
        Otherwise("any"),
        "The audience that tokens must name in `aud`. Name it if the issuer signs tokens for others, \
         too, with the same keys.",
    ),
    field(
        "claim",
        CLAIM,
        Is("\"sub\""),
        "The claim that names the user: a text or a whole number.",
    ),
    field(
        "plan_claim",
        CLAIM,
        Otherwise("no plans"),
        "The claim that names the user's plan, which selects a quota of `plans`.",
    ),
]);

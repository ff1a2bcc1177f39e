//! JSON Web Tokens (RFC 7519): reading a signed one, judging its claims, and the keys that can
//! verify it. The signature itself is checked by the shell, whose platform has the cryptography.

mod algorithm;
mod claims;
mod keys;
mod token;

pub use algorithm::Algorithm;
pub use claims::{Claims, User};
pub use keys::{Key, KeySet};
pub use token::Token;

#[cfg(test)]
mod tests;

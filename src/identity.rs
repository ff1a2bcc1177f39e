//! Who sent a request: its API key, the user whom its token names, and its address.
//!
//! [`Client`] reads them from the request. A token that verifies stands for the user that it names,
//! so that the user's next token, an hour later, is not another client. Verifying is asynchronous
//! on every platform, so this layer only decides what is to be done, as the other machines do:
//!
//! - [`Identities`] is what an isolate remembers: whom tokens stand for, by their digests, until
//!   they expire. [`Identities::find`] answers from there at once, or returns a [`Verification`]
//!   for the shell, or says how long to wait for the issuer's keys.
//! - The issuer's key set is fetched in the background ([`KeyReply`]): when the first token comes,
//!   when the set is stale, and when a token names a key that it does not have.
//!
//! [`ClientDigests`] are what keys, users and buckets are called where others can see it;
//! [`KeySecrets`] are the secrets in them. [`AdminToken`] opens the admin pages.
//!
//! No token is stored or logged, only digests.

mod admin_token;
mod client;
mod digests;
mod issuer_keys;
mod key_secrets;
mod tokens;
mod waiting;

pub use admin_token::AdminToken;
pub use client::{Client, token};
pub use digests::ClientDigests;
pub use issuer_keys::{FETCH_TIMEOUT, KeyReply, LONGEST_KEY_SET};
pub use key_secrets::{Age, KeySecret, KeySecrets, counts_digests};
pub use tokens::{Finding, Holder, Identities, Outcome, Verification};
pub use waiting::{Awaited, Patient};

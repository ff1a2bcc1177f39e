//! `explain`: the digest under which the pages for operators show a client.

use std::fmt;
use std::net::IpAddr;

use omnitrade_edge::engine::subject;
use omnitrade_edge::identity::{AdminToken, ClientDigests, KeySecrets};

use crate::Failure;
use crate::keys::ApiKey;
use crate::place::Place;

/// Print the digest under which `/__edge/` shows a client
///
/// The page shows who is refused most only as digests, into which the admin token goes. Give it an
/// address or an API key, and compare.
#[derive(clap::Args)]
pub struct Options {
    /// The client's address
    #[arg(long, value_name = "ADDRESS", required_unless_present = "key_stdin", value_parser = address)]
    ip: Option<IpAddr>,
    /// The client's API key, read from stdin
    #[arg(long, conflicts_with = "ip")]
    key_stdin: bool,
    /// The gate's admin token. Give it through the environment, so that `ps` does not show it
    #[arg(long, env = "EDGE_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: String,
    /// The gate's secret in digests, if it has one
    #[arg(long, env = "EDGE_KEY_SECRET", hide_env_values = true)]
    key_secret: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Shows no secret.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// For clap: an address as the platform's header holds it.
fn address(text: &str) -> Result<IpAddr, &'static str> {
    subject::address(text).ok_or("expected an IPv4 or IPv6 address")
}

/// Runs the command.
pub fn run(options: &Options) -> Result<(), Failure> {
    let token = AdminToken::new(&options.admin_token)
        .ok_or_else(|| Failure::Usage("EDGE_ADMIN_TOKEN: expected a text, found nothing".into()))?;
    let config = options.place.config(None)?;
    let subject = match options.ip {
        Some(ip) => {
            let prefix = config
                .as_ref()
                .map_or(64, |config| config.client.ipv6_prefix);
            subject::of_address(ip, prefix)
        }
        None => {
            let secrets = KeySecrets::read(options.key_secret.as_deref(), None)
                .map_err(|error| Failure::Usage(error.to_string()))?;
            let prefix = options.place.prefix(config.as_ref());
            ClientDigests::new(&prefix, secrets).of_api_key(ApiKey::from_stdin()?.reveal())
        }
    };
    crate::print(&format!("{}\n", token.digest_of(&subject)))
        .map_err(|error| Failure::Runtime(format!("cannot print: {error}")))
}

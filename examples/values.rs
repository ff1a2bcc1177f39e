//! The cache of values as a crate: one load for all callers and processes.
//!
//! ```sh
//! UPSTASH_REDIS_REST_URL=… UPSTASH_REDIS_REST_TOKEN=… cargo run --example values
//! ```

use std::time::Duration;

use omnitrade_edge::redis::RestClient;
use omnitrade_edge::values::{Entry, ValueCache};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Profile {
    name: String,
}

/// Stands for a call that takes its time, and may fail.
async fn fetch_profile(id: u32) -> Result<Profile, std::io::Error> {
    println!("profile {id} is loaded");
    Ok(Profile {
        name: format!("user {id}"),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = ValueCache::new(RestClient::from_env()?);
    let entry = Entry::ttl(Duration::from_secs(30))
        .stale_while_revalidate(Duration::from_secs(300))
        .stale_if_error(Duration::from_secs(3600))
        .tags(["profiles"]);

    let profile: Profile = cache
        .get_or_set("profile:7", &entry, || fetch_profile(7))
        .await?;
    println!("{profile:?}");

    if let Some(found) = cache.get::<Profile>("profile:7").await {
        println!("it is {:?} old", found.age);
    }
    cache.purge_tags(["profiles"]).await?;
    Ok(())
}

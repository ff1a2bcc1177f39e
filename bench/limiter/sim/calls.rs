//! Calls of the script for a real Redis, as the limiter makes them.

use std::time::Duration;

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::engine::limit::{Bucket, Charge};
use omnitrade_edge::store::Ask;
use serde::{Deserialize, Serialize};

/// How long after a call a repeat can arrive: the gate's default timeout.
const HORIZON: Duration = Duration::from_millis(150);

/// Consecutive calls about one state.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    key: String,
    quota: u64,
    window_ms: u64,
    cost: u64,
    /// How many permits each call asks to be lent.
    lend: u64,
    /// The ids of the calls are consecutive numbers from this one on; a call with a used id is a
    /// repeat.
    first_id: usize,
    /// When the calls are made, Unix ms.
    at: Vec<u64>,
}

/// KEYS and ARGV.
#[derive(Debug, Serialize)]
pub struct Call {
    keys: Vec<String>,
    args: Vec<String>,
}

impl Load {
    pub fn calls(&self) -> Vec<Call> {
        let times = self.at.iter().enumerate();
        times
            .map(|(n, at)| self.call(self.first_id + n, *at))
            .collect()
    }

    fn call(&self, id: usize, at: u64) -> Call {
        let bucket = Bucket {
            key: self.key.clone(),
            permits: self.quota,
        };
        let charge = Charge::on(bucket, Duration::from_millis(self.window_ms), self.cost);
        let mut ask = Ask::new(
            Timestamp::from_millis(at),
            &format!("{id:06}"),
            HORIZON,
            false,
        );
        ask.limit(&charge, self.lend, &[]);
        // No earlier call had this id.
        ask.args.push("0".to_owned());
        Call {
            keys: ask.keys,
            args: ask.args,
        }
    }
}

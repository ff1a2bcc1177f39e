//! How far the clocks here and at the edge are off from that of the store.

use omnitrade_edge::engine::limit::sliding_window::TOLERANCE;
use omnitrade_edge::redis::{Command, Value};

use super::edge::Edge;
use super::latency::in_ms;
use super::patient::Patient;
use super::report::Check;

/// How often the clock is read: the quickest answer tells most.
const READINGS: usize = 5;

/// Makes the check.
pub async fn check(patient: &Patient, edge: Option<&Edge>, check: &mut Check) {
    let mut best: Option<(f64, f64)> = None;
    for _ in 0..READINGS {
        let before = patient.now();
        let (took, reply) = patient.timed(&Command::new("TIME")).await;
        let theirs = match reply.map(|reply| milliseconds(&reply)) {
            Ok(Some(theirs)) => theirs,
            Ok(None) => {
                check.fail(
                    "no_time",
                    "TIME is not answered with two numbers",
                    "find out what stands between here and Redis",
                );
                return;
            }
            Err(error) => return check.store_cannot("TIME", &error),
        };
        // The store was asked somewhere in between.
        let ours = before.as_millis() as f64 + in_ms(took) / 2.0;
        let doubt = in_ms(took) / 2.0 + 1.0;
        if best.is_none_or(|(_, least)| doubt < least) {
            best = Some((theirs - ours, doubt));
        }
    }
    let Some((offset, doubt)) = best else {
        return;
    };
    check.datum("offset_ms", offset.round());
    check.datum("doubt_ms", doubt.round());
    check.saw(format!(
        "the store is {}, ± {doubt:.0} ms",
        side(offset, "this machine")
    ));
    if beyond(offset, doubt) {
        check.warn(
            "clock_here",
            format!("the store is {}", side(offset, "this machine")),
            "have this machine's clock set by NTP; if it is right, the store's is wrong: tell its \
             operators",
        );
    }
    let Some(offset) = edge.and_then(|edge| edge.clock_offset_ms) else {
        return;
    };
    check.datum("edge_offset_ms", offset);
    check.saw(format!(
        "and {} by its latest reading",
        side(offset, "the edge")
    ));
    if beyond(offset, 0.0) {
        check.warn(
            "clock_edge",
            format!("the store is {}", side(offset, "the edge")),
            "the gate corrects its time by this; if several Workers agree, the store's clock is wrong",
        );
    }
}

fn beyond(offset: f64, doubt: f64) -> bool {
    offset.abs() - doubt > in_ms(TOLERANCE)
}

fn side(offset: f64, whom: &str) -> String {
    let word = if offset < 0.0 { "behind" } else { "ahead of" };
    format!("{:.0} ms {word} {whom}", offset.abs())
}

/// The reply of `TIME`: seconds, and microseconds.
fn milliseconds(reply: &Value) -> Option<f64> {
    match reply.as_array()? {
        [seconds, micros] => {
            let (seconds, micros) = (seconds.as_number()?, micros.as_number()?);
            Some(seconds as f64 * 1_000.0 + micros as f64 / 1_000.0)
        }
        _ => None,
    }
}

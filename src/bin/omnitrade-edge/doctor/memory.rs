//! Eviction and memory, as far as `INFO` tells.

use std::collections::BTreeMap;

use omnitrade_edge::redis::Command;

use super::patient::Patient;
use super::report::Check;

/// From this part of the memory on, in hundredths, there is a warning.
const NEARLY: u64 = 80;

/// Makes the check.
pub async fn check(patient: &Patient, check: &mut Check) {
    let reply = patient.store.command(&Command::new("INFO")).await;
    let info = match reply {
        Ok(reply) => read(reply.as_str().unwrap_or_default()),
        Err(error) => return check.store_cannot("INFO", &error),
    };
    let number = |name: &str| info.get(name)?.parse::<u64>().ok();
    let mut silent = true;
    if let Some(policy) = info.get("maxmemory_policy") {
        silent = false;
        check.datum("policy", policy.as_str());
        check.saw(format!("maxmemory-policy {policy}"));
        // `noeviction`, and what providers call the same.
        if policy != "noeviction" {
            check.warn(
                "evicts",
                format!("a full store drops keys (maxmemory-policy {policy}), counts of limits among them"),
                "set maxmemory-policy noeviction: a client whose count is dropped gets its whole quota \
                 again, and BullMQ loses jobs",
            );
        }
    }
    if let Some((used, most)) = number("used_memory").zip(number("maxmemory")) {
        silent = false;
        check.datum("used_bytes", used);
        check.datum("max_bytes", most);
        memory(used, most, check);
    }
    if let Some(evicted) = number("evicted_keys") {
        silent = false;
        check.datum("evicted_keys", evicted);
        if evicted > 0 {
            check.warn(
                "has_evicted",
                format!("{evicted} keys were dropped for want of memory since the store started"),
                "raise maxmemory, and set maxmemory-policy noeviction",
            );
        }
    }
    if silent {
        check.skip(
            "INFO tells neither of memory nor of eviction here",
            "look at the provider's console; of Upstash, `plan` tells more if it has UPSTASH_EMAIL and \
             UPSTASH_API_KEY",
        );
    }
}

fn memory(used: u64, most: u64, check: &mut Check) {
    let size = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    if most == 0 {
        check.saw(format!("{} used, no maxmemory", size(used)));
        return;
    }
    let part = used.saturating_mul(100) / most;
    check.saw(format!("{part} % of {} used", size(most)));
    let message = format!("{part} % of the memory is used");
    let remedy = "raise maxmemory or the plan, or shorten how long answers are cached (ttl, \
                  stale_if_error)";
    if part >= 100 {
        check.fail("memory_full", message, remedy);
    } else if part >= NEARLY {
        check.warn("memory_nearly_full", message, remedy);
    }
}

/// The fields of `INFO`.
fn read(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let fields = lines.filter_map(|line| line.split_once(':'));
    fields
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::Status;
    use super::*;

    #[test]
    fn memory_is_judged_by_the_part_that_is_used() {
        let status = |used, most| {
            let mut check = Check::new("memory");
            memory(used, most, &mut check);
            check.status()
        };
        assert_eq!(status(1 << 30, 0), Status::Ok, "no maxmemory");
        assert_eq!(status(79, 100), Status::Ok);
        assert_eq!(status(80, 100), Status::Warn);
        assert_eq!(status(100, 100), Status::Fail);
        assert_eq!(status(u64::MAX, 1), Status::Fail);
    }

    #[test]
    fn fields_are_read_whatever_stands_between_them() {
        let info =
            read("# Memory\r\nused_memory:5\r\n\r\n# X\r\nodd\r\nmaxmemory_policy:noeviction\r\n");
        assert_eq!(info.len(), 2);
        assert_eq!(info.get("used_memory").map(String::as_str), Some("5"));
    }
}

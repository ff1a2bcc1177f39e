//! `RateLimit-Policy` and `RateLimit` as of draft-ietf-httpapi-ratelimit-headers-10, §3 and §4:
//! structured lists (RFC 9651, §3.1) with an item for each limit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::item::{Item, integer, reset, window};

/// Both headers. A header without items is left out.
pub fn fields(items: &[Item<'_>]) -> Vec<(&'static str, String)> {
    let (mut policies, mut states) = (String::new(), String::new());
    for item in items {
        // A quota policy item, §3.1.
        let (quota, window) = (integer(item.quota.permits), window(item.quota));
        push_item(&mut policies, item, [(";q=", quota), (";w=", window)]);
        // A service limit item, §4.1.
        if let Some(verdict) = item.verdict {
            let (remaining, reset) = (integer(verdict.remaining), reset(verdict));
            push_item(&mut states, item, [(";r=", remaining), (";t=", reset)]);
        }
    }
    let lists = [("ratelimit-policy", policies), ("ratelimit", states)];
    // An empty list is expressed by leaving the field out (RFC 9651, §4.1).
    lists.into_iter().filter(|(_, l)| !l.is_empty()).collect()
}

fn push_item(list: &mut String, item: &Item<'_>, parameters: [(&str, u64); 2]) {
    if list.is_empty() {
        list.reserve(USUAL_LENGTH);
    } else {
        list.push_str(", ");
    }
    list.push('"');
    list.push_str(item.name);
    list.push('"');
    for (name, number) in parameters {
        list.push_str(name);
        list.push_str(itoa::Buffer::new().format(number));
    }
    push_partition(list, item);
}

/// About how long a header is, in bytes.
const USUAL_LENGTH: usize = 64;

/// The partition key. Both kinds of item carry it (§3.1.4, §4.1.3): clients of one limit may have
/// different quotas, and a client that counts in several partitions can match a policy to a state
/// only by this key. It is a byte sequence (RFC 9651, §3.3.5).
fn push_partition(text: &mut String, item: &Item<'_>) {
    if let Some(partition) = item.partition {
        text.push_str(";pk=:");
        text.push_str(&STANDARD.encode(partition));
        text.push(':');
    }
}

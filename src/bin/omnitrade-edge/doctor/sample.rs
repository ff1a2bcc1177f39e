//! A sample of the gate's keys: whether each expires, and whether what they hold can be read.
//!
//! No name of a key is told, only its family: a name holds addresses and digests of keys.

use std::collections::BTreeMap;
use std::time::Duration;

use omnitrade_edge::engine::limit::sliding_window::{Cut, State};
use omnitrade_edge::engine::registry::Registration;
use omnitrade_edge::error::Error;
use omnitrade_edge::redis::{Command, Value};
use serde_json::json;

use super::patient::Patient;
use super::report::Check;

/// How many keys are looked at, at most; how many names a call of `SCAN` goes through; and how many
/// such calls there are, at most, because in a large database few keys may be the gate's.
const MOST: usize = 500;
const STEP: u64 = 500;
const CALLS: usize = 40;

/// How many keys are asked about at once.
const TOGETHER: usize = 100;

/// As much of a value as is read, in bytes: a state is shorter, of an entry the head suffices.
const READ: i64 = 512;

/// Families of keys, by what follows the prefix.
const FAMILIES: [(&str, &str); 6] = [
    ("l", "limits"),
    ("c", "cached answers"),
    ("f", "refresh leases"),
    ("t", "epochs"),
    ("k", "registered keys"),
    ("v", "cached values"),
];

/// Makes the check.
pub async fn check(patient: &Patient, check: &mut Check) {
    let (names, all) = match scan(patient).await {
        Ok(found) => found,
        Err(error) => return check.store_cannot("SCAN", &error),
    };
    let mut seen = Seen::default();
    for some in names.chunks(TOGETHER) {
        let asked = some.iter().flat_map(|name| {
            let range = Command::new("GETRANGE").arg(name);
            [Command::new("PTTL").arg(name), range.arg(0).arg(READ - 1)]
        });
        let replies = match patient.store.pipeline(&asked.collect::<Vec<_>>()).await {
            Ok(replies) => replies,
            Err(error) => return check.store_cannot("PTTL and GETRANGE", &error),
        };
        for (name, replies) in some.iter().zip(replies.chunks(2)) {
            if let [left, text] = replies {
                seen.add(family(name, &patient.prefix), name, left, text);
            }
        }
    }
    tell(&seen, names.len(), all, patient, check);
}

/// Names of the gate's keys, and whether these are all.
async fn scan(patient: &Patient) -> Result<(Vec<String>, bool), Error> {
    let pattern = format!("{}:*", patient.prefix);
    let own = format!("{}:doctor:", patient.prefix);
    let (mut names, mut cursor) = (Vec::<String>::new(), "0".to_owned());
    for _ in 0..CALLS {
        let scan = Command::new("SCAN").arg(&cursor).arg("MATCH").arg(&pattern);
        let scan = scan.arg("COUNT").arg(STEP);
        let (next, found): (Value, Vec<String>) = patient.store.command_as(&scan).await?;
        names.extend(found.into_iter().filter(|name| !name.starts_with(&own)));
        cursor = match next.as_number() {
            Some(next) => next.to_string(),
            None => next.as_str().unwrap_or("0").to_owned(),
        };
        if cursor == "0" || names.len() >= MOST {
            break;
        }
    }
    // `SCAN` may name a key twice.
    names.sort_unstable();
    names.dedup();
    let all = cursor == "0" && names.len() <= MOST;
    names.truncate(MOST);
    Ok((names, all))
}

/// The family of a key; `None` if it is of none that the gate has.
fn family(name: &str, prefix: &str) -> Option<&'static str> {
    let rest = name.strip_prefix(prefix)?.strip_prefix(':')?;
    let (letter, _) = rest.split_once(':')?;
    let known = FAMILIES.iter().find(|(known, _)| *known == letter);
    known.map(|(_, words)| *words)
}

/// What a sample has shown, by family.
#[derive(Debug, Default)]
struct Seen {
    counts: BTreeMap<&'static str, usize>,
    lasting: BTreeMap<&'static str, usize>,
    unreadable: BTreeMap<&'static str, usize>,
    /// Why something could not be looked at.
    refusal: Option<Error>,
}

impl Seen {
    fn add(
        &mut self,
        family: Option<&'static str>,
        name: &str,
        left: &Result<Value, Error>,
        text: &Result<Value, Error>,
    ) {
        // Whose keys of other families are, and how long they are to live, is not known.
        let Some(family) = family else {
            *self.counts.entry("others").or_default() += 1;
            return;
        };
        let left = match left {
            Ok(left) => left.as_int().unwrap_or_default(),
            Err(error) => {
                self.refusal.get_or_insert_with(|| error.clone());
                return;
            }
        };
        // It has expired since it was named.
        if left == -2 {
            return;
        }
        *self.counts.entry(family).or_default() += 1;
        if left == -1 {
            *self.lasting.entry(family).or_default() += 1;
        }
        let readable = match text {
            Ok(text) => is_readable(family, text),
            Err(error) if error.redis_code() == Some("WRONGTYPE") => is_index(name),
            Err(error) => {
                self.refusal.get_or_insert_with(|| error.clone());
                return;
            }
        };
        if !readable {
            *self.unreadable.entry(family).or_default() += 1;
        }
    }
}

/// The list of the registered keys is a hash.
fn is_index(name: &str) -> bool {
    name.ends_with(":k:index")
}

/// Whether the gate can read the beginning of a value.
fn is_readable(family: &str, text: &Value) -> bool {
    let Some(text) = text.as_str() else {
        return false;
    };
    // A key that has just expired reads as an empty text.
    if text.is_empty() {
        return true;
    }
    match family {
        // Whatever the window is: one of another configuration is read, too.
        "limits" => State::parse_strictly(text, Cut::of(Duration::from_secs(60))).is_some(),
        "registered keys" => Registration::parse(text).is_some(),
        "cached answers" => is_entry(text),
        _ => true,
    }
}

/// Whether an entry begins as one does: `2 fresh_until usable_until stamp version epochs {…`; or it
/// is the mark that the answer cannot be stored.
fn is_entry(text: &str) -> bool {
    let digits = |word: Option<&str>| word.is_some_and(|w| w.bytes().all(|b| b.is_ascii_digit()));
    let mut words = text.split(' ');
    let numbers = [words.next(), words.next(), words.next(), words.next()];
    let version = words.next();
    let epochs = words.next().is_some();
    numbers.first() == Some(&Some("2"))
        && numbers.into_iter().all(digits)
        && (version == Some("-") || digits(version))
        && epochs
        && words.next().is_some()
}

fn tell(seen: &Seen, looked: usize, all: bool, patient: &Patient, check: &mut Check) {
    let listed = |counts: &BTreeMap<&str, usize>| {
        let each = counts
            .iter()
            .map(|(family, count)| format!("{family} {count}"));
        each.collect::<Vec<_>>().join(", ")
    };
    check.datum("sampled", looked);
    check.datum("complete", all);
    check.datum("families", json!(seen.counts));
    check.datum("without_ttl", json!(seen.lasting));
    check.datum("unreadable", json!(seen.unreadable));
    if let Some(error) = &seen.refusal {
        check.store_cannot("PTTL and GETRANGE", error);
    }
    if seen.counts.is_empty() && looked > 0 {
        return;
    }
    let which = if all { "all" } else { "a sample" };
    match looked {
        0 => check.saw("there are no keys of the gate"),
        _ => check.saw(format!(
            "{which} of the gate's keys: {}",
            listed(&seen.counts)
        )),
    }
    let pattern = format!("{}:*", patient.prefix);
    if !seen.lasting.is_empty() {
        check.warn(
            "without_ttl",
            format!("keys that never expire: {}", listed(&seen.lasting)),
            format!(
                "find them (redis-cli --scan --pattern '{pattern}', TTL of each is -1) and who writes them, \
                 then EXPIRE or DEL them: the gate gives each of its keys a TTL"
            ),
        );
    }
    if !seen.unreadable.is_empty() {
        check.fail(
            "unreadable",
            format!("keys whose values the gate cannot read: {}", listed(&seen.unreadable)),
            format!(
                "find out what else writes below '{pattern}', another version of the gate or another \
                 program; give it another redis.key_prefix. The gate counts such a limit as empty"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_known_by_what_follows_the_prefix() {
        assert_eq!(family("ot:l:per-ip:1", "ot"), Some("limits"));
        assert_eq!(family("{ot}:c:1", "{ot}"), Some("cached answers"));
        for other in ["ot:bull:1", "ot:l", "other:l:1", "otl:1", "ot:x:l:1"] {
            assert_eq!(family(other, "ot"), None, "{other}");
        }
    }

    #[test]
    fn what_the_gate_writes_is_readable_and_other_text_is_not() {
        let is = |family, text: &str| is_readable(family, &Value::from(text));
        assert!(is("limits", "2 a 1000 2000 0 1 3 3;0:Z00001:"));
        assert!(is("cached answers", "2 1 2 3 - -,- {\"k\":1}\nbody"));
        assert!(is("cached answers", "2 1 2 3 77 -,a.b {"));
        assert!(is("registered keys", "1 pro") && is("registered keys", "1"));
        assert!(is("epochs", "anything") && is("refresh leases", "u"));
        for text in ["7", "2 a 1000", "1 a 1000 2000 0 1 3 3;0::"] {
            assert!(!is("limits", text), "{text}");
        }
        for text in [
            "<html>",
            "1 1 2 3 - - {",
            "2 1 2 x - - {",
            "2 1 2 3 x - {",
            "2 1 2 3",
        ] {
            assert!(!is("cached answers", text), "{text}");
        }
        assert!(!is("registered keys", "2 pro"));
    }
}

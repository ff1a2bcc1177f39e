//! When the plan is used up, as Upstash's account API tells:
//! <https://upstash.com/docs/devops/developer-api>.

use omnitrade_edge::clock::Timestamp;
use omnitrade_edge::clock::calendar::{civil, next_month};
use omnitrade_edge::shell::ReqwestTransport;
use serde_json::Value;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::http::{self, Unread};
use super::report::Check;

/// Where the account is asked, and as whom.
pub struct Account<'a> {
    pub api: &'a str,
    pub email: &'a str,
    pub key: &'a str,
}

/// From this part of a limit on, in hundredths, there is a warning.
const NEARLY: f64 = 80.0;

/// A limit of so many commands is none: the API writes a number near 2^63 for "unlimited".
const UNLIMITED: f64 = 1e15;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// Makes the check of the database with this host.
pub async fn check(
    transport: &ReqwestTransport,
    account: &Account<'_>,
    host: &str,
    now: Timestamp,
    check: &mut Check,
) {
    let pair = STANDARD.encode(format!("{}:{}", account.email, account.key));
    let basic = format!("Basic {pair}");
    let get = |path: String| {
        let basic = &basic;
        async move { http::get(transport, account.api, &path, basic).await }
    };
    let databases = match get("/redis/databases".to_owned()).await {
        Ok(databases) => databases,
        Err(why) => return unread(&why, check),
    };
    let each = databases.as_array().into_iter().flatten();
    let Some(database) = each.clone().find(|database| is_at(database, host)) else {
        check.skip(
            format!(
                "none of the account's {} databases is this one",
                each.count()
            ),
            "use the API key of the account, or of the team, to which the database belongs",
        );
        return;
    };
    let id = database
        .get("database_id")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if id.is_empty() || !id.chars().all(plain) {
        return unread(&Unread::Foreign, check);
    }
    match get(format!("/redis/stats/{id}")).await {
        Ok(stats) => judge(database, &stats, now, check),
        Err(why) => unread(&why, check),
    }
}

/// Whether this database has this host. Its `endpoint` is a host, or only its first label.
fn is_at(database: &Value, host: &str) -> bool {
    let endpoint = database.get("endpoint").and_then(Value::as_str);
    endpoint.is_some_and(|endpoint| {
        let rest = host.strip_prefix(endpoint);
        !endpoint.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest == ".upstash.io")
    })
}

fn unread(why: &Unread, check: &mut Check) {
    let remedy = match why {
        Unread::Status(status) if *status == 401 || *status == 403 => {
            "set UPSTASH_EMAIL and UPSTASH_API_KEY to a pair of the account; accounts of marketplaces \
             (Vercel, Fly.io) have no such API"
        }
        Unread::Address => "check UPSTASH_API_URL",
        Unread::Secret => "set UPSTASH_EMAIL and UPSTASH_API_KEY anew",
        _ => "try again later, or look at the console",
    };
    let message = format!("Upstash's account API cannot be asked: {why}");
    check.fail("account_api", message, remedy);
}

fn judge(database: &Value, stats: &Value, now: Timestamp, check: &mut Check) {
    let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_f64);
    let word = |name| {
        database
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let plan = match word("type") {
        known @ ("free" | "payg" | "pro" | "paid") => known,
        _ => "unknown",
    };
    check.datum("type", plan);
    check.saw(format!("plan {plan}"));
    if !matches!(word("state"), "" | "active") {
        check.fail(
            "suspended",
            "Upstash has suspended the database",
            "look at the console: a bill may be open, or a limit exceeded",
        );
    }
    if database.get("eviction").and_then(Value::as_bool) == Some(true) {
        check.warn(
            "evicts",
            "eviction is switched on: a full database drops keys, counts of limits among them",
            "switch it off in the console; then a full database refuses to write, and the gate limits \
             locally",
        );
    }
    let limit = |name| number(database, name).filter(|limit| (1.0..UNLIMITED).contains(limit));
    let spent = [
        (
            "commands",
            "total_monthly_requests",
            limit("db_request_limit"),
            true,
        ),
        (
            "storage",
            "current_storage",
            limit("db_disk_threshold"),
            false,
        ),
        (
            "budget",
            "total_monthly_billing",
            limit("budget").filter(|_| plan == "payg"),
            true,
        ),
    ];
    for (what, name, limit, by_month) in spent {
        let Some(used) = number(stats, name) else {
            continue;
        };
        check.datum(&format!("{what}_used"), used);
        match limit {
            Some(limit) => {
                check.datum(&format!("{what}_limit"), limit);
                against(Use { what, used, limit }, by_month.then_some(now), check);
            }
            None => check.saw(format!("{what}: {} without a limit", shown(what, used))),
        }
    }
}

/// So much of a limit.
struct Use {
    what: &'static str,
    used: f64,
    limit: f64,
}

/// `this_month`: the present, if the count begins anew with each month.
fn against(spent: Use, this_month: Option<Timestamp>, check: &mut Check) {
    let Use { what, used, limit } = spent;
    let part = used / limit * 100.0;
    let told = format!("{} of {} {what}", shown(what, used), shown(what, limit));
    check.saw(format!("{told} ({part:.0} %)"));
    let remedy =
        "raise the plan or its budget; docs/cost.md says which settings cost how many commands";
    if part >= 100.0 {
        check.fail("used_up", format!("the plan is used up: {told}"), remedy);
        return;
    }
    let end = this_month.and_then(|now| used_up(part / 100.0, now));
    match end {
        Some(end) => {
            let day = day(end);
            check.datum(&format!("{what}_used_up"), day.as_str());
            check.warn(
                "pace",
                format!("at this pace it is used up on {day}: {told}"),
                remedy,
            );
        }
        None if part >= NEARLY => {
            check.warn(
                "nearly_used_up",
                format!("the plan is nearly used up: {told}"),
                remedy,
            );
        }
        None => {}
    }
}

/// When this month's limit is reached if the rest of the month is as the month was until now;
/// `None` if it is not, or if too little of the month has passed to tell.
fn used_up(part: f64, now: Timestamp) -> Option<Timestamp> {
    let today = now.as_millis() / DAY;
    let (_, _, day) = civil(today);
    let begin = (today - (day - 1)) * DAY;
    let passed = now.as_millis() - begin;
    if passed < 6 * HOUR || part <= 0.0 {
        return None;
    }
    let end = begin as f64 + passed as f64 / part;
    // Beyond the end of the month the count begins anew.
    let next = (next_month(today) * DAY) as f64;
    (end < next).then(|| Timestamp::from_millis(end as u64))
}

fn day(at: Timestamp) -> String {
    let (year, month, day) = civil(at.as_millis() / DAY);
    format!("{year:04}-{month:02}-{day:02}")
}

fn shown(what: &str, amount: f64) -> String {
    match what {
        "storage" => format!("{:.1} MB", amount / 1e6),
        "budget" => format!("${amount:.2}"),
        _ => format!("{amount:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// 2026-11-16, noon: half of November has passed, and half a day.
    const NOON: Timestamp = Timestamp::from_millis(20_773 * DAY + 12 * HOUR);

    #[test]
    fn the_day_on_which_a_month_is_used_up_follows_from_its_pace() {
        assert_eq!(day(NOON), "2026-11-16");
        assert_eq!(used_up(0.5, NOON), None, "31 days, and November has 30");
        assert_eq!(used_up(0.6, NOON).map(day).as_deref(), Some("2026-11-26"));
        assert_eq!(used_up(0.0, NOON), None);
        let early = Timestamp::from_millis(20_758 * DAY + HOUR);
        assert_eq!(day(early), "2026-11-01");
        assert_eq!(used_up(0.9, early), None, "an hour tells nothing");
    }

    #[test]
    fn a_database_is_known_by_its_host_or_its_slug() {
        let is = |endpoint, host| is_at(&json!({ "endpoint": endpoint }), host);
        assert!(is("eu1-a.upstash.io", "eu1-a.upstash.io"));
        assert!(is("eu1-a", "eu1-a.upstash.io"));
        assert!(!is("eu1", "eu1-a.upstash.io") && !is("", "eu1-a.upstash.io"));
        assert!(!is("eu1-a", "eu1-a.upstash.io.example"));
    }
}

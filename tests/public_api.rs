//! A program of another crate, which uses each documented name as intended. It compiles as long as
//! no name, argument or result changes; `public_api.test.mjs` checks its imports against the
//! documentation.
#![cfg(feature = "reqwest")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that finds nothing there should fail"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use omnitrade_edge::clock::{ManualClock, Timestamp, seconds_up};
use omnitrade_edge::config::{
    Alerts, By, Cache, Client, Config, ConfigError, ConfigProblem, Cors, Jwt, Keys, Letters, Limit,
    Metrics, Mode, OnFailure as ConfigOnFailure, OriginQuota, OriginQuotaOf,
    Penalty as PenaltyConfig, Percent, Route, Sizes, Store, Strategy, Style, Ttl, UnknownQuery,
    VersionSource,
};
#[cfg(feature = "queue")]
use omnitrade_edge::config::{
    Backoff as ConfigBackoff, Bullmq as ConfigBullmq, Deduplication as ConfigDeduplication,
    Enqueue, KeepJobs, Queue as ConfigQueue, Retry,
};
use omnitrade_edge::error::{Error, ErrorKind};
use omnitrade_edge::limiter::{
    All, Limited, OnFailure, Penalty, Pending, Quota, RateLimiter, Reason, Refused, Rule, Source,
    Subject,
};
#[cfg(feature = "queue")]
use omnitrade_edge::queue::{
    Backoff, Bullmq, Counts, Deduplication, JobOptions, JobProgress, JobState, Keep, NewJob, Queue,
};
use omnitrade_edge::redis::{
    Arg, Client as RedisClient, Command, FromValue, Options, RestClient, RetryPolicy, Script,
    Shared, Token, Value, error_of_reply,
};
#[cfg(feature = "redis-tcp")]
use omnitrade_edge::redis::{TcpClient, TcpOptions};
use omnitrade_edge::shell::ReqwestTransport;
#[cfg(feature = "tower")]
use omnitrade_edge::tower::{
    Body, FromExtension, Header, Key, Or, PeerIp, RateLimit, RateLimitLayer, Refusal,
    ResponseFuture, Style as HeaderStyle,
};
use omnitrade_edge::transport::{BoxFuture, SendTransport, Transport, TransportError};
use omnitrade_edge::values::{Builder, Cached, Entry, GetOrSet, Loading, ValueCache};

const MINUTE: Duration = Duration::from_secs(60);

/// A custom transport: it never reaches a store, and the test moves its clock.
#[derive(Clone, Default)]
struct Nowhere {
    clock: Arc<ManualClock>,
    sent: Arc<AtomicU32>,
}

impl Transport for Nowhere {
    async fn send(
        &self,
        _request: http::Request<Bytes>,
        _timeout: Duration,
        _max_bytes: usize,
    ) -> Result<http::Response<Bytes>, TransportError> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        Err(TransportError::Connect)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.advance(duration);
    }

    fn random(&self) -> f64 {
        0.5
    }
}

impl SendTransport for Nowhere {
    fn send_boxed(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(self.send(request, timeout, max_bytes))
    }

    fn sleep_boxed(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.sleep(duration))
    }
}

fn options() -> Options {
    Options::new("https://store.example", Token::from("token"))
        .timeout(Duration::from_millis(150))
        .retry_policy(
            RetryPolicy::default()
                .retries(1)
                .base(Duration::ZERO)
                .cap(MINUTE),
        )
        .max_reply_bytes(1 << 20)
        .base64(true)
}

#[tokio::test]
async fn a_limiter_is_built_asked_and_read_by_public_names() {
    let nowhere = Nowhere::default();
    let redis = RestClient::new(nowhere.clone(), options().retries(0)).unwrap();
    let rule = Rule::new(2, MINUTE)
        .named("per-user")
        .prefixed("{ot}")
        .leased()
        .shadow()
        .on_failure(OnFailure::Local)
        .with_penalty(Penalty::new(3, MINUTE, MINUTE * 10));
    let Quota { permits, window } = rule.quota();
    assert_eq!((permits, window), (2, MINUTE));

    let limiter = RateLimiter::new(redis, rule);
    let limited: Limited = limiter.limit("user", 1).await;
    let reset: Timestamp = limited.reset;
    assert!(limited.success && reset >= nowhere.now());
    assert_eq!(limited.reason, Some(Reason::Timeout));
    assert_eq!(limited.source, Source::Local);
    assert_eq!(limited.policy, "per-user");
    assert_eq!(limited.limit, 2);
    assert!(limited.remaining < 2);
    assert_eq!(seconds_up(limited.retry_after), 0);
    let pending: Option<Pending> = limited.pending;
    if let Some(pending) = pending {
        limiter.finish(pending).await;
    }
    assert!(nowhere.sent.load(Ordering::SeqCst) >= 1);

    let all: Vec<Limited> = limiter.limit_many(&[("user", 1), ("other", 1)]).await;
    assert_eq!(all.len(), 2);
    let error: Error = limiter.peek("user").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.command()),
        (ErrorKind::Unreachable, None)
    );
    assert!(limiter.refund("user", 1).await.is_err());
    assert!(limiter.reset("user").await.is_err());
    limiter.return_unspent().await;
}

#[tokio::test]
async fn a_request_is_described_before_it_is_decided() {
    let clock = Nowhere::default();
    let per_user = RateLimiter::local(clock.clone(), Rule::new(2, MINUTE).named("user"));
    let per_ip = RateLimiter::local(clock, Rule::new(9, MINUTE));
    assert_eq!(per_user.rule().quota().permits, 2);
    let subject: Subject<'_> = per_user.subject("u").cost(3).quota(4);
    let limited = subject.clone().limit_now().unwrap();
    assert_eq!((limited.window, limited.shadowed), (MINUTE, false));
    assert_eq!(subject.clone().peek().await.unwrap().remaining, 1);
    subject.refund().await.unwrap();
    let all: All = RateLimiter::all([per_user.subject("u"), per_ip.subject("i")]).await;
    assert!(all.success && all.retry_after().is_zero() && all.results.len() == 2);
    let owned: Subject<'_> = (&per_user, String::from("u")).into();
    assert!(owned.until_allowed(MINUTE).await.is_ok());
    let refused: Refused = per_user.until_allowed("u", 3, MINUTE).await.unwrap_err();
    assert!(refused.never && !refused.limited.success);
    assert!(
        per_user
            .clone()
            .limit_now("u", 1)
            .is_some_and(|limited| !limited.success)
    );
}

/// A client of another crate, of which the limiter knows nothing else.
struct Refusing {
    clock: Nowhere,
    shared: Shared,
}

impl RedisClient for Refusing {
    fn command<'a>(&'a self, _: &'a Command) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(async { Err(Error::from(ErrorKind::Server)) })
    }

    fn pipeline<'a>(
        &'a self,
        _: &'a [Command],
    ) -> BoxFuture<'a, Result<Vec<Result<Value, Error>>, Error>> {
        Box::pin(async { Err(Error::from(ErrorKind::Server)) })
    }

    fn script<'a>(
        &'a self,
        _: &'a Script,
        _: &'a [String],
        _: &'a [String],
    ) -> BoxFuture<'a, Result<Value, Error>> {
        Box::pin(async { Err(Error::from(ErrorKind::Server)) })
    }

    fn timeout(&self) -> Duration {
        MINUTE
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        self.clock.sleep_boxed(duration)
    }

    fn random(&self) -> f64 {
        0.5
    }

    fn shared(&self) -> &Shared {
        &self.shared
    }
}

#[tokio::test]
async fn a_limiter_takes_a_client_of_another_crate() {
    let client = Refusing {
        clock: Nowhere::default(),
        shared: Shared::default(),
    };
    let limiter = RateLimiter::new(client, Rule::new(2, MINUTE));
    let limited = limiter.limit("a", 1).await;
    assert_eq!((limited.success, limited.source), (true, Source::Local));
}

#[tokio::test]
async fn a_limiter_without_a_store_needs_only_a_clock() {
    let limiter = RateLimiter::local(ReqwestTransport::new().unwrap(), Rule::new(1, MINUTE));
    assert!(limiter.limit("a", 1).await.success);
    let refused = limiter.limit("a", 1).await;
    assert!(!refused.success);
    assert!(refused.retry_after > Duration::ZERO);
}

#[tokio::test]
async fn a_cache_of_values_is_built_and_asked_by_public_names() {
    let nowhere = Nowhere::default();
    let redis = RestClient::new(nowhere.clone(), options().retries(0)).unwrap();
    let heard = Arc::new(AtomicU32::new(0));
    let hears = Arc::clone(&heard);
    let builder: Builder = ValueCache::builder()
        .prefixed("{shop}")
        .memory(1 << 20)
        .load_timeout(MINUTE)
        .on_error(move |error: &Error| {
            assert_eq!(error.kind(), ErrorKind::Unreachable);
            hears.fetch_add(1, Ordering::SeqCst);
        });
    let cache = builder.over(redis.clone());
    let entry = Entry::ttl(MINUTE)
        .stale_while_revalidate(MINUTE)
        .stale_if_error(MINUTE)
        .with_ttl(MINUTE * 2)
        .tags(["t"]);
    // What the platform takes over, in place of tokio.
    let cache = cache.on_work(|work: BoxFuture<'static, ()>| drop(tokio::spawn(work)));
    // The clock jumps when somebody sleeps, so a load must be there at once.
    let call: GetOrSet<'_, u32, String> = cache.get_or_set("k", &entry, || async { Ok(7) });
    assert_eq!(call.share_errors().await, Ok(7));
    assert!(heard.load(Ordering::SeqCst) > 0);
    let load = |loading: Loading<u32>| async move {
        assert!(loading.stale().is_none() && !loading.is_background());
        loading.keep(loading.entry().tags(["u"]));
        loading.keep_nothing();
        Err::<_, String>("down".to_owned())
    };
    let failed = cache.get_or_set_with("l", &entry, load).await;
    assert_eq!(failed, Err("down".to_owned()));
    let load = |_| async { Ok::<Vec<u8>, String>(vec![1, 2]) };
    let bytes: Bytes = cache.get_or_set_bytes("b", &entry, load).await.unwrap();
    let Cached { value, fresh, .. } = cache.get_bytes("b").await.unwrap();
    assert!(value == bytes && fresh);
    let found: Cached<u32> = cache.get("k").await.unwrap();
    assert_eq!(
        (found.value, found.age),
        (7, nowhere.now().since(nowhere.now()))
    );
    assert!(cache.set("k", &7, &entry).await.is_err());
    assert!(cache.set_bytes("k", b"7", &entry).await.is_err());
    assert!(cache.delete("k").await.is_err());
    assert!(cache.purge_keys(["k"]).await.is_err());
    assert!(cache.purge_tags(["t"]).await.is_err());
    assert!(cache.get::<u32>("k").await.is_none());

    let local = ValueCache::local(nowhere.clone());
    local.set("k", &1, &entry).await.unwrap();
    assert!(ValueCache::new(redis).get::<u32>("k").await.is_none());
    assert!(
        Builder::default()
            .local(nowhere)
            .get::<u32>("k")
            .await
            .is_none()
    );
}

#[cfg(feature = "tower")]
#[tokio::test]
async fn a_service_is_limited_by_public_names() {
    use http::{Request, Response, StatusCode};
    use tower::{Layer as _, Service};

    #[derive(Clone)]
    struct User(&'static str);
    let user: FromExtension<User> = FromExtension::new(|user: &User| user.0);
    let key: Or<Or<Header, FromExtension<User>>, PeerIp> =
        Header("x-api-key").or(user).or(PeerIp::v6_prefix(64));
    assert_eq!(key.count(), 3);
    let behind = PeerIp::v6_prefix(64)
        .from_extension(|address: &std::net::IpAddr| Some(*address))
        .from_header("x-real-ip")
        .behind_proxies(1);

    let local = |quota, name: &str| {
        let rule = Rule::new(quota, MINUTE).named(name);
        RateLimiter::local(Nowhere::default(), rule)
    };
    let layer: RateLimitLayer = RateLimitLayer::new(local(9, "per-user"))
        .key(key)
        .quota(|request| request.headers.contains_key("x-plan").then_some(5))
        .cost(|request| u64::from(request.method != "GET"))
        .and(local(2, "per-ip"), behind.or(Header("x-ip")))
        .cost_from_response(|response| response.headers.get("x-cost").map(|_| 2))
        .refund_on(StatusCode::is_server_error)
        .skip(|request| request.uri.path() == "/health")
        .headers(HeaderStyle::Draft10)
        .refuse_with(|refusal: &Refusal<'_>| {
            assert!(!refusal.is_grpc() && refusal.retry_after() > Duration::ZERO);
            assert_eq!(refusal.limits().len(), 2);
            assert_eq!(refusal.request().uri.path(), "/");
            assert_eq!(refusal.status(), StatusCode::TOO_MANY_REQUESTS);
            refusal.response()
        });
    let hello = tower::service_fn(async |_: Request<String>| {
        Ok::<_, std::convert::Infallible>(Response::new("hello".to_owned()))
    });
    let mut service: RateLimit<_> = layer.layer(hello);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let request = Request::post("/").header("x-ip", "a").body(String::new());
        let answer: ResponseFuture<_, String> = service.call(request.unwrap());
        let answer: Response<Body<String>> = answer.await.unwrap();
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

#[tokio::test]
async fn the_client_reports_what_a_caller_can_do() {
    let redis = RestClient::new(Nowhere::default(), options()).unwrap();
    let get = Command::new("GET")
        .args(["k"])
        .arg(Arg::Int(1))
        .idempotent(true);
    let error = redis.command(&get).await.unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), ("unreachable", false));
    assert!(error.retry_is_safe(false) && error.kind().is_transient());
    assert_eq!(error.redis_code(), None);
    assert_eq!(
        (get.name(), get.words()),
        ("GET", ["GET", "k", "1"].map(String::from).to_vec())
    );
    let refused = error_of_reply("READONLY a replica", Some("SET"));
    assert!(!refused.not_run().may_have_run());
    let both = [Command::new("GET").arg("a"), Command::new("GET").arg("b")];
    assert!(redis.pipeline(&both).await.is_err());
    assert!(redis.multi(&both).await.is_err());
    let script = Script::new("return 1").repeatable();
    let reply: Result<Value, Error> = redis.script(&script, &["k"], [1]).await;
    assert!(reply.is_err());
    assert!(redis.command_as::<i64>(&get).await.is_err());
    assert!(redis.pipeline_as::<(i64, bool)>(&both).await.is_err());
    assert!(redis.multi_as::<Vec<String>>(&both).await.is_err());
    let reply = redis.script_as::<()>(&script, &["k"], [1]).await;
    assert!(reply.is_err());
    let other_type = i64::from_value(Value::from("seven")).unwrap_err();
    assert_eq!(other_type.kind(), ErrorKind::UnexpectedType);
    let nothing = |_: &str| None;
    assert!(RestClient::from_vars(Nowhere::default(), nothing).is_err());
    assert!(Options::from_vars(nothing).is_err());
    let settings = RestClient::new(Nowhere::default(), Options::new("nowhere", "token"));
    assert_eq!(
        settings.err().map(|error| error.kind()),
        Some(ErrorKind::Config)
    );
}

#[cfg(feature = "redis-tcp")]
#[tokio::test]
async fn a_redis_without_rest_is_reached_by_public_names() {
    let policy = RetryPolicy::default().retries(0);
    let options = TcpOptions::new("redis://127.0.0.1:1/2")
        .timeout(MINUTE)
        .retries(1)
        .retry_policy(policy)
        .max_reply_bytes(1 << 20);
    let redis = TcpClient::new(options).unwrap();
    assert_eq!(redis.timeout(), MINUTE);
    let get = Command::new("GET").arg("k");
    let error = redis.command(&get).await.unwrap_err();
    assert_eq!((error.code(), error.may_have_run()), ("unreachable", false));
    assert!(redis.command_as::<Option<String>>(&get).await.is_err());
    let both = [get.clone(), get];
    assert!(redis.pipeline(&both).await.is_err());
    assert!(redis.pipeline_as::<((), i64)>(&both).await.is_err());
    assert!(redis.multi(&both).await.is_err());
    assert!(redis.multi_as::<((), i64)>(&both).await.is_err());
    let script = Script::new("return 1").repeatable();
    assert!(redis.script(&script, &["k"], [1]).await.is_err());
    let reply = redis.script_as::<bool>(&script, &["k"], [1]).await;
    assert!(reply.is_err());
    let limiter = RateLimiter::new(redis, Rule::new(2, MINUTE));
    assert!(limiter.limit("user", 1).await.success);
    assert!(TcpClient::connect("nowhere").is_err());
}

#[test]
fn every_part_of_a_configuration_can_be_named_and_read() {
    let config: Config = r#"{
        "origin": "https://api.example.com/",
        "cors": { "origins": ["https://app.example"], "preflight": true, "max_age": "1m" },
        "client": { "jwt": { "jwks": "https://login.example/keys", "audience": "a" } },
        "limits": { "l": {
            "by": "ip", "window": "1m", "quota": 10,
            "penalty": { "after": 5, "hold": "1m", "max": "1h" }
        } },
        "origin_quotas": { "q": { "limit": 9, "window": "1s" } },
        "routes": [{
            "path": "/a", "limits": ["l"], "origin_quota": "q",
            "cache": {
                "ttl": "1s", "query": ["s"], "normalize": { "s": "upper" }, "version": "header:x-v"
            }
        }]
    }"#
    .parse()
    .unwrap();
    assert_eq!(config.origin, "https://api.example.com");
    assert_eq!(config.digest().len(), 64);
    assert_eq!(
        (config.headers, config.partition_key),
        (Style::Draft10, false)
    );
    let cors: &Cors = config.cors.as_ref().unwrap();
    assert_eq!((cors.origins.len(), cors.max_age), (1, Some(MINUTE)));
    assert!(!config.rewrite_location && !cors.credentials && cors.expose.is_none());
    let Client {
        keys,
        ipv6_prefix,
        api_key_headers,
        jwt,
        ..
    } = config.client;
    assert_eq!((keys, ipv6_prefix), (Keys::Any, 64));
    assert_eq!(api_key_headers, ["x-api-key"]);
    let jwt: Jwt = jwt.unwrap();
    assert_eq!(
        (jwt.claim.as_str(), jwt.audience.as_deref()),
        ("sub", Some("a"))
    );
    assert!(jwt.issuer.is_none() && jwt.plan_claim.is_none());
    let on_failure: ConfigOnFailure = config.redis.on_failure;
    let Store { timeout, .. } = config.redis;
    assert_eq!(
        (on_failure, timeout),
        (OnFailure::Local, Duration::from_millis(150))
    );
    let Sizes { l1_size, .. } = config.cache;
    assert!(l1_size > 0);

    let Metrics {
        analytics, every, ..
    } = config.metrics;
    assert!(analytics.is_none() && every > Duration::ZERO);
    let Alerts { store_open_for, .. } = config.alerts;
    assert!(store_open_for > Duration::ZERO);

    let limit: &Limit = config.limits.get("l").unwrap();
    assert_eq!(limit.local_share, Percent(50));
    assert_eq!(
        (limit.by, limit.strategy, limit.mode),
        (By::Ip, Strategy::Exact, Mode::Enforce)
    );
    let penalty: PenaltyConfig = limit.penalty.unwrap();
    assert_eq!((penalty.after, penalty.max), (5, MINUTE * 60));
    let quota: &OriginQuota = config.origin_quotas.get("q").unwrap();
    assert_eq!(quota.limit, 9);

    let route: &Route = config.routes.first().unwrap();
    assert_eq!(route.origin_quota, Some(OriginQuotaOf::Named("q".into())));
    let cache: &Cache = route.cache.as_ref().unwrap();
    assert_eq!(cache.ttl, Some(Ttl::For(Duration::from_secs(1))));
    assert_eq!(cache.normalize.get("s"), Some(&Letters::Upper));
    assert_eq!(cache.unknown_query, UnknownQuery::Drop);
    assert_eq!(
        cache.version.as_deref(),
        Some(&VersionSource::Header("x-v".into()))
    );
}

#[test]
fn a_wrong_configuration_names_each_problem_with_its_path() {
    let error: ConfigError = "{}".parse::<Config>().unwrap_err();
    let problem: &ConfigProblem = error.problems().first().unwrap();
    assert_eq!(problem.path, "origin");
    assert!(problem.message.starts_with("expected"));
    assert!(error.to_string().contains("origin: expected"));
    assert!(Config::schema().get("properties").is_some());
    assert!(Config::from_json(serde_json::json!({ "origin": "https://a.example" })).is_ok());
}

#[cfg(feature = "queue")]
#[tokio::test]
async fn a_queue_takes_jobs_and_is_looked_at_by_public_names() {
    let nowhere = Nowhere::default();
    let redis = RestClient::new(nowhere.clone(), options().retries(0)).unwrap();
    let once = Deduplication::new("bot-7")
        .ttl(MINUTE)
        .extend()
        .replace()
        .keep_last_if_active();
    let job_options = JobOptions::new()
        .attempts(3)
        .backoff(Backoff::exponential(MINUTE).jitter(0.5))
        .deduplication(once)
        .delay(MINUTE)
        .job_id("7-a")
        .keep_logs(10)
        .lifo(false)
        .priority(1)
        .remove_on_complete(Keep::AgeAndCount {
            age: 60,
            count: 100,
        })
        .remove_on_fail(Keep::All)
        .size_limit(1_000)
        .stack_trace_limit(3)
        .timestamp(Timestamp::from_millis(1));
    let read = r#"{"backoff":{"type":"fixed","delay":60000},"removeOnFail":true}"#;
    let same = JobOptions::new()
        .backoff(Backoff::fixed(MINUTE))
        .remove_on_fail(Keep::Nothing);
    assert_eq!(read.parse::<JobOptions>().unwrap(), same);
    let others = [Keep::Count(3), Keep::Age(60)];
    let others = others.map(|keep| JobOptions::new().remove_on_complete(keep));
    assert_ne!(others[0], others[1]);

    let queue = Queue::new("bots", redis)
        .unwrap()
        .prefix("{bull}")
        .bullmq(Bullmq::V6)
        .default_job_options(JobOptions::new().backoff(Backoff::custom("own")));
    assert_eq!(queue.name(), "bots");
    let unreachable = queue.add("run", &["data"], &job_options).await.unwrap_err();
    assert_eq!(unreachable.kind(), ErrorKind::Unreachable);
    assert!(!unreachable.may_have_run());
    let json = queue.add_json("run", " { } ", &job_options).await;
    assert!(json.is_err());

    let sent = nowhere.sent.load(Ordering::SeqCst);
    let refused = queue.add("run", &(), &JobOptions::new().job_id("7")).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(nowhere.sent.load(Ordering::SeqCst), sent);

    let jobs = [
        NewJob::new("run", &7).unwrap().options(job_options),
        NewJob::from_json("run", "[1]").unwrap(),
    ];
    let results = queue.add_bulk(&jobs).await.unwrap();
    assert!(results.len() == 2 && results.iter().all(Result::is_err));

    assert!(queue.counts().await.is_err());
    let counts = Counts::default();
    assert_eq!(counts.waiting + counts.delayed + counts.failed, 0);
    let job: Result<Option<JobProgress>, Error> = queue.job("7-a", 0).await;
    assert!(job.is_err());
    assert!(JobState::Failed.is_final() && !JobState::Delayed.is_final());
    assert_eq!(JobState::Active.as_str(), "active");
}

#[cfg(feature = "queue")]
#[test]
fn queues_of_a_configuration_can_be_named_and_read() {
    let config: Config = r#"{
        "origin": "https://api.example.com",
        "queues": { "bots": { "name": "trading-bots" } },
        "routes": [{ "path": "/jobs/{id}", "enqueue": {
            "queue": "bots", "job": "run", "attempts": 3,
            "backoff": { "type": "exponential", "delay": "1m" },
            "deduplication": { "id": "{path.id}", "ttl": "1m" },
            "remove_on_complete": { "age": "1m" }
        } }]
    }"#
    .parse()
    .unwrap();
    let queue: &ConfigQueue = &config.queues["bots"];
    assert_eq!(
        (queue.name.as_str(), queue.bullmq),
        ("trading-bots", ConfigBullmq::Any)
    );
    let enqueue: &Enqueue = config.routes[0].enqueue.as_ref().unwrap();
    assert_eq!((enqueue.attempts, enqueue.max_body), (Some(3), 64 << 10));
    let backoff: ConfigBackoff = enqueue.backoff.unwrap();
    assert_eq!((backoff.retry, backoff.delay), (Retry::Exponential, MINUTE));
    let shared: &ConfigDeduplication = enqueue.deduplication.as_ref().unwrap();
    assert_eq!(shared.ttl, Some(MINUTE));
    let kept = enqueue.remove_on_complete;
    assert_eq!(kept, Some(KeepJobs::Age(MINUTE, None)));
}

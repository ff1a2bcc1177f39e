//! A gate with the bindings of a Cloudflare Worker: reads them once, and hands every request to the
//! gate. `wasm/` exports these functions to JavaScript.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use js_sys::{Function, JSON, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

use crate::config::{Config, ConfigError, ConfigProblem};
use crate::error::Error;
use crate::gateway::Problem;
use crate::identity::{AdminToken, KeySecrets};
use crate::redis::{Options, RestClient};
use crate::shell::FetchTransport;

use super::web::{ExecutionContext, Isolate, Outlets, Store, respond};

thread_local! {
    /// What the bindings say, until the first request.
    static BINDINGS: RefCell<Option<Bindings>> = const { RefCell::new(None) };

    /// The gate of this isolate; `None` if it is misconfigured.
    static ISOLATE: OnceCell<Option<Rc<Isolate>>> = const { OnceCell::new() };
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn log_error(message: &str);

    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    fn log_warning(message: &str);
}

/// What the bindings say. Nothing is logged before a request: outside of requests, logs are lost.
struct Bindings {
    config: Result<Config, ConfigError>,
    store: Result<Option<Store>, ConfigError>,
    admin_token: Option<AdminToken>,
    key_secrets: Result<KeySecrets, ConfigError>,
    /// The names of the bindings with white space around their values.
    spaced: Vec<&'static str>,
    /// What is told of failures of the store.
    listener: Option<Function>,
    outlets: Outlets,
    /// What is wrong with them.
    outlet_problems: Vec<&'static str>,
}

/// Reads the bindings, which `env` holds, for the requests that follow. `built`: the configuration
/// that the Worker was built with, as JSON. `listener`: what is told of each failure of the store.
///
/// The platform need not give the time or random numbers yet. Calls after the first request change
/// nothing.
pub fn prepare(env: &JsValue, built: Option<&str>, listener: Option<Function>) {
    BINDINGS.set(Some(Bindings::read(env, built, listener)));
}

/// All that is wrong with the bindings, before the first request.
pub fn problems() -> Vec<ConfigProblem> {
    BINDINGS.with_borrow(|bindings| {
        let bindings = bindings.as_ref();
        let config = bindings.and_then(|bindings| bindings.config.as_ref().err());
        let store = bindings.and_then(|bindings| bindings.store.as_ref().err());
        let secrets = bindings.and_then(|bindings| bindings.key_secrets.as_ref().err());
        let errors = config.into_iter().chain(store).chain(secrets);
        errors.flat_map(ConfigError::problems).cloned().collect()
    })
}

/// The Worker's `fetch` handler, once the bindings were read. It returns a response if it can
/// answer at once, and otherwise what `Promise.withResolvers` returns: the caller may resolve the
/// promise, too, if the module breaks down before it does.
pub fn handle(request: Request, context: ExecutionContext) -> JsValue {
    match isolate() {
        Some(isolate) => isolate.handle(request, context),
        None => respond(Problem::Misconfigured.answer())
            .unwrap_or_else(|_| Response::error())
            .into(),
    }
}

/// The limits alone of a request, for a program that answers it itself: see [`Isolate::admit`].
pub fn admit(request: Request, context: ExecutionContext) -> JsValue {
    isolate().map_or(JsValue::UNDEFINED, |isolate| {
        isolate.admit(request, context)
    })
}

/// Purges what the request names: see [`Isolate::purge_for`].
pub fn purge(request: Request) -> JsValue {
    isolate().map_or(JsValue::UNDEFINED, |isolate| isolate.purge_for(request))
}

/// What the gate has counted, in the text format of Prometheus.
pub fn metrics() -> String {
    isolate().map_or_else(String::new, |isolate| isolate.metrics())
}

/// The gate, made on the first call.
fn isolate() -> Option<Rc<Isolate>> {
    ISOLATE.with(|isolate| isolate.get_or_init(start).clone())
}

/// Makes the gate that the bindings describe. All that is wrong with them goes to the log, and none
/// of it to clients.
fn start() -> Option<Rc<Isolate>> {
    let Bindings {
        config,
        store,
        admin_token,
        key_secrets,
        spaced,
        listener,
        outlets,
        outlet_problems,
    } = BINDINGS.take()?;
    let log = |error: &ConfigError| {
        for problem in error.problems() {
            log_error(&format!("configuration: {problem}"));
        }
    };
    let config = config.inspect_err(log).ok();
    if !spaced.is_empty() {
        let names = spaced.join(" and ");
        log_warning(&format!(
            "configuration: {names}: the white space around the value is left off"
        ));
    }
    let store = store.inspect_err(log).ok();
    let key_secrets = key_secrets.inspect_err(log).ok();
    let (config, store, key_secrets) = (config?, store?, key_secrets?);
    if let Some(advice) = key_secrets.advice(&config).filter(|_| store.is_some()) {
        log_warning(&format!("configuration: {advice}"));
    }
    for problem in outlet_problems {
        log_warning(&format!("configuration: {problem}"));
    }
    Isolate::new(&config, store, admin_token, key_secrets, listener, outlets)
        .inspect_err(log)
        .ok()
}

impl Bindings {
    fn read(env: &JsValue, built: Option<&str>, listener: Option<Function>) -> Self {
        let names = [STORE[0], STORE[1], ORIGIN, SECRETS[0], SECRETS[1]];
        let (given, spaced) = trimmed(env, names);
        let [url, token, origin, secret, previous] = given;
        let config = config(env, built, origin.as_deref());
        let given = [url, token];
        let analytics = config.as_ref().ok();
        let analytics = analytics.and_then(|config| config.metrics.analytics.as_ref());
        let dataset = analytics.map(|name| binding(env, name).unwrap_or_default());
        let webhook = text(env, WEBHOOK).map(|url| url.trim().to_owned());
        let (outlets, outlet_problems) = Outlets::new(dataset, webhook);
        Self {
            store: store(given, config.as_ref().ok()),
            config,
            admin_token: admin_token(env),
            key_secrets: key_secrets(env, [secret, previous]),
            spaced,
            listener,
            outlets,
            outlet_problems,
        }
    }
}

/// Reads the configuration that the Worker was built with, and lays the binding `EDGE` over it: a
/// JSON variable, or the same JSON as text. An `origin` takes the place of theirs.
fn config(env: &JsValue, built: Option<&str>, origin: Option<&str>) -> Result<Config, ConfigError> {
    let edge = binding(env, "EDGE").map(|edge| {
        let text = edge.as_string();
        text.or_else(|| JSON::stringify(&edge).ok()?.as_string())
            .unwrap_or_default()
    });
    Config::from_layers(
        built,
        edge.as_deref(),
        origin.map(|origin| (ORIGIN, origin)),
    )
}

/// The names of the bindings of the store: its address and its token.
const STORE: [&str; 2] = ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"];

/// The names of the bindings of the secrets in digests.
const SECRETS: [&str; 2] = [KeySecrets::CURRENT, KeySecrets::PREVIOUS];

/// The name of the secret with the address that alerts go to.
const WEBHOOK: &str = "EDGE_ALERT_WEBHOOK";

/// The name of the binding that takes the place of the origin in the configuration.
const ORIGIN: &str = "EDGE_ORIGIN";

/// The store; `None` if neither of its bindings exists. If there is no valid configuration, the
/// bindings are only checked.
fn store(
    given: [Option<String>; 2],
    config: Option<&Config>,
) -> Result<Option<Store>, ConfigError> {
    let (url, token) = match given {
        [None, None] => return Ok(None),
        [Some(url), Some(token)] => (url, token),
        [url, _] => {
            let [absent, present] = if url.is_none() {
                STORE
            } else {
                [STORE[1], STORE[0]]
            };
            let message = format!("expected beside {present}, found nothing");
            return Err(ConfigError::of(absent, &message));
        }
    };
    // The client calls these settings `url` and `token`.
    let of = |error: Error| {
        let message = error.to_string();
        let token = message.contains(": token: ");
        ConfigError::of(if token { STORE[1] } else { STORE[0] }, &message)
    };
    let mut options = Options::new(url, token);
    if let Some(config) = config {
        options = options.timeout(config.redis.timeout);
    }
    RestClient::new(FetchTransport::new(), options)
        .map(Some)
        .map_err(of)
}

/// Reads the bindings with these names, which are texts, without the white space around them: a
/// file or a pipe may have added it, and no address or token has any. Also returns the names of
/// those that had some.
fn trimmed<const N: usize>(
    env: &JsValue,
    names: [&'static str; N],
) -> ([Option<String>; N], Vec<&'static str>) {
    let mut spaced = Vec::new();
    let given = names.map(|name| {
        let text = text(env, name)?;
        let trimmed = text.trim();
        if trimmed.len() < text.len() {
            spaced.push(name);
        }
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    });
    (given, spaced)
}

/// The secrets of the digests that stand for API keys and users. A binding that is no text, such as
/// one of the Secrets Store, is an error: without a secret, the digests would be others.
fn key_secrets(env: &JsValue, given: [Option<String>; 2]) -> Result<KeySecrets, ConfigError> {
    let is_other = |name: &&str| binding(env, name).is_some_and(|value| !value.is_string());
    if let Some(name) = SECRETS.into_iter().find(is_other) {
        return Err(ConfigError::of(name, "expected a text"));
    }
    let [current, previous] = given;
    KeySecrets::read(current.as_deref(), previous.as_deref())
}

/// The token for the protected admin pages, which do not exist without it.
fn admin_token(env: &JsValue) -> Option<AdminToken> {
    AdminToken::new(&text(env, "EDGE_ADMIN_TOKEN")?)
}

/// A binding that is a non-empty text.
fn text(env: &JsValue, name: &str) -> Option<String> {
    let value = binding(env, name).and_then(|value| value.as_string());
    value.filter(|text| !text.is_empty())
}

fn binding(env: &JsValue, name: &str) -> Option<JsValue> {
    let value = Reflect::get(env, &name.into()).ok()?;
    (!value.is_undefined() && !value.is_null()).then_some(value)
}

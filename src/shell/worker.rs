//! The Cloudflare Worker: reads its bindings once, and hands every request to the gate. `wasm/`
//! exports [`handle`] to JavaScript.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use js_sys::{JSON, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

use crate::config::{Config, ConfigError};
use crate::error::Error;
use crate::gateway::Problem;
use crate::identity::AdminToken;
use crate::redis::{Options, RestClient};
use crate::shell::FetchTransport;

use super::web::{ExecutionContext, Isolate, Store, respond};

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

/// The global that holds the configuration that the Worker was built with: `edge.toml` as JSON, in
/// a string. `scripts/lib/edge-toml.mjs` writes it into the first line of `build/index.js`.
const BUILT_WITH: &str = "OMNITRADE_EDGE_CONFIG";

/// What the bindings say. Nothing is logged before a request: outside of requests, logs are lost.
struct Bindings {
    config: Result<Config, ConfigError>,
    store: Result<Option<Store>, ConfigError>,
    admin_token: Option<AdminToken>,
    /// The names of the bindings with white space around their values.
    spaced: Vec<&'static str>,
}

/// Reads the bindings, which `env` holds, for the requests that follow. The platform need not give
/// the time or random numbers yet. Calls after the first request change nothing.
pub fn prepare(env: &JsValue) {
    BINDINGS.set(Some(Bindings::read(env)));
}

/// The Worker's `fetch` handler, once the bindings were read. It returns a response if it can
/// answer at once, and otherwise what `Promise.withResolvers` returns: the caller may resolve the
/// promise, too, if the module breaks down before it does.
pub fn handle(request: Request, context: ExecutionContext) -> JsValue {
    let isolate = ISOLATE.with(|isolate| isolate.get_or_init(start).clone());
    match isolate {
        Some(isolate) => isolate.handle(request, context),
        None => respond(Problem::Misconfigured.answer())
            .unwrap_or_else(|_| Response::error())
            .into(),
    }
}

/// Makes the gate that the bindings describe. All that is wrong with them goes to the log, and none
/// of it to clients.
fn start() -> Option<Rc<Isolate>> {
    let Bindings {
        config,
        store,
        admin_token,
        spaced,
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
    Isolate::new(&config?, store?, admin_token)
        .inspect_err(log)
        .ok()
}

impl Bindings {
    fn read(env: &JsValue) -> Self {
        let config = config(env);
        let (given, spaced) = trimmed(env, STORE);
        Self {
            store: store(given, config.as_ref().ok()),
            config,
            admin_token: admin_token(env),
            spaced,
        }
    }
}

/// Reads the configuration that the Worker was built with, and lays the binding `EDGE` over it: a
/// JSON variable, or the same JSON as text.
fn config(env: &JsValue) -> Result<Config, ConfigError> {
    let built = binding(&js_sys::global(), BUILT_WITH).and_then(|value| value.as_string());
    let edge = binding(env, "EDGE").map(|edge| {
        let text = edge.as_string();
        text.or_else(|| JSON::stringify(&edge).ok()?.as_string())
            .unwrap_or_default()
    });
    Config::from_layers(built.as_deref(), edge.as_deref())
}

/// The names of the bindings of the store: its address and its token.
const STORE: [&str; 2] = ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"];

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

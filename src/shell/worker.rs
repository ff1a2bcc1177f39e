//! The Cloudflare Worker: reads its bindings once, and hands every request to the gate. `wasm/`
//! exports [`handle`] to JavaScript.

use std::cell::OnceCell;
use std::rc::Rc;

use js_sys::{JSON, Reflect};
use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

use crate::config::{Config, ConfigError};
use crate::error::Error;
use crate::gateway::{AdminToken, Problem};
use crate::redis::{Options, RestClient};
use crate::shell::ReqwestTransport;

use super::web::{ExecutionContext, Isolate, Store, respond};

thread_local! {
    /// The gate of this isolate; `None` if it is misconfigured.
    static ISOLATE: OnceCell<Option<Rc<Isolate>>> = const { OnceCell::new() };
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn log_error(message: &str);
}

/// The Worker's `fetch` handler. `env` holds the bindings. It returns a response if it can answer
/// at once, and a promise of one otherwise.
pub fn handle(request: Request, env: &JsValue, context: ExecutionContext) -> JsValue {
    let isolate = ISOLATE.with(|isolate| isolate.get_or_init(|| start(env)).clone());
    match isolate {
        Some(isolate) => isolate.handle(request, context),
        None => respond(Problem::Misconfigured.answer())
            .unwrap_or_else(|_| Response::error())
            .into(),
    }
}

/// Reads the bindings. All that is wrong with them goes to the log, and none of it to clients.
fn start(env: &JsValue) -> Option<Rc<Isolate>> {
    let log = |error: &ConfigError| {
        for problem in error.problems() {
            log_error(&format!("configuration: {problem}"));
        }
    };
    let config = config(env).inspect_err(log).ok();
    let store = store(env, config.as_ref()).inspect_err(log).ok();
    Isolate::new(&config?, store?, admin_token(env))
        .inspect_err(log)
        .ok()
}

/// Reads the binding `EDGE`: a JSON variable, or the same JSON as text.
fn config(env: &JsValue) -> Result<Config, ConfigError> {
    let edge = binding(env, "EDGE").ok_or_else(|| {
        ConfigError::of(
            "EDGE",
            "expected the configuration as a JSON variable, found nothing",
        )
    })?;
    let json = match edge.as_string() {
        Some(text) => Some(text),
        None => JSON::stringify(&edge)
            .ok()
            .and_then(|text| text.as_string()),
    };
    json.unwrap_or_default().parse()
}

/// The store; `None` if neither of its bindings exists. If there is no valid configuration, the
/// bindings are only checked.
fn store(env: &JsValue, config: Option<&Config>) -> Result<Option<Store>, ConfigError> {
    let names = ["UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"];
    let (url, token) = match names.map(|name| text(env, name)) {
        [None, None] => return Ok(None),
        [Some(url), Some(token)] => (url, token),
        [url, _] => {
            let [absent, present] = if url.is_none() {
                names
            } else {
                [names[1], names[0]]
            };
            let message = format!("expected beside {present}, found nothing");
            return Err(ConfigError::of(absent, &message));
        }
    };
    // The client calls these settings `url` and `token`.
    let of = |error: Error| {
        let message = error.to_string();
        let token = message.contains(": token: ");
        ConfigError::of(if token { names[1] } else { names[0] }, &message)
    };
    let transport = ReqwestTransport::new().map_err(of)?;
    let mut options = Options::new(url, token);
    if let Some(config) = config {
        options = options.timeout(config.redis.timeout);
    }
    RestClient::new(transport, options).map(Some).map_err(of)
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

//! The Cloudflare Worker's exports.

use omnitrade_edge::shell::web::ExecutionContext;
use omnitrade_edge::shell::worker::handle;
use wasm_bindgen::prelude::*;
use web_sys::Request;
// Linked for its exports: after a panic, worker-build's `index.js` uses them to restart the module.
use worker as _;

/// The `fetch` handler. It returns a response if it can answer at once, and a promise if it has to
/// wait.
#[wasm_bindgen]
pub fn fetch(request: Request, env: JsValue, context: ExecutionContext) -> JsValue {
    handle(request, &env, context)
}

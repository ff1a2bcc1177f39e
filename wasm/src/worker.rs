//! The Cloudflare Worker's exports, which `wasm/entry.js` calls.

use omnitrade_edge::shell::web::ExecutionContext;
use omnitrade_edge::shell::worker;
use wasm_bindgen::prelude::*;
use web_sys::Request;

/// Reads the bindings. It needs neither the time nor random numbers, which some platforms do not
/// give before the first request.
#[wasm_bindgen]
pub fn prepare(env: &JsValue) {
    // Not its message, which may quote what a client has sent.
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            log_error(&format!("panic at {place}"));
        }
    }));
    worker::prepare(env);
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn log_error(message: &str);
}

/// The `fetch` handler. It returns a response if it can answer at once, and if it has to wait,
/// what `Promise.withResolvers` returns.
#[wasm_bindgen]
pub fn fetch(request: Request, context: ExecutionContext) -> JsValue {
    #[cfg(feature = "panics")]
    if let Some(answer) = crate::panics::asked_for(&request) {
        return answer;
    }
    worker::handle(request, context)
}

//! The exports of the gate, which the Worker and `createGate` call (`pkg/src/instance.js`).

use js_sys::Function;
use omnitrade_edge::shell::web::ExecutionContext;
use omnitrade_edge::shell::worker;
use wasm_bindgen::prelude::*;
use web_sys::Request;

/// Reads the bindings in `env`. `built`: the configuration that the Worker was built with, as JSON.
/// `listener`: a function that is called with each failure of the store: its text, its code,
/// whether the call may have run, and Redis's own code.
///
/// It needs neither the time nor random numbers, which some platforms do not give before the first
/// request.
#[wasm_bindgen]
pub fn prepare(env: &JsValue, built: Option<String>, listener: Option<Function>) {
    // Not its message, which may quote what a client has sent.
    std::panic::set_hook(Box::new(|panic| {
        if let Some(place) = panic.location() {
            log_error(&format!("panic at {place}"));
        }
    }));
    worker::prepare(env, built.as_deref(), listener);
}

/// All that is wrong with the bindings, before the first request: paths and messages in turns.
#[wasm_bindgen]
pub fn problems() -> Vec<String> {
    let problems = worker::problems().into_iter();
    problems
        .flat_map(|problem| [problem.path, problem.message])
        .collect()
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

/// Asks only the limits about a request. It returns what `Promise.withResolvers` returns, for a
/// list: the response if the request is refused, the headers in lines, and the limits as JSON.
#[wasm_bindgen]
pub fn admit(request: Request, context: ExecutionContext) -> JsValue {
    #[cfg(feature = "panics")]
    if let Some(answer) = crate::panics::asked_for(&request) {
        return answer;
    }
    worker::admit(request, context)
}

/// Purges what the body of a request names, as the admin page does. It returns what
/// `Promise.withResolvers` returns, for a list: the status and the body of the page's answer, and
/// the failure of the store, if there was one, as the listener gets it but in a list.
#[wasm_bindgen]
pub fn purge(request: Request) -> JsValue {
    worker::purge(request)
}

/// What the gate has counted, in the text format of Prometheus.
#[wasm_bindgen]
pub fn metrics() -> String {
    worker::metrics()
}

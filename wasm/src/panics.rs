//! Requests that make the module trap, for the tests of what happens then
//! (`tests/worker/traps.test.mjs`). No Worker that is deployed is built with this.

use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::Request;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &JsValue, ms: i32);

    /// An answer that comes later, as `pkg/src/instance.js` takes it.
    #[wasm_bindgen(js_namespace = Promise, js_name = withResolvers)]
    fn with_resolvers() -> JsValue;

    /// Throws through the module, because its declaration does not say that it may throw.
    #[wasm_bindgen(js_namespace = Reflect, js_name = ownKeys)]
    fn own_keys(of: &JsValue) -> JsValue;
}

/// The answer to a request for `/__panic/…`, if there is one before the trap.
pub fn asked_for(request: &Request) -> Option<JsValue> {
    let url = request.url();
    let (_, how) = url.split_once("/__panic/")?;
    match how {
        "at-once" => trap(),
        "overflow" => return Some(nested(0).into()),
        "thrown" => drop(own_keys(&JsValue::NULL)),
        "in-a-promise" => {}
        _ => return None,
    }
    spawn_local(async { drop(trap_later().await) });
    Some(with_resolvers())
}

async fn trap_later() -> Result<JsValue, JsValue> {
    let elapsed = Promise::new(&mut |resolve, _| set_timeout(&resolve, 20));
    JsFuture::from(elapsed).await?;
    trap()
}

/// Not inlined, so that it is in stack traces under its name.
#[inline(never)]
fn trap() -> ! {
    panic!("as asked for: {}", std::hint::black_box("SECRET"))
}

/// Calls itself until the stack is full.
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn nested(depth: u32) -> u32 {
    std::hint::black_box(nested(std::hint::black_box(depth) + 1)) + 1
}

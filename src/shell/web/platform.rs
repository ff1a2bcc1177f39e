//! What the platform has beside the Fetch API: the time, the log, and work that goes on after an answer.

use std::future::Future;
use std::time::Duration;

use js_sys::{Date, Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::clock::{Timestamp, millis};

#[wasm_bindgen]
extern "C" {
    /// What a handler gets beside the request.
    #[derive(Clone)]
    pub type ExecutionContext;

    #[wasm_bindgen(method, js_name = waitUntil)]
    fn wait_until(this: &ExecutionContext, promise: &Promise);

    /// Writes a line into the log.
    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    pub fn warn(message: &str);

    #[wasm_bindgen(js_name = setTimeout)]
    pub fn set_timeout(callback: &JsValue, ms: f64) -> JsValue;
}

/// Keeps a request going for which others wait, also when its client hangs up.
pub struct Hold(Option<Function>);

impl Hold {
    /// From now on, until it is dropped.
    pub fn on(context: &ExecutionContext) -> Self {
        let mut release = None;
        let promise = Promise::new(&mut |resolve, _| release = Some(resolve));
        context.wait_until(&promise);
        Self(release)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(release) = &self.0 {
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }
}

/// Waits.
pub async fn sleep(duration: Duration) {
    let ms = i32::try_from(millis(duration)).unwrap_or(i32::MAX);
    let elapsed = Promise::new(&mut |resolve, _| drop(set_timeout(&resolve, ms.into())));
    // A timer's promise is never rejected.
    let _ = JsFuture::from(elapsed).await;
}

/// Lets work go on after the response, also when the client hangs up.
pub fn keep_alive(context: &ExecutionContext, work: impl Future<Output = ()> + 'static) {
    context.wait_until(&future_to_promise(async move {
        work.await;
        Ok(JsValue::UNDEFINED)
    }));
}

/// The isolate's clock.
pub fn now() -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates"
    )]
    Timestamp::from_millis(Date::now() as u64)
}

//! The platform beside the Fetch API: the time, the log, and work that goes on after a response.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use js_sys::{Date, Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

use crate::clock::{Timestamp, millis};

#[wasm_bindgen]
extern "C" {
    /// The second object that a handler gets, beside the request.
    #[derive(Clone)]
    pub type ExecutionContext;

    #[wasm_bindgen(method, js_name = waitUntil)]
    fn wait_until(this: &ExecutionContext, promise: &Promise);

    /// Writes a line into the log.
    #[wasm_bindgen(js_namespace = console, js_name = warn)]
    pub fn warn(message: &str);

    #[wasm_bindgen(js_name = setTimeout)]
    pub fn set_timeout(callback: &JsValue, ms: f64) -> JsValue;

    /// Cancels a timer that has not fired yet.
    #[wasm_bindgen(js_name = clearTimeout)]
    pub fn clear_timeout(id: &JsValue);
}

#[wasm_bindgen(module = "/src/shell/web/web.js")]
extern "C" {
    /// A promise, and the function that resolves it.
    #[derive(Clone)]
    pub type Resolvers;

    #[wasm_bindgen(js_name = withResolvers)]
    pub fn with_resolvers() -> Resolvers;

    #[wasm_bindgen(method)]
    pub fn resolve(this: &Resolvers, value: &JsValue);

    #[wasm_bindgen(js_name = setIdleTimeout)]
    fn set_idle_timeout(callback: &JsValue, ms: f64);
}

/// A duration as [`set_timeout`] takes it: in milliseconds, and no longer than timers accept.
pub fn timeout(duration: Duration) -> f64 {
    i32::try_from(millis(duration)).unwrap_or(i32::MAX).into()
}

/// An action that runs later, unless the timer is dropped before.
pub struct Timer {
    id: JsValue,
    _callback: Closure<dyn FnMut()>,
}

impl Timer {
    /// Runs `action` after `duration`.
    pub fn after(duration: Duration, action: impl FnOnce() + 'static) -> Self {
        let callback = Closure::once(action);
        Self {
            id: set_timeout(callback.as_ref(), timeout(duration)),
            _callback: callback,
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.id);
    }
}

/// Keeps a request alive for which others wait, even if its client hangs up.
pub struct Hold(Signal);

impl Hold {
    /// Keeps the current request alive until the hold is dropped.
    pub fn on(context: &ExecutionContext) -> Self {
        let signal = Signal::new();
        context.wait_until(&signal.promise);
        Self(signal)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.give();
    }
}

/// Waits for `duration`.
pub async fn sleep(duration: Duration) {
    let elapsed = Promise::new(&mut |resolve, _| drop(set_timeout(&resolve, timeout(duration))));
    // A timer's promise is never rejected.
    let _ = JsFuture::from(elapsed).await;
}

/// Waits for `duration`, unless the whole program has nothing else to wait for and ends.
pub async fn idle(duration: Duration) {
    let elapsed = Promise::new(&mut |resolve, _| set_idle_timeout(&resolve, timeout(duration)));
    // A timer's promise is never rejected.
    let _ = JsFuture::from(elapsed).await;
}

/// Lets work go on after the response, even if the client hangs up.
pub fn keep_alive(context: &ExecutionContext, work: impl Future<Output = ()> + 'static) {
    context.wait_until(&future_to_promise(async move {
        work.await;
        Ok(JsValue::UNDEFINED)
    }));
}

/// A promise that another part of the same request can resolve.
pub struct Signal {
    promise: Promise,
    keep: Option<Function>,
}

impl Signal {
    /// A signal that is not given yet.
    pub fn new() -> Self {
        let mut keep = None;
        let promise = Promise::new(&mut |resolve, _| keep = Some(resolve));
        Self { promise, keep }
    }

    /// Resolves the promise. Further calls change nothing.
    pub fn give(&self) {
        if let Some(keep) = &self.keep {
            let _ = keep.call0(&JsValue::UNDEFINED);
        }
    }

    /// Waits until the promise is resolved.
    pub async fn wait(&self) {
        // The promise is never rejected.
        let _ = JsFuture::from(self.promise.clone()).await;
    }

    /// Waits until the promise is resolved, and resolves it after `longest` at the latest.
    pub async fn wait_for(self: &Rc<Self>, longest: Duration) {
        let signal = Rc::clone(self);
        let _timer = Timer::after(longest, move || signal.give());
        self.wait().await;
    }
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
